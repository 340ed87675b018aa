//! `lhm_points`: from a body and dense points to query points, marks and embedded points.

use super::{compare, indices};
use crate::kinds::tensor::weights;
use anyhow::{Context, Result};
use candle_core::Device;
use lhm::{LOWER_BODY, PointEmbed, QueryPoints, follows_joints};
use smplx::{BodyModel, LoadOptions, affine_to_4x4};
use testkit::{Case, Checker};

pub(in crate::kinds) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config = |key: &str| {
        case.config()[key].as_u64().map(|n| n as usize).with_context(|| format!("config has no {key}"))
    };
    let file =
        |key: &str| anyhow::Ok(case.dir.join(case.json[key].as_str().with_context(|| format!("no {key}"))?));
    let options =
        LoadOptions { max_betas: config("shape_param_dim")?, max_expressions: config("expr_param_dim")? };
    let mut body = BodyModel::open_with(&file("model_file")?, options)?;
    let face = indices(case, "face_vertex_idx")?;
    let flame = case.inputs.f32("flame_expr_dirs")?.data;
    body.replace_expression_directions(&face, &flame)?;
    let dense = smplx::ply_points(&std::fs::read(file("dense_points_file")?)?)?;
    let embed = PointEmbed::load(config("hidden_dim")?, config("dim")?, &weights(case, "", device)?)?;
    for (name, _) in case.named_runs()? {
        let points = QueryPoints::new(&body, &dense)?;
        let n = points.positions.len();
        let full = |tensor: &str| format!("{name}.{tensor}");
        let vertices = points.binding.main_vertices();
        let joint_weights = points.binding.weights(&body)?;
        check.i64(&full("query_index"), &[n], &vertices.iter().map(|v| i64::from(*v)).collect::<Vec<_>>());
        check.f32(&full("query_points"), &[1, n, 3], points.positions.as_flattened());
        let transforms: Vec<f32> =
            points.neutral_to_zero.iter().flat_map(|t| affine_to_4x4(t).as_flattened().to_vec()).collect();
        check.f32(&full("transform_mat_neutral_pose"), &[1, 55, 4, 4], &transforms);
        check.f32(&full("skinning_weight"), &[n, 55], &joint_weights.to_dense());

        let columns = |some: usize, count: usize, of: &dyn Fn(usize, usize) -> [f32; 3]| {
            let mut flat = Vec::new();
            for vertex in &vertices[..some] {
                let directions: Vec<[f32; 3]> = (0..count).map(|c| of(*vertex as usize, c)).collect();
                flat.extend((0..3).flat_map(|k| directions.iter().map(move |d| d[k])));
            }
            flat
        };
        let (s, e) = (body.n_betas(), body.n_expressions());
        check.f32(&full("shape_dirs"), &[n, 3, s], &columns(n, s, &|v, c| body.shape_direction(v, c)));
        // The case holds those of the first points only.
        let some = case.outputs.shape(&full("expr_dirs"))?[0].min(n);
        check.f32(
            &full("expr_dirs"),
            &[some, 3, e],
            &columns(some, e, &|v, c| body.expression_direction(v, c)),
        );

        let constrained: Vec<u32> = (0..)
            .zip(case.inputs.f32("constrain_masks")?.data)
            .filter(|(_, m)| *m > 0.0)
            .map(|(i, _)| i)
            .collect();
        let of = |vertices: &[u32]| points.binding.follows_any(vertices);
        for (tensor, marks) in [
            ("is_rhand", of(&indices(case, "rhand_vertex_idx")?)),
            ("is_lhand", of(&indices(case, "lhand_vertex_idx")?)),
            ("is_face", of(&face)),
            ("is_face_expr", of(&moving(case, &face, &flame)?)),
            ("is_constrain_body", of(&constrained)),
            ("is_lower_body", follows_joints(&joint_weights, &LOWER_BODY)),
            ("is_upper_body", points.is_upper_body.clone()),
        ] {
            check.u8(&full(tensor), &[n], &marks.iter().map(|m| u8::from(*m)).collect::<Vec<_>>());
        }

        let octaves = embed.octaves();
        let basis: Vec<f32> = (0..3)
            .flat_map(|axis| {
                let octaves = &octaves;
                (0..3).flat_map(move |k| octaves.iter().map(move |o| if k == axis { *o } else { 0.0 }))
            })
            .collect();
        check.f32(&full("basis"), &[3, 3 * octaves.len()], &basis);
        check.f32(&full("embedding"), &[1, n, 6 * octaves.len()], &embed.waves(&points.positions));
        compare(check, &full("embed"), &embed.forward(&points.positions, device)?)?;
    }
    Ok(())
}

/// The face's vertices that expressions move, without those of FLAME's neck and eyeballs.
fn moving(case: &Case, face: &[u32], directions: &[f32]) -> Result<Vec<u32>> {
    const NECK_AND_EYES: [usize; 3] = [0, 3, 4];
    let weights = case.inputs.f32("flame_weights")?;
    let joints = weights.shape[1];
    let strongest = |row: &[f32]| (0..joints).fold(0, |best, j| if row[j] > row[best] { j } else { best });
    let of_vertex = directions.len() / face.len().max(1);
    Ok(face
        .iter()
        .zip(directions.chunks_exact(of_vertex).zip(weights.data.chunks_exact(joints)))
        .filter(|(_, (d, w))| d.iter().any(|x| *x != 0.0) && !NECK_AND_EYES.contains(&strongest(w)))
        .map(|(vertex, _)| *vertex)
        .collect())
}
