//! What is measured once of a body: the part that each vertex belongs to, and where its soles are.

use crate::Result;
use crate::vec3;
use glam::Vec3;
use smplx::{Affine, BodyModel, Frame, PosedJoints};

/// Number of parts: what is worn on left and right is taken as the same.
pub const N_PARTS: usize = 10;

/// Rounds of averaging over neighbours.
const SMOOTHINGS: usize = 6;

/// Names of the parts.
pub const PART_NAMES: [&str; N_PARTS] =
    ["face and neck", "hair", "chest", "hips", "upper arms", "forearms", "hands", "thighs", "shanks", "feet"];

/// The part of each of a body's vertices, and its triangles' share of the surface.
#[derive(Clone, Debug)]
pub struct BodyParts {
    part: Vec<u8>,
    faces: Vec<[u32; 3]>,
}

impl BodyParts {
    /// Measures a body.
    ///
    /// # Errors
    /// When the body can't be posed at rest.
    pub fn new(model: &BodyModel) -> Result<Self> {
        let rest = model.forward(&Frame::REST)?;
        let head = rest.joints.positions[15];
        let of_head = |v: usize| matches!(model.weights().dominant_joint(v), 15 | 22..=24);
        let heights = (0..model.n_vertices()).filter(|v| of_head(*v)).map(|v| rest.vertices[v][1]);
        let (low, high) =
            heights.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
        let brow = low + 0.66 * (high - low);
        let part = (0..model.n_vertices()).map(|v| {
            let [_, y, z] = rest.vertices[v];
            match model.weights().dominant_joint(v) {
                15 | 22..=24 if y > brow || z < head[2] - 0.01 => 1,
                12 | 15 | 22..=24 => 0,
                3 | 6 | 9 | 13 | 14 => 2,
                16 | 17 => 4,
                18 | 19 => 5,
                20 | 21 | 25.. => 6,
                1 | 2 => 7,
                4 | 5 => 8,
                7 | 8 | 10 | 11 => 9,
                _ => 3,
            }
        });
        Ok(Self { part: part.collect(), faces: model.faces().to_vec() })
    }

    /// The part of a vertex.
    #[must_use]
    pub fn of(&self, vertex: usize) -> usize {
        usize::from(self.part.get(vertex).copied().unwrap_or(3))
    }

    /// Unit normals of posed vertices, outwards, times a third of the area of the triangles around each.
    #[must_use]
    pub fn weighted_normals(&self, vertices: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let mut sums = vec![Vec3::ZERO; vertices.len()];
        for f in &self.faces {
            let Some([a, b, c]) = corners(vertices, f) else { continue };
            let n = (b - a).cross(c - a) / 6.0;
            f.iter().for_each(|v| sums[*v as usize] += n);
        }
        sums.into_iter().map(|n| n.to_array()).collect()
    }

    /// Unit normals without small detail: an avatar's face isn't the body's, and its features don't lie where the body's do.
    #[must_use]
    pub fn smooth_normals(&self, vertices: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let mut normals: Vec<Vec3> = self.normals(vertices).into_iter().map(vec3).collect();
        let of_head = |v: usize| self.of(v) <= 1;
        let head: Vec<Vec3> =
            (0..vertices.len()).filter(|v| of_head(*v)).map(|v| vec3(vertices[v])).collect();
        let middle = head.iter().sum::<Vec3>() / head.len().max(1) as f32;
        for (v, n) in normals.iter_mut().enumerate().filter(|(v, _)| of_head(*v)) {
            // A head is nearly a ball.
            *n = (*n * 0.25 + (vec3(vertices[v]) - middle).normalize_or(*n)).normalize_or(*n);
        }
        for _ in 0..SMOOTHINGS {
            let mut sums = normals.clone();
            for f in &self.faces {
                let mean: Vec3 = f.iter().map(|v| normals[*v as usize]).sum();
                f.iter().for_each(|v| sums[*v as usize] += mean);
            }
            for (n, s) in normals.iter_mut().zip(sums) {
                *n = s.normalize_or(*n);
            }
        }
        normals.into_iter().map(|n| n.to_array()).collect()
    }

    /// Unit normals of posed vertices, outwards.
    #[must_use]
    pub fn normals(&self, vertices: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let weighted = self.weighted_normals(vertices);
        weighted.into_iter().map(|n| vec3(n).normalize_or(Vec3::NEG_Z).to_array()).collect()
    }
}

fn corners(vertices: &[[f32; 3]], face: &[u32; 3]) -> Option<[Vec3; 3]> {
    let mut out = [Vec3::ZERO; 3];
    for (out, v) in out.iter_mut().zip(face) {
        *out = vec3(*vertices.get(*v as usize)?);
    }
    Some(out)
}

/// Places on the soles, and how they move with the feet.
#[derive(Clone, Copy, Debug)]
pub struct Soles {
    /// Joint, and the place on the body at rest: heel and ball of the left foot, then of the right.
    places: [(usize, [f32; 3]); 4],
}

impl Soles {
    /// Finds them on a body of a shape.
    ///
    /// # Errors
    /// When there are more betas than components.
    pub fn new(model: &BodyModel, betas: &[f32]) -> Result<Self> {
        let rest = model.shaped(betas, &[])?;
        let joints = model.rest_joints(betas, &[])?;
        let place = |joint: usize| {
            let near = (0..model.n_vertices())
                .filter(|v| model.weights().dominant_joint(*v) == joint)
                .map(|v| rest[v][1])
                .fold(f32::INFINITY, f32::min);
            let [x, y, z] = joints[joint];
            // Bodies without such vertices stand on the joint itself.
            (joint, [x, if near.is_finite() { near } else { y }, z])
        };
        Ok(Self { places: [place(7), place(10), place(8), place(11)] })
    }

    /// Where they are in a pose: heel and ball of the left foot, then of the right.
    #[must_use]
    pub fn posed(&self, joints: &PosedJoints, translation: [f32; 3]) -> [[f32; 3]; 4] {
        let moved = |transform: &Affine, p| {
            (vec3(smplx::transform_point(transform, p)) + vec3(translation)).to_array()
        };
        self.places.map(|(joint, p)| moved(&joints.transforms[joint], p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_soles_lie_where_they_should() {
        let model = BodyModel::from_bytes(anicrafter_assets::BODY.to_vec()).unwrap();
        let parts = BodyParts::new(&model).unwrap();
        let rest = model.forward(&Frame::REST).unwrap();
        let mut count = [0; N_PARTS];
        for v in 0..model.n_vertices() {
            count[parts.of(v)] += 1;
        }
        assert!(count.iter().all(|n| *n > 50), "{count:?}");
        let ground = rest.vertices.iter().map(|v| v[1]).fold(f32::INFINITY, f32::min);
        let soles = Soles::new(&model, &[]).unwrap().posed(&rest.joints, [0.0; 3]);
        assert!(soles.iter().all(|s| s[1] - ground < 0.03), "{soles:?} {ground}");
        assert!(soles[0][0] > 0.0 && soles[2][0] < 0.0 && soles[1][2] > soles[0][2]);
        // Outwards: away from the middle of the chest.
        let normals = parts.normals(&rest.vertices);
        let chest = vec3(rest.joints.positions[9]);
        let out = (0..model.n_vertices()).filter(|v| parts.of(*v) == 2);
        let facing = out.map(|v| (vec3(rest.vertices[v]) - chest).dot(vec3(normals[v])) > 0.0);
        let (n, right) = facing.fold((0, 0), |(n, right), f| (n + 1, right + usize::from(f)));
        assert!(right * 10 > n * 8, "{right} of {n}");
    }
}
