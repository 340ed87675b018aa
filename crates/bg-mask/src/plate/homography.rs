//! The projective map between two views of a plane, found among wrong correspondences.

/// Row-major 3 × 3, the last entry 1.
pub(super) type Homography = [f64; 9];

/// A correspondence: a point and where it went.
pub(super) type Pair = ([f32; 2], [f32; 2]);

/// Draws.
const ROUNDS: usize = 300;
/// Pixels by which a correspondence may miss.
const TOLERANCE: f64 = 1.5;

/// Everything moves right and down by so many pixels.
pub(super) const fn shift([right, down]: [f64; 2]) -> Homography {
    [1.0, 0.0, right, 0.0, 1.0, down, 0.0, 0.0, 1.0]
}

#[inline]
pub(super) fn apply(h: &Homography, [x, y]: [f32; 2]) -> [f32; 2] {
    let (x, y) = (f64::from(x), f64::from(y));
    let w = h[6] * x + h[7] * y + h[8];
    let w = if w.abs() < 1e-9 { 1e-9 } else { w };
    [((h[0] * x + h[1] * y + h[2]) / w) as f32, ((h[3] * x + h[4] * y + h[5]) / w) as f32]
}

/// The homography that most pairs agree with and how many do; `None` for too few. Draws are the same every time.
pub(super) fn robust(pairs: &[Pair]) -> Option<(Homography, usize)> {
    if pairs.len() < 8 {
        return None;
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % pairs.len()
    };
    let count = |h: &Homography| pairs.iter().filter(|p| squared_miss(h, p) < TOLERANCE * TOLERANCE).count();
    let mut best: (usize, Option<Homography>) = (0, None);
    for _ in 0..ROUNDS {
        let four = [draw(), draw(), draw(), draw()].map(|i| pairs[i]);
        if let Some(h) = least_squares(&four, |_| 1.0) {
            let n = count(&h);
            if n > best.0 {
                best = (n, Some(h));
            }
        }
    }
    let mut h = best.1?;
    for _ in 0..4 {
        let weight = |p: &Pair| {
            let r = miss(&h, p) / TOLERANCE;
            if r < 2.0 { 1.0 / (1.0 + r * r) } else { 0.0 }
        };
        let inliers: Vec<Pair> = pairs.iter().copied().filter(|p| miss(&h, p) < 2.0 * TOLERANCE).collect();
        match least_squares(&inliers, weight) {
            Some(better) => h = better,
            None => break,
        }
    }
    let n = count(&h);
    (n >= 8).then_some((h, n))
}

fn miss(h: &Homography, pair: &Pair) -> f64 {
    squared_miss(h, pair).sqrt()
}

fn squared_miss(h: &Homography, pair: &Pair) -> f64 {
    let at = apply(h, pair.0);
    let [dx, dy] = [0, 1].map(|k| f64::from(at[k] - pair.1[k]));
    dx * dx + dy * dy
}

/// The linear least-squares homography, in coordinates of about unit size.
fn least_squares(pairs: &[Pair], weight: impl Fn(&Pair) -> f64) -> Option<Homography> {
    if pairs.len() < 4 {
        return None;
    }
    let n = pairs.len() as f64;
    let mean = |f: &dyn Fn(&Pair) -> f32| pairs.iter().map(|p| f64::from(f(p))).sum::<f64>() / n;
    let (cx, cy) = (mean(&|p| p.0[0]), mean(&|p| p.0[1]));
    let (ux, uy) = (mean(&|p| p.1[0]), mean(&|p| p.1[1]));
    let scale = 1.0 / mean(&|p| (p.0[0] - cx as f32).abs() + (p.0[1] - cy as f32).abs()).max(1e-6);
    let mut a = [[0.0; 9]; 8];
    for pair in pairs {
        let w = weight(pair);
        let (x, y) = ((f64::from(pair.0[0]) - cx) * scale, (f64::from(pair.0[1]) - cy) * scale);
        let (u, v) = ((f64::from(pair.1[0]) - ux) * scale, (f64::from(pair.1[1]) - uy) * scale);
        let rows =
            [[x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u], [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v]];
        for row in rows {
            for i in 0..8 {
                for j in 0..9 {
                    a[i][j] += w * row[i] * row[j];
                }
            }
        }
    }
    let h = eliminate(a)?;
    let h = [h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], 1.0];
    // Back to pixels: to · h · from.
    let from = [scale, 0.0, -cx * scale, 0.0, scale, -cy * scale, 0.0, 0.0, 1.0];
    let to = [1.0 / scale, 0.0, ux, 0.0, 1.0 / scale, uy, 0.0, 0.0, 1.0];
    let h = product(&to, &product(&h, &from));
    (h[8].abs() > 1e-9).then(|| h.map(|v| v / h[8])).filter(|h| h.iter().all(|v| v.is_finite()))
}

/// `a` after `b`.
pub(super) fn product(a: &Homography, b: &Homography) -> Homography {
    std::array::from_fn(|i| (0..3).map(|k| a[i / 3 * 3 + k] * b[k * 3 + i % 3]).sum())
}

/// Gauss–Jordan with row exchange on eight equations.
fn eliminate(mut a: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for c in 0..8 {
        let pivot = (c..8).max_by(|i, j| a[*i][c].abs().total_cmp(&a[*j][c].abs()))?;
        if a[pivot][c].abs() < 1e-10 {
            return None;
        }
        a.swap(c, pivot);
        for r in 0..8 {
            if r != c {
                let f = a[r][c] / a[c][c];
                for k in c..9 {
                    a[r][k] -= f * a[c][k];
                }
            }
        }
    }
    Some(std::array::from_fn(|i| a[i][8] / a[i][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_found_among_wrong_pairs() {
        let h = [1.02, 0.01, -5.0, -0.015, 0.99, 3.0, 2e-5, -1e-5, 1.0];
        let pairs: Vec<Pair> = (0..120)
            .map(|i| {
                let p = [(i * 37 % 640) as f32, (i * 91 % 360) as f32];
                let q = apply(&h, p);
                if i % 3 == 0 { (p, [q[0] + 9.0 + (i % 7) as f32 * 5.0, q[1] - 20.0]) } else { (p, q) }
            })
            .collect();
        let (found, n) = robust(&pairs).unwrap();
        assert_eq!(n, 80);
        for p in [[10.0, 20.0], [600.0, 300.0]] {
            let (a, b) = (apply(&found, p), apply(&h, p));
            assert!((a[0] - b[0]).hypot(a[1] - b[1]) < 0.05);
        }
        assert!(robust(&pairs[..5]).is_none());
    }
}
