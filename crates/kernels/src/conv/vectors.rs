//! What convolutions ask of a level beyond vectors: the order of their sums, and the inner loop of their products.
#![expect(unsafe_code, reason = "the inner loop reads through pointers; slices that were checked as a whole")]

use simd::{Portable, Simd};

/// Vectors of 8 or 16 lanes for convolutions.
pub(super) trait Vectors: Simd {
    /// Sum of the lanes.
    fn total(self, v: Self::V) -> f32;

    /// Sum of squares.
    #[inline(always)]
    fn squares(self, x: &[f32]) -> f32 {
        let vectors = x.chunks_exact(Self::LANES);
        let rest = vectors.remainder();
        let mut squares = self.splat(0.0);
        for v in vectors {
            let v = self.load(v);
            squares = self.fma(v, v, squares);
        }
        let mut sum = self.total(squares);
        for x in rest {
            sum += x * x;
        }
        sum
    }

    /// `acc[i][v] += Σ_k rows[i][k] · b[k·step + v·next ..]`
    ///
    /// # Safety
    /// `rows` are valid for reading `k` elements, `b` for all vectors at those offsets.
    #[inline(always)]
    unsafe fn accumulate<const MR: usize, const NV: usize>(
        self,
        rows: &[*const f32; MR],
        k: usize,
        b: *const f32,
        next: usize,
        step: usize,
        acc: &mut [[Self::V; NV]; MR],
    ) {
        // SAFETY: this function's own contract.
        unsafe { accumulate(self, rows, k, b, next, step, acc) };
    }

    /// The vector from element `at` on.
    ///
    /// # Safety
    /// `x` has its elements.
    #[inline(always)]
    unsafe fn load_unchecked(self, x: &[f32], at: usize) -> Self::V {
        // SAFETY: this function's own contract.
        self.load(unsafe { x.get_unchecked(at..at + Self::LANES) })
    }

    /// Writes the vector from element `at` on.
    ///
    /// # Safety
    /// `x` has its elements.
    #[inline(always)]
    unsafe fn store_unchecked(self, v: Self::V, x: &mut [f32], at: usize) {
        // SAFETY: this function's own contract.
        self.store(v, unsafe { x.get_unchecked_mut(at..at + Self::LANES) });
    }
}

/// [`Vectors::accumulate`] as the compiler arranges it.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn accumulate<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    rows: &[*const f32; MR],
    k: usize,
    b: *const f32,
    next: usize,
    step: usize,
    acc: &mut [[S::V; NV]; MR],
) {
    let mut b = b;
    // A copy of their own keeps the sums in registers: through the reference they were written to memory at every step.
    let mut sums = *acc;
    for k in 0..k {
        let mut bv = [s.splat(0.0); NV];
        for (v, bv) in bv.iter_mut().enumerate() {
            // SAFETY: `b` is valid for vector `v` of step `k`, and has the alignment of its elements.
            *bv = s.load(unsafe { std::slice::from_raw_parts(b.wrapping_add(v * next), S::LANES) });
        }
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: rows are valid for `k` elements.
            let x = s.splat(unsafe { row.wrapping_add(k).read() });
            for (sum, bv) in sums.iter_mut().zip(bv) {
                *sum = s.fma(x, bv, *sum);
            }
        }
        b = b.wrapping_add(step);
    }
    *acc = sums;
}

impl Vectors for Portable<8> {
    #[inline(always)]
    fn total(self, v: [f32; 8]) -> f32 {
        v.iter().sum()
    }
}

/// Sums go over registers of 4 lanes.
#[cfg(target_arch = "aarch64")]
impl Vectors for simd::Twice<simd::Neon> {
    #[inline(always)]
    fn total(self, [low, high]: Self::V) -> f32 {
        let s = self.half();
        let mut lanes = [0.0; 4];
        s.store(s.add(low, high), &mut lanes);
        (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
    }

    #[inline(always)]
    fn squares(self, x: &[f32]) -> f32 {
        let s = self.half();
        let vectors = x.chunks_exact(4);
        let rest = vectors.remainder();
        let mut squares = s.splat(0.0);
        for v in vectors {
            let v = s.load(v);
            squares = s.fma(v, v, squares);
        }
        let mut sum = self.total([squares, s.splat(0.0)]);
        for x in rest {
            sum += x * x;
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;
