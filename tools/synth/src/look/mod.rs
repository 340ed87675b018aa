//! What a person looks like: skin, hair, clothes; colour and thickness by place on the body at rest.

mod face;
mod surface;
mod thickness;

use crate::Split;
use crate::cloth::{Badge, Cloth};
use crate::random::Random;
use glam::{Vec2, Vec3};

/// Which piece a triangle belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The body's skin with what is worn tight on it.
    Body,
    /// An eyeball.
    Eye,
    /// A skirt, or the skirts of a coat or dress.
    Skirt,
    /// Long hair behind the head.
    Hair,
    /// The brim of a hat.
    Brim,
}

/// How a place reflects light.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Linear albedo.
    pub albedo: Vec3,
    /// Strength of its highlight.
    pub gloss: f32,
    /// Is it skin, into which light enters?
    pub skin: bool,
}

/// What covers the upper body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// Short sleeves, no collar.
    Tee,
    /// No sleeves.
    Tank,
    /// Long sleeves, hem and cuffs.
    Sweater,
    /// Collar and buttons.
    Shirt,
    /// Zipper, collar, bands on the arms.
    Jacket,
    /// Open over a shirt.
    Open,
}

/// What covers the legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottom {
    /// To the ankles.
    Trousers,
    /// To the knees.
    Shorts,
    /// Tight, to the ankles.
    Leggings,
    /// A skirt over bare legs or tights.
    Skirt,
}

/// A person's looks.
#[derive(Clone, Debug)]
pub struct Look {
    /// Albedo of the skin.
    pub skin: Vec3,
    /// Colour of the hair.
    pub hair: Vec3,
    /// How far hair stands off, in metres; 0 for a shaved head.
    pub hair_thickness: f32,
    /// Length of long hair below the ears in metres; 0 for short hair.
    pub hair_length: f32,
    hairline: f32,
    beard: f32,
    lips: Vec3,
    eyes: Vec3,
    glasses: Option<Vec3>,
    /// A hat: its colour, the height of its rim over the eyes, and the brim's reach.
    pub hat: Option<(Vec3, f32, f32)>,
    /// What is worn above.
    pub top: Top,
    /// Its cloth.
    pub top_cloth: Cloth,
    under: Vec3,
    trim: Vec3,
    bands: bool,
    badge: Option<Badge>,
    sleeve: f32,
    hem: f32,
    collar: f32,
    deep: f32,
    top_thickness: f32,
    /// What is worn below.
    pub bottom: Bottom,
    /// Its cloth.
    pub bottom_cloth: Cloth,
    side_stripe: Option<Vec3>,
    leg_end: f32,
    leg_width: f32,
    tights: Option<Vec3>,
    belt: Option<Vec3>,
    shoe: Vec3,
    sole: Vec3,
    shoe_height: f32,
    /// Length of skirts below the pelvis and their flare; `None` for none. The flag says whether they are the top's cloth.
    pub skirt: Option<(f32, f32, bool)>,
    fold: f32,
    shift: Vec2,
}

