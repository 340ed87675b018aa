//! Which vertices each point follows.

use super::{KdTree, SurfaceTree};
use crate::error::{Error, Result};
use crate::model::{BodyModel, check_finite};
use crate::weights::{SparseWeights, VertexWeight};
use rayon::prelude::*;

/// For each point up to three vertices of the body and their shares.
#[derive(Clone, Debug, PartialEq)]
pub struct PointBinding {
    /// `[N]` vertices; unused ones repeat the first.
    pub vertices: Vec<[u32; 3]>,
    /// `[N]` shares; they sum to one.
    pub shares: Vec<[f32; 3]>,
}

impl PointBinding {
    /// Each point follows one vertex.
    #[must_use]
    pub fn from_vertices(vertices: &[u32]) -> Self {
        Self {
            vertices: vertices.iter().map(|v| [*v; 3]).collect(),
            shares: vec![[1.0, 0.0, 0.0]; vertices.len()],
        }
    }

    /// Each point follows the vertex nearest to it: what the reference does, with LHM's own dense points and the
    /// template at rest.
    ///
    /// # Errors
    /// When there are no vertices or something isn't finite.
    pub fn nearest_vertex(points: &[[f32; 3]], vertices: &[[f32; 3]]) -> Result<Self> {
        check_finite("points", points.as_flattened())?;
        check_finite("vertices", vertices.as_flattened())?;
        let tree = KdTree::new(vertices);
        let nearest: Option<Vec<u32>> = points.par_iter().map(|p| tree.nearest(*p).map(|(v, _)| v)).collect();
        let nearest = nearest.ok_or(Error::NotInModel { what: "vertices" })?;
        Ok(Self::from_vertices(&nearest))
    }

    /// Each point follows the corners of the triangle nearest to it, by the barycentric coordinates of the nearest point.
    ///
    /// # Errors
    /// When there are no triangles or something isn't finite.
    pub fn nearest_surface(points: &[[f32; 3]], vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Result<Self> {
        check_finite("points", points.as_flattened())?;
        check_finite("vertices", vertices.as_flattened())?;
        let tree = SurfaceTree::new(vertices, faces);
        let hits: Option<Vec<_>> = points
            .par_iter()
            .map(|p| tree.nearest(*p).map(|hit| (faces[hit.face as usize], hit.barycentric)))
            .collect();
        let (vertices, shares) = hits.ok_or(Error::NotInModel { what: "triangles" })?.into_iter().unzip();
        Ok(Self { vertices, shares })
    }

    /// N.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vertices.len()
    }

    /// Are there no points?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }

    /// The vertex with the largest share of each point.
    #[must_use]
    pub fn main_vertices(&self) -> Vec<u32> {
        let best = |(v, s): (&[u32; 3], &[f32; 3])| {
            let at = (1..3).fold(0, |best, i| if s[i] > s[best] { i } else { best });
            v[at]
        };
        self.vertices.iter().zip(&self.shares).map(best).collect()
    }

    /// Which points follow (mainly) one of these vertices: hands, face, constrained parts.
    #[must_use]
    pub fn follows_any(&self, vertices: &[u32]) -> Vec<bool> {
        let set: std::collections::BTreeSet<u32> = vertices.iter().copied().collect();
        self.main_vertices().iter().map(|v| set.contains(v)).collect()
    }

    /// The points' skinning weights.
    ///
    /// # Errors
    /// When a vertex isn't in the model.
    pub fn weights(&self, model: &BodyModel) -> Result<SparseWeights> {
        self.check(model)?;
        let mut weights = SparseWeights::new();
        let mut sum = [0.0; crate::N_JOINTS];
        for (vertices, shares) in self.vertices.iter().zip(&self.shares) {
            if shares[1] == 0.0 && shares[2] == 0.0 && shares[0] == 1.0 {
                weights.push(model.weights.get(vertices[0] as usize).iter().copied());
                continue;
            }
            sum.fill(0.0);
            for (v, share) in vertices.iter().zip(shares) {
                for w in model.weights.get(*v as usize) {
                    sum[usize::from(w.joint)] += share * w.weight;
                }
            }
            weights.push((0..).zip(sum).map(|(joint, weight)| VertexWeight { joint, weight }));
        }
        Ok(weights)
    }

    /// How far shape coefficients move each point.
    ///
    /// # Errors
    /// When a vertex isn't in the model, or there are more coefficients than components.
    pub fn shape_offsets(&self, model: &BodyModel, betas: &[f32]) -> Result<Vec<[f32; 3]>> {
        self.offsets(model, betas.len(), model.n_betas(), "betas", |v| {
            blend_directions(betas, |c| model.shape_direction(v, c))
        })
    }

    /// How far expression coefficients move each point.
    ///
    /// # Errors
    /// As [`PointBinding::shape_offsets`].
    pub fn expression_offsets(&self, model: &BodyModel, expression: &[f32]) -> Result<Vec<[f32; 3]>> {
        let (n, available) = (expression.len(), model.n_expressions());
        self.offsets(model, n, available, "expression coefficients", |v| {
            blend_directions(expression, |c| model.expression_direction(v, c))
        })
    }

    fn offsets(
        &self,
        model: &BodyModel,
        found: usize,
        available: usize,
        what: &'static str,
        of_vertex: impl Fn(usize) -> [f32; 3] + Sync,
    ) -> Result<Vec<[f32; 3]>> {
        self.check(model)?;
        if found > available {
            return Err(Error::TooMany { what, available, found });
        }
        let of_point = |(vertices, shares): (&[u32; 3], &[f32; 3])| {
            let mut sum = [0.0; 3];
            for (v, share) in vertices.iter().zip(shares).filter(|(_, share)| **share != 0.0) {
                let d = of_vertex(*v as usize);
                sum = std::array::from_fn(|i| sum[i] + share * d[i]);
            }
            sum
        };
        Ok(self.vertices.par_iter().zip(&self.shares).map(of_point).collect())
    }

    pub(super) fn check(&self, model: &BodyModel) -> Result<()> {
        if self.shares.len() != self.vertices.len() {
            let (expected, found) = (self.vertices.len(), self.shares.len());
            return Err(Error::Length { what: "shares", expected, found });
        }
        let n = model.n_vertices();
        match self.vertices.as_flattened().iter().position(|v| *v as usize >= n) {
            None => Ok(()),
            Some(index) => Err(Error::Value {
                array: "binding".to_owned(),
                index,
                problem: format!("there is no vertex {}", self.vertices.as_flattened()[index]),
            }),
        }
    }
}

fn blend_directions(coefficients: &[f32], direction: impl Fn(usize) -> [f32; 3]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for (c, coefficient) in coefficients.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        let d = direction(c);
        sum = std::array::from_fn(|i| sum[i] + coefficient * d[i]);
    }
    sum
}
