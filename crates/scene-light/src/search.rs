//! Does a video show the shadow of the person who is replaced?
//!
//! Where the sun and the ground are known, so is the place of the shadow. It is there if the picture is darker in it than right beside it,
//! frame after frame. Directions near the one that was found on the person are tried too: the shadow tells it better.

use crate::error::Result;
use crate::ground::Ground;
use crate::light::{SceneLight, Sun};
use crate::shadow::ShadowMap;
use crate::{GAMMA, luma};
use avatar_render::{Colors, Frame as Splats, Gaussians, Renderer, RendererChoice};
use image::{GrayImage, RgbImage};

/// A frame in which a shadow is looked for.
#[derive(Clone, Copy, Debug)]
pub struct ShadowFrame<'a> {
    /// The picture; small ones do.
    pub picture: &'a RgbImage,
    /// The person in it, of the same size: what lies on or near them tells nothing.
    pub matte: &'a GrayImage,
    /// Their body's vertices.
    pub body: &'a [[f32; 3]],
    /// The camera at the picture's size.
    pub camera: &'a smplx::Camera,
    /// The ground.
    pub ground: Ground,
}

/// A shadow that was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundShadow {
    /// Towards the sun that throws it.
    pub toward: [f32; 3],
    /// Levels in it, for those beside it.
    pub darker: f32,
}

impl FoundShadow {
    /// The light with its sun where this shadow says, and as strong as it says.
    #[must_use]
    pub fn correct(&self, light: &SceneLight, up: [f32; 3]) -> SceneLight {
        let Some(sun) = &light.sun else { return *light };
        let facing = (0..3).map(|k| self.toward[k] * up[k]).sum::<f32>().max(0.2);
        let open = luma(light.ambient.at(up)).max(0.05);
        // What is left of the light in the shadow is the open sky's.
        let wanted = open * (self.darker.clamp(0.3, 0.98).powf(-GAMMA) - 1.0) / facing;
        let scale = wanted / luma(sun.color).max(1e-3);
        let color = sun.color.map(|c| c * scale);
        let sharp = Sun { toward: self.toward, color, softness: sun.softness.min(0.08) };
        SceneLight { sun: Some(sharp), ..*light }.of_mean_one()
    }
}

/// Degrees about the vertical, and heights of the sun, that are tried.
const TURNS: [f32; 7] = [0.0, -20.0, 20.0, -45.0, 45.0, -70.0, 70.0];
const HEIGHTS: [f32; 3] = [25.0, 42.0, 60.0];
/// A shadow is darker than its surroundings by this at least, in most frames.
const DARKER: f32 = 0.88;
const MOST: f32 = 0.75;
/// Pixels that have to be in it and beside it.
const PIXELS: usize = 40;

/// Looks for the shadow of bodies of these triangles near where a light throws it; `None` where there is none, or no sun.
///
/// # Errors
/// When a renderer fails.
pub fn find_shadow(
    frames: &[ShadowFrame<'_>],
    faces: &[[u32; 3]],
    light: &SceneLight,
    up: [f32; 3],
) -> Result<Option<FoundShadow>> {
    let Some(sun) = &light.sun else { return Ok(None) };
    let mut search = Search {
        frames,
        bodies: frames.iter().map(|f| solid(f.body, faces)).collect(),
        renderer: Renderer::new(RendererChoice::Cpu)?,
        scratch: Splats::new(),
    };
    let mut best: Option<FoundShadow> = None;
    for turn in TURNS {
        for height in HEIGHTS {
            search.attempt(turned(sun.toward, up, turn, height), &mut best)?;
        }
    }
    // Nearer by.
    if let Some(found) = best {
        let height =
            (0..3).map(|k| found.toward[k] * up[k]).sum::<f32>().clamp(-1.0, 1.0).asin().to_degrees();
        for turn in [-10.0, 0.0, 10.0] {
            for step in [-9.0, 0.0, 9.0] {
                search.attempt(turned(found.toward, up, turn, height + step), &mut best)?;
            }
        }
    }
    Ok(best)
}

/// How dark a picture is in the shadow that a light throws, for what lies right beside it: the median over frames of levels' ratios, about 1
/// where there is no shadow. `None` where too little of it is seen.
///
/// # Errors
/// When a renderer fails.
pub fn darkness(frames: &[ShadowFrame<'_>], faces: &[[u32; 3]], toward: [f32; 3]) -> Result<Option<f32>> {
    let mut search = Search {
        frames,
        bodies: frames.iter().map(|f| solid(f.body, faces)).collect(),
        renderer: Renderer::new(RendererChoice::Cpu)?,
        scratch: Splats::new(),
    };
    let mut ratios = search.ratios(toward)?;
    ratios.sort_by(f32::total_cmp);
    Ok((!ratios.is_empty()).then(|| ratios[ratios.len() / 2]))
}

struct Search<'a> {
    frames: &'a [ShadowFrame<'a>],
    bodies: Vec<Gaussians>,
    renderer: Renderer,
    scratch: Splats,
}

