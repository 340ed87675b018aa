//! Detail transfer: what a decoded result and the decoded condition differ in is added to the condition itself.
//!
//! Decoding loses detail of condition and result alike, so their difference is what the model changed. A small model's
//! difference is also full of its own mistakes: [`DetailTransfer`] says how much of it to trust inside the avatar, at its
//! edge and beside it, in a handful of numbers that are fitted by least squares and lie beside the weights.

use crate::{Error, Result};
use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file beside small weights that holds their [`DetailTransfer`].
const FILE: &str = "detail.json";
/// The avatar is where the condition differs from the background by more than this in any channel.
const AVATAR: u8 = 2;
/// An edge wider than this isn't one.
const MOST_RINGS: usize = 32;

/// How the difference is added. Levels are 0 to 255.
///
/// - Inside the avatar: `condition + inside · difference`.
/// - At the avatar's edge, where there is no body beneath, an avatar has a fringe that isn't in a real picture:
///   `condition + difference share · difference + plate share · (background − condition)`.
/// - Beside the avatar: `condition + outside · smoothed difference`, where only what lies beside the avatar is smoothed: light
///   and shadow change slowly there, the rest is noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailTransfer {
    /// Share of the difference inside the avatar.
    pub inside: f32,
    /// The edge's rings, each a pixel wide in a frame `height` pixels high, from the outermost inwards; none for no edge.
    pub edge: Vec<EdgeRing>,
    /// Share of the smoothed difference beside the avatar.
    pub outside: f32,
    /// Standard deviation of the smoothing in pixels of a frame `height` pixels high; 0 doesn't smooth.
    pub sigma: f32,
    /// The height that pixels are meant for; they grow with the frame.
    pub height: u32,
}

/// What a ring of the avatar's edge is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeRing {
    /// Share of the difference.
    pub difference: f32,
    /// How far the ring gives way to the background: 0 stays, 1 is the background.
    pub plate: f32,
}

impl Default for DetailTransfer {
    /// The whole difference, everywhere.
    fn default() -> Self {
        Self { inside: 1.0, edge: Vec::new(), outside: 1.0, sigma: 0.0, height: 192 }
    }
}

/// Where a pixel lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not on the avatar.
    Beside,
    /// In this ring of the edge, from outside.
    Edge(usize),
    /// On the avatar.
    Inside,
}

/// One frame of each picture that takes part; all of one size.
#[derive(Clone, Copy, Debug)]
pub struct DetailFrame<'a> {
    /// The avatar over the background.
    pub condition: &'a RgbImage,
    /// The background alone.
    pub plate: &'a RgbImage,
    /// The body on black.
    pub body: &'a RgbImage,
    /// The condition, encoded and decoded.
    pub decoded_condition: &'a RgbImage,
    /// The result as decoded.
    pub decoded: &'a RgbImage,
}

impl DetailFrame<'_> {
    fn check(&self) -> Result<()> {
        let size = |p: &RgbImage| format!("{}×{}", p.width(), p.height());
        for other in [self.plate, self.body, self.decoded_condition, self.decoded] {
            if other.dimensions() != self.condition.dimensions() {
                let what = "the pictures of a detail transfer";
                return Err(Error::Mismatch { what, a: size(self.condition), b: size(other) });
            }
        }
        Ok(())
    }
}

impl DetailTransfer {
    /// Reads the weights' own from `detail.json` in their folder; the default where there is none.
    ///
    /// # Errors
    /// When the file can't be understood or a number is out of range.
    pub fn beside(weights: &Path) -> Result<Self> {
        let path = weights.join(FILE);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let read: Self = checkpoint::read_config(&path)?;
        read.check().map_err(|why| Error::Damaged { path, why })?;
        Ok(read)
    }

