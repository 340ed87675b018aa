//! Does a video show the shadow of the person who is replaced?
//!
//! Where the sun and the ground are known, so is the place of the shadow. It is there if the picture is darker in it than right beside it,
//! frame after frame. Directions near the one that was found on the person are tried too: the shadow tells it better.

use crate::Result;
use avatar_render::{Colors, Frame as Splats, Gaussians, Renderer, RendererChoice};
use image::{GrayImage, RgbImage};
use scene_light::{Ground, SceneLight, ShadowMap, luma};

/// A frame of the raw video.
pub(super) struct Frame<'a> {
    pub(super) picture: &'a RgbImage,
    pub(super) matte: &'a GrayImage,
    pub(super) body: &'a [[f32; 3]],
    pub(super) camera: &'a smplx::Camera,
    pub(super) ground: Ground,
}

/// A shadow that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Towards the sun that throws it.
    pub(super) toward: [f32; 3],
    /// Levels in it, for those beside it.
    pub(super) darker: f32,
}

/// Degrees about the vertical, and heights of the sun, that are tried.
const TURNS: [f32; 7] = [0.0, -20.0, 20.0, -45.0, 45.0, -70.0, 70.0];
const HEIGHTS: [f32; 3] = [25.0, 42.0, 60.0];
/// A shadow is darker than its surroundings by this at least, in most frames.
const DARKER: f32 = 0.88;
const MOST: f32 = 0.75;
/// Pixels that have to be in it and beside it.
const PIXELS: usize = 40;

