//! Weights unpacked to small integers, with the scale and minimum of each group of 32.

use super::GROUP;
use crate::QuantKind;
use crate::quant::scale_min;

/// Unpacks whole blocks of one column: factors into `row`, two or four to a word as the kind's layout has them, and
/// `(group, scale, minimum)` to `scales`.
#[inline(always)]
pub(super) fn blocks(
    kind: QuantKind,
    bytes: &[u8],
    row: &mut [u32],
    mut scales: impl FnMut(usize, f32, f32),
) {
    let blocks = bytes.chunks_exact(kind.block_bytes()).enumerate();
    let groups = kind.block_len() / GROUP;
    match kind {
        QuantKind::Q8_0 => {
            let row: &mut [i16] = bytemuck::cast_slice_mut(row);
            for ((at, b), out) in blocks.zip(row.chunks_exact_mut(32)) {
                out.iter_mut().zip(&b[2..34]).for_each(|(out, q)| *out = i16::from(q.cast_signed()));
                scales(at, half(b, 0), 0.0);
            }
        }
        QuantKind::Q4_0 => {
            let row: &mut [u8] = bytemuck::cast_slice_mut(row);
            for ((at, b), out) in blocks.zip(row.chunks_exact_mut(32)) {
                nibbles(&b[2..18], out);
                scales(at, half(b, 0), 8.0 * half(b, 0));
            }
        }
        QuantKind::Q4K => {
            let row: &mut [u8] = bytemuck::cast_slice_mut(row);
            for ((at, b), out) in blocks.zip(row.chunks_exact_mut(256)) {
                for (out, q) in out.chunks_exact_mut(64).zip(b[16..144].chunks_exact(32)) {
                    nibbles(q, out);
                }
                scales_and_minima(b, |group, scale, min| scales(at * groups + group, scale, min));
            }
        }
        QuantKind::Q5K => {
            let row: &mut [u8] = bytemuck::cast_slice_mut(row);
            for ((at, b), out) in blocks.zip(row.chunks_exact_mut(256)) {
                for (out, q) in out.chunks_exact_mut(64).zip(b[48..176].chunks_exact(32)) {
                    nibbles(q, out);
                }
                fifth_bits(&b[16..48], out);
                scales_and_minima(b, |group, scale, min| scales(at * groups + group, scale, min));
            }
        }
        QuantKind::Q6K => unreachable!("Q6_K is multiplied as floats"),
    }
}

/// A half-precision number in line: there is one for each 32 weights of some kinds.
#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    let bits = u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let shifted = (bits & 0x7fff) << 13;
    // The exponent is 112 too small, of normal numbers and of those near 0; infinity and NaN have all of its bits.
    let finite = f32::from_bits(shifted) * f32::from_bits((127 + 112) << 23);
    let magnitude = if shifted >= 0x7c00 << 13 { shifted | 0x7f80_0000 } else { finite.to_bits() };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

/// Low halves of all bytes, then high halves.
#[inline(always)]
fn nibbles(q: &[u8], out: &mut [u8]) {
    let (low, high) = out.split_at_mut(q.len());
    low.iter_mut().zip(q).for_each(|(out, q)| *out = q & 15);
    high.iter_mut().zip(q).for_each(|(out, q)| *out = q >> 4);
}

/// Those of a block of Q4_K or Q5_K.
#[inline(always)]
fn scales_and_minima(b: &[u8], mut scales: impl FnMut(usize, f32, f32)) {
    let (d, d_min) = (half(b, 0), half(b, 2));
    for group in 0..8 {
        let (scale, min) = scale_min(&b[4..16], group);
        scales(group, d * scale, d_min * min);
    }
}

/// Adds bit `i` of each byte to the values of group `i`. (A shift by a constant is one instruction for many bytes.)
#[inline(always)]
fn fifth_bits(bits: &[u8], out: &mut [u8]) {
    #[inline(always)]
    fn group<const I: usize>(bits: &[u8], out: &mut [u8]) {
        let out = &mut out[I * GROUP..][..GROUP];
        out.iter_mut().zip(bits).for_each(|(out, bits)| *out |= (bits >> I & 1) << 4);
    }
    group::<0>(bits, out);
    group::<1>(bits, out);
    group::<2>(bits, out);
    group::<3>(bits, out);
    group::<4>(bits, out);
    group::<5>(bits, out);
    group::<6>(bits, out);
    group::<7>(bits, out);
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn every_half_precision_number_is_widened() {
        for bits in 0..=u16::MAX {
            let (got, want) = (half(&bits.to_le_bytes(), 0), half::f16::from_bits(bits).to_f32());
            let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
            assert!(same, "{bits:04x}: {got}, want {want}");
        }
    }
}
