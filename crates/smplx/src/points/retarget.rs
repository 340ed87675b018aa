//! An avatar made on one body, animated with another: no betas, vertices or topology in common.
//!
//! The other body is posed into the avatar's neutral pose and its proportions are fitted to the avatar's query points;
//! each point takes its weights from the nearest point of that surface. To the zero pose the points go with the avatar's
//! own transforms; from there on with the joints of the fitted body.

use super::skin::{AvatarPoints, PointSkin, neutral_pose};
use super::{PointBinding, SurfaceTree};
use crate::affine::linear;
use crate::error::{Error, Result};
use crate::forward::Frame;
use crate::kinematics::Rotations;
use crate::model::{BodyModel, check_finite};
use crate::rotation::{apply, dot};
use rayon::prelude::*;

/// An avatar bound to a body that it wasn't made on.
#[derive(Clone, Debug)]
pub struct Retarget {
    /// The points, ready to be posed.
    pub skin: PointSkin,
    /// Shape coefficients of the body that fit the avatar's proportions.
    pub betas: Vec<f32>,
    /// Root mean square distance of the query points from the fitted surface, in metres.
    pub rms_m: f32,
}

impl Retarget {
    /// Fits the body's proportions to the avatar and binds its points to the surface.
    ///
    /// # Errors
    /// When lengths disagree, something isn't finite, or the body has no triangles.
    pub fn new(model: &BodyModel, avatar: &AvatarPoints<'_>) -> Result<Self> {
        avatar.check(avatar.query.len())?;
        let betas = fit_proportions(model, avatar.query)?;
        let pose = neutral_pose();
        let frame = Frame { betas: &betas, rotations: Rotations::AxisAngle(&pose), ..Frame::REST };
        let neutral = model.forward(&frame)?.vertices;
        let binding = PointBinding::nearest_surface(avatar.query, &neutral, model.faces())?;
        let distance2 = binding.vertices.iter().zip(&binding.shares).zip(avatar.query).map(|((v, s), q)| {
            let p = std::array::from_fn(|k| (0..3).map(|i| neutral[v[i] as usize][k] * s[i]).sum());
            f64::from(super::kd_tree::distance2(p, *q))
        });
        let rms_m = (distance2.sum::<f64>() / avatar.query.len().max(1) as f64).sqrt() as f32;
        let joints = model.rest_joints(&betas, &[])?;
        Ok(Self { skin: PointSkin::with_joints(model, binding, avatar, joints)?, betas, rms_m })
    }

    /// Binds points whose places on the surface and whose shape are known: nothing is fitted or searched.
    ///
    /// The query points have to carry the shape already: they lie on the body with these betas in the neutral pose, and
    /// `avatar.neutral_to_zero` belongs to the same betas.
    ///
    /// # Errors
    /// When lengths disagree, a vertex doesn't exist, there are more betas than components, or something isn't finite.
    pub fn bound(
        model: &BodyModel,
        binding: PointBinding,
        avatar: &AvatarPoints<'_>,
        betas: &[f32],
    ) -> Result<Self> {
        let joints = model.rest_joints(betas, &[])?;
        let skin = PointSkin::with_joints(model, binding, avatar, joints)?;
        Ok(Self { skin, betas: betas.to_vec(), rms_m: 0.0 })
    }
}

/// Rounds of nearest points and least squares.
const ROUNDS: usize = 6;
/// Query points used for the fit at most.
const FIT_POINTS: usize = 4000;
/// Points further than this from the surface don't take part (hair, skirts), in metres.
const FAR_M: f32 = 0.12;
/// Standard deviation of a point's distance from the surface that the fit reckons with, in metres. Against it stands one
/// unit for each shape coefficient.
const SPREAD_M: f64 = 0.15;

