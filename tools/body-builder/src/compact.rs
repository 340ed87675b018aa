//! The compact file: everything quantised, about a third of the official layout's size.
//!
//! | array | dtype, shape | meaning |
//! | --- | --- | --- |
//! | `anicrafter_body` | u32 \[1\] | format version, 1 |
//! | `v_template_q` | i16 \[V, 3\] | rest vertices; metres = q * `v_template_scale[0]` (f32 \[1\]) |
//! | `f` | u16 \[F, 3\] | triangles, counter-clockwise from outside |
//! | `weights_q`, `weights_joint` | u8 \[V, 6\] | weight = q / 255 of that joint, by falling weight; rows sum to 255 |
//! | `shapedirs_q` | i16 \[S, V, 3\] | shape column s, metres = q * `shapedirs_scale[s]` (f32 \[S\]) |
//! | `expr_start`, `expr_vertex`, `expr_q` | u32 \[E + 1\], u16 \[N\], i16 \[N, 3\] | entries `expr_start[e]..expr_start[e + 1]` of expression e; metres = q * `expr_scale[0]` |
//! | `pose_column` | u16 \[C\] | number of the pose feature: (joint - 1) * 9 + entry of R - I, row by row |
//! | `pose_start`, `pose_vertex`, `pose_q` | u32 \[C + 1\], u16 \[P\], i16 \[P, 3\] | as for the expressions; `pose_scale` |
//! | `J_template`, `J_shapedirs` | f32 \[55, 3\], f32 \[55, 3, S\] | joints = template + shape columns * betas |
//! | `parents` | i16 \[55\] | -1 for the root |
//! | `hands_meanl`, `hands_meanr` | f32 \[45\] | mean hand poses |
//! | `hands_componentsl`, `hands_componentsr` | f32 \[45, 45\] | rows are orthonormal components |
//! | `extra_vertices` | u16 \[21\] | vertices of the extra joints, order of [`crate::landmarks::EXTRA`] |
//! | `lmk_faces_idx`, `lmk_bary_coords` | u16 \[51\], f32 \[51, 3\] | face landmarks |
//! | `part` | u8 \[V\] | 0 skin, 1 eye, 2 teeth, 3 tongue |

use std::path::Path;

use crate::Point;
use crate::body::Body;
use crate::error::Error;
use crate::hands;
use crate::npz::NpzWriter;
use crate::skeleton::{JOINTS, PARENTS};
use crate::skin::SLOTS;

/// Version of the format.
pub const VERSION: u32 = 1;

/// Step of the shape columns, in metres.
const SHAPE_STEP: f64 = 2e-5;
/// Step of the expressions and pose correctives, in metres.
const FINE_STEP: f64 = 2e-5;
/// Offsets of expressions below this are left out, in metres.
const SMALLEST: f64 = 1e-4;

/// Writes the compact file.
///
/// # Errors
/// A number does not fit into its type, or the file cannot be written.
pub fn write(body: &Body, path: &Path) -> Result<(), Error> {
    let (v, s) = (body.vertices.len(), body.shape.vertices.len());
    let mut npz = NpzWriter::new(path);
    npz.add("anicrafter_body", &[1], &[VERSION])?;

    let largest = body.vertices.iter().map(Point::amax).fold(0.0, f64::max);
    let step = largest / f64::from(i16::MAX);
    npz.add("v_template_q", &[v, 3], &quantise("v_template", &body.vertices, step)?)?;
    npz.add("v_template_scale", &[1], &[step as f32])?;
    npz.add("f", &[body.triangles.len(), 3], &indices("f", body.triangles.as_flattened())?)?;
    npz.add("part", &[v], &body.part)?;

    let slots = |pick: fn(&(u8, u8)) -> u8| body.weights.iter().flatten().map(pick).collect::<Vec<u8>>();
    npz.add("weights_q", &[v, SLOTS], &slots(|&(_, w)| w))?;
    npz.add("weights_joint", &[v, SLOTS], &slots(|&(j, _)| j))?;

    let mut shape = Vec::with_capacity(s * v * 3);
    for column in &body.shape.vertices {
        shape.extend(quantise("shapedirs", column, SHAPE_STEP)?);
    }
    npz.add("shapedirs_q", &[s, v, 3], &shape)?;
    npz.add("shapedirs_scale", &[s], &vec![SHAPE_STEP as f32; s])?;

    let moved = |column: &Vec<Point>| -> Vec<(usize, Point)> {
        column.iter().copied().enumerate().filter(|(_, p)| p.norm() >= SMALLEST).collect()
    };
    let expressions: Vec<_> = body.expressions.iter().map(moved).collect();
    add_sparse(&mut npz, "expr", &expressions)?;
    let columns: Vec<usize> = body.pose.iter().map(|c| c.column).collect();
    npz.add("pose_column", &[columns.len()], &indices("pose_column", &columns)?)?;
    add_sparse(&mut npz, "pose", &body.pose.iter().map(|c| c.offsets.clone()).collect::<Vec<_>>())?;

    add_skeleton(&mut npz, body)?;
    npz.add(
        "extra_vertices",
        &[body.extra_vertices.len()],
        &indices("extra_vertices", &body.extra_vertices)?,
    )?;
    npz.add(
        "lmk_faces_idx",
        &[body.landmarks.len()],
        &indices("lmk_faces_idx", &body.landmark_triangles())?,
    )?;
    npz.add("lmk_bary_coords", &[body.landmarks.len(), 3], &body.landmark_weights())?;
    npz.finish()
}

