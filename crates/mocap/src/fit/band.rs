//! Symmetric positive definite systems whose entries lie near the diagonal.

use simd::{Kernel, Simd};

/// The lower half of a banded matrix: row `i` holds columns `i - width ..= i`.
#[derive(Debug)]
pub(crate) struct Band {
    n: usize,
    width: usize,
    rows: Vec<f64>,
}

impl Band {
    pub(crate) fn new(n: usize, width: usize) -> Self {
        Self { n, width, rows: vec![0.0; n * (width + 1)] }
    }

    /// Adds to entry (i, j) of the lower half, `i >= j`, at most `width` apart.
    pub(crate) fn add(&mut self, i: usize, j: usize, value: f64) {
        debug_assert!(i >= j && i - j <= self.width);
        self.rows[i * (self.width + 1) + self.width + j - i] += value;
    }

    /// Multiplies the diagonal by `1 + lambda` and adds a little.
    pub(crate) fn damp(&mut self, lambda: f64) {
        for i in 0..self.n {
            let d = &mut self.rows[i * (self.width + 1) + self.width];
            *d += *d * lambda + 1e-9;
        }
    }

    /// Solves `self · x = b` by Cholesky's decomposition; `None` if the matrix isn't positive definite.
    pub(crate) fn solve(self, b: &[f64]) -> Option<Vec<f64>> {
        simd::dispatch(simd::level(), Solve { band: self, b })
    }

    #[inline(always)]
    fn solve_inline(mut self, b: &[f64]) -> Option<Vec<f64>> {
        let (n, w) = (self.n, self.width);
        let stride = w + 1;
        for i in 0..n {
            let first = i.saturating_sub(w);
            let (above, rest) = self.rows.split_at_mut(i * stride);
            let row = &mut rest[..stride];
            for j in first..i {
                // Columns that rows i and j share, left of j.
                let from = first.max(j.saturating_sub(w));
                let other = &above[j * stride..][..stride];
                let mine = &row[w + from - i..w + j - i];
                let theirs = &other[w + from - j..w];
                let sum = dot(mine, theirs);
                row[w + j - i] = (row[w + j - i] - sum) / other[w];
            }
            let mine = &row[w + first - i..w];
            let d = row[w] - dot(mine, mine);
            if !(d > 0.0) {
                return None;
            }
            row[w] = d.sqrt();
        }
        let mut x = b.to_vec();
        for i in 0..n {
            let first = i.saturating_sub(w);
            let row = &self.rows[i * stride..][..stride];
            x[i] = (x[i] - dot(&row[w + first - i..w], &x[first..i])) / row[w];
        }
        for i in (0..n).rev() {
            let first = i.saturating_sub(w);
            let row = &self.rows[i * stride..][..stride];
            x[i] /= row[w];
            let value = x[i];
            for (x, l) in x[first..i].iter_mut().zip(&row[w + first - i..w]) {
                *x -= l * value;
            }
        }
        Some(x)
    }
}

/// [`Band::solve`] as it is compiled for each instruction set: the same sums in the same order, in wider vectors.
struct Solve<'a> {
    band: Band,
    b: &'a [f64],
}

impl<S: Simd> Kernel<S, Option<Vec<f64>>> for Solve<'_> {
    #[inline(always)]
    fn run(self, _: S) -> Option<Vec<f64>> {
        self.band.solve_inline(self.b)
    }
}

/// A sum in eight lanes, so that it can be vectorised.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a1) = a.as_chunks::<8>();
    let (b8, b1) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        for k in 0..8 {
            lanes[k] += a[k] * b[k];
        }
    }
    lanes.iter().sum::<f64>() + a1.iter().zip(b1).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_a_banded_system() {
        let (n, w) = (40, 11);
        let mut band = Band::new(n, w);
        let mut full = vec![vec![0.0; n]; n];
        for i in 0..n {
            for j in i.saturating_sub(w)..=i {
                let v = if i == j { 20.0 + i as f64 * 0.1 } else { ((i * 7 + j * 3) % 5) as f64 * 0.3 - 0.6 };
                band.add(i, j, v);
                (full[i][j], full[j][i]) = (v, v);
            }
        }
        let expected: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin()).collect();
        let b: Vec<f64> =
            full.iter().map(|row| row.iter().zip(&expected).map(|(a, b)| a * b).sum()).collect();
        let x = band.solve(&b).unwrap();
        assert!(x.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn an_indefinite_system_is_refused() {
        let mut band = Band::new(2, 1);
        band.add(0, 0, 1.0);
        band.add(1, 0, 2.0);
        band.add(1, 1, 1.0);
        assert!(band.solve(&[1.0, 1.0]).is_none());
    }
}
