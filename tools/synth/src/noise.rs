//! Tileable noise pictures with half-size copies: a lookup costs a few loads whatever the number of octaves in it.

use std::sync::LazyLock;

const SIZE: usize = 256;
const LEVELS: usize = 7;

/// A tileable picture and its half-size copies; one tile is one unit of the coordinates.
#[derive(Debug)]
pub struct Noise {
    levels: Vec<Vec<f32>>,
}

impl Noise {
    fn new(at: impl Fn(usize, usize) -> f32) -> Self {
        let mut level: Vec<f32> = (0..SIZE * SIZE).map(|i| at(i % SIZE, i / SIZE)).collect();
        let mean = level.iter().sum::<f32>() / level.len() as f32;
        let power = level.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / level.len() as f32;
        let scale = 1.0 / power.sqrt().max(1e-6);
        level.iter_mut().for_each(|v| *v = ((*v - mean) * scale).clamp(-3.0, 3.0));
        let mut levels = vec![level];
        for l in 1..LEVELS {
            let (n, above) = (SIZE >> l, &levels[l - 1]);
            let m = 2 * n;
            let next = (0..n * n).map(|i| {
                let (x, y) = (2 * (i % n), 2 * (i / n));
                (above[y * m + x]
                    + above[y * m + x + 1]
                    + above[(y + 1) * m + x]
                    + above[(y + 1) * m + x + 1])
                    / 4.0
            });
            let next = next.collect();
            levels.push(next);
        }
        Self { levels }
    }

    /// The value at a place: mean 0, deviation 1, between −3 and 3. `footprint` is the size of a pixel in the same units;
    /// what is finer is averaged away.
    #[must_use]
    #[inline]
    pub fn at(&self, u: f32, v: f32, footprint: f32) -> f32 {
        let texels = (footprint * SIZE as f32).max(1.0);
        let level = ((texels.to_bits() >> 23) as usize - 127).min(LEVELS - 1);
        let n = SIZE >> level;
        let (x, y) = (u * n as f32, v * n as f32);
        let (fx, fy) = (floor(x), floor(y));
        let mask = n - 1;
        let (x0, y0) = (fx as i32 as usize & mask, fy as i32 as usize & mask);
        let (x1, y1) = ((x0 + 1) & mask, (y0 + 1) & mask);
        let (fx, fy) = (x - fx, y - fy);
        let t = &self.levels[level];
        let (a, b, c, d) = (t[y0 * n + x0], t[y0 * n + x1], t[y1 * n + x0], t[y1 * n + x1]);
        let (low, high) = (a + (b - a) * fx, c + (d - c) * fx);
        let value = low + (high - low) * fy;
        // Beyond the coarsest copy everything fades to the mean.
        if texels > (1 << LEVELS) as f32 { value * ((1 << LEVELS) as f32 / texels) } else { value }
    }
}

/// A number in 0..1 for a lattice cell.
#[must_use]
#[inline]
pub fn hash(x: i32, y: i32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x8da6_b343) ^ (y as u32).wrapping_mul(0xd816_3841);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h >> 8) as f32 / (1_u32 << 24) as f32
}

fn octave(x: usize, y: usize, cells: usize, salt: i32) -> f32 {
    let scale = cells as f32 / SIZE as f32;
    let (x, y) = (x as f32 * scale, y as f32 * scale);
    let (fx, fy) = (x.fract(), y.fract());
    let (x, y) = (x as usize, y as usize);
    let at = |i: usize, j: usize| hash((i % cells) as i32 + salt * 977, (j % cells) as i32);
    let s = |t: f32| t * t * (3.0 - 2.0 * t);
    let (fx, fy) = (s(fx), s(fy));
    let low = at(x, y) + (at(x + 1, y) - at(x, y)) * fx;
    let high = at(x, y + 1) + (at(x + 1, y + 1) - at(x, y + 1)) * fx;
    low + (high - low) * fy
}

/// Clouds: octaves from 4 cells a tile on, each of half the weight.
pub static FBM: LazyLock<Noise> =
    LazyLock::new(|| Noise::new(|x, y| (0..6).map(|o| octave(x, y, 4 << o, o) * 0.55_f32.powi(o)).sum()));

/// Large soft blotches only.
pub static BLOTCH: LazyLock<Noise> =
    LazyLock::new(|| Noise::new(|x, y| (0..3).map(|o| octave(x, y, 4 << o, 20 + o) * 0.5_f32.powi(o)).sum()));

