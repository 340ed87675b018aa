//! Numbers that look random but follow from where they are asked: value noise and its sums.

use glam::{IVec3, Vec3};

/// A number in 0..1 for a lattice cell.
#[must_use]
pub fn hash(cell: IVec3) -> f32 {
    let mut h = (cell.x as u32).wrapping_mul(0x8da6_b343)
        ^ (cell.y as u32).wrapping_mul(0xd816_3841)
        ^ (cell.z as u32).wrapping_mul(0xcb1a_b31f);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h ^ (h >> 15)) as f32 / u32::MAX as f32
}

/// Value noise in 0..1 with features of size 1, smooth between lattice points.
#[must_use]
pub fn value(p: Vec3) -> f32 {
    let cell = p.floor();
    let f = p - cell;
    let f = f * f * (Vec3::splat(3.0) - 2.0 * f);
    let cell = cell.as_ivec3();
    let at = |x, y, z| hash(cell + IVec3::new(x, y, z));
    let along = |y, z| at(0, y, z) + (at(1, y, z) - at(0, y, z)) * f.x;
    let low = along(0, 0) + (along(1, 0) - along(0, 0)) * f.y;
    let high = along(0, 1) + (along(1, 1) - along(0, 1)) * f.y;
    low + (high - low) * f.z
}

/// Octaves of [`value`], about −1..1 around 0. Octaves whose features are smaller than `footprint` (the size of a
/// pixel where `p` is) fade out, so that far surfaces don't flicker.
#[must_use]
pub fn fractal(p: Vec3, octaves: u32, footprint: f32) -> f32 {
    let (mut sum, mut weight, mut scale) = (0.0, 0.5, 1.0);
    for octave in 0..octaves {
        let fade = (1.5 - 1.5 * scale * footprint).clamp(0.0, 1.0);
        if fade == 0.0 {
            break;
        }
        sum += weight * fade * (value(p * scale + Vec3::splat(octave as f32 * 17.3)) * 2.0 - 1.0);
        weight *= 0.5;
        scale *= 2.03;
    }
    sum
}

/// 0 below `low`, 1 above `high`, smooth between.
#[must_use]
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_bounded_smooth_and_varied() {
        let samples: Vec<f32> = (0..2000).map(|i| value(Vec3::new(i as f32 * 0.01, 0.3, -7.7))).collect();
        assert!(samples.iter().all(|v| (0.0..=1.0).contains(v)));
        assert!(samples.windows(2).all(|w| (w[1] - w[0]).abs() < 0.03));
        let spread = samples.iter().fold(0.0_f32, |m, v| m.max((v - samples[0]).abs()));
        assert!(spread > 0.3, "{spread}");
        assert_eq!(fractal(Vec3::splat(3.3), 5, 10.0), 0.0);
    }
}