fn add_skeleton(npz: &mut NpzWriter, body: &Body) -> Result<(), Error> {
    let s = body.shape.joints.len();
    let template: Vec<f32> = body.joints.iter().flat_map(|p| [p.x, p.y, p.z]).map(|x| x as f32).collect();
    npz.add("J_template", &[JOINTS, 3], &template)?;
    let mut columns = Vec::with_capacity(JOINTS * 3 * s);
    for j in 0..JOINTS {
        for axis in 0..3 {
            columns.extend(body.shape.joints.iter().map(|column| column[j][axis] as f32));
        }
    }
    npz.add("J_shapedirs", &[JOINTS, 3, s], &columns)?;
    npz.add("parents", &[JOINTS], &PARENTS)?;
    for (side, components) in ["l", "r"].into_iter().zip(hands::components()) {
        npz.add(&format!("hands_mean{side}"), &[hands::ENTRIES], &[0.0f32; hands::ENTRIES])?;
        let rows: Vec<f32> = components.iter().flatten().map(|&x| x as f32).collect();
        npz.add(&format!("hands_components{side}"), &[hands::ENTRIES, hands::ENTRIES], &rows)?;
    }
    Ok(())
}

/// Adds columns of few vertices each: `{name}_start`, `{name}_vertex`, `{name}_q`, `{name}_scale`.
fn add_sparse(npz: &mut NpzWriter, name: &'static str, columns: &[Vec<(usize, Point)>]) -> Result<(), Error> {
    let mut start = vec![0u32];
    let (mut vertices, mut offsets) = (Vec::new(), Vec::new());
    for column in columns {
        vertices.extend(column.iter().map(|&(v, _)| v));
        offsets.extend(column.iter().map(|&(_, p)| p));
        start.push(vertices.len() as u32);
    }
    npz.add(&format!("{name}_start"), &[start.len()], &start)?;
    npz.add(&format!("{name}_vertex"), &[vertices.len()], &indices(name, &vertices)?)?;
    npz.add(&format!("{name}_q"), &[offsets.len(), 3], &quantise(name, &offsets, FINE_STEP)?)?;
    npz.add(&format!("{name}_scale"), &[1], &[FINE_STEP as f32])
}

fn quantise(what: &'static str, points: &[Point], step: f64) -> Result<Vec<i16>, Error> {
    let limit = f64::from(i16::MAX) + 0.5;
    points
        .iter()
        .flat_map(|p| [p.x, p.y, p.z])
        .map(|x| {
            let q = (x / step).round();
            if q.abs() < limit {
                Ok(q as i16)
            } else {
                Err(Error::TooLarge { what, found: x.to_string(), limit: (limit * step).to_string() })
            }
        })
        .collect()
}

fn indices(what: &'static str, values: &[usize]) -> Result<Vec<u16>, Error> {
    values
        .iter()
        .map(|&x| {
            u16::try_from(x).map_err(|_| Error::TooLarge {
                what,
                found: x.to_string(),
                limit: u16::MAX.to_string(),
            })
        })
        .collect()
}
