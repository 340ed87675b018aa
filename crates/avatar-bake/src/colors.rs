//! Colours: seen ones from the picture, hidden ones from the other side of the body, from its front, and from around.
//!
//! 1. Each vertex and each point looks at its own place on the picture. How well it is seen: by the depth map, by how it
//!    faces the camera, by the eroded mask.
//! 2. What isn't seen looks at the picture where its mirror image is, left for right.
//! 3. What neither shows is spread over the surface from what is known (a harmonic field), drawn towards the usual colour
//!    around its limb at its height: hems and stripes go round, prints don't. On the skull it is drawn towards the hair's
//!    colour.

use crate::field::{Wish, nearest, spread};
use crate::pixels::{Pyramid, Sample, least};
use crate::points::Points;
use crate::posed::{Body, DepthMap, View};
use crate::surface::{Part, Place, Table, normals, smoothstep};
use crate::{Options, Result};
use glam::Vec3;

/// A colour and how well it is known, 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) color: [f32; 3],
    pub(crate) weight: f32,
}

/// What the picture says about the surface.
#[derive(Debug)]
pub(crate) struct Looks<'a> {
    view: &'a View,
    pyramid: &'a Pyramid,
    depth: Vec<f32>,
    /// Nearest depth around each pixel, to keep away from the edges of what lies in front.
    nearest: Vec<f32>,
    vertices: Vec<Vec3>,
    normals: Vec<Vec3>,
}

/// Cosines between which a surface counts as facing the camera.
const FACING: [f32; 2] = [0.08, 0.4];
/// How far a point may lie behind the depth map and still be seen, in metres.
const BEHIND_M: f32 = 0.008;
/// Something this much nearer is another part of the body, in metres.
const APART_M: f32 = 0.05;
/// Size of the patch whose mean colour a vertex takes, in metres.
const PATCH_M: f32 = 0.012;

impl<'a> Looks<'a> {
    pub(crate) fn new(
        body: &Body<'_>,
        offsets: &[f32],
        view: &'a View,
        pyramid: &'a Pyramid,
        map: &mut DepthMap,
        options: &Options,
    ) -> Result<Self> {
        let vertices = body.in_view(offsets);
        let normals = normals(&vertices, &body.surface.faces);
        let depth = map.draw(&vertices, &body.surface.faces, view)?.to_vec();
        let [w, h] = view.size();
        let far: Vec<f32> = depth.iter().map(|d| if *d > 0.0 { *d } else { f32::INFINITY }).collect();
        let nearest = least(&far, w, h, options.occluder_px.unwrap_or((h / 256).clamp(1, 8)));
        Ok(Self { view, pyramid, depth, nearest, vertices, normals })
    }

    /// `[H, W]` depth of the dressed body in metres, 0 where it isn't.
    pub(crate) fn depth(&self) -> &[f32] {
        &self.depth
    }

    /// What the picture shows at a place in camera space with a normal, as the mean of a patch `across` metres wide.
    pub(crate) fn look(&self, p: Vec3, normal: Vec3, across: f32) -> Known {
        let facing = -normal.dot(p.normalize_or(Vec3::Z));
        let Some(at) = self.view.project(p).filter(|_| facing > FACING[0]) else {
            return Known::default();
        };
        let scale = self.view.pixels_per_metre(p.z);
        // One pixel further across, a slanted surface is this much further away.
        let slope = ((1.0 - facing * facing).max(0.0).sqrt() / facing / scale).min(0.03);
        let seen = self.uncovered(at, p.z, BEHIND_M + 1.5 * slope);
        if seen == 0.0 {
            return Known::default();
        }
        match self.pyramid.at(at, across * scale) {
            Some(Sample { color, coverage }) => {
                Known { color, weight: seen * coverage * smoothstep(FACING[0], FACING[1], facing) }
            }
            None => Known::default(),
        }
    }

