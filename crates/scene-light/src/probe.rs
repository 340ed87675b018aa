//! The light on a person in the picture whose body is known.
//!
//! Each visible place of the body says what a surface of its normal sends to the camera: the part's own colour times the light. Both
//! are unknown; but the colour stays the same over a part of the body and over the clip, and the light over all parts. Alternating least
//! squares with robust weights finds both. Folds and prints are most of what varies: many frames, sums over small ranges of normals, and a light that
//! is held to few and small terms.

use crate::body::{BodyParts, N_PARTS};
use crate::error::{Error, Result, same_length};
use crate::harmonics::{Harmonics, TERMS, terms};
use crate::light::{SceneLight, Sun};
use crate::{linear, luma, vec3};
use glam::Vec3;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Ranges of normals along one side of the octahedron's square.
const SIDE: usize = 12;
/// A matte's pixel is the person's from here on.
const INSIDE: u8 = 230;
/// Places that have to be seen.
const NEEDED: usize = 400;
/// Rounds of fitting.
const ROUNDS: usize = 24;

/// A place of the body that the picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Column and row.
    pub at: [f32; 2],
    /// Unit normal, in camera axes.
    pub normal: [f32; 3],
    /// The body's part.
    pub part: usize,
    /// How much surface it stands for, as seen.
    pub weight: f32,
}

/// What is seen of one part in one range of normals.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    weight: f32,
    light: [f32; 3],
    normal: Vec3,
}

/// Collects a clip's frames.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The shot's first and second half, or wherever frames were put.
    halves: [Vec<Cell>; 2],
    seen: usize,
}

/// What a probe says.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// The light over normals; its luma's mean is 1.
    pub shape: Harmonics,
    /// The part of it that comes from one direction: unit vector, and its luma on a surface that faces it.
    pub toward: [f32; 3],
    /// See `toward`.
    pub strength: f32,
    /// The person's own level: linear light that the mean part sends.
    pub level: [f32; 3],
    /// How far the two halves of the clip agree on the direction: the cosine of the angle between theirs.
    pub agreement: f32,
    /// How much of what is seen the light explains, beyond a colour for each part.
    pub explained: f32,
    /// Places that were seen.
    pub seen: usize,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let cells = vec![Cell::default(); N_PARTS * SIDE * SIDE];
        Self { halves: [cells.clone(), cells], seen: 0 }
    }

    /// Takes in a frame: the picture, the person's matte, and the body as it was fitted. `half` says to which of two halves of the
    /// shot the frame belongs; they are compared in the end.
    ///
    /// # Shapes
    /// `vertices` is `[V, 3]`; `depth` is `[H, W]`: the body's depth in metres at the picture's size, 0 where there is none.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn add(
        &mut self,
        picture: &RgbImage,
        matte: &GrayImage,
        body: (&BodyParts, &[[f32; 3]]),
        depth: &[f32],
        camera: &smplx::Camera,
        half: usize,
    ) -> Result<()> {
        let (w, h) = picture.dimensions();
        same_length("pixels of the matte", (w * h) as usize, matte.as_raw().len())?;
        same_length("pixels of the body's depth", (w * h) as usize, depth.len())?;
        let samples = visible(body, depth, camera, (w, h));
        self.add_samples(picture, matte, &samples, half);
        Ok(())
    }

    /// Takes in places that are known to be visible.
    pub fn add_samples(&mut self, picture: &RgbImage, matte: &GrayImage, samples: &[Sample], half: usize) {
        let (w, h) = (picture.width() as usize, picture.height() as usize);
        let cells = &mut self.halves[half.min(1)];
        for s in samples {
            let (x, y) = (s.at[0] as usize, s.at[1] as usize);
            if x < 1 || y < 1 || x + 2 > w || y + 2 > h {
                continue;
            }
            let (mut sum, mut whole) = ([0.0_f32; 3], true);
            for y in y - 1..=y + 1 {
                for x in x - 1..=x + 1 {
                    let i = y * w + x;
                    whole &= matte.as_raw()[i] >= INSIDE;
                    for (sum, v) in sum.iter_mut().zip(&picture.as_raw()[3 * i..3 * i + 3]) {
                        *sum += f32::from(*v);
                    }
                }
            }
            if !whole {
                continue;
            }
            let cell = &mut cells[s.part.min(N_PARTS - 1) * SIDE * SIDE + bin(s.normal)];
            cell.weight += s.weight;
            cell.normal += vec3(s.normal) * s.weight;
            for (l, v) in cell.light.iter_mut().zip(sum) {
                *l += linear(v / (9.0 * 255.0)) * s.weight;
            }
            self.seen += 1;
        }
    }

    /// Fits the light.
    ///
    /// # Errors
    /// When too little of the person was seen.
    pub fn solve(&self) -> Result<Probed> {
        if self.seen < NEEDED {
            return Err(Error::TooLittle { seen: self.seen, needed: NEEDED });
        }
        let both: Vec<Cell> = self.halves[0].iter().zip(&self.halves[1]).map(|(a, b)| a.plus(b)).collect();
        let fit = fit(&both);
        let halves: Vec<Vec3> = self.halves.iter().map(|cells| direction(&fit_shape(cells))).collect();
        let agreement = match (halves[0].try_normalize(), halves[1].try_normalize()) {
            (Some(a), Some(b)) => a.dot(b),
            _ => 0.0,
        };
        let d = direction(&fit.shape);
        Ok(Probed {
            shape: fit.shape,
            toward: d.normalize_or(Vec3::NEG_Y).to_array(),
            strength: d.length(),
            level: fit.level,
            agreement,
            explained: fit.explained,
            seen: self.seen,
        })
    }
}

