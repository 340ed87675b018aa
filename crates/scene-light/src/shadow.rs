//! Shadows: an avatar as the sun sees it, and what that takes from the light of surfaces behind it.

use crate::error::{Result, in_range};
use crate::ground::Ground;
use crate::light::SceneLight;
use crate::{GAMMA, vec3};
use avatar_render::{Camera, Frame, Gaussians, Renderer, SplatOptions};
use glam::Vec3;
use image::RgbImage;
use rayon::prelude::*;

/// Distance of the map's camera: so far that its rays are as good as parallel, so near that depth keeps a tenth of a millimetre.
const AWAY: f32 = 60.0;
/// Width of the map in texels.
const SIZE: usize = 256;
/// Levels of the map, each half as wide as the one before and smoother.
const LEVELS: usize = 7;
/// Standard deviation of level 0 in texels; it doubles with each level.
const SIGMA: f32 = 0.6;
/// What is nearer than this to the surface that it would shade is that surface, in metres: nothing of it counts, then all.
const BIAS: [f32; 2] = [0.025, 0.07];

/// Who stands between the sun and the scene: alpha and depth seen from the sun, at several sharpnesses.
#[derive(Clone, Debug)]
pub struct ShadowMap {
    eye: Vec3,
    axes: [Vec3; 3],
    focal: f32,
    /// Metres a texel.
    texel: f32,
    levels: Vec<Level>,
}

/// Side, and for each texel depth times alpha, alpha.
#[derive(Clone, Debug)]
struct Level {
    side: usize,
    texels: Vec<[f32; 2]>,
}

impl ShadowMap {
    /// Renders Gaussians as a sun in direction `toward` sees them; `None` where there are none.
    ///
    /// # Errors
    /// When the renderer fails.
    pub fn render(
        renderer: &mut Renderer,
        gaussians: &Gaussians,
        toward: [f32; 3],
        scratch: &mut Frame,
    ) -> Result<Option<Self>> {
        let finite = || gaussians.means.iter().map(|m| vec3(*m)).filter(|m| m.is_finite());
        let (low, high) =
            finite().fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), m| (low.min(m), high.max(m)));
        if !(low.is_finite() && high.is_finite()) {
            return Ok(None);
        }
        let middle = (low + high) / 2.0;
        let reach = 0.5 * (high - low).length() + 0.15;
        let toward = vec3(toward).normalize_or(Vec3::NEG_Y);
        let forward = -toward;
        let right = Vec3::Z.reject_from(forward).try_normalize().unwrap_or(Vec3::X);
        let down = forward.cross(right);
        let eye = middle + toward * AWAY;
        let focal = SIZE as f32 * AWAY / (2.0 * reach);
        let row = |axis: Vec3| [axis.x, axis.y, axis.z, -axis.dot(eye)];
        let affine = [row(right), row(down), row(forward)];
        let half = SIZE as f32 / 2.0;
        let camera = Camera::pinhole([SIZE; 2], [focal; 2], [half; 2], &affine)?;
        renderer.splat(gaussians, &camera, &SplatOptions::default(), scratch)?;
        let texels = scratch.depth().iter().zip(scratch.alpha()).map(|(d, a)| [*d, *a]).collect();
        let mut levels = vec![Level { side: SIZE, texels }];
        while let Some(last) = levels.last().filter(|_| levels.len() < LEVELS) {
            let next = last.halved();
            levels.push(next);
        }
        let texel = 2.0 * reach / SIZE as f32;
        Ok(Some(Self { eye, axes: [right, down, forward], focal, texel, levels }))
    }

    /// The share of the light that is hidden from a place, 0 to 1. `softness` is the half-shadow's width a metre behind what casts it.
    #[must_use]
    #[inline]
    pub fn hidden(&self, place: [f32; 3], softness: f32) -> f32 {
        let p = vec3(place) - self.eye;
        let [right, down, forward] = self.axes;
        let z = forward.dot(p);
        let half = SIZE as f32 / 2.0;
        let at = [right, down].map(|axis| self.focal * axis.dot(p) / z + half);
        // Nothing reaches further than its half-shadow.
        let reach = 2.0 * softness / self.texel + 2.0;
        if !at.iter().all(|x| *x > -reach && *x < SIZE as f32 + reach) {
            return 0.0;
        }
        // How far away is what casts a shadow here?
        let search = self.sample(at, (0.35 * softness / self.texel / SIGMA).max(1.0).log2());
        if search[1] < 4e-3 {
            return 0.0;
        }
        let gap = z - search[0] / search[1];
        let sigma = 0.25 * softness * gap.max(0.0) / self.texel;
        let [depth, alpha] = self.sample(at, (sigma / SIGMA).max(1.0).log2());
        if alpha < 1e-3 {
            return 0.0;
        }
        let gap = z - depth / alpha;
        let t = ((gap - BIAS[0]) / (BIAS[1] - BIAS[0])).clamp(0.0, 1.0);
        alpha.min(1.0) * t * t * (3.0 - 2.0 * t)
    }

    /// Between two levels, each between four texels.
    #[inline]
    fn sample(&self, at: [f32; 2], level: f32) -> [f32; 2] {
        let level = level.clamp(0.0, (LEVELS - 1) as f32);
        let low = level as usize;
        let share = level - low as f32;
        let a = self.levels[low].at(at, low);
        if share == 0.0 || low + 1 == LEVELS {
            return a;
        }
        let b = self.levels[low + 1].at(at, low + 1);
        std::array::from_fn(|k| a[k] + (b[k] - a[k]) * share)
    }
}

