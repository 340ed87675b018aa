//! The `.npz` that SMPL-X's authors distribute: stored or deflated, f32 or f64, with object arrays that are skipped.
//!
//! Facts about its layout: `v_template [V,3]`, `shapedirs [V,3,400]` (300 shape, then 100 expression columns; older files
//! have 10 + 10, those with a locked head 16 or 300 shape columns alone), `posedirs [V,3,486]`, `J_regressor [55,V]`, `weights [V,55]`, `kintree_table [2,55]` (row 0 = parents,
//! 2³²−1 for the root), `f [F,3]`, hands and landmarks. `J_template [55,3]` with `J_shapedirs [55,3,S]`, which the
//! official file doesn't have, are used instead of the regressor where they exist.

use super::LoadOptions;
use super::source::Arrays;
use crate::error::{Error, Result};
use crate::landmarks::{Contour, N_CONTOUR_ROWS, SurfacePoints};
use crate::model::{BodyModel, JointSource, Parts};
use crate::skeleton::{N_JOINTS, N_POSE_FEATURES, OFFICIAL_EXTRA_VERTICES, OFFICIAL_N_VERTICES};
use crate::weights::{SparseWeights, VertexWeight};
use std::ops::Range;

/// Columns of a full `shapedirs`.
const FULL_SHAPE: usize = 300;
const FULL_EXPRESSION: usize = 100;
/// Shape columns of a short `shapedirs`, and as many expressions.
const SHORT_SHAPE: usize = 10;

pub(super) fn load(arrays: &Arrays<'_>, options: LoadOptions) -> Result<BodyModel> {
    let v_template = arrays.triples("v_template", None)?;
    let n = v_template.len();
    let faces = arrays.indices("f", &[None, Some(3)], n)?.as_chunks::<3>().0.to_vec();

    let view = arrays.view("shapedirs", &[Some(n), Some(3), None])?;
    let (shape_columns, expression_columns) = shape_space(view.shape()[2], options);
    let shape = arrays.directions("shapedirs", &view, n, shape_columns)?;
    let expression = arrays.directions("shapedirs", &view, n, expression_columns)?;
    drop(view);

    let view = arrays.view("posedirs", &[Some(n), Some(3), Some(N_POSE_FEATURES)])?;
    let pose = arrays.directions("posedirs", &view, n, 0..N_POSE_FEATURES)?;
    drop(view);
    let (pose, pose_columns) = pose.without_zero_columns();

    let joints = if arrays.has("J_template") {
        joint_table(arrays, shape.n_columns)?
    } else {
        JointSource::Regressor(arrays.f32("J_regressor", &[Some(N_JOINTS), Some(n)])?)
    };
    let mut weights = SparseWeights::new();
    for row in arrays.f32("weights", &[Some(n), Some(N_JOINTS)])?.as_chunks::<N_JOINTS>().0 {
        weights.push((0..).zip(row).map(|(joint, weight)| VertexWeight { joint, weight: *weight }));
    }
    BodyModel::from_parts(Parts {
        v_template,
        shape,
        expression,
        pose,
        pose_columns,
        weights,
        joints,
        parents: parents(arrays)?,
        hands: arrays.hands()?,
        extra_vertices: (n == OFFICIAL_N_VERTICES).then_some(OFFICIAL_EXTRA_VERTICES),
        landmarks: landmarks(arrays, faces.len())?,
        contour: contour(arrays, faces.len())?,
        faces,
    })
}

/// Which columns are shape and which expression.
fn shape_space(n_columns: usize, options: LoadOptions) -> (Range<usize>, Range<usize>) {
    let (shape, expression) = if n_columns == 2 * SHORT_SHAPE {
        (SHORT_SHAPE, SHORT_SHAPE)
    } else {
        // Bodies with a locked head have shape columns alone, 16 or 300.
        let shape = n_columns.min(FULL_SHAPE);
        (shape, (n_columns - shape).min(FULL_EXPRESSION))
    };
    (0..shape.min(options.max_betas), shape..shape + expression.min(options.max_expressions))
}

/// `J_template` and the first S columns of `J_shapedirs`.
pub(super) fn joint_table(arrays: &Arrays<'_>, n_shape: usize) -> Result<JointSource> {
    let template = arrays.f32("J_template", &[Some(N_JOINTS), Some(3)])?;
    let view = arrays.view("J_shapedirs", &[Some(N_JOINTS), Some(3), None])?;
    let stride = view.shape()[2];
    if stride < n_shape {
        return Err(Error::Shape {
            array: "J_shapedirs".to_owned(),
            expected: format!("[55, 3, {n_shape}] or more columns"),
            found: view.shape().to_vec(),
        });
    }
    let dirs = view.to_f32();
    let at = |j: usize, axis: usize, c: usize| dirs[(j * 3 + axis) * stride + c];
    let column = |c| std::array::from_fn(|j| std::array::from_fn(|axis| at(j, axis, c)));
    Ok(JointSource::Table {
        template: std::array::from_fn(|j| std::array::from_fn(|axis| template[j * 3 + axis])),
        shape: (0..n_shape).map(column).collect(),
    })
}

fn parents(arrays: &Arrays<'_>) -> Result<[Option<u8>; N_JOINTS]> {
    let name = "kintree_table";
    let table = arrays.i64(name, &[Some(2), Some(N_JOINTS)])?;
    let mut parents = [None; N_JOINTS];
    for (index, (parent, &value)) in parents.iter_mut().zip(&table[..N_JOINTS]).enumerate() {
        let is_root = index == 0 && (value == -1 || value == i64::from(u32::MAX));
        *parent = match u8::try_from(value) {
            _ if is_root => None,
            Ok(small) if usize::from(small) < N_JOINTS => Some(small),
            _ => {
                let problem = format!("{value} isn't the parent of a joint");
                return Err(Error::Value { array: name.to_owned(), index, problem });
            }
        };
    }
    Ok(parents)
}

pub(super) fn landmarks(arrays: &Arrays<'_>, n_faces: usize) -> Result<Option<SurfacePoints>> {
    if !arrays.has("lmk_faces_idx") {
        return Ok(None);
    }
    let faces = arrays.indices("lmk_faces_idx", &[None], n_faces)?;
    let barycentric = arrays.triples("lmk_bary_coords", Some(faces.len()))?;
    Ok(Some(SurfacePoints { faces, barycentric }))
}

fn contour(arrays: &Arrays<'_>, n_faces: usize) -> Result<Option<Contour>> {
    if !arrays.has("dynamic_lmk_faces_idx") {
        return Ok(None);
    }
    let shape = [Some(N_CONTOUR_ROWS), Some(17), Some(3)];
    let faces = arrays.indices("dynamic_lmk_faces_idx", &shape[..2], n_faces)?;
    let coordinates = arrays.f32("dynamic_lmk_bary_coords", &shape)?;
    Ok(Some(Contour {
        faces: faces.as_chunks::<17>().0.to_vec(),
        barycentric: coordinates.as_chunks::<3>().0.as_chunks::<17>().0.to_vec(),
    }))
}
