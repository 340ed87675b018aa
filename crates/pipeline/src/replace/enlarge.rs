//! What was decided in small pictures, at the size of the video's.

use super::small::Sizes;
use image::GrayImage;
use mocap::{Evidence, Spread};
use rayon::prelude::*;

/// A small plane, `[h, w]` shares of 0..1, between whose pixels those of the video's picture lie.
#[derive(Clone, Copy, Debug)]
struct Enlarged<'a> {
    plane: &'a [f32],
    small: [usize; 2],
    /// Small pixels from pixel to pixel.
    step: f32,
}

/// A row of pixels, and the rows of the plane that it lies between.
struct Row<'a> {
    upper: &'a [f32],
    lower: &'a [f32],
    part: f32,
    step: f32,
}

/// The two of `n` small pixels that a pixel lies between, and how far it is from the first to the second.
fn between(at: usize, n: usize, step: f32) -> (usize, usize, f32) {
    let v = ((at as f32 + 0.5) * step - 0.5).clamp(0.0, (n - 1) as f32);
    // To a small integer first: that is one instruction.
    let low = (v as i32 as usize).min(n.saturating_sub(2));
    (low, (low + 1).min(n - 1), v - low as f32)
}

impl<'a> Enlarged<'a> {
    fn new(plane: &'a [f32], sizes: Sizes) -> Self {
        Self { plane, small: sizes.small.map(|n| n as usize), step: 1.0 / sizes.reduced as f32 }
    }

    fn row(&self, y: usize) -> Row<'a> {
        let [w, h] = self.small;
        let (upper, lower, part) = between(y, h, self.step);
        let line = |y: usize| &self.plane[y * w..][..w];
        Row { upper: line(upper), lower: line(lower), part, step: self.step }
    }
}

impl Row<'_> {
    /// The share at a pixel.
    fn at(&self, x: usize) -> f32 {
        let (left, right, part) = between(x, self.upper.len(), self.step);
        let upper = self.upper[left] * (1.0 - part) + self.upper[right] * part;
        let lower = self.lower[left] * (1.0 - part) + self.lower[right] * part;
        upper * (1.0 - self.part) + lower * self.part
    }

    /// Nothing is shared between a small pixel and those beside it.
    fn is_empty_around(&self, x: usize) -> bool {
        let around = x.saturating_sub(1)..(x + 2).min(self.upper.len());
        let is_nothing = |line: &[f32]| line[around.clone()].iter().all(|share| *share == 0.0);
        is_nothing(self.upper) && is_nothing(self.lower)
    }
}

/// Somebody's matte: a pixel is as likely theirs as the surest network says that it is anybody's, times their share of it. `raised` small
/// pixels are this likely at least.
pub(super) fn matte(evidence: &[Evidence], raised: (&[bool], u8), share: &[f32], sizes: Sizes) -> GrayImage {
    let full = (sizes.full[0], sizes.full[1]);
    let seen: Vec<Spread<'_>> = evidence
        .iter()
        .flat_map(|evidence| [&evidence.own, &evidence.anybody])
        .map(|segmentation| Spread::new(segmentation, full, 1))
        .collect();
    let shares = Enlarged::new(share, sizes);
    let (reduced, across) = (sizes.reduced as usize, sizes.small[0] as usize);
    let mut matte = GrayImage::new(full.0, full.1);
    matte.par_chunks_mut(full.0 as usize).enumerate().for_each(|(y, out)| {
        let share = shares.row(y);
        let lines: Vec<_> = seen.iter().map(|spread| spread.row(y as u32)).collect();
        let is_raised = &raised.0[y / reduced * across..][..across];
        for (small, out) in out.chunks_mut(reduced).enumerate() {
            // Most of a picture is nobody's.
            if share.is_empty_around(small) {
                continue;
            }
            let least = if is_raised[small] { raised.1 } else { 0 };
            for (k, out) in out.iter_mut().enumerate() {
                let x = small * reduced + k;
                let likely = lines.iter().map(|line| line.at(x as u32)).fold(least, u8::max);
                *out = (f32::from(likely) * share.at(x) + 0.5) as u8;
            }
        }
    });
    matte
}

