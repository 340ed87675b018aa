//! The committed asset is what its format and its provenance say.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::path::{Path, PathBuf};

use body_builder::{landmarks, skeleton, wheel};
use smplx::{BodyModel, Frame, JOINT_NAMES, N_JOINTS, PARENTS, Rotations};
use tensorfile::{Npz, TensorSource};

const LIMIT_BYTES: u64 = 1_500_000;
const VERTICES: usize = 13_886;
const TRIANGLES: usize = 27_676;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/body")
}

fn asset() -> PathBuf {
    folder().join("anicrafter_body.npz")
}

fn npz() -> Npz {
    Npz::open(asset()).unwrap()
}

fn ints(name: &str) -> (Vec<usize>, Vec<i64>) {
    npz().i64(name).unwrap()
}

fn floats(name: &str) -> (Vec<usize>, Vec<f32>) {
    npz().f32(name).unwrap()
}

fn vertices() -> Vec<[f32; 3]> {
    let (shape, q) = floats("v_template_q");
    assert_eq!(shape, [VERTICES, 3]);
    let scale = floats("v_template_scale").1[0];
    q.as_chunks::<3>().0.iter().map(|v| v.map(|x| x * scale)).collect()
}

fn joints() -> Vec<[f32; 3]> {
    let (shape, j) = floats("J_template");
    assert_eq!(shape, [N_JOINTS, 3]);
    j.as_chunks::<3>().0.to_vec()
}

fn joint(name: &str) -> [f32; 3] {
    joints()[skeleton::joint(name).unwrap()]
}

#[test]
fn it_is_small_and_the_provenance_names_it() {
    assert!(std::fs::metadata(asset()).unwrap().len() <= LIMIT_BYTES);
    let provenance = std::fs::read_to_string(folder().join("PROVENANCE.md")).unwrap();
    assert!(
        provenance.contains(&wheel::sha256_of(&asset()).unwrap()),
        "PROVENANCE.md names another file's sha256"
    );
    assert!(provenance.contains(wheel::SHA256));
}

#[test]
fn arrays_have_the_documented_shapes() {
    assert_eq!(ints("anicrafter_body"), (vec![1], vec![1]));
    let (shape, faces) = ints("f");
    assert_eq!(shape, [TRIANGLES, 3]);
    assert!(faces.iter().all(|&v| (0..VERTICES as i64).contains(&v)));
    assert_eq!(ints("shapedirs_q").0, [10, VERTICES, 3]);
    assert_eq!(floats("J_shapedirs").0, [N_JOINTS, 3, 10]);
    assert_eq!(ints("extra_vertices").0, [landmarks::EXTRA.len()]);
    assert_eq!(ints("lmk_faces_idx").0, [51]);
    assert_eq!(ints("part").0, [VERTICES]);
    for name in ["expr", "pose"] {
        let start = ints(&format!("{name}_start")).1;
        let (shape, vertex) = ints(&format!("{name}_vertex"));
        assert_eq!(*start.last().unwrap() as usize, shape[0]);
        for column in start.windows(2) {
            let members = &vertex[column[0] as usize..column[1] as usize];
            assert!(!members.is_empty() && members.windows(2).all(|w| w[0] < w[1]), "{name}");
        }
    }
    assert!(ints("pose_column").1.windows(2).all(|w| w[0] < w[1]));
    let parents: Vec<i64> = skeleton::PARENTS.iter().map(|&p| i64::from(p)).collect();
    assert_eq!(ints("parents").1, parents);
}

#[test]
fn skinning_weights_sum_to_one_and_fall() {
    let (shape, weights) = ints("weights_q");
    assert_eq!(shape, [VERTICES, 6]);
    let joints = ints("weights_joint").1;
    for (w, j) in weights.chunks_exact(6).zip(joints.chunks_exact(6)) {
        assert_eq!(w.iter().sum::<i64>(), 255);
        assert!(w.windows(2).all(|w| w[0] >= w[1]));
        assert!(j.iter().all(|&j| (0..N_JOINTS as i64).contains(&j)));
    }
}

#[test]
fn joints_lie_in_the_body_and_in_smplx_frame() {
    let vertices = vertices();
    for (j, p) in joints().iter().enumerate() {
        for axis in 0..3 {
            let low = vertices.iter().map(|v| v[axis]).fold(f32::INFINITY, f32::min);
            let high = vertices.iter().map(|v| v[axis]).fold(f32::NEG_INFINITY, f32::max);
            assert!(low < p[axis] && p[axis] < high, "{} on axis {axis}", JOINT_NAMES[j]);
        }
    }
    let height = |pick: fn(f32, f32) -> f32| vertices.iter().map(|v| v[1]).reduce(pick).unwrap();
    assert!((height(f32::min) + 1.30).abs() < 0.01, "soles");
    assert!((height(f32::max) - 0.415).abs() < 0.01, "top of the head");
    assert!((joint("pelvis")[1] + 0.343).abs() < 0.003);
    assert!(joint("left_wrist")[0] > 0.6, "x runs to the body's left");
    assert!(joint("left_foot")[2] > joint("left_ankle")[2], "z runs forward");
}

