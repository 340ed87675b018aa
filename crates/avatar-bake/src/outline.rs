//! Clothes and hair: how far the surface stands off the body so that its outline meets the mask's.
//!
//! Only the rim of the posed body, as the picture sees it, says something about thickness. At each vertex of the rim the
//! distance along the normal from the body's outline to the mask's is measured on the picture; these distances spread
//! smoothly over the surface and fade where nothing is known. Three rounds of it, since a moved rim has new vertices.

use crate::field::{Wish, spread};
use crate::pixels::Mask;
use crate::posed::{Body, DepthMap, View};
use crate::surface::{Part, normals};
use crate::{Options, Result};
use glam::Vec3;

const ROUNDS: usize = 3;
const SWEEPS: usize = 24;
/// A vertex belongs to the rim when its normal is this near to a right angle with the line of sight (cosine).
const RIM: f32 = 0.35;
/// Distance over which a measured thickness fades where nothing else is known, in metres.
const REACH_M: f32 = 0.30;
/// Strength of a measurement, against one edge.
const MEASURED: f32 = 3.0;
/// Strength with which the face and the eyes stay as they are.
const HELD: f32 = 20.0;
/// How far the surface may sink below the body's, in metres.
const INWARDS_M: f32 = 0.03;
/// Steps along a line on the picture, in pixels.
const STEP: f32 = 0.5;

/// The offsets along the normals, `[V]`, in metres.
pub(crate) fn fit(
    body: &Body<'_>,
    view: &View,
    mask: &Mask,
    depth: &mut DepthMap,
    options: &Options,
) -> Result<Vec<f32>> {
    let surface = body.surface;
    let mut field = vec![[0.0_f32; 1]; body.neutral.len()];
    let fades = fading(body);
    for _ in 0..ROUNDS {
        let offsets = field.as_flattened();
        let vertices = body.in_view(offsets);
        let normals = normals(&vertices, &surface.faces);
        let drawn = depth.draw(&vertices, &surface.faces, view)?;
        let rim = Rim { view, mask, drawn, max_out: options.max_offset_m };
        let wish = |(v, part): (usize, &Part)| {
            let mut wish = Wish { weight: fades[v], value: [0.0] };
            wish.add(HELD * (part.face + part.eye), [0.0]);
            if let Some((by, weight)) = rim.measure(vertices[v], normals[v]) {
                let [low, high] = limits(part, options.max_offset_m);
                wish.add(MEASURED * weight, [(offsets[v] + by).clamp(low, high)]);
            }
            wish
        };
        let wishes: Vec<Wish<1>> = surface.parts.iter().enumerate().map(wish).collect();
        spread(&surface.graph, &wishes, &mut field, SWEEPS);
    }
    Ok(field.into_iter().flatten().collect())
}

/// For each vertex how strongly its offset returns to nothing: the area that it stands for over the reach squared, in
/// units of an edge of an even mesh.
fn fading(body: &Body<'_>) -> Vec<f32> {
    let mut areas = vec![0.0; body.neutral.len()];
    for face in &body.surface.faces {
        let [a, b, c] = face.map(|v| body.neutral[v as usize]);
        let third = (b - a).cross(c - a).length() / 6.0;
        face.iter().for_each(|v| areas[*v as usize] += third);
    }
    areas.into_iter().map(|a| 3.0_f32.sqrt() * a / (REACH_M * REACH_M)).collect()
}

/// Lowest and highest offset of a vertex, in metres: little on hands and feet, none on the face.
fn limits(part: &Part, max_out: f32) -> [f32; 2] {
    let mut limits = [-INWARDS_M, max_out];
    let mut hold = |share: f32, low: f32, high: f32| {
        limits = [limits[0] + share * (low - limits[0]), limits[1] + share * (high.min(max_out) - limits[1])];
    };
    hold(part.hand.clamp(0.0, 1.0), -0.006, 0.008);
    hold(part.foot.clamp(0.0, 1.0), -0.01, 0.03);
    hold((part.face + part.eye).clamp(0.0, 1.0), 0.0, 0.0);
    limits
}

/// Measures the rim of the body against the mask.
struct Rim<'a> {
    view: &'a View,
    mask: &'a Mask,
    /// Depth of the body.
    drawn: &'a [f32],
    max_out: f32,
}

impl Rim<'_> {
    /// How far a vertex of the outer rim would have to move along its normal, in metres, and how sure that is; `None` for
    /// vertices that aren't on it or whose distance can't be seen.
    fn measure(&self, p: Vec3, normal: Vec3) -> Option<(f32, f32)> {
        let slant = normal.dot(p.normalize_or(Vec3::Z)).abs();
        if slant > RIM {
            return None;
        }
        let at = self.view.project(p)?;
        let along = self.view.moved(p, normal);
        let scale = along[0].hypot(along[1]);
        let place = |t: f32| [at[0] + t * along[0] / scale, at[1] + t * along[1] / scale];
        // Something else in front of this vertex has another outline.
        let depth = self.depth(place(-1.5)).or_else(|| self.depth(at))?;
        if !(scale > 1.0) || (depth - p.z).abs() > 0.06 {
            return None;
        }
        // The body's own outline is a little further out than this vertex, or nowhere: there the body goes on.
        let outline = (-2..12).map(|i| i as f32 * STEP).find(|t| self.depth(place(*t)).is_none())?;
        let by = if self.mask.at(place(outline))? >= 0.5 {
            self.outwards(&place, outline, scale)?
        } else {
            self.inwards(&place, outline, scale)?
        };
        Some((by / scale, 1.0 - slant / RIM))
    }

    /// Pixels from the body's outline out to the mask's; half way where the body begins again first.
    fn outwards(&self, place: &impl Fn(f32) -> [f32; 2], from: f32, scale: f32) -> Option<f32> {
        let mut before = self.mask.at(place(from))?;
        let mut t = from + STEP;
        while t - from <= 2.0 * self.max_out * scale {
            let now = self.mask.at(place(t))?;
            if now < 0.5 {
                let edge = t - STEP * (0.5 - now) / (before - now);
                return (edge - from <= self.max_out * scale).then_some(edge - from);
            }
            if t > from + 2.0 && self.depth(place(t)).is_some() {
                return Some((t - from) / 2.0);
            }
            (before, t) = (now, t + STEP);
        }
        None
    }

    /// Pixels, negative, from the body's outline in to the mask's.
    fn inwards(&self, place: &impl Fn(f32) -> [f32; 2], from: f32, scale: f32) -> Option<f32> {
        let mut before = self.mask.at(place(from))?;
        let mut t = from - STEP;
        while from - t <= 2.0 * INWARDS_M * scale + 2.0 {
            let now = self.mask.at(place(t))?;
            if now >= 0.5 {
                return Some(t + STEP * (now - 0.5) / (now - before) - from);
            }
            (before, t) = (now, t - STEP);
        }
        None
    }

    /// Depth of the body at the nearest pixel; `None` beside it and beside the picture.
    fn depth(&self, [x, y]: [f32; 2]) -> Option<f32> {
        let [w, h] = self.view.size();
        let (x, y) = (x.round(), y.round());
        if x < 0.0 || y < 0.0 || x >= w as f32 || y >= h as f32 {
            return None;
        }
        let depth = self.drawn[y as usize * w + x as usize];
        (depth > 0.0).then_some(depth)
    }
}