    /// The share of the four pixels around a place in which nothing lies in front of a depth.
    fn uncovered(&self, [x, y]: [f32; 2], depth: f32, margin: f32) -> f32 {
        let [w, h] = self.view.size();
        if x < -0.5 || y < -0.5 || x > w as f32 - 0.5 || y > h as f32 - 0.5 {
            return 0.0;
        }
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let taps = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| {
            let clamp = |c: f32, n: usize| (c.max(0.0) as usize).min(n - 1);
            let at = clamp(y0 + j as f32, h) * w + clamp(x0 + i as f32, w);
            let share = (if i == 0 { 1.0 - fx } else { fx }) * (if j == 0 { 1.0 - fy } else { fy });
            let there = self.depth[at];
            let open = (there == 0.0 || depth <= there + margin) && depth <= self.nearest[at] + APART_M;
            if open { share } else { 0.0 }
        });
        taps.iter().sum()
    }
}

impl Known {
    /// The blend of three corners' colours by how well each is known.
    fn blend(place: &Place, all: &[Self]) -> Self {
        let mut sum = Self::default();
        for (v, share) in place.vertices.iter().zip(place.shares) {
            sum.add(&all[*v as usize], share);
        }
        sum
    }

    /// Adds another colour with a share.
    fn add(&mut self, other: &Self, share: f32) {
        let weight = share * other.weight;
        if weight > 0.0 {
            self.weight += weight;
            let t = weight / self.weight;
            self.color = std::array::from_fn(|k| self.color[k] + t * (other.color[k] - self.color[k]));
        }
    }

    /// This colour over another one.
    fn over(&self, under: &Self) -> Self {
        let mut sum = Self::default();
        sum.add(self, 1.0);
        sum.add(under, 1.0 - self.weight);
        sum
    }
}

/// The surface's colours as far as vertices can say.
#[derive(Debug)]
pub(crate) struct Fill {
    /// `[V]` how well the picture shows each vertex.
    pub(crate) seen: Vec<f32>,
    /// `[V]` a colour for every vertex.
    pub(crate) colors: Vec<[f32; 3]>,
    /// The hair's colour, where hair was seen.
    pub(crate) hair: Option<[f32; 3]>,
}

/// Strength of a seen colour, against one edge.
const SEEN: f32 = 30.0;
/// Strength of the usual colour around the limb at a hidden vertex.
const USUAL: f32 = 3.0;
/// Strength of the hair's colour on the hidden skull.
const HAIR: f32 = 2.0;
/// Trust in a colour that was taken from the mirror image.
const MIRRORED: f32 = 0.9;
const SWEEPS: usize = 60;

/// Finds a colour for every vertex.
pub(crate) fn fill(body: &Body<'_>, looks: &Looks<'_>, options: &Options) -> Fill {
    let surface = body.surface;
    let own: Vec<Known> =
        looks.vertices.iter().zip(&looks.normals).map(|(p, n)| looks.look(*p, *n, PATCH_M)).collect();
    let hair = hair(&own, &surface.parts);
    let mut known = own.clone();
    if options.symmetry {
        for (known, mirror) in known.iter_mut().zip(&surface.mirror) {
            let mut other = Known::blend(mirror, &own);
            other.weight *= MIRRORED;
            *known = known.over(&other);
        }
    }
    let usual = if options.symmetry { usual(&surface.rows, &known) } else { Vec::new() };
    let wish = |v: usize| {
        let (known, part) = (&known[v], &surface.parts[v]);
        let mut wish = Wish { weight: SEEN * known.weight * known.weight, value: known.color };
        let hidden = 1.0 - known.weight;
        if let Some(hair) = hair {
            wish.add(HAIR * part.scalp * hidden * hidden, hair);
        }
        if let Some(usual) = usual.get(v) {
            wish.add(USUAL * hidden * hidden * usual.weight * (1.0 - part.head).max(0.0), usual.color);
        }
        wish
    };
    let wishes: Vec<Wish<3>> = (0..known.len()).map(wish).collect();
    let mut colors = nearest(&surface.graph, &wishes, 0.3 * SEEN);
    spread(&surface.graph, &wishes, &mut colors, SWEEPS);
    Fill { seen: own.iter().map(|k| k.weight).collect(), colors, hair }
}

