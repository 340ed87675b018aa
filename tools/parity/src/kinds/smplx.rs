//! `smplx`: the forward pass of the `smplx` Python package.

use anyhow::{Context, Result, ensure};
use smplx::{BodyModel, BodyPose, Frame, HandMean, LoadOptions, Rotations};
use testkit::{Case, Checker};

/// Runs the case.
///
/// # Errors
/// When the case can't be read or a forward pass fails.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    let n_betas = case.config()["num_betas"].as_u64().context("config has no num_betas")? as usize;
    let file = case.dir.join(case.json["model_file"].as_str().context("the case names no model_file")?);
    for (name, run) in case.named_runs()? {
        let scalar = |key: &str| run.get(key).with_context(|| format!("run {name} has no {key}"));
        let max_expressions = scalar("num_expression_coeffs")?.as_u64().context("not a number")? as usize;
        let flat = scalar("flat_hand_mean")?.as_bool().context("not a boolean")?;
        let with_translation = scalar("transl")?.as_bool().context("not a boolean")?;
        let model = BodyModel::open_with(&file, LoadOptions { max_betas: n_betas, max_expressions })?;
        let hands = if flat { HandMean::Flat } else { HandMean::Model };

        let betas = case.input_f32(name, "betas")?;
        let [n, s] = betas.shape[..] else { anyhow::bail!("betas have shape {:?}", betas.shape) };
        let expression = case.input_f32(name, "expression")?;
        let e = expression.shape[1];
        let part = |tensor: &str, joints: usize| -> Result<Vec<f32>> {
            let part = case.input_f32(name, tensor)?;
            ensure!(part.data.len() == n * joints * 3, "{name}.{tensor} has shape {:?}", part.shape);
            Ok(part.data)
        };
        let (root, body) = (part("global_orient", 1)?, part("body_pose", 21)?);
        let (jaw, left_eye, right_eye) = (part("jaw_pose", 1)?, part("leye_pose", 1)?, part("reye_pose", 1)?);
        let (left, right) = (part("left_hand_pose", 15)?, part("right_hand_pose", 15)?);
        let translation = if with_translation { part("transl", 1)? } else { vec![0.0; n * 3] };
        let poses = (0..n).map(|i| {
            let pose = BodyPose {
                root: joints::<1>(&root, i)[0],
                body: joints(&body, i),
                jaw: joints::<1>(&jaw, i)[0],
                left_eye: joints::<1>(&left_eye, i)[0],
                right_eye: joints::<1>(&right_eye, i)[0],
                left_hand: joints(&left, i),
                right_hand: joints(&right, i),
            };
            model.full_pose(&pose, hands)
        });
        let poses = poses.collect::<smplx::Result<Vec<_>>>()?;
        let frames: Vec<Frame<'_>> = (0..n)
            .map(|i| Frame {
                betas: &betas.data[i * s..(i + 1) * s],
                expression: &expression.data[i * e..(i + 1) * e],
                rotations: Rotations::AxisAngle(&poses[i]),
                translation: joints::<1>(&translation, i)[0],
            })
            .collect();
        // All frames at once, and each alone: the two go through different loops.
        let mut posed = model.forward_batch(&frames)?;
        for (frame, posed) in frames.iter().zip(&mut posed).skip(1).step_by(2) {
            *posed = model.forward(frame)?;
        }
        let v = model.n_vertices();
        let vertices: Vec<f32> = posed.iter().flat_map(|p| p.vertices.as_flattened()).copied().collect();
        let joints: Vec<f32> =
            posed.iter().flat_map(|p| p.joints.positions.as_flattened()).copied().collect();
        checker.f32(&format!("{name}.vertices"), &[n, v, 3], &vertices);
        checker.f32(&format!("{name}.joints55"), &[n, 55, 3], &joints);
        let full: Vec<f32> = poses.iter().flat_map(|p| p.as_flattened()).copied().collect();
        checker.f32(&format!("{name}.full_pose"), &[n, 165], &full);
        let mut shaped = Vec::new();
        for frame in &frames {
            shaped.extend(model.shaped(frame.betas, &[])?.into_flattened());
        }
        checker.f32(&format!("{name}.v_shaped"), &[n, v, 3], &shaped);
    }
    Ok(())
}

/// The rotations of `N` joints in row `i`.
fn joints<const N: usize>(values: &[f32], i: usize) -> [[f32; 3]; N] {
    std::array::from_fn(|j| std::array::from_fn(|k| values[(i * N + j) * 3 + k]))
}
