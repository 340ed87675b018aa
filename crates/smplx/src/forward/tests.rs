//! Tests of the forward pass.

use super::*;
use crate::skeleton::N_POSE_FEATURES;
use crate::synthetic::{self, Size};
use crate::{BodyArrays, JointSource};

fn worst(a: &[[f32; 3]], b: &[[f32; 3]]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.as_flattened().iter().zip(b.as_flattened()).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// The textbook forward pass in double precision, on the plain arrays.
fn oracle(arrays: &BodyArrays, frame: &Frame<'_>) -> Vec<[f32; 3]> {
    let n = arrays.v_template.len();
    let (s, e) = (arrays.shape_dirs.len() / (3 * n), arrays.expression_dirs.len() / (3 * n));
    let sum = |dirs: &[f32], columns: usize, row: usize, c: &[f32]| -> f64 {
        let row = dirs[row * columns..(row + 1) * columns].iter();
        row.zip(c).map(|(d, c)| f64::from(*d) * f64::from(*c)).sum()
    };
    let shaped: Vec<f64> = (0..3 * n)
        .map(|row| {
            f64::from(arrays.v_template[row / 3][row % 3])
                + sum(&arrays.shape_dirs, s, row, frame.betas)
                + sum(&arrays.expression_dirs, e, row, frame.expression)
        })
        .collect();
    let JointSource::Regressor(regressor) = &arrays.joints else { panic!("a regressor") };
    let rest = std::array::from_fn(|j| {
        std::array::from_fn(|axis| {
            let row = &regressor[j * n..(j + 1) * n];
            row.iter().enumerate().map(|(v, w)| f64::from(*w) * shaped[v * 3 + axis]).sum::<f64>() as f32
        })
    });
    let rotations = frame.rotations.matrices();
    let features: Vec<f32> = (0..N_POSE_FEATURES)
        .map(|i| rotations[1 + i / 9].as_flattened()[i % 9] - IDENTITY.as_flattened()[i % 9])
        .collect();
    let joints = pose_joints(&rest, &arrays.parents, &rotations, frame.translation);
    (0..n)
        .map(|v| {
            let p: [f64; 3] = std::array::from_fn(|axis| {
                let row = v * 3 + axis;
                shaped[row] + sum(&arrays.pose_dirs, N_POSE_FEATURES, row, &features)
            });
            std::array::from_fn(|i| {
                let mut out = f64::from(frame.translation[i]);
                for w in arrays.weights.get(v) {
                    let t = joints.transforms[usize::from(w.joint)][i].map(f64::from);
                    let at = t[0] * p[0] + t[1] * p[1] + t[2] * p[2] + t[3];
                    out += f64::from(w.weight) * at;
                }
                out as f32
            })
        })
        .collect()
}

struct Case {
    betas: Vec<f32>,
    expression: Vec<f32>,
    pose: [[f32; 3]; N_JOINTS],
    translation: [f32; 3],
}

fn cases(n: usize, same_shape: bool) -> Vec<Case> {
    (0..n as u64)
        .map(|i| Case {
            betas: synthetic::numbers(5, 1.0, if same_shape { 7 } else { 100 + i }),
            expression: synthetic::numbers(4, 1.0, if same_shape { 8 } else { 200 + i }),
            pose: synthetic::pose(1.0, 300 + i),
            translation: [i as f32 * 0.1, -0.5, 2.0],
        })
        .collect()
}

fn frames(cases: &[Case]) -> Vec<Frame<'_>> {
    cases
        .iter()
        .map(|c| Frame {
            betas: &c.betas,
            expression: &c.expression,
            rotations: Rotations::AxisAngle(&c.pose),
            translation: c.translation,
        })
        .collect()
}

const SMALL: Size = Size { n_vertices: 149, n_betas: 6, n_expressions: 4, n_weights: 5 };

#[test]
fn equals_the_textbook_for_any_number_of_frames() {
    let arrays = synthetic::arrays(SMALL, 1);
    let model = BodyModel::from_arrays(arrays.clone()).unwrap();
    for same_shape in [true, false] {
        let cases = cases(35, same_shape);
        let frames = frames(&cases);
        let expected: Vec<_> = frames.iter().map(|f| oracle(&arrays, f)).collect();
        for n in [1, 2, 3, 4, 7, 8, 16, 17, 20, 21, 35] {
            let posed = model.forward_batch(&frames[..n]).unwrap();
            for (frame, expected) in posed.iter().zip(&expected) {
                let worst = worst(&frame.vertices, expected);
                assert!(worst < 5e-6, "{n} frames: {worst}");
            }
        }
    }
}

#[test]
fn the_oracle_notices_a_wrong_table() {
    let mut arrays = synthetic::arrays(SMALL, 1);
    let model = BodyModel::from_arrays(arrays.clone()).unwrap();
    arrays.pose_dirs[148 * 3 * 486] += 0.1;
    let cases = cases(1, true);
    let frame = frames(&cases)[0];
    assert!(worst(&model.forward(&frame).unwrap().vertices, &oracle(&arrays, &frame)) > 1e-4);
}

