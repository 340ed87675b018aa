//! Kinds of scenes, put together at random. The person moves around the origin; the camera stands at positive z.

mod indoors;
mod outdoors;

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
}
