//! A smooth map from one frame to another: positions on a grid, bilinear between.

use super::homography::{self, Homography, Pair};

/// A map on a rectangle of a picture.
#[derive(Clone, Debug)]
pub(super) struct Warp {
    /// Upper left node.
    pub origin: [f32; 2],
    /// Pixels between nodes.
    pub step: f32,
    /// Nodes across and down.
    pub nodes: [usize; 2],
    /// Where each node goes.
    pub to: Vec<[f32; 2]>,
}

/// Correspondences that miss what most around them say by more are wrong, in pixels.
const OUTLIER: f32 = 2.5;

impl Warp {
    /// The identity on a rectangle (left, top, right, bottom).
    pub(super) fn identity([left, top, right, bottom]: [f32; 4], step: f32) -> Self {
        let nodes = [right - left, bottom - top].map(|n| (n / step).ceil().max(1.0) as usize + 1);
        let to = (0..nodes[0] * nodes[1])
            .map(|i| [left + (i % nodes[0]) as f32 * step, top + (i / nodes[0]) as f32 * step])
            .collect();
        Self { origin: [left, top], step, nodes, to }
    }

    /// A homography with what correspondences say beyond it, smoothed over `reach` pixels.
    pub(super) fn from_pairs(
        size: [usize; 2],
        h: &Homography,
        pairs: &[Pair],
        step: f32,
        reach: f32,
    ) -> Self {
        let mut warp = Self::identity([0.0, 0.0, size[0] as f32, size[1] as f32], step);
        let residuals: Vec<Pair> = pairs
            .iter()
            .map(|(p, q)| {
                let at = homography::apply(h, *p);
                (*p, [q[0] - at[0], q[1] - at[1]])
            })
            .collect();
        let correction = warp.smooth(&residuals, reach, 0.3);
        for (to, d) in warp.to.iter_mut().zip(correction) {
            let at = homography::apply(h, *to);
            *to = [at[0] + d[0], at[1] + d[1]];
        }
        warp
    }

    /// Node position `i` before the map.
    pub(super) fn node(&self, i: usize) -> [f32; 2] {
        let (x, y) = ((i % self.nodes[0]) as f32, (i / self.nodes[0]) as f32);
        [self.origin[0] + x * self.step, self.origin[1] + y * self.step]
    }

    /// Where a point goes. Outside of the grid it moves as its nearest border does.
    pub(super) fn at(&self, p: [f32; 2]) -> [f32; 2] {
        self.at_with_slopes(p).0
    }

    /// Where a point goes, and by how much that changes for a step across and a step down inside the grid's cell.
    #[inline(always)]
    pub(super) fn at_with_slopes(&self, [x, y]: [f32; 2]) -> ([f32; 2], [[f32; 2]; 2]) {
        let limit = |n: usize| n as f32 - 1.001;
        let share = 1.0 / self.step;
        let u = ((x - self.origin[0]) * share).clamp(0.0, limit(self.nodes[0]));
        let v = ((y - self.origin[1]) * share).clamp(0.0, limit(self.nodes[1]));
        let (u0, v0) = (u as i32 as usize, v as i32 as usize);
        let (fu, fv) = (u - u0 as f32, v - v0 as f32);
        let (upper, lower) = (v0 * self.nodes[0] + u0, (v0 + 1) * self.nodes[0] + u0);
        let ([a, b], [c, d]) = ([self.to[upper], self.to[upper + 1]], [self.to[lower], self.to[lower + 1]]);
        let rest = [x - (self.origin[0] + u * self.step), y - (self.origin[1] + v * self.step)];
        let (mut at, mut slopes) = ([0.0; 2], [[0.0; 2]; 2]);
        for k in 0..2 {
            let (across, across_below) = (b[k] - a[k], d[k] - c[k]);
            let (here, below) = (a[k] + across * fu, c[k] + across_below * fu);
            at[k] = here + (below - here) * fv + rest[k];
            slopes[0][k] = (across + (across_below - across) * fv) * share;
            slopes[1][k] = (below - here) * share;
        }
        (at, slopes)
    }

    /// How a small offset at a point is turned and scaled.
    pub(super) fn affine(&self, [x, y]: [f32; 2]) -> [[f32; 2]; 2] {
        let d = self.step;
        let [a, b] = [self.at([x + d, y]), self.at([x - d, y])];
        let [c, e] = [self.at([x, y + d]), self.at([x, y - d])];
        let slope = |p: [f32; 2], q: [f32; 2], k: usize| (p[k] - q[k]) / (2.0 * d);
        [[slope(a, b, 0), slope(c, e, 0)], [slope(a, b, 1), slope(c, e, 1)]]
    }

