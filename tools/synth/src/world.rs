//! The things of a scene as triangles, and what is computed of them once a clip: their shadows and the dark near the ground.

use crate::light::Light;
use crate::material::Material;
use crate::shadow::ShadowMap;
use glam::{Mat3, Vec3};

/// The shape that a thing's triangles stand for, for its normals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Flat faces.
    Flat,
    /// Round about its upright axis.
    Column,
    /// A ball with radii.
    Ball(Vec3),
}

/// A thing.
#[derive(Clone, Debug)]
pub struct Thing {
    /// Its middle on the ground.
    pub at: Vec3,
    /// Its own axes to the world.
    pub turn: Mat3,
    /// Shape of its surface.
    pub form: Form,
    /// What it is made of.
    pub material: Material,
    /// Does it throw shadow?
    pub casts: bool,
    /// Light it gives off.
    pub glow: Vec3,
}

/// All things of a scene.
#[derive(Debug, Default)]
pub struct World {
    /// Vertices in the world.
    pub vertices: Vec<Vec3>,
    /// Triangles, counter-clockwise from outside.
    pub faces: Vec<[u32; 3]>,
    /// The thing of each triangle.
    pub owner: Vec<u16>,
    /// Unit normal of each triangle.
    pub normals: Vec<Vec3>,
    /// Things.
    pub things: Vec<Thing>,
    /// Shadow of the things.
    pub shadow: ShadowMap,
    /// Is there a sky above?
    pub open: bool,
    near_ground: Grid,
}

/// How open the ground is, seen from above.
#[derive(Debug, Default)]
struct Grid {
    values: Vec<f32>,
}

const GRID: usize = 160;
/// Half the side of the grid in metres.
const GRID_REACH: f32 = 10.0;

impl World {
    /// Adds a thing with its triangles in its own axes.
    fn add(&mut self, thing: Thing, vertices: &[Vec3], faces: &[[u32; 3]]) {
        let first = self.vertices.len() as u32;
        self.vertices.extend(vertices.iter().map(|p| thing.at + thing.turn * *p));
        for f in faces {
            let f = f.map(|v| v + first);
            let [a, b, c] = f.map(|v| self.vertices[v as usize]);
            self.faces.push(f);
            self.owner.push(self.things.len() as u16);
            self.normals.push((b - a).cross(c - a).normalize_or(Vec3::Y));
        }
        self.things.push(thing);
    }

    /// A flat piece: from `corner` along `u` and `v`; it faces `u × v`.
    pub fn sheet(&mut self, corner: Vec3, u: Vec3, v: Vec3, material: Material) {
        let thing = Thing {
            at: corner,
            turn: Mat3::IDENTITY,
            form: Form::Flat,
            material,
            casts: false,
            glow: Vec3::ZERO,
        };
        self.add(thing, &[Vec3::ZERO, u, u + v, v], &[[0, 1, 2], [0, 2, 3]]);
    }

    /// A box standing at `at` (middle of its base), turned about y.
    pub fn block(&mut self, at: Vec3, size: Vec3, yaw: f32, material: Material) {
        self.slanted(at, size, Mat3::from_rotation_y(yaw), material);
    }

    /// A box at `at` (middle of its base) with its own axes.
    pub fn slanted(&mut self, at: Vec3, size: Vec3, turn: Mat3, material: Material) {
        let (x, y, z) = (size.x / 2.0, size.y, size.z / 2.0);
        let v = |x, y, z| Vec3::new(x, y, z);
        let corners = [
            v(-x, 0.0, -z),
            v(x, 0.0, -z),
            v(x, 0.0, z),
            v(-x, 0.0, z),
            v(-x, y, -z),
            v(x, y, -z),
            v(x, y, z),
            v(-x, y, z),
        ];
        let quads = [[3, 2, 6, 7], [1, 0, 4, 5], [2, 1, 5, 6], [0, 3, 7, 4], [7, 6, 5, 4], [0, 1, 2, 3]];
        let faces: Vec<[u32; 3]> =
            quads.iter().flat_map(|[a, b, c, d]| [[*a, *b, *c], [*a, *c, *d]]).collect();
        let thing = Thing { at, turn, form: Form::Flat, material, casts: true, glow: Vec3::ZERO };
        self.add(thing, &corners, &faces);
    }

    /// A pole or cone: radii at its foot and top.
    pub fn column(&mut self, at: Vec3, radii: [f32; 2], height: f32, lean: Mat3, material: Material) {
        const N: u32 = 14;
        let mut vertices = Vec::new();
        for (r, y) in [(radii[0], 0.0), (radii[1], height)] {
            for i in 0..N {
                let t = i as f32 / N as f32 * std::f32::consts::TAU;
                vertices.push(Vec3::new(t.sin() * r, y, t.cos() * r));
            }
        }
        vertices.push(Vec3::Y * height);
        let mut faces = Vec::new();
        for i in 0..N {
            let j = (i + 1) % N;
            faces.extend([[i, j, N + j], [i, N + j, N + i], [N + i, N + j, 2 * N]]);
        }
        let thing = Thing { at, turn: lean, form: Form::Column, material, casts: true, glow: Vec3::ZERO };
        self.add(thing, &vertices, &faces);
    }

