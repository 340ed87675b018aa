//! What hangs beside the body: skirts, long hair, brims. Made on the shaped body at rest, moved by few joints.

use crate::look::{Look, Piece};
use crate::noise::smoothstep;
use crate::template::Template;
use glam::Vec3;
use smplx::N_JOINTS;
use std::f32::consts::{PI, TAU};

/// Vertices with the joints that move them.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// At rest on the shaped body.
    pub rest: Vec<Vec3>,
    /// Up to three joints and their shares.
    pub weights: Vec<[(u8, f32); 3]>,
    /// Triangles, indices into these vertices.
    pub faces: Vec<[u32; 3]>,
    /// What each vertex is part of.
    pub piece: Vec<Piece>,
}

impl Extras {
    /// Makes what a look asks for on a body's rest vertices and joints.
    #[must_use]
    pub fn new(t: &Template, look: &Look, shaped: &[Vec3], joints: &[Vec3; N_JOINTS]) -> Self {
        let mut extras = Self::default();
        if let Some((length, flare, _)) = look.skirt {
            extras.skirt(t, shaped, joints, length, flare);
        }
        if look.hair_length > 0.0 && look.hair_thickness > 0.0 {
            extras.hair(look, joints);
        }
        if let Some((_, rim, reach)) = look.hat
            && reach > 0.0
        {
            extras.brim(joints, rim, reach);
        }
        extras
    }

    /// A grid of `columns` × `rows` vertices; `at` gives place and joints, `closed` joins the last column to the first.
    fn grid(
        &mut self,
        columns: usize,
        rows: usize,
        closed: bool,
        piece: Piece,
        at: impl Fn(f32, f32) -> (Vec3, [(u8, f32); 3]),
    ) {
        let first = self.rest.len() as u32;
        let last = if closed { columns } else { columns - 1 };
        for r in 0..rows {
            for c in 0..columns {
                let (p, w) = at(c as f32 / last as f32, r as f32 / (rows - 1) as f32);
                self.rest.push(p);
                self.weights.push(w);
                self.piece.push(piece);
            }
        }
        for r in 0..rows - 1 {
            for c in 0..last {
                let id = |c: usize, r: usize| first + (r * columns + c % columns) as u32;
                let (a, b, d, e) = (id(c, r), id(c + 1, r), id(c, r + 1), id(c + 1, r + 1));
                self.faces.push([a, d, b]);
                self.faces.push([b, d, e]);
            }
        }
    }

    fn skirt(&mut self, t: &Template, shaped: &[Vec3], joints: &[Vec3; N_JOINTS], length: f32, flare: f32) {
        let top = joints[3].y - 0.02;
        // The outline of hips and thighs, by direction, widest over the heights it covers.
        const RAYS: usize = 32;
        let middle = Vec3::new(0.0, 0.0, joints[0].z);
        let bottom = joints[0].y - length.min(0.35);
        let mut waist = [0.0_f32; RAYS];
        let mut hips = [0.0_f32; RAYS];
        for (v, p) in shaped.iter().enumerate() {
            if !matches!(t.part[v], 2 | 7 | 9) || p.y > top + 0.03 || p.y < bottom {
                continue;
            }
            let d = *p - middle;
            let ray = ((d.x.atan2(d.z) / TAU).rem_euclid(1.0) * RAYS as f32) as usize % RAYS;
            let r = d.x.hypot(d.z);
            hips[ray] = hips[ray].max(r);
            if p.y > top - 0.05 {
                waist[ray] = waist[ray].max(r);
            }
        }
        let smooth = |o: &[f32; RAYS]| -> [f32; RAYS] {
            std::array::from_fn(|i| {
                let near = [RAYS - 2, RAYS - 1, 0, 1, 2].map(|k| o[(i + k) % RAYS]);
                let most = near.iter().fold(0.0_f32, |a, b| a.max(*b));
                0.6 * most + 0.4 * near.iter().sum::<f32>() / 5.0
            })
        };
        let (waist, hips) = (smooth(&waist), smooth(&hips));
        self.grid(2 * RAYS, 9, true, Piece::Skirt, |c, r| {
            let turn = c * TAU;
            let ray = c * RAYS as f32 - 0.5;
            let pick = |o: &[f32; RAYS]| {
                let i = ray.floor();
                let (a, b) = (
                    o[(i as i32).rem_euclid(RAYS as i32) as usize],
                    o[(i as i32 + 1).rem_euclid(RAYS as i32) as usize],
                );
                a + (b - a) * (ray - i)
            };
            let down = r * (length + top - joints[0].y);
            let wide = smoothstep(0.0, 0.16, down);
            let fold = 0.03 * flare.min(0.12) / 0.12 * r * (turn * 9.0 + 1.7).sin();
            let radius = pick(&waist) * (1.0 - wide) + pick(&hips) * wide + 0.012 + flare * r + fold;
            let p = middle + Vec3::new(turn.sin() * radius, top - down, turn.cos() * radius);
            let legs = 0.75 * smoothstep(0.05, 0.4, down);
            let left = smoothstep(-0.12, 0.12, p.x);
            (p, [(0, 1.0 - legs), (1, legs * left), (2, legs * (1.0 - left))])
        });
    }

    fn hair(&mut self, look: &Look, joints: &[Vec3; N_JOINTS]) {
        let eyes = (joints[23] + joints[24]) / 2.0;
        let centre = Vec3::new(0.0, eyes.y, eyes.z - 0.085);
        let (length, thick) = (look.hair_length, look.hair_thickness);
        self.grid(21, 9, false, Piece::Hair, |c, r| {
            let turn = PI + (0.5 - c) * 3.7;
            let (wide, deep) = (0.080 + 0.6 * thick, 0.098 + 0.6 * thick);
            let drop = r * (length + 0.10);
            let wave = 0.004 * (turn * 11.0 + r * 4.0).sin();
            let narrow = 1.0 - 0.12 * smoothstep(0.4, 1.0, r);
            let p = centre
                + Vec3::new(
                    turn.sin() * (wide + wave) * narrow,
                    0.055 - drop,
                    turn.cos() * (deep + wave) * narrow - 0.02 * smoothstep(0.12, 0.3, drop),
                );
            let low = 0.5 * smoothstep(0.12, 0.3, drop);
            (p, [(15, 1.0 - low), (12, 0.5 * low), (9, 0.5 * low)])
        });
    }

    fn brim(&mut self, joints: &[Vec3; N_JOINTS], rim: f32, reach: f32) {
        let eyes = (joints[23] + joints[24]) / 2.0;
        let centre = Vec3::new(0.0, eyes.y + rim, eyes.z - 0.075);
        // A peak in front, or all around.
        let around = if reach > 0.085 { 1.0 } else { 0.36 };
        self.grid(25, 3, false, Piece::Brim, |c, r| {
            let turn = (c - 0.5) * TAU * around;
            let side = if around < 1.0 { (1.0 - (2.0 * c - 1.0).powi(2)).max(0.0).sqrt() } else { 1.0 };
            let out = 0.088 + r * reach * side;
            let p = Vec3::new(turn.sin() * out * 0.9, 0.004 - 0.015 * r, turn.cos() * (out + 0.012));
            (centre + p, [(15, 1.0), (15, 0.0), (15, 0.0)])
        });
    }
}
