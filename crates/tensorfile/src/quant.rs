//! Decoding of GGUF's quantised blocks. Layouts as in ggml's `ggml-common.h`.

use crate::Dtype;
use half::f16;

/// Decodes whole blocks to f32. Bytes that don't fill a block are ignored; plain types give nothing.
#[must_use]
pub(crate) fn dequantize(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let (block_len, block_bytes) = (dtype.block_len(), dtype.block_bytes());
    let decode: fn(&[u8], &mut [f32]) = match dtype {
        Dtype::Q4_0 => q4_0,
        Dtype::Q4_1 => q4_1,
        Dtype::Q5_0 => q5_0,
        Dtype::Q5_1 => q5_1,
        Dtype::Q8_0 => q8_0,
        Dtype::Q8_1 => q8_1,
        Dtype::Q2K => q2k,
        Dtype::Q3K => q3k,
        Dtype::Q4K => q4k,
        Dtype::Q5K => q5k,
        Dtype::Q6K => q6k,
        Dtype::Q8K => q8k,
        Dtype::IQ4NL => iq4_nl,
        Dtype::IQ4XS => iq4_xs,
        _ => return Vec::new(),
    };
    let mut out = vec![0.0; bytes.len() / block_bytes * block_len];
    for (block, y) in bytes.chunks_exact(block_bytes).zip(out.chunks_exact_mut(block_len)) {
        decode(block, y);
    }
    out
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    for (j, &q) in b[2..].iter().enumerate() {
        y[j] = (f32::from(q & 15) - 8.0) * d;
        y[j + 16] = (f32::from(q >> 4) - 8.0) * d;
    }
}

fn q4_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    for (j, &q) in b[4..].iter().enumerate() {
        y[j] = f32::from(q & 15) * d + m;
        y[j + 16] = f32::from(q >> 4) * d + m;
    }
}

/// The 5-bit numbers of a block: four bits in `qs`, the fifth in the bit field `qh`.
fn five_bits(qh: &[u8], qs: &[u8], mut put: impl FnMut(usize, f32)) {
    let high = u32::from_le_bytes([qh[0], qh[1], qh[2], qh[3]]);
    let bit = |j: usize| ((high >> j & 1) << 4) as u8;
    for (j, &q) in qs.iter().enumerate() {
        put(j, f32::from(q & 15 | bit(j)));
        put(j + 16, f32::from(q >> 4 | bit(j + 16)));
    }
}

fn q5_0(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    five_bits(&b[2..6], &b[6..], |j, q| y[j] = (q - 16.0) * d);
}

fn q5_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half_at(b, 0), half_at(b, 2));
    five_bits(&b[4..8], &b[8..], |j, q| y[j] = q * d + m);
}

fn q8_0(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    for (y, &q) in y.iter_mut().zip(&b[2..]) {
        *y = f32::from(q as i8) * d;
    }
}

fn q8_1(b: &[u8], y: &mut [f32]) {
    let d = half_at(b, 0);
    for (y, &q) in y.iter_mut().zip(&b[4..]) {
        *y = f32::from(q as i8) * d;
    }
}

fn q8k(b: &[u8], y: &mut [f32]) {
    let d = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    for (y, &q) in y.iter_mut().zip(&b[4..260]) {
        *y = f32::from(q as i8) * d;
    }
}

fn q2k(b: &[u8], y: &mut [f32]) {
    let (scales, qs) = (&b[..16], &b[16..80]);
    let (d, min) = (half_at(b, 80), half_at(b, 82));
    for (group, y) in y.chunks_exact_mut(16).enumerate() {
        // 16 groups of 16: two halves of 128 numbers, four 2-bit planes each, two groups a plane.
        let (half, plane, side) = (group / 8, group / 2 % 4, group % 2);
        let q = &qs[half * 32 + side * 16..][..16];
        let scale = d * f32::from(scales[group] & 15);
        let offset = min * f32::from(scales[group] >> 4);
        for (y, &q) in y.iter_mut().zip(q) {
            *y = scale * f32::from(q >> (2 * plane) & 3) - offset;
        }
    }
}

