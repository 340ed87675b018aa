//! What baking knows about a body before it sees a picture: neighbours, mirror images, opposite sides, parts.

use crate::{Error, Result};
use glam::Vec3;
use smplx::{BodyModel, Frame, Rotations, SurfaceTree};

/// A place on the surface: the corners of a triangle and their shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) vertices: [u32; 3],
    pub(crate) shares: [f32; 3],
}

impl Place {
    /// The blend of the corners' values.
    pub(crate) fn of<T>(&self, values: &[T]) -> T
    where
        T: Copy + std::ops::Mul<f32, Output = T> + std::ops::Add<Output = T>,
    {
        let [a, b, c] = self.vertices.map(|v| values[v as usize]);
        let [u, v, w] = self.shares;
        a * u + b * v + c * w
    }
}

/// How much a vertex follows the parts that baking treats apart, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Part {
    /// Head and jaw.
    pub(crate) head: f32,
    /// An eyeball.
    pub(crate) eye: f32,
    /// A hand.
    pub(crate) hand: f32,
    /// A foot.
    pub(crate) foot: f32,
    /// The front of the face: no hair and no cloth lies over it.
    pub(crate) face: f32,
    /// Where hair grows, to the nape.
    pub(crate) scalp: f32,
}

/// A body's surface with its relations, all of them independent of shape and pose. `[V]` each.
#[derive(Debug)]
pub(crate) struct Surface {
    /// The triangles that can be seen: skin and eyeballs, not teeth and tongue.
    pub(crate) faces: Vec<[u32; 3]>,
    pub(crate) graph: Table,
    /// The mirror image about the body's middle.
    pub(crate) mirror: Vec<Place>,
    /// The vertices of the slice across the limb in which a vertex lies.
    pub(crate) rows: Table,
    pub(crate) parts: Vec<Part>,
}

