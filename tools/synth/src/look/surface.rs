//! How a place of a person reflects light: which piece of clothing lies there, and its cloth.

use super::{Bottom, Look, Piece, Surface, Top};
use crate::cloth::Cloth;
use crate::noise::{BLOTCH, FBM, round, smoothstep, step};
use crate::template::Template;
use glam::{Vec2, Vec3};

impl Look {
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

    pub(super) fn body(&self, t: &Template, p: Vec3, f: f32) -> Surface {
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
    pub(super) fn off_collar(&self, t: &Template, p: Vec3) -> f32 {
        let j = &t.joints;
        // An oval around the neck that is deeper in front.
        let front = smoothstep(-0.02, 0.05, p.z - j[12].z);
        let wide = 0.068 + 0.35 * (self.collar + 0.045);
        let across = Vec2::new(p.x / wide, (p.z - j[12].z) / 0.09).length();
        let height = p.y - (j[12].y - 0.012 - self.deep * front);
        (1.0 - across).min(height / 0.06) * 0.06
    }

    pub(super) fn arm(&self, t: &Template, p: Vec3, f: f32) -> Surface {
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

    pub(super) fn torso(&self, t: &Template, p: Vec3, f: f32, hem: f32) -> Surface {
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

    pub(super) fn leg(&self, t: &Template, p: Vec3, f: f32) -> Surface {
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

    pub(super) fn foot(&self, p: Vec3, up: f32, f: f32) -> Surface {
        let color = self.shoe.lerp(self.sole, step(0.024 - up, f));
        let laces = step(0.02 - (p.x.abs() - 0.09).abs(), f)
            * step(p.z - 0.03, f)
            * step(up - 0.05, f)
            * step(0.11 - up, f);
        let color = color.lerp(self.sole, 0.6 * laces);
        Surface { albedo: color * (1.0 + 0.06 * FBM.at(p.x * 3.0, p.z * 3.0, f)), gloss: 0.15, skin: false }
    }

    pub(super) fn bare(&self, p: Vec3, f: f32) -> Surface {
        let spots = BLOTCH.at(p.x * 2.0 + p.z, p.y * 2.0 + p.z, f * 2.0);
        let tint = Vec3::new(1.0 + 0.03 * spots, 1.0 - 0.02 * spots, 1.0 - 0.02 * spots);
        Surface { albedo: self.skin * tint, gloss: 0.14, skin: true }
    }
}

pub(super) fn matte(albedo: Vec3) -> Surface {
    Surface { albedo, gloss: 0.02, skin: false }
}

fn worn(cloth: &Cloth, albedo: Vec3) -> Surface {
    Surface { albedo, gloss: cloth.gloss, skin: false }
}
