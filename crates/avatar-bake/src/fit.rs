//! A pose from a mask alone, for pictures that come without one: a person upright, seen from the front, arms beside the
//! body or spread.
//!
//! The body is drawn as a silhouette on a small picture; place, turn, arms, legs and the first shape coefficients are
//! moved one after the other, up and down, and what makes the silhouettes overlap more is kept. What lies inside of the
//! outline (an arm before the chest, front or back) a mask can't say.

use crate::posed::{DepthMap, View};
use crate::{Error, Result};
use glam::{Quat, Vec3};
use image::GrayImage;
use smplx::{BodyModel, BodyPose, Camera, Frame, MotionFrame, N_JOINTS, Rotations};
use std::f32::consts::PI;

/// A fitted pose.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Pose, shape, place and camera for [`crate::Photo`].
    pub frame: MotionFrame,
    /// Intersection over union of the body's outline and the mask, on the small picture.
    pub iou: f32,
}

/// Longer side of the small picture.
const SIDE: u32 = 112;
/// Rounds over all parameters.
const ROUNDS: usize = 14;
/// Body height that the first guess reckons with, in metres.
const HEIGHT_M: f32 = 1.72;
/// Focal length over the longer side of the picture, where no camera is given: a telephone held upright.
const FOCAL: f32 = 1.15;

/// The focal length to reckon with for a picture of that size in pixels of which nothing else is known, in pixels.
#[must_use]
pub fn usual_focal_px([width, height]: [u32; 2]) -> f32 {
    FOCAL * width.max(height) as f32
}

/// A number that is fitted: where it starts, how far it may well be from there, and its first step.
struct Parameter {
    sigma: f32,
    step: f32,
}

/// Turn of a joint about an axis of the body (left, up, forward).
const TURNS: [(usize, Vec3, f32); 18] = [
    (0, Vec3::Y, 0.35),
    (0, Vec3::Z, 0.15),
    (0, Vec3::X, 0.15),
    (3, Vec3::Z, 0.15),
    (15, Vec3::Z, 0.2),
    (16, Vec3::Z, 0.6),
    (17, Vec3::Z, 0.6),
    (13, Vec3::Z, 0.12),
    (14, Vec3::Z, 0.12),
    (18, Vec3::Z, 0.4),
    (19, Vec3::Z, 0.4),
    (18, Vec3::Y, 0.5),
    (19, Vec3::Y, 0.5),
    (1, Vec3::Z, 0.2),
    (2, Vec3::Z, 0.2),
    (4, Vec3::Z, 0.1),
    (5, Vec3::Z, 0.1),
    (12, Vec3::X, 0.2),
];
/// Shape coefficients that are fitted.
const BETAS: usize = 4;
/// Place, then turns, then shape.
const N: usize = 3 + TURNS.len() + BETAS;

/// Finds pose, shape and place of the person that a mask shows.
///
/// `camera` is the picture's where it is known. From `start` on (a rough pose with a place), or from a guess where there
/// is none.
///
/// # Errors
/// When the mask is empty or full, the camera isn't one for the mask's shape, or the start isn't finite.
pub fn fit_pose(
    model: &BodyModel,
    mask: &GrayImage,
    camera: Option<Camera>,
    start: Option<&MotionFrame>,
) -> Result<Fitted> {
    let (w, h) = mask.dimensions();
    if mask.as_raw().iter().all(|m| *m < 128) {
        return Err(Error::EmptyMask);
    }
    if mask.as_raw().iter().all(|m| *m >= 128) {
        return Err(Error::FullMask);
    }
    let camera = camera.or(start.and_then(|s| s.camera)).unwrap_or(Camera {
        focal_px: [usual_focal_px([w, h]); 2],
        principal_px: [w as f32 / 2.0, h as f32 / 2.0],
        size_px: [w, h],
    });
    let small = Small::new(mask);
    let probe = MotionFrame { camera: Some(camera), ..MotionFrame::default() };
    View::new(&probe, [w, h])?;
    let view = View::new(&probe, small.size)?;
    let mut search = Search { model, faces: model.faces(), small, view, map: DepthMap::default() };

    let bases = match start {
        Some(frame) => vec![frame.clone()],
        None => search.guesses(&camera.resized(search.small.size)),
    };
    let mut best: Option<(f32, MotionFrame)> = None;
    for base in bases {
        let cost = search.cost(&base, &[0.0; N])?;
        if best.as_ref().is_none_or(|b| cost < b.0) {
            best = Some((cost, base));
        }
    }
    let (_, base) = best.ok_or(Error::EmptyMask)?;
    let moves = search.descend(&base)?;
    let mut frame = moved(&base, &moves);
    frame.camera = Some(camera);
    let iou = search.overlap(&frame)?[0];
    Ok(Fitted { frame, iou })
}

