//! Fits detail transfer's numbers on clips that the weights haven't seen, by least squares.

use crate::restore::{Restored, detail_frames};
use anyhow::{Context, Result};
use composite_eval::clip::Clip;
use composite_eval::scores::Regions;
use nalgebra::{Matrix2, Vector2};
use pipeline::{DetailTransfer, EdgeRing, Place};

/// The smoothing beside the avatar, in pixels of a frame `HEIGHT` high.
const SIGMA: f32 = 10.0;
const HEIGHT: u32 = 192;
/// How much more a pixel counts in the shadow's region: a missing shadow is worse than an uneven wall.
const SHADOW_WEIGHT: f64 = 4.0;

/// Sums for the fits: inside the avatar, in each ring of its edge, and beside it.
pub(crate) struct Calibration {
    inside: Places,
    edge: Vec<Sums>,
    outside: Places,
}

/// Sums of one place over all clips, and each clip's own.
#[derive(Default)]
struct Places {
    all: Sums,
    clips: Vec<Sums>,
}

/// The part of the clips that a share must not make worse.
const NEVER_WORSE: f64 = 1.0;

impl Places {
    fn join(&mut self, clip: &Sums, weight: f64) {
        self.all.join(clip, weight);
        self.clips.push(*clip);
    }

    /// The share of the difference that is best over all clips, held to what makes none of them worse: a clip's squared error is a
    /// parabola of the share that passes through the condition's own at 0 and at twice its best.
    fn share(&self) -> Option<f32> {
        let [best, _] = self.all.solve()?;
        let mut limits: Vec<f64> = self
            .clips
            .iter()
            .filter(|c| c.matrix[(0, 0)] > 1e-6)
            .map(|c| 2.0 * c.vector[0] / c.matrix[(0, 0)])
            .collect();
        limits.sort_by(|a, b| b.total_cmp(a));
        let last = ((limits.len() as f64 * NEVER_WORSE).ceil() as usize).clamp(1, limits.len().max(1)) - 1;
        let limit = limits.get(last).copied().unwrap_or(0.0) as f32;
        // Cut, not rounded: a little more would be too much.
        Some((best.min(limit).max(0.0) * 1e3).floor() / 1e3)
    }
}

/// `y ≈ a · x₀ + b · x₁` by weighted least squares; x₁ is 0 where there is but one number to find.
#[derive(Clone, Copy, Default)]
struct Sums {
    matrix: Matrix2<f64>,
    vector: Vector2<f64>,
}

impl Sums {
    fn add(&mut self, x: [f32; 2], y: f64, weight: f64) {
        let x = Vector2::from(x.map(f64::from));
        self.matrix += x * x.transpose() * weight;
        self.vector += x * (weight * y);
    }

    fn join(&mut self, clip: &Self, weight: f64) {
        self.matrix += clip.matrix * weight;
        self.vector += clip.vector * weight;
    }

    /// The numbers to three decimals; `None` if no pixel told anything.
    fn solve(&self) -> Option<[f32; 2]> {
        let damped = self.matrix + Matrix2::identity() * (1e-9 * self.matrix.trace());
        let found = damped.cholesky()?.solve(&self.vector);
        Some([found[0], found[1]].map(|v| ((v * 1e3).round() / 1e3) as f32))
    }
}

impl Calibration {
    /// For so many rings.
    pub(crate) fn new(rings: usize) -> Self {
        Self { inside: Places::default(), edge: vec![Sums::default(); rings], outside: Places::default() }
    }

    /// Takes in a clip.
    pub(crate) fn add(&mut self, clip: &Clip, restored: &Restored) -> Result<()> {
        let regions = Regions::of(clip);
        let mut edges = vec![Sums::default(); self.edge.len()];
        let (mut inside, mut outside) = (Sums::default(), Sums::default());
        let mut error = 0.0;
        // Detail transfer is linear in its numbers: this is what those of the difference would multiply.
        let ring = EdgeRing { difference: 1.0, plate: 0.0 };
        let edge = vec![ring; self.edge.len()];
        let unit = DetailTransfer { edge, sigma: SIGMA, height: HEIGHT, ..DetailTransfer::default() };
        for (f, (frame, target)) in detail_frames(clip, restored).zip(&clip.target).enumerate() {
            let (places, difference) = (unit.places(&frame), unit.change(&frame)?);
            let levels = target.iter().zip(frame.condition.iter()).zip(frame.plate.iter());
            for (i, ((target, condition), plate)) in levels.enumerate() {
                let y = f64::from(*target) - f64::from(*condition);
                if places[i / 3] != Place::Beside {
                    error += (y - f64::from(difference[i])).powi(2);
                }
                match places[i / 3] {
                    Place::Inside => inside.add([difference[i], 0.0], y, 1.0),
                    Place::Edge(ring) => {
                        let to_plate = f32::from(*plate) - f32::from(*condition);
                        edges[ring].add([difference[i], to_plate], y, 1.0);
                    }
                    Place::Beside => {
                        let weight = if regions.in_shadow(f, i / 3) { SHADOW_WEIGHT } else { 1.0 };
                        outside.add([difference[i], 0.0], y, weight);
                    }
                }
            }
        }
        // Decibels are averaged over clips: on the avatar a clip counts the less, the farther off it is. Beside it many are right
        // to the last bit, and every pixel counts the same.
        let weight = 1.0 / f64::max(error, 1.0);
        for (all, clip) in self.edge.iter_mut().zip(&edges) {
            all.join(clip, weight);
        }
        self.inside.join(&inside, weight);
        self.outside.join(&outside, 1.0);
        Ok(())
    }

