//! The ground under somebody who moves: a plane from the feet's track, frame by frame.
//!
//! One camera doesn't tell the ground's slope from few steps. The body's own upright is taken for the normal; steps that lead
//! towards the camera or away from it turn it. Its height follows the lowest places of the soles: who jumps or runs comes back to it.

use crate::vec3;
use glam::{Mat2, Vec2, Vec3};

/// One frame of somebody's feet.
#[derive(Clone, Copy, Debug)]
pub struct Footing {
    /// Heel and ball of the left foot, then of the right.
    pub soles: [[f32; 3]; 4],
    /// From between the feet to the neck, of any length.
    pub upright: [f32; 3],
}

/// The plane of one frame: `normal · p = height`, with the normal up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ground {
    /// Unit vector upwards.
    pub normal: [f32; 3],
    /// Where the plane is along it.
    pub height: f32,
}

/// Frames to each side within which a foot comes down.
const STRIDE: usize = 12;
/// Frames over which the height is smoothed (standard deviation).
const SMOOTH: f32 = 4.0;
/// A sole this near to the lowest stands, in metres, round by round: as long as the upright leans, the ground seems to rise under
/// who walks, and a narrow band would hold no step but the lowest.
const STANDS: [f32; 3] = [0.12, 0.06, 0.03];
/// How sure the upright is as the normal (in radians), and a standing sole as a place of the ground (in metres).
const UPRIGHT_SURE: f32 = 0.07;
const SOLE_SURE: f32 = 0.04;
/// So many neighbouring frames say as much as one.
const ALIKE: f32 = 10.0;
/// Cameras are held level more often than people stand upright: the share of a sideways lean that is believed.
const LEAN: f32 = 0.5;

impl Ground {
    /// The ground of each frame of a shot.
    #[must_use]
    pub fn track(frames: &[Footing]) -> Vec<Self> {
        let mut normal = upright(frames);
        for stands in STANDS {
            normal = turned(normal, frames, stands);
        }
        let heights = smoothed(&lowest(normal, frames));
        heights.into_iter().map(|height| Self { normal: normal.to_array(), height }).collect()
    }

    /// Where a ray from the camera meets the ground, in units of the ray; `None` where it doesn't.
    #[must_use]
    #[inline]
    pub fn meet(&self, ray: [f32; 3]) -> Option<f32> {
        let along: f32 = (0..3).map(|k| self.normal[k] * ray[k]).sum();
        let t = self.height / along;
        // A ray along the ground meets it nowhere.
        (along < -1e-4 && t > 0.0).then_some(t)
    }
}

fn upright(frames: &[Footing]) -> Vec3 {
    let sum: Vec3 = frames.iter().map(|f| vec3(f.upright).normalize_or(Vec3::ZERO)).sum();
    (sum * Vec3::new(LEAN, 1.0, 1.0)).normalize_or(Vec3::NEG_Y)
}

/// The lowest height of the soles near each frame.
fn lowest(normal: Vec3, frames: &[Footing]) -> Vec<f32> {
    let own: Vec<f32> = frames
        .iter()
        .map(|f| f.soles.iter().map(|p| normal.dot(vec3(*p))).fold(f32::INFINITY, f32::min))
        .collect();
    (0..own.len())
        .map(|i| {
            let near = &own[i.saturating_sub(STRIDE)..(i + STRIDE + 1).min(own.len())];
            near.iter().copied().fold(f32::INFINITY, f32::min)
        })
        .collect()
}

fn smoothed(values: &[f32]) -> Vec<f32> {
    let reach = (3.0 * SMOOTH) as usize;
    (0..values.len())
        .map(|i| {
            let (mut sum, mut weights) = (0.0, 0.0);
            for j in i.saturating_sub(reach)..(i + reach + 1).min(values.len()) {
                let w = (-0.5 * (i.abs_diff(j) as f32 / SMOOTH).powi(2)).exp();
                sum += w * values[j];
                weights += w;
            }
            sum / weights
        })
        .collect()
}

