//! Matrix products: `Linear` layers with their epilogues, and general strided products.

mod driver;
pub(crate) mod epilogue;
pub(crate) mod int8;
pub(crate) mod packed;
pub(crate) mod product;
mod skinny;
pub(crate) mod source;
mod w8a8;

use half::bf16;

use self::epilogue::{Combine, Epilogue};
pub use self::packed::{NotPanels, PackedBf16, PackedF32, SharedBytes};
use self::source::Source;
pub use self::w8a8::PackedInt8;
use crate::{Activation, Precision, QuantKind};

/// The weight of a [`Linear`], `[N, K]` row-major as PyTorch stores it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Weight<'a> {
    /// As stored, `f32`.
    F32(&'a [f32]),
    /// As stored, bf16: for weights that are used once, for instance streamed from a mapped file.
    Bf16(&'a [bf16]),
    /// Packed once, `f32`.
    PackedF32(&'a PackedF32),
    /// Packed once, bf16.
    PackedBf16(&'a PackedBf16),
    /// Packed once, 8 bits with a scale a row. Activations are rounded to 8 bits too, with a scale a row ([`Precision::Int8`]), unless
    /// [`Linear::precision`] asks for another product.
    PackedInt8(&'a PackedInt8),
    /// Rows of quantised blocks as a GGUF file holds them, dequantised as they are read.
    Quantized(QuantKind, &'a [u8]),
}

/// Factor of what a product adds to its output.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a> {
    /// 1.
    One,
    /// One row `[N]` for all rows.
    Row(&'a [f32]),
    /// A value per element, `[M, N]`.
    Full(&'a [f32]),
}

/// A linear layer `act(x · Wᵀ + bias)`.
///
/// ```
/// use anicrafter_kernels::{Gate, Linear, Weight};
/// let layer = Linear::new(Weight::F32(&[2.0, 0.0, 0.0, 2.0]), 2, 2);
/// let mut residual = [10.0, 20.0];
/// layer.forward_add(&[1.0, 2.0], Gate::Row(&[1.0, 0.5]), &mut residual);
/// assert_eq!(residual, [12.0, 22.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    weight: Weight<'a>,
    n: usize,
    k: usize,
    bias: Option<&'a [f32]>,
    activation: Activation,
    precision: Precision,
}

impl<'a> Linear<'a> {
    /// A layer of `k` inputs and `n` outputs, without bias or activation, [`Precision::F32`] for `f32` weights,
    /// [`Precision::Int8`] for those packed in 8 bits and [`Precision::Bf16`] for others.
    ///
    /// # Panics
    /// If the weight isn't `[n, k]`.
    #[must_use]
    pub fn new(weight: Weight<'a>, n: usize, k: usize) -> Self {
        let (fits, precision) = match weight {
            Weight::F32(w) => (w.len() == n * k, Precision::F32),
            Weight::Bf16(w) => (w.len() == n * k, Precision::Bf16),
            Weight::PackedF32(w) => (w.shape() == [n, k], Precision::F32),
            Weight::PackedBf16(w) => (w.shape() == [n, k], Precision::Bf16),
            Weight::PackedInt8(w) => (w.shape() == [n, k], Precision::Int8),
            Weight::Quantized(kind, bytes) => {
                (kind.row_bytes(k).is_some_and(|row| row * n == bytes.len()), Precision::Bf16)
            }
        };
        assert!(fits, "the weight isn't [{n}, {k}]");
        Self { weight, n, k, bias: None, activation: Activation::None, precision }
    }

    /// With a bias `[N]`.
    ///
    /// # Panics
    /// If it has another length.
    #[must_use]
    pub fn bias(mut self, bias: &'a [f32]) -> Self {
        assert_eq!(bias.len(), self.n, "bias doesn't have a value for each output");
        self.bias = Some(bias);
        self
    }

    /// With an activation after the bias.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// With another precision of the products.
    ///
    /// [`Precision::Int8`] rounds activations, a row's 32 neighbours at a time, to 255 values spread evenly up to the largest
    /// magnitude among them; products by quantised weights then are integers, exact, and every [`crate::Level`] gives the
    /// same bytes. A row that holds a NaN or an infinity becomes NaN. Products of up to 4 rows, whose time goes into reading
    /// the weight, those by Q6_K, which would be no faster, and those by weights that aren't quantised stay at the weight's
    /// own precision. By a [`PackedInt8`] all products are integers, with one scale for a whole row of activations.
    ///
    /// ```
    /// use anicrafter_kernels::{Linear, Precision, QuantKind, Weight};
    /// let mut block = vec![1; 34]; // Q8_0: 32 weights of 1 times their scale,
    /// block[..2].copy_from_slice(&[0x00, 0x38]); // 0.5
    /// let x: Vec<f32> = (0..5 * 32).map(|i| (i % 32) as f32).collect(); // [M=5, K=32]
    /// let mut y = [0.0; 5];
    /// let layer = Linear::new(Weight::Quantized(QuantKind::Q8_0, &block), 1, 32);
    /// layer.precision(Precision::Int8).forward(&x, &mut y);
    /// assert!(y.iter().all(|y| (y - 248.0).abs() < 0.005 * 248.0));
    /// ```
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        if precision != Precision::Int8
            || matches!(self.weight, Weight::Quantized(..) | Weight::PackedInt8(_))
        {
            self.precision = precision;
        }
        self
    }

    /// `out = act(x · Wᵀ + bias)`; `x` `[M, K]`, `out` `[M, N]`.
    ///
    /// # Panics
    /// If `x` isn't whole rows or `out` doesn't fit.
    pub fn forward(&self, x: &[f32], out: &mut [f32]) {
        self.run(x, Combine::Store, out);
    }

    /// `out += gate · act(x · Wᵀ + bias)`.
    ///
    /// # Panics
    /// If `x` isn't whole rows, or `out` or `gate` don't fit.
    pub fn forward_add(&self, x: &[f32], gate: Gate<'_>, out: &mut [f32]) {
        self.run(x, Combine::AddTo(gate), out);
    }

    /// `out = residual + gate · act(x · Wᵀ + bias)`.
    ///
    /// # Panics
    /// If `x` isn't whole rows, or `out`, `residual` or `gate` don't fit.
    pub fn forward_residual(&self, x: &[f32], residual: &[f32], gate: Gate<'_>, out: &mut [f32]) {
        self.run(x, Combine::Residual(residual, gate), out);
    }

    fn run(&self, x: &[f32], combine: Combine<'_>, out: &mut [f32]) {
        let Self { n, k, .. } = *self;
        assert!(k > 0 && x.len().is_multiple_of(k), "x isn't whole rows of {k}");
        let m = x.len() / k;
        assert_eq!(out.len(), m * n, "out isn't [{m}, {n}]");
        if let Combine::Residual(residual, _) = combine {
            assert_eq!(residual.len(), m * n, "residual isn't [{m}, {n}]");
        }
        if let Combine::AddTo(gate) | Combine::Residual(_, gate) = combine {
            match gate {
                Gate::One => {}
                Gate::Row(gate) => assert_eq!(gate.len(), n, "gate isn't a row of {n}"),
                Gate::Full(gate) => assert_eq!(gate.len(), m * n, "gate isn't [{m}, {n}]"),
            }
        }
        if m == 0 || n == 0 {
            return;
        }
        let source = match self.weight {
            Weight::F32(w) => Source::Rows { w, n, k },
            Weight::Bf16(w) => Source::RowsBf16 { w, n, k },
            Weight::PackedF32(w) => Source::Panels { panels: w.panels(), k },
            Weight::PackedBf16(w) => Source::PanelsBf16 { panels: w.panels(), k },
            Weight::PackedInt8(w) => Source::PanelsInt8(w),
            Weight::Quantized(kind, bytes) => Source::Quantized { kind, bytes, n, k },
        };
        let epilogue = Epilogue { bias: self.bias, activation: self.activation, combine };
        driver::product(Mat::new(x, m, k), source, n, self.precision, &epilogue, out);
    }
}

/// A strided matrix.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    /// The elements; the first is row 0, column 0.
    pub data: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from a row to the next.
    pub row_stride: usize,
    /// Elements from a column to the next.
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A contiguous row-major matrix.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn check(&self, name: &str) {
        if self.rows > 0 && self.cols > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride;
            assert!(last < self.data.len(), "{name} reaches beyond its data: {last} of {}", self.data.len());
        }
    }
}

/// `out = a · b`; `a` `[M, K]`, `b` `[K, N]`, `out` contiguous `[M, N]`.
///
/// # Panics
/// If the inner sizes differ or a slice doesn't fit.
pub fn matmul(a: Mat<'_>, b: Mat<'_>, out: &mut [f32]) {
    a.check("a");
    b.check("b");
    assert_eq!(a.cols, b.rows, "a's columns and b's rows differ");
    assert_eq!(out.len(), a.rows * b.cols, "out isn't [{}, {}]", a.rows, b.cols);
    if out.is_empty() {
        return;
    }
    let epilogue = Epilogue { bias: None, activation: Activation::None, combine: Combine::Store };
    let source = match b {
        Mat { row_stride: 1, .. } if b.col_stride == b.rows && b.cols > 0 => {
            Source::Rows { w: &b.data[..b.rows * b.cols], n: b.cols, k: b.rows }
        }
        _ => Source::Strided(b),
    };
    driver::product(a, source, b.cols, Precision::F32, &epilogue, out);
}

/// [`matmul`] for each of `batch` pairs of matrices that lie `a_stride` and `b_stride` elements apart (0 to reuse one);
/// `out` contiguous `[batch, M, N]`. The views are those of the first pair.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_batched(
    batch: usize,
    a: Mat<'_>,
    a_stride: usize,
    b: Mat<'_>,
    b_stride: usize,
    out: &mut [f32],
) {
    let size = a.rows * b.cols;
    assert_eq!(out.len(), batch * size, "out isn't [{batch}, {}, {}]", a.rows, b.cols);
    if size == 0 {
        return;
    }
    use rayon::prelude::*;
    out.par_chunks_mut(size).enumerate().for_each(|(i, out)| {
        matmul(Mat { data: &a.data[i * a_stride..], ..a }, Mat { data: &b.data[i * b_stride..], ..b }, out);
    });
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::product::Bf16Pairs;
    use super::{Combine, Epilogue, Mat, PackedBf16, Source, driver};
    use crate::elementwise::widen;
    use crate::{Activation, Level};

    /// The path of bf16 products, at every level: packing of pairs, odd K, edges. (Only [`Level::Avx512Bf16`] multiplies
    /// in bf16; the others multiply the same rounded values in `f32`.)
    #[test]
    fn pairs_match_the_sum_of_rounded_factors_at_every_level() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for [m, n, k] in [[1, 1, 1], [5, 16, 3], [7, 33, 130], [30, 70, 515], [3, 20, 1026]] {
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let w: Vec<bf16> = (0..n * k).map(|i| bf16::from_f32(value(i * 3 + 1))).collect();
            let wide: Vec<f32> = w.iter().map(|w| widen(*w)).collect();
            let packed = PackedBf16::new(&w, n, k);
            let sources = [
                Source::RowsBf16 { w: &w, n, k },
                Source::PanelsBf16 { panels: packed.panels(), k },
                Source::Rows { w: &wide, n, k },
                Source::Strided(Mat::new(&wide, n, k).t()),
            ];
            let epilogue = Epilogue { bias: None, activation: Activation::None, combine: Combine::Store };
            for level in Level::supported() {
                for source in sources {
                    let mut out = vec![f32::NAN; m * n];
                    driver::blocked(level, Bf16Pairs, Mat::new(&a, m, k), source, n, &epilogue, &mut out);
                    for (at, got) in out.iter().enumerate() {
                        let want: f64 = (0..k)
                            .map(|p| {
                                let x = bf16::from_f32(a[at / n * k + p]).to_f64();
                                x * f64::from(wide[at % n * k + p])
                            })
                            .sum();
                        let error = (f64::from(*got) - want).abs();
                        assert!(error < 1e-4, "{m}×{n}×{k}[{at}] at {level:?}: got {got}, want {want}");
                    }
                }
            }
        }
    }
}