#[test]
fn the_body_is_its_own_mirror_image() {
    let joints = joints();
    for j in 0..N_JOINTS {
        let [x, y, z] = joints[skeleton::mirror(j)];
        for (a, b) in joints[j].iter().zip([-x, y, z]) {
            assert!((a - b).abs() < 1e-5, "{}", JOINT_NAMES[j]);
        }
    }
    let q = ints("v_template_q").1;
    let mut ours: Vec<[i64; 3]> = q.as_chunks::<3>().0.to_vec();
    let mut mirrored: Vec<[i64; 3]> = ours.iter().map(|&[x, y, z]| [-x, y, z]).collect();
    ours.sort_unstable();
    mirrored.sort_unstable();
    let differing = ours.iter().zip(&mirrored).filter(|(a, b)| a != b).count();
    // A coordinate that lies half-way between two steps may round either way on its two sides.
    assert!(differing <= VERTICES / 100, "{differing} vertices have no mirror image");
}

#[test]
fn triangles_face_outwards() {
    let v = vertices();
    let volume: f32 = ints("f")
        .1
        .as_chunks::<3>()
        .0
        .iter()
        .map(|t| {
            let [a, b, c] = t.map(|i| v[i as usize]);
            a[0] * (b[1] * c[2] - b[2] * c[1])
                + a[1] * (b[2] * c[0] - b[0] * c[2])
                + a[2] * (b[0] * c[1] - b[1] * c[0])
        })
        .sum::<f32>()
        / 6.0;
    assert!((0.06..0.09).contains(&volume), "a person of {:.0} litres", volume * 1000.0);
}

#[test]
fn named_vertices_lie_where_their_names_say() {
    let v = vertices();
    let named = ints("extra_vertices").1;
    let at = |name: &str| v[named[landmarks::EXTRA.iter().position(|n| *n == name).unwrap()] as usize];
    let front = |p: [f32; 3]| p[2];
    assert!(front(at("nose")) > front(joint("left_eye_smplhf")));
    assert!(at("lear")[0] > 0.05 && at("rear")[0] < -0.05);
    assert!(at("LHeel")[2] < at("LBigToe")[2] && at("LBigToe")[0] < at("LSmallToe")[0]);
    for (tip, last) in [("lthumb", "left_thumb3"), ("lindex", "left_index3"), ("lpinky", "left_pinky3")] {
        let (tip, last) = (at(tip), joint(last));
        let apart = tip.iter().zip(last).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(tip[0] > last[0] && (0.01..0.05).contains(&apart), "{apart}");
    }
}

#[test]
fn the_body_crate_loads_and_poses_it() {
    let model = BodyModel::open(asset()).unwrap();
    assert_eq!((model.n_vertices(), model.n_betas(), model.n_expressions()), (VERTICES, 10, 10));
    assert_eq!(model.faces().len(), TRIANGLES);
    let rest = model.forward(&Frame::REST).unwrap();
    for (a, b) in rest.vertices.iter().flatten().zip(vertices().iter().flatten()) {
        assert!((a - b).abs() < 1e-5);
    }
    // Lowering the left arm moves the left hand down, and the right hand not at all.
    let mut pose = [[0.0; 3]; N_JOINTS];
    pose[16] = [0.0, 0.0, -1.2];
    let posed = model.forward(&Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST }).unwrap();
    let named = ints("extra_vertices").1;
    let [left, right] = [12, 17].map(|i| named[i] as usize);
    assert!(posed.vertices[left][1] < rest.vertices[left][1] - 0.5);
    assert!((posed.vertices[right][1] - rest.vertices[right][1]).abs() < 1e-5);
}

#[test]
fn the_skeleton_is_the_body_crates() {
    assert_eq!(skeleton::NAMES.len(), N_JOINTS);
    for j in 0..N_JOINTS {
        assert_eq!(
            skeleton::NAMES[j].trim_end_matches("_smplhf"),
            JOINT_NAMES[j].trim_end_matches("_smplhf")
        );
        let parent = usize::try_from(skeleton::PARENTS[j]).ok();
        assert_eq!(parent, PARENTS[j].map(usize::from), "{}", skeleton::NAMES[j]);
    }
}
