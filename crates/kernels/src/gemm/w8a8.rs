//! Products of whole rows of 8 bits: weights with one scale a row, activations with one scale a row of theirs (a token).
//!
//! With activations `x ≈ s · a` and weights `w ≈ d · q` (`a` and `q` in -127..=127):
//!
//! ```text
//! y = (Σ a·q · d) · s
//! ```
//!
//! The sums are exact: every level makes the same bytes. They are sums of 32 bits, which hold 66,000 steps of K.
//!
//! Some levels multiply unsigned factors by signed ones. There activations are stored with an offset
//! ([`simd::Integers::OFFSET`]), and the sums of the weights' rows, which are kept beside them, take it out again.

use half::bf16;
use rayon::prelude::*;
use simd::{Kernel, dispatch, level};

use super::Mat;
use super::int8::{nearest, scale_and_factor};
use super::packed::{NotPanels, Panels, SharedBytes};
use super::product::Product;
use super::source::Source;
#[cfg(any(target_arch = "x86_64", test))]
use crate::amx::{Factors, SIDE, gemm::TileProduct};
use crate::scratch::{Lined, Scratch};
use crate::tile::{PANEL, Tile, Tiles};

/// Steps of K in a word.
const FOUR: usize = 4;

/// A weight `[N, K]` of 8 bits in the order that the kernels read, with a scale for each of the N rows: panels `[K/4, 16]` of fours along
/// K, for 16 outputs.
///
/// Each row is rounded to 255 values spread evenly up to its largest magnitude. A row that holds a NaN or an infinity becomes NaN.
#[derive(Clone)]
pub struct PackedInt8 {
    n: usize,
    k: usize,
    /// A scale for each column of the panels, the sum of its factors, and the panels.
    words: Panels<u32>,
}

/// Rounds 16 rows of a weight into a panel.
struct PackPanel<'a> {
    source: Source<'a>,
    panel: usize,
    n: usize,
    k: usize,
    scales: &'a mut [u32],
    sums: &'a mut [u32],
    dst: &'a mut [u32],
}

impl<S: Tiles> Kernel<S> for PackPanel<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { source, panel, n, k, scales, sums, dst } = self;
        let units = k.div_ceil(FOUR);
        let mut rows = Scratch::<u32>::new(PANEL * units);
        rows.fill(0);
        let mut wide = Scratch::<f32>::new(k);
        for (j, words) in rows.chunks_exact_mut(units).enumerate().take(n - panel * PANEL) {
            let row = (panel * PANEL + j) * k..(panel * PANEL + j + 1) * k;
            let x = match source {
                Source::Rows { w, .. } => &w[row],
                Source::RowsBf16 { w, .. } => {
                    wide.iter_mut().zip(&w[row]).for_each(|(wide, w)| *wide = crate::elementwise::widen(*w));
                    &wide[..]
                }
                _ => unreachable!("weights come in rows"),
            };
            let (scale, factor) = scale_and_factor(x.iter().copied());
            let bytes: &mut [i8] = bytemuck::cast_slice_mut(words);
            bytes.iter_mut().zip(x).for_each(|(byte, x)| *byte = nearest(*x, factor));
            scales[j] = scale.to_bits();
            sums[j] = bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>().cast_unsigned();
        }
        s.transpose16(&rows, units, units, dst);
    }
}

/// Words of a packed `[n, k]`.
fn words(n: usize, k: usize) -> usize {
    n.div_ceil(PANEL) * PANEL * (2 + k.div_ceil(FOUR))
}

impl PackedInt8 {
    /// The longest row: steps of K that 32-bit sums hold, at 255 · 127 each.
    pub const LONGEST_ROW: usize = 66_000;

    /// Rounds and packs a row-major `[n, k]`.
    ///
    /// # Panics
    /// If `w` has another length, or a row is longer than 66,000.
    #[must_use]
    pub fn new(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self::pack(Source::Rows { w, n, k }, n, k)
    }

    /// [`PackedInt8::new`] of bf16.
    ///
    /// # Panics
    /// If `w` has another length, or a row is longer than 66,000.
    #[must_use]
    pub fn from_bf16(w: &[bf16], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self::pack(Source::RowsBf16 { w, n, k }, n, k)
    }

    fn pack(source: Source<'_>, n: usize, k: usize) -> Self {
        assert!(
            k <= Self::LONGEST_ROW,
            "rows of {k} are too long for products of 8 bits, at most {}",
            Self::LONGEST_ROW
        );
        let size = k.div_ceil(FOUR) * PANEL;
        let mut packed = Lined::<u32>::zeros(words(n, k));
        if size > 0 {
            let level = level();
            let columns = n.div_ceil(PANEL) * PANEL;
            let (scales, rest) = packed.split_at_mut(columns);
            let (sums, panels) = rest.split_at_mut(columns);
            let scales = scales.par_chunks_exact_mut(PANEL).zip(sums.par_chunks_exact_mut(PANEL));
            panels.par_chunks_exact_mut(size).zip(scales).enumerate().for_each(
                |(panel, (dst, (scales, sums)))| {
                    dispatch(level, PackPanel { source, panel, n, k, scales, sums, dst });
                },
            );
        }
        Self { n, k, words: Panels::Own(packed) }
    }