/// Shape coefficients with which a body in the neutral pose comes nearest to the points.
///
/// Distances are taken along the surface's normal; coefficients are held near zero.
///
/// # Errors
/// When the body has no triangles or a point isn't finite.
pub fn fit_proportions(model: &BodyModel, query: &[[f32; 3]]) -> Result<Vec<f32>> {
    check_finite("query points", query.as_flattened())?;
    let n = model.n_betas().min(20);
    let mut betas = vec![0.0_f32; n];
    let points: Vec<[f32; 3]> =
        query.iter().step_by(query.len().div_ceil(FIT_POINTS).max(1)).copied().collect();
    let pose = neutral_pose();
    for _ in 0..ROUNDS {
        let frame = Frame { betas: &betas, rotations: Rotations::AxisAngle(&pose), ..Frame::REST };
        let posed = model.forward(&frame)?;
        let tree = SurfaceTree::new(&posed.vertices, model.faces());
        // Each row: the change of the distance along the normal by each coefficient, and the distance.
        let rows: Option<Vec<Vec<f64>>> = points
            .par_iter()
            .map(|q| {
                let hit = tree.nearest(*q)?;
                let face = model.faces()[hit.face as usize];
                let corners = face.map(|v| posed.vertices[v as usize]);
                let normal = normal(corners);
                let at: [f32; 3] =
                    std::array::from_fn(|k| (0..3).map(|i| corners[i][k] * hit.barycentric[i]).sum());
                let gap = std::array::from_fn(|k| q[k] - at[k]);
                if hit.distance2 > FAR_M * FAR_M || normal == [0.0; 3] {
                    return Some(Vec::new());
                }
                let mut row: Vec<f64> = (0..n)
                    .map(|c| {
                        let moved: f32 = (0..3)
                            .map(|i| {
                                let vertex = face[i] as usize;
                                let d = turned(model, &posed.joints.transforms, vertex, c);
                                hit.barycentric[i] * dot(normal, d)
                            })
                            .sum();
                        f64::from(moved)
                    })
                    .collect();
                row.push(f64::from(dot(normal, gap)));
                Some(row)
            })
            .collect();
        let rows = rows.ok_or(Error::NotInModel { what: "triangles" })?;
        let step = least_squares(&rows, &betas);
        for (beta, step) in betas.iter_mut().zip(step) {
            *beta = (*beta + step as f32).clamp(-5.0, 5.0);
        }
    }
    Ok(betas)
}

/// How a vertex of the posed body moves by one unit of a shape component, its joints held where they are.
fn turned(model: &BodyModel, transforms: &[crate::Affine], vertex: usize, component: usize) -> [f32; 3] {
    let d = model.shape_direction(vertex, component);
    let mut out = [0.0; 3];
    for w in model.weights().get(vertex) {
        let t = apply(&linear(&transforms[usize::from(w.joint)]), d);
        out = std::array::from_fn(|k| out[k] + w.weight * t[k]);
    }
    out
}

/// Unit normal of a triangle; zero where it has no area.
fn normal([a, b, c]: [[f32; 3]; 3]) -> [f32; 3] {
    let (u, v): ([f32; 3], [f32; 3]) =
        (std::array::from_fn(|k| b[k] - a[k]), std::array::from_fn(|k| c[k] - a[k]));
    let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    let length = dot(n, n).sqrt();
    if length > 1e-12 { n.map(|x| x / length) } else { [0.0; 3] }
}

/// The step that minimises `Σ (row · step − gap)² / SPREAD² + |betas + step|²`.
fn least_squares(rows: &[Vec<f64>], betas: &[f32]) -> Vec<f64> {
    let n = betas.len();
    let mut matrix = vec![vec![0.0; n]; n];
    let mut right: Vec<f64> = betas.iter().map(|b| -f64::from(*b)).collect();
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    for row in rows.iter().filter(|r| r.len() == n + 1) {
        for i in 0..n {
            right[i] += row[i] * row[n] / (SPREAD_M * SPREAD_M);
            for j in 0..n {
                matrix[i][j] += row[i] * row[j] / (SPREAD_M * SPREAD_M);
            }
        }
    }
    solve(matrix, right)
}

/// Solves a symmetric positive definite system by elimination without pivots.
pub(super) fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for i in 0..n {
        for j in i + 1..n {
            let factor = matrix[j][i] / matrix[i][i];
            for k in i..n {
                matrix[j][k] -= factor * matrix[i][k];
            }
            right[j] -= factor * right[i];
        }
    }
    for i in (0..n).rev() {
        for j in i + 1..n {
            right[i] -= matrix[i][j] * right[j];
        }
        right[i] /= matrix[i][i];
    }
    right
}
