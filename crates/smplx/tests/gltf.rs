//! The exported glTF, read back by an independent reader that validates it.

use anicrafter_smplx::export::{Axes, glb};
use anicrafter_smplx::synthetic::{self, Size};
use anicrafter_smplx::{BodyPose, Frame, Motion, MotionFrame, Rotations};

#[test]
fn an_independent_reader_sees_the_same_body_and_motion() {
    let size = Size { n_vertices: 90, n_betas: 3, n_expressions: 2, n_weights: 6 };
    let mut arrays = synthetic::arrays(size, 5);
    arrays.pose_dirs.clear();
    let model = anicrafter_smplx::BodyModel::from_arrays(arrays).unwrap();
    let frame = |i: u64| MotionFrame {
        pose: BodyPose::from_full(&synthetic::pose(1.2, i)),
        translation: [0.1 * i as f32, 0.0, 2.0],
        betas: vec![0.5, -1.0, 0.25],
        ..MotionFrame::default()
    };
    let motion = Motion::new(25.0, (0..4).map(frame).collect()).unwrap();
    let gltf::Gltf { document, blob } =
        gltf::Gltf::from_slice(&glb(&model, &motion, Axes::YUp).unwrap()).unwrap();
    let blob = blob.unwrap();

    let read = |_: gltf::Buffer<'_>| Some(blob.as_slice());
    let primitive = document.meshes().next().unwrap().primitives().next().unwrap();
    let reader = primitive.reader(read);
    let positions: Vec<[f32; 3]> = reader.read_positions().unwrap().collect();
    let indices: Vec<u32> = reader.read_indices().unwrap().into_u32().collect();
    assert_eq!(indices, model.faces().as_flattened());
    let joints: Vec<Vec<[u16; 4]>> =
        (0..2).map(|s| reader.read_joints(s).unwrap().into_u16().collect()).collect();
    let weights: Vec<Vec<[f32; 4]>> =
        (0..2).map(|s| reader.read_weights(s).unwrap().into_f32().collect()).collect();
    let skin = document.skins().next().unwrap();
    assert_eq!(skin.joints().count(), 55);
    let inverse_bind: Vec<[[f32; 4]; 4]> = skin.reader(read).read_inverse_bind_matrices().unwrap().collect();

    // Pose the third frame the way a viewer does: local transforms down the tree, then blend.
    let at = 2;
    let nodes: Vec<_> = document.nodes().collect();
    let mut rotations = vec![[0.0, 0.0, 0.0, 1.0]; nodes.len()];
    let mut translations: Vec<[f32; 3]> = nodes.iter().map(|n| n.transform().decomposed().0).collect();
    for channel in document.animations().next().unwrap().channels() {
        let node = channel.target().node().index();
        let reader = channel.reader(read);
        let times: Vec<f32> = reader.read_inputs().unwrap().collect();
        assert_eq!(times, [0.0, 1.0 / 25.0, 2.0 / 25.0, 3.0 / 25.0]);
        match reader.read_outputs().unwrap() {
            gltf::animation::util::ReadOutputs::Rotations(r) => {
                rotations[node] = r.into_f32().nth(at).unwrap();
            }
            gltf::animation::util::ReadOutputs::Translations(mut t) => {
                translations[node] = t.nth(at).unwrap();
            }
            _ => panic!("only rotations and translations"),
        }
    }
    let mut world = vec![anicrafter_smplx::AFFINE_IDENTITY; nodes.len()];
    let mut stack: Vec<(usize, anicrafter_smplx::Affine)> = document
        .default_scene()
        .unwrap()
        .nodes()
        .map(|n| (n.index(), anicrafter_smplx::AFFINE_IDENTITY))
        .collect();
    while let Some((node, above)) = stack.pop() {
        let [x, y, z, w] = rotations[node];
        let local = anicrafter_smplx::affine(
            &anicrafter_smplx::rotation::matrix_from_quat([w, x, y, z]),
            translations[node],
        );
        world[node] = anicrafter_smplx::compose(&above, &local);
        stack.extend(nodes[node].children().map(|c| (c.index(), world[node])));
    }
    let joint_nodes: Vec<usize> = skin.joints().map(|n| n.index()).collect();
    let pose = motion.frames[at].pose.full();
    let frame = Frame {
        betas: &motion.frames[at].betas,
        rotations: Rotations::AxisAngle(&pose),
        translation: motion.frames[at].translation,
        ..Frame::REST
    };
    let expected = model.forward(&frame).unwrap().vertices;
    for (v, position) in positions.iter().enumerate() {
        let mut posed = [0.0; 3];
        for set in 0..2 {
            for i in 0..4 {
                let joint = usize::from(joints[set][v][i]);
                let m = inverse_bind[joint];
                let bound = std::array::from_fn(|k| position[k] + m[3][k]);
                let moved = anicrafter_smplx::transform_point(&world[joint_nodes[joint]], bound);
                posed = std::array::from_fn(|k| posed[k] + weights[set][v][i] * moved[k]);
            }
        }
        let worst = (0..3).map(|k| (posed[k] - expected[v][k]).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "vertex {v}: {worst}");
    }
}
