//! How the background lies from frame to frame, taken for one plane: enough to ask whether a place looks as it did before.

use super::entry::{self, Entry};
use super::homography::{self, Homography};
use super::shift::shift;
use crate::error::{Error, Result};
use image::{GrayImage, RgbImage};
use std::ops::Range;

/// Pixels of a row that are taken to go along a straight line.
const STRAIGHT: usize = 16;

/// A piece of a row of one frame, as it lies in another.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanePiece {
    /// Its columns.
    pub columns: Range<usize>,
    from: [f32; 2],
    step: [f32; 2],
}

impl PlanePiece {
    /// Where its `n`-th pixel lies.
    #[must_use]
    #[inline]
    pub fn at(&self, n: usize) -> [f32; 2] {
        // A small integer first: from that it is one instruction.
        let n = n as i32 as f32;
        [0, 1].map(|k| self.from[k] + n * self.step[k])
    }
}

/// A projective map between two frames' pixels; their centres lie at whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaneMap(Homography);

impl PlaneMap {
    /// Nothing moved.
    pub const SAME: Self = Self::shift([0.0; 2]);

    /// Everything moves right and down by so many pixels.
    #[must_use]
    pub const fn shift(by: [f64; 2]) -> Self {
        Self(homography::shift(by))
    }

    /// Where a pixel goes.
    #[must_use]
    #[inline]
    pub fn at(&self, pixel: [f32; 2]) -> [f32; 2] {
        homography::apply(&self.0, pixel)
    }

    /// Where the pixels of a row go, in some columns: piece by piece, each of at most [`STRAIGHT`] pixels that lie on a straight line.
    /// With a camera's perspective that is off by less than a hundredth of a pixel, and a division is saved at each.
    pub fn along(&self, row: usize, columns: Range<usize>) -> impl Iterator<Item = PlanePiece> + use<> {
        let map = *self;
        let at = move |x: usize| map.at([x as f32, row as f32]);
        let end = columns.end;
        columns.step_by(STRAIGHT).map(move |first| {
            let [from, to] = [at(first), at(first + STRAIGHT)];
            let step = [0, 1].map(|k| (to[k] - from[k]) / STRAIGHT as f32);
            PlanePiece { columns: first..end.min(first + STRAIGHT), from, step }
        })
    }

    /// This map, and then another one.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        Self(homography::product(&next.0, &self.0))
    }

    /// The way back; `None` where there is none.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let cofactors = [
            e * i - f * h,
            c * h - b * i,
            b * f - c * e,
            f * g - d * i,
            a * i - c * g,
            c * d - a * f,
            d * h - e * g,
            b * g - a * h,
            a * e - b * d,
        ];
        let determinant = a * cofactors[0] + b * cofactors[3] + c * cofactors[6];
        if determinant.abs() < 1e-12 || cofactors[8].abs() < 1e-12 {
            return None;
        }
        Some(Self(cofactors.map(|v| v / cofactors[8])))
    }
}

/// Finds how each frame lies to the one before.
#[derive(Debug, Default)]
pub struct PlaneFinder {
    last: Option<Entry>,
}