impl Level {
    /// Half as wide, smoothed over four texels in each direction.
    fn halved(&self) -> Self {
        let side = self.side / 2;
        let get = |x: isize, y: isize| {
            let inside = |v: isize| (0..self.side as isize).contains(&v);
            if inside(x) && inside(y) { self.texels[y as usize * self.side + x as usize] } else { [0.0; 2] }
        };
        const KERNEL: [f32; 4] = [0.125, 0.375, 0.375, 0.125];
        let mut rows = vec![[0.0_f32; 2]; side * self.side];
        for y in 0..self.side {
            for x in 0..side {
                let to = &mut rows[y * side + x];
                for (i, k) in KERNEL.iter().enumerate() {
                    let v = get(2 * x as isize + i as isize - 1, y as isize);
                    *to = [to[0] + k * v[0], to[1] + k * v[1]];
                }
            }
        }
        let mut texels = vec![[0.0_f32; 2]; side * side];
        for y in 0..side {
            for (i, k) in KERNEL.iter().enumerate() {
                let from = 2 * y as isize + i as isize - 1;
                if !(0..self.side as isize).contains(&from) {
                    continue;
                }
                for x in 0..side {
                    let v = rows[from as usize * side + x];
                    let to = &mut texels[y * side + x];
                    *to = [to[0] + k * v[0], to[1] + k * v[1]];
                }
            }
        }
        Self { side, texels }
    }

    #[inline]
    fn at(&self, at: [f32; 2], level: usize) -> [f32; 2] {
        let scale = 1.0 / (1 << level) as f32;
        let (x, y) = (at[0] * scale - 0.5, at[1] * scale - 0.5);
        let (fx, fy) = (x.floor(), y.floor());
        let (i, j) = (fx as isize, fy as isize);
        let side = self.side as isize;
        if i < -1 || j < -1 || i >= side || j >= side {
            return [0.0; 2];
        }
        let get = |x: isize, y: isize| {
            if x >= 0 && y >= 0 && x < side && y < side {
                self.texels[(y * side + x) as usize]
            } else {
                [0.0; 2]
            }
        };
        let (u, v) = (x - fx, y - fy);
        let (a, b, c, d) = (get(i, j), get(i + 1, j), get(i, j + 1), get(i + 1, j + 1));
        std::array::from_fn(|k| {
            let (top, low) = (a[k] + (b[k] - a[k]) * u, c[k] + (d[k] - c[k]) * u);
            top + (low - top) * v
        })
    }
}