    /// `[N, K]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    /// Takes what [`PackedInt8::bytes`] gave, where it lies: a file that is mapped is multiplied by where it lies. It should begin at a
    /// cache line (64 bytes); elsewhere products are slower.
    ///
    /// # Errors
    /// When it has another length, doesn't begin at a multiple of four bytes, or the machine's low byte comes last.
    pub fn shared(bytes: SharedBytes, n: usize, k: usize) -> Result<Self, NotPanels> {
        Ok(Self { n, k, words: Panels::shared(bytes, words(n, k))? })
    }

    /// Scales, sums and panels as bytes, the same at every instruction set.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// How many bytes a packed `[n, k]` takes.
    #[must_use]
    pub fn byte_len(n: usize, k: usize) -> usize {
        words(n, k) * size_of::<u32>()
    }

    /// Columns of the panels.
    fn columns(&self) -> usize {
        self.n.div_ceil(PANEL) * PANEL
    }

    fn scales(&self) -> &[f32] {
        bytemuck::cast_slice(&self.words[..self.columns()])
    }

    fn sums(&self) -> &[u32] {
        &self.words[self.columns()..2 * self.columns()]
    }

    /// Panels of `K/4` rows of 16 fours.
    fn panels(&self) -> &[u32] {
        &self.words[2 * self.columns()..]
    }

    /// Fills `dst` `[kc, 16]` with steps `k0..k0 + kc` of a panel, as values.
    #[inline(always)]
    pub(super) fn widen(&self, panel: usize, k0: usize, kc: usize, dst: &mut [f32]) {
        let units = self.k.div_ceil(FOUR);
        let panel_words = &self.panels()[panel * units * PANEL..][..units * PANEL];
        let scales = &self.scales()[panel * PANEL..][..PANEL];
        for (step, dst) in (k0..k0 + kc).zip(dst.chunks_exact_mut(PANEL)) {
            let words = &panel_words[step / FOUR * PANEL..][..PANEL];
            for ((dst, word), scale) in dst.iter_mut().zip(words).zip(scales) {
                *dst = f32::from(word.to_le_bytes()[step % FOUR].cast_signed()) * scale;
            }
        }
    }
}

impl std::fmt::Debug for PackedInt8 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedInt8").field("n", &self.n).field("k", &self.k).finish_non_exhaustive()
    }
}

/// Products by a weight of 8 bits, of activations rounded by these scales.
#[derive(Clone, Copy)]
pub(crate) struct W8A8<'a> {
    weight: &'a PackedInt8,
    /// For each row of the left side its scale, and what its values are multiplied by before they are rounded.
    rows: &'a [(f32, f32)],
}

/// The scales of a left side.
pub(super) fn row_scales(a: &Mat<'_>) -> Vec<(f32, f32)> {
    let scale = |row: usize| {
        let x = &a.data[row * a.row_stride..];
        if a.col_stride == 1 {
            scale_and_factor(x[..a.cols].iter().copied())
        } else {
            scale_and_factor(x.iter().step_by(a.col_stride).take(a.cols).copied())
        }
    };
    (0..a.rows).into_par_iter().with_min_len(64).map(scale).collect()
}

impl<'a> W8A8<'a> {
    pub(super) fn new(weight: &'a PackedInt8, rows: &'a [(f32, f32)]) -> Self {
        Self { weight, rows }
    }
}

