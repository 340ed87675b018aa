//! Heads: hair, brows, eyes, lips, beards, glasses, hats.

use super::surface::matte;
use super::{Look, Piece, Surface};
use crate::noise::{GRAIN, RIDGES, smoothstep, step};
use crate::template::Template;
use glam::{Vec2, Vec3};

impl Look {
    pub(super) fn head(&self, t: &Template, p: Vec3, f: f32) -> Surface {
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

    pub(super) fn paint_face(&self, t: &Template, p: Vec3, f: f32, s: &mut Surface) {
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
    pub(super) fn hair_share(&self, up: f32, back: f32, p: Vec3) -> f32 {
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

    pub(super) fn hair_at(&self, p: Vec3, f: f32) -> Surface {
        let u = p.x.atan2(-p.z) * 0.4;
        let strand =
            0.35 * GRAIN.at(u * 6.0, p.y * 0.9, f * 4.0) + 0.2 * RIDGES.at(u * 2.0, p.y * 0.6, f * 2.0);
        Surface { albedo: self.hair * (1.0 + strand).max(0.3), gloss: 0.35, skin: false }
    }

    pub(super) fn eye(&self, t: &Template, p: Vec3) -> Surface {
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