impl PlaneFinder {
    /// The map from the frame before to this one, looking only outside of the holes (255 on people, who move by themselves);
    /// `None` for the first frame, and where too little agrees.
    ///
    /// # Errors
    /// When the sizes differ or the frame is smaller than 32 pixels.
    pub fn next_frame(&mut self, frame: &RgbImage, hole: &GrayImage) -> Result<Option<PlaneMap>> {
        let (width, height) = frame.dimensions();
        if width < 32 || height < 32 {
            return Err(Error::Empty { what: "the frame (at least 32 × 32)", width, height });
        }
        crate::error::same_size("the hole", (width, height), hole.dimensions())?;
        let fresh = Entry::new(frame.clone(), hole.clone(), None, 1);
        let last = self.last.replace(fresh);
        let (Some(last), Some(fresh)) = (&last, &self.last) else { return Ok(None) };
        crate::error::same_size("the frame", last.picture.dimensions(), (width, height))?;
        let pairs = entry::pairs(last, fresh);
        if entry::is_still(&pairs) {
            return Ok(Some(PlaneMap::SAME));
        }
        let found = homography::robust(&pairs).filter(|(_, n)| entry::agree(*n, pairs.len()));
        let found = found.map(|(h, _)| PlaneMap(h));
        // A background with few corners moves as a whole, if it moves.
        let shifted = || shift(last, fresh).map(|moved| PlaneMap::shift(moved.map(f64::from)));
        Ok(found.or_else(shifted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_where_its_pixels_go() {
        let map = PlaneMap([1.02, 0.03, -4.0, -0.02, 0.98, 3.0, 1e-4, -5e-5, 1.0]);
        for columns in [0..400, 7..40, 5..5] {
            let pieces = map.along(90, columns.clone());
            let row: Vec<[f32; 2]> =
                pieces.flat_map(|piece| (0..piece.columns.len()).map(move |n| piece.at(n))).collect();
            assert_eq!(row.len(), columns.len());
            for (x, at) in columns.zip(row) {
                let exact = map.at([x as f32, 90.0]);
                assert!((at[0] - exact[0]).hypot(at[1] - exact[1]) < 0.01, "{x}: {at:?} {exact:?}");
            }
        }
    }

    fn waves(dx: f32) -> RgbImage {
        RgbImage::from_fn(160, 120, |x, y| {
            let (x, y) = (x as f32 - dx, y as f32);
            let v = 128.0 + 50.0 * (x * 0.31).sin() * (y * 0.27).cos() + 30.0 * (x * 0.11 + y * 0.17).sin();
            image::Rgb([v as u8; 3])
        })
    }

    #[test]
    fn a_pan_is_found_and_undone() {
        let mut finder = PlaneFinder::default();
        let nobody = GrayImage::new(160, 120);
        assert!(finder.next_frame(&waves(0.0), &nobody).unwrap().is_none());
        let step = finder.next_frame(&waves(4.0), &nobody).unwrap().unwrap();
        let at = step.at([60.0, 50.0]);
        assert!((at[0] - 64.0).abs() < 0.3 && (at[1] - 50.0).abs() < 0.3, "{at:?}");
        let back = step.then(&step.inverse().unwrap()).at([60.0, 50.0]);
        assert!((back[0] - 60.0).abs() < 1e-3 && (back[1] - 50.0).abs() < 1e-3, "{back:?}");
        assert_eq!(finder.next_frame(&waves(4.0), &nobody).unwrap(), Some(PlaneMap::SAME));
        assert!(finder.next_frame(&waves(4.0), &GrayImage::new(8, 8)).is_err());
    }

    #[test]
    fn a_bare_wall_that_stays_is_seen_to_stay() {
        // Too smooth for corners; noise, and somebody's shadow on a tenth of it.
        let wall = |t: u32, bright: u8| {
            RgbImage::from_fn(160, 120, |x, y| {
                let noise = (x * 7 + y * 13 + t * 29) % 5;
                let shadow = if x >= 16 * t && x < 16 * t + 16 { 40 } else { 0 };
                image::Rgb([bright + (x / 16) as u8 + noise as u8 - shadow; 3])
            })
        };
        let mut finder = PlaneFinder::default();
        let nobody = GrayImage::new(160, 120);
        finder.next_frame(&wall(0, 120), &nobody).unwrap();
        assert_eq!(finder.next_frame(&wall(0, 120), &nobody).unwrap(), Some(PlaneMap::SAME));
        // Another wall, and a picture that nobody sees.
        assert_eq!(finder.next_frame(&wall(0, 150), &nobody).unwrap(), None);
        let all = GrayImage::from_pixel(160, 120, image::Luma([255]));
        assert_eq!(finder.next_frame(&wall(0, 150), &all).unwrap(), None);
    }
}