    /// A lump: a ball with radii, its surface uneven by `rough` (0 for a smooth one).
    pub fn ball(&mut self, at: Vec3, radii: Vec3, rough: f32, material: Material) {
        const RINGS: u32 = 9;
        const SIDES: u32 = 14;
        let mut vertices = vec![Vec3::Y * radii.y];
        for r in 1..RINGS {
            for s in 0..SIDES {
                let (a, b) = (
                    r as f32 / RINGS as f32 * std::f32::consts::PI,
                    s as f32 / SIDES as f32 * std::f32::consts::TAU,
                );
                let uneven = 1.0
                    + rough
                        * (crate::noise::hash(r as i32 * 31 + (at.x.to_bits() >> 9) as i32, s as i32) - 0.5);
                vertices.push(Vec3::new(a.sin() * b.sin(), a.cos(), a.sin() * b.cos()) * radii * uneven);
            }
        }
        vertices.push(-Vec3::Y * radii.y);
        let id = |r: u32, s: u32| 1 + (r - 1) * SIDES + s % SIDES;
        let last = vertices.len() as u32 - 1;
        let mut faces = Vec::new();
        for s in 0..SIDES {
            faces.push([0, id(1, s), id(1, s + 1)]);
            faces.push([last, id(RINGS - 1, s + 1), id(RINGS - 1, s)]);
            for r in 1..RINGS - 1 {
                faces.push([id(r, s), id(r + 1, s), id(r + 1, s + 1)]);
                faces.push([id(r, s), id(r + 1, s + 1), id(r, s + 1)]);
            }
        }
        let form = if rough > 0.0 { Form::Flat } else { Form::Ball(radii) };
        let thing = Thing { at, turn: Mat3::IDENTITY, form, material, casts: true, glow: Vec3::ZERO };
        self.add(thing, &vertices, &faces);
    }

    /// The thing that was added last.
    pub fn last(&mut self) -> Option<&mut Thing> {
        self.things.last_mut()
    }

    /// Computes shadows; call it when everything stands.
    pub fn finish(&mut self, light: &Light) {
        self.shadow.place(light.sun, Vec3::new(0.0, 0.5, -5.0), 18.0, 1408);
        let casting: Vec<[u32; 3]> = self
            .faces
            .iter()
            .zip(&self.owner)
            .filter(|(_, o)| self.things[usize::from(**o)].casts)
            .map(|(f, _)| *f)
            .collect();
        self.shadow.draw(&self.vertices, &casting);
        self.near_ground = Grid::new(&self.vertices, &casting);
    }

    /// Normal of a triangle's surface at a place in the thing's own axes, in the world.
    #[must_use]
    #[inline]
    pub fn normal(&self, face: usize, own: Vec3) -> Vec3 {
        let thing = &self.things[usize::from(self.owner[face])];
        let flat = self.normals[face];
        match thing.form {
            Form::Flat => flat,
            Form::Column if flat.dot(thing.turn.y_axis).abs() > 0.9 => flat,
            Form::Column => (thing.turn * Vec3::new(own.x, 0.0, own.z)).normalize_or(flat),
            Form::Ball(radii) => (own / (radii * radii)).normalize_or(flat),
        }
    }

    /// How open a place is: less close to the foot of things and in the corners below.
    #[must_use]
    #[inline]
    pub fn openness(&self, p: Vec3, n: Vec3) -> f32 {
        if n.y > 0.8 {
            if p.y < 0.05 { self.near_ground.at(p) } else { 1.0 }
        } else {
            0.62 + 0.38 * (p.y / 0.55).clamp(0.0, 1.0).sqrt()
        }
    }
}

impl Grid {
    fn new(vertices: &[Vec3], faces: &[[u32; 3]]) -> Self {
        let mut from_above = ShadowMap::default();
        from_above.place(Vec3::Y, Vec3::ZERO, GRID_REACH, GRID);
        // Only what is low hides the ground's sky.
        let low: Vec<Vec3> = vertices.iter().map(|v| Vec3::new(v.x, v.y.min(0.6), v.z)).collect();
        let near: Vec<[u32; 3]> =
            faces.iter().filter(|f| f.iter().any(|v| vertices[*v as usize].y < 0.5)).copied().collect();
        from_above.draw(&low, &near);
        let step = 2.0 * GRID_REACH / GRID as f32;
        let place = |i: usize| (i as f32 + 0.5) * step - GRID_REACH;
        let mut values: Vec<f32> = (0..GRID * GRID)
            .map(|i| from_above.lit(Vec3::new(place(i % GRID), 0.0, place(i / GRID)), 0.03, 0.0))
            .collect();
        for _ in 0..2 {
            for along in [1, GRID] {
                let before = values.clone();
                for (i, v) in values.iter_mut().enumerate() {
                    let at = |k: isize| {
                        let j = i as isize + k * along as isize;
                        before.get(j.max(0) as usize).copied().unwrap_or(1.0)
                    };
                    *v = (at(-2) + at(-1) + at(0) + at(1) + at(2)) / 5.0;
                }
            }
        }
        Self { values }
    }

    fn at(&self, p: Vec3) -> f32 {
        let scale = GRID as f32 / (2.0 * GRID_REACH);
        let (x, y) = ((p.x + GRID_REACH) * scale - 0.5, (p.z + GRID_REACH) * scale - 0.5);
        if x < 0.0 || y < 0.0 || x >= (GRID - 1) as f32 || y >= (GRID - 1) as f32 {
            return 1.0;
        }
        let (i, j) = (x as usize, y as usize);
        let (fx, fy) = (x - i as f32, y - j as f32);
        let v = |i: usize, j: usize| self.values[j * GRID + i];
        let (low, high) =
            (v(i, j) + (v(i + 1, j) - v(i, j)) * fx, v(i, j + 1) + (v(i + 1, j + 1) - v(i, j + 1)) * fx);
        0.35 + 0.65 * (low + (high - low) * fy)
    }
}
