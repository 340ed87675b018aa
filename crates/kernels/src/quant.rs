//! Weights in the block formats of GGUF, dequantised a block at a time while a product reads them.
//!
//! Layouts are those of ggml's `block_q8_0`, `block_q4_0`, `block_q4_K`, `block_q5_K` and `block_q6_K`
//! (<https://github.com/ggml-org/llama.cpp>, `ggml/src/ggml-common.h`), little-endian, rows of whole blocks.

use half::f16;

/// A block format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuantKind {
    /// 32 values: an f16 scale, 32 signed bytes.
    Q8_0,
    /// 32 values: an f16 scale, 32 nibbles less 8.
    Q4_0,
    /// 256 values: f16 scale and minimum, 8 pairs of 6-bit scales and minima, 256 nibbles.
    Q4K,
    /// 256 values: as [`QuantKind::Q4K`] with a fifth bit each.
    Q5K,
    /// 256 values: 6 bits less 32, 16 signed scales, an f16 scale.
    Q6K,
}

impl QuantKind {
    /// Values in a block.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q8_0 | Self::Q4_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of `k` values, if that is whole blocks.
    #[must_use]
    pub fn row_bytes(self, k: usize) -> Option<usize> {
        k.is_multiple_of(self.block_len()).then(|| k / self.block_len() * self.block_bytes())
    }

    /// Dequantises whole blocks.
    ///
    /// # Panics
    /// If `bytes` isn't whole blocks or `out` doesn't have their number of values.
    #[inline(always)]
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        assert!(bytes.len().is_multiple_of(self.block_bytes()), "{self:?}: bytes aren't whole blocks");
        assert_eq!(
            bytes.len() / self.block_bytes() * self.block_len(),
            out.len(),
            "{self:?}: number of values"
        );
        let blocks = bytes.chunks_exact(self.block_bytes()).zip(out.chunks_exact_mut(self.block_len()));
        match self {
            Self::Q8_0 => {
                for (b, out) in blocks {
                    q8_0(b, out);
                }
            }
            Self::Q4_0 => {
                for (b, out) in blocks {
                    q4_0(b, out);
                }
            }
            Self::Q4K => {
                for (b, out) in blocks {
                    q4_k(b, out);
                }
            }
            Self::Q5K => {
                for (b, out) in blocks {
                    q5_k(b, out);
                }
            }
            Self::Q6K => {
                for (b, out) in blocks {
                    q6_k(b, out);
                }
            }
        }
    }
}

#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

#[inline(always)]
fn q8_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    out.iter_mut().zip(&b[2..34]).for_each(|(out, q)| *out = d * f32::from(q.cast_signed()));
}

#[inline(always)]
fn q4_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&b[2..18]) {
        *low = d * (f32::from(q & 15) - 8.0);
        *high = d * (f32::from(q >> 4) - 8.0);
    }
}

/// Scale and minimum `j` of 8, 6 bits each: the first four in the low bits of bytes 0–3 and 4–7, the others in nibbles
/// of bytes 8–11 with their upper two bits on top of the first four's.
#[inline(always)]
pub(crate) fn scale_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

#[inline(always)]
fn q4_k(b: &[u8], out: &mut [f32]) {
    let (d, d_min, scales) = (half(b, 0), half(b, 2), &b[4..16]);
    for (j, (out, q)) in out.chunks_exact_mut(64).zip(b[16..144].chunks_exact(32)).enumerate() {
        let (s0, m0) = scale_min(scales, 2 * j);
        let (s1, m1) = scale_min(scales, 2 * j + 1);
        let (low, high) = out.split_at_mut(32);
        low.iter_mut().zip(q).for_each(|(out, q)| *out = d * s0 * f32::from(q & 15) - d_min * m0);
        high.iter_mut().zip(q).for_each(|(out, q)| *out = d * s1 * f32::from(q >> 4) - d_min * m1);
    }
}

#[inline(always)]
fn q5_k(b: &[u8], out: &mut [f32]) {
    let (d, d_min, scales, fifth) = (half(b, 0), half(b, 2), &b[4..16], &b[16..48]);
    for (j, (out, q)) in out.chunks_exact_mut(64).zip(b[48..176].chunks_exact(32)).enumerate() {
        let (s0, m0) = scale_min(scales, 2 * j);
        let (s1, m1) = scale_min(scales, 2 * j + 1);
        let (low, high) = out.split_at_mut(32);
        for (((low, high), q), h) in low.iter_mut().zip(high).zip(q).zip(fifth) {
            *low = d * s0 * f32::from(q & 15 | (h >> (2 * j) & 1) << 4) - d_min * m0;
            *high = d * s1 * f32::from(q >> 4 | (h >> (2 * j + 1) & 1) << 4) - d_min * m1;
        }
    }
}

#[inline(always)]
fn q6_k(b: &[u8], out: &mut [f32]) {
    let d = half(b, 208);
    for (part, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&b[part * 64..part * 64 + 64], &b[128 + part * 32..128 + part * 32 + 32]);
        let scale = |i: usize| d * f32::from(b[192 + part * 8 + i].cast_signed());
        for quarter in 0..4 {
            let low = &low[quarter % 2 * 32..quarter % 2 * 32 + 32];
            for (l, out) in out[quarter * 32..quarter * 32 + 32].iter_mut().enumerate() {
                let q = low[l] >> (quarter / 2 * 4) & 15 | (high[l] >> (2 * quarter) & 3) << 4;
                *out = scale(2 * quarter + l / 16) * (f32::from(q) - 32.0);
            }
        }
    }
}