/// Grain: fine speckle with little below it.
pub static GRAIN: LazyLock<Noise> = LazyLock::new(|| {
    Noise::new(|x, y| octave(x, y, 128, 40) + 0.8 * octave(x, y, 64, 41) + 0.4 * octave(x, y, 32, 42))
});

/// Ridges: creases, folds, cracks.
pub static RIDGES: LazyLock<Noise> = LazyLock::new(|| {
    Noise::new(|x, y| {
        (0..4).map(|o| (1.0 - (octave(x, y, 5 << o, 60 + o) * 2.0 - 1.0).abs()) * 0.5_f32.powi(o)).sum()
    })
});

/// Distance to the borders of irregular cells: stones.
pub static CELLS: LazyLock<Noise> = LazyLock::new(|| {
    const N: i32 = 12;
    Noise::new(|x, y| {
        let scale = N as f32 / SIZE as f32;
        let p = [x as f32 * scale, y as f32 * scale];
        let cell = p.map(|v| v as i32);
        let mut near = [f32::INFINITY; 2];
        for j in -1..=1 {
            for i in -1..=1 {
                let c = [cell[0] + i, cell[1] + j];
                let w = c.map(|v| v.rem_euclid(N));
                let at = [
                    c[0] as f32 + 0.15 + 0.7 * hash(w[0], w[1]),
                    c[1] as f32 + 0.15 + 0.7 * hash(w[0] + 131, w[1]),
                ];
                let d = ((at[0] - p[0]).powi(2) + (at[1] - p[1]).powi(2)).sqrt();
                if d < near[0] {
                    near = [d, near[0]];
                } else if d < near[1] {
                    near[1] = d;
                }
            }
        }
        ((near[1] - near[0]) * 3.0).min(1.0)
    })
});

/// 0 below `low`, 1 above `high`, smooth between.
#[must_use]
#[inline]
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// How much of a pixel of width `footprint` at signed distance `d` from an edge lies beyond it: an antialiased step.
#[must_use]
#[inline]
pub fn step(d: f32, footprint: f32) -> f32 {
    (d / footprint.max(1e-6) + 0.5).clamp(0.0, 1.0)
}

/// Share of a pixel of width `footprint` covered by lines of half-width `half` at every multiple of `period`: exact, so that
/// fine lines fade to their mean.
#[must_use]
#[inline]
pub fn lines(x: f32, period: f32, half: f32, footprint: f32) -> f32 {
    let width = 2.0 * half / period;
    let f = (footprint / period).max(1e-4);
    // Covered length from the middle between two lines on, in periods.
    let covered = |x: f32| {
        let n = floor(x);
        n * width + (x - n - 0.5 + 0.5 * width).clamp(0.0, width)
    };
    let at = x / period + 0.5;
    (covered(at + 0.5 * f) - covered(at - 0.5 * f)) / f
}

/// The largest whole number that isn't larger. The standard one is a call where the processor isn't known.
#[must_use]
#[inline]
pub fn floor(x: f32) -> f32 {
    let whole = x as i32 as f32;
    if whole > x { whole - 1.0 } else { whole }
}

/// The nearest whole number.
#[must_use]
#[inline]
pub fn round(x: f32) -> f32 {
    floor(x + 0.5)
}

/// Share of a pixel on the odd stripes of a period, with the share `duty` of each period odd.
#[must_use]
#[inline]
pub fn stripes(x: f32, period: f32, duty: f32, footprint: f32) -> f32 {
    lines(x, period, 0.5 * duty * period, footprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_tiles_and_fades() {
        for noise in [&FBM, &BLOTCH, &GRAIN, &RIDGES, &CELLS] {
            assert!((noise.at(0.3, 0.7, 0.0) - noise.at(1.3, -0.3, 0.0)).abs() < 1e-3);
            assert!(noise.at(0.3, 0.7, 1e4).abs() < 0.01);
            let spread: f32 = (0..500).map(|i| noise.at(i as f32 * 0.37, i as f32 * 0.11, 0.0).powi(2)).sum();
            assert!((0.5..2.0).contains(&(spread / 500.0)), "{spread}");
        }
    }

    #[test]
    fn lines_average_to_their_share() {
        let n = 10_000;
        let sum: f32 = (0..n).map(|i| lines(i as f32 * 0.00171, 0.1, 0.02, 0.03)).sum();
        assert!((sum / n as f32 - 0.4).abs() < 0.02);
        assert_eq!(lines(0.05, 0.1, 0.02, 0.001), 0.0);
    }
}
