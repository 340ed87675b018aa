//! `.spz`, Niantic's compressed Gaussians, versions 1 to 3: a gzip stream with a header of 16 bytes, then column by column
//! positions, opacities, colours, scales, rotations and spherical harmonics. Its axes are x right, y up, z back: those of a body.
//!
//! Facts: `load-spz.cc` of the format's own repository.

use super::normalized;
use super::ply::at_least_zero;
use crate::{Colors, Error, Gaussians, Result, sh};
use std::io::Read;

const MAGIC: u32 = 0x5053_474e;
const HEADER: usize = 16;
/// More than the largest file that its own programs accept.
const MAX_BYTES: u64 = 1 << 31;
/// Stored colours are this share of the harmonics' constant term.
const COLOR_SCALE: f32 = 0.15;

pub(super) fn read(bytes: &[u8]) -> Result<Gaussians> {
    let mut data = Vec::new();
    let unpacked = flate2::read::MultiGzDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut data);
    unpacked.map_err(|e| wrong(format!("the gzip stream is damaged: {e}")))?;
    let Some((header, body)) = data.split_first_chunk::<HEADER>() else {
        return Err(wrong("too short for a header".to_owned()));
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if word(0) != MAGIC {
        return Err(Error::NotAnAvatar {
            found: "a gzip file of something else".to_owned(),
            advice: "unpack it first",
        });
    }
    let (version, n) = (word(4), word(8) as usize);
    let [degree, fraction_bits, ..] = [header[12], header[13]];
    if !(1..=3).contains(&version) {
        return Err(wrong(format!("version {version}; 1 to 3 are read")));
    }
    if degree > sh::MAX_DEGREE {
        return Err(Error::ShDegree { degree });
    }
    let rest = sh::n_coefficients(degree) - 1;
    let (position, rotation) = (if version == 1 { 6 } else { 9 }, if version == 3 { 4 } else { 3 });
    let each = position + 1 + 3 + 3 + rotation + 3 * rest;
    if n.checked_mul(each) != Some(body.len()) {
        let found = body.len();
        return Err(wrong(format!("{n} Gaussians of {each} bytes are promised, there are {found} bytes")));
    }
    let mut at = 0;
    let mut column = |width: usize| {
        let part = &body[at..at + n * width];
        at += n * width;
        part.chunks_exact(width)
    };
    let mut g = Gaussians::default();
    let unit = 1.0 / (1_u64 << fraction_bits.min(63)) as f32;
    g.means = column(position)
        .map(|p| {
            std::array::from_fn(|k| match version {
                1 => half(u16::from_le_bytes([p[2 * k], p[2 * k + 1]])),
                _ => {
                    // 24 bits with a sign.
                    let bits = i32::from_le_bytes([0, p[3 * k], p[3 * k + 1], p[3 * k + 2]]);
                    (bits >> 8) as f32 * unit
                }
            })
        })
        .collect();
    g.opacities = column(1).map(|a| f32::from(a[0]) / 255.0).collect();
    let dc: Vec<[f32; 3]> =
        column(3).map(|c| std::array::from_fn(|k| (f32::from(c[k]) / 255.0 - 0.5) / COLOR_SCALE)).collect();
    g.scales = column(3).map(|s| std::array::from_fn(|k| (f32::from(s[k]) / 16.0 - 10.0).exp())).collect();
    g.rotations =
        column(rotation).map(|r| if version == 3 { smallest_three(r) } else { first_three(r) }).collect();
    g.colors = if degree == 0 {
        Colors::Rgb(dc.iter().map(|c| c.map(|x| at_least_zero(sh::color_from_dc(x)))).collect())
    } else {
        let mut coefficients = Vec::with_capacity(n * 3 * (rest + 1));
        for (dc, higher) in dc.iter().zip(column(3 * rest)) {
            coefficients.extend(dc);
            coefficients.extend(higher.iter().map(|c| (f32::from(*c) - 128.0) / 128.0));
        }
        Colors::Sh { degree, coefficients }
    };
    Ok(g)
}

fn wrong(what: String) -> Error {
    Error::Spz { what }
}

/// x, y, z in a byte each; w is what makes the length one.
fn first_three(r: &[u8]) -> [f32; 4] {
    let [x, y, z]: [f32; 3] = std::array::from_fn(|k| f32::from(r[k]) / 127.5 - 1.0);
    normalized([(1.0 - x * x - y * y - z * z).max(0.0).sqrt(), x, y, z])
}

/// The number of the largest component in two bits, the others in ten bits each: a sign and nine bits.
fn smallest_three(r: &[u8]) -> [f32; 4] {
    const MAGNITUDE: u32 = (1 << 9) - 1;
    let mut bits = u32::from_le_bytes([r[0], r[1], r[2], r[3]]);
    let largest = (bits >> 30) as usize;
    // x, y, z, w.
    let mut q = [0.0_f32; 4];
    let mut left = 1.0;
    for i in (0..4).rev().filter(|i| *i != largest) {
        let value = std::f32::consts::FRAC_1_SQRT_2 * (bits & MAGNITUDE) as f32 / MAGNITUDE as f32;
        q[i] = if bits >> 9 & 1 == 1 { -value } else { value };
        left -= value * value;
        bits >>= 10;
    }
    q[largest] = left.max(0.0).sqrt();
    let [x, y, z, w] = q;
    normalized([w, x, y, z])
}

/// A number of 16 bits.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, f32::from(bits & 1023) / 1024.0);
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(-14),
        31 => f32::INFINITY * (1.0 - fraction.ceil()) + if fraction > 0.0 { f32::NAN } else { 0.0 },
        e => (1.0 + fraction) * 2.0_f32.powi(i32::from(e) - 15),
    };
    if sign == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        for (bits, value) in
            [(0, 0.0), (0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (1, 5.960_464_5e-8)]
        {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7c00).is_infinite() && half(0x7c01).is_nan());
    }

    #[test]
    fn the_largest_component_is_found_again() {
        // No turn: w is the largest, the others are zero.
        assert_eq!(smallest_three(&[0, 0, 0, 0b1100_0000]), [1.0, 0.0, 0.0, 0.0]);
        // A quarter turn about z, negative: z = -w = -0.7071…, w given as the largest.
        let z = 511_u32 | 1 << 9;
        let q = smallest_three(&(3 << 30 | z).to_le_bytes());
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert!((q[0] - half).abs() < 1e-3 && (q[3] + half).abs() < 1e-3, "{q:?}");
        let q = first_three(&[128, 255, 128]);
        assert!((q[2] - 1.0).abs() < 1e-2, "{q:?}");
    }
}