fn q3k(b: &[u8], y: &mut [f32]) {
    let (hmask, qs, packed) = (&b[..32], &b[32..96], &b[96..108]);
    let d = half_at(b, 108);
    for (group, y) in y.chunks_exact_mut(16).enumerate() {
        let (half, plane, side) = (group / 8, group / 2 % 4, group % 2);
        // Scales are 6 bits: the low four in bytes 0–7 (two a byte), the high two in bytes 8–11 (four a byte).
        let low = packed[group % 8] >> (group / 8 * 4) & 15;
        let high = packed[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = d * (f32::from(low | high << 4) - 32.0);
        let q = &qs[half * 32 + side * 16..][..16];
        let h = &hmask[side * 16..][..16];
        for ((y, &q), &h) in y.iter_mut().zip(q).zip(h) {
            let missing = if h >> (half * 4 + plane) & 1 == 0 { 4.0 } else { 0.0 };
            *y = scale * (f32::from(q >> (2 * plane) & 3) - missing);
        }
    }
}

/// What the indices of IQ4_NL and IQ4_XS stand for (ggml's `kvalues_iq4nl`).
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

fn iq4(scale: f32, q: &[u8], y: &mut [f32]) {
    let (low, high) = y.split_at_mut(q.len());
    for ((low, high), &q) in low.iter_mut().zip(high).zip(q) {
        *low = scale * f32::from(IQ4[usize::from(q & 15)]);
        *high = scale * f32::from(IQ4[usize::from(q >> 4)]);
    }
}

fn iq4_nl(b: &[u8], y: &mut [f32]) {
    iq4(half_at(b, 0), &b[2..18], y);
}

fn iq4_xs(b: &[u8], y: &mut [f32]) {
    let (d, high, low) = (half_at(b, 0), u16::from_le_bytes([b[2], b[3]]), &b[4..8]);
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        // Scales are 6 bits: the low four two a byte, the high two in one word.
        let scale = low[j / 2] >> (j % 2 * 4) & 15 | ((high >> (2 * j) & 3) << 4) as u8;
        iq4(d * (f32::from(scale) - 32.0), &b[8 + j * 16..][..16], y);
    }
}

/// Scale and minimum number `j` of the 12 bytes that hold eight of each in 6 bits.
fn scale_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (scale.into(), min.into())
}

fn q4k(b: &[u8], y: &mut [f32]) {
    let (d, dmin, packed, qs) = (half_at(b, 0), half_at(b, 2), &b[4..16], &b[16..]);
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(packed, j);
        let (scale, min) = (d * scale, dmin * min);
        for (y, &q) in y.iter_mut().zip(&qs[j / 2 * 32..][..32]) {
            *y = scale * f32::from(q >> (j % 2 * 4) & 15) - min;
        }
    }
}

fn q5k(b: &[u8], y: &mut [f32]) {
    let (d, dmin, packed, qh, qs) = (half_at(b, 0), half_at(b, 2), &b[4..16], &b[16..48], &b[48..]);
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(packed, j);
        let (scale, min) = (d * scale, dmin * min);
        for ((y, &q), &h) in y.iter_mut().zip(&qs[j / 2 * 32..][..32]).zip(qh) {
            *y = scale * f32::from(q >> (j % 2 * 4) & 15 | (h >> j & 1) << 4) - min;
        }
    }
}

fn q6k(b: &[u8], y: &mut [f32]) {
    let (ql, qh, scales) = (&b[..128], &b[128..192], &b[192..208]);
    let d = half_at(b, 208);
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        // 8 rows of 32: two halves of 128 numbers; rows 0, 1 take the low nibbles, rows 2, 3 the high ones.
        let (half, row) = (j / 4, j % 4);
        let low = &ql[half * 64 + row % 2 * 32..][..32];
        let high = &qh[half * 32..][..32];
        for (l, y) in y.iter_mut().enumerate() {
            let q = low[l] >> (row / 2 * 4) & 15 | (high[l] >> (row * 2) & 3) << 4;
            let scale = f32::from(scales[j * 2 + l / 16] as i8);
            *y = d * scale * (f32::from(q) - 32.0);
        }
    }
}
