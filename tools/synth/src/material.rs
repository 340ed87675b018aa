//! What things of a scene are made of: a colour for each place of a surface.

use crate::Split;
use crate::noise::{BLOTCH, CELLS, FBM, GRAIN, RIDGES, floor, hash, lines, round, step, stripes};
use crate::random::Random;
use glam::{Vec2, Vec3};

/// A family of textures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Paint or plaster with stains.
    Plain,
    /// Two colours in clouds.
    Mottled,
    /// Courses of bricks.
    Bricks,
    /// Square tiles with joints, two colours.
    Tiles,
    /// Planks side by side.
    Planks,
    /// Grass or earth.
    Grass,
    /// Asphalt with speckle and cracks.
    Asphalt,
    /// A wall with windows.
    Facade,
    /// Painted bands.
    Bands,
    /// Coloured fields: posters, shelves, crates.
    Fields,
    /// Leaves.
    Foliage,
    /// Bark, or any upright grain.
    Bark,
    /// Large concrete slabs with joints.
    Slabs,
    /// Held out: cobbles and crazed stone.
    Cobbles,
    /// Held out: waves.
    Waves,
    /// Held out: hexagonal tiles.
    Hexagons,
    /// Held out: woven bands.
    Weave,
}

/// A material.
#[derive(Clone, Copy, Debug)]
pub struct Material {
    /// Its family.
    pub family: Family,
    /// Up to three linear albedos.
    pub colors: [Vec3; 3],
    /// Size of what repeats, in metres.
    pub scale: f32,
    seed: i32,
    shift: Vec2,
}

impl Material {
    /// Draws a material of a family.
    #[must_use]
    pub fn new(random: &mut Random, family: Family) -> Self {
        // What is built is paler than what is worn.
        let vivid = random.color();
        let gray = vivid.dot(Vec3::new(0.21, 0.72, 0.07));
        let base =
            vivid.lerp(Vec3::new(1.03, 1.0, 0.95) * gray, if random.chance(0.15) { 0.1 } else { 0.65 });
        let near = |random: &mut Random, c: Vec3, by: f32| {
            let gray = c.dot(Vec3::splat(1.0 / 3.0));
            ((c + random.vec3() * by * (gray + 0.05)) * random.range(0.6, 1.5))
                .clamp(Vec3::splat(0.01), Vec3::splat(0.85))
        };
        let dull = |random: &mut Random, low: f32, high: f32| {
            let v = random.range(low, high);
            Vec3::splat(v) + random.vec3() * 0.07 * v
        };
        let (colors, scale) = match family {
            Family::Plain => ([base, near(random, base, 0.2), base], random.range(0.5, 2.0)),
            Family::Mottled => ([base, near(random, base, 0.3), base], random.range(0.6, 3.0)),
            Family::Bricks => {
                let brick = if random.chance(0.6) {
                    Vec3::new(0.34, 0.13, 0.08) * random.range(0.6, 1.7)
                } else {
                    dull(random, 0.1, 0.6)
                };
                ([brick, near(random, brick, 0.3), dull(random, 0.2, 0.6)], random.range(0.06, 0.16))
            }
            Family::Tiles => (
                [
                    base,
                    if random.chance(0.25) { random.color() } else { near(random, base, 0.2) },
                    dull(random, 0.1, 0.6),
                ],
                random.range(0.15, 0.8),
            ),
            Family::Planks => {
                let wood = Vec3::new(0.36, 0.20, 0.10) * random.range(0.35, 1.8);
                ([wood, near(random, wood, 0.15), wood * 0.3], random.range(0.07, 0.22))
            }
            Family::Grass => {
                let green =
                    Random::hsv(random.range(0.17, 0.33), random.range(0.3, 0.75), random.range(0.25, 0.6));
                let other =
                    Random::hsv(random.range(0.09, 0.28), random.range(0.2, 0.6), random.range(0.3, 0.65));
                ([green, other, green * 0.4], random.range(1.0, 4.0))
            }
            Family::Asphalt => {
                let gray = dull(random, 0.05, 0.28);
                ([gray, dull(random, 0.3, 0.7), gray * 0.5], random.range(1.5, 4.0))
            }
            Family::Facade => {
                ([base, dull(random, 0.02, 0.12), dull(random, 0.3, 0.8)], random.range(1.6, 3.2))
            }
            Family::Bands => {
                let other = if random.chance(0.3) { random.color() } else { near(random, base, 0.5) };
                ([base, other, base], random.range(0.3, 2.0))
            }
            Family::Fields => ([base, random.color(), random.color()], random.range(0.25, 1.0)),
            Family::Foliage => {
                let leaf =
                    Random::hsv(random.range(0.12, 0.36), random.range(0.35, 0.8), random.range(0.15, 0.5));
                ([leaf, leaf * 2.2, leaf * 0.3], random.range(0.5, 1.0))
            }
            Family::Bark => {
                let bark = Vec3::new(0.20, 0.13, 0.08) * random.range(0.4, 2.0);
                ([bark, near(random, bark, 0.2), bark * 0.4], random.range(0.3, 0.6))
            }
            Family::Slabs => {
                let stone = dull(random, 0.2, 0.6);
                ([stone, near(random, stone, 0.1), stone * 0.45], random.range(0.6, 1.6))
            }
            Family::Cobbles => (
                [dull(random, 0.15, 0.55), dull(random, 0.1, 0.5), dull(random, 0.04, 0.15)],
                random.range(1.0, 2.5),
            ),
            Family::Waves | Family::Weave => {
                ([base, near(random, base, 0.2), base * 0.5], random.range(0.1, 0.4))
            }
            Family::Hexagons => {
                ([base, near(random, base, 0.5), dull(random, 0.05, 0.5)], random.range(0.12, 0.5))
            }
        };
        let shift = Vec2::new(random.unit(), random.unit());
        Self { family, colors, scale, seed: random.below(1 << 16) as i32, shift }
    }

