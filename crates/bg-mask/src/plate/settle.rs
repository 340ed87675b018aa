//! Takes out the seams of a filled hole: between it and the picture, and between parts of it that came from different frames
//! while the light changed.
//!
//! What is added to each pixel is as smooth as the steps at the seams allow: the solution of Poisson's equation with the steps as
//! the gradients that are wanted (Pérez, Gangnet and Blake 2003), found by multigrid over squares of two by two.

/// The equations of one size: each pixel's value times `diagonal`, less its neighbours' times their links, is what `wanted` says.
#[derive(Clone, Debug)]
pub(super) struct Seams {
    width: usize,
    height: usize,
    /// By pixel: how firmly it is tied to the next one to the right and to the one below.
    links: Vec<[f32; 2]>,
    /// All that a pixel is tied to; 0 outside.
    diagonal: Vec<f32>,
    wanted: Vec<[f32; 3]>,
}

/// How firmly a pixel stays as it is: for parts that border on nothing known.
const STAYS: f32 = 1e-5;
const CYCLES: usize = 8;
/// Sweeps before and after each correction from the next smaller size.
const SWEEPS: usize = 2;
/// A side below which no smaller size is needed, and sweeps that settle it.
const SMALLEST: usize = 4;
const LAST_SWEEPS: usize = 16;

impl Seams {
    /// `width` × `height` pixels, none of which is to be settled.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let n = width * height;
        Self { width, height, links: vec![[0.0; 2]; n], diagonal: vec![0.0; n], wanted: vec![[0.0; 3]; n] }
    }

    /// Two pixels to be settled, the second of which is the next one to the right (0) or below (1), and by how much the second should
    /// rise above what it is, less by how much the first should.
    pub(super) fn tie(&mut self, pixel: usize, side: usize, step: [f32; 3]) {
        let other = pixel + [1, self.width][side];
        self.links[pixel][side] = 1.0;
        for (at, sign) in [(pixel, -1.0), (other, 1.0)] {
            self.diagonal[at] += 1.0;
            (0..3).for_each(|k| self.wanted[at][k] += sign * step[k]);
        }
    }

    /// A pixel beside one that stays as it is, and how much should be added to it for that one's sake.
    pub(super) fn hold(&mut self, pixel: usize, add: [f32; 3]) {
        self.diagonal[pixel] += 1.0;
        (0..3).for_each(|k| self.wanted[pixel][k] += add[k]);
    }

    /// What is to be added to each pixel.
    pub(super) fn settle(mut self) -> Vec<[f32; 3]> {
        self.diagonal.iter_mut().filter(|d| **d > 0.0).for_each(|d| *d += STAYS);
        let wanted = std::mem::take(&mut self.wanted);
        let mut sizes = vec![self];
        while let Some(last) = sizes.last().filter(|s| s.width.min(s.height) > SMALLEST) {
            sizes.push(last.halved());
        }
        let mut added = vec![[0.0; 3]; wanted.len()];
        for _ in 0..CYCLES {
            cycle(&sizes, &mut added, &wanted);
        }
        added
    }

    /// The same in squares of two by two pixels that rise together.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut half = Self::new(width, height);
        for (i, [right, below]) in self.links.iter().enumerate() {
            let (x, y) = (i % self.width, i / self.width);
            let at = y / 2 * width + x / 2;
            half.diagonal[at] += self.diagonal[i];
            for (side, link, inner) in [(0, right, x.is_multiple_of(2)), (1, below, y.is_multiple_of(2))] {
                if inner {
                    half.diagonal[at] -= 2.0 * link;
                } else {
                    half.links[at][side] += link;
                }
            }
        }
        half
    }

    /// What the neighbours of a pixel add up to.
    fn around(&self, values: &[[f32; 3]], i: usize) -> [f32; 3] {
        let w = self.width;
        let mut sum = [0.0; 3];
        let mut add = |link: f32, j: usize| {
            if link > 0.0 {
                (0..3).for_each(|k| sum[k] += link * values[j][k]);
            }
        };
        let [right, below] = self.links[i];
        add(right, i + 1);
        add(below, i + w);
        if !i.is_multiple_of(w) {
            add(self.links[i - 1][0], i - 1);
        }
        if i >= w {
            add(self.links[i - w][1], i - w);
        }
        sum
    }

    fn sweep(&self, values: &mut [[f32; 3]], wanted: &[[f32; 3]], backwards: bool) {
        let n = values.len();
        let mut visit = |i: usize| {
            let diagonal = self.diagonal[i];
            if diagonal > 0.0 {
                let around = self.around(values, i);
                values[i] = [0, 1, 2].map(|k| (wanted[i][k] + around[k]) / diagonal);
            }
        };
        if backwards { (0..n).rev().for_each(&mut visit) } else { (0..n).for_each(&mut visit) }
    }

    /// The equations' left side.
    fn of(&self, values: &[[f32; 3]], i: usize) -> [f32; 3] {
        let around = self.around(values, i);
        [0, 1, 2].map(|k| self.diagonal[i] * values[i][k] - around[k])
    }
}

