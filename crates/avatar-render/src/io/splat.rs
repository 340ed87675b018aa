//! `.splat`: 32 bytes a Gaussian, without a header: position and scale as six `f32`, colour and opacity as four bytes, rotation
//! (w, x, y, z) as four bytes around 128.

use super::normalized;
use crate::{Colors, Gaussians};

const BYTES: usize = 32;

/// Can these bytes be such a file?
pub(super) fn fits(bytes: &[u8]) -> bool {
    let is_text = bytes.starts_with(b"<") || bytes.starts_with(b"version ") || bytes.starts_with(b"ply");
    let is_packed = bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"PK\x03\x04");
    !bytes.is_empty() && bytes.len().is_multiple_of(BYTES) && !is_text && !is_packed
}

pub(super) fn read(bytes: &[u8]) -> Gaussians {
    let mut g = Gaussians::default();
    let mut rgb = Vec::new();
    for row in bytes.as_chunks::<BYTES>().0 {
        let float =
            |i: usize| f32::from_le_bytes([row[4 * i], row[4 * i + 1], row[4 * i + 2], row[4 * i + 3]]);
        let share = |i: usize| f32::from(row[i]) / 255.0;
        g.means.push([0, 1, 2].map(float));
        g.scales.push([3, 4, 5].map(float));
        rgb.push([24, 25, 26].map(share));
        g.opacities.push(share(27));
        g.rotations.push(normalized([28, 29, 30, 31].map(|i: usize| (f32::from(row[i]) - 128.0) / 128.0)));
    }
    g.colors = Colors::Rgb(rgb);
    g
}
