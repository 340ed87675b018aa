//! Draws frames: what is seen at 2×2 samples a pixel first, then the light on it; the empty scene and the one with the person
//! in it come from the same samples.

use crate::figure::{Figure, PosedFigure, occlusion};
use crate::light::{Film, Light};
use crate::look::Surface;
use crate::raster::{NOTHING, Samples};
use crate::shadow::ShadowMap;
use crate::template::Template;
use crate::view::View;
use crate::world::World;
use glam::Vec3;

/// Samples along one side of a pixel.
const SIDE: usize = 2;
/// Nothing nearer than this is drawn, in metres.
const NEAR: f32 = 0.08;

/// A scene to draw.
#[derive(Debug)]
pub struct Scene {
    /// Things.
    pub world: World,
    /// Light.
    pub light: Light,
    /// Camera response.
    pub film: Film,
}

/// A drawn frame.
#[derive(Debug, Default)]
pub struct Picture {
    /// `[H, W, 3]` with the person.
    pub full: Vec<u8>,
    /// `[H, W, 3]` without the person and its shadow.
    pub empty: Vec<u8>,
    /// `[H, W, 3]` with the person's shadow alone.
    pub shaded: Vec<u8>,
    /// `[H, W]` share of each pixel that the person covers, 0 to 1.
    pub cover: Vec<f32>,
    /// `[H, W]` by how many levels the person's shadow darkens what is visible of the scene.
    pub shadow: Vec<u8>,
}

/// Draws frames. Keep it: its buffers are reused.
#[derive(Debug, Default)]
pub struct Painter {
    scene: Samples,
    person: Samples,
    shadow: ShadowMap,
    corners: Vec<Vec3>,
    screen: Vec<Vec3>,
}

/// A person in a pose.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The body that persons are made from.
    pub template: &'a Template,
    /// The person.
    pub figure: &'a Figure,
    /// Its pose.
    pub posed: &'a PosedFigure,
}

/// Light on a place of the scene: from everywhere and from the sun, and how much of both the person takes.
struct Lit {
    ambient: Vec3,
    sun: Vec3,
    open: f32,
    sunlit: f32,
}

impl Painter {
    /// Draws a frame.
    pub fn frame(&mut self, scene: &Scene, actor: &Actor<'_>, view: &View, out: &mut Picture) {
        let [w, h] = view.size.map(|n| n as usize);
        let n = w * h;
        for buffer in [&mut out.full, &mut out.empty, &mut out.shaded] {
            buffer.resize(3 * n, 0);
        }
        out.cover.resize(n, 0.0);
        out.shadow.resize(n, 0);
        self.draw_world(&scene.world, view);
        self.draw_person(actor, view);
        self.cast(scene, actor);
        let pelvis = actor.posed.joints[0];
        for y in 0..h {
            for x in 0..w {
                self.pixel(scene, actor, view, pelvis, [x, y], out);
            }
        }
    }

    /// Draws a person alone on a colour (displayed levels): picture, cover.
    pub fn alone(
        &mut self,
        scene: &Scene,
        actor: &Actor<'_>,
        view: &View,
        back: Vec3,
    ) -> (Vec<u8>, Vec<f32>) {
        let [w, h] = view.size.map(|n| n as usize);
        self.draw_person(actor, view);
        self.cast(scene, actor);
        let (mut picture, mut cover) = (vec![0; 3 * w * h], vec![0.0; w * h]);
        for (at, cover) in cover.iter_mut().enumerate() {
            let (x, y) = (at % w, at / w);
            let (sum, count) = self.person_samples(scene, actor, view, [x, y], |_, _| true);
            *cover = count as f32 / (SIDE * SIDE) as f32;
            put(&mut picture, at, sum / (SIDE * SIDE) as f32 + back * (1.0 - *cover));
        }
        (picture, cover)
    }

    /// Depth (1/z) of the person at a pixel's nearest sample after [`Painter::alone`]; 0 where there is none.
    #[must_use]
    pub fn person_near(&self, x: usize, y: usize) -> f32 {
        let s = &self.person;
        let at = |i: usize, j: usize| s.near[(SIDE * y + j) * s.width + SIDE * x + i];
        at(0, 0).max(at(1, 1)).max(at(0, 1)).max(at(1, 0))
    }

    /// The share of a pixel that the person of the last [`Painter::frame`] covers, things in front of it left out.
    #[must_use]
    pub fn person_cover(&self, x: usize, y: usize) -> f32 {
        let s = &self.person;
        let hit = |k: usize| s.id[(SIDE * y + k / SIDE) * s.width + SIDE * x + k % SIDE] != NOTHING;
        (0..SIDE * SIDE).filter(|k| hit(*k)).count() as f32 / (SIDE * SIDE) as f32
    }

