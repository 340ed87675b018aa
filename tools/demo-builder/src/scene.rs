//! The street and its rendering: one ray for each quarter pixel, sun with shadows, sky light with occlusion.

use crate::noise::{fractal, smoothstep};
use crate::shapes::{Form, Solid};
use crate::stage::{FOCAL, SIZE, View, sun};
use crate::surfaces::{Look, Surface, linear, window_middle};
use glam::{Vec2, Vec3};
use image::RgbImage;
use rayon::prelude::*;

/// The solids of the street.
#[derive(Debug)]
pub struct Street {
    solids: Vec<(Solid, Vec3, f32)>,
    /// Directions to the sun for the four rays of a pixel: together they soften its shadows.
    suns: [Vec3; 4],
}

/// Where the brick house's facade is.
const FACADE: f32 = -5.2;
/// Where it ends at the lane.
const HOUSE_END: f32 = 1.35;
/// Middle of its shop door.
const DOOR: f32 = -2.8;

impl Default for Street {
    fn default() -> Self {
        Self::new()
    }
}

impl Street {
    /// Builds the street.
    #[must_use]
    pub fn new() -> Self {
        let mut solids = Vec::new();
        let mut add = |surface, form: Form| solids.push(Solid { form, surface });
        let paint = |r, g, b| Surface::Paint(linear(r, g, b));
        // The brick house, its plinth and cornice, and a sill under each window.
        add(Surface::Brick { windows: true }, Form::block([-16.0, 0.0, -11.0], [HOUSE_END, 4.0, FACADE]));
        add(Surface::Concrete, Form::block([-16.0, 0.0, -11.0], [HOUSE_END + 0.04, 0.42, FACADE + 0.05]));
        add(Surface::Concrete, Form::block([-16.2, 4.0, -11.2], [HOUSE_END + 0.22, 4.24, FACADE + 0.24]));
        for column in -7..3 {
            let m = window_middle(Vec2::new(column as f32 * 2.1, 2.0));
            if m.x + 0.6 > HOUSE_END || (m.x - DOOR).abs() < 1.6 {
                continue;
            }
            let y = m.y - 0.80;
            let (low, high) = ([m.x - 0.68, y - 0.10, FACADE], [m.x + 0.68, y, FACADE + 0.13]);
            add(Surface::Concrete, Form::block(low, high));
        }
        // A shop door with steps and an awning.
        add(Surface::Wood, Form::block([DOOR - 1.25, 0.0, FACADE], [DOOR + 1.25, 2.62, FACADE + 0.08]));
        add(Surface::Glass, Form::block([DOOR - 1.1, 0.35, FACADE], [DOOR + 1.1, 2.45, FACADE + 0.10]));
        add(Surface::Concrete, Form::block([DOOR - 1.3, 0.0, FACADE], [DOOR + 1.3, 0.14, FACADE + 0.45]));
        for i in 0..6 {
            let (y, z) = (2.92 - 0.07 * i as f32, FACADE + 0.18 * i as f32);
            add(Surface::Awning, Form::block([DOOR - 1.45, y - 0.07, z], [DOOR + 1.45, y, z + 0.2]));
        }
        // The plaster house across the lane, and more houses far behind.
        add(Surface::Plaster(linear(0.86, 0.75, 0.56)), Form::block([4.3, 0.0, -20.0], [17.0, 4.6, -8.2]));
        add(Surface::Concrete, Form::block([4.2, 4.6, -20.0], [17.2, 4.85, -8.0]));
        add(Surface::Plaster(linear(0.62, 0.68, 0.70)), Form::block([-6.0, 0.0, -46.0], [3.6, 7.2, -32.0]));
        add(Surface::Plaster(linear(0.74, 0.55, 0.46)), Form::block([3.6, 0.0, -50.0], [14.0, 5.6, -36.0]));
        add(Surface::Brick { windows: true }, Form::block([17.6, 0.0, -16.0], [30.0, 8.5, -6.5]));
        // Planters with hedges along the facade.
        for (x, color) in [(-5.9, (0.30, 0.45, 0.17)), (-0.55, (0.36, 0.50, 0.20))] {
            let z = FACADE + 0.62;
            add(Surface::Concrete, Form::block([x - 0.62, 0.0, z - 0.24], [x + 0.62, 0.46, z + 0.24]));
            let leaves = Surface::Leaves(linear(color.0, color.1, color.2));
            for i in 0..4 {
                let at = x - 0.45 + 0.3 * i as f32;
                let size = 0.24 + 0.05 * ((i * 7 + 3) % 4) as f32 / 3.0;
                let center = Vec3::new(at, 0.52 + 0.5 * size, z + 0.03 * (i % 2) as f32);
                add(leaves, Form::Egg { center, half: Vec3::new(size, size * 1.05, size * 0.95) });
            }
        }
        // A bench.
        let (x, z) = (2.75, -5.0);
        add(Surface::Wood, Form::block([x - 0.8, 0.42, z - 0.22], [x + 0.8, 0.47, z + 0.22]));
        add(Surface::Wood, Form::block([x - 0.8, 0.58, z - 0.26], [x + 0.8, 0.84, z - 0.22]));
        for side in [-0.62, 0.62] {
            let iron = paint(0.17, 0.18, 0.19);
            add(iron, Form::block([x + side - 0.03, 0.0, z - 0.2], [x + side + 0.03, 0.42, z + 0.2]));
            add(iron, Form::block([x + side - 0.03, 0.42, z - 0.25], [x + side + 0.03, 0.84, z - 0.22]));
        }
        // Lamps and bollards.
        for x in [-4.55, 1.3] {
            let foot = Vec3::new(x, 0.0, -3.9);
            let iron = paint(0.13, 0.20, 0.19);
            add(iron, Form::Pole { foot, radius: 0.11, height: 0.34 });
            add(iron, Form::Pole { foot, radius: 0.048, height: 3.1 });
            let center = foot + Vec3::Y * 3.25;
            add(paint(0.95, 0.93, 0.84), Form::Egg { center, half: Vec3::splat(0.19) });
        }
        for i in 0..5 {
            let foot = Vec3::new(-6.5 + 2.6 * i as f32, 0.0, -3.1);
            add(paint(0.15, 0.17, 0.18), Form::Pole { foot, radius: 0.075, height: 0.72 });
            add(
                paint(0.88, 0.86, 0.80),
                Form::Pole { foot: foot + Vec3::Y * 0.56, radius: 0.078, height: 0.07 },
            );
            let center = foot + Vec3::Y * 0.72;
            add(paint(0.15, 0.17, 0.18), Form::Egg { center, half: Vec3::new(0.085, 0.06, 0.085) });
        }
        // A tree in the lane and one far away.
        for (at, size, green) in
            [((4.0, -6.6), 1.0, (0.34, 0.50, 0.18)), ((2.3, -21.0), 1.4, (0.30, 0.44, 0.20))]
        {
            let foot = Vec3::new(at.0, 0.0, at.1);
            add(Surface::Bark, Form::Pole { foot, radius: 0.12 * size, height: 2.3 * size });
            for (x, y, z, r) in [
                (0.0, 2.9, 0.0, 0.85),
                (-0.62, 2.5, 0.2, 0.60),
                (0.6, 2.55, 0.1, 0.62),
                (0.1, 2.4, 0.55, 0.55),
                (-0.25, 3.35, 0.15, 0.6),
                (0.4, 3.2, -0.3, 0.58),
            ] {
                let leaves = Surface::Leaves(linear(green.0, green.1, green.2));
                let center = foot + Vec3::new(x, y, z) * size;
                add(leaves, Form::Egg { center, half: Vec3::new(r, r * 0.88, r) * size });
            }
        }
        let bounded = |s: Solid| {
            let (middle, radius) = s.form.bounds();
            (s, middle, radius * radius)
        };
        let sun = sun();
        let (u, v) = sun.any_orthonormal_pair();
        let suns = [(-1.0, -0.4), (0.4, -1.0), (1.0, 0.4), (-0.4, 1.0)]
            .map(|(a, b)| (sun + 0.011 * (a * u + b * v)).normalize());
        Self { solids: solids.into_iter().map(bounded).collect(), suns }
    }

