//! `avatar_animate`: an avatar's points through the neutral, zero and posed body.

use anyhow::{Context, Result, ensure};
use smplx::{AvatarPoints, BodyModel, BodyPose, LoadOptions, PointBinding, PointFrame, PointSkin, Rotations};
use testkit::{Array, Case, Checker};

/// Left and right shoulder of the A pose, in which the reference also poses the avatar: 30 degrees down.
const SHOULDERS: [(usize, f32); 2] = [(15, -1.0), (16, 1.0)];

/// Runs the case.
///
/// # Errors
/// When the case can't be read or something doesn't fit the model.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    let config = |key: &str| {
        case.config()[key].as_u64().map(|n| n as usize).with_context(|| format!("config has no {key}"))
    };
    let file = case.dir.join(case.json["model_file"].as_str().context("the case names no model_file")?);
    let options =
        LoadOptions { max_betas: config("shape_param_dim")?, max_expressions: config("expr_param_dim")? };
    let mut model = BodyModel::open_with(&file, options)?;
    if case.inputs.contains("flame_expr_dirs") {
        let directions = case.inputs.f32("flame_expr_dirs")?.data;
        model.replace_expression_directions(&indices(case, "face_vertex_idx")?, &directions)?;
    }
    let binding = PointBinding::nearest_vertex(&triples(&case.inputs.f32("dense_pts")?), model.v_template())?;
    let n = binding.len();
    let constrained = binding.follows_any(&indices(case, "constrain_body_vertex_idx")?);
    check_products(case, checker, &model, &binding)?;

    let input = |tensor: &str| case.inputs.f32(tensor);
    let rotation = input("rotation")?.data.as_chunks::<4>().0.to_vec();
    let matrices = input("transform_mat_neutral_pose")?.data;
    ensure!(matrices.len() == 55 * 16, "transform_mat_neutral_pose has {} elements", matrices.len());
    let neutral_to_zero = std::array::from_fn(|j| {
        std::array::from_fn(|r| std::array::from_fn(|c| matrices[j * 16 + r * 4 + c]))
    });
    let (query, offset) = (triples(&input("query_points")?), triples(&input("offset_xyz")?));
    let scaling = triples(&input("scaling")?);
    let avatar = AvatarPoints {
        query: &query,
        offset: &offset,
        scaling: &scaling,
        rotation: &rotation,
        neutral_to_zero: &neutral_to_zero,
        constrained: &constrained,
    };
    for (index, (name, _)) in case.named_runs()?.into_iter().enumerate() {
        let own = |tensor: &str| Ok::<_, anyhow::Error>(case.input_f32(name, tensor)?.data);
        let betas = own("betas")?;
        let skin = PointSkin::new(&model, binding.clone(), &avatar, &betas)?;
        let pose = BodyPose {
            root: vector(&own("root_pose")?),
            body: rotations(&own("body_pose")?),
            jaw: vector(&own("jaw_pose")?),
            left_eye: vector(&own("leye_pose")?),
            right_eye: vector(&own("reye_pose")?),
            left_hand: rotations(&own("lhand_pose")?),
            right_hand: rotations(&own("rhand_pose")?),
        }
        .full();
        let frame = PointFrame {
            rotations: Rotations::AxisAngle(&pose),
            expression: &own("expr")?,
            translation: vector(&own("trans")?),
        };
        let posed = skin.pose(&model, &frame)?;
        let mut a_pose = BodyPose::default();
        for (joint, sign) in SHOULDERS {
            a_pose.body[joint][2] = sign * std::f32::consts::FRAC_PI_6;
        }
        let a_pose = a_pose.full();
        let rest =
            PointFrame { rotations: Rotations::AxisAngle(&a_pose), expression: &[], translation: [0.0; 3] };
        let canonical = skin.pose(&model, &rest)?;
        let mut check = |what: &str, shape: &[usize], values: &[f32]| {
            checker.f32(&format!("{name}.{what}"), shape, values);
        };
        check("gaussian_xyz", &[n, 3], posed.means.as_flattened());
        check("canonical_xyz", &[n, 3], canonical.means.as_flattened());
        check("gaussian_rotation", &[n, 4], posed.rotations.as_flattened());
        check("canonical_rotation", &[n, 4], canonical.rotations.as_flattened());
        check("gaussian_scaling", &[n, 3], skin.scaling().as_flattened());
        let rigid = [posed.rigid.as_flattened(), canonical.rigid.as_flattened()].concat();
        check("rigid_rotation_quat", &[2, n, 4], &rigid);
        // Colour and opacity are handed on as they are.
        let (rgb, opacity) = (input("shs")?, input("opacity")?);
        check("gaussian_rgb", &rgb.shape, &rgb.data);
        check("gaussian_opacity", &opacity.shape, &opacity.data);
        if index == 0 {
            checker.f32("joint_zero_pose", &[1, 55, 3], skin.rest_joints().as_flattened());
        }
    }
    Ok(())
}

/// What the reference computes once, when it binds the points.
fn check_products(
    case: &Case,
    checker: &mut Checker<'_>,
    model: &BodyModel,
    binding: &PointBinding,
) -> Result<()> {
    let vertices = binding.main_vertices();
    let n = vertices.len();
    let index: Vec<i64> = vertices.iter().map(|v| (*v).into()).collect();
    checker.i64("query_index", &[n], &index);
    checker.f32("skinning_weight", &[n, 55], &binding.weights(model)?.to_dense());
    let directions = |n_points: usize, n_columns: usize, of: &dyn Fn(usize, usize) -> [f32; 3]| {
        let mut flat = vec![0.0; n_points * 3 * n_columns];
        for (i, point) in flat.chunks_exact_mut(3 * n_columns).enumerate() {
            for c in 0..n_columns {
                for (k, d) in of(vertices[i] as usize, c).into_iter().enumerate() {
                    point[k * n_columns + c] = d;
                }
            }
        }
        flat
    };
    let (s, e) = (model.n_betas(), model.n_expressions());
    checker.f32("shape_dirs", &[n, 3, s], &directions(n, s, &|v, c| model.shape_direction(v, c)));
    // The case holds those of the first points only.
    let some = case.outputs.shape("expr_dirs")?[0].min(n);
    let expression = directions(some, e, &|v, c| model.expression_direction(v, c));
    checker.f32("expr_dirs", &[some, 3, e], &expression);
    for (mask, list) in [
        ("is_constrain_body", "constrain_body_vertex_idx"),
        ("is_rhand", "rhand_vertex_idx"),
        ("is_lhand", "lhand_vertex_idx"),
        ("is_face", "face_vertex_idx"),
    ] {
        let mask_values: Vec<u8> =
            binding.follows_any(&indices(case, list)?).iter().map(|m| u8::from(*m)).collect();
        checker.u8(mask, &[n], &mask_values);
    }
    Ok(())
}

fn indices(case: &Case, tensor: &str) -> Result<Vec<u32>> {
    Ok(case.inputs.i64(tensor)?.data.into_iter().map(u32::try_from).collect::<Result<_, _>>()?)
}

fn triples(array: &Array<f32>) -> Vec<[f32; 3]> {
    array.data.as_chunks::<3>().0.to_vec()
}

fn vector(values: &[f32]) -> [f32; 3] {
    std::array::from_fn(|k| values[k])
}

fn rotations<const N: usize>(values: &[f32]) -> [[f32; 3]; N] {
    std::array::from_fn(|j| std::array::from_fn(|k| values[j * 3 + k]))
}
