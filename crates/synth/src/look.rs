//! What a person looks like: skin, hair, clothes; colour and thickness by place on the body at rest.

use crate::Split;
use crate::cloth::{Badge, Cloth};
use crate::noise::{BLOTCH, FBM, GRAIN, RIDGES, round, smoothstep, step};
use crate::random::Random;
use crate::template::Template;
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

    /// How a place reflects; `p` on the body at rest, `footprint` a sample's size there in metres.
    #[must_use]
    pub fn surface(&self, t: &Template, piece: Piece, p: Vec3, footprint: f32) -> Surface {
        match piece {
            Piece::Eye => self.eye(t, p),
            Piece::Hair => self.hair_at(p, footprint),
            Piece::Brim => matte(self.hat.map_or(Vec3::ZERO, |h| h.0)),
            Piece::Skirt => {
                let (_, _, top) = self.skirt.unwrap_or_default();
                let cloth = if top { &self.top_cloth } else { &self.bottom_cloth };
                let u = p.x.atan2(p.z) * 0.17;
                worn(cloth, cloth.at(u, p.y - t.joints[9].y, footprint))
            }
            Piece::Body => self.body(t, p, footprint),
        }
    }

    fn body(&self, t: &Template, p: Vec3, f: f32) -> Surface {
        let j = &t.joints;
        let aside = p.x.abs();
        let shoulder = j[16].x;
        if aside > shoulder && p.y > j[9].y - 0.05 {
            return self.arm(t, p, f);
        }
        if p.y > j[12].y + 0.045 && aside < 0.14 {
            return self.head(t, p, f);
        }
        if self.off_collar(t, p) > 0.0 {
            return self.bare(p, f);
        }
        let hem = j[0].y + self.hem;
        if p.y > hem {
            return self.torso(t, p, f, hem);
        }
        let up = p.y - t.ground;
        if up < self.shoe_height {
            return self.foot(p, up, f);
        }
        self.leg(t, p, f)
    }

    /// How far inside the collar's opening a place lies, in metres; negative on the cloth.
    fn off_collar(&self, t: &Template, p: Vec3) -> f32 {
        let j = &t.joints;
        // An oval around the neck that is deeper in front.
        let front = smoothstep(-0.02, 0.05, p.z - j[12].z);
        let wide = 0.068 + 0.35 * (self.collar + 0.045);
        let across = Vec2::new(p.x / wide, (p.z - j[12].z) / 0.09).length();
        let height = p.y - (j[12].y - 0.012 - self.deep * front);
        (1.0 - across).min(height / 0.06) * 0.06
    }

    fn arm(&self, t: &Template, p: Vec3, f: f32) -> Surface {
        let j = &t.joints;
        let a = (p.x.abs() - j[16].x) / (j[20].x - j[16].x);
        if a > self.sleeve {
            return self.bare(p, f);
        }
        let around = (p.y - j[18].y).atan2(p.z - j[18].z) * 0.05;
        let cloth = &self.top_cloth;
        let mut color = cloth.at(around, 0.2 - 0.55 * a, f);
        let cuff = matches!(self.top, Top::Jacket | Top::Sweater | Top::Shirt) && a > self.sleeve - 0.07;
        if self.bands && self.top == Top::Jacket && (0.3..0.45).contains(&a) {
            color = if a > 0.42 { cloth.colors[2] } else { cloth.colors[1] };
        }
        if cuff {
            color = color.lerp(self.trim, if self.top == Top::Jacket { 0.9 } else { 0.25 });
        }
        worn(cloth, color)
    }

    fn torso(&self, t: &Template, p: Vec3, f: f32, hem: f32) -> Surface {
        let j = &t.joints;
        let chest = j[9].y;
        let front = p.z > j[9].z;
        let cloth = &self.top_cloth;
        let u = p.x.atan2(p.z - j[6].z + 0.02) * 0.16;
        let mut color = cloth.at(u, p.y - chest, f);
        match self.top {
            Top::Jacket | Top::Shirt if front => {
                let width = if self.top == Top::Jacket { 0.008 } else { 0.003 };
                let line = step(width - p.x.abs(), f);
                let zip = if self.top == Top::Jacket { self.trim * 0.5 + 0.25 } else { color * 0.55 };
                color = color.lerp(zip, line);
                if self.top == Top::Shirt {
                    let button = Vec2::new(p.x, p.y - round(p.y / 0.085) * 0.085).length();
                    color = color.lerp(self.trim, step(0.008 - button, f));
                }
            }
            Top::Open if front => {
                let open = 0.035 + 0.10 * (p.y - hem).max(0.0) * 0.25;
                color = color.lerp(self.under, step(open - p.x.abs(), f));
            }
            _ => {}
        }
        if let Some(badge) = self.badge.filter(|_| front) {
            color = color.lerp(badge.color, badge.at(p.x, p.y - chest, f));
        }
        let bound = matches!(self.top, Top::Jacket | Top::Sweater);
        if bound && p.y < hem + 0.05 {
            color = color.lerp(self.trim, if self.top == Top::Jacket { 0.9 } else { 0.3 });
        }
        if self.off_collar(t, p) > -0.016 && self.top != Top::Tank {
            color = color.lerp(self.trim, 0.6);
        }
        worn(cloth, color)
    }

    fn leg(&self, t: &Template, p: Vec3, f: f32) -> Surface {
        let j = &t.joints;
        let down = (j[1].y - p.y) / (j[1].y - j[7].y);
        let cloth = &self.bottom_cloth;
        if self.bottom == Bottom::Skirt && down > -0.1 {
            return match self.tights {
                Some(color) => Surface { albedo: color, gloss: 0.05, skin: false },
                None => self.bare(p, f),
            };
        }
        if down > self.leg_end {
            let sock = p.y - t.ground < self.shoe_height + 0.05;
            return if sock { matte(self.sole * 0.9 + 0.02) } else { self.bare(p, f) };
        }
        let (hip, ankle) = if p.x > 0.0 { (j[1], j[7]) } else { (j[2], j[8]) };
        let axis = hip.lerp(ankle, down.clamp(0.0, 1.0));
        let (x, z) = ((p.x - axis.x) * p.x.signum(), p.z - axis.z);
        let mut color = cloth.at(x.atan2(z) * 0.08, p.y - j[4].y, f);
        if let Some(stripe) = self.side_stripe {
            color = color.lerp(stripe, step(0.017 - z.abs(), f) * step(x, 0.01));
        }
        if let Some(belt) = self.belt.filter(|_| down < -0.04) {
            color = belt;
        }
        // Worn knees, dark seams and pockets.
        if cloth.pattern == crate::cloth::Pattern::Denim {
            let knee = (1.0 - ((p.y - j[4].y - 0.1).abs() / 0.25)).max(0.0) * step(z, 0.05);
            color *= 1.0 + 0.35 * knee - 0.45 * step(0.004 - z.abs(), f) * step(x, 0.01);
        }
        worn(cloth, color)
    }

    fn foot(&self, p: Vec3, up: f32, f: f32) -> Surface {
        let color = self.shoe.lerp(self.sole, step(0.024 - up, f));
        let laces = step(0.02 - (p.x.abs() - 0.09).abs(), f)
            * step(p.z - 0.03, f)
            * step(up - 0.05, f)
            * step(0.11 - up, f);
        let color = color.lerp(self.sole, 0.6 * laces);
        Surface { albedo: color * (1.0 + 0.06 * FBM.at(p.x * 3.0, p.z * 3.0, f)), gloss: 0.15, skin: false }
    }

    fn bare(&self, p: Vec3, f: f32) -> Surface {
        let spots = BLOTCH.at(p.x * 2.0 + p.z, p.y * 2.0 + p.z, f * 2.0);
        let tint = Vec3::new(1.0 + 0.03 * spots, 1.0 - 0.02 * spots, 1.0 - 0.02 * spots);
        Surface { albedo: self.skin * tint, gloss: 0.14, skin: true }
    }

    fn head(&self, t: &Template, p: Vec3, f: f32) -> Surface {
        let j = &t.joints;
        let eyes = (j[23] + j[24]) / 2.0;
        let (up, back) = (p.y - eyes.y, eyes.z - p.z);
        if let Some((color, rim, _)) = self.hat
            && up > rim + 0.02 * (back / 0.1)
        {
            let band = step(rim + 0.03 - up, f);
            return matte(color * (1.0 - 0.5 * band));
        }
        if self.hair_share(up, back, p) > 0.5 && self.hair_thickness > 0.0 {
            return self.hair_at(p, f);
        }
        let mut s = self.bare(p, f);
        if self.hair_thickness == 0.0 && self.hair_share(up, back, p) > 0.5 {
            s.albedo = s.albedo.lerp(self.hair, 0.25);
        }
        if back < 0.035 {
            self.paint_face(t, p, f, &mut s);
        }
        s
    }

    fn paint_face(&self, t: &Template, p: Vec3, f: f32, s: &mut Surface) {
        let flat = p.truncate();
        let eyes = (t.joints[23].y + t.joints[24].y) / 2.0;
        let mouth = t.face[31..43].iter().map(|v| v.truncate()).sum::<Vec2>() / 12.0;
        let cheek = Vec2::new(p.x.abs() - 0.042, p.y - eyes + 0.045).length();
        let blush = 1.0 - smoothstep(0.008, 0.034, cheek);
        s.albedo *= Vec3::ONE.lerp(Vec3::new(1.1, 0.86, 0.84), 0.6 * blush);
        if self.beard > 0.0 && p.y < t.face[14].y + 0.01 {
            let ring = smoothstep(0.016, 0.026, (flat - mouth).length());
            let bristle = 0.8 + 0.2 * GRAIN.at(p.x * 6.0, p.y * 6.0, f * 6.0);
            s.albedo = s.albedo.lerp(self.hair, self.beard * ring * bristle * 0.85);
        }
        if inside(flat, &t.face[31..43]) {
            s.albedo = self.lips;
            s.gloss = 0.3;
        }
        for brow in [0..5, 5..10] {
            let d = from_line(flat, &t.face[brow]);
            s.albedo = s.albedo.lerp(self.hair * 0.8, 0.85 * step(0.0045 - d, f.max(0.002)));
        }
        for ring in [19..25, 25..31] {
            let d = from_ring(flat, &t.face[ring.clone()]);
            s.albedo *= 1.0 - 0.6 * step(0.0018 - d, f.max(0.001));
            if let Some(frame) = self.glasses {
                let middle = t.face[ring].iter().map(|v| v.truncate()).sum::<Vec2>() / 6.0;
                let around = Vec2::new((flat.x - middle.x) * 0.85, flat.y - middle.y + 0.004).length();
                s.albedo = s.albedo.lerp(frame, step(0.0022 - (around - 0.023).abs(), f.max(0.001)));
            }
        }
        if let Some(frame) = self.glasses {
            let bridge = (p.y - eyes).abs() < 0.003 && p.x.abs() < 0.012;
            if bridge {
                s.albedo = frame;
            }
        }
    }

    /// 1 where hair grows, 0 on the face; soft around the hairline.
    fn hair_share(&self, up: f32, back: f32, p: Vec3) -> f32 {
        let aside = p.x.abs();
        let line = 0.066 + self.hairline
            - 0.075 * smoothstep(0.015, 0.075, back)
            - 0.09 * smoothstep(0.085, 0.13, back)
            - 0.16 * (aside - 0.02).max(0.0) * smoothstep(0.06, 0.0, back);
        let ragged = line + 0.004 * GRAIN.at(p.x * 3.0, p.z * 3.0, 0.0);
        let ear =
            aside > 0.070 && (0.055..0.125).contains(&back) && up.abs() < 0.04 && self.hair_length == 0.0;
        if ear { 0.0 } else { smoothstep(-0.004, 0.004, up - ragged) }
    }

    /// Is a place covered by hair?
    #[must_use]
    pub fn is_hair(&self, t: &Template, piece: Piece, p: Vec3) -> bool {
        let eyes = (t.joints[23] + t.joints[24]) / 2.0;
        piece == Piece::Hair
            || (piece == Piece::Body
                && self.hair_thickness > 0.0
                && p.y > t.joints[12].y + 0.045
                && p.x.abs() < 0.14
                && self.hair_share(p.y - eyes.y, eyes.z - p.z, p) > 0.5)
    }

    fn hair_at(&self, p: Vec3, f: f32) -> Surface {
        let u = p.x.atan2(-p.z) * 0.4;
        let strand =
            0.35 * GRAIN.at(u * 6.0, p.y * 0.9, f * 4.0) + 0.2 * RIDGES.at(u * 2.0, p.y * 0.6, f * 2.0);
        Surface { albedo: self.hair * (1.0 + strand).max(0.3), gloss: 0.35, skin: false }
    }

    fn eye(&self, t: &Template, p: Vec3) -> Surface {
        let middle = if p.x > 0.0 { t.joints[23] } else { t.joints[24] };
        let toward = (p - middle).normalize_or(Vec3::Z).z;
        let albedo = if toward > 0.982 {
            Vec3::splat(0.01)
        } else if toward > 0.88 {
            self.eyes
        } else {
            Vec3::new(0.72, 0.69, 0.66)
        };
        Surface { albedo, gloss: 0.4, skin: false }
    }

    /// How far what is worn stands off the skin at a vertex at rest, in metres; steps at borders are smoothed by the caller.
    #[must_use]
    pub fn thickness(&self, t: &Template, p: Vec3, normal: Vec3) -> f32 {
        let j = &t.joints;
        let aside = p.x.abs();
        let fold = |across: f32, along: f32, amount: f32| {
            amount * self.fold * RIDGES.at(across + self.shift.x, along + self.shift.y, 0.004).max(-1.5)
        };
        if aside > j[16].x && p.y > j[9].y - 0.05 {
            let a = (aside - j[16].x) / (j[20].x - j[16].x);
            if a > self.sleeve {
                return 0.0;
            }
            // Sleeves hang below the arm and gather at their end.
            let hang = 0.5 + 0.8 * (-normal.y).max(0.0) * smoothstep(1.0, 0.2, a);
            return self.top_thickness * hang + 0.004 + fold(p.y * 1.5 + p.z, a * 0.9, 0.0028);
        }
        let eyes = (j[23] + j[24]) / 2.0;
        let (up, back) = (p.y - eyes.y, eyes.z - p.z);
        if p.y > j[12].y + 0.045 && aside < 0.14 {
            if let Some((_, rim, _)) = self.hat
                && up > rim + 0.02 * (back / 0.1)
            {
                return 0.018 + 0.02 * smoothstep(0.05, 0.12, up);
            }
            let grown = self.hair_share(up, back, p);
            let locks = 0.6 + 0.35 * BLOTCH.at(p.x * 1.6 + self.shift.x, p.z * 1.6 + p.y, 0.0).abs();
            return grown * self.hair_thickness * locks;
        }
        if self.off_collar(t, p) > 0.0 {
            return 0.0;
        }
        let hem = j[0].y + self.hem;
        if p.y > hem {
            let drop = smoothstep(j[9].y, hem, p.y);
            let bell = if matches!(self.top, Top::Jacket | Top::Sweater) { 0.6 } else { 1.0 };
            let loose = self.top_thickness * (0.6 + bell * drop);
            return 0.003 + loose + fold(p.x * 0.8 + 0.5 * p.z, p.y * 1.1, 0.0026 * (0.5 + drop));
        }
        let shoe = p.y - t.ground;
        if shoe < self.shoe_height {
            return if shoe < 0.022 { 0.012 } else { 0.008 };
        }
        let down = (j[1].y - p.y) / (j[1].y - j[7].y);
        if self.bottom == Bottom::Skirt || down > self.leg_end {
            return 0.0;
        }
        let wide = self.leg_width * (0.35 + smoothstep(0.1, 0.9, down));
        let gather = 1.0 + smoothstep(0.75, 1.0, down) + smoothstep(0.12, 0.0, (down - 0.5).abs());
        let amount = if self.bottom == Bottom::Leggings { 0.0004 } else { 0.0024 };
        0.003 + wide + fold(p.x * 1.2 + p.z, p.y * 1.3, amount * gather)
    }
}

fn matte(albedo: Vec3) -> Surface {
    Surface { albedo, gloss: 0.02, skin: false }
}

fn worn(cloth: &Cloth, albedo: Vec3) -> Surface {
    Surface { albedo, gloss: cloth.gloss, skin: false }
}

fn from_segment(p: Vec2, a: Vec2, b: Vec2) -> f32 {
    let along = ((p - a).dot(b - a) / (b - a).length_squared().max(1e-12)).clamp(0.0, 1.0);
    (p - a - (b - a) * along).length()
}

fn from_line(p: Vec2, line: &[Vec3]) -> f32 {
    line.windows(2).map(|w| from_segment(p, w[0].truncate(), w[1].truncate())).fold(f32::INFINITY, f32::min)
}

fn from_ring(p: Vec2, ring: &[Vec3]) -> f32 {
    let closing = from_segment(p, ring[ring.len() - 1].truncate(), ring[0].truncate());
    from_line(p, ring).min(closing)
}

/// Is a point inside a polygon?
fn inside(p: Vec2, ring: &[Vec3]) -> bool {
    let mut within = false;
    for (i, a) in ring.iter().enumerate() {
        let b = ring[(i + 1) % ring.len()];
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            within = !within;
        }
    }
    within
}