    /// The map followed by another.
    pub(super) fn then(&mut self, next: &Self) {
        for to in &mut self.to {
            *to = next.at(*to);
        }
    }

    /// Scattered displacements as a smooth field on the nodes: weighted means over `reach` pixels, in two rounds of which the
    /// second leaves out what misses the first; `rest` is the weight of no displacement.
    pub(super) fn smooth(&self, scattered: &[Pair], reach: f32, rest: f32) -> Vec<[f32; 2]> {
        let first = self.mean(scattered, reach, rest);
        let field = Self { to: first, ..self.clone() };
        let kept: Vec<Pair> = scattered
            .iter()
            .copied()
            .filter(|(p, d)| {
                let at = field.displacement(*p);
                (at[0] - d[0]).hypot(at[1] - d[1]) < OUTLIER
            })
            .collect();
        self.mean(&kept, reach, rest)
    }

    /// The nodes' values themselves, bilinear.
    fn displacement(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let u = ((x - self.origin[0]) / self.step).clamp(0.0, self.nodes[0] as f32 - 1.0).round() as usize;
        let v = ((y - self.origin[1]) / self.step).clamp(0.0, self.nodes[1] as f32 - 1.0).round() as usize;
        self.to[v * self.nodes[0] + u]
    }

    fn mean(&self, scattered: &[Pair], reach: f32, rest: f32) -> Vec<[f32; 2]> {
        let mut sums = vec![[0.0_f32; 3]; self.to.len()];
        // A narrow and a wide kernel: near correspondences decide, far ones fill in. Both fall off along each axis by itself.
        let far = 3.0 * reach;
        let mut falls: [Vec<[f32; 2]>; 2] = Default::default();
        for (p, d) in scattered {
            let mut from = [0; 2];
            for (k, falls) in falls.iter_mut().enumerate() {
                let low = ((p[k] - far - self.origin[k]) / self.step).ceil().max(0.0) as usize;
                let high = ((p[k] + far - self.origin[k]) / self.step).floor();
                let high = if high < 0.0 { 0 } else { (high as usize + 1).min(self.nodes[k]) };
                from[k] = low;
                falls.clear();
                falls.extend((low..high).map(|n| {
                    let off = (self.origin[k] + n as f32 * self.step - p[k]) / reach;
                    let r2 = off * off;
                    [(-r2 * 2.0).exp(), (-r2 * 0.3).exp()]
                }));
            }
            let [across, down] = &falls;
            for (y, fy) in down.iter().enumerate() {
                let (narrow, wide) = (fy[0], 0.02 * fy[1]);
                let at = (from[1] + y) * self.nodes[0] + from[0];
                for (sum, fx) in sums[at.min(self.to.len())..].iter_mut().zip(across) {
                    let w = fx[0] * narrow + fx[1] * wide;
                    sum[0] += w * d[0];
                    sum[1] += w * d[1];
                    sum[2] += w;
                }
            }
        }
        sums.iter().map(|s| [s[0] / (s[2] + 0.02 * rest), s[1] / (s[2] + 0.02 * rest)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_follow_one_another() {
        let mut a = Warp::identity([0.0, 0.0, 100.0, 80.0], 10.0);
        a.to.iter_mut().for_each(|p| p[0] += 3.0);
        let mut b = Warp::identity([0.0, 0.0, 100.0, 80.0], 16.0);
        b.to.iter_mut().for_each(|p| *p = [p[0] * 1.1, p[1] - 2.0]);
        a.then(&b);
        let at = a.at([50.0, 40.0]);
        assert!((at[0] - 58.3).abs() < 1e-3 && (at[1] - 38.0).abs() < 1e-3, "{at:?}");
        assert!((a.affine([50.0, 40.0])[0][0] - 1.1).abs() < 1e-3);
    }

    #[test]
    fn wrong_displacements_are_left_out() {
        let grid = Warp::identity([0.0, 0.0, 200.0, 200.0], 20.0);
        let mut scattered: Vec<Pair> =
            (0..100).map(|i| ([(i % 10) as f32 * 20.0, (i / 10) as f32 * 20.0], [1.0, -0.5])).collect();
        scattered[55].1 = [30.0, 30.0];
        let field = grid.smooth(&scattered, 30.0, 0.0);
        assert!(field.iter().all(|d| (d[0] - 1.0).abs() < 0.05 && (d[1] + 0.5).abs() < 0.05));
    }
}
