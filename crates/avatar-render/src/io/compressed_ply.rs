//! SuperSplat's compressed `.ply`: chunks of 256 Gaussians with the bounds of their numbers, in which positions, scales, colours
//! and rotations are packed into 32 bits each; the higher harmonics in bytes.
//!
//! Facts: `gsplat-compressed-data` of PlayCanvas's engine.

use super::normalized;
use super::ply::at_least_zero;
use crate::{Colors, Error, Gaussians, Result, sh};
use tensorfile::ply::{Ply, PlyTable};

/// Gaussians that share a row of bounds.
const CHUNK: usize = 256;
/// Columns of the bounds: lower and upper of position and scale, and in newer files of colour.
const BOUNDS: [[&str; 3]; 6] = [
    ["min_x", "min_y", "min_z"],
    ["max_x", "max_y", "max_z"],
    ["min_scale_x", "min_scale_y", "min_scale_z"],
    ["max_scale_x", "max_scale_y", "max_scale_z"],
    ["min_r", "min_g", "min_b"],
    ["max_r", "max_g", "max_b"],
];
const PACKED: [&str; 4] = ["packed_position", "packed_rotation", "packed_scale", "packed_color"];

pub(super) fn read(ply: &Ply<'_>) -> Result<Gaussians> {
    let chunks = bounds(&ply.table("chunk")?)?;
    let vertices = ply.table("vertex")?.integers(PACKED)?;
    if vertices.len().div_ceil(CHUNK) > chunks.len() {
        return Err(Error::Length {
            field: "chunk",
            expected: vertices.len().div_ceil(CHUNK),
            got: chunks.len(),
        });
    }
    let mut g = Gaussians::default();
    let mut rgb = Vec::new();
    for (i, &[position, rotation, scale, color]) in vertices.iter().enumerate() {
        let chunk = &chunks[i / CHUNK];
        let between = |low: usize, share: [f32; 3]| -> [f32; 3] {
            std::array::from_fn(|k| chunk[low][k] + (chunk[low + 1][k] - chunk[low][k]) * share[k])
        };
        g.means.push(between(0, eleven_ten_eleven(position)));
        // Who wrote nothing sensible gets no endless Gaussians: the format's own limit.
        g.scales.push(between(2, eleven_ten_eleven(scale)).map(|s| s.clamp(-20.0, 20.0).exp()));
        g.rotations.push(unpacked_rotation(rotation));
        let [r, gr, b, a] = color.to_be_bytes().map(|byte| f32::from(byte) / 255.0);
        rgb.push(between(4, [r, gr, b]).map(at_least_zero));
        g.opacities.push(a);
    }
    g.colors = if ply.has("sh") { harmonics(&ply.table("sh")?, &rgb)? } else { Colors::Rgb(rgb) };
    Ok(g)
}

/// The bounds of each chunk, in the order of [`BOUNDS`].
fn bounds(table: &PlyTable<'_>) -> Result<Vec<[[f32; 3]; 6]>> {
    // Older files have no bounds of colours: these are 0 to 1.
    let n = if table.find("min_r").is_some() { 6 } else { 4 };
    let mut columns = Vec::new();
    for names in &BOUNDS[..n] {
        columns.push([table.column(names[0])?, table.column(names[1])?, table.column(names[2])?]);
    }
    let mut chunks = Vec::with_capacity(table.len());
    table.rows(|row| {
        chunks.push(std::array::from_fn(|k| match columns.get(k) {
            Some(columns) => columns.map(|c| row[c]),
            None => [if k == 5 { 1.0 } else { 0.0 }; 3],
        }));
    })?;
    Ok(chunks)
}

/// Three shares of one, in 11, 10 and 11 bits.
fn eleven_ten_eleven(bits: u32) -> [f32; 3] {
    [(bits >> 21) as f32 / 2047.0, (bits >> 11 & 1023) as f32 / 1023.0, (bits & 2047) as f32 / 2047.0]
}

/// The largest component's number (of w, x, y, z) in two bits, the others in ten each.
fn unpacked_rotation(bits: u32) -> [f32; 4] {
    let others =
        [20, 10, 0].map(|shift| ((bits >> shift & 1023) as f32 / 1023.0 - 0.5) * std::f32::consts::SQRT_2);
    let largest = (1.0 - others.iter().map(|x| x * x).sum::<f32>()).max(0.0).sqrt();
    let mut rest = others.into_iter();
    let at = (bits >> 30) as usize;
    normalized(std::array::from_fn(|i| if i == at { largest } else { rest.next().unwrap_or_default() }))
}

/// Harmonics in bytes, channel by channel, behind the colours.
fn harmonics(table: &PlyTable<'_>, rgb: &[[f32; 3]]) -> Result<Colors> {
    let rest: Vec<usize> = (0..).map_while(|i| table.find(&format!("f_rest_{i}"))).collect();
    let degree = (0..=sh::MAX_DEGREE).find(|&d| 3 * (sh::n_coefficients(d) - 1) == rest.len());
    let degree = degree.ok_or(Error::HarmonicCount { found: rest.len() })?;
    if table.len() != rgb.len() {
        return Err(Error::Length { field: "sh", expected: rgb.len(), got: table.len() });
    }
    let n = rest.len() / 3;
    let mut coefficients = Vec::with_capacity(rgb.len() * 3 * (n + 1));
    let mut colors = rgb.iter();
    table.rows(|row| {
        coefficients.extend(colors.next().copied().unwrap_or_default().map(sh::dc_from_color));
        for k in 0..n {
            coefficients.extend([0, 1, 2].map(|channel| byte_to_coefficient(row[rest[channel * n + k]])));
        }
    })?;
    Ok(Colors::Sh { degree, coefficients })
}

/// 0 to 255 as -4 to 4; the ends are exact.
fn byte_to_coefficient(byte: f32) -> f32 {
    let share = match byte {
        0.0 => 0.0,
        255.0 => 1.0,
        x => (x + 0.5) / 256.0,
    };
    (share - 0.5) * 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers() {
        assert_eq!(eleven_ten_eleven(u32::MAX), [1.0; 3]);
        assert_eq!(eleven_ten_eleven(2047 << 21), [1.0, 0.0, 0.0]);
        // Half of 1023 is no turn for the small three.
        let none = 511 << 20 | 511 << 10 | 511;
        let q = unpacked_rotation(none);
        assert!((q[0] - 1.0).abs() < 1e-5, "{q:?}");
        let q = unpacked_rotation(2 << 30 | none);
        assert!((q[2] - 1.0).abs() < 1e-5, "{q:?}");
        assert_eq!([0.0, 255.0].map(byte_to_coefficient), [-4.0, 4.0]);
    }
}
