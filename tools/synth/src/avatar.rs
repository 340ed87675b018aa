//! The avatar that the pipeline would have of a person: Gaussians on an estimate of its surface, coloured from the character
//! picture where the picture shows them and filled in elsewhere, with the faults that such avatars have.

use crate::figure::{Figure, PosedFigure};
use crate::look::Piece;
use crate::noise::BLOTCH;
use crate::portrait::Portrait;
use crate::random::Random;
use crate::template::Template;
use crate::{Result, vec3};
use avatar_render::{Colors, Gaussians};
use glam::{Mat3, Quat, Vec2, Vec3};

/// Gaussians bound to a figure's triangles.
#[derive(Debug)]
pub struct Baked {
    points: Vec<Point>,
    /// `[V]` the avatar's idea of how far clothes stand off.
    pub thickness: Vec<f32>,
    colors: Vec<[f32; 3]>,
    scales: Vec<[f32; 3]>,
    opacities: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    face: [u32; 3],
    shares: [f32; 3],
    lift: f32,
}

/// Bins along the body, for filling in.
const BINS: usize = 40;
const PARTS: usize = 12;

impl Baked {
    /// Makes the avatar.
    ///
    /// # Errors
    /// Never for a sound figure.
    pub fn new(random: &mut Random, t: &Template, figure: &Figure, portrait: &Portrait) -> Result<Self> {
        let thickness = estimate(random, t, figure);
        let mut posed = PosedFigure::default();
        figure.pose(t, &portrait.pose, &thickness, &mut posed)?;
        let dropped = |piece: Piece, random: &mut Random| match piece {
            Piece::Skirt => random.chance(0.12),
            Piece::Hair => random.chance(0.3),
            Piece::Brim => random.chance(0.5),
            _ => false,
        };
        let dropped = [Piece::Skirt, Piece::Hair, Piece::Brim].map(|p| (p, dropped(p, random)));
        let mut baked = Self {
            points: Vec::new(),
            thickness,
            colors: Vec::new(),
            scales: Vec::new(),
            opacities: Vec::new(),
        };
        baked.scatter(random, t, figure, &posed, &|p| dropped.contains(&(p, true)));
        baked.paint(random, t, figure, &posed, portrait);
        baked.damage(random, t, figure);
        Ok(baked)
    }

    /// Spreads points evenly, more on the head and the hands.
    fn scatter(
        &mut self,
        random: &mut Random,
        t: &Template,
        figure: &Figure,
        posed: &PosedFigure,
        dropped: &dyn Fn(Piece) -> bool,
    ) {
        let wanted = random.range(13_000.0, 25_000.0);
        let density = |f: &[u32; 3]| match figure.piece[f[0] as usize] {
            Piece::Eye => 4.0,
            Piece::Body => match t.part[f[0] as usize] {
                0 => 3.0,
                4 | 6 => 1.5,
                _ => 1.0,
            },
            piece if dropped(piece) => 0.0,
            _ => 1.0,
        };
        let weight: Vec<f32> = figure
            .faces
            .iter()
            .map(|f| {
                let [a, b, c] = f.map(|v| posed.vertices[v as usize]);
                (b - a).cross(c - a).length() * 0.5 * density(f)
            })
            .collect();
        let total: f64 = weight.iter().map(|w| f64::from(*w)).sum();
        let step = total / f64::from(wanted);
        let softness = random.range(0.62, 1.1);
        let flat = if random.chance(0.7) { 0.3 } else { 0.8 };
        let (mut sum, mut next) = (0.0, 0.5 * step);
        let depth = if random.chance(0.5) { random.range(0.0, 0.006) } else { 0.0 };
        let opacity = random.range(0.82, 0.99);
        for (f, w) in figure.faces.iter().zip(&weight) {
            sum += f64::from(*w);
            while next < sum {
                next += step;
                let (mut u, mut v) = (random.unit(), random.unit());
                if u + v > 1.0 {
                    (u, v) = (1.0 - u, 1.0 - v);
                }
                self.points.push(Point {
                    face: *f,
                    shares: [1.0 - u - v, u, v],
                    lift: depth * random.normal(),
                });
                let spacing = (step as f32 / density(f)).sqrt();
                let sigma = softness * spacing * (1.0 + 0.15 * random.normal()).clamp(0.5, 2.0);
                self.scales.push([sigma * 1.1, sigma * 0.95, sigma * flat]);
                self.opacities.push((opacity + 0.05 * random.normal()).clamp(0.3, 0.99));
            }
        }
    }