impl Cell {
    fn plus(&self, other: &Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            light: std::array::from_fn(|c| self.light[c] + other.light[c]),
            normal: self.normal + other.normal,
        }
    }
}

/// The gradient of the luma.
fn direction(shape: &Harmonics) -> Vec3 {
    Vec3::new(luma(shape.0[1]), luma(shape.0[2]), luma(shape.0[3]))
}

/// Where the body is seen, by vertex.
fn visible(
    (parts, vertices): (&BodyParts, &[[f32; 3]]),
    depth: &[f32],
    camera: &smplx::Camera,
    (w, h): (u32, u32),
) -> Vec<Sample> {
    let normals = parts.weighted_normals(vertices);
    let all = vertices.par_iter().zip(&normals).enumerate().filter_map(|(v, (p, n))| {
        let (p, n) = (vec3(*p), vec3(*n));
        let area = n.length();
        let normal = n.try_normalize()?;
        let facing = -normal.dot(p.normalize_or(Vec3::Z));
        // Places seen from aside are folded, and their neighbours' pixels near.
        if facing < 0.25 {
            return None;
        }
        let at = camera.project(p.to_array())?;
        if !(at[0] >= 0.0 && at[1] >= 0.0 && at[0] < w as f32 && at[1] < h as f32) {
            return None;
        }
        let seen = depth[at[1] as usize * w as usize + at[0] as usize];
        if seen <= 0.0 || p.z > seen + 0.025 {
            return None;
        }
        let weight = area * facing / (p.z * p.z).max(0.01);
        Some(Sample { at, normal: normal.to_array(), part: parts.of(v), weight })
    });
    all.collect()
}

/// The range of a normal: the octahedron unfolded to a square.
fn bin(n: [f32; 3]) -> usize {
    let n = vec3(n);
    let sum = n.abs().element_sum().max(1e-6);
    let (mut u, mut v) = (n.x / sum, n.y / sum);
    if n.z > 0.0 {
        (u, v) = ((1.0 - v.abs()) * u.signum(), (1.0 - u.abs()) * v.signum());
    }
    let cell = |x: f32| (((x * 0.5 + 0.5) * SIDE as f32) as usize).min(SIDE - 1);
    cell(v) * SIDE + cell(u)
}

struct Fit {
    shape: Harmonics,
    level: [f32; 3],
    explained: f32,
}

/// How strongly each term is held to its prior: against the total weight of what is seen.
fn hold(term: usize) -> f32 {
    match term {
        0 => 0.0,
        1..=3 => 0.012,
        _ => 0.05,
    }
}

/// One cell as the fits see it.
struct Seen {
    part: usize,
    terms: [f32; TERMS],
    light: [f32; 3],
    weight: f32,
}

fn seen(cells: &[Cell]) -> Vec<Seen> {
    let total: f32 = cells.iter().map(|c| c.weight).sum::<f32>().max(1e-12);
    // A part that fills the picture must not outvote all others.
    cells
        .iter()
        .enumerate()
        .filter(|(_, c)| c.weight > 1e-5 * total)
        .map(|(i, c)| Seen {
            part: i / (SIDE * SIDE),
            terms: terms(c.normal.normalize_or(Vec3::NEG_Z).to_array()),
            light: c.light.map(|l| l / c.weight),
            weight: (c.weight / total).sqrt(),
        })
        .collect()
}

fn fit_shape(cells: &[Cell]) -> Harmonics {
    fit(cells).shape
}

