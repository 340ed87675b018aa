//! Patterns of cloth: a colour for each place of a flat piece.

use crate::Split;
use crate::noise::{BLOTCH, FBM, GRAIN, floor, hash, lines, round, step, stripes};
use crate::random::Random;
use glam::{Vec2, Vec3};

/// What a cloth is printed or woven with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// One colour.
    Plain,
    /// Bands across.
    Stripes,
    /// Bands along.
    Pinstripes,
    /// Bands across and along, woven.
    Checks,
    /// Spots of three colours, scattered.
    Print,
    /// Blotches of three colours.
    Camouflage,
    /// Blue twill, worn.
    Denim,
    /// The upper part of one colour, the lower of another.
    Halves(f32),
    /// A wide band across with thin borders.
    Band(f32),
    /// Colours that run into each other.
    Dyed,
    /// Held out: bands at an angle.
    Diagonal,
    /// Held out: dots in rows.
    Dots,
    /// Held out: bands in zigzag.
    Zigzag,
    /// Held out: lozenges with thin lines.
    Argyle,
}

/// A cloth.
#[derive(Clone, Debug)]
pub struct Cloth {
    /// Its pattern.
    pub pattern: Pattern,
    /// Up to three colours, linear albedo.
    pub colors: [Vec3; 3],
    /// Size of the pattern in metres.
    pub scale: f32,
    /// How uneven its colour is.
    pub grain: f32,
    /// How much it shines, 0 to 1.
    pub gloss: f32,
    seed: i32,
}

impl Cloth {
    /// Draws a cloth; which patterns there are depends on the split.
    #[must_use]
    pub fn random(random: &mut Random, split: Split, plain: f32) -> Self {
        let fancy: &[Pattern] = match split {
            Split::Train => &[
                Pattern::Stripes,
                Pattern::Stripes,
                Pattern::Pinstripes,
                Pattern::Checks,
                Pattern::Checks,
                Pattern::Print,
                Pattern::Print,
                Pattern::Camouflage,
                Pattern::Halves(0.0),
                Pattern::Band(0.0),
                Pattern::Band(0.0),
                Pattern::Dyed,
            ],
            Split::Val => &[Pattern::Diagonal, Pattern::Dots, Pattern::Zigzag, Pattern::Argyle],
        };
        let pattern = if random.chance(plain) { Pattern::Plain } else { random.pick(fancy) };
        let pattern = match pattern {
            Pattern::Halves(_) => Pattern::Halves(random.range(-0.05, 0.12)),
            Pattern::Band(_) => Pattern::Band(random.range(-0.02, 0.1)),
            other => other,
        };
        let first = Self::color(random);
        let colors = [first, Self::color(random), Self::color(random)];
        Self {
            pattern,
            colors,
            scale: random.range(0.035, 0.13),
            grain: random.range(0.02, 0.12),
            gloss: if random.chance(0.15) { random.range(0.2, 0.6) } else { random.range(0.0, 0.1) },
            seed: random.below(1 << 20) as i32,
        }
    }

    /// Black and white are worn more often than other colours.
    fn color(random: &mut Random) -> Vec3 {
        match random.below(10) {
            0 => Vec3::splat(random.range(0.012, 0.04)),
            1 => Vec3::splat(random.range(0.6, 0.85)),
            2 => Vec3::splat(random.range(0.06, 0.4)),
            _ => random.color(),
        }
    }

    /// Blue trousers.
    #[must_use]
    pub fn denim(random: &mut Random) -> Self {
        let base = Random::hsv(random.range(0.57, 0.64), random.range(0.25, 0.65), random.range(0.18, 0.6));
        Self {
            pattern: Pattern::Denim,
            colors: [base, base * 1.9, base * 0.5],
            scale: 0.1,
            grain: 0.12,
            gloss: 0.0,
            seed: random.below(1 << 20) as i32,
        }
    }