    /// The share of a pixel that things of the scene from number `first` on cover, people left out, and how near they are
    /// (1 / depth).
    #[must_use]
    pub fn thing_cover(&self, world: &World, first: usize, x: usize, y: usize) -> (f32, f32) {
        let s = &self.scene;
        let (mut hits, mut near) = (0, 0.0_f32);
        for k in 0..SIDE * SIDE {
            let i = (SIDE * y + k / SIDE) * s.width + SIDE * x + k % SIDE;
            if s.id[i] != NOTHING && usize::from(world.owner[s.id[i] as usize]) >= first {
                hits += 1;
                near = near.max(s.near[i]);
            }
        }
        (hits as f32 / (SIDE * SIDE) as f32, near)
    }

    fn draw_world(&mut self, world: &World, view: &View) {
        let [w, h] = view.size.map(|n| n as usize * SIDE);
        self.scene.clear(w, h, 0.0);
        self.corners.clear();
        self.corners.extend(world.vertices.iter().map(|p| view.to_camera(*p)));
        for (id, f) in world.faces.iter().enumerate() {
            let p = f.map(|v| self.corners[v as usize]);
            let inside = p.map(|p| p.z > NEAR);
            match inside.iter().filter(|i| **i).count() {
                0 => {}
                3 => self.scene.triangle(p.map(|p| to_sample(view.project(p))), id as u32, true),
                n => {
                    let odd = (0..3).find(|i| inside[*i] == (n == 1)).unwrap_or(0);
                    let [a, b, c] = [0, 1, 2].map(|i| p[(odd + i) % 3]);
                    let cut = |q: Vec3| a + (q - a) * ((NEAR - a.z) / (q.z - a.z));
                    let (ab, ac) = (cut(b), cut(c));
                    let mut draw = |t: [Vec3; 3]| {
                        self.scene.triangle(t.map(|p| to_sample(view.project(p))), id as u32, true);
                    };
                    if n == 1 {
                        draw([a, ab, ac]);
                    } else {
                        draw([ab, b, c]);
                        draw([ab, c, ac]);
                    }
                }
            }
        }
    }

    fn draw_person(&mut self, actor: &Actor<'_>, view: &View) {
        let [w, h] = view.size.map(|n| n as usize * SIDE);
        self.person.clear(w, h, 0.0);
        self.corners.clear();
        self.corners.extend(actor.posed.vertices.iter().map(|p| view.to_camera(*p)));
        self.screen.clear();
        self.screen.extend(self.corners.iter().map(|p| to_sample(view.project(*p))));
        for (id, f) in actor.figure.faces.iter().enumerate() {
            if f.iter().all(|v| self.corners[*v as usize].z > NEAR) {
                // Extras are open sheets and seen from both sides.
                let closed = f[0] < actor.template.rest.len() as u32;
                self.person.triangle(f.map(|v| self.screen[v as usize]), id as u32, closed);
            }
        }
    }

    fn cast(&mut self, scene: &Scene, actor: &Actor<'_>) {
        let middle = actor.posed.joints[0];
        self.shadow.place(scene.light.sun, middle, 1.4, 320);
        self.shadow.draw(&actor.posed.vertices, &actor.figure.faces);
    }