impl Product for W8A8<'_> {
    type T = u32;
    const STEPS: usize = FOUR;

    #[inline(always)]
    fn direct<'a>(self, source: &Source<'a>, panel: usize, unit0: usize) -> Option<(&'a [u32], usize)> {
        match *source {
            Source::PanelsInt8(packed) => {
                let units = packed.k.div_ceil(FOUR);
                Some((&packed.panels()[(panel * units + unit0) * PANEL..], units * PANEL))
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn fill<S: Tiles>(self, _: S, _: &Source<'_>, _: usize, _: usize, _: usize, _: &mut [u32]) {
        unreachable!("weights of 8 bits are packed");
    }

    #[inline(always)]
    fn pack_a<S: Tiles>(
        self,
        _: S,
        a: &Mat<'_>,
        row0: usize,
        mr: usize,
        k0: usize,
        kc: usize,
        dst: &mut [u32],
    ) {
        for i in 0..mr {
            let words = dst[i..].iter_mut().step_by(mr);
            let row = row0 + i;
            if row >= a.rows {
                words.for_each(|word| *word = 0);
                continue;
            }
            let x = &a.data[row * a.row_stride + k0 * a.col_stride..];
            let factor = self.rows[row].1;
            let byte = |x: f32| nearest(x, factor).cast_unsigned().wrapping_add(S::OFFSET);
            let at = |p: usize| if p < kc { byte(x[p * a.col_stride]) } else { S::OFFSET };
            if a.col_stride == 1 {
                let (fours, rest) = x[..kc].as_chunks::<FOUR>();
                let last = (!rest.is_empty()).then(|| std::array::from_fn(|p| at(kc - rest.len() + p)));
                words
                    .zip(fours.iter().map(|four| four.map(byte)).chain(last))
                    .for_each(|(word, four)| *word = u32::from_le_bytes(four));
            } else {
                words.enumerate().for_each(|(unit, word)| {
                    *word = u32::from_le_bytes(std::array::from_fn(|p| at(unit * FOUR + p)));
                });
            }
        }
    }

    #[inline(always)]
    fn tile<S: Tiles>(self, s: S, tile: Tile<'_, u32>, c: &mut [f32]) {
        s.tile_fours(tile, c);
    }

    fn starting_at(self, row: usize) -> Self {
        Self { rows: &self.rows[row..], ..self }
    }

    #[inline(always)]
    fn finish(&self, row: usize, col0: usize, offset: u8, sums: &mut [f32]) {
        let scale = self.rows[row].0;
        let of_weights = &self.weight.sums()[col0..];
        for ((sum, of_weights), weight) in sums.iter_mut().zip(of_weights).zip(&self.weight.scales()[col0..])
        {
            let exact = sum.to_bits().wrapping_sub(u32::from(offset).wrapping_mul(*of_weights)).cast_signed();
            *sum = exact as f32 * weight * scale;
        }
    }
}

#[cfg(any(target_arch = "x86_64", test))]
impl TileProduct for W8A8<'_> {
    const FACTORS: Factors = Factors::Int8;

    #[inline(always)]
    fn round(&self, row: usize, x: &[f32], words: &mut [u32; SIDE]) {
        let factor = self.rows[row].1;
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(words);
        if let (Some(bytes), Some(x)) =
            (bytes.first_chunk_mut::<{ FOUR * SIDE }>(), x.first_chunk::<{ FOUR * SIDE }>())
        {
            bytes.iter_mut().zip(x).for_each(|(byte, x)| *byte = nearest(*x, factor));
            return;
        }
        bytes.fill(0);
        bytes.iter_mut().zip(x).for_each(|(byte, x)| *byte = nearest(*x, factor));
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver;
    use super::super::epilogue::{Combine, Epilogue};
    use super::{Mat, PackedInt8, Source, W8A8, row_scales};
    use crate::amx::{Emulated, TileUnit, gemm};
    use crate::{Activation, Level};

    /// The bytes of every level, and of a unit of tiles.
    fn same_bytes<U: TileUnit>(unit: U, levels: &[Level]) {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let plain = Epilogue { bias: None, activation: Activation::None, combine: Combine::Store };
        for [m, n, k] in [[1, 1, 1], [5, 16, 3], [7, 33, 130], [31, 70, 512], [33, 20, 1029], [70, 48, 2112]]
        {
            let x: Vec<f32> = (0..m * k).map(value).collect();
            let w: Vec<f32> = (0..n * k).map(|i| value(i * 3 + 1)).collect();
            let packed = PackedInt8::new(&w, n, k);
            let transposed: Vec<f32> = (0..m * k).map(|i| x[i % m * k + i / m]).collect();
            for a in [Mat::new(&x, m, k), Mat::new(&transposed, k, m).t()] {
                let rows = row_scales(&a);
                let product = W8A8::new(&packed, &rows);
                let mut want = vec![f32::NAN; m * n];
                let source = Source::PanelsInt8(&packed);
                driver::blocked(Level::Portable, product, a, source, n, &plain, &mut want);
                for &level in levels {
                    let mut out = vec![f32::NAN; m * n];
                    driver::blocked(level, product, a, source, n, &plain, &mut out);
                    assert_eq!(out, want, "{m}×{n}×{k} at {level:?}");
                    out.fill(f32::NAN);
                    gemm::product(unit, level, product, a, source, n, &plain, &mut out);
                    assert_eq!(out, want, "{m}×{n}×{k} on tiles at {level:?}");
                }
            }
        }
    }

    #[test]
    fn every_level_and_tiles_make_the_same_bytes() {
        same_bytes(Emulated, &Level::supported().collect::<Vec<_>>());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn tile_instructions_make_the_same_bytes() {
        if let Some(amx) = simd::Amx::detect() {
            same_bytes(amx, &[Level::Amx]);
        }
    }
}