impl Search<'_> {
    fn ratios(&mut self, toward: [f32; 3]) -> Result<Vec<f32>> {
        let mut ratios = Vec::new();
        for (frame, body) in self.frames.iter().zip(&self.bodies) {
            let map = ShadowMap::render(&mut self.renderer, body, toward, &mut self.scratch)?;
            ratios.extend(map.and_then(|map| ratio(frame, &map)));
        }
        Ok(ratios)
    }

    /// Takes a direction if it is surely dark there and darker than what was found.
    fn attempt(&mut self, toward: [f32; 3], best: &mut Option<FoundShadow>) -> Result<()> {
        let mut ratios = self.ratios(toward)?;
        if ratios.len() < 3 {
            return Ok(());
        }
        ratios.sort_by(f32::total_cmp);
        let middle = ratios[ratios.len() / 2];
        let sure = ratios[((ratios.len() - 1) as f32 * MOST) as usize];
        if middle < DARKER && sure < 0.5 * (1.0 + DARKER) && best.is_none_or(|b| middle < b.darker) {
            *best = Some(FoundShadow { toward, darker: middle });
        }
        Ok(())
    }
}

/// The median level in the shadow's place, for that beside it; `None` where too little of either is seen.
fn ratio(frame: &ShadowFrame<'_>, map: &ShadowMap) -> Option<f32> {
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
    use crate::{CastOptions, Harmonics, View, cast};

    /// Picture, matte, vertices, camera, ground and faces.
    type Scene = (RgbImage, GrayImage, Vec<[f32; 3]>, smplx::Camera, Ground, Vec<[u32; 3]>);

    /// A standing body before grey ground, with or without the shadow of a sun.
    fn scene(shadow: bool, toward: [f32; 3]) -> Scene {
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
            let frame =
                || ShadowFrame { picture: &picture, matte: &matte, body: &body, camera: &camera, ground };
            let frames = [frame(), frame(), frame()];
            // What was found on the person is 20 degrees off.
            let wrong = light(turned(toward, up, 20.0, 30.0));
            let found = find_shadow(&frames, &faces, &wrong, up).unwrap();
            assert_eq!(found.is_some(), shadow, "{found:?}");
            let dark = darkness(&frames, &faces, toward).unwrap().unwrap();
            assert_eq!(dark < 0.85, shadow, "{dark}");
            if let Some(seen) = found {
                let cosine: f32 = (0..3).map(|k| seen.toward[k] * toward[k]).sum();
                assert!(cosine > 0.97 && seen.darker < 0.8, "{cosine} {seen:?}");
                let right = seen.correct(&wrong, up);
                let (a, b) = (right.sun_share(up)[1], light(toward).sun_share(up)[1]);
                assert!((a - b).abs() < 0.12, "{a} {b}");
            }
        }
    }
}