/// The normal that fits the standing soles better, held to the body's upright.
fn turned(normal: Vec3, frames: &[Footing], stands: f32) -> Vec3 {
    let prior = upright(frames);
    let low = lowest(normal, frames);
    let mut standing: Vec<(Vec3, f32)> = Vec::new();
    for (frame, low) in frames.iter().zip(&low) {
        for p in frame.soles.map(vec3) {
            if normal.dot(p) < low + stands {
                standing.push((p, *low));
            }
        }
    }
    if standing.len() < 8 {
        return normal;
    }
    let middle = standing.iter().map(|(p, _)| *p).sum::<Vec3>() / standing.len() as f32;
    let first = Vec3::X.reject_from(prior).normalize_or(Vec3::Z);
    let second = prior.cross(first);
    // normal ≈ prior + a · first + b · second, such that the soles lie level.
    let (mut matrix, mut vector) = (Mat2::IDENTITY * UPRIGHT_SURE.powi(-2), Vec2::ZERO);
    let weight = SOLE_SURE.powi(-2) / ALIKE;
    for (p, _) in &standing {
        let d = *p - middle;
        let (u, r) = (Vec2::new(first.dot(d), second.dot(d)), prior.dot(d));
        matrix += Mat2::from_cols(u * u.x, u * u.y) * weight;
        vector -= u * r * weight;
    }
    let found = matrix.inverse() * vector;
    (prior + first * found.x + second * found.y).normalize_or(prior)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who walks over a plane, one foot up at a time, and leans forward.
    fn walk(normal: Vec3, height: f32, heading: Vec3, lean: Vec3) -> Vec<Footing> {
        let along = heading.reject_from(normal).normalize();
        let side = normal.cross(along);
        (0..60)
            .map(|i| {
                let at = normal * height + along * (i as f32 * 0.05) + Vec3::Z * 4.0;
                let at = at - normal * (normal.dot(at) - height);
                let up = |phase: f32| normal * (0.15 * (i as f32 * 0.35 + phase).sin().max(0.0));
                let foot =
                    |s: f32, phase| [0.0, 0.2].map(|f| (at + side * s + along * f + up(phase)).to_array());
                let ([a, b], [c, d]) = (foot(0.1, 0.0), foot(-0.1, std::f32::consts::PI));
                Footing { soles: [a, b, c, d], upright: (normal + lean).to_array() }
            })
            .collect()
    }

    #[test]
    fn the_plane_of_a_walker_is_found() {
        // A camera that looks down by 12 degrees: the ground's normal leans towards it.
        let normal = Vec3::new(0.0, -0.978, -0.208).normalize();
        let frames = walk(normal, -1.4, Vec3::Z, Vec3::ZERO);
        for g in Ground::track(&frames) {
            assert!((vec3(g.normal) - normal).length() < 0.01 && (g.height + 1.4).abs() < 0.02, "{g:?}");
        }
        // The walk itself corrects an upright that leans.
        let leaning = walk(normal, -1.4, Vec3::Z, Vec3::new(0.0, 0.0, 0.12));
        let g = Ground::track(&leaning)[30];
        assert!((vec3(g.normal) - normal).length() < 0.04, "{g:?}");
    }

    #[test]
    fn who_jumps_comes_back_to_the_ground() {
        let mut frames = walk(Vec3::NEG_Y, -1.2, Vec3::X, Vec3::ZERO);
        for frame in &mut frames[20..28] {
            frame.soles.iter_mut().for_each(|p| p[1] -= 0.4);
        }
        for g in Ground::track(&frames) {
            assert!((g.height + 1.2).abs() < 0.02, "{g:?}");
        }
        assert!(Ground::track(&[]).is_empty());
    }

    #[test]
    fn rays_meet_it_below_the_horizon() {
        let ground = Ground { normal: [0.0, -1.0, 0.0], height: -1.5 };
        assert_eq!(ground.meet([0.0, 0.5, 1.0]), Some(3.0));
        assert_eq!(ground.meet([0.0, -0.1, 1.0]), None);
        assert_eq!(ground.meet([0.0, 0.0, 1.0]), None);
    }
}
