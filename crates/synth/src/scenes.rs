//! Kinds of scenes, put together at random. The person moves around the origin; the camera stands at positive z.

use crate::Split;
use crate::light::{Light, Weather};
use crate::material::{Family, Material};
use crate::random::Random;
use crate::world::World;
use glam::{Mat3, Vec3};

/// A kind of scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Houses, pavement, lamps.
    Street,
    /// Walls, floor and furniture.
    Room,
    /// Grass, trees, benches.
    Park,
    /// Paving and monuments.
    Plaza,
    /// A hall with lines on its floor.
    Gym,
    /// Walls around a yard with crates.
    Yard,
    /// Nearly nothing: a floor and a wall.
    Studio,
    /// Held out: a hall of pillars.
    Station,
    /// Held out: a roof over a skyline.
    Terrace,
}

impl Kind {
    /// The kinds of a split.
    #[must_use]
    pub fn of(split: Split) -> &'static [Self] {
        match split {
            Split::Train => &[
                Self::Street,
                Self::Street,
                Self::Room,
                Self::Park,
                Self::Plaza,
                Self::Gym,
                Self::Yard,
                Self::Studio,
            ],
            Split::Val => &[Self::Station, Self::Terrace],
        }
    }

    fn weather(self, random: &mut Random) -> Weather {
        match self {
            Self::Room | Self::Gym | Self::Studio | Self::Station => Weather::Indoor,
            _ => random.pick(&[
                Weather::Sunny,
                Weather::Sunny,
                Weather::Sunny,
                Weather::Sunny,
                Weather::Hazy,
                Weather::Overcast,
                Weather::Evening,
                Weather::Evening,
                Weather::Dusk,
            ]),
        }
    }
}

/// Builds a scene with its light.
#[must_use]
pub fn build(random: &mut Random, split: Split) -> (World, Light) {
    let kind = random.pick(Kind::of(split));
    let weather = kind.weather(random);
    let mut light = Light::random(random, weather);
    let mut world = World::default();
    world.open = true;
    let mut b = Builder { world, random: random.fork(), split };
    let ground = match kind {
        Kind::Street => b.street(),
        Kind::Room => b.room(),
        Kind::Park => b.park(),
        Kind::Plaza => b.plaza(),
        Kind::Gym => b.gym(),
        Kind::Yard => b.yard(),
        Kind::Studio => b.studio(),
        Kind::Station => b.station(),
        Kind::Terrace => b.terrace(),
    };
    light.bounce(ground.mean());
    if weather == Weather::Indoor {
        b.window(&light);
    }
    let mut world = b.world;
    world.finish(&light);
    (world, light)
}

struct Builder {
    world: World,
    random: Random,
    split: Split,
}

impl Builder {
    fn thing(&mut self) -> Material {
        Material::thing(&mut self.random, self.split)
    }

    fn of(&mut self, families: &[Family]) -> Material {
        let held_out = [
            Family::Cobbles,
            Family::Hexagons,
            Family::Cobbles,
            Family::Hexagons,
            Family::Weave,
            Family::Waves,
        ];
        let family = match self.split {
            Split::Train => self.random.pick(families),
            Split::Val => self.random.pick(&held_out),
        };
        Material::new(&mut self.random, family)
    }

    fn ground(&mut self, families: &[Family]) -> Material {
        let material = self.of(families);
        self.world.sheet(Vec3::new(-90.0, 0.0, 60.0), Vec3::X * 180.0, Vec3::NEG_Z * 180.0, material);
        material
    }

    /// A place that hides nobody: not between the camera and the person.
    fn place(&mut self, x: f32, z: [f32; 2], r: f32) -> Option<Vec3> {
        for _ in 0..6 {
            let p = Vec3::new(self.random.range(-x, x), 0.0, self.random.range(z[0], z[1]));
            if p.z < -1.6 - r || p.x.abs() > 1.9 + r + 0.25 * (p.z + 1.6).max(0.0) {
                return Some(p);
            }
        }
        None
    }