/// Looks for it.
pub(super) fn look(
    frames: &[Frame<'_>],
    faces: &[[u32; 3]],
    light: &SceneLight,
    up: [f32; 3],
) -> Result<Option<Seen>> {
    let Some(sun) = &light.sun else { return Ok(None) };
    let mut renderer = Renderer::new(RendererChoice::Cpu)?;
    let mut scratch = Splats::new();
    let bodies: Vec<Gaussians> = frames.iter().map(|f| solid(f.body, faces)).collect();
    let mut best: Option<(f32, Seen)> = None;
    for turn in TURNS {
        for height in HEIGHTS {
            let toward = turned(sun.toward, up, turn, height);
            let mut ratios = Vec::new();
            for (frame, body) in frames.iter().zip(&bodies) {
                let map = ShadowMap::render(&mut renderer, body, toward, &mut scratch)?;
                ratios.extend(map.and_then(|map| ratio(frame, &map)));
            }
            if ratios.len() < 3 {
                continue;
            }
            ratios.sort_by(f32::total_cmp);
            let middle = ratios[ratios.len() / 2];
            let sure = ratios[((ratios.len() - 1) as f32 * MOST) as usize];
            if middle < DARKER && sure < 0.5 * (1.0 + DARKER) && best.is_none_or(|(d, _)| middle < d) {
                best = Some((middle, Seen { toward, darker: middle }));
            }
        }
    }
    Ok(best.map(|(_, seen)| seen))
}

/// The median level in the shadow's place, for that beside it; `None` where too little of either is seen.
fn ratio(frame: &Frame<'_>, map: &ShadowMap) -> Option<f32> {
    let (w, h) = (frame.picture.width() as usize, frame.picture.height() as usize);
    let ([fx, fy], [cx, cy]) = (frame.camera.focal_px, frame.camera.principal_px);
    let (mut inside, mut beside) = (Vec::new(), Vec::new());
    let near = (w / 60).max(2);
    for y in 0..h {
        for x in 0..w {
            let ray = [(x as f32 + 0.5 - cx) / fx, (y as f32 + 0.5 - cy) / fy, 1.0];
            let Some(t) = frame.ground.meet(ray) else { continue };
            let p = ray.map(|r| r * t);
            let soft = map.hidden(p, 0.9);
            if soft < 0.02 {
                continue;
            }
            let matte = |x: usize, y: usize| frame.matte.as_raw()[y.min(h - 1) * w + x.min(w - 1)];
            let around = [(0, 0), (near, 0), (0, near), (2 * near, near), (near, 2 * near)];
            if around.iter().any(|(dx, dy)| {
                matte(x + dx, y + dy) > 20 || matte(x.saturating_sub(*dx), y.saturating_sub(*dy)) > 20
            }) {
                continue;
            }
            let dark = map.hidden(p, 0.05);
            let pixel = frame.picture.get_pixel(x as u32, y as u32).0.map(f32::from);
            if dark > 0.8 {
                inside.push(luma(pixel));
            } else if dark < 0.02 && soft < 0.35 {
                beside.push(luma(pixel));
            }
        }
    }
    if inside.len() < PIXELS || beside.len() < PIXELS {
        return None;
    }
    let median = |values: &mut Vec<f32>| {
        values.sort_by(f32::total_cmp);
        values[values.len() / 2].max(1.0)
    };
    Some(median(&mut inside) / median(&mut beside))
}

/// A direction about the vertical from another, at a height in degrees.
fn turned(toward: [f32; 3], up: [f32; 3], turn: f32, height: f32) -> [f32; 3] {
    let dot = |a: [f32; 3], b: [f32; 3]| (0..3).map(|k| a[k] * b[k]).sum::<f32>();
    let along = dot(toward, up);
    let mut level: [f32; 3] = std::array::from_fn(|k| toward[k] - along * up[k]);
    let length = dot(level, level).sqrt();
    level = if length > 1e-3 { level.map(|v| v / length) } else { [1.0, 0.0, 0.0] };
    let side = [
        up[1] * level[2] - up[2] * level[1],
        up[2] * level[0] - up[0] * level[2],
        up[0] * level[1] - up[1] * level[0],
    ];
    let ((s, c), (high, flat)) = (turn.to_radians().sin_cos(), height.to_radians().sin_cos());
    std::array::from_fn(|k| (level[k] * c + side[k] * s) * flat + up[k] * high)
}

/// A body as Gaussians that throw its shadow: one in the middle of each triangle.
fn solid(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Gaussians {
    let mut g = Gaussians::default();
    let mut colors = Vec::new();
    for f in faces {
        let corners = f.map(|v| vertices.get(v as usize).copied().unwrap_or_default());
        let mean: [f32; 3] = std::array::from_fn(|k| corners.iter().map(|c| c[k]).sum::<f32>() / 3.0);
        let spread = corners
            .iter()
            .map(|c| (0..3).map(|k| (c[k] - mean[k]).powi(2)).sum::<f32>().sqrt())
            .fold(0.0_f32, f32::max);
        g.means.push(mean);
        g.scales.push([0.6 * spread; 3]);
        g.rotations.push([1.0, 0.0, 0.0, 0.0]);
        g.opacities.push(0.95);
        colors.push([0.5; 3]);
    }
    g.colors = Colors::Rgb(colors);
    g
}

#[cfg(test)]
mod tests {
    use super::*;
    use scene_light::{CastOptions, Harmonics, Sun, View, cast};

    /// A standing body before grey ground, with or without the shadow of a sun.
    fn scene(
        shadow: bool,
        toward: [f32; 3],
    ) -> (RgbImage, GrayImage, Vec<[f32; 3]>, smplx::Camera, Ground, Vec<[u32; 3]>) {
        let model = smplx::BodyModel::from_bytes(anicrafter_assets::BODY.to_vec()).unwrap();
        let mut pose = [[0.0; 3]; smplx::N_JOINTS];
        pose[0] = [std::f32::consts::PI, 0.0, 0.0];
        let rotations = smplx::Rotations::AxisAngle(&pose);
        let posed = model
            .forward(&smplx::Frame { rotations, translation: [0.0, 0.0, 4.0], ..smplx::Frame::REST })
            .unwrap();
        let low = posed.vertices.iter().map(|v| v[1]).fold(f32::NEG_INFINITY, f32::max);
        let ground = Ground { normal: [0.0, -0.985, -0.174], height: -(0.985 * low + 0.174 * 4.0) };
        let camera =
            smplx::Camera { focal_px: [300.0; 2], principal_px: [200.0, 110.0], size_px: [400, 300] };
        let mut picture =
            RgbImage::from_fn(400, 300, |x, y| image::Rgb([(140 + (x * 7 + y * 13) % 21) as u8; 3]));
        if shadow {
            let mut renderer = Renderer::new(RendererChoice::Cpu).unwrap();
            let body = solid(&posed.vertices, model.faces());
            let map = ShadowMap::render(&mut renderer, &body, toward, &mut Splats::new()).unwrap();
            let view = View { camera: &camera, ground: &ground };
            let light = light(toward);
            cast(&mut picture, &view, &light, [map.as_ref(), None], None, &CastOptions::default()).unwrap();
        }
        let mut matte = GrayImage::new(400, 300);
        for v in &posed.vertices {
            if let Some([x, y]) = camera.project(*v) {
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (2, 2)] {
                    let (x, y) = (x as u32 + dx, y as u32 + dy);
                    if x < 400 && y < 300 {
                        matte.put_pixel(x, y, image::Luma([255]));
                    }
                }
            }
        }
        (picture, matte, posed.vertices, camera, ground, model.faces().to_vec())
    }

    fn light(toward: [f32; 3]) -> SceneLight {
        let sun = Sun { toward, color: [1.5; 3], softness: 0.03 };
        SceneLight { ambient: Harmonics::constant([0.5; 3]), sun: Some(sun) }
    }

    #[test]
    fn a_shadow_is_found_where_there_is_one_and_sets_the_sun_right() {
        let up = [0.0, -0.985, -0.174];
        let toward = turned([-0.8, -0.6, 0.1], up, 0.0, 42.0);
        for shadow in [true, false] {
            let (picture, matte, body, camera, ground, faces) = scene(shadow, toward);
            let frame = || Frame { picture: &picture, matte: &matte, body: &body, camera: &camera, ground };
            let frames = [frame(), frame(), frame()];
            // What was found on the person is 20 degrees off.
            let found = look(&frames, &faces, &light(turned(toward, up, 20.0, 30.0)), up).unwrap();
            assert_eq!(found.is_some(), shadow, "{found:?}");
            if let Some(seen) = found {
                let cosine: f32 = (0..3).map(|k| seen.toward[k] * toward[k]).sum();
                assert!(cosine > 0.97 && seen.darker < 0.8, "{cosine} {seen:?}");
            }
        }
    }
}
