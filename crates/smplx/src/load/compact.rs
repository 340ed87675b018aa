//! The compact form of a body, version 1: a deflated `.npz` with 16-bit vertices and displacements, at most six 8-bit
//! weights a vertex, and sparse expressions and pose correctives. The embedded body is such a file.
//!
//! | array | type, shape | meaning |
//! | --- | --- | --- |
//! | `anicrafter_body` | u32 `[1]` | version, 1 |
//! | `v_template_q`, `v_template_scale` | i16 `[V,3]`, f32 `[1]` | metres = q · scale |
//! | `f` | u16 `[F,3]` | triangles |
//! | `weights_q`, `weights_joint` | u8 `[V,6]` | weight = q / 255, each row sums to 255 |
//! | `shapedirs_q`, `shapedirs_scale` | i16 `[S,V,3]`, f32 `[S]` | metres = q · scale of the column |
//! | `expr_start`, `expr_vertex`, `expr_q`, `expr_scale` | u32 `[E+1]`, u16 `[N]`, i16 `[N,3]`, f32 `[1]` | compressed rows |
//! | `pose_column`, `pose_start`, `pose_vertex`, `pose_q`, `pose_scale` | u16 `[C]`, then as above | the same, with the pose feature of each run |
//! | `J_template`, `J_shapedirs` | f32 `[55,3]`, `[55,3,S]` | rest joints |
//! | `parents` | i16 `[55]` | −1 for the root |
//! | `hands_*`, `lmk_*` | as in SMPL-X | |
//! | `extra_vertices` | u16 `[21]` | vertices of the extra joints |

use super::LoadOptions;
use super::official::{joint_table, landmarks};
use super::source::Arrays;
use crate::error::{Error, Result};
use crate::lanes::Directions;
use crate::model::{BodyModel, Parts};
use crate::skeleton::{N_JOINTS, N_POSE_FEATURES};
use crate::weights::{SparseWeights, VertexWeight};

/// The array that marks a compact file.
pub(super) const MARK: &str = "anicrafter_body";
const VERSION: u32 = 1;

pub(super) fn load(arrays: &Arrays<'_>, options: LoadOptions) -> Result<BodyModel> {
    let found = arrays.indices(MARK, &[Some(1)], usize::MAX)?[0];
    if found != VERSION {
        return Err(Error::Version { expected: VERSION, found });
    }
    let scale = scale(arrays, "v_template_scale", 1)?[0];
    let v_template: Vec<[f32; 3]> =
        arrays.triples("v_template_q", None)?.into_iter().map(|v| v.map(|q| q * scale)).collect();
    let n = v_template.len();
    let faces = arrays.indices("f", &[None, Some(3)], n)?.as_chunks::<3>().0.to_vec();
    let shape = shape(arrays, n, options)?;
    let n_expressions = arrays.i64("expr_start", &[None])?.len().saturating_sub(1);
    let expression = Runs::read(arrays, n, ["expr_start", "expr_vertex", "expr_q", "expr_scale"])?
        .table(n, n_expressions.min(options.max_expressions));
    let pose_columns = arrays.indices("pose_column", &[None], N_POSE_FEATURES)?;
    if let Some(index) = pose_columns.windows(2).position(|w| w[0] >= w[1]) {
        let problem = "the columns don't ascend".to_owned();
        return Err(Error::Value { array: "pose_column".to_owned(), index, problem });
    }
    let pose = Runs::read(arrays, n, ["pose_start", "pose_vertex", "pose_q", "pose_scale"])?;
    if pose.starts.len() != pose_columns.len() + 1 {
        return Err(Error::Shape {
            array: "pose_start".to_owned(),
            expected: format!("[{}]", pose_columns.len() + 1),
            found: vec![pose.starts.len()],
        });
    }
    let n_shape = shape.n_columns;
    BodyModel::from_parts(Parts {
        v_template,
        shape,
        expression,
        pose: pose.table(n, pose_columns.len()),
        pose_columns,
        weights: weights(arrays, n)?,
        joints: joint_table(arrays, n_shape)?,
        parents: parents(arrays)?,
        hands: arrays.hands()?,
        extra_vertices: extra_vertices(arrays, n)?,
        landmarks: landmarks(arrays, faces.len())?,
        contour: None,
        faces,
    })
}