/// Improves `values` at the first of `sizes`, with the help of the smaller ones.
fn cycle(sizes: &[Seams], values: &mut [[f32; 3]], wanted: &[[f32; 3]]) {
    let Some((this, smaller)) = sizes.split_first() else { return };
    let Some(half) = smaller.first() else {
        (0..LAST_SWEEPS).for_each(|n| this.sweep(values, wanted, n % 2 == 1));
        return;
    };
    (0..SWEEPS).for_each(|_| this.sweep(values, wanted, false));
    let square = |i: usize| i / this.width / 2 * half.width + i % this.width / 2;
    let missing: Vec<[f32; 3]> = (0..values.len())
        .map(|i| {
            let is = this.of(values, i);
            [0, 1, 2].map(|k| wanted[i][k] - is[k])
        })
        .collect();
    let mut sums = vec![[0.0; 3]; half.diagonal.len()];
    for (i, missing) in missing.iter().enumerate().filter(|(i, _)| this.diagonal[*i] > 0.0) {
        (0..3).for_each(|k| sums[square(i)][k] += missing[k]);
    }
    let mut rise = vec![[0.0; 3]; sums.len()];
    // Twice: squares that rise as one follow slowly.
    (0..2).for_each(|_| cycle(smaller, &mut rise, &sums));
    let rise: Vec<[f32; 3]> =
        (0..values.len()).map(|i| if this.diagonal[i] > 0.0 { rise[square(i)] } else { [0.0; 3] }).collect();
    // As far in that direction as is best.
    let (mut along, mut across) = (0.0, 0.0);
    for i in (0..rise.len()).filter(|i| this.diagonal[*i] > 0.0) {
        let of = this.of(&rise, i);
        for k in 0..3 {
            along += f64::from(rise[i][k] * missing[i][k]);
            across += f64::from(rise[i][k] * of[k]);
        }
    }
    if across > 0.0 {
        let far = (along / across) as f32;
        for (value, rise) in values.iter_mut().zip(&rise) {
            (0..3).for_each(|k| value[k] += far * rise[k]);
        }
    }
    (0..SWEEPS).for_each(|_| this.sweep(values, wanted, true));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_inside_go_and_the_border_is_met() {
        // The right half came from a frame that was brighter by 12; around it everything is brighter by 5 than the left half.
        let (w, h) = (70, 41);
        let mut seams = Seams::new(w, h);
        let is = |x: usize| if x < 33 { 0.0 } else { 12.0 };
        for i in 0..w * h {
            let (x, y) = (i % w, i / w);
            if x + 1 < w {
                seams.tie(i, 0, [is(x) - is(x + 1); 3]);
            }
            if y + 1 < h {
                seams.tie(i, 1, [0.0; 3]);
            }
            if x == 0 || y == 0 || x + 1 == w || y + 1 == h {
                seams.hold(i, [5.0 - is(x); 3]);
            }
        }
        for (i, add) in seams.settle().into_iter().enumerate() {
            let value = is(i % w) + add[1];
            assert!((value - 5.0).abs() < 0.1, "{value} at {}, {}", i % w, i / w);
        }
    }

    #[test]
    fn what_borders_on_nothing_stays_and_the_rest_rises_evenly() {
        let mut seams = Seams::new(40, 40);
        // A lonely square, and a strip between two borders.
        for (x, y) in (2..8).flat_map(|x| (2..8).map(move |y| (x, y))) {
            if x < 7 {
                seams.tie(y * 40 + x, 0, [0.0; 3]);
            }
            if y < 7 {
                seams.tie(y * 40 + x, 1, [0.0; 3]);
            }
        }
        for x in 10..30 {
            if x < 29 {
                seams.tie(20 * 40 + x, 0, [0.0; 3]);
            }
        }
        seams.hold(20 * 40 + 10, [0.0; 3]);
        seams.hold(20 * 40 + 29, [21.0, 0.0, -42.0]);
        let added = seams.settle();
        assert!(added[5 * 40 + 5].iter().all(|v| v.abs() < 1e-3) && added[0] == [0.0; 3]);
        for x in 10..30 {
            let part = (x - 9) as f32 / 21.0;
            let at = added[20 * 40 + x];
            assert!((at[0] - 21.0 * part).abs() < 1.2 && (at[2] + 42.0 * part).abs() < 2.4, "{x}: {at:?}");
        }
    }
}
