//! Where the right-hand side of a product comes from, and how a panel of it is filled.

use half::bf16;

use super::{Mat, PackedInt8};
use crate::QuantKind;
use crate::elementwise::widen;
use crate::scratch::Scratch;
use crate::tile::{PANEL, Tiles, pair};

/// The right-hand side `[K, N]` of a product.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// The transpose of a row-major `[n, k]`.
    Rows { w: &'a [f32], n: usize, k: usize },
    /// The same in bf16.
    RowsBf16 { w: &'a [bf16], n: usize, k: usize },
    /// Panels `[k, 16]`.
    Panels { panels: &'a [f32], k: usize },
    /// Panels `[k/2, 16]` of bf16 pairs.
    PanelsBf16 { panels: &'a [u32], k: usize },
    /// Panels `[k/4, 16]` of fours of 8 bits.
    PanelsInt8(&'a PackedInt8),
    /// The transpose of `n` rows of quantised blocks.
    Quantized { kind: QuantKind, bytes: &'a [u8], n: usize, k: usize },
    /// Any strides.
    Strided(Mat<'a>),
}

/// K steps that one call of a transposition handles, so that its temporary stays in the first-level cache; whole blocks
/// of every quantised format.
const STEP: usize = 256;

impl<'a> Source<'a> {
    /// Whole panels of `f32`, if it has them: the slice from step `k0` of a panel on, and the panel stride.
    pub(super) fn direct_f32(&self, panel: usize, k0: usize) -> Option<(&'a [f32], usize)> {
        match *self {
            Self::Panels { panels, k } => Some((&panels[(panel * k + k0) * PANEL..], k * PANEL)),
            _ => None,
        }
    }

    /// Whole panels of pairs, as [`Source::direct_f32`]; `pair0` counts pairs.
    pub(super) fn direct_pairs(&self, panel: usize, pair0: usize) -> Option<(&'a [u32], usize)> {
        match *self {
            Self::PanelsBf16 { panels, k } => {
                let pairs = k.div_ceil(2);
                Some((&panels[(panel * pairs + pair0) * PANEL..], pairs * PANEL))
            }
            _ => None,
        }
    }

    /// Fills `dst` `[kc, 16]` with steps `k0..k0 + kc` of a panel; columns beyond N are 0.
    #[inline(always)]
    pub(super) fn fill_f32<S: Tiles>(&self, s: S, panel: usize, k0: usize, kc: usize, dst: &mut [f32]) {
        let col0 = panel * PANEL;
        match *self {
            Self::Rows { w, n, k } if col0 + PANEL <= n => {
                s.transpose16(
                    bytemuck::cast_slice(&w[col0 * k + k0..]),
                    k,
                    kc,
                    bytemuck::cast_slice_mut(dst),
                );
            }
            Self::Rows { w, n, k } => fill_each(dst, kc, n - col0, |p, j| w[(col0 + j) * k + k0 + p]),
            Self::RowsBf16 { w, n, k } => {
                if let Some(words) = words(w, k)
                    && col0 + PANEL <= n
                    && k0.is_multiple_of(2)
                    && kc.is_multiple_of(2)
                {
                    let mut pairs = [0; STEP / 2 * PANEL];
                    for at in (0..kc).step_by(STEP) {
                        let step = STEP.min(kc - at);
                        s.transpose16(&words[(col0 * k + k0 + at) / 2..], k / 2, step / 2, &mut pairs);
                        widen_pairs(s, &pairs[..step / 2 * PANEL], &mut dst[at * PANEL..]);
                    }
                } else {
                    fill_each(dst, kc, n - col0, |p, j| widen(w[(col0 + j) * k + k0 + p]));
                }
            }
            Self::Panels { panels, k } => {
                dst[..kc * PANEL].copy_from_slice(&panels[(panel * k + k0) * PANEL..][..kc * PANEL]);
            }
            Self::PanelsBf16 { panels, k } => {
                let pairs = k.div_ceil(2);
                let from = &panels[(panel * pairs + k0 / 2) * PANEL..];
                if k0.is_multiple_of(2) {
                    let whole = kc / 2 * PANEL;
                    widen_pairs(s, &from[..whole], dst);
                    if !kc.is_multiple_of(2) {
                        for (dst, pair) in dst[2 * whole..2 * whole + PANEL].iter_mut().zip(&from[whole..]) {
                            *dst = f32::from_bits(pair << 16);
                        }
                    }
                } else {
                    unreachable!("K blocks start at an even step");
                }
            }
            Self::PanelsInt8(packed) => packed.widen(panel, k0, kc, dst),
            Self::Quantized { kind, bytes, n, k } => {
                // Blocks of K start and end at whole quantised blocks: their sizes are powers of two, at most 256.
                let (len, block_bytes) = (kind.block_len(), kind.block_bytes());
                let (row_bytes, part) = (k / len * block_bytes, kc / len * block_bytes);
                let mut rows = Scratch::<f32>::new(PANEL * kc);
                for (j, row) in rows.chunks_exact_mut(kc).enumerate() {
                    if col0 + j < n {
                        kind.dequantize(
                            &bytes[(col0 + j) * row_bytes + k0 / len * block_bytes..][..part],
                            row,
                        );
                    } else {
                        row.fill(0.0);
                    }
                }
                s.transpose16(bytemuck::cast_slice(&rows), kc, kc, bytemuck::cast_slice_mut(dst));
            }
            Self::Strided(b) if b.col_stride == 1 && col0 + PANEL <= b.cols => {
                for (p, dst) in dst[..kc * PANEL].chunks_exact_mut(PANEL).enumerate() {
                    dst.copy_from_slice(&b.data[(k0 + p) * b.row_stride + col0..][..PANEL]);
                }
            }
            Self::Strided(b) if b.row_stride == 1 && col0 + PANEL <= b.cols => {
                let from = &b.data[col0 * b.col_stride + k0..];
                s.transpose16(bytemuck::cast_slice(from), b.col_stride, kc, bytemuck::cast_slice_mut(dst));
            }
            Self::Strided(b) => fill_each(dst, kc, b.cols - col0, |p, j| {
                b.data[(k0 + p) * b.row_stride + (col0 + j) * b.col_stride]
            }),
        }
    }

    /// Fills `dst` `[kc/2, 16]` with bf16 pairs of steps `k0..k0 + kc`; `k0` is even; a last odd step is paired with 0.
    #[inline(always)]
    pub(super) fn fill_pairs<S: Tiles>(&self, s: S, panel: usize, k0: usize, kc: usize, dst: &mut [u32]) {
        let col0 = panel * PANEL;
        if let Self::RowsBf16 { w, n, k } = *self {
            if let Some(words) = words(w, k)
                && col0 + PANEL <= n
                && kc.is_multiple_of(2)
            {
                s.transpose16(&words[(col0 * k + k0) / 2..], k / 2, kc / 2, dst);
                return;
            }
            // Exact for every bit pattern, NaN included: no rounding happens.
            let at = |p: usize, j: usize| {
                if col0 + j < n && p < kc { u32::from(w[(col0 + j) * k + k0 + p].to_bits()) } else { 0 }
            };
            for (p, dst) in dst[..kc.div_ceil(2) * PANEL].chunks_exact_mut(PANEL).enumerate() {
                for (j, dst) in dst.iter_mut().enumerate() {
                    *dst = at(2 * p, j) | at(2 * p + 1, j) << 16;
                }
            }
            return;
        }
        let mut block = [0.0; STEP * PANEL];
        for at in (0..kc).step_by(STEP) {
            let step = STEP.min(kc - at);
            self.fill_f32(s, panel, k0 + at, step, &mut block);
            let dst = &mut dst[at / 2 * PANEL..];
            for p in 0..step / 2 {
                let (even, odd) = block[2 * p * PANEL..(2 * p + 2) * PANEL].split_at(PANEL);
                s.pack_pairs(even, odd, &mut dst[p * PANEL..]);
            }
            if !step.is_multiple_of(2) {
                let last = (step - 1) * PANEL;
                for (dst, x) in dst[step / 2 * PANEL..].iter_mut().zip(&block[last..last + PANEL]) {
                    *dst = pair(*x, 0.0);
                }
            }
        }
    }
}

/// bf16 rows as words of two, if each row is whole, aligned words and the first of a pair is in the low half.
#[inline(always)]
fn words(w: &[bf16], k: usize) -> Option<&[u32]> {
    if cfg!(target_endian = "little") && k.is_multiple_of(2) {
        bytemuck::try_cast_slice(w).ok()
    } else {
        None
    }
}

/// `[pairs, 16]` words into `[2 · pairs, 16]` values.
#[inline(always)]
fn widen_pairs<S: Tiles>(s: S, pairs: &[u32], dst: &mut [f32]) {
    for (pairs, dst) in pairs.chunks_exact(PANEL).zip(dst.chunks_exact_mut(2 * PANEL)) {
        for at in (0..PANEL).step_by(S::LANES) {
            let (even, odd) = s.split_pairs(&pairs[at..]);
            s.store(even, &mut dst[at..]);
            s.store(odd, &mut dst[PANEL + at..]);
        }
    }
}

#[inline(always)]
fn fill_each(dst: &mut [f32], kc: usize, cols: usize, at: impl Fn(usize, usize) -> f32) {
    for (p, dst) in dst[..kc * PANEL].chunks_exact_mut(PANEL).enumerate() {
        for (j, dst) in dst.iter_mut().enumerate() {
            *dst = if j < cols { at(p, j) } else { 0.0 };
        }
    }
}
