//! The body in SMPL-X's official layout, for cross-checks with other readers (`smplx` in Python, for one).
//!
//! Much larger than the compact file and less exact: the official layout finds joints by a sparse non-negative
//! regressor from vertices, which only approximates the joints' own shape columns.

use std::path::Path;

use nalgebra::{DMatrix, DVector};

use crate::Point;
use crate::body::Body;
use crate::error::Error;
use crate::hands;
use crate::npz::NpzWriter;
use crate::skeleton::{JOINTS, PARENTS};
use crate::skin::STEPS;

/// Vertices that a joint is regressed from.
const NEIGHBOURS: usize = 48;

/// Steps of the non-negative least squares; more change the joints by less than 0.1 mm.
const ITERATIONS: usize = 4000;

/// Writes the official layout.
///
/// # Errors
/// The file cannot be written.
pub fn write(body: &Body, path: &Path) -> Result<(), Error> {
    let v = body.vertices.len();
    let mut npz = NpzWriter::new(path);
    let flat = |points: &[Point]| -> Vec<f32> {
        points.iter().flat_map(|p| [p.x as f32, p.y as f32, p.z as f32]).collect()
    };
    npz.add("v_template", &[v, 3], &flat(&body.vertices))?;
    let triangles: Vec<u32> = body.triangles.iter().flatten().map(|&i| i as u32).collect();
    npz.add("f", &[body.triangles.len(), 3], &triangles)?;

    let mut weights = vec![0.0f32; v * JOINTS];
    for (row, vertex) in weights.chunks_exact_mut(JOINTS).zip(&body.weights) {
        for &(j, w) in vertex {
            row[usize::from(j)] += f32::from(w) / STEPS as f32;
        }
    }
    npz.add("weights", &[v, JOINTS], &weights)?;

    let columns: Vec<&Vec<Point>> = body.shape.vertices.iter().chain(&body.expressions).collect();
    let mut shapedirs = Vec::with_capacity(v * 3 * columns.len());
    for vertex in 0..v {
        for axis in 0..3 {
            shapedirs.extend(columns.iter().map(|c| c[vertex][axis] as f32));
        }
    }
    npz.add("shapedirs", &[v, 3, columns.len()], &shapedirs)?;

    let features = (JOINTS - 1) * 9;
    let mut posedirs = vec![0.0f32; v * 3 * features];
    for column in &body.pose {
        for (vertex, offset) in &column.offsets {
            for axis in 0..3 {
                posedirs[(vertex * 3 + axis) * features + column.column] = offset[axis] as f32;
            }
        }
    }
    npz.add("posedirs", &[v, 3, features], &posedirs)?;

    npz.add("J_regressor", &[JOINTS, v], &regressor(body))?;
    let parents = PARENTS.iter().map(|&p| u32::try_from(p).unwrap_or(u32::MAX));
    let kintree: Vec<u32> = parents.chain(0..JOINTS as u32).collect();
    npz.add("kintree_table", &[2, JOINTS], &kintree)?;
    for (side, components) in ["l", "r"].into_iter().zip(hands::components()) {
        npz.add(&format!("hands_mean{side}"), &[hands::ENTRIES], &[0.0f32; hands::ENTRIES])?;
        let rows: Vec<f32> = components.iter().flatten().map(|&x| x as f32).collect();
        npz.add(&format!("hands_components{side}"), &[hands::ENTRIES, hands::ENTRIES], &rows)?;
    }
    let landmarks: Vec<i64> = body.landmarks.iter().map(|&[t, _]| t as i64).collect();
    npz.add("lmk_faces_idx", &[landmarks.len()], &landmarks)?;
    npz.add("lmk_bary_coords", &[landmarks.len(), 3], &body.landmark_weights())?;
    npz.finish()
}

/// A sparse non-negative regressor `[55, V]` whose rows sum to about one.
///
/// Each joint uses the skin vertices nearest to it that lie around it, fitted to the joint's place on the mean body
/// and on each shape column by multiplicative projected gradient steps.
fn regressor(body: &Body) -> Vec<f32> {
    let v = body.vertices.len();
    let mut regressor = vec![0.0f32; JOINTS * v];
    for j in 0..JOINTS {
        let mut near: Vec<usize> = (0..v).filter(|&i| body.part[i] <= 1).collect();
        let distance = |i: usize| (body.vertices[i] - body.joints[j]).norm_squared();
        near.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        // The nearest ring alone often lies on one side of the joint; a stride takes in the far side too.
        let stride = (near.len() / 60 / NEIGHBOURS).max(1);
        let chosen: Vec<usize> = near.into_iter().step_by(stride).take(NEIGHBOURS).collect();
        for (weight, &i) in fit(body, j, &chosen).iter().zip(&chosen) {
            regressor[j * v + i] = *weight as f32;
        }
    }
    regressor
}

/// Non-negative least squares by accelerated projected gradients.
fn fit(body: &Body, j: usize, chosen: &[usize]) -> DVector<f64> {
    let shapes = body.shape.vertices.len();
    let rows = 3 * (shapes + 1) + 1;
    let mut a = DMatrix::<f64>::zeros(rows, chosen.len());
    let mut b = DVector::<f64>::zeros(rows);
    for axis in 0..3 {
        for (c, &i) in chosen.iter().enumerate() {
            a[(axis, c)] = body.vertices[i][axis] - body.joints[j][axis];
            for s in 0..shapes {
                a[(3 * (s + 1) + axis, c)] = body.shape.vertices[s][i][axis];
            }
        }
        for s in 0..shapes {
            b[3 * (s + 1) + axis] = body.shape.joints[s][j][axis];
        }
    }
    a.row_mut(rows - 1).fill(1.0);
    b[rows - 1] = 1.0;

    let (gram, target) = (a.transpose() * &a, a.transpose() * b);
    let step = 1.0 / gram.symmetric_eigenvalues().max();
    let mut x = DVector::from_element(chosen.len(), 1.0 / chosen.len() as f64);
    let mut ahead = x.clone();
    let mut t = 1.0f64;
    for _ in 0..ITERATIONS {
        let next = (&ahead - (&gram * &ahead - &target) * step).map(|w| w.max(0.0));
        let t_next = 0.5 + (0.25 + t * t).sqrt();
        ahead = &next + (&next - &x) * ((t - 1.0) / t_next);
        (x, t) = (next, t_next);
    }
    x
}