impl Look {
    /// Draws a person's looks.
    #[must_use]
    pub fn random(random: &mut Random, split: Split) -> Self {
        let tone = random.unit();
        let skin = Vec3::new(0.64, 0.40, 0.29).lerp(Vec3::new(0.10, 0.045, 0.028), tone.powf(1.3))
            * (1.0 + 0.12 * random.signed());
        let hair = match random.below(8) {
            0..=2 => Vec3::new(0.02, 0.016, 0.014),
            3 | 4 => Vec3::new(0.07, 0.035, 0.018),
            5 => Vec3::new(0.22, 0.12, 0.05),
            6 => Vec3::new(0.50, 0.34, 0.16),
            _ if random.chance(0.5) => Vec3::splat(random.range(0.25, 0.6)),
            _ => random.color(),
        };
        let long = random.chance(0.4);
        let top =
            random.pick(&[Top::Tee, Top::Tee, Top::Tank, Top::Sweater, Top::Shirt, Top::Jacket, Top::Open]);
        let bottom = random.pick(&[
            Bottom::Trousers,
            Bottom::Trousers,
            Bottom::Trousers,
            Bottom::Shorts,
            Bottom::Leggings,
            Bottom::Skirt,
        ]);
        let mut top_cloth = Cloth::random(random, split, 0.45);
        let mut bottom_cloth = if bottom == Bottom::Trousers && random.chance(0.45) {
            Cloth::denim(random)
        } else {
            Cloth::random(random, split, 0.75)
        };
        if bottom == Bottom::Leggings {
            bottom_cloth.gloss = random.range(0.0, 0.5);
        }
        let sleeve = match top {
            Top::Tank => -0.2,
            Top::Tee => random.range(0.18, 0.5),
            Top::Shirt if random.chance(0.4) => random.range(0.2, 0.5),
            _ => random.range(0.85, 0.98),
        };
        let loose = random.unit();
        let coat = matches!(top, Top::Jacket | Top::Open) && random.chance(0.3);
        let dress = bottom == Bottom::Skirt && random.chance(0.4);
        let skirt = if bottom == Bottom::Skirt {
            Some((random.range(0.25, 0.85), random.range(0.02, 0.22), dress))
        } else if coat {
            Some((random.range(0.12, 0.5), random.range(0.0, 0.08), true))
        } else {
            None
        };
        if dress {
            top_cloth.gloss *= 0.5;
        }
        Self {
            skin,
            hair,
            hair_thickness: if random.chance(0.06) { 0.0 } else { random.range(0.008, 0.035) },
            hair_length: if long { random.range(0.05, 0.32) } else { 0.0 },
            hairline: random.range(-0.012, 0.014),
            beard: if !long && random.chance(0.3) { random.range(0.3, 1.0) } else { 0.0 },
            lips: skin.lerp(Vec3::new(0.42, 0.09, 0.09), random.range(0.3, 0.8)),
            eyes: random.pick(&[
                Vec3::new(0.06, 0.03, 0.015),
                Vec3::new(0.10, 0.15, 0.22),
                Vec3::new(0.08, 0.10, 0.04),
            ]),
            glasses: random.chance(0.15).then(|| Vec3::splat(random.range(0.01, 0.15))),
            hat: random.chance(0.14).then(|| {
                (
                    random.color(),
                    random.range(0.025, 0.06),
                    if random.chance(0.6) { random.range(0.05, 0.11) } else { 0.0 },
                )
            }),
            top,
            top_cloth,
            under: Vec3::splat(random.range(0.2, 0.85)),
            trim: random.color(),
            bands: random.chance(0.5),
            badge: None,
            sleeve,
            hem: random.range(-0.16, -0.02),
            collar: random.range(-0.045, 0.03),
            deep: random.range(0.015, 0.09),
            top_thickness: match top {
                Top::Jacket | Top::Open => random.range(0.012, 0.028),
                Top::Sweater => random.range(0.008, 0.02),
                _ => 0.003 + 0.014 * loose,
            },
            bottom,
            bottom_cloth,
            side_stripe: (bottom != Bottom::Skirt && random.chance(0.2)).then(|| random.color()),
            leg_end: match bottom {
                Bottom::Trousers => random.range(0.93, 1.03),
                Bottom::Shorts => random.range(0.25, 0.55),
                Bottom::Leggings => random.range(0.7, 0.98),
                Bottom::Skirt => 0.0,
            },
            leg_width: match bottom {
                Bottom::Leggings => 0.002,
                _ => random.range(0.006, 0.03),
            },
            tights: random.chance(0.4).then(|| random.color() * 0.4),
            belt: random.chance(0.25).then(|| random.color() * 0.4),
            shoe: random.color(),
            sole: Vec3::splat(if random.chance(0.6) { 0.7 } else { 0.04 }),
            shoe_height: if random.chance(0.2) { random.range(0.16, 0.3) } else { random.range(0.085, 0.12) },
            skirt,
            fold: random.range(0.8, 2.4),
            shift: Vec2::new(random.unit(), random.unit()),
        }
        .with_badge(random)
        .like_the_demo(random, split)
    }

    /// Some wear what the demo's character wears, in colours of their own.
    fn like_the_demo(mut self, random: &mut Random, split: Split) -> Self {
        if split == Split::Val || !random.chance(0.06) {
            return self;
        }
        let color = |random: &mut Random, c: [f32; 3]| {
            (Vec3::from_array(c) * (1.0 + 0.25 * random.vec3())).clamp(Vec3::splat(0.01), Vec3::splat(0.9))
        };
        self.top = Top::Jacket;
        self.top_cloth.colors =
            [[0.01, 0.13, 0.16], [0.85, 0.41, 0.03], [0.83, 0.75, 0.57]].map(|c| color(random, c));
        self.top_cloth.pattern = crate::cloth::Pattern::Band(0.0);
        self.top_cloth.scale = 0.075;
        self.trim = color(random, [0.01, 0.017, 0.036]);
        (self.bands, self.badge, self.sleeve, self.hem) = (true, None, 0.97, -0.075);
        self.bottom = Bottom::Trousers;
        self.bottom_cloth = Cloth::denim(random);
        (self.leg_end, self.side_stripe, self.skirt) = (1.0, None, None);
        (self.shoe, self.sole) = (color(random, [0.45, 0.04, 0.025]), Vec3::splat(0.75));
        self.shoe_height = 0.105;
        (self.hair, self.hair_length) = (color(random, [0.043, 0.018, 0.008]), 0.0);
        self.hair_thickness = 0.02;
        (self.beard, self.hat, self.glasses) = (0.0, None, None);
        self
    }

    fn with_badge(mut self, random: &mut Random) -> Self {
        if matches!(self.top, Top::Tee | Top::Tank | Top::Sweater) && random.chance(0.4) {
            self.badge = Some(Badge::random(random, 0.0));
        }
        self
    }
}
