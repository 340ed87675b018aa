//! The body that all persons are made from, with what is measured once.

use crate::{Result, vec3};
use glam::Vec3;
use smplx::{BodyModel, Frame, N_JOINTS};

/// The embedded body at rest and its measures.
#[derive(Debug)]
pub struct Template {
    /// The body model.
    pub model: BodyModel,
    /// `[V]` vertices of the mean shape at rest (arms level), in metres.
    pub rest: Vec<Vec3>,
    /// `[V]` their unit normals.
    pub normals: Vec<Vec3>,
    /// Triangles of the skin and the eyeballs; teeth and tongue stay inside.
    pub faces: Vec<[u32; 3]>,
    /// `[V]` Is it part of an eyeball?
    pub eye: Vec<bool>,
    /// `[V]` which part of the body a vertex belongs to, see [`part_of_joint`].
    pub part: Vec<u8>,
    /// `[V]` how open the surface is around a vertex: 1 on the plain, less in hollows.
    pub open: Vec<f32>,
    /// Joints at rest.
    pub joints: [Vec3; N_JOINTS],
    /// The 51 landmarks of the face at rest: brows, nose, eyes, mouth.
    pub face: Vec<Vec3>,
    /// Height of the soles.
    pub ground: f32,
    /// Pairs of neighbours.
    edges: Vec<[u32; 2]>,
}

/// The part of the body that follows a joint: 0 head, 1 chest, 2 belly and pelvis, 3 and 4 left upper and lower arm, 5 and 6
/// right, 7 and 8 left thigh and shank, 9 and 10 right.
#[must_use]
pub fn part_of_joint(joint: usize) -> u8 {
    match joint {
        12 | 15 | 22..=24 => 0,
        9 | 13 | 14 => 1,
        16 => 3,
        18 | 20 | 25..=39 => 4,
        17 => 5,
        19 | 21 | 40.. => 6,
        1 => 7,
        4 | 7 | 10 => 8,
        2 => 9,
        5 | 8 | 11 => 10,
        _ => 2,
    }
}

/// Do two parts touch at rest, so that one can't shade the other?
#[must_use]
pub fn touching(a: u8, b: u8) -> bool {
    let (a, b) = (a.min(b), a.max(b));
    a == b
        || matches!(
            (a, b),
            (0, 1) | (1, 2) | (1, 3) | (1, 5) | (3, 4) | (5, 6) | (2, 7) | (2, 9) | (7, 8) | (9, 10)
        )
}

impl Template {
    /// Measures the embedded body.
    ///
    /// # Errors
    /// Never for the body that is embedded.
    pub fn new() -> Result<Self> {
        let model = BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?;
        let rest: Vec<Vec3> = model.v_template().iter().map(|v| vec3(*v)).collect();
        let n = rest.len();
        let joints = model.rest_joints(&[], &[])?.map(vec3);
        let posed = model.forward(&Frame::REST)?;
        let face = model.face_landmarks(&posed.vertices)?.into_iter().map(vec3).collect();
        let dominant: Vec<usize> = (0..n).map(|v| model.weights().dominant_joint(v)).collect();
        let eye: Vec<bool> = dominant.iter().map(|j| matches!(j, 23 | 24)).collect();
        let faces = visible(model.faces(), &eye);
        let mut edges: Vec<[u32; 2]> = faces
            .iter()
            .flat_map(|[a, b, c]| [[*a, *b], [*b, *c], [*c, *a]])
            .map(|[a, b]| [a.min(b), a.max(b)])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut normals = Vec::new();
        vertex_normals(&rest, &faces, &mut normals);
        let ground = rest.iter().map(|v| v.y).fold(f32::INFINITY, f32::min);
        let part = dominant.iter().map(|j| part_of_joint(*j)).collect();
        let mut template =
            Self { model, rest, normals, faces, eye, part, open: Vec::new(), joints, face, ground, edges };
        template.open = template.openness();
        Ok(template)
    }

    /// Averages each value with its neighbours', so many times.
    pub fn smooth(&self, values: &mut [f32], times: usize) {
        let mut sum = vec![0.0; values.len()];
        let mut count = vec![0.0_f32; values.len()];
        for _ in 0..times {
            sum.copy_from_slice(values);
            count.fill(1.0);
            for [a, b] in &self.edges {
                let (a, b) = (*a as usize, *b as usize);
                sum[a] += values[b];
                sum[b] += values[a];
                count[a] += 1.0;
                count[b] += 1.0;
            }
            for ((v, s), c) in values.iter_mut().zip(&sum).zip(&count) {
                *v = s / c;
            }
        }
    }

    /// How far each vertex lies below a smoothed copy of the surface, as openness.
    fn openness(&self) -> Vec<f32> {
        let mut axes = [0, 1, 2].map(|k| self.rest.iter().map(|v| v[k]).collect::<Vec<f32>>());
        axes.iter_mut().for_each(|values| self.smooth(values, 6));
        let mut open: Vec<f32> = (0..self.rest.len())
            .map(|v| {
                let smoothed = Vec3::new(axes[0][v], axes[1][v], axes[2][v]);
                let below = (smoothed - self.rest[v]).dot(self.normals[v]);
                (1.0 - 70.0 * below.max(0.0)).clamp(0.45, 1.0)
            })
            .collect();
        self.smooth(&mut open, 1);
        open
    }
}

/// Unit normals of vertices, outwards for triangles that are counter-clockwise from outside.
pub fn vertex_normals(vertices: &[Vec3], faces: &[[u32; 3]], out: &mut Vec<Vec3>) {
    out.clear();
    out.resize(vertices.len(), Vec3::ZERO);
    for f in faces {
        let [a, b, c] = f.map(|v| vertices[v as usize]);
        let n = (b - a).cross(c - a);
        f.iter().for_each(|v| out[*v as usize] += n);
    }
    out.iter_mut().for_each(|n| *n = n.normalize_or(Vec3::Z));
}

/// The largest connected piece and the eyes.
fn visible(faces: &[[u32; 3]], eye: &[bool]) -> Vec<[u32; 3]> {
    let mut group: Vec<u32> = (0..eye.len() as u32).collect();
    fn root(group: &mut [u32], mut v: u32) -> u32 {
        while group[v as usize] != v {
            group[v as usize] = group[group[v as usize] as usize];
            v = group[v as usize];
        }
        v
    }
    for [a, b, c] in faces {
        for other in [b, c] {
            let (a, b) = (root(&mut group, *a), root(&mut group, *other));
            group[a.max(b) as usize] = a.min(b);
        }
    }
    let mut count = vec![0_usize; eye.len()];
    for f in faces {
        count[root(&mut group, f[0]) as usize] += 1;
    }
    let skin = (0..count.len()).max_by_key(|v| count[*v]).unwrap_or(0) as u32;
    let mut keep = |f: &[u32; 3]| eye[f[0] as usize] || root(&mut group, f[0]) == skin;
    faces.iter().filter(|f| keep(f)).copied().collect()
}
