//! Points on a body that has none of its own: as many on the head as LHM's have, evenly over the surface.

use crate::{Error, Result};
use smplx::{BodyModel, skeleton};

/// Joints whose vertices are the head.
const HEAD: [usize; 4] = [15, skeleton::JAW, skeleton::LEFT_EYE, skeleton::RIGHT_EYE];

/// Most points: a hundred times the published models', whose attention would take years.
const MAX_POINTS: usize = 1 << 22;

/// Spreads `count` points over a body's template: the first three quarters over what isn't head, the last quarter over the head,
/// which is the order that the transformer counts on. They stand in for `dense_sample_points/1_<count>.ply`, which belongs to
/// SMPL-X's template; the same points each time.
///
/// # Errors
/// When fewer than four are wanted, or the body has no head or nothing else.
pub fn scatter(body: &BodyModel, count: usize) -> Result<Vec<[f32; 3]>> {
    if count > MAX_POINTS {
        return Err(Error::Config(format!("{count} points, more than {MAX_POINTS}")));
    }
    let head = count / 4;
    let weights = body.weights();
    let of_head = |face: &[u32; 3]| {
        face.iter().filter(|v| HEAD.contains(&weights.dominant_joint(**v as usize))).count() >= 2
    };
    let (on_head, elsewhere): (Vec<[u32; 3]>, Vec<[u32; 3]>) =
        body.faces().iter().partition(|face| of_head(face));
    if head == 0 || on_head.is_empty() || elsewhere.is_empty() {
        let why = format!(
            "{count} points on a body of {} triangles, {} of them on its head",
            body.faces().len(),
            on_head.len()
        );
        return Err(Error::Config(why));
    }
    let mut points = over(body.v_template(), &elsewhere, count - head);
    points.extend(over(body.v_template(), &on_head, head));
    Ok(points)
}

/// `count` points over triangles, each triangle's share by its area.
fn over(vertices: &[[f32; 3]], faces: &[[u32; 3]], count: usize) -> Vec<[f32; 3]> {
    let corner = |face: &[u32; 3]| face.map(|v| vertices[v as usize]);
    let area = |face: &[u32; 3]| {
        let [a, b, c] = corner(face);
        let [u, v]: [[f32; 3]; 2] = [b, c].map(|p| std::array::from_fn(|k| p[k] - a[k]));
        let cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        f64::from(cross.iter().map(|x| x * x).sum::<f32>().sqrt()) / 2.0
    };
    let areas: Vec<f64> = faces.iter().map(area).collect();
    let step = areas.iter().sum::<f64>() / count as f64;
    let mut points = Vec::with_capacity(count);
    let (mut sum, mut next) = (0.0, step / 2.0);
    for (face, area) in faces.iter().zip(&areas) {
        sum += area;
        while next < sum && points.len() < count {
            next += step;
            points.push(inside(corner(face), points.len()));
        }
    }
    // The last sum may fall short by rounding.
    while points.len() < count {
        points.push(inside(corner(&faces[faces.len() - 1]), points.len()));
    }
    points
}

/// The `index`-th point of a sequence that fills a triangle evenly (the two-dimensional golden ratio's).
fn inside([a, b, c]: [[f32; 3]; 3], index: usize) -> [f32; 3] {
    let turn = |by: f64| (index as f64 * by).fract() as f32;
    let (mut u, mut v) = (turn(0.754_877_666_246_692_7), turn(0.569_840_290_998_053_3));
    if u + v > 1.0 {
        (u, v) = (1.0 - u, 1.0 - v);
    }
    std::array::from_fn(|k| a[k] + u * (b[k] - a[k]) + v * (c[k] - a[k]))
}