/// A small plane of bytes at the picture's size.
pub(super) fn enlarged(layer: &[u8], sizes: Sizes) -> GrayImage {
    let shares: Vec<f32> = layer.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let shares = Enlarged::new(&shares, sizes);
    let (reduced, width) = (sizes.reduced as usize, sizes.full[0]);
    let mut out = GrayImage::new(width, sizes.full[1]);
    out.par_chunks_mut(width as usize).enumerate().for_each(|(y, out)| {
        let share = shares.row(y);
        for (small, out) in out.chunks_mut(reduced).enumerate().filter(|(x, _)| !share.is_empty_around(*x)) {
            for (k, out) in out.iter_mut().enumerate() {
                *out = (255.0 * share.at(small * reduced + k) + 0.5) as u8;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mocap::{Region, Segmentation};

    const SIZES: [u32; 2] = [1203, 602];

    /// Two networks that see different things, one of them in a turned region.
    fn evidence() -> Evidence {
        let seen = |region, of: fn(usize) -> u8| Segmentation {
            region,
            likely: (0..Segmentation::SIDE * Segmentation::SIDE).map(of).collect(),
        };
        let turned = Region { centre: [500.0, 300.0], size: 700.0, angle: 0.4 };
        let upright = Region { centre: [700.0, 350.0], size: 300.0, angle: 0.0 };
        Evidence { own: seen(turned, |i| (i % 251) as u8), anybody: seen(upright, |i| (i / 256) as u8) }
    }

    #[test]
    fn a_matte_is_what_networks_say_times_the_share() {
        let sizes = Sizes::new(SIZES);
        let [w, h] = sizes.small.map(|n| n as usize);
        // Somebody in the middle, with soft edges.
        let share: Vec<f32> = (0..w * h)
            .map(|i| {
                let (x, y) = ((i % w) as f32 / w as f32 - 0.5, (i / w) as f32 / h as f32 - 0.5);
                (1.2 - 5.0 * x.hypot(y)).clamp(0.0, 1.0)
            })
            .collect();
        let mut raised = vec![false; w * h];
        raised[h / 2 * w + w / 2] = true;
        let evidence = evidence();
        let found = matte(std::slice::from_ref(&evidence), (&raised, 200), &share, sizes);
        let likely = evidence.matte(sizes.full.into());
        let shares = Enlarged::new(&share, sizes);
        for (x, y, pixel) in found.enumerate_pixels() {
            let (x, y) = (x as usize, y as usize);
            let small = y / sizes.reduced as usize * w + x / sizes.reduced as usize;
            let least = if raised[small] { 200 } else { 0 };
            let byte = likely.get_pixel(x as u32, y as u32)[0].max(least);
            assert_eq!(pixel[0], (f32::from(byte) * shares.row(y).at(x) + 0.5) as u8, "{x}, {y}");
        }
        assert!(found.iter().any(|byte| *byte > 100) && found.get_pixel(0, 0)[0] == 0);
    }

    #[test]
    fn what_is_whole_stays_whole() {
        let sizes = Sizes::new(SIZES);
        let n = sizes.small.iter().product::<u32>() as usize;
        assert!(enlarged(&vec![255; n], sizes).iter().all(|byte| *byte == 255));
        let mut one = vec![0; n];
        one[n / 2] = 255;
        let found = enlarged(&one, sizes);
        // Its own pixels and half of those beside it.
        let area: f32 = found.iter().map(|byte| f32::from(*byte) / 255.0).sum();
        assert!((area - (sizes.reduced * sizes.reduced) as f32).abs() < 0.3, "{area}");
    }
}