#[test]
fn every_instruction_set_gives_the_same() {
    let model = synthetic::body(SMALL, 3);
    let block = 4;
    let coefficients: Vec<[f32; 2]> = synthetic::numbers(2 * 486, 0.5, 9).as_chunks::<2>().0.to_vec();
    let n_lanes = 6;
    let panel: Vec<Lane> =
        (0..486 * n_lanes).map(|i| Lane(synthetic::numbers(16, 0.5, i as u64).try_into().unwrap())).collect();
    let joints: Vec<Lane> = (0..N_JOINTS * 12 * n_lanes)
        .map(|i| Lane(synthetic::numbers(16, 0.5, 1 << 20 | i as u64).try_into().unwrap()))
        .collect();
    let weights: Vec<_> = (0..LANES).map(|i| model.weights.get(block * LANES + i)).collect();
    let run = |level: Level| {
        let mut few = [model.template[block]; 2];
        let directions = model.pose.of_block(block);
        add_few(level, &[Term { directions, coefficients: &coefficients }], &mut few);
        let mut skinned = [[0.0; 3]; LANES];
        skin_few(level, &weights, &joints[..N_JOINTS], [1.0, 2.0, 3.0], &few[1], &mut skinned);
        let mut many = vec![Lane([0.25; LANES]); 48 * n_lanes];
        add_many(level, n_lanes, &[PanelTerm { directions, panel: &panel }], &mut many);
        let lanes = Panel { n_lanes, joints: &joints, translations: &panel[..3 * n_lanes] };
        skin_many(level, &weights, &lanes, &mut many);
        let mut all: Vec<f32> = bytemuck::cast_slice(&few).to_vec();
        all.extend(skinned.as_flattened());
        all.extend::<&[f32]>(bytemuck::cast_slice(&many));
        all
    };
    let baseline = run(Level::Portable);
    for level in Level::supported() {
        let worst = run(level).iter().zip(&baseline).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-5, "{level:?}: {worst}");
    }
}

#[test]
fn zero_columns_are_dropped_and_cost_nothing() {
    let mut arrays = synthetic::arrays(SMALL, 4);
    for row in arrays.pose_dirs.chunks_exact_mut(486) {
        row[..400].fill(0.0);
    }
    let model = BodyModel::from_arrays(arrays.clone()).unwrap();
    assert_eq!(model.pose_columns.len(), 86);
    let cases = cases(9, true);
    let frames = frames(&cases);
    for (frame, posed) in frames.iter().zip(model.forward_batch(&frames).unwrap()) {
        assert!(worst(&posed.vertices, &oracle(&arrays, frame)) < 5e-6);
    }
}

#[test]
fn joints_at_rest_are_passed_over() {
    let arrays = synthetic::arrays(SMALL, 1);
    let model = BodyModel::from_arrays(arrays.clone()).unwrap();
    for moving in [0..0, 1..2, 1..22, 3..5, 54..55, 0..55] {
        let mut cases = cases(19, false);
        for (i, case) in cases.iter_mut().enumerate() {
            for (joint, turn) in case.pose.iter_mut().enumerate() {
                // One frame has a joint of its own that moves.
                if !(moving.contains(&joint) || i == 7 && joint == 40) {
                    *turn = [0.0; 3];
                }
            }
        }
        let frames = frames(&cases);
        for n in [1, 19] {
            for (frame, posed) in frames.iter().zip(model.forward_batch(&frames[..n]).unwrap()) {
                let worst = worst(&posed.vertices, &oracle(&arrays, frame));
                assert!(worst < 5e-6, "{moving:?}, {n} frames: {worst}");
            }
        }
    }
    let used = |columns: &[usize]| {
        let mut feature = vec![0.0; 486];
        columns.iter().for_each(|c| feature[*c] = 0.5);
        used_runs(&[vec![0.0; 486], feature])
    };
    assert!(used(&[]).is_empty());
    assert_eq!(used(&[0, 10, 200, 485]), [0..11, 200..201, 485..486]);
}

#[test]
fn wrong_arguments_are_named() {
    let model = synthetic::body(SMALL, 5);
    let long = [0.0; 7];
    let frame = Frame { betas: &long, ..Frame::REST };
    let error = model.forward(&frame).unwrap_err();
    assert!(matches!(error, Error::TooMany { what: "betas", available: 6, found: 7 }), "{error}");
    let mut pose = [[0.0; 3]; N_JOINTS];
    pose[3][1] = f32::NAN;
    let bad = Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST };
    let error = model.forward_batch(&[Frame::REST, bad]).unwrap_err();
    assert!(matches!(error, Error::Frame { frame: 1, .. }), "{error}");
    let mut short = vec![[0.0; 3]; 148];
    let error = model.forward_batch_into(&[Frame::REST], &mut short, &mut [PosedJoints::default()]);
    assert!(matches!(error, Err(Error::Length { expected: 149, found: 148, .. })));
}

#[test]
fn no_frames_are_fine() {
    assert!(synthetic::body(SMALL, 6).forward_batch(&[]).unwrap().is_empty());
}