    /// A material for walls and things, of the split's families.
    #[must_use]
    pub fn thing(random: &mut Random, split: Split) -> Self {
        let family = match split {
            Split::Train => random.pick(&[
                Family::Plain,
                Family::Plain,
                Family::Mottled,
                Family::Bricks,
                Family::Planks,
                Family::Bands,
                Family::Fields,
                Family::Slabs,
                Family::Tiles,
            ]),
            Split::Val => random.pick(&[
                Family::Plain,
                Family::Plain,
                Family::Plain,
                Family::Waves,
                Family::Hexagons,
                Family::Weave,
                Family::Cobbles,
            ]),
        };
        Self::new(random, family)
    }

    /// The same with another first colour.
    #[must_use]
    pub fn with_color(mut self, color: Vec3) -> Self {
        self.colors[0] = color;
        self
    }

    /// Mean albedo, about.
    #[must_use]
    pub fn mean(&self) -> Vec3 {
        match self.family {
            Family::Mottled
            | Family::Grass
            | Family::Tiles
            | Family::Bands
            | Family::Waves
            | Family::Weave => (self.colors[0] + self.colors[1]) * 0.5,
            _ => self.colors[0],
        }
    }

    /// Albedo at a place with a normal, both in the thing's own axes; `f` is the size of a pixel there in metres.
    #[must_use]
    pub fn at(&self, p: Vec3, n: Vec3, f: f32) -> Vec3 {
        let a = n.abs();
        let uv = if a.y > a.x && a.y > a.z {
            Vec2::new(p.x, p.z)
        } else if a.x > a.z {
            Vec2::new(p.z, p.y)
        } else {
            Vec2::new(p.x, p.y)
        };
        self.flat(uv.x, uv.y, f)
    }

