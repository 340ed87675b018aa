//! Fitted bodies beside true ones.

use anyhow::Result;
use smplx::{BodyModel, Motion, MotionFrame, N_JOINTS, Rotations};

/// Joints that are compared.
const JOINTS: usize = 22;
const HEAD: usize = 15;

/// Sums of errors.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    seen: [f64; 2],
    unseen: f64,
    /// By frame: how many times as wide and as high as in truth the head is.
    ratios: Vec<[f64; 2]>,
}

impl Measured {
    /// Adds a person's frames, those that `of` picks.
    pub(crate) fn add(
        &mut self,
        body: &BodyModel,
        truth: &Motion,
        found: &Motion,
        seen: &[[bool; JOINTS]],
        of: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let head: Vec<usize> =
            (0..body.n_vertices()).filter(|v| body.weights().dominant_joint(*v) == HEAD).collect();
        for (t, (truth, found)) in truth.frames.iter().zip(&found.frames).enumerate().filter(|(t, _)| of(*t))
        {
            let (true_joints, true_head) = placed(body, truth, &head)?;
            let (joints, found_head) = placed(body, found, &head)?;
            self.pose(&true_joints, &joints, &seen[t]);
            if let (true, Some(a), Some(b)) = (seen[t][HEAD], true_head, found_head) {
                self.ratios.push([0, 1].map(|k| f64::from(b[k] / a[k])));
            }
        }
        Ok(())
    }

    /// Distances after place and size are taken out by the seen joints.
    fn pose(&mut self, truth: &[[f32; 3]], found: &[[f32; 3]], seen: &[bool; JOINTS]) {
        let of: Vec<usize> = (0..JOINTS).filter(|j| seen[*j]).collect();
        if of.len() < 3 {
            return;
        }
        let middle = |p: &[[f32; 3]]| -> [f32; 3] {
            std::array::from_fn(|k| of.iter().map(|j| p[*j][k]).sum::<f32>() / of.len() as f32)
        };
        let (a, b) = (middle(truth), middle(found));
        let spread = |p: &[[f32; 3]], m: [f32; 3]| {
            of.iter().map(|j| (0..3).map(|k| (p[*j][k] - m[k]).powi(2)).sum::<f32>()).sum::<f32>().sqrt()
        };
        let size = spread(truth, a) / spread(found, b).max(1e-6);
        for (j, is_seen) in seen.iter().enumerate() {
            let off =
                (0..3).map(|k| ((found[j][k] - b[k]) * size - (truth[j][k] - a[k])).powi(2)).sum::<f32>();
            let mm = 1000.0 * f64::from(off.sqrt());
            if *is_seen {
                self.seen[0] += mm;
                self.seen[1] += 1.0;
            } else {
                self.unseen = self.unseen.max(mm);
            }
        }
    }

    /// Mean of seen joints, largest of unseen ones.
    pub(crate) fn pose_mm(&self) -> (f64, f64) {
        (self.seen[0] / self.seen[1].max(1.0), self.unseen)
    }

    /// How many times as wide and as high as in truth the head is, frame by frame.
    pub(crate) fn ratios(&self) -> &[[f64; 2]] {
        &self.ratios
    }

    /// Mean error of height and width.
    pub(crate) fn head(&self) -> [f64; 2] {
        let off = |k: usize| self.ratios.iter().map(|ratio| (ratio[k] - 1.0).abs()).sum::<f64>();
        [1, 0].map(|k| off(k) / self.ratios.len().max(1) as f64)
    }
}

/// Joints, and the head's width and height.
type Placed = (Vec<[f32; 3]>, Option<[f32; 2]>);

/// Joints in metres, and width and height of the head in the picture.
fn placed(body: &BodyModel, frame: &MotionFrame, head: &[usize]) -> Result<Placed> {
    let full: [[f32; 3]; N_JOINTS] = frame.pose.full();
    let posed = body.forward(&smplx::Frame {
        betas: &frame.betas,
        expression: &[],
        rotations: Rotations::AxisAngle(&full),
        translation: frame.translation,
    })?;
    let joints = posed.joints.positions[..JOINTS].to_vec();
    let Some(camera) = frame.camera else { return Ok((joints, None)) };
    let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for v in head {
        let Some(at) = camera.project(posed.vertices[*v]) else { return Ok((joints, None)) };
        for k in 0..2 {
            (low[k], high[k]) = (low[k].min(at[k]), high[k].max(at[k]));
        }
    }
    Ok((joints, Some([high[0] - low[0], high[1] - low[1]])))
}
