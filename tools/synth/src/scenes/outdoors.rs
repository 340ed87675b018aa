//! Scenes under the sky.

use super::Builder;
use crate::Split;
use crate::material::{Family, Material};
use glam::{Mat3, Vec3};

impl Builder {
    pub(super) fn street(&mut self) -> Material {
        let ground = self.ground(&[Family::Asphalt, Family::Asphalt, Family::Slabs]);
        let walk = self.of(&[Family::Slabs, Family::Tiles, Family::Bricks]);
        let edge = self.random.range(-2.5, 0.8);
        // The pavement, on which the houses stand; where the person walks on it, it is the ground.
        let near = if edge > -1.2 { 30.0 } else { edge };
        self.world.sheet(Vec3::new(-60.0, 0.004, near), Vec3::X * 120.0, Vec3::Z * (-18.0 - near), walk);
        if near < 30.0 {
            let kerb = Material::new(&mut self.random, Family::Slabs);
            self.world.sheet(Vec3::new(-60.0, 0.006, near + 0.15), Vec3::X * 120.0, Vec3::NEG_Z * 0.15, kerb);
        }
        let mut x = -22.0;
        let depth = self.random.range(-9.0, -3.2);
        while x < 22.0 {
            let w = self.random.range(4.0, 10.0);
            let material = match self.split {
                Split::Train => {
                    self.of(&[Family::Facade, Family::Facade, Family::Bricks, Family::Plain, Family::Fields])
                }
                Split::Val => self.thing(),
            };
            let z = depth + self.random.range(-0.8, 0.4);
            let h = self.random.range(3.5, 14.0);
            if !self.random.chance(0.12) {
                self.world.block(
                    Vec3::new(x + w / 2.0, 0.0, z - 4.0),
                    Vec3::new(w - 0.05, h, 8.0),
                    0.0,
                    material,
                );
                if self.random.chance(0.4) {
                    let awning = self.of(&[Family::Bands, Family::Plain]);
                    let at = Vec3::new(x + w / 2.0, self.random.range(2.3, 2.9), z + 0.4);
                    self.world.slanted(
                        at,
                        Vec3::new(w * 0.6, 0.05, 1.1),
                        Mat3::from_rotation_x(0.35),
                        awning,
                    );
                }
                let door = self.thing();
                let at = Vec3::new(x + w * self.random.range(0.2, 0.8), 0.0, z + 0.03);
                self.world.block(at, Vec3::new(1.0, 2.1, 0.08), 0.0, door);
            }
            x += w;
        }
        for _ in 0..self.random.below(4) {
            if let Some(p) = self.place(6.0, [depth + 0.5, 1.0], 0.2) {
                let pole = Material::new(&mut self.random, Family::Plain);
                self.world.column(p, [0.07, 0.05], self.random.range(2.6, 5.0), Mat3::IDENTITY, pole);
            }
        }
        self.trees(2, 9.0, [depth + 0.8, 2.0]);
        let n = 1 + self.random.below(5);
        self.clutter(n, 5.0, [depth + 0.6, 1.5]);
        if near < 30.0 { ground } else { walk }
    }

    pub(super) fn park(&mut self) -> Material {
        let grass = self.ground(&[Family::Grass]);
        let mut under = grass;
        if self.random.chance(0.6) {
            let path = self.of(&[Family::Slabs, Family::Asphalt, Family::Mottled]);
            let (z, w) = (self.random.range(-1.5, 1.5), self.random.range(1.0, 2.5));
            let tilt = Vec3::new(1.0, 0.0, self.random.range(-0.3, 0.3)) * 80.0;
            self.world.sheet(Vec3::new(0.0, 0.004, z + w) - tilt * 0.5, tilt, Vec3::NEG_Z * 2.0 * w, path);
            under = path;
        }
        // Hills and hedges far behind.
        for _ in 0..2 + self.random.below(3) {
            let hill = Material::new(&mut self.random, Family::Grass);
            let at = Vec3::new(self.random.range(-30.0, 30.0), -1.0, self.random.range(-45.0, -25.0));
            let radii = Vec3::new(self.random.range(8.0, 22.0), self.random.range(2.0, 6.0), 6.0);
            self.world.ball(at, radii, 0.0, hill);
        }
        if self.random.chance(0.5) {
            let hedge = Material::new(&mut self.random, Family::Foliage);
            let z = self.random.range(-8.0, -3.0);
            self.world.block(
                Vec3::new(0.0, 0.0, z),
                Vec3::new(40.0, self.random.range(0.8, 2.2), 0.8),
                0.0,
                hedge,
            );
        }
        let n = 4 + self.random.below(7);
        self.trees(n, 10.0, [-16.0, 1.0]);
        let n = self.random.below(4);
        self.clutter(n, 5.0, [-6.0, 1.0]);
        self.fence();
        under
    }