    /// Colours from the picture; what it doesn't show is filled in.
    fn paint(
        &mut self,
        random: &mut Random,
        t: &Template,
        figure: &Figure,
        posed: &PosedFigure,
        portrait: &Portrait,
    ) {
        let [w, h] = portrait.view.size;
        let shift = Vec2::new(random.normal(), random.normal()) * 0.8;
        let careful = random.chance(0.92);
        let mut outside = vec![false; self.points.len()];
        let mut visible = vec![false; self.points.len()];
        let mut direct = vec![Vec3::ZERO; self.points.len()];
        let mut sums = vec![(Vec3::ZERO, 0.0_f32); PARTS * BINS];
        let mut hair = (Vec3::ZERO, 0.0_f32);
        let mut skin = (Vec3::ZERO, 0.0_f32);
        for (i, point) in self.points.iter().enumerate() {
            let at = posed.vertices_at(point);
            let normal = posed.normals_at(point);
            let camera = portrait.view.to_camera(at);
            let pixel = portrait.view.project(camera);
            let seen = pixel.truncate() + shift;
            let (x, y) = (seen.x.clamp(0.5, w as f32 - 1.5), seen.y.clamp(0.5, h as f32 - 1.5));
            let index = y as usize * w as usize + x as usize;
            let inside = portrait.mask.get_pixel(x as u32, y as u32)[0] > if careful { 200 } else { 100 };
            let near = portrait.near[index];
            let facing = normal.dot((portrait.view.eye - at).normalize());
            visible[i] = inside && near > 0.0 && camera.z < 1.0 / near + 0.03 && facing > 0.12;
            outside[i] = !inside && careful;
            direct[i] = sample(portrait, x, y, inside);
            if visible[i] {
                let slot = &mut sums[bin(t, figure, point)];
                slot.0 += direct[i];
                slot.1 += 1.0;
                let place = place_of(figure, point);
                if figure.look.is_hair(t, figure.piece[point.face[0] as usize], place) {
                    hair.0 += direct[i];
                    hair.1 += 1.0;
                } else if t.part.get(point.face[0] as usize) == Some(&0) {
                    skin.0 += direct[i];
                    skin.1 += 1.0;
                }
            }
        }
        let mean = |s: &(Vec3, f32)| (s.1 > 0.0).then(|| s.0 / s.1);
        let (hair, skin) = (mean(&hair), mean(&skin));
        let smooth = random.unit();
        let dim = random.range(0.78, 1.0);
        let speckle = random.range(0.0, 0.035);
        for (i, point) in self.points.iter().enumerate() {
            let mut color = direct[i];
            if !visible[i] {
                let piece = figure.piece[point.face[0] as usize];
                let on_head = t.part.get(point.face[0] as usize) == Some(&0) || piece == Piece::Hair;
                let filled = if on_head {
                    let place = place_of(figure, point);
                    if figure.look.is_hair(t, piece, place) { hair.or(skin) } else { skin }
                } else {
                    let at = bin(t, figure, point);
                    let (part, row) = (at / BINS, at % BINS);
                    (0..BINS).find_map(|d| {
                        [row.checked_sub(d), Some(row + d)]
                            .into_iter()
                            .flatten()
                            .filter(|r| *r < BINS)
                            .find_map(|r| mean(&sums[part * BINS + r]))
                    })
                };
                let filled = filled.unwrap_or(color);
                // Through the picture, or smooth from what is near, or between.
                let share = if on_head || outside[i] { 1.0 } else { smooth };
                color = color.lerp(filled, share) * dim;
            }
            color += Vec3::splat(speckle * random.normal());
            self.colors.push(color.clamp(Vec3::ZERO, Vec3::ONE).to_array());
        }
    }

    /// Holes and wisps.
    fn damage(&mut self, random: &mut Random, t: &Template, figure: &Figure) {
        if random.chance(0.5) {
            for _ in 0..1 + random.below(5) {
                let middle = t.rest[random.below(t.rest.len())];
                let (radius, left) = (random.range(0.02, 0.07), random.range(0.0, 0.7));
                for (point, opacity) in self.points.iter().zip(&mut self.opacities) {
                    let d = (place_of(figure, point) - middle).length();
                    if d < radius {
                        *opacity *= left;
                    }
                }
            }
        }
        if random.chance(0.5) {
            let share = random.range(0.002, 0.02);
            let reach = random.range(0.008, 0.03);
            for (point, scale) in self.points.iter_mut().zip(&mut self.scales) {
                if random.chance(share) {
                    point.lift += reach * random.unit();
                    *scale = scale.map(|s| s * random.range(0.6, 2.2));
                }
            }
        }
    }