fn fit(cells: &[Cell]) -> Fit {
    let seen = seen(cells);
    let total: f32 = seen.iter().map(|s| s.weight).sum::<f32>().max(1e-9);
    let weights: Vec<f32> = seen.iter().map(|s| s.weight / total).collect();
    let prior = prior();
    // The luma first: it says most, and holds the colours.
    let lumas: Vec<f32> = seen.iter().map(|s| luma(s.light).max(1e-4)).collect();
    let (shape, colors, explained) = alternate(&seen, &lumas, &weights, &prior, 1.0);
    let mut out = [[0.0; 3]; TERMS];
    let mut level = [0.0; 3];
    for c in 0..3 {
        let values: Vec<f32> = seen.iter().map(|s| s.light[c].max(1e-4)).collect();
        let (own, colors, _) = alternate(&seen, &values, &weights, &shape, 4.0);
        for (row, k) in out.iter_mut().zip(own) {
            row[c] = k;
        }
        level[c] = mean_level(&seen, &weights, &colors);
    }
    let _ = colors;
    let shape = Harmonics(out);
    let mean = luma(shape.mean()).max(1e-3);
    Fit { shape: shape.scaled([1.0 / mean; 3]), level, explained }
}

/// Light from above, as everywhere: a sky over a darker ground.
fn prior() -> [f32; TERMS] {
    let mut prior = [0.0; TERMS];
    prior[0] = 1.0;
    prior[2] = -0.25;
    prior
}

/// The geometric mean of the parts' colours, by how much of each is seen.
fn mean_level(seen: &[Seen], weights: &[f32], colors: &[f32; N_PARTS]) -> f32 {
    let (mut sum, mut n) = (0.0, 0.0);
    for (s, w) in seen.iter().zip(weights) {
        sum += w * colors[s.part].max(1e-4).ln();
        n += w;
    }
    (sum / n.max(1e-9)).exp()
}

