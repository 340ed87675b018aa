//! Colours corrected by what comes out: the avatar is rendered as in the picture, and what is missing is added where a
//! point saw itself. Points blur into each other when they are splatted; this sharpens them again.

use crate::bake::Baked;
use crate::colors::Known;
use crate::pixels::Pyramid;
use crate::posed::View;
use crate::{Error, Result};
use avatar_render::{Colors, Frame, Gaussians, SplatOptions, SplatRenderer};
use glam::Vec3;
use smplx::{BodyModel, MotionFrame, PointFrame, PosedPoints, Retarget, Rotations};

/// Share of the difference that is added in a round.
const GAIN: f32 = 0.8;

pub(crate) fn refine(
    model: &BodyModel,
    baked: &mut Baked,
    frame: &MotionFrame,
    view: &View,
    painted: &[Known],
    pyramid: &Pyramid,
    rounds: usize,
) -> Result<()> {
    if rounds == 0 {
        return Ok(());
    }
    let mut posed = Gaussians::default();
    baked.pose(model, frame, &mut posed)?;
    let mut renderer = SplatRenderer::new();
    let mut picture = Frame::new();
    for _ in 0..rounds {
        renderer.render(&posed, view.camera(), &SplatOptions::default(), &mut picture)?;
        let Colors::Rgb(colors) = &mut posed.colors else { break };
        for ((color, mean), known) in colors.iter_mut().zip(&posed.means).zip(painted) {
            if known.weight == 0.0 {
                continue;
            }
            let Some(at) = view.project(Vec3::from_array(*mean)) else { continue };
            let Some(want) = pyramid.at(at, 1.0) else { continue };
            let Some(have) = rendered(&picture, at) else { continue };
            let share = GAIN * known.weight * want.coverage;
            *color = std::array::from_fn(|k| (color[k] + share * (want.color[k] - have[k])).clamp(0.0, 1.0));
        }
    }
    baked.avatar.gaussians.colors = posed.colors;
    Ok(())
}

/// The rendered colour without its background at a place, linear between pixels; `None` where it is hardly covered.
fn rendered(frame: &Frame, [x, y]: [f32; 2]) -> Option<[f32; 3]> {
    let (w, h) = (frame.width(), frame.height());
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let clamp = |c: f32, n: usize| (c.max(0.0) as usize).min(n - 1);
    let (mut color, mut alpha) = ([0.0; 3], 0.0);
    for (i, j) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let share = (if i == 0.0 { 1.0 - fx } else { fx }) * (if j == 0.0 { 1.0 - fy } else { fy });
        let at = clamp(y0 + j, h) * w + clamp(x0 + i, w);
        alpha += share * frame.alpha()[at];
        for (c, v) in color.iter_mut().zip(&frame.color()[3 * at..3 * at + 3]) {
            *c += share * v;
        }
    }
    (alpha > 0.5).then(|| color.map(|c| c / alpha))
}

impl Baked {
    /// The Gaussians in a frame's pose, in camera space; the frame's own betas aren't looked at.
    ///
    /// # Errors
    /// When the pose isn't finite, or the model isn't the one on which this was baked.
    pub fn pose(&self, model: &BodyModel, frame: &MotionFrame, out: &mut Gaussians) -> Result<()> {
        let bound = Retarget::bound(model, self.binding.clone(), &self.avatar.points(&[])?, &self.betas)?;
        let pose = frame.pose.full();
        let place = PointFrame {
            rotations: Rotations::AxisAngle(&pose),
            expression: &[],
            translation: frame.translation,
        };
        let mut posed = PosedPoints::default();
        bound.skin.pose_into(model, &place, &mut posed).map_err(Error::Body)?;
        self.avatar.pose(&bound.skin, &posed, [0.0; 3], out)?;
        Ok(())
    }
}