    /// Boxes and poles that show where the light comes from.
    fn clutter(&mut self, count: usize, x: f32, z: [f32; 2]) {
        for _ in 0..count {
            let r = self.random.range(0.1, 0.6);
            let Some(p) = self.place(x, z, r) else { continue };
            let material = self.thing();
            let yaw = self.random.range(0.0, 1.6);
            match self.random.below(6) {
                0 | 1 => {
                    let size = Vec3::new(
                        2.0 * r,
                        self.random.range(0.25, 1.3),
                        self.random.range(0.3, 2.0 * r + 0.3),
                    );
                    self.world.block(p, size, yaw, material);
                    if self.random.chance(0.3) {
                        let more = self.thing();
                        self.world.block(p + Vec3::Y * size.y, size * 0.6, yaw + 0.4, more);
                    }
                }
                2 => {
                    let h = self.random.range(0.7, 3.5);
                    let r = self.random.range(0.03, 0.12);
                    self.world.column(p, [r, r * 0.8], h, Mat3::IDENTITY, material);
                }
                3 => {
                    let h = self.random.range(0.5, 1.2);
                    self.world.column(
                        p,
                        [r * 0.7, r * self.random.range(0.2, 0.9)],
                        h,
                        Mat3::IDENTITY,
                        material,
                    );
                }
                4 => {
                    let r = 0.6 * r + 0.1;
                    self.world.ball(p + Vec3::Y * r, Vec3::splat(r), 0.0, material);
                }
                _ => self.table(p, yaw, material),
            }
        }
    }

    fn table(&mut self, p: Vec3, yaw: f32, material: Material) {
        let size =
            Vec3::new(self.random.range(0.6, 1.8), self.random.range(0.4, 0.9), self.random.range(0.4, 0.9));
        let turn = Mat3::from_rotation_y(yaw);
        self.world.block(p + Vec3::Y * size.y, Vec3::new(size.x, 0.05, size.z), yaw, material);
        for (x, z) in [(-0.45, -0.45), (0.45, -0.45), (0.45, 0.45), (-0.45, 0.45)] {
            let leg = p + turn * Vec3::new(x * size.x, 0.0, z * size.z);
            self.world.block(leg, Vec3::new(0.06, size.y, 0.06), yaw, material);
        }
    }

    fn tree(&mut self, p: Vec3) {
        let bark = Material::new(&mut self.random, Family::Bark);
        let leaf = Material::new(&mut self.random, Family::Foliage);
        let h = self.random.range(1.6, 3.2);
        let r = self.random.range(0.08, 0.2);
        self.world.column(p, [r, 0.6 * r], h, Mat3::from_rotation_z(self.random.range(-0.08, 0.08)), bark);
        if self.random.chance(0.25) {
            // A conifer.
            for k in 0..3 {
                let at = p + Vec3::Y * (0.5 * h + 0.8 * k as f32);
                self.world.column(at, [1.1 - 0.25 * k as f32, 0.05], 1.4, Mat3::IDENTITY, leaf);
            }
            return;
        }
        for _ in 0..3 + self.random.below(4) {
            let at = p + Vec3::Y * (h + 0.3) + self.random.vec3() * Vec3::new(0.8, 0.7, 0.8);
            let radius = self.random.range(0.5, 1.1);
            self.world.ball(at, Vec3::new(radius, 0.8 * radius, radius), 0.7, leaf);
        }
    }

    fn trees(&mut self, count: usize, x: f32, z: [f32; 2]) {
        for _ in 0..count {
            if let Some(p) = self.place(x, z, 0.8) {
                self.tree(p);
            }
        }
    }

    fn street(&mut self) -> Material {
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

    /// Walls behind and beside.
    fn walls(&mut self, wide: f32, deep: f32, high: f32, families: &[Family]) {
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
    fn window(&mut self, light: &Light) {
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

    fn room(&mut self) -> Material {
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

    fn park(&mut self) -> Material {
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

    fn fence(&mut self) {
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

    fn plaza(&mut self) -> Material {
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

    fn gym(&mut self) -> Material {
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

    fn yard(&mut self) -> Material {
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

    fn studio(&mut self) -> Material {
        let floor = self.ground(&[Family::Plain, Family::Mottled, Family::Planks]);
        let deep = self.random.range(1.8, 4.0);
        self.walls(12.0, deep, 5.0, &[Family::Plain, Family::Mottled]);
        let n = 2 + self.random.below(3);
        self.clutter(n, 3.5, [-deep + 0.4, 0.5]);
        floor
    }

    fn station(&mut self) -> Material {
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

    fn terrace(&mut self) -> Material {
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