    fn pixel(
        &self,
        scene: &Scene,
        actor: &Actor<'_>,
        view: &View,
        pelvis: Vec3,
        [x, y]: [usize; 2],
        out: &mut Picture,
    ) {
        let width = self.scene.width;
        let index = |k: usize| (SIDE * y + k / SIDE) * width + SIDE * x + k % SIDE;
        let ids: [u32; SIDE * SIDE] = std::array::from_fn(|k| self.scene.id[index(k)]);
        let person: [bool; SIDE * SIDE] = std::array::from_fn(|k| {
            let i = index(k);
            self.person.id[i] != NOTHING && self.person.near[i] > self.scene.near[i]
        });
        let hidden = person.iter().filter(|p| **p).count();
        let (mut empty, mut shaded, mut visible) = (Vec3::ZERO, Vec3::ZERO, Vec3::ZERO);
        let mut done = [false; SIDE * SIDE];
        for k in 0..SIDE * SIDE {
            if done[k] {
                continue;
            }
            // All samples of one triangle are lit together, in their middle.
            let (mut count, mut seen, mut at) = (0, 0, [0.0, 0.0]);
            for l in k..SIDE * SIDE {
                if ids[l] == ids[k] {
                    done[l] = true;
                    count += 1;
                    seen += usize::from(!person[l]);
                    at[0] += (l % SIDE) as f32;
                    at[1] += (l / SIDE) as f32;
                }
            }
            let place = |base: usize, sum: f32| base as f32 + (sum / count as f32 + 0.5) / SIDE as f32;
            let (px, py) = (place(x, at[0]), place(y, at[1]));
            let (a, b) = if ids[k] == NOTHING {
                let d = view.to_world(view.ray(px, py));
                let c = scene.film.display(scene.light.sky_in(d));
                (c, c)
            } else {
                let lit = self.light_scene(scene, actor, view, pelvis, ids[k] as usize, [px, py]);
                let a = scene.film.display(lit.ambient + lit.sun);
                let touched = lit.open < 0.999 || lit.sunlit < 0.999;
                let b = if touched {
                    scene.film.display(lit.ambient * lit.open + lit.sun * lit.sunlit)
                } else {
                    a
                };
                (a, b)
            };
            empty += a * count as f32;
            shaded += b * count as f32;
            visible += b * seen as f32;
        }
        let all = (SIDE * SIDE) as f32;
        let at = y * (width / SIDE) + x;
        put(&mut out.empty, at, empty / all);
        put(&mut out.shaded, at, shaded / all);
        out.cover[at] = hidden as f32 / all;
        let luma = Vec3::new(0.299, 0.587, 0.114);
        let open = 1.0 - hidden as f32 / all;
        out.shadow[at] = ((empty - shaded).dot(luma) / all * open + 0.5).max(0.0) as u8;
        if hidden > 0 {
            let (sum, _) =
                self.person_samples(scene, actor, view, [x, y], |i, near| near > self.scene.near[i]);
            put(&mut out.full, at, (visible + sum) / all);
        } else {
            put(&mut out.full, at, visible / all);
        }
    }

    fn light_scene(
        &self,
        scene: &Scene,
        actor: &Actor<'_>,
        view: &View,
        pelvis: Vec3,
        face: usize,
        [px, py]: [f32; 2],
    ) -> Lit {
        let (world, light) = (&scene.world, &scene.light);
        let thing = &world.things[usize::from(world.owner[face])];
        let flat = world.normals[face];
        let ray = view.to_world(view.ray(px, py));
        let corner = world.vertices[world.faces[face][0] as usize];
        let facing = flat.dot(ray);
        let z = flat.dot(corner - view.eye) / if facing.abs() < 1e-6 { -1e-6 } else { facing };
        let p = view.eye + ray * z;
        let own = thing.turn.transpose() * (p - thing.at);
        let normal = world.normal(face, own);
        let long = ray.length();
        let slope = (facing.abs() / long).max(0.06);
        let footprint = z * long / view.focal / (slope.sqrt() * slope.sqrt().sqrt());
        let albedo = thing.material.at(own, thing.turn.transpose() * normal, footprint);
        let mut lit = Lit { ambient: Vec3::ZERO, sun: Vec3::ZERO, open: 1.0, sunlit: 1.0 };
        lit.ambient = albedo * light.ambient(normal) * world.openness(p, normal) + thing.glow;
        let toward = normal.dot(light.sun);
        let from_person = p - pelvis;
        let near = from_person.length_squared() < 36.0;
        if toward > 0.0 {
            let through = world.shadow.lit(p + normal * 0.025, 0.02 + 0.02 / toward.max(0.1), light.softness);
            lit.sun = albedo * light.sun_color * (toward * through);
            if near && through > 0.0 {
                lit.sunlit = self.shadow.lit(p + normal * 0.005, 0.012, light.softness);
            }
        }
        if from_person.length_squared() < 3.0 {
            let hidden: f32 = actor.posed.spheres.iter().map(|(c, r)| occlusion(p, normal, *c, *r)).sum();
            lit.open = 1.0 - 0.9 * (0.9 * hidden).min(1.0);
        }
        let far = (-0.69 * z * long / light.haze).exp();
        if far < 0.99 && world.open {
            lit.ambient = lit.ambient * far + light.horizon * (1.0 - far) * 0.9;
            lit.sun *= far;
        }
        lit
    }

