//! The points that the Python package appends to the 55 joints: 21 surface vertices, 51 face landmarks and, where
//! asked for, 17 contour landmarks that depend on how the head is turned.

use crate::error::{Error, Result};
use crate::kinematics::{PosedJoints, Rotations, world_rotation};
use crate::model::BodyModel;
use crate::rotation::Mat3;
use crate::skeleton::{N_JOINTS, NECK};

/// Points on the surface: a triangle and barycentric coordinates each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SurfacePoints {
    /// Triangle of each point.
    pub faces: Vec<u32>,
    /// Weights of the triangle's three corners.
    pub barycentric: Vec<[f32; 3]>,
}

/// Contour landmarks for 79 angles of the head about the vertical axis, 17 points each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contour {
    pub(crate) faces: Vec<[u32; 17]>,
    pub(crate) barycentric: Vec<[[f32; 3]; 17]>,
}

/// Rows of the contour table: 0..=39 for 0..=39 degrees, 40..=78 for -1..=-39 degrees.
pub(crate) const N_CONTOUR_ROWS: usize = 79;

/// Which landmarks to append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaceContour {
    /// Only the 51 that stay where they are.
    #[default]
    Without,
    /// The 17 of the contour too (`use_face_contour=True`).
    With,
}

impl BodyModel {
    /// All joints as the Python package returns them: the 55, the 21 extra ones, 51 landmarks, and 17 of the contour.
    ///
    /// `vertices`, `joints` and `rotations` are those of one posed frame.
    ///
    /// # Errors
    /// [`Error::NotInModel`] when the body lacks one of these tables, [`Error::Length`] for another number of vertices.
    pub fn all_joints(
        &self,
        vertices: &[[f32; 3]],
        joints: &PosedJoints,
        rotations: &Rotations<'_>,
        contour: FaceContour,
    ) -> Result<Vec<[f32; 3]>> {
        let mut all = joints.positions.to_vec();
        all.extend(self.extra_joints(vertices)?);
        all.extend(self.face_landmarks(vertices)?);
        if contour == FaceContour::With {
            all.extend(self.contour_landmarks(vertices, rotations)?);
        }
        Ok(all)
    }

    /// The 21 extra joints: [`crate::EXTRA_JOINT_NAMES`].
    ///
    /// # Errors
    /// [`Error::NotInModel`] for a body whose vertices for them aren't known.
    pub fn extra_joints(&self, vertices: &[[f32; 3]]) -> Result<[[f32; 3]; 21]> {
        self.check_vertices(vertices)?;
        let extra = self.extra_vertices.ok_or(Error::NotInModel { what: "extra joints" })?;
        Ok(extra.map(|v| vertices[v as usize]))
    }

    /// The 51 face landmarks: iBUG 68 without the contour.
    ///
    /// # Errors
    /// [`Error::NotInModel`] for a body without landmarks.
    pub fn face_landmarks(&self, vertices: &[[f32; 3]]) -> Result<Vec<[f32; 3]>> {
        self.check_vertices(vertices)?;
        let points = self.landmarks.as_ref().ok_or(Error::NotInModel { what: "face landmarks" })?;
        let faces = points.faces.iter().zip(&points.barycentric);
        Ok(faces.map(|(face, weights)| self.surface_point(vertices, *face, *weights)).collect())
    }

    /// The 17 contour landmarks for the head's turn in this pose.
    ///
    /// # Errors
    /// [`Error::NotInModel`] for a body without a contour table.
    pub fn contour_landmarks(
        &self,
        vertices: &[[f32; 3]],
        rotations: &Rotations<'_>,
    ) -> Result<[[f32; 3]; 17]> {
        self.check_vertices(vertices)?;
        let contour = self.contour.as_ref().ok_or(Error::NotInModel { what: "face contour" })?;
        let row = contour_row(&world_rotation(NECK, &self.parents, &rotations.matrices()));
        let (faces, weights) = (&contour.faces[row], &contour.barycentric[row]);
        Ok(std::array::from_fn(|i| self.surface_point(vertices, faces[i], weights[i])))
    }

    /// The point with these barycentric coordinates on triangle `face`.
    fn surface_point(&self, vertices: &[[f32; 3]], face: u32, weights: [f32; 3]) -> [f32; 3] {
        let corners = self.faces[face as usize].map(|v| vertices[v as usize]);
        std::array::from_fn(|i| {
            corners[0][i] * weights[0] + corners[1][i] * weights[1] + corners[2][i] * weights[2]
        })
    }

    pub(crate) fn check_vertices(&self, vertices: &[[f32; 3]]) -> Result<()> {
        if vertices.len() == self.n_vertices {
            return Ok(());
        }
        Err(Error::Length { what: "vertices", expected: self.n_vertices, found: vertices.len() })
    }
}

/// Row of the contour table for the neck's rotation in the world: whole degrees about y, at most 39 either way.
fn contour_row(neck: &Mat3) -> usize {
    let angle = (-neck[2][0]).atan2((neck[0][0] * neck[0][0] + neck[1][0] * neck[1][0]).sqrt());
    let degrees = (-angle.to_degrees()).min(39.0).round_ties_even().max(-39.0);
    if degrees < 0.0 { (39.0 - degrees) as usize } else { degrees as usize }
}

const _: () = assert!(N_JOINTS == 55 && N_CONTOUR_ROWS == 79);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::rodrigues;

    #[test]
    fn contour_rows_of_a_turning_head() {
        let row = |degrees: f32| contour_row(&rodrigues([0.0, degrees.to_radians(), 0.0]));
        assert_eq!([row(0.0), row(-10.0), row(-39.0), row(-80.0)], [0, 10, 39, 39]);
        assert_eq!([row(1.0), row(39.0), row(80.0)], [40, 78, 78]);
    }
}