/// For each vertex some others.
#[derive(Debug)]
pub(crate) struct Table {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl Table {
    /// The neighbours along edges.
    fn neighbours(n: usize, faces: &[[u32; 3]]) -> Self {
        let mut edges: Vec<(u32, u32)> = faces
            .iter()
            .flat_map(|[a, b, c]| [(a, b), (b, a), (b, c), (c, b), (c, a), (a, c)])
            .map(|(a, b)| (*a, *b))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut starts = vec![0_u32; n + 1];
        for (a, _) in &edges {
            starts[*a as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        Self { starts, ends: edges.into_iter().map(|(_, b)| b).collect() }
    }

    pub(crate) fn of(&self, vertex: usize) -> &[u32] {
        &self.ends[self.starts[vertex] as usize..self.starts[vertex + 1] as usize]
    }
}

impl Surface {
    pub(crate) fn new(model: &BodyModel) -> Result<Self> {
        let pose = smplx::neutral_pose();
        let posed = model.forward(&Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST })?;
        let vertices: Vec<Vec3> = posed.vertices.iter().copied().map(Vec3::from_array).collect();
        let joints = posed.joints.positions.map(Vec3::from_array);
        let shares = |v: usize, wanted: &dyn Fn(u16) -> bool| -> f32 {
            model.weights().get(v).iter().filter(|w| wanted(w.joint)).map(|w| w.weight).sum()
        };
        let eye: Vec<f32> = (0..vertices.len()).map(|v| shares(v, &|j| matches!(j, 23 | 24))).collect();
        let faces = visible(model.faces(), &eye);
        if faces.is_empty() {
            return Err(Error::NoSurface);
        }
        let normals = normals(&vertices, &faces);
        let eyes = (joints[23] + joints[24]) / 2.0;
        let parts = (0..vertices.len())
            .map(|v| {
                let head = shares(v, &|j| matches!(j, 15 | 22));
                let relative = vertices[v] - eyes;
                Part {
                    head,
                    eye: eye[v],
                    hand: shares(v, &|j| matches!(j, 20 | 21 | 25..)),
                    foot: shares(v, &|j| matches!(j, 7 | 8 | 10 | 11)),
                    face: head * face(relative, normals[v]),
                    scalp: head * scalp(relative),
                }
            })
            .collect();
        let mirror = mirrored(&vertices, &faces)?;
        let rows = rows(model, &vertices);
        let graph = Table::neighbours(vertices.len(), &faces);
        Ok(Self { faces, graph, mirror, rows, parts })
    }
}

/// How much a place of the head, seen from between the eyes, belongs to the front of the face.
fn face(from_eyes: Vec3, normal: Vec3) -> f32 {
    let height = smoothstep(0.055, 0.035, from_eyes.y) * smoothstep(-0.15, -0.12, from_eyes.y);
    height * smoothstep(0.15, 0.45, normal.z) * smoothstep(-0.075, -0.05, from_eyes.z)
}

/// How much hair grows at a place of the head: the hairline is high over the forehead, lower at the temples, lowest at
/// the nape.
fn scalp(from_eyes: Vec3) -> f32 {
    let (up, back) = (from_eyes.y, -from_eyes.z);
    let line = 0.065 - 0.07 * smoothstep(0.015, 0.075, back) - 0.09 * smoothstep(0.08, 0.13, back);
    smoothstep(-0.012, 0.012, up - line)
}

/// 0 up to `from`, 1 from `to` on, smooth between; `from` may be the larger.
pub(crate) fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Unit normals of the vertices, outwards where triangles are counter-clockwise from outside.
pub(crate) fn normals(vertices: &[Vec3], faces: &[[u32; 3]]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; vertices.len()];
    for face in faces {
        let [a, b, c] = face.map(|v| vertices[v as usize]);
        let n = (b - a).cross(c - a);
        face.iter().for_each(|v| normals[*v as usize] += n);
    }
    normals.into_iter().map(|n| n.normalize_or(Vec3::Z)).collect()
}

/// The faces of the largest connected part and of the eyeballs.
fn visible(faces: &[[u32; 3]], eye: &[f32]) -> Vec<[u32; 3]> {
    let mut group: Vec<usize> = (0..eye.len()).collect();
    fn root(group: &mut [usize], mut v: usize) -> usize {
        while group[v] != v {
            group[v] = group[group[v]];
            v = group[v];
        }
        v
    }
    for [a, b, c] in faces {
        for other in [b, c] {
            let (a, b) = (root(&mut group, *a as usize), root(&mut group, *other as usize));
            group[a.max(b)] = a.min(b);
        }
    }
    let mut count = vec![0_usize; eye.len()];
    for f in faces {
        count[root(&mut group, f[0] as usize)] += 1;
    }
    let skin = (0..count.len()).rev().max_by_key(|v| count[*v]).unwrap_or(0);
    let mut keep = |f: &[u32; 3]| eye[f[0] as usize] > 0.5 || root(&mut group, f[0] as usize) == skin;
    faces.iter().filter(|f| keep(f)).copied().collect()
}

/// For each vertex the place nearest to its mirror image.
fn mirrored(vertices: &[Vec3], faces: &[[u32; 3]]) -> Result<Vec<Place>> {
    let plain: Vec<[f32; 3]> = vertices.iter().map(Vec3::to_array).collect();
    let tree = SurfaceTree::new(&plain, faces);
    let place = |v: &[f32; 3]| {
        let hit = tree.nearest([-v[0], v[1], v[2]])?;
        Some(Place { vertices: faces[hit.face as usize], shares: hit.barycentric })
    };
    plain.iter().map(|v| place(v).ok_or(Error::NoSurface)).collect()
}

/// For each vertex the vertices of the slice of its limb in which it lies, at most [`ROW_MAX`] of them; none for the head.
fn rows(model: &BodyModel, vertices: &[Vec3]) -> Table {
    // Arms lie along x in the neutral pose, everything else along y.
    let limb = |v: usize| match model.weights().dominant_joint(v) {
        16 | 18 | 20 | 25..40 => Some((0, vertices[v].x, 0.14)),
        17 | 19 | 21 | 40.. => Some((1, vertices[v].x, 0.14)),
        1 | 4 | 7 | 10 => Some((2, vertices[v].y, 0.20)),
        2 | 5 | 8 | 11 => Some((3, vertices[v].y, 0.20)),
        15 | 22..25 => None,
        _ => Some((4, vertices[v].y, 0.30)),
    };
    let mut sorted: Vec<(usize, f32, u32)> =
        (0..vertices.len()).filter_map(|v| limb(v).map(|(limb, along, _)| (limb, along, v as u32))).collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut table = Table { starts: vec![0], ends: Vec::new() };
    for v in 0..vertices.len() {
        if let Some((limb, along, reach)) = limb(v) {
            let key = |l: usize, a: f32| sorted.partition_point(|s| (s.0, s.1) < (l, a));
            let slice = &sorted[key(limb, along - ROW_HALF)..key(limb, along + ROW_HALF)];
            let near =
                slice.iter().filter(|s| vertices[s.2 as usize].distance_squared(vertices[v]) < reach * reach);
            let step = near.clone().count().div_ceil(ROW_MAX).max(1);
            table.ends.extend(near.step_by(step).map(|s| s.2));
        }
        table.starts.push(table.ends.len() as u32);
    }
    table
}

/// Half the thickness of a slice, in metres.
const ROW_HALF: f32 = 0.012;
/// Most vertices of a slice that are looked at.
const ROW_MAX: usize = 48;

/// A row of `n` vertices, each beside the next.
#[cfg(test)]
pub(crate) fn strip_graph(n: usize) -> Table {
    let faces: Vec<[u32; 3]> = (1..n as u32).map(|i| [i - 1, i, i]).collect();
    let mut graph = Table::neighbours(n, &faces);
    // Triangles without area name a vertex twice: take out the edges to itself.
    let rows: Vec<Vec<u32>> =
        (0..n).map(|v| graph.of(v).iter().copied().filter(|e| *e as usize != v).collect()).collect();
    graph.ends = rows.concat();
    graph.starts = std::iter::once(0)
        .chain(rows.iter().scan(0, |sum, r| {
            *sum += r.len() as u32;
            Some(*sum)
        }))
        .collect();
    graph
}
