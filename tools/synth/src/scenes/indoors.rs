//! Scenes between walls.

use super::Builder;
use crate::light::Light;
use crate::material::{Family, Material};
use glam::{Mat3, Vec3};

impl Builder {
    /// Walls behind and beside.
    pub(super) fn walls(&mut self, wide: f32, deep: f32, high: f32, families: &[Family]) {
        let material = if self.random.chance(0.5) {
            self.of(&[Family::Plain, Family::Mottled])
        } else {
            self.of(families)
        };
        let side = if self.random.chance(0.5) { material } else { self.thing() };
        let w = &mut self.world;
        w.open = false;
        w.sheet(Vec3::new(-wide, 0.0, -deep), Vec3::X * 2.0 * wide, Vec3::Y * high, material);
        w.sheet(Vec3::new(-wide, 0.0, 30.0), Vec3::NEG_Z * (30.0 + deep), Vec3::Y * high, side);
        w.sheet(Vec3::new(wide, 0.0, -deep), Vec3::Z * (30.0 + deep), Vec3::Y * high, side);
        let ceiling = Material::new(&mut self.random, Family::Plain).with_color(Vec3::splat(0.7));
        self.world.sheet(
            Vec3::new(-wide, high, -deep),
            Vec3::X * 2.0 * wide,
            Vec3::Z * (30.0 + deep),
            ceiling,
        );
        // A skirting board.
        let board = Material::new(&mut self.random, Family::Plain);
        self.world.block(Vec3::new(0.0, 0.0, -deep + 0.01), Vec3::new(2.0 * wide, 0.1, 0.03), 0.0, board);
    }

    /// A bright pane on the side from which the light comes.
    pub(super) fn window(&mut self, light: &Light) {
        let extent = self.world.vertices.iter().fold(0.0_f32, |a, v| a.min(v.z).max(-14.0));
        let glass = Material::new(&mut self.random, Family::Plain).with_color(Vec3::splat(0.8));
        let n = 1 + self.random.below(3);
        for k in 0..n {
            let shift = 1.5 * (k as f32 - 0.5 * (n - 1) as f32);
            if light.sun.z < -0.5 && extent < -1.0 && extent > -13.0 {
                let at = Vec3::new(light.sun.x * 4.0 + shift, 1.0, extent + 0.02);
                self.world.block(at, Vec3::new(1.2, 1.3, 0.03), 0.0, glass);
                if let Some(pane) = self.world.last() {
                    pane.glow = light.sun_color * 0.6 + light.sky * 0.8;
                    pane.casts = false;
                }
            }
        }
    }

    pub(super) fn room(&mut self) -> Material {
        let floor =
            self.ground(&[Family::Planks, Family::Planks, Family::Tiles, Family::Mottled, Family::Plain]);
        let (wide, deep, high) =
            (self.random.range(2.6, 4.5), self.random.range(2.2, 5.0), self.random.range(2.4, 3.4));
        self.walls(wide, deep, high, &[Family::Bands, Family::Mottled, Family::Bricks, Family::Planks]);
        // Pictures, a rug, a shelf.
        for _ in 0..self.random.below(4) {
            let material = self.of(&[Family::Fields, Family::Mottled, Family::Bands]);
            let at =
                Vec3::new(self.random.range(-wide, wide) * 0.8, self.random.range(1.0, 1.6), -deep + 0.02);
            let size = Vec3::new(self.random.range(0.3, 1.2), self.random.range(0.3, 0.9), 0.04);
            self.world.block(at, size, 0.0, material);
        }
        if self.random.chance(0.5) {
            let rug = self.of(&[Family::Tiles, Family::Bands, Family::Mottled]);
            let (x, z) = (self.random.range(0.8, 1.8), self.random.range(0.8, 1.6));
            self.world.sheet(Vec3::new(-x, 0.004, z), Vec3::X * 2.0 * x, Vec3::NEG_Z * 2.0 * z, rug);
        }
        if self.random.chance(0.6) {
            let shelf = self.of(&[Family::Fields, Family::Planks]);
            let at = Vec3::new(self.random.range(-wide, wide) * 0.7, 0.0, -deep + 0.25);
            self.world.block(
                at,
                Vec3::new(self.random.range(0.8, 2.0), self.random.range(0.7, 2.1), 0.4),
                0.0,
                shelf,
            );
        }
        let n = 3 + self.random.below(5);
        self.clutter(n, wide * 0.9, [-deep + 0.4, 1.0]);
        floor
    }

