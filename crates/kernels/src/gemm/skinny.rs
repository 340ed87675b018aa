//! Products with very few rows by a row-major weight: bound by reading the weight, so it is read once, in order.
#![expect(unsafe_code, reason = "tasks write disjoint columns of the output")]

use half::bf16;
use rayon::prelude::*;
use simd::{Kernel, Level, Simd, dispatch};

use super::Mat;
use super::epilogue::Epilogue;
use super::source::Source;
use crate::QuantKind;
use crate::scratch::Scratch;
use crate::shared::SharedOut;

/// Columns of a task.
const COLS: usize = 64;

/// Columns `col0..col0 + len` of the output.
struct Columns<'a> {
    a: &'a Mat<'a>,
    b: &'a Source<'a>,
    n: usize,
    col0: usize,
    len: usize,
    epilogue: &'a Epilogue<'a>,
    out: SharedOut<'a>,
}

/// Makes the product if the right side is row-major; says whether it did.
pub(super) fn product(
    level: Level,
    a: &Mat<'_>,
    b: &Source<'_>,
    n: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) -> bool {
    if !matches!(b, Source::Rows { .. } | Source::RowsBf16 { .. } | Source::Quantized { .. }) {
        return false;
    }
    let out = SharedOut::new(out);
    let columns = |task: usize| {
        let col0 = task * COLS;
        dispatch(level, Columns { a, b, n, col0, len: COLS.min(n - col0), epilogue, out });
    };
    let tasks = n.div_ceil(COLS);
    if n * a.cols < super::driver::SERIAL {
        (0..tasks).for_each(columns);
    } else {
        (0..tasks).into_par_iter().for_each(columns);
    }
    true
}

impl<S: Simd> Kernel<S> for Columns<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        if let Source::Quantized { kind, bytes, k, .. } = *self.b {
            self.quantized(s, kind, bytes, k);
            return;
        }
        for row in 0..self.a.rows {
            let x = &self.a.data[row * self.a.row_stride..][..self.a.cols];
            let mut acc = [0.0; COLS];
            for (j, acc) in acc[..self.len].iter_mut().enumerate() {
                let col = self.col0 + j;
                *acc = match *self.b {
                    Source::Rows { w, k, .. } => dot(s, x, &w[col * k..(col + 1) * k]),
                    Source::RowsBf16 { w, k, .. } => dot_bf16(s, x, &w[col * k..(col + 1) * k]),
                    _ => unreachable!("checked by the caller"),
                };
            }
            // SAFETY: tasks have disjoint columns, and this task makes one piece at a time.
            let out = unsafe { self.out.piece(row * self.n + self.col0, self.len) };
            self.epilogue.write(s, row, self.col0, self.n, &mut acc[..self.len], out);
        }
    }
}

impl Columns<'_> {
    /// Dequantises each column of the weight once for all rows.
    #[inline(always)]
    fn quantized<S: Simd>(self, s: S, kind: QuantKind, bytes: &[u8], k: usize) {
        let row_bytes = k / kind.block_len() * kind.block_bytes();
        let mut weight = Scratch::<f32>::new(k);
        let mut acc = [[0.0; COLS]; super::driver::SKINNY_ROWS];
        for j in 0..self.len {
            kind.dequantize(&bytes[(self.col0 + j) * row_bytes..][..row_bytes], &mut weight);
            for (row, acc) in acc[..self.a.rows].iter_mut().enumerate() {
                acc[j] = dot(s, &self.a.data[row * self.a.row_stride..][..k], &weight);
            }
        }
        for (row, acc) in acc[..self.a.rows].iter_mut().enumerate() {
            // SAFETY: tasks have disjoint columns, and this task makes one piece at a time.
            let out = unsafe { self.out.piece(row * self.n + self.col0, self.len) };
            self.epilogue.write(s, row, self.col0, self.n, &mut acc[..self.len], out);
        }
    }
}

/// Sums in flight, to hide the latency of the additions.
const SUMS: usize = 4;

macro_rules! dot {
    ($name:ident, $t:ty, $load:expr, $widen:expr) => {
        #[inline(always)]
        pub(super) fn $name<S: Simd>(s: S, x: &[f32], w: &[$t]) -> f32 {
            let mut sums = [s.splat(0.0); SUMS];
            let step = SUMS * S::LANES;
            let whole = x.len() / step * step;
            for (x, w) in x[..whole].chunks_exact(step).zip(w[..whole].chunks_exact(step)) {
                for i in 0..SUMS {
                    sums[i] = s.fma(s.load(&x[i * S::LANES..]), $load(s, &w[i * S::LANES..]), sums[i]);
                }
            }
            let [a, b, c, d] = sums;
            let rest: f32 = x[whole..].iter().zip(&w[whole..]).map(|(x, w)| x * $widen(*w)).sum();
            s.sum(s.add(s.add(a, b), s.add(c, d))) + rest
        }
    };
}
dot!(dot, f32, S::load, std::convert::identity::<f32>);
dot!(dot_bf16, bf16, load_bf16, crate::elementwise::widen);

#[inline(always)]
fn load_bf16<S: Simd>(s: S, w: &[bf16]) -> S::V {
    s.load_bf16(bytemuck::cast_slice(w))
}