/// The mask on a small picture, and on one of a quarter of its size.
struct Small {
    size: [u32; 2],
    fine: Vec<f32>,
    coarse: Vec<f32>,
}

impl Small {
    fn new(mask: &GrayImage) -> Self {
        let (w, h) = mask.dimensions();
        let scale = (SIDE as f32 / w.max(h) as f32).min(1.0);
        let size = [w, h].map(|n| ((n as f32 * scale).round() as u32).max(1));
        let small = image::imageops::resize(mask, size[0], size[1], image::imageops::FilterType::Triangle);
        let fine: Vec<f32> = small.as_raw().iter().map(|m| f32::from(*m) / 255.0).collect();
        let coarse = quartered(&fine, size);
        Self { size, fine, coarse }
    }
}

/// Means over squares of four by four.
fn quartered(fine: &[f32], [w, h]: [u32; 2]) -> Vec<f32> {
    let (w, h) = (w as usize, h as usize);
    let (cw, ch) = (w.div_ceil(4), h.div_ceil(4));
    let mut coarse = vec![0.0; cw * ch];
    for (y, row) in fine.chunks_exact(w).enumerate() {
        for (x, v) in row.iter().enumerate() {
            coarse[y / 4 * cw + x / 4] += v / 16.0;
        }
    }
    coarse
}

struct Search<'a> {
    model: &'a BodyModel,
    faces: &'a [[u32; 3]],
    small: Small,
    view: View,
    map: DepthMap,
}