/// Positive finite scales.
fn scale(arrays: &Arrays<'_>, name: &'static str, n: usize) -> Result<Vec<f32>> {
    let values = arrays.f32(name, &[Some(n)])?;
    match values.iter().position(|s| *s <= 0.0) {
        None => Ok(values),
        Some(index) => {
            let problem = format!("{} isn't a positive scale", values[index]);
            Err(Error::Value { array: name.to_owned(), index, problem })
        }
    }
}

fn shape(arrays: &Arrays<'_>, n: usize, options: LoadOptions) -> Result<Directions> {
    let view = arrays.view("shapedirs_q", &[None, Some(n), Some(3)])?;
    let n_shape = view.shape()[0];
    let scales = scale(arrays, "shapedirs_scale", n_shape)?;
    let values = view.to_f32();
    let mut table = Directions::zeros(n, n_shape.min(options.max_betas));
    for column in 0..table.n_columns {
        for (row, q) in values[column * n * 3..(column + 1) * n * 3].iter().enumerate() {
            table.set(row / 3, row % 3, column, q * scales[column]);
        }
    }
    Ok(table)
}

/// Sparse displacement columns: for each column a run of vertices.
struct Runs {
    starts: Vec<u32>,
    vertices: Vec<u32>,
    values: Vec<[f32; 3]>,
}

impl Runs {
    fn read(arrays: &Arrays<'_>, n_vertices: usize, names: [&'static str; 4]) -> Result<Self> {
        let [start, vertex, q, scale_name] = names;
        let vertices = arrays.indices(vertex, &[None], n_vertices)?;
        let scale = scale(arrays, scale_name, 1)?[0];
        let values = arrays.triples(q, Some(vertices.len()))?;
        let starts = arrays.indices(start, &[None], vertices.len() + 1)?;
        let closed = starts.first() == Some(&0) && starts.last() == Some(&(vertices.len() as u32));
        let ascending = starts.windows(2).position(|w| w[0] > w[1]);
        if !closed || ascending.is_some() {
            return Err(Error::Value {
                array: start.to_owned(),
                index: ascending.unwrap_or(0),
                problem: format!("the runs don't ascend from 0 to {}", vertices.len()),
            });
        }
        let values = values.into_iter().map(|v| v.map(|x| x * scale)).collect();
        Ok(Self { starts, vertices, values })
    }

    fn table(&self, n_vertices: usize, n_columns: usize) -> Directions {
        let mut table = Directions::zeros(n_vertices, n_columns);
        for (column, run) in self.starts.windows(2).take(n_columns).enumerate() {
            for i in run[0] as usize..run[1] as usize {
                for axis in 0..3 {
                    table.set(self.vertices[i] as usize, axis, column, self.values[i][axis]);
                }
            }
        }
        table
    }
}

fn weights(arrays: &Arrays<'_>, n: usize) -> Result<SparseWeights> {
    let q = arrays.indices("weights_q", &[Some(n), Some(6)], 256)?;
    let joints = arrays.indices("weights_joint", &[Some(n), Some(6)], N_JOINTS)?;
    let mut weights = SparseWeights::new();
    for (index, (q, joints)) in q.as_chunks::<6>().0.iter().zip(joints.as_chunks::<6>().0).enumerate() {
        let sum: u32 = q.iter().sum();
        if sum != 255 {
            let problem = format!("the weights of this vertex sum to {sum} of 255");
            return Err(Error::Value { array: "weights_q".to_owned(), index, problem });
        }
        let pairs = q.iter().zip(joints);
        weights.push(pairs.map(|(q, j)| VertexWeight { joint: *j as u16, weight: *q as f32 / 255.0 }));
    }
    Ok(weights)
}

fn parents(arrays: &Arrays<'_>) -> Result<[Option<u8>; N_JOINTS]> {
    let values = arrays.i64("parents", &[Some(N_JOINTS)])?;
    let mut parents = [None; N_JOINTS];
    for (index, (parent, value)) in parents.iter_mut().zip(values).enumerate() {
        *parent = match u8::try_from(value) {
            _ if index == 0 && value == -1 => None,
            Ok(small) => Some(small),
            Err(_) => {
                let problem = format!("{value} isn't the parent of a joint");
                return Err(Error::Value { array: "parents".to_owned(), index, problem });
            }
        };
    }
    Ok(parents)
}

fn extra_vertices(arrays: &Arrays<'_>, n: usize) -> Result<Option<[u32; 21]>> {
    if !arrays.has("extra_vertices") {
        return Ok(None);
    }
    let vertices = arrays.indices("extra_vertices", &[Some(21)], n)?;
    Ok(Some(std::array::from_fn(|i| vertices[i])))
}