/// How dark shadows are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CastOptions {
    /// Share of what the light says, 0 to 2.
    pub strength: f32,
    /// How much of the light from everywhere somebody takes who stands right above, 0 to 1.
    pub contact: f32,
}

impl Default for CastOptions {
    fn default() -> Self {
        Self { strength: 1.0, contact: 0.75 }
    }
}

/// The half-shadow of the whole sky is as wide as what casts it is high.
const SKY_SOFTNESS: f32 = 1.4;

/// What a frame is seen through, and the ground in it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The camera at the plate's size.
    pub camera: &'a smplx::Camera,
    /// The ground of this frame.
    pub ground: &'a Ground,
}

/// Darkens the ground of a plate by somebody's shadow: `sun` and `sky` are who stands between the ground and the sun, and straight above
/// it. `place` says for each pixel how much of it counts, 0 to 255 (everything where there is none).
///
/// # Errors
/// When an option is out of range.
pub fn cast(
    plate: &mut RgbImage,
    view: &View<'_>,
    light: &SceneLight,
    [sun, sky]: [Option<&ShadowMap>; 2],
    place: Option<&image::GrayImage>,
    options: &CastOptions,
) -> Result<()> {
    in_range("the shadow's strength", options.strength, 0.0..=2.0, "between 0 and 2")?;
    in_range("the contact's strength", options.contact, 0.0..=1.0, "between 0 and 1")?;
    let up = view.ground.normal;
    let open = light.ambient.at(up).map(|l| l.max(0.04));
    let direct = light.sun.map_or([0.0; 3], |s| {
        let facing = vec3(s.toward).dot(vec3(up)).max(0.0);
        s.color.map(|c| c * facing)
    });
    let softness = light.sun.map_or(0.1, |s| s.softness);
    let power = options.strength / GAMMA;
    let (width, [fx, fy], [cx, cy]) =
        (plate.width() as usize, view.camera.focal_px, view.camera.principal_px);
    let row_len = (3 * width).max(1);
    plate.par_chunks_exact_mut(row_len).enumerate().for_each(|(y, row)| {
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let ray = [(x as f32 + 0.5 - cx) / fx, (y as f32 + 0.5 - cy) / fy, 1.0];
            let Some(t) = view.ground.meet(ray) else { continue };
            let p = ray.map(|r| r * t);
            let dark = sun.map_or(0.0, |map| map.hidden(p, softness));
            let near = options.contact * sky.map_or(0.0, |map| map.hidden(p, SKY_SOFTNESS));
            if dark < 2e-3 && near < 2e-3 {
                continue;
            }
            let share = place.map_or(1.0, |m| f32::from(m.as_raw()[y * width + x]) / 255.0);
            for c in 0..3 {
                let left = open[c] * (1.0 - near) + direct[c] * (1.0 - dark);
                let factor = (left / (open[c] + direct[c])).max(1e-3).powf(power);
                let factor = 1.0 + (factor - 1.0) * share;
                pixel[c] = (f32::from(pixel[c]) * factor + 0.5) as u8;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::Sun;
    use avatar_render::{Colors, RendererChoice};

    /// A pole of Gaussians from the ground at `foot` up.
    fn pole(foot: Vec3, height: f32) -> Gaussians {
        let mut g = Gaussians::default();
        let mut colors = Vec::new();
        let n = (height / 0.02) as usize;
        for i in 0..n {
            g.means.push((foot - Vec3::Y * (i as f32 * 0.02)).to_array());
            g.scales.push([0.05, 0.02, 0.05]);
            g.rotations.push([1.0, 0.0, 0.0, 0.0]);
            g.opacities.push(0.99);
            colors.push([0.5; 3]);
        }
        g.colors = Colors::Rgb(colors);
        g
    }

    fn map(g: &Gaussians, toward: Vec3) -> ShadowMap {
        let mut renderer = Renderer::new(RendererChoice::Cpu).unwrap();
        ShadowMap::render(&mut renderer, g, toward.to_array(), &mut Frame::new()).unwrap().unwrap()
    }

    #[test]
    fn a_shadow_lies_away_from_the_sun_and_softens_with_distance() {
        let toward = Vec3::new(-1.0, -1.0, 0.0).normalize();
        let map = map(&pole(Vec3::new(0.0, 1.0, 4.0), 1.8), toward);
        let at = |x: f32, z: f32, softness| map.hidden([x, 1.0, 4.0 + z], softness);
        assert!(at(0.6, 0.0, 0.02) > 0.95 && at(1.5, 0.0, 0.02) > 0.95);
        assert!(at(-0.6, 0.0, 0.02) < 0.01 && at(2.4, 0.0, 0.02) < 0.01 && at(1.0, 0.4, 0.02) < 0.01);
        // The half-shadow of a soft sun is wider far from the foot.
        let edge = |x: f32| at(x, 0.16, 0.3);
        assert!(edge(1.6) > edge(0.3) + 0.03, "{} {}", edge(1.6), edge(0.3));
        // It doesn't shade itself on its sunny side, but on the other.
        assert!(map.hidden([-0.1, 0.3, 4.0], 0.02) < 0.05);
        assert!(map.hidden([0.15, 0.3, 4.0], 0.02) > 0.8);
    }

    #[test]
    fn the_ground_darkens_where_the_shadow_falls_and_nowhere_else() {
        let toward = Vec3::new(-0.8, -1.0, -0.1).normalize();
        let g = pole(Vec3::new(0.0, 1.0, 4.0), 1.6);
        let (sun, sky) = (map(&g, toward), map(&g, Vec3::NEG_Y));
        let camera = smplx::Camera { focal_px: [160.0; 2], principal_px: [100.0, 60.0], size_px: [200, 150] };
        let ground = Ground { normal: crate::UP, height: -1.0 };
        let light = SceneLight {
            ambient: crate::Harmonics::constant([0.4, 0.45, 0.55]),
            sun: Some(Sun { toward: toward.to_array(), color: [1.5, 1.4, 1.2], softness: 0.03 }),
        };
        let grey = RgbImage::from_pixel(200, 150, image::Rgb([160; 3]));
        let mut plate = grey.clone();
        let view = View { camera: &camera, ground: &ground };
        cast(&mut plate, &view, &light, [Some(&sun), Some(&sky)], None, &CastOptions::default()).unwrap();
        let at = |x: f32| {
            let p = camera.project([x, 1.0, 4.05]).unwrap();
            plate.get_pixel(p[0] as u32, p[1] as u32).0
        };
        assert!(at(0.8)[0] < 110 && at(0.8)[2] > at(0.8)[0], "{:?}", at(0.8));
        assert_eq!(at(-0.8), [160; 3]);
        assert!(at(0.0)[0] < at(0.8)[0]);
        assert!(plate.rows().take(59).flatten().all(|p| p.0 == [160; 3]), "above the horizon");
        let none = CastOptions { strength: 0.0, contact: 0.5 };
        let mut same = grey.clone();
        cast(&mut same, &view, &light, [Some(&sun), None], None, &none).unwrap();
        assert_eq!(same, grey);
        let nowhere = image::GrayImage::new(200, 150);
        let mut same = grey.clone();
        cast(&mut same, &view, &light, [Some(&sun), None], Some(&nowhere), &CastOptions::default()).unwrap();
        assert_eq!(same, grey);
        let wrong = CastOptions { strength: f32::NAN, contact: 0.5 };
        assert!(cast(&mut same, &view, &light, [None, None], None, &wrong).is_err());
    }

    #[test]
    fn nobody_casts_nothing() {
        let mut renderer = Renderer::new(RendererChoice::Cpu).unwrap();
        let none = ShadowMap::render(&mut renderer, &Gaussians::default(), crate::UP, &mut Frame::new());
        assert!(none.unwrap().is_none());
    }
}