    /// The Gaussians in a pose of the figure (posed with this avatar's thickness).
    pub fn pose(&self, posed: &PosedFigure, out: &mut Gaussians) {
        out.means.clear();
        out.rotations.clear();
        for point in &self.points {
            let normal = posed.normals_at(point);
            let at = posed.vertices_at(point) + normal * point.lift;
            let [a, b, _] = point.face.map(|v| posed.vertices[v as usize]);
            let first = (b - a).reject_from(normal).normalize_or(normal.any_orthonormal_vector());
            let q = Quat::from_mat3(&Mat3::from_cols(first, normal.cross(first), normal));
            out.means.push(at.to_array());
            out.rotations.push([q.w, q.x, q.y, q.z]);
        }
        out.scales.clone_from(&self.scales);
        out.opacities.clone_from(&self.opacities);
        out.colors = Colors::Rgb(self.colors.clone());
    }
}

impl Baked {
    /// The surface's normal at each Gaussian, as the avatar takes the surface to be.
    pub fn normals(&self, posed: &PosedFigure, out: &mut Vec<[f32; 3]>) {
        out.clear();
        out.extend(self.points.iter().map(|p| posed.normals_at(p).to_array()));
    }
}

impl PosedFigure {
    fn vertices_at(&self, p: &Point) -> Vec3 {
        mix(&self.vertices, p)
    }

    fn normals_at(&self, p: &Point) -> Vec3 {
        mix(&self.normals, p).normalize_or(Vec3::Z)
    }
}

fn mix(values: &[Vec3], p: &Point) -> Vec3 {
    (0..3).map(|k| values[p.face[k] as usize] * p.shares[k]).sum()
}

fn place_of(figure: &Figure, p: &Point) -> Vec3 {
    mix(&figure.place, p)
}

/// How thick the avatar takes the clothes to be: too thin or too thick, uneven.
fn estimate(random: &mut Random, t: &Template, figure: &Figure) -> Vec<f32> {
    let share = random.range(0.35, 1.15);
    let more = random.range(-0.002, 0.006);
    let uneven = random.range(0.001, 0.007);
    let (u, v) = (random.unit(), random.unit());
    let places = t.rest.iter().zip(&t.eye).zip(&figure.thickness);
    places
        .map(|((p, eye), d)| {
            if *eye {
                return 0.0015;
            }
            let noise = BLOTCH.at(p.x * 0.8 + u, p.y * 0.8 + 0.5 * p.z + v, 0.0);
            d * share + more + uneven * noise
        })
        .collect()
}

/// Which slab of which part a point lies in.
fn bin(t: &Template, figure: &Figure, p: &Point) -> usize {
    let part = t.part.get(p.face[0] as usize).copied().unwrap_or(11).min(11) as usize;
    let place = place_of(figure, p);
    let along = if (3..=6).contains(&part) { place.x.abs() / 0.9 } else { (place.y - t.ground) / 1.8 };
    part * BINS + ((along * BINS as f32) as usize).min(BINS - 1)
}

/// The picture's colour at a place, 0 to 1; without care, what lies behind the person mixes in.
fn sample(portrait: &Portrait, x: f32, y: f32, inside: bool) -> Vec3 {
    let (x, y) = (x - 0.5, y - 0.5);
    let (i, j) = (x as u32, y as u32);
    let (fx, fy) = (x - i as f32, y - j as f32);
    let [w, h] = portrait.view.size;
    let at = |i: u32, j: u32| {
        let (i, j) = (i.min(w - 1), j.min(h - 1));
        let weight = f32::from(portrait.mask.get_pixel(i, j)[0]) / 255.0;
        let p = portrait.picture.get_pixel(i, j).0.map(f32::from);
        (vec3(p), if inside { weight.max(0.02) } else { 1.0 })
    };
    let corners = [
        (at(i, j), (1.0 - fx) * (1.0 - fy)),
        (at(i + 1, j), fx * (1.0 - fy)),
        (at(i, j + 1), (1.0 - fx) * fy),
        (at(i + 1, j + 1), fx * fy),
    ];
    let (mut sum, mut total) = (Vec3::ZERO, 0.0);
    for ((color, weight), share) in corners {
        sum += color * (weight * share);
        total += weight * share;
    }
    sum / total.max(1e-3) / 255.0
}
