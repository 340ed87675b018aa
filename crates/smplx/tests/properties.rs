//! What must hold for any body and any pose.

use anicrafter_smplx::synthetic::{self, Size};
use anicrafter_smplx::{
    AFFINE_IDENTITY, AvatarPoints, BodyModel, Frame, N_JOINTS, PointBinding, PointFrame, PointSkin,
    Rotations, neutral_pose, neutral_to_zero, rotation,
};
use proptest::prelude::*;

const SIZE: Size = Size { n_vertices: 61, n_betas: 4, n_expressions: 3, n_weights: 4 };

fn worst(a: &[[f32; 3]], b: &[[f32; 3]]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.as_flattened().iter().zip(b.as_flattened()).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn body() -> BodyModel {
    synthetic::body(SIZE, 11)
}

fn vector(limit: f32) -> impl Strategy<Value = [f32; 3]> {
    prop::array::uniform3(-limit..limit)
}

fn pose() -> impl Strategy<Value = [[f32; 3]; N_JOINTS]> {
    prop::collection::vec(vector(1.5), N_JOINTS).prop_map(|v| v.try_into().expect("55 joints"))
}

#[test]
fn rest_pose_is_the_template() {
    let model = body();
    let posed = model.forward(&Frame::REST).unwrap();
    assert!(worst(&posed.vertices, model.v_template()) < 1e-6);
    assert!(worst(&posed.joints.positions, &model.rest_joints(&[], &[]).unwrap()) < 1e-6);
}

#[test]
fn weights_sum_to_one() {
    let model = body();
    for v in 0..model.n_vertices() {
        let sum: f32 = model.weights().get(v).iter().map(|w| w.weight).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn turning_the_root_turns_everything(pose in pose(), turn in vector(2.0), shift in vector(3.0)) {
        let model = body();
        let mut still = pose;
        still[0] = [0.0; 3];
        let mut turned = pose;
        turned[0] = turn;
        let a = model.forward(&Frame { rotations: Rotations::AxisAngle(&still), ..Frame::REST }).unwrap();
        let frame = Frame { rotations: Rotations::AxisAngle(&turned), translation: shift, ..Frame::REST };
        let b = model.forward(&frame).unwrap();
        let root = model.rest_joints(&[], &[]).unwrap()[0];
        let m = rotation::rodrigues(turn);
        let expected: Vec<[f32; 3]> = a.vertices.iter().map(|v| {
            let at = rotation::apply(&m, std::array::from_fn(|k| v[k] - root[k]));
            std::array::from_fn(|k| at[k] + root[k] + shift[k])
        }).collect();
        prop_assert!(worst(&b.vertices, &expected) < 1e-5);
    }

    #[test]
    fn a_batch_equals_its_frames(poses in prop::collection::vec(pose(), 1..24), betas in prop::collection::vec(-2.0_f32..2.0, 0..5)) {
        let model = body();
        let frames: Vec<Frame<'_>> = poses.iter().enumerate().map(|(i, pose)| Frame {
            // every other frame has another shape
            betas: if i % 2 == 0 { &betas } else { &[] },
            rotations: Rotations::AxisAngle(pose),
            ..Frame::REST
        }).collect();
        for (frame, posed) in frames.iter().zip(model.forward_batch(&frames).unwrap()) {
            let alone = model.forward(frame).unwrap();
            prop_assert!(worst(&posed.vertices, &alone.vertices) < 2e-6);
            prop_assert_eq!(posed.joints, alone.joints);
            prop_assert_eq!(model.joints(frame).unwrap(), alone.joints);
        }
    }

    #[test]
    fn matrices_and_quaternions_say_the_same(pose in pose()) {
        let model = body();
        let matrices = pose.map(rotation::rodrigues);
        let quaternions = pose.map(rotation::quat_from_axis_angle);
        let run = |rotations| model.forward(&Frame { rotations, ..Frame::REST }).unwrap().vertices;
        let expected = run(Rotations::AxisAngle(&pose));
        prop_assert!(worst(&run(Rotations::Matrices(&matrices)), &expected) < 1e-6);
        prop_assert!(worst(&run(Rotations::Quaternions(&quaternions)), &expected) < 1e-5);
    }

    #[test]
    fn points_on_vertices_follow_them(pose in pose(), betas in prop::collection::vec(-2.0_f32..2.0, 4)) {
        // Without pose correctives the avatar chain is the body's own forward pass: the neutral pose drops out.
        let mut arrays = synthetic::arrays(SIZE, 11);
        arrays.pose_dirs.clear();
        let model = BodyModel::from_arrays(arrays).unwrap();
        let n = model.n_vertices();
        let neutral = neutral_pose();
        let query = model.forward(&Frame { rotations: Rotations::AxisAngle(&neutral), ..Frame::REST }).unwrap().vertices;
        let to_zero = [AFFINE_IDENTITY; N_JOINTS];
        let zeros = vec![[0.0; 3]; n];
        let rotations = vec![[1.0, 0.0, 0.0, 0.0]; n];
        let vertices: Vec<u32> = (0..n as u32).collect();
        let mut avatar = AvatarPoints {
            query: model.v_template(), offset: &zeros, scaling: &zeros, rotation: &rotations,
            neutral_to_zero: &to_zero, constrained: &[],
        };
        let skin = PointSkin::new(&model, PointBinding::from_vertices(&vertices), &avatar, &betas).unwrap();
        let frame = PointFrame { rotations: Rotations::AxisAngle(&pose), expression: &[], translation: [0.5, 0.0, 1.0] };
        let points = skin.pose(&model, &frame).unwrap();
        let body = model.forward(&Frame { betas: &betas, rotations: Rotations::AxisAngle(&pose), translation: [0.5, 0.0, 1.0], ..Frame::REST }).unwrap();
        prop_assert!(worst(&points.means, &body.vertices) < 2e-5);
        // Shaped afterwards they are what they are when shaped at once.
        let half: Vec<f32> = betas.iter().take(2).map(|b| 0.5 - b).collect();
        let mut later = PointSkin::new(&model, PointBinding::from_vertices(&vertices), &avatar, &half).unwrap();
        later.reshape(&model, &half, &betas).unwrap();
        prop_assert!(worst(&later.pose(&model, &frame).unwrap().means, &body.vertices) < 2e-5);
        // Points bound to a single joint come back from the neutral pose exactly.
        let back = neutral_to_zero(&model, &[]).unwrap();
        avatar.query = &query;
        avatar.neutral_to_zero = &back;
        let skin = PointSkin::new(&model, PointBinding::from_vertices(&vertices), &avatar, &[]).unwrap();
        for (v, zero) in skin.zero_pose().iter().enumerate() {
            if let [only] = model.weights().get(v) && only.weight == 1.0 {
                prop_assert!(worst(&[*zero], &[model.v_template()[v]]) < 1e-5);
            }
        }
        prop_assert!(points.rotations.iter().all(|q| q[0] >= 0.0));
    }
}
