//! Files that lie: every one is an error that names what is wrong, and none makes the readers panic.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use anicrafter_smplx::synthetic::{self, Size};
use anicrafter_smplx::{BodyModel, Error, JointSource, Motion, MotionFrame, N_JOINTS};
use proptest::prelude::*;
use tensorfile::{Dtype, TensorView, write_npz_bytes};

const V: usize = 18;

/// An official file of `V` vertices, array by array.
fn official() -> Vec<(&'static str, TensorView<'static>)> {
    let size = Size { n_vertices: V, n_betas: 10, n_expressions: 10, n_weights: 3 };
    let a = synthetic::arrays(size, 1);
    let f32 = |shape: &[usize], values: &[f32]| TensorView::from_f32(shape, values).unwrap();
    let mut shapedirs = Vec::new();
    for row in 0..V * 3 {
        shapedirs.extend(&a.shape_dirs[row * 10..(row + 1) * 10]);
        shapedirs.extend(&a.expression_dirs[row * 10..(row + 1) * 10]);
    }
    let faces: Vec<i64> = a.faces.as_flattened().iter().map(|v| i64::from(*v)).collect();
    let mut tree: Vec<i64> = a.parents.iter().map(|p| p.map_or(i64::from(u32::MAX), i64::from)).collect();
    tree.extend(0..N_JOINTS as i64);
    let JointSource::Regressor(regressor) = &a.joints else { panic!("a regressor") };
    vec![
        ("v_template", f32(&[V, 3], a.v_template.as_flattened())),
        ("shapedirs", f32(&[V, 3, 20], &shapedirs)),
        ("posedirs", f32(&[V, 3, 486], &a.pose_dirs)),
        ("J_regressor", f32(&[N_JOINTS, V], regressor)),
        ("weights", f32(&[V, N_JOINTS], &a.weights.to_dense())),
        ("kintree_table", TensorView::from_i64(&[2, N_JOINTS], &tree).unwrap()),
        ("f", TensorView::from_i64(&[faces.len() / 3, 3], &faces).unwrap()),
    ]
}

