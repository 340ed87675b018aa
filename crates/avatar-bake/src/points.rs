//! Points spread evenly over the surface: denser on the face, the hands, and where the picture shows the body.

use crate::surface::{Place, Surface, normals};
use glam::{Mat3, Quat, Vec3};

/// Points on a surface and their own shapes.
#[derive(Debug, Default)]
pub(crate) struct Points {
    pub(crate) places: Vec<Place>,
    /// Standard deviations along the own axes, in metres.
    pub(crate) scales: Vec<[f32; 3]>,
    /// Orientations (w, x, y, z): the third axis is the normal.
    pub(crate) rotations: Vec<[f32; 4]>,
}

/// Spread of a point over the distance to its neighbours.
const SPREAD: f32 = 0.76;
/// Smallest and largest spread, in metres.
const SPREAD_M: [f32; 2] = [0.0006, 0.02];

/// Spreads `count` points over the dressed surface in the neutral pose. `seen` says for each vertex how well the picture
/// shows it, 0 to 1.
pub(crate) fn scatter(surface: &Surface, dressed: &[Vec3], seen: &[f32], count: usize) -> Points {
    let normals = normals(dressed, &surface.faces);
    let density: Vec<f32> = surface
        .parts
        .iter()
        .zip(seen)
        .map(|(p, seen)| {
            let part = 1.0 + 2.0 * p.head + 5.0 * p.face + 12.0 * p.eye + 1.2 * p.hand + 0.6 * p.foot;
            part * (0.6 + 0.9 * seen)
        })
        .collect();
    let third = 1.0 / 3.0;
    let wanted: Vec<[f32; 2]> = surface
        .faces
        .iter()
        .map(|f| {
            let [a, b, c] = f.map(|v| dressed[v as usize]);
            let density: f32 = f.iter().map(|v| density[*v as usize] * third).sum();
            [density * (b - a).cross(c - a).length() / 2.0, density]
        })
        .collect();
    let total: f64 = wanted.iter().map(|w| f64::from(w[0])).sum();
    let step = total / count as f64;
    let mut points = Points::default();
    let (mut sum, mut next) = (0.0, 0.5 * step);
    for (face, [share, density]) in surface.faces.iter().zip(wanted) {
        sum += f64::from(share);
        while next < sum && points.places.len() < count {
            next += step;
            let place = Place { vertices: *face, shares: barycentric(points.places.len()) };
            let spread = SPREAD * (step as f32 / density).sqrt();
            let spread = spread.clamp(SPREAD_M[0], SPREAD_M[1]);
            points.scales.push([spread * 1.12, spread * 0.92, spread * 0.28]);
            points.rotations.push(along_surface(place.of(&normals).normalize_or(Vec3::Z)));
            points.places.push(place);
        }
    }
    points
}

/// The `index`-th place in a triangle of a sequence that fills it evenly (the two-dimensional golden ratio's).
fn barycentric(index: usize) -> [f32; 3] {
    let turn = |by: f64| (index as f64 * by).fract() as f32;
    let (mut u, mut v) = (turn(0.754_877_666_246_692_7), turn(0.569_840_290_998_053_3));
    if u + v > 1.0 {
        (u, v) = (1.0 - u, 1.0 - v);
    }
    [1.0 - u - v, u, v]
}

/// The orientation (w, x, y, z) whose third axis is the normal and whose first lies as level as it can.
fn along_surface(normal: Vec3) -> [f32; 4] {
    let level = Vec3::Y.cross(normal);
    let first = if level.length_squared() > 1e-4 { level } else { Vec3::X.reject_from(normal) }.normalize();
    let q = Quat::from_mat3(&Mat3::from_cols(first, normal.cross(first), normal)).normalize();
    [q.w, q.x, q.y, q.z]
}