    pub(super) fn fence(&mut self) {
        if !self.random.chance(0.4) {
            return;
        }
        let wood = self.of(&[Family::Planks, Family::Plain]);
        let z = self.random.range(-7.0, -2.4);
        for i in -9..=9 {
            self.world.block(Vec3::new(i as f32 * 1.3, 0.0, z), Vec3::new(0.09, 1.1, 0.09), 0.0, wood);
        }
        for y in [0.45, 0.9] {
            self.world.block(Vec3::new(0.0, y, z), Vec3::new(24.0, 0.09, 0.04), 0.0, wood);
        }
    }

    pub(super) fn plaza(&mut self) -> Material {
        let ground = self.ground(&[Family::Slabs, Family::Tiles, Family::Bricks, Family::Asphalt]);
        for _ in 0..2 + self.random.below(4) {
            let material = self.of(&[Family::Facade, Family::Plain, Family::Bricks]);
            let size = Vec3::new(self.random.range(4.0, 14.0), self.random.range(4.0, 18.0), 6.0);
            let at = Vec3::new(self.random.range(-22.0, 22.0), 0.0, self.random.range(-30.0, -13.0));
            let yaw = self.random.range(-0.4, 0.4);
            self.world.block(at, size, yaw, material);
        }
        // Steps, columns, planters.
        if self.random.chance(0.5) {
            let stone = self.of(&[Family::Slabs, Family::Plain]);
            let z = self.random.range(-7.0, -3.0);
            for k in 0..4 {
                let at = Vec3::new(0.0, 0.0, z - 0.4 * k as f32 - 1.0);
                self.world.block(at, Vec3::new(14.0, 0.15 * (k + 1) as f32, 2.0), 0.0, stone);
            }
        }
        if self.random.chance(0.5) {
            let stone = self.of(&[Family::Plain, Family::Slabs]);
            let (z, gap) = (self.random.range(-8.0, -2.6), self.random.range(1.4, 3.0));
            for i in -4..=4 {
                self.world.column(Vec3::new(i as f32 * gap, 0.0, z), [0.25, 0.2], 3.6, Mat3::IDENTITY, stone);
            }
            self.world.block(Vec3::new(0.0, 3.6, z), Vec3::new(9.0 * gap, 0.4, 0.6), 0.0, stone);
        }
        self.trees(2, 9.0, [-10.0, 1.0]);
        let n = 3 + self.random.below(5);
        self.clutter(n, 6.0, [-7.0, 1.5]);
        ground
    }

    pub(super) fn yard(&mut self) -> Material {
        let ground = self.ground(&[Family::Asphalt, Family::Mottled, Family::Slabs, Family::Bricks]);
        let wall = self.of(&[Family::Bricks, Family::Planks, Family::Slabs, Family::Bands]);
        let (z, h) = (self.random.range(-6.0, -2.4), self.random.range(1.2, 4.0));
        self.world.block(Vec3::new(0.0, 0.0, z - 0.15), Vec3::new(30.0, h, 0.3), 0.0, wall);
        if self.random.chance(0.6) {
            let side = if self.random.chance(0.5) { 1.0 } else { -1.0 };
            let x = side * self.random.range(2.8, 6.0);
            let other = if self.random.chance(0.5) { wall } else { self.thing() };
            self.world.block(Vec3::new(x, 0.0, z + 3.0), Vec3::new(0.3, h, 6.0), 0.0, other);
        }
        if h < 3.0 {
            self.trees(3, 10.0, [-16.0, z - 1.5]);
        }
        let n = 4 + self.random.below(6);
        self.clutter(n, 5.0, [z + 0.5, 1.5]);
        ground
    }

    pub(super) fn terrace(&mut self) -> Material {
        let floor = self.ground(&[]);
        let z = self.random.range(-5.0, -2.5);
        let wall = self.thing();
        self.world.block(
            Vec3::new(0.0, 0.0, z),
            Vec3::new(60.0, self.random.range(0.5, 1.2), 0.3),
            0.0,
            wall,
        );
        for _ in 0..14 {
            let material = self.thing();
            let size = Vec3::new(self.random.range(3.0, 9.0), self.random.range(1.0, 12.0), 5.0);
            let at = Vec3::new(self.random.range(-35.0, 35.0), 0.0, self.random.range(-45.0, -16.0));
            self.world.block(at, size, self.random.range(-0.5, 0.5), material);
        }
        for _ in 0..3 {
            if let Some(p) = self.place(6.0, [z + 0.6, 1.0], 0.5) {
                let canvas = self.thing();
                let pole = self.thing();
                self.world.column(p, [0.04, 0.04], 2.5, Mat3::IDENTITY, pole);
                self.world.column(p + Vec3::Y * 2.2, [1.4, 0.05], 0.5, Mat3::IDENTITY, canvas);
            }
        }
        let n = 3 + self.random.below(4);
        self.clutter(n, 5.0, [z + 0.6, 1.0]);
        floor
    }
}