fn load(arrays: &[(&str, TensorView<'_>)]) -> anicrafter_smplx::Result<BodyModel> {
    BodyModel::from_bytes(write_npz_bytes(arrays, true).unwrap())
}

fn with(name: &str, view: TensorView<'static>) -> Error {
    let mut arrays = official();
    for array in &mut arrays {
        if array.0 == name {
            array.1 = view.clone();
        }
    }
    load(&arrays).unwrap_err()
}

#[test]
fn a_good_file_is_read_as_f32_and_f64_stored_and_deflated() {
    let arrays = official();
    let model = load(&arrays).unwrap();
    assert_eq!((model.n_vertices(), model.n_betas(), model.n_expressions()), (V, 10, 10));
    let stored = BodyModel::from_bytes(write_npz_bytes(&arrays, false).unwrap()).unwrap();
    let wide: Vec<_> = arrays
        .iter()
        .map(|(name, view)| match view.dtype() {
            Dtype::F32 => {
                let bytes: Vec<u8> = view.to_f64().iter().flat_map(|x| x.to_le_bytes()).collect();
                (*name, TensorView::new(Dtype::F64, view.shape().to_vec(), bytes).unwrap())
            }
            _ => (*name, view.clone()),
        })
        .collect();
    let wide = load(&wide).unwrap();
    let pose = synthetic::pose(1.0, 2);
    let frame = anicrafter_smplx::Frame {
        rotations: anicrafter_smplx::Rotations::AxisAngle(&pose),
        ..anicrafter_smplx::Frame::REST
    };
    let expected = model.forward(&frame).unwrap();
    assert_eq!(stored.forward(&frame).unwrap(), expected);
    assert_eq!(wide.forward(&frame).unwrap(), expected);
}

#[test]
fn every_missing_array_is_named() {
    for skipped in 0..official().len() {
        let mut arrays = official();
        let (name, _) = arrays.remove(skipped);
        let error = load(&arrays).unwrap_err();
        assert!(matches!(error, Error::MissingArray { array, .. } if array == name), "{name}: {error}");
    }
}

#[test]
fn wrong_shapes_name_both_shapes() {
    for (name, shape) in [
        ("v_template", vec![V, 2]),
        ("shapedirs", vec![V, 20]),
        ("posedirs", vec![V, 3, 207]),
        ("J_regressor", vec![24, V]),
        ("weights", vec![V, 52]),
        ("weights", vec![V - 1, N_JOINTS]),
    ] {
        let n = shape.iter().product();
        let error = with(name, TensorView::from_f32(&shape, &vec![0.1; n]).unwrap());
        assert!(
            matches!(&error, Error::Shape { array, found, .. } if array == name && *found == shape),
            "{name}: {error}"
        );
    }
}

#[test]
fn impossible_values_are_named() {
    let poison = |name: &str, at: usize, value: f32| {
        let (_, view) = official().into_iter().find(|(n, _)| *n == name).unwrap();
        let mut values = view.to_f32();
        values[at] = value;
        with(name, TensorView::from_f32(view.shape(), &values).unwrap())
    };
    for (name, at, value) in [
        ("v_template", 5, f32::NAN),
        ("shapedirs", 33, f32::INFINITY),
        ("posedirs", 1000, f32::NAN),
        ("J_regressor", 7, f32::NAN),
        ("weights", 3, 9.0),
        ("weights", 3, f32::NAN),
    ] {
        let error = poison(name, at, value);
        assert!(matches!(&error, Error::Value { array, .. } if array == name), "{name}: {error}");
    }
    let faces = with("f", TensorView::from_i64(&[1, 3], &[0, 1, V as i64]).unwrap());
    assert!(matches!(&faces, Error::Value { array, index: 2, .. } if array == "f"), "{faces}");
    let mut tree = vec![0; 2 * N_JOINTS];
    tree[0] = i64::from(u32::MAX);
    tree[5] = 9;
    let tree = with("kintree_table", TensorView::from_i64(&[2, N_JOINTS], &tree).unwrap());
    assert!(matches!(&tree, Error::Value { array, index: 5, .. } if array == "kintree_table"), "{tree}");
}

#[test]
fn what_is_not_an_npz_is_said() {
    let good = write_npz_bytes(&official(), true).unwrap();
    assert!(matches!(BodyModel::from_bytes(&good[..good.len() / 2]), Err(Error::Npz(_))));
    assert!(matches!(BodyModel::from_bytes(Vec::new()), Err(Error::Npz(_))));
    assert!(BodyModel::open("/nonexistent/body.npz").is_err());
}

const CAMERA: &[u8] = br#"{"focal": [300, 300], "princpt": [9, 5], "img_size_wh": [19, 10], "view": [[1,0,0,0],[0,-1,0,1],[0,0,-1,4]]}"#;

/// Flips, cuts and repeats some bytes.
fn mutate(good: &[u8], edits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, value) in edits {
        let n = bytes.len();
        bytes[at % n] = *value;
    }
    bytes.truncate(bytes.len() - cut % bytes.len());
    bytes
}

fn small_motion() -> Motion {
    let frame = |i: u64| MotionFrame {
        pose: anicrafter_smplx::BodyPose::from_full(&synthetic::pose(1.0, i)),
        betas: vec![0.5; 10],
        ..MotionFrame::default()
    };
    Motion::new(30.0, (0..3).map(frame).collect()).unwrap()
}

/// `ANICRAFTER_MUTATIONS=100000` tries for longer.
fn cases() -> u32 {
    std::env::var("ANICRAFTER_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn mutated_files_never_panic(
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..12),
        cut in prop_oneof![4 => Just(0_usize), 1 => 0_usize..4000],
    ) {
        let arrays = official();
        // Stored arrays, so that edits reach headers and numbers and not only checksums of deflate streams.
        let npz = write_npz_bytes(&arrays, false).unwrap();
        drop(BodyModel::from_bytes(mutate(&npz, &edits, cut)));
        let motion = small_motion();
        drop(Motion::from_npz(mutate(&motion.to_npz().unwrap(), &edits, cut)));
        drop(anicrafter_smplx::CameraFile::from_json(&mutate(CAMERA, &edits, cut)));
        let json = mutate(motion.to_json().as_bytes(), &edits, cut);
        drop(Motion::from_json(&json));
        drop(MotionFrame::from_json(&json, 0));
        drop(anicrafter_smplx::ply_points(&mutate(&anicrafter_smplx::export::ply(&[[0.0; 3]; 9], &[[0, 1, 2]]).unwrap(), &edits, cut)));
        drop(anicrafter_smplx::constrained_vertices(&mutate(&npz, &edits, cut)));
    }
}