/// Alternates between the parts' colours and the light's terms: `value ≈ color[part] · (terms · light)`, the light's first term
/// being 1.
fn alternate(
    seen: &[Seen],
    values: &[f32],
    weights: &[f32],
    prior: &[f32; TERMS],
    held: f32,
) -> ([f32; TERMS], [f32; N_PARTS], f32) {
    let mut light = *prior;
    let mut colors = [0.0_f32; N_PARTS];
    let mut trust = vec![1.0_f32; seen.len()];
    let dot = |a: &[f32; TERMS], b: &[f32; TERMS]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let mut before = 0.0;
    let mut after = 0.0;
    for round in 0..ROUNDS {
        // Colours: weighted means of value / light.
        let (mut sums, mut counts) = ([0.0_f32; N_PARTS], [0.0_f32; N_PARTS]);
        for (i, s) in seen.iter().enumerate() {
            let l = dot(&s.terms, &light).max(0.1);
            let w = weights[i] * trust[i];
            sums[s.part] += w * values[i] / l;
            counts[s.part] += w;
        }
        for p in 0..N_PARTS {
            colors[p] = if counts[p] > 0.0 { sums[p] / counts[p] } else { 0.0 };
        }
        // Light: ridge regression of value / colour on the terms, the first being held at 1 afterwards.
        let mut matrix = [[0.0_f64; TERMS]; TERMS];
        let mut vector = [0.0_f64; TERMS];
        for (i, s) in seen.iter().enumerate() {
            if colors[s.part] <= 1e-5 {
                continue;
            }
            let w = f64::from(weights[i] * trust[i]);
            let y = f64::from(values[i] / colors[s.part]);
            for a in 0..TERMS {
                vector[a] += w * y * f64::from(s.terms[a]);
                for b in 0..TERMS {
                    matrix[a][b] += w * f64::from(s.terms[a] * s.terms[b]);
                }
            }
        }
        for k in 0..TERMS {
            let hold = f64::from(held * hold(k)) + 1e-9;
            matrix[k][k] += hold;
            vector[k] += hold * f64::from(prior[k]);
        }
        let Some(found) = solve(matrix, vector) else { break };
        let mean = (found[0] as f32).max(0.05);
        light = found.map(|k| k as f32 / mean);
        // What is far off says nothing: a print, hair over a shirt, a hand in front.
        let residuals: Vec<f32> = seen
            .iter()
            .enumerate()
            .map(|(i, s)| values[i] / colors[s.part].max(1e-5) / dot(&s.terms, &light).max(0.1) - 1.0)
            .collect();
        let mut sizes: Vec<f32> = residuals.iter().map(|r| r.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        let scale = (1.48 * sizes.get(sizes.len() / 2).copied().unwrap_or(0.1)).clamp(0.03, 0.5);
        for (t, r) in trust.iter_mut().zip(&residuals) {
            let u = r / (3.0 * scale);
            *t = if u.abs() < 1.0 { (1.0 - u * u).powi(2) } else { 0.0 };
        }
        if round + 1 == ROUNDS {
            let (mut plain, mut n) = ([0.0_f32; N_PARTS], [0.0_f32; N_PARTS]);
            for (i, s) in seen.iter().enumerate() {
                plain[s.part] += weights[i] * trust[i] * values[i];
                n[s.part] += weights[i] * trust[i];
            }
            for (i, s) in seen.iter().enumerate() {
                let w = weights[i] * trust[i] / colors[s.part].max(1e-5).powi(2);
                before += w * (values[i] - plain[s.part] / n[s.part].max(1e-9)).powi(2);
                after += w * (values[i] - colors[s.part] * dot(&s.terms, &light)).powi(2);
            }
        }
    }
    (light, colors, 1.0 - after / f32::max(before, 1e-9))
}

/// Solves by elimination with pivots; `None` for a singular matrix.
fn solve(mut m: [[f64; TERMS]; TERMS], mut v: [f64; TERMS]) -> Option<[f64; TERMS]> {
    for i in 0..TERMS {
        let best = (i..TERMS).max_by(|a, b| m[*a][i].abs().total_cmp(&m[*b][i].abs()))?;
        m.swap(i, best);
        v.swap(i, best);
        if m[i][i].abs() < 1e-12 {
            return None;
        }
        for j in i + 1..TERMS {
            let f = m[j][i] / m[i][i];
            for k in i..TERMS {
                m[j][k] -= f * m[i][k];
            }
            v[j] -= f * v[i];
        }
    }
    for i in (0..TERMS).rev() {
        for k in i + 1..TERMS {
            v[i] -= m[i][k] * v[k];
        }
        v[i] /= m[i][i];
    }
    Some(v)
}

impl Probed {
    /// Is it to be believed? Both halves of the clip have to find one direction, and the light has to explain something of what is
    /// seen.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.agreement >= AGREE && self.explained >= EXPLAINED
    }

    /// The light as a sun and what comes from everywhere else, `up` being up.
    ///
    /// A sun alone has a gradient of twice its mean, a sky over a darker ground one of half its mean: what the gradient is beyond the
    /// sky's is the sun's.
    #[must_use]
    pub fn light(&self, up: [f32; 3]) -> SceneLight {
        let (up, gradient) = (vec3(up), vec3(self.toward) * self.strength * BELIEVED);
        let rise = gradient.dot(up).max(0.0);
        let mut share = 0.0;
        let mut beyond = gradient;
        for _ in 0..8 {
            beyond = gradient - up * (SKY_GRADIENT * (1.0 - share)).min(rise);
            share = (0.5 * beyond.length()).clamp(0.0, MOST_SUN);
        }
        let tint = |k: usize| self.shape.0[k];
        let mean = tint(0);
        let even = |along: Vec3, share: f32| {
            let steep = along.length().min(STEEPEST);
            let (low, high) =
                (mean.map(|m| m * (1.0 - steep) * share), mean.map(|m| m * (1.0 + steep) * share));
            Harmonics::gradient(along.normalize_or(up).to_array(), low, high)
        };
        if share < LEAST_SUN {
            // As soft as a cloudy sky: no sun.
            return SceneLight { ambient: even(gradient, 1.0), sun: None }.of_mean_one();
        }
        let toward = beyond.normalize_or(up);
        // What lies below the horizon is a bright ground, not a sun.
        let above = toward.dot(up);
        let toward = if above < LOWEST { (toward + up * (LOWEST - above)).normalize_or(up) } else { toward };
        let rest = (gradient - toward * (2.0 * share)) / (1.0 - share);
        let ambient = even(rest, 1.0 - share);
        // The sun's colour: how the channels' gradients differ along its direction, held to the mean's.
        let along: [f32; 3] = std::array::from_fn(|c| {
            (1..4).map(|k| tint(k)[c] * toward[k - 1]).sum::<f32>() / self.strength.max(0.05)
        });
        let base = luma(along).max(0.05);
        let color =
            std::array::from_fn(|c| mean[c] * (along[c] / base).clamp(0.5, 2.0).powf(0.4) * 4.0 * share);
        let softness = 0.3 + (0.03 - 0.3) * (share / 0.5).clamp(0.0, 1.0);
        SceneLight { ambient, sun: Some(Sun { toward: toward.to_array(), color, softness }) }.of_mean_one()
    }
}