impl Search<'_> {
    /// Upright bodies whose heads are at the mask's top: whole ones, and ones that the picture's lower edge cuts off,
    /// with arms spread, a little off, and down.
    fn guesses(&self, camera: &Camera) -> Vec<MotionFrame> {
        let [w, h] = self.small.size.map(|n| n as usize);
        let inside = |x: usize, y: usize| self.small.fine[y * w + x] >= 0.5;
        let rows: Vec<usize> = (0..h).filter(|y| (0..w).any(|x| inside(x, *y))).collect();
        let (top, bottom) = (rows.first().copied().unwrap_or(0), rows.last().copied().unwrap_or(h - 1));
        // The middle of the upper half, where head and trunk are.
        let upper: Vec<usize> =
            (top..=(top + bottom) / 2).flat_map(|y| (0..w).filter(move |x| inside(*x, y))).collect();
        let middle = upper.iter().sum::<usize>() as f32 / upper.len().max(1) as f32;
        let parts: &[f32] = if bottom + 2 < h { &[1.0] } else { &[1.0, 0.85, 0.7, 0.55, 0.45, 0.35] };
        let [fx, fy] = camera.focal_px;
        let mut guesses = Vec::new();
        for part in parts {
            for down in [0.2_f32, 0.9, 1.25] {
                let depth = fy * HEIGHT_M * part / (bottom - top + 1) as f32;
                // The template's head ends about 0.42 m over its origin.
                let y = (top as f32 + 0.5 - camera.principal_px[1]) * depth / fy + self.head_height();
                let x = (middle + 0.5 - camera.principal_px[0]) * depth / fx;
                let mut pose = [[0.0; 3]; N_JOINTS];
                pose[0] = [PI, 0.0, 0.0];
                pose[16] = [0.0, 0.0, -down];
                pose[17] = [0.0, 0.0, down];
                let pose = BodyPose::from_full(&pose);
                guesses.push(MotionFrame { pose, translation: [x, y, depth], ..MotionFrame::default() });
            }
        }
        guesses
    }

    /// Height of the head's top over the point about which an upright body turns over to face the camera.
    fn head_height(&self) -> f32 {
        let pelvis = self.model.rest_joints(&[], &[]).map_or(0.0, |j| j[0][1]);
        let top = self.model.v_template().iter().map(|v| v[1]).fold(f32::NEG_INFINITY, f32::max);
        // Turning about the pelvis mirrors heights at it.
        top - 2.0 * pelvis
    }

    /// Overlap on the small picture and on the coarse one.
    fn overlap(&mut self, frame: &MotionFrame) -> Result<[f32; 2]> {
        let pose = frame.pose.full();
        let posed = self.model.forward(&Frame {
            betas: &frame.betas,
            expression: &[],
            rotations: Rotations::AxisAngle(&pose),
            translation: frame.translation,
        })?;
        let vertices: Vec<Vec3> = posed.vertices.into_iter().map(Vec3::from_array).collect();
        let drawn: Vec<f32> = self
            .map
            .draw(&vertices, self.faces, &self.view)?
            .iter()
            .map(|d| if *d > 0.0 { 1.0 } else { 0.0 })
            .collect();
        let overlap = |a: &[f32], b: &[f32]| {
            let (both, either) = a
                .iter()
                .zip(b)
                .fold((0.0, 0.0), |(both, either), (a, b)| (both + a.min(*b), either + a.max(*b)));
            if either > 0.0 { both / either } else { 0.0 }
        };
        let coarse = quartered(&drawn, self.small.size);
        Ok([overlap(&drawn, &self.small.fine), overlap(&coarse, &self.small.coarse)])
    }

    fn cost(&mut self, base: &MotionFrame, moves: &[f32; N]) -> Result<f32> {
        let [fine, coarse] = self.overlap(&moved(base, moves))?;
        let far: f32 = moves.iter().zip(parameters()).map(|(m, p)| (m / p.sigma).powi(2)).sum();
        Ok(2.0 - fine - coarse + 0.002 * far)
    }

    /// Moves one parameter after the other as long as that helps.
    fn descend(&mut self, base: &MotionFrame) -> Result<[f32; N]> {
        let mut moves = [0.0; N];
        let mut steps = parameters().map(|p| p.step);
        let mut best = self.cost(base, &moves)?;
        for _ in 0..ROUNDS {
            for i in 0..N {
                let mut helped = false;
                for sign in [1.0, -1.0] {
                    let mut tried = moves;
                    tried[i] += sign * steps[i];
                    let cost = self.cost(base, &tried)?;
                    if cost < best {
                        (best, moves, helped) = (cost, tried, true);
                        break;
                    }
                }
                steps[i] *= if helped { 1.4 } else { 0.6 };
            }
        }
        Ok(moves)
    }
}

/// All parameters: three of the place, the turns, the shape.
fn parameters() -> [Parameter; N] {
    std::array::from_fn(|i| {
        if i < 3 {
            Parameter { sigma: 0.5, step: 0.06 }
        } else if let Some((_, _, sigma)) = TURNS.get(i - 3) {
            Parameter { sigma: *sigma, step: 0.5 * sigma }
        } else {
            Parameter { sigma: 1.0, step: 0.5 }
        }
    })
}

/// A frame with its parameters moved.
fn moved(base: &MotionFrame, moves: &[f32; N]) -> MotionFrame {
    let mut frame = base.clone();
    // Across, down, and nearer or further with the place on the picture kept.
    let [x, y, z] = base.translation;
    let scale = moves[2].exp();
    frame.translation = [(x + moves[0]) * scale, (y + moves[1]) * scale, z * scale];
    let mut full = base.pose.full();
    for ((joint, axis, _), turn) in TURNS.iter().zip(&moves[3..]) {
        let own = Quat::from_scaled_axis(Vec3::from_array(full[*joint]));
        full[*joint] = (own * Quat::from_axis_angle(*axis, *turn)).to_scaled_axis().to_array();
    }
    frame.pose = BodyPose::from_full(&full);
    if frame.betas.len() < BETAS {
        frame.betas.resize(BETAS, 0.0);
    }
    for (beta, by) in frame.betas.iter_mut().zip(&moves[3 + TURNS.len()..]) {
        *beta += by;
    }
    frame
}