    /// The colour at a place: u across, v upwards, in metres.
    #[must_use]
    pub fn at(&self, u: f32, v: f32, footprint: f32) -> Vec3 {
        let [a, b, c] = self.colors;
        let s = self.scale;
        let f = footprint;
        let color = match self.pattern {
            Pattern::Plain => a,
            Pattern::Stripes => a.lerp(b, stripes(v, s, 0.42, f)),
            Pattern::Pinstripes => a.lerp(b, stripes(u, 0.55 * s, 0.22, f)),
            Pattern::Checks => {
                let across = stripes(v, s, 0.45, f);
                let along = stripes(u, s, 0.45, f);
                let thin = lines(u + 0.3 * s, s, 0.03 * s, f).max(lines(v + 0.3 * s, s, 0.03 * s, f));
                a.lerp(b, 0.5 * (across + along)).lerp(c, 0.8 * thin)
            }
            Pattern::Print => self.scatter(u, v, f),
            Pattern::Camouflage => {
                let n = BLOTCH.at(u / (9.0 * s) + 0.31, v / (9.0 * s), f / (9.0 * s));
                let m = BLOTCH.at(u / (7.0 * s), v / (7.0 * s) + 0.57, f / (7.0 * s));
                let soft = 0.15 + f / s;
                a.lerp(b, step(n - 0.2, soft)).lerp(c, step(m - 0.75, soft))
            }
            Pattern::Denim => {
                let twill = GRAIN.at(u * 3.0, v * 3.0, f * 3.0);
                let worn = BLOTCH.at(u * 1.1, v * 0.7, f);
                a * (1.0 + 0.10 * twill) + (b - a) * 0.16 * (worn - 0.3).max(0.0)
            }
            Pattern::Halves(at) => a.lerp(b, step(at - v, f)),
            Pattern::Band(at) => {
                let band = step(0.5 * s - (v - at).abs(), f);
                let edge = step(0.72 * s - (v - at).abs(), f);
                a.lerp(c, edge).lerp(b, band)
            }
            Pattern::Dyed => {
                let n = FBM.at(u * 0.9, v * 0.9, f);
                a.lerp(b, (0.5 + 0.4 * n).clamp(0.0, 1.0))
            }
            Pattern::Diagonal => a.lerp(b, stripes((u + v) * 0.7, s, 0.45, f)),
            Pattern::Dots => {
                let row = round(v / s);
                let x = u / s + 0.5 * (row as i32 & 1) as f32;
                let d = Vec2::new(x - round(x), v / s - row).length();
                a.lerp(b, step(0.28 - d, f / s))
            }
            Pattern::Zigzag => {
                let saw = (u / s - floor(u / s) - 0.5).abs() * s;
                a.lerp(b, stripes(v + saw, s, 0.45, f))
            }
            Pattern::Argyle => {
                let (p, q) = (u / s + 0.5 * v / s, u / s - 0.5 * v / s);
                let odd = (floor(p) as i32 + floor(q) as i32) & 1 == 1;
                let line = lines(p + 0.5, 1.0, 0.03, f / s).max(lines(q + 0.5, 1.0, 0.03, f / s));
                let plain = if f > 0.7 * s {
                    a.lerp(b, 0.5)
                } else if odd {
                    b
                } else {
                    a
                };
                plain.lerp(c, line)
            }
        };
        let uneven = FBM.at(u * 2.3 + 0.1, v * 2.3, f * 2.3);
        color * (1.0 + self.grain * uneven).max(0.2)
    }

    fn scatter(&self, u: f32, v: f32, f: f32) -> Vec3 {
        let [a, b, c] = self.colors;
        let s = self.scale;
        let (x, y) = (floor(u / s) as i32, floor(v / s) as i32);
        let mut color = a;
        let jitter = hash(x + self.seed, y);
        let at = Vec2::new(0.35 + 0.3 * jitter, 0.35 + 0.3 * hash(x, y + self.seed));
        let d = Vec2::new(u / s - x as f32, v / s - y as f32) - at;
        // Petals.
        let angle = d.y.atan2(d.x);
        let radius = 0.24 + 0.10 * jitter + 0.07 * (angle * 5.0 + 6.0 * jitter).sin();
        let which = if hash(x + 7, y + self.seed) < 0.6 { b } else { c };
        color = color.lerp(which, step(radius - d.length(), f / s));
        color.lerp(a * 0.5 + c * 0.5, step(0.08 - d.length(), f / s))
    }
}

/// A printed badge of letters: bits of small glyphs in a row.
#[derive(Clone, Copy, Debug)]
pub struct Badge {
    glyphs: [u16; 4],
    count: usize,
    /// Width of a glyph in metres.
    size: f32,
    /// Middle of the badge: across and up.
    at: Vec2,
    /// Its colour.
    pub color: Vec3,
}

/// Digits and letters, 3 × 5 bits, rows from the top.
const GLYPHS: [u16; 16] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_101_101,
    0b110_101_110_101_110,
    0b111_100_100_100_111,
    0b111_100_110_100_111,
    0b101_101_111_101_101,
    0b101_110_100_110_101,
    0b100_100_100_100_111,
];

impl Badge {
    /// Draws a badge around a place on the chest.
    #[must_use]
    pub fn random(random: &mut Random, chest: f32) -> Self {
        let count = 1 + random.below(4);
        Self {
            glyphs: std::array::from_fn(|_| random.pick(&GLYPHS)),
            count,
            size: random.range(0.03, 0.075) * if count == 1 { 1.7 } else { 1.0 },
            at: Vec2::new(0.0, chest + random.range(-0.09, 0.03)),
            color: random.color(),
        }
    }

    /// How much of a pixel on the front is printed.
    #[must_use]
    pub fn at(&self, x: f32, y: f32, footprint: f32) -> f32 {
        let pitch = self.size * 1.3;
        let height = self.size * 5.0 / 3.0;
        let left = self.at.x - 0.5 * (pitch * self.count as f32 - 0.3 * self.size);
        let (u, v) = (x - left, self.at.y + 0.5 * height - y);
        if u < -footprint || v < -footprint || v > height + footprint {
            return 0.0;
        }
        let cell = self.size / 3.0;
        let bit = |i: i32, j: i32| {
            let glyph = i.div_euclid(4);
            let column = i.rem_euclid(4);
            let inside = glyph >= 0 && glyph < self.count as i32 && column < 3 && (0..5).contains(&j);
            inside && self.glyphs[glyph as usize] >> (14 - (3 * j + column)) & 1 == 1
        };
        // Four taps over the pixel.
        let q = 0.25 * footprint;
        let hit = |du: f32, dv: f32| {
            let (u, v) = (u + du, v + dv);
            let glyph = floor(u / pitch);
            let i = glyph as i32 * 4 + (((u - glyph * pitch) / cell).floor() as i32).min(3);
            f32::from(u8::from(bit(i, floor(v / cell) as i32)))
        };
        0.25 * (hit(-q, -q) + hit(q, -q) + hit(-q, q) + hit(q, q))
    }
}