    fn flat(&self, u: f32, v: f32, f: f32) -> Vec3 {
        let [a, b, c] = self.colors;
        let s = self.scale;
        let (du, dv) = (u * 0.37 + self.shift.x, v * 0.37 + self.shift.y);
        let stain = FBM.at(du, dv, f * 0.37);
        match self.family {
            Family::Plain => a * (1.0 + 0.08 * stain),
            Family::Mottled => {
                let n = FBM.at(u / (2.0 * s) + self.shift.x, v / (2.0 * s), f / (2.0 * s));
                a.lerp(b, (0.5 + 0.45 * n).clamp(0.0, 1.0))
            }
            Family::Bricks => {
                let row = floor(v / s);
                let x = u / (2.6 * s) + 0.5 * (row as i32 & 1) as f32;
                let tone = hash(floor(x) as i32 + self.seed, row as i32);
                let joint = lines(v, s, 0.055 * s, f).max(lines(x * 2.6 * s, 2.6 * s, 0.06 * s, f));
                let fade = (1.5 - 1.5 * f / s).clamp(0.0, 1.0);
                let face = a.lerp(b, 0.5 + (tone - 0.5) * fade) * (1.0 + 0.12 * stain);
                face.lerp(c, 0.85 * joint)
            }
            Family::Tiles => {
                let (x, y) = (floor(u / s), floor(v / s));
                let fade = (1.5 - 1.5 * f / s).clamp(0.0, 1.0);
                let odd = ((x as i32 + y as i32) & 1) as f32;
                let tone = 0.94 + 0.12 * hash(x as i32 + self.seed, y as i32) * fade;
                let joint = lines(u, s, 0.012, f).max(lines(v, s, 0.012, f));
                (a.lerp(b, 0.5 + (odd - 0.5) * fade) * tone * (1.0 + 0.05 * stain)).lerp(c, joint * 0.8)
            }
            Family::Planks => {
                let row = floor(v / s);
                let tone = hash(row as i32, self.seed);
                let grain = FBM.at(u * 0.25 + tone * 7.0, v * 2.5, f * 1.2);
                let joint = lines(v, s, 0.04 * s, f);
                let end = lines(u + 3.7 * tone, 2.1, 0.004, f);
                (a.lerp(b, tone) * (1.0 + 0.16 * grain)).lerp(c, 0.8 * joint.max(end))
            }
            Family::Grass => {
                let n = FBM.at(u / (3.0 * s) + self.shift.x, v / (3.0 * s), f / (3.0 * s));
                let blades = GRAIN.at(u * 0.9, v * 0.9, f * 0.9);
                (a.lerp(b, (0.5 + 0.35 * n).clamp(0.0, 1.0)) * (1.0 + 0.30 * blades)).max(c * 0.5)
            }
            Family::Asphalt => {
                let grain = GRAIN.at(u * 1.1, v * 1.1, f * 1.1);
                let crack = RIDGES.at(u / (2.0 * s), v / (2.0 * s) + self.shift.x, f / (2.0 * s));
                let worn = BLOTCH.at(du * 0.4, dv * 0.4, f * 0.15);
                (a * (1.0 + 0.14 * grain + 0.12 * worn)).lerp(c, 0.6 * step(crack - 2.0, 0.4))
            }
            Family::Facade => {
                let (x, y) = (u / s - round(u / s), v / s - round(v / s));
                let half = Vec2::new(0.27, 0.33);
                let inside = step(half.x - x.abs(), f / s) * step(half.y - y.abs(), f / s);
                let frame = step(half.x + 0.05 - x.abs(), f / s) * step(half.y + 0.05 - y.abs(), f / s);
                let cross = step(0.02 - x.abs(), f / s);
                let lit = hash(round(u / s) as i32 + self.seed, round(v / s) as i32);
                let glass = b * (0.6 + lit) + Vec3::new(0.05, 0.08, 0.12) * (0.5 + y + 0.3 * stain);
                (a * (1.0 + 0.07 * stain)).lerp(c, frame).lerp(glass.max(Vec3::ZERO), inside * (1.0 - cross))
            }
            Family::Bands => a.lerp(b, stripes(v + self.shift.y, s, 0.5, f)) * (1.0 + 0.05 * stain),
            Family::Fields => {
                let (x, y) = (floor(u / s), (v / (0.7 * s)).floor());
                let h = hash(x as i32 + self.seed, y as i32 * 3);
                let fade = (1.5 - 1.5 * f / s).clamp(0.0, 1.0);
                let color =
                    a.lerp(b, if h > 0.4 { h } else { 0.1 }).lerp(c, if h < 0.25 { 0.8 } else { 0.0 });
                let joint = lines(u, s, 0.02 * s, f).max(lines(v, 0.7 * s, 0.02 * s, f));
                a.lerp(color, fade) * (1.0 - 0.6 * joint)
            }
            Family::Foliage => {
                let n = GRAIN.at(u * s * 0.5, v * s * 0.5, f * s * 0.5);
                let m = BLOTCH.at(u * 0.6, v * 0.6 + self.shift.x, f * 0.6);
                (a * (1.0 + 0.4 * n + 0.2 * m)).max(c * 0.5)
            }
            Family::Bark => {
                let n = RIDGES.at(u / s * 1.5, v / s * 0.3, f / s);
                a.lerp(b, (0.5 + 0.4 * n).clamp(0.0, 1.0)).lerp(c, (0.2 * n).clamp(0.0, 0.5))
            }
            Family::Slabs => {
                let joint = lines(u, s, 0.008, f).max(lines(v, s, 0.008, f));
                let tone = hash(round(u / s) as i32 + self.seed, round(v / s) as i32);
                let grain = GRAIN.at(u * 0.9, v * 0.9, f * 0.9);
                (a.lerp(b, 0.5 * tone) * (1.0 + 0.10 * stain + 0.05 * grain)).lerp(c, 0.8 * joint)
            }
            Family::Cobbles => {
                let n = CELLS.at(u / s, v / s, f / s);
                let tone = BLOTCH.at(u / s * 1.7, v / s * 1.7, f / s);
                a.lerp(b, (0.5 + 0.4 * tone).clamp(0.0, 1.0)).lerp(c, step(-0.9 - n, 0.4 + f / s))
            }
            Family::Waves => {
                a.lerp(b, stripes(v + 0.25 * s * (u / s * 4.0).sin(), s, 0.5, f)) * (1.0 + 0.05 * stain)
            }
            Family::Hexagons => {
                // Nearest of two staggered lattices.
                let r = Vec2::new(1.0, 3.0_f32.sqrt());
                let q = Vec2::new(u, v) / s;
                let g = |shift: Vec2| {
                    let k = ((q - shift) / r).round() * r + shift;
                    (q - k, k)
                };
                let (g1, g2) = (g(Vec2::ZERO), g(r * 0.5));
                let (d, k) = if g1.0.length_squared() < g2.0.length_squared() { g1 } else { g2 };
                let edge = d.x.abs().max(0.5 * d.x.abs() + 0.866 * d.y.abs());
                let tone = hash((k.x * 4.0) as i32 + self.seed, (k.y * 4.0) as i32);
                let fade = (1.5 - 1.5 * f / s).clamp(0.0, 1.0);
                a.lerp(b, 0.5 + (tone - 0.5) * fade).lerp(c, fade * step(edge - 0.45, f / s))
            }
            Family::Weave => {
                let (x, y) = (floor(u / s), floor(v / s));
                let odd = (x as i32 + y as i32) & 1 == 1;
                let (along, across) = if odd { (u / s - x, v / s - y) } else { (v / s - y, u / s - x) };
                let fade = (1.5 - 1.5 * f / s).clamp(0.0, 1.0);
                let round = 1.0 - 0.5 * (2.0 * across - 1.0).powi(2) * fade;
                let color = a.lerp(b, if odd { 0.5 + 0.5 * fade } else { 0.5 - 0.5 * fade });
                color * round * (1.0 - 0.15 * (2.0 * along - 1.0).powi(2) * fade)
            }
        }
    }
}