/// The colour of hair: the median of what is seen of the skull behind the hairline.
fn hair(own: &[Known], parts: &[Part]) -> Option<[f32; 3]> {
    let seen: Vec<[f32; 3]> = own
        .iter()
        .zip(parts)
        .filter(|(known, part)| known.weight > 0.3 && part.scalp > 0.6)
        .map(|(known, _)| known.color)
        .collect();
    let median = |k: usize| {
        let mut channel: Vec<f32> = seen.iter().map(|c| c[k]).collect();
        let middle = channel.len() / 2;
        *channel.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    (seen.len() >= 12).then(|| std::array::from_fn(median))
}

/// For each vertex the usual colour of the slice of its limb: the middle third, by brightness, of what is known of it. A
/// print or a zip is not in it, a stripe that goes round is.
fn usual(rows: &Table, known: &[Known]) -> Vec<Known> {
    let bright = |c: &[f32; 3]| 0.3 * c[0] + 0.6 * c[1] + 0.1 * c[2];
    let mut row: Vec<(f32, Known)> = Vec::new();
    let usual = |v: usize| {
        let seen = rows.of(v).iter().map(|u| known[*u as usize]).filter(|k| k.weight > 0.2);
        row.clear();
        row.extend(seen.map(|k| (bright(&k.color), k)));
        row.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total: f32 = row.iter().map(|(_, k)| k.weight).sum();
        let (mut middle, mut sum) = (Known::default(), 0.0_f32);
        for (_, known) in &row {
            let from = sum.max(total / 3.0);
            sum += known.weight;
            let inside = sum.min(total * 2.0 / 3.0) - from;
            middle.add(&Known { weight: 1.0, ..*known }, inside.max(0.0));
        }
        Known { weight: (total / 3.0).min(1.0), ..middle }
    };
    (0..known.len()).map(usual).collect()
}

/// Weights between which a colour that a point sees itself takes over from the vertices'.
const TAKES_OVER: [f32; 2] = [0.1, 0.5];
/// Size of the patch whose mean colour a point takes, in its standard deviations.
const PATCH_SIGMAS: f32 = 1.2;

/// The points' colours and how much of each is seen by itself.
pub(crate) fn paint(
    body: &Body<'_>,
    looks: &Looks<'_>,
    fill: &Fill,
    points: &Points,
    options: &Options,
) -> Vec<Known> {
    let mirrors: Vec<(Vec3, Vec3)> = if options.symmetry {
        let mirrors = body.surface.mirror.iter();
        mirrors.map(|m| (m.of(&looks.vertices), m.of(&looks.normals))).collect()
    } else {
        Vec::new()
    };
    let paint = |(place, scales): (&Place, &[f32; 3])| {
        let across = PATCH_SIGMAS * scales[0];
        let look = |p: Vec3, n: Vec3| {
            let known = looks.look(p, n.normalize_or(Vec3::Z), across);
            Known { weight: smoothstep(TAKES_OVER[0], TAKES_OVER[1], known.weight), ..known }
        };
        let own = look(place.of(&looks.vertices), place.of(&looks.normals));
        let mut color = own;
        if color.weight < 1.0 && !mirrors.is_empty() {
            let corners = place.vertices.iter().zip(place.shares);
            let (p, n) = corners.fold((Vec3::ZERO, Vec3::ZERO), |(p, n), (v, share)| {
                let (at, normal) = mirrors[*v as usize];
                (p + at * share, n + normal * share)
            });
            color = color.over(&look(p, n));
        }
        let corners = place.vertices.map(|v| Vec3::from_array(fill.colors[v as usize]));
        let rest: Vec3 = corners.iter().zip(place.shares).map(|(c, s)| *c * s).sum();
        color = color.over(&Known { color: rest.to_array(), weight: 1.0 });
        Known { color: color.color.map(|c| c.clamp(0.0, 1.0)), weight: own.weight }
    };
    points.places.iter().zip(&points.scales).map(paint).collect()
}
