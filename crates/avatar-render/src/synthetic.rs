//! Made-up scenes for examples, tests and benches: a body-like figure of capsules, as Gaussians and as a mesh.
//!
//! Positions are in metres with OpenCV axes (y down); the figure stands upright, 1.7 m tall, its centre at the given
//! distance in front of a camera at the origin.

use crate::{Camera, Colors, Gaussians, Result};

/// A limb: two ends, radii at the ends, colour.
struct Capsule {
    ends: [[f32; 3]; 2],
    radii: [f32; 2],
    color: [f32; 3],
}

const SKIN: [f32; 3] = [0.82, 0.62, 0.51];
const SHIRT: [f32; 3] = [0.20, 0.38, 0.62];
const TROUSERS: [f32; 3] = [0.22, 0.21, 0.25];
const SHOES: [f32; 3] = [0.75, 0.74, 0.70];

const FIGURE: [Capsule; 14] = [
    capsule([0.0, -0.78, 0.0], [0.0, -0.66, 0.0], [0.10, 0.085], SKIN),
    capsule([0.0, -0.60, 0.0], [0.0, -0.50, 0.0], [0.06, 0.08], SKIN),
    capsule([0.0, -0.42, 0.0], [0.0, -0.10, 0.0], [0.17, 0.15], SHIRT),
    capsule([0.0, -0.06, 0.0], [0.0, 0.06, 0.0], [0.15, 0.15], TROUSERS),
    capsule([0.20, -0.44, 0.0], [0.30, -0.18, 0.0], [0.06, 0.05], SHIRT),
    capsule([-0.20, -0.44, 0.0], [-0.30, -0.18, 0.0], [0.06, 0.05], SHIRT),
    capsule([0.30, -0.18, 0.0], [0.34, 0.06, -0.08], [0.042, 0.03], SKIN),
    capsule([-0.30, -0.18, 0.0], [-0.34, 0.06, -0.08], [0.042, 0.03], SKIN),
    capsule([0.10, 0.08, 0.0], [0.13, 0.46, -0.02], [0.09, 0.06], TROUSERS),
    capsule([-0.10, 0.08, 0.0], [-0.13, 0.46, -0.02], [0.09, 0.06], TROUSERS),
    capsule([0.13, 0.46, -0.02], [0.14, 0.82, 0.03], [0.06, 0.04], TROUSERS),
    capsule([-0.13, 0.46, -0.02], [-0.14, 0.82, 0.03], [0.06, 0.04], TROUSERS),
    capsule([0.14, 0.86, 0.03], [0.15, 0.87, -0.12], [0.045, 0.04], SHOES),
    capsule([-0.14, 0.86, 0.03], [-0.15, 0.87, -0.12], [0.045, 0.04], SHOES),
];

const fn capsule(a: [f32; 3], b: [f32; 3], radii: [f32; 2], color: [f32; 3]) -> Capsule {
    Capsule { ends: [a, b], radii, color }
}

/// Pseudo-random numbers (xorshift64*), the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number in `low..high`.
    pub fn within(&mut self, low: f32, high: f32) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        low + (high - low) * (bits as f32 / (1_u32 << 24) as f32)
    }
}

/// A figure of `count` Gaussians on the surface, with sizes and opacities like those of avatars made from pictures.
#[must_use]
pub fn avatar(count: usize, distance_m: f32, seed: u64) -> Gaussians {
    let mut random = Random::new(seed);
    let area = |c: &Capsule| {
        let length = (0..3).map(|k| (c.ends[1][k] - c.ends[0][k]).powi(2)).sum::<f32>().sqrt();
        (c.radii[0] + c.radii[1]) * (length + c.radii[0] + c.radii[1])
    };
    let total: f32 = FIGURE.iter().map(area).sum();
    let mut g = Gaussians::default();
    let mut rgb = Vec::with_capacity(count);
    for _ in 0..count {
        let mut pick = random.within(0.0, total);
        let limb = FIGURE.iter().find(|c| {
            pick -= area(c);
            pick < 0.0
        });
        let limb = limb.unwrap_or(&FIGURE[2]);
        let direction = loop {
            let v = [0, 1, 2].map(|_| random.within(-1.0, 1.0));
            let norm = v.iter().map(|x| x * x).sum::<f32>();
            if (0.01..1.0).contains(&norm) {
                break v.map(|x| x / norm.sqrt());
            }
        };
        let t = random.within(0.0, 1.0);
        let radius = limb.radii[0] + t * (limb.radii[1] - limb.radii[0]);
        let mut mean: [f32; 3] = std::array::from_fn(|k| {
            limb.ends[0][k] + t * (limb.ends[1][k] - limb.ends[0][k]) + radius * direction[k]
        });
        mean[2] += distance_m;
        g.means.push(mean);
        // Log-uniform sizes; most Gaussians are a few millimetres, some a centimetre and more.
        let size = (random.within(SIZE[0].ln(), SIZE[1].ln())).exp();
        g.scales.push([0, 1, 2].map(|_| size * random.within(0.6, 1.4)));
        let q = [0, 1, 2, 3].map(|_| random.within(-1.0, 1.0));
        let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-3);
        g.rotations.push(q.map(|x| x / norm));
        g.opacities.push(random.within(0.3, 1.0));
        let shade = 0.8 + 0.2 * random.within(0.0, 1.0) - 0.15 * direction[2];
        rgb.push(limb.color.map(|c| (c * shade).clamp(0.0, 1.0)));
    }
    g.colors = Colors::Rgb(rgb);
    g
}

/// Smallest and largest size of the Gaussians of [`avatar`], in metres.
const SIZE: [f32; 2] = [0.003, 0.02];

/// The same figure as triangles: vertices and faces, about 500 a limb.
#[must_use]
pub fn body(distance_m: f32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
    const AROUND: u32 = 16;
    const ALONG: u32 = 16;
    let (mut vertices, mut faces) = (Vec::new(), Vec::new());
    for limb in &FIGURE {
        let first = vertices.len() as u32;
        let [a, b] = limb.ends;
        for i in 0..=ALONG {
            // From one pole over the two half spheres to the other.
            let angle = std::f32::consts::PI * i as f32 / ALONG as f32;
            let t = if 2 * i <= ALONG { 0.0 } else { 1.0 };
            let radius = limb.radii[usize::from(t > 0.5)];
            for j in 0..AROUND {
                let turn = std::f32::consts::TAU * j as f32 / AROUND as f32;
                let d = [angle.sin() * turn.cos(), -angle.cos(), angle.sin() * turn.sin()];
                let mut v: [f32; 3] = std::array::from_fn(|k| a[k] + t * (b[k] - a[k]) + radius * d[k]);
                v[2] += distance_m;
                vertices.push(v);
            }
        }
        for i in 0..ALONG {
            for j in 0..AROUND {
                let at = |i: u32, j: u32| first + i * AROUND + j % AROUND;
                faces.push([at(i, j), at(i, j + 1), at(i + 1, j)]);
                faces.push([at(i + 1, j), at(i, j + 1), at(i + 1, j + 1)]);
            }
        }
    }
    (vertices, faces)
}

/// A camera at the origin that looks along z, with square pixels and the principal point in the middle.
///
/// # Errors
/// When a size is zero.
pub fn camera(width: usize, height: usize, focal_px: f32) -> Result<Camera> {
    let middle = [width as f32 / 2.0, height as f32 / 2.0];
    Camera::pinhole([width, height], [focal_px; 2], middle, &smplx::AFFINE_IDENTITY)
}