    /// The street as a camera sees it.
    #[must_use]
    pub fn render(&self, view: &View) -> RgbImage {
        let [w, h] = SIZE;
        let mut bytes = vec![0_u8; (w * h * 3) as usize];
        bytes.par_chunks_exact_mut(w as usize * 3).enumerate().for_each(|(y, row)| {
            let (pixels, _) = row.as_chunks_mut::<3>();
            for (x, pixel) in pixels.iter_mut().enumerate() {
                let parts = (0..4).map(|i| {
                    let offset = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)][i];
                    let ray = view.ray(x as f32 + offset.0, y as f32 + offset.1);
                    display(self.light(view.eye, ray, self.suns[i]))
                });
                let mean = parts.sum::<Vec3>() / 4.0;
                *pixel = mean.to_array().map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        });
        RgbImage::from_raw(w, h, bytes).unwrap_or_default()
    }

    /// The first thing that a ray meets: multiple of the ray, normal, surface.
    fn first(&self, from: Vec3, ray: Vec3) -> Option<(f32, Vec3, Surface)> {
        let ground = -from.y / ray.y;
        let mut best = (ray.y < 0.0).then_some((ground, Vec3::Y, Surface::Paving));
        let length2 = ray.length_squared();
        for (solid, middle, radius2) in &self.solids {
            let to = middle - from;
            let along = to.dot(ray) / length2;
            if (to - ray * along).length_squared() > *radius2 {
                continue;
            }
            let limit = best.map_or(f32::INFINITY, |b| b.0);
            if let Some(hit) = solid.form.enter(from, ray, limit) {
                best = Some((hit.t, hit.normal, solid.surface));
            }
        }
        best
    }

    fn in_shadow(&self, from: Vec3, sun: Vec3) -> bool {
        self.solids.iter().any(|(solid, middle, radius2)| {
            let to = middle - from;
            let along = to.dot(sun);
            let aside2 = to.length_squared() - along * along;
            aside2 <= *radius2 && solid.form.enter(from, sun, f32::INFINITY).is_some()
        })
    }

    /// Share of the sky that a place sees: solids near along the normal take from it.
    fn open(&self, p: Vec3, normal: Vec3) -> f32 {
        let mut taken = 0.0;
        for (step, weight) in [(0.08, 0.9), (0.25, 0.65), (0.7, 0.5)] {
            let q = p + normal * step;
            let near = self.solids.iter().fold(q.y.max(0.0), |near, (solid, middle, radius2)| {
                let reach = near + radius2.sqrt();
                if (q - middle).length_squared() > reach * reach {
                    near
                } else {
                    near.min(solid.form.distance(q))
                }
            });
            taken += weight * (1.0 - near / step).max(0.0);
        }
        1.0 / (1.0 + taken)
    }

    /// Light along a ray, linear.
    fn light(&self, eye: Vec3, ray: Vec3, sun: Vec3) -> Vec3 {
        let unit = ray.normalize();
        let Some((t, normal, surface)) = self.first(eye, ray) else { return sky(unit) };
        let p = eye + ray * t;
        let far = t * ray.length();
        // A pixel's size, longer where the surface is seen at an angle.
        let footprint = 0.5 * far / FOCAL / normal.dot(unit).abs().max(0.12);
        let Look { albedo, mirror, bump } = surface.look(p, normal, footprint);
        let bumped = (normal + bump).normalize();
        let lit = bumped.dot(sun).max(0.0);
        let lifted = p + normal * 2e-3;
        let direct =
            if lit > 0.0 && normal.dot(sun) > 0.0 && !self.in_shadow(lifted, sun) { lit } else { 0.0 };
        let open = self.open(p, normal);
        let from_sky = Vec3::new(0.40, 0.50, 0.66) * (0.62 + 0.38 * bumped.y);
        let from_ground = Vec3::new(0.30, 0.26, 0.21) * (0.5 - 0.5 * bumped.y);
        let mut color = albedo * (Vec3::new(2.25, 2.02, 1.68) * direct + (from_sky + from_ground) * open);
        if mirror > 0.0 {
            let up = unit - 2.0 * unit.dot(normal) * normal;
            let facing = 1.0 - unit.dot(normal).abs();
            color += sky(up.normalize()) * mirror * (0.35 + 0.65 * facing.powi(3)) * open;
        }
        // Air between.
        let air = 1.0 - (-far * 0.007).exp();
        color.lerp(Vec3::new(0.62, 0.72, 0.86), air)
    }
}