    /// Sum of displayed colours and count of a pixel's samples on the person that pass a test of index and nearness.
    fn person_samples(
        &self,
        scene: &Scene,
        actor: &Actor<'_>,
        view: &View,
        [x, y]: [usize; 2],
        test: impl Fn(usize, f32) -> bool,
    ) -> (Vec3, usize) {
        let (mut sum, mut count) = (Vec3::ZERO, 0);
        let mut sunlit = None;
        for k in 0..SIDE * SIDE {
            let (i, j) = (SIDE * x + k % SIDE, SIDE * y + k / SIDE);
            let index = j * self.person.width + i;
            let id = self.person.id[index];
            if id == NOTHING || !test(index, self.person.near[index]) {
                continue;
            }
            count += 1;
            let at = [(i as f32 + 0.5) / SIDE as f32, (j as f32 + 0.5) / SIDE as f32];
            sum += self.light_person(scene, actor, view, id as usize, at, &mut sunlit);
        }
        (sum, count)
    }

    fn light_person(
        &self,
        scene: &Scene,
        actor: &Actor<'_>,
        view: &View,
        face: usize,
        [px, py]: [f32; 2],
        sunlit: &mut Option<f32>,
    ) -> Vec3 {
        let f = actor.figure.faces[face].map(|v| v as usize);
        let [a, b, c] = f.map(|v| actor.posed.vertices[v]);
        let ray = view.to_world(view.ray(px, py));
        // Where the ray meets the triangle.
        let (e1, e2, s) = (b - a, c - a, view.eye - a);
        let q = ray.cross(e2);
        let det = e1.dot(q);
        let inverse = if det.abs() < 1e-12 { 0.0 } else { 1.0 / det };
        let u = (s.dot(q) * inverse).clamp(0.0, 1.0);
        let r = s.cross(e1);
        let v = (ray.dot(r) * inverse).clamp(0.0, 1.0);
        let shares = [(1.0 - u - v).max(0.0), u, v];
        let mix = |values: &[Vec3]| (0..3).map(|k| values[f[k]] * shares[k]).sum::<Vec3>();
        let p = mix(&actor.posed.vertices);
        let place = mix(&actor.figure.place);
        let open: f32 = (0..3).map(|k| actor.posed.open[f[k]] * shares[k]).sum();
        let to_eye = (view.eye - p).normalize();
        let mut normal = mix(&actor.posed.normals).normalize_or(to_eye);
        if f[0] >= actor.template.rest.len() && normal.dot(to_eye) < 0.0 {
            normal = -normal;
        }
        let depth = (p - view.eye).length();
        let footprint = depth / view.focal / SIDE as f32 * 1.2;
        let surface = actor.figure.look.surface(actor.template, actor.figure.piece[f[0]], place, footprint);
        let sunlit = *sunlit.get_or_insert_with(|| {
            let light = &scene.light;
            if normal.dot(light.sun) < -0.3 {
                return 0.0;
            }
            let own = self.shadow.lit(p + normal * 0.018, 0.012, light.softness);
            if own > 0.0 { own * scene.world.shadow.lit(p, 0.05, light.softness) } else { 0.0 }
        });
        let color = shade(&scene.light, &surface, normal, to_eye, open, sunlit);
        scene.film.display(color)
    }
}

/// Light that a person's surface sends to the eye.
fn shade(light: &Light, s: &Surface, n: Vec3, to_eye: Vec3, open: f32, sunlit: f32) -> Vec3 {
    let facing = n.dot(light.sun);
    let wrap = |w: f32| ((facing + w) / (1.0 + w)).max(0.0);
    let direct = if s.skin {
        // Red light goes further under the skin.
        Vec3::new(wrap(0.28), wrap(0.12), wrap(0.08))
    } else {
        Vec3::splat(wrap(0.08))
    };
    let mut color = s.albedo * (light.sun_color * direct * sunlit + light.ambient(n) * open);
    let rim = n.dot(light.rim.0).max(0.0);
    if rim > 0.0 {
        color += s.albedo * light.rim.1 * rim;
    }
    let edge = 1.0 - n.dot(to_eye).clamp(0.0, 1.0);
    let fresnel = edge * edge * edge;
    color += light.ambient(n) * fresnel * open * (0.05 + 0.25 * s.gloss);
    if s.gloss > 0.03 && facing > 0.0 {
        let half = (light.sun + to_eye).normalize_or(n);
        let spot = n.dot(half).max(0.0).powi(28);
        color += light.sun_color * (spot * s.gloss * 0.45 * sunlit);
    }
    color
}

#[inline]
fn to_sample(p: Vec3) -> Vec3 {
    Vec3::new(p.x * SIDE as f32 - 0.5, p.y * SIDE as f32 - 0.5, p.z)
}

#[inline]
fn put(picture: &mut [u8], at: usize, levels: Vec3) {
    let bytes = &mut picture[3 * at..3 * at + 3];
    for (byte, level) in bytes.iter_mut().zip(levels.to_array()) {
        *byte = (level + 0.5) as u8;
    }
}