    /// The fitted numbers.
    pub(crate) fn solve(&self) -> Result<DetailTransfer> {
        // A ring that no pixel lies in is as the inside.
        let ring = |sums: &Sums| {
            let [difference, plate] = sums.solve().unwrap_or([1.0, 0.0]);
            EdgeRing { difference, plate }
        };
        Ok(DetailTransfer {
            edge: self.edge.iter().map(ring).collect(),
            inside: self.inside.share().context("the clips show no avatar")?,
            outside: self.outside.share().context("the clips show nothing but the avatar")?,
            sigma: SIGMA,
            height: HEIGHT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Rgb, RgbImage};

    #[test]
    fn a_share_is_the_best_that_makes_no_clip_worse() {
        let clip = |x: f32, y: f64| {
            let mut sums = Sums::default();
            sums.add([x, 0.0], y, 1.0);
            sums
        };
        let share = |clips: &[Sums]| {
            let mut places = Places::default();
            clips.iter().for_each(|c| places.join(c, 1.0));
            places.share().unwrap()
        };
        assert!((share(&[clip(10.0, 6.0), clip(10.0, 8.0)]) - 0.7).abs() < 1e-2);
        // One clip wants but a fifth of the difference: twice that leaves it as it was.
        assert!((share(&[clip(10.0, 9.0), clip(10.0, 9.0), clip(10.0, 2.0)]) - 0.4).abs() < 1e-2);
        assert_eq!(share(&[clip(10.0, 9.0), clip(10.0, -1.0)]), 0.0);
    }

    /// Clips whose target is detail transfer by known numbers.
    #[test]
    fn finds_the_numbers_that_a_target_was_made_with() {
        let ring = |difference, plate| EdgeRing { difference, plate };
        let known = DetailTransfer {
            inside: 1.0,
            edge: vec![ring(0.1, 0.8), ring(0.2, 0.6), ring(0.4, 0.3)],
            outside: 0.5,
            sigma: SIGMA,
            height: HEIGHT,
        };
        let mut calibration = Calibration::new(3);
        for light in [40_u32, 90, 150] {
            let picture = |f: &dyn Fn(u32, u32) -> u32| {
                RgbImage::from_fn(48, 192, |x, y| Rgb([f(x, y) as u8, (f(x, y) / 2 + 20) as u8, 90]))
            };
            let plate = picture(&|x, y| light + x % 7 + y % 3);
            let is_avatar = |x: u32| (16..32).contains(&x);
            let blend = RgbImage::from_fn(48, 192, |x, y| {
                if is_avatar(x) {
                    Rgb([200, (100 + y / 4) as u8, (60 + x) as u8])
                } else {
                    *plate.get_pixel(x, y)
                }
            });
            let base = picture(&|x, y| 100 + (x * y) % 11);
            let decoded = picture(&|x, y| 100 + (x * 3 + y * 5 + light) % 37);
            let mut clip = Clip {
                name: String::new(),
                reference: blend.clone(),
                blend: vec![blend],
                mesh: vec![RgbImage::new(48, 192)],
                target: vec![],
                plate: vec![plate],
                normals: vec![],
                shadow: vec![GrayImage::new(48, 192)],
            };
            let restored = Restored { plain: vec![decoded], base: vec![base], round_trip: vec![] };
            let target = detail_frames(&clip, &restored).map(|f| known.apply(&f).unwrap()).collect();
            clip.target = target;
            calibration.add(&clip, &restored).unwrap();
        }
        let found = calibration.solve().unwrap();
        // Levels are rounded.
        let numbers = |d: &DetailTransfer| {
            let rings = d.edge.iter().flat_map(|r| [r.difference, r.plate]);
            rings.chain([d.inside, d.outside]).collect::<Vec<_>>()
        };
        for (a, b) in numbers(&found).into_iter().zip(numbers(&known)) {
            assert!((a - b).abs() < 0.02, "{found:?}");
        }
    }
}