/// The sky in a direction, linear: a gradient with soft clouds and a glow around the sun.
#[must_use]
pub fn sky(unit: Vec3) -> Vec3 {
    let up = unit.y.max(0.0);
    let blue =
        Vec3::new(0.66, 0.79, 0.93).lerp(Vec3::new(0.16, 0.34, 0.70), smoothstep(0.0, 0.75, up.powf(0.7)));
    let at = unit / (up + 0.16);
    let shape = fractal(Vec3::new(at.x * 1.1 + 3.0, 0.0, at.z * 1.6), 5, 0.0);
    let cloud = smoothstep(-0.02, 0.42, shape) * smoothstep(0.0, 0.12, up);
    let thick = smoothstep(0.1, 0.6, shape);
    let white = Vec3::new(0.98, 0.97, 0.96).lerp(Vec3::new(0.78, 0.81, 0.86), thick);
    let glow = unit.dot(sun()).max(0.0).powi(24) * 0.5;
    blue.lerp(white, 0.88 * cloud) + Vec3::new(1.0, 0.9, 0.7) * glow
}

/// Linear light to a picture's values: a soft shoulder for what is bright, then the display's curve.
#[must_use]
pub fn display(light: Vec3) -> Vec3 {
    let x = light * 0.92;
    let rolled = x * (1.0 + x / 5.0) / (1.0 + 0.42 * x);
    rolled.min(Vec3::ONE).max(Vec3::ZERO).powf(1.0 / 2.2)
}