/// See [`Probed::is_sure`].
const AGREE: f32 = 0.8;
const EXPLAINED: f32 = 0.15;
/// The gradient of a sky's light over its mean.
const SKY_GRADIENT: f32 = 0.45;
/// Robust fits and priors shrink gradients; by so much they are stretched again.
const BELIEVED: f32 = 1.6;
/// No sun stands lower than this sine.
const LOWEST: f32 = 0.35;
/// A light that is less of the whole is no sun.
const LEAST_SUN: f32 = 0.1;
/// No sun is more of the whole: in a room and under the sky as much comes from everywhere else, and a fit that says otherwise has taken a
/// beard or hair for shade.
const MOST_SUN: f32 = 0.5;
/// No light from everywhere is steeper than this.
const STEEPEST: f32 = 0.6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Places all over a front, of parts whose colours differ, lit by a light.
    fn clip(light: &SceneLight, prints: bool) -> Probe {
        let mut probe = Probe::new();
        let (w, h) = (200, 100);
        let normal = |x: u32, y: u32| {
            let (u, v) = (x as f32 % 50.0 / 25.0 - 1.0, y as f32 % 50.0 / 25.0 - 1.0);
            Vec3::new(0.9 * u, 0.9 * v, -1.0).normalize().to_array()
        };
        let part = |x: u32, y: u32| (x / 50 + 4 * (y / 50)) as usize;
        let picture = RgbImage::from_fn(w, h, |x, y| {
            // Black hair over a white shirt: parts of one chromaticity.
            let albedo = [0.03, 0.8, 0.5, 0.3, 0.1, 0.6, 0.2, 0.4][part(x, y)];
            let print = if prints && (x / 3 + y / 4) % 5 == 0 { 0.4 } else { 1.0 };
            let l = light.shade(normal(x, y), 1.0);
            image::Rgb(l.map(|l| (255.0 * crate::display(0.5 * l * albedo * print)).min(255.0) as u8))
        });
        let matte = GrayImage::from_pixel(w, h, image::Luma([255]));
        let mut samples = Vec::new();
        for y in (1..h - 1).filter(|y| y % 50 > 1 && y % 50 < 48) {
            for x in (1..w - 1).filter(|x| x % 50 > 1 && x % 50 < 48) {
                let at = [x as f32 + 0.5, y as f32 + 0.5];
                samples.push(Sample { at, normal: normal(x, y), part: part(x, y), weight: 1.0 });
            }
        }
        probe.add_samples(&picture, &matte, &samples, 0);
        probe.add_samples(&picture, &matte, &samples, 1);
        probe
    }

    #[test]
    fn the_suns_direction_is_found_whatever_is_worn() {
        let toward = Vec3::new(0.6, -0.7, -0.4).normalize();
        let sun = Sun { toward: toward.to_array(), color: [1.6, 1.5, 1.3], softness: 0.03 };
        let ambient = Harmonics::gradient(crate::UP, [0.3; 3], [0.7, 0.75, 0.9]);
        let light = SceneLight { ambient, sun: Some(sun) }.of_mean_one();
        for prints in [false, true] {
            let found = clip(&light, prints).solve().unwrap();
            let sun = found.light(crate::UP).sun.unwrap();
            let cosine = vec3(sun.toward).dot(toward);
            assert!(cosine > 0.9, "{prints}: {cosine} {found:?}");
            assert!(found.agreement > 0.99 && found.explained > 0.3, "{found:?}");
            assert!(sun.color[0] > sun.color[2]);
        }
    }

    #[test]
    fn even_light_has_no_sun_to_speak_of() {
        let found = clip(&SceneLight::even(), true).solve().unwrap();
        let light = found.light(crate::UP);
        let strength = light.sun.map_or(0.0, |s| luma(s.color));
        assert!(strength < 0.8, "{strength}");
    }

    #[test]
    fn too_little_is_said() {
        assert!(matches!(Probe::new().solve(), Err(Error::TooLittle { .. })));
    }

    #[test]
    fn ranges_of_normals_cover_the_sphere() {
        let mut hit = [false; SIDE * SIDE];
        for i in 0..20_000 {
            let z = 1.0 - (2.0 * i as f32 + 1.0) / 20_000.0;
            let (r, phi) = ((1.0 - z * z).sqrt(), i as f32 * 2.399_963);
            hit[bin([r * phi.cos(), r * phi.sin(), z])] = true;
        }
        assert!(hit.iter().all(|h| *h));
    }
}
