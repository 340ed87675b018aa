//! How far what is worn stands off the skin.

use super::{Bottom, Look, Top};
use crate::noise::{BLOTCH, RIDGES, smoothstep};
use crate::template::Template;
use glam::Vec3;

impl Look {
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