    pub(super) fn gym(&mut self) -> Material {
        let floor = self.ground(&[Family::Planks, Family::Plain, Family::Planks]);
        let (wide, deep) = (self.random.range(6.0, 12.0), self.random.range(5.0, 12.0));
        let high = self.random.range(4.5, 7.0);
        self.walls(wide, deep, high, &[Family::Bricks, Family::Bands, Family::Slabs]);
        // Lines on the floor.
        for _ in 0..3 + self.random.below(4) {
            let paint =
                Material::new(&mut self.random, Family::Plain).with_color(self.random.color() * 1.5 + 0.1);
            let p = self.random.range(-5.0, 3.0);
            if self.random.chance(0.5) {
                self.world.sheet(
                    Vec3::new(-wide, 0.003, p + 0.08),
                    Vec3::X * 2.0 * wide,
                    Vec3::NEG_Z * 0.08,
                    paint,
                );
            } else {
                self.world.sheet(
                    Vec3::new(p, 0.0035, 20.0),
                    Vec3::X * 0.08,
                    Vec3::NEG_Z * (20.0 + deep),
                    paint,
                );
            }
        }
        for _ in 0..2 + self.random.below(3) {
            let mat = Material::new(&mut self.random, Family::Plain);
            if let Some(p) = self.place(wide * 0.7, [-deep + 0.6, 1.0], 0.8) {
                let h = self.random.range(0.1, 1.4);
                self.world.block(p, Vec3::new(1.6, h, 1.0), self.random.range(0.0, 1.5), mat);
            }
        }
        // Wall bars.
        if self.random.chance(0.6) {
            let wood = Material::new(&mut self.random, Family::Planks);
            for i in 0..7 {
                let at = Vec3::new(0.0, 0.25 + 0.3 * i as f32, -deep + 0.12);
                self.world.block(at, Vec3::new(wide, 0.05, 0.05), 0.0, wood);
            }
        }
        let n = 2 + self.random.below(4);
        self.clutter(n, 5.0, [-deep.min(6.0) + 0.6, 1.0]);
        floor
    }

    pub(super) fn studio(&mut self) -> Material {
        let floor = self.ground(&[Family::Plain, Family::Mottled, Family::Planks]);
        let deep = self.random.range(1.8, 4.0);
        self.walls(12.0, deep, 5.0, &[Family::Plain, Family::Mottled]);
        let n = 2 + self.random.below(3);
        self.clutter(n, 3.5, [-deep + 0.4, 0.5]);
        floor
    }

    pub(super) fn station(&mut self) -> Material {
        let floor = self.ground(&[]);
        let deep = self.random.range(6.0, 11.0);
        let high = self.random.range(3.5, 5.0);
        self.walls(9.0, deep, high, &[]);
        let stone = self.thing();
        let (gap, r) = (self.random.range(1.8, 3.2), self.random.range(0.15, 0.4));
        for row in 0..3 {
            for i in -3..=3 {
                let p = Vec3::new((i as f32 + 0.5) * gap, 0.0, -2.2 - 2.2 * row as f32);
                if p.z > -deep {
                    self.world.column(p, [r, r], 5.0, Mat3::IDENTITY, stone);
                }
            }
        }
        let n = 3 + self.random.below(4);
        self.clutter(n, 5.0, [-5.0, 1.0]);
        floor
    }
}