    /// Reads one in memory.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let read: Self = serde_json::from_slice(json).map_err(|e| Error::Settings(e.to_string()))?;
        read.check().map_err(Error::Settings)?;
        Ok(read)
    }

    /// Writes it to a folder of weights.
    ///
    /// # Errors
    /// When a number is out of range or the file can't be written.
    pub fn save(&self, weights: &Path) -> Result<()> {
        let path = weights.join(FILE);
        self.check().map_err(|why| Error::Damaged { path: path.clone(), why })?;
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Settings(e.to_string()))? + "\n";
        let part = weights.join(format!("{FILE}.part"));
        std::fs::write(&part, text).map_err(|source| Error::Io { path: part.clone(), source })?;
        std::fs::rename(&part, &path).map_err(|source| Error::Io { path, source })
    }

    fn check(&self) -> Result<(), String> {
        let Self { inside, edge, outside, sigma, height } = self;
        let rings = edge.iter().flat_map(|r| [("edge", r.difference), ("edge", r.plate)]);
        for (name, value) in [("inside", *inside), ("outside", *outside)].into_iter().chain(rings) {
            if !(value.is_finite() && value.abs() <= 4.0) {
                return Err(format!("{name} is {value}, not between −4 and 4"));
            }
        }
        if edge.len() > MOST_RINGS {
            return Err(format!("edge has {} rings, more than {MOST_RINGS}", edge.len()));
        }
        if !(0.0..=256.0).contains(sigma) {
            return Err(format!("sigma is {sigma}, not between 0 and 256"));
        }
        if *height == 0 { Err("height is 0".to_owned()) } else { Ok(()) }
    }

    /// What is added to the condition's levels, `[H · W · 3]`, unrounded.
    ///
    /// # Errors
    /// When the pictures differ in size.
    pub fn change(&self, frame: &DetailFrame<'_>) -> Result<Vec<f32>> {
        frame.check()?;
        let levels = frame.decoded.iter().zip(frame.decoded_condition.iter());
        let difference: Vec<f32> = levels.map(|(d, c)| f32::from(*d) - f32::from(*c)).collect();
        let (places, size) = (self.places(frame), frame.condition.dimensions());
        let sigma = self.sigma * size.1 as f32 / self.height as f32;
        let beside = if self.outside == 0.0 || sigma == 0.0 {
            difference.clone()
        } else {
            let weights: Vec<f32> = places.iter().map(|p| f32::from(u8::from(*p == Place::Beside))).collect();
            smooth(&difference, &weights, size, sigma)
        };
        let (condition, plate) = (frame.condition.as_raw(), frame.plate.as_raw());
        let change = (0..difference.len()).map(|i| match places[i / 3] {
            Place::Inside => self.inside * difference[i],
            Place::Beside => self.outside * beside[i],
            Place::Edge(ring) => {
                let ring = &self.edge[ring];
                let to_plate = f32::from(plate[i]) - f32::from(condition[i]);
                ring.difference * difference[i] + ring.plate * to_plate
            }
        });
        Ok(change.collect())
    }

    /// Where each pixel lies. The avatar is what the condition shows beyond the background; its edge is near what isn't
    /// avatar and not on the body.
    #[must_use]
    pub fn places(&self, frame: &DetailFrame<'_>) -> Vec<Place> {
        let pairs = frame.condition.pixels().zip(frame.plate.pixels());
        let on_avatar =
            |(c, p): (&Rgb<u8>, &Rgb<u8>)| c.0.iter().zip(p.0).any(|(c, p)| c.abs_diff(p) > AVATAR);
        let mut places: Vec<Place> =
            pairs.map(|pair| if on_avatar(pair) { Place::Inside } else { Place::Beside }).collect();
        let (w, h) = (frame.condition.width() as usize, frame.condition.height() as usize);
        let body = bg_mask::person_mask(frame.body);
        let mut outer: Vec<bool> = places.iter().map(|p| *p == Place::Beside).collect();
        let (rings, height) = (self.edge.len(), self.height as usize);
        for step in 0..(rings * h).div_ceil(height) {
            let grown = grow(&outer, w, h);
            for (i, place) in places.iter_mut().enumerate() {
                if grown[i] && !outer[i] && body.as_raw()[i] == 0 {
                    *place = Place::Edge((step * height / h).min(rings - 1));
                }
            }
            outer = grown;
        }
        places
    }

    /// The frame that detail transfer makes.
    ///
    /// # Errors
    /// When the pictures differ in size.
    pub fn apply(&self, frame: &DetailFrame<'_>) -> Result<RgbImage> {
        let mut out = frame.condition.clone();
        for (level, change) in out.iter_mut().zip(self.change(frame)?) {
            *level = (f32::from(*level) + change).round().clamp(0.0, 255.0) as u8;
        }
        Ok(out)
    }
}

/// A mask and the eight neighbours of its pixels.
fn grow(mask: &[bool], w: usize, h: usize) -> Vec<bool> {
    let along = |mask: &[bool], stride: usize, at: fn(usize, usize) -> usize, n: usize| -> Vec<bool> {
        let near = |i: usize| {
            let at = at(i, w);
            mask[i] || (at > 0 && mask[i - stride]) || (at + 1 < n && mask[i + stride])
        };
        (0..w * h).map(near).collect()
    };
    let rows = along(mask, 1, |i, w| i % w, w);
    along(&rows, w, |i, w| i / w, h)
}

/// Gaussian mean of three-channel values under weights; where no weight is near, 0.
fn smooth(values: &[f32], weights: &[f32], (w, h): (u32, u32), sigma: f32) -> Vec<f32> {
    let (w, h) = (w as usize, h as usize);
    let radius = (3.0 * sigma).ceil() as usize;
    let kernel: Vec<f32> = (0..=radius).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    // The weighted levels and the weight itself, side by side.
    let mut planes: Vec<[f32; 4]> =
        weights.iter().zip(values.chunks_exact(3)).map(|(k, v)| [v[0] * k, v[1] * k, v[2] * k, *k]).collect();
    for (n, stride, count, step) in [(w, 1, h, w), (h, w, w, 1)] {
        let mut line = vec![[0.0; 4]; n];
        for start in (0..count).map(|i| i * step) {
            for (i, cell) in line.iter_mut().enumerate() {
                *cell = planes[start + i * stride];
            }
            for i in 0..n {
                let mut sum = [0.0; 4];
                for j in i.saturating_sub(radius)..(i + radius + 1).min(n) {
                    let k = kernel[i.abs_diff(j)];
                    for (s, v) in sum.iter_mut().zip(line[j]) {
                        *s += k * v;
                    }
                }
                planes[start + i * stride] = sum;
            }
        }
    }
    let mean = |[r, g, b, k]: [f32; 4]| if k > 1e-6 { [r / k, g / k, b / k] } else { [0.0; 3] };
    planes.into_iter().flat_map(mean).collect()
}
