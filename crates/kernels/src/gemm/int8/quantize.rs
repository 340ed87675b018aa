//! Activations rounded to 8 bits and packed into strips.

use super::super::Mat;
use super::{GROUP, Layout};

/// 32 activations: `x ≈ scale · values`.
struct Group {
    values: [i8; GROUP],
    scale: f32,
    /// Sum of the values.
    sum: i32,
}

/// The largest magnitude that isn't taken for 0 has a reciprocal beyond `f32`.
const LEAST: f32 = 1e-36;
/// Added to a number of moderate size, leaves it rounded (to even) in the low bits.
const ROUND: f32 = 12_582_912.0;
const INFINITE: u32 = 0x7f80_0000;

/// The scale of values that are rounded to whole numbers of -127..=127, and what they are multiplied by before: `(1, 127)` times the
/// largest magnitude and its reciprocal, 0 where all are 0, a scale of NaN where one is NaN or infinite.
#[inline(always)]
pub(in crate::gemm) fn scale_and_factor(x: impl Iterator<Item = f32>) -> (f32, f32) {
    // As integers, magnitudes have the same order, with infinity and then NaN at the end.
    let most = x.fold(0, |most: u32, x| most.max(x.to_bits() & !(1 << 31)));
    let largest = f32::from_bits(most);
    if most >= INFINITE {
        (f32::NAN, 0.0)
    } else if largest < LEAST {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    }
}

/// `x · factor` as the nearest whole number, ties to even; anything where that is beyond 8 bits.
#[inline(always)]
pub(in crate::gemm) fn nearest(x: f32, factor: f32) -> i8 {
    (x * factor + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as u8 as i8
}

impl Group {
    /// Rounds to the nearest of 255 values around 0, the outer ones at the largest magnitude. One value that is NaN or
    /// infinite makes the scale NaN, and with it every result of the row.
    #[inline(always)]
    fn new(x: &[f32; GROUP]) -> Self {
        let (scale, factor) = scale_and_factor(x.iter().copied());
        if factor == 0.0 {
            return Self { values: [0; GROUP], scale, sum: 0 };
        }
        let values = x.map(|x| nearest(x, factor));
        Self { values, scale, sum: values.iter().map(|x| i32::from(*x)).sum() }
    }
}

/// Packs rows `row0..row0 + mr`, steps `k0..k0 + kc`; rows beyond the last are 0.
#[inline(always)]
pub(super) fn pack_strip<L: Layout>(
    a: &Mat<'_>,
    row0: usize,
    mr: usize,
    k0: usize,
    kc: usize,
    dst: &mut [u32],
) {
    for i in 0..mr {
        let row = (row0 + i < a.rows).then(|| &a.data[(row0 + i) * a.row_stride + k0 * a.col_stride..]);
        for (g, dst) in dst.chunks_exact_mut(L::GROUP_WORDS * mr).take(kc / GROUP).enumerate() {
            let group = match row {
                Some(row) if a.col_stride == 1 => Group::new(&row[g * GROUP..].as_chunks().0[0]),
                Some(row) => Group::new(&std::array::from_fn(|p| row[(g * GROUP + p) * a.col_stride])),
                None => Group { values: [0; GROUP], scale: 0.0, sum: 0 },
            };
            let words = dst[i..].iter_mut().step_by(mr);
            if L::FACTORS == 4 {
                let fours = group.values.as_chunks::<4>().0.iter();
                words.zip(fours).for_each(|(dst, x)| *dst = u32::from_ne_bytes(x.map(i8::cast_unsigned)));
            } else {
                let pairs = group.values.as_chunks::<2>().0.iter();
                words.zip(pairs).for_each(|(dst, x)| {
                    *dst = bytemuck::cast(x.map(i16::from));
                });
            }
            dst[L::WORDS * mr + i] = group.scale.to_bits();
            if L::MINIMA {
                dst[(L::WORDS + 1) * mr + i] = (group.sum as f32 * group.scale).to_bits();
            }
        }
    }
}
