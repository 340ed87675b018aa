//! `lhm_end_to_end`: picture, mask and head box to the ten entries of `*_gaussian.pth`, and to the file.

use super::{box_of, compare_rows, mask, picture, samples};
use crate::kinds::tensor::weights;
use anyhow::{Context, Result, ensure};
use avatar_render::{Avatar, Colors};
use candle_core::Device;
use lhm::{Config, Input, Model, QueryPoints, body_picture, head_picture};
use nn::Recording;
use smplx::{BodyModel, LoadOptions, affine_to_4x4};
use testkit::{Case, Checker};

pub(in crate::kinds) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let mut json = case.config().clone();
    for part in ["encoder", "fine_encoder", "preprocess"] {
        json[part] = case.json[part].clone();
    }
    let config: Config = serde_json::from_value(json.clone()).context("config")?;
    let file =
        |key: &str| anyhow::Ok(case.dir.join(case.json[key].as_str().with_context(|| format!("no {key}"))?));
    let options = LoadOptions {
        max_betas: json["shape_param_dim"].as_u64().context("shape_param_dim")? as usize,
        max_expressions: json["expr_param_dim"].as_u64().context("expr_param_dim")? as usize,
    };
    let body = BodyModel::open_with(&file("model_file")?, options)?;
    let points = QueryPoints::new(&body, &smplx::ply_points(&std::fs::read(file("dense_points_file")?)?)?)?;
    let model =
        Model::new(&config, &weights(case, "", device)?, &weights(case, "fine_encoder.model.", device)?)?;
    let (rgb, mask) = (picture(case.inputs.u8("picture_u8")?)?, mask(case.inputs.u8("mask_u8")?)?);
    let body_picture = body_picture(&rgb, &mask, &config.preprocess)?;
    let index = case.inputs.i64("sample_index")?.data;
    let size = body_picture.height * body_picture.width;
    check.f32("image_samples", &[3, index.len()], &samples(&body_picture.rgb, size, &index));
    let betas = case.inputs.f32("betas")?.data;

    for (name, run) in case.named_runs()? {
        let head = head_picture(&rgb, &mask, box_of(&case.input_f32(name, "box")?)?, &config.preprocess)?;
        let ratio = run["body_ratio"].as_f64().context("body_ratio")? as f32;
        let input = Input {
            body: &body_picture,
            head: head.to_tensor(device)?,
            has_head: head.pixels.is_some(),
            betas: &betas,
            body_ratio: ratio,
        };
        let mut seen = Recording::default();
        let avatar = model.avatar(&input, &points, &mut seen)?;
        let full = |tensor: &str| format!("{name}.{tensor}");
        if let Some(pixels) = &head.pixels
            && check.expects(&full("head_u8"))
        {
            check.u8(&full("head_u8"), &[head.size, head.size, 3], pixels);
        }
        for (shown, tensor) in [
            ("body_features", "body_feature_rows"),
            ("head_features", "head_feature_rows"),
            ("latent_points", "latent_points"),
        ] {
            let value = &seen.values.get(shown).with_context(|| format!("{shown} wasn't shown"))?[0];
            if check.expects(&full(tensor)) {
                let stride = value.dim(1)? / case.outputs.shape(&full(tensor))?[1];
                compare_rows(case, check, &full(tensor), value, stride)?;
            }
        }
        entries(check, name, &avatar)?;
        if name == "person" {
            written(case, &avatar)?;
        }
    }
    Ok(())
}

/// The list that the original writes.
fn entries(check: &mut Checker<'_>, name: &str, avatar: &Avatar) -> Result<()> {
    let (g, body) = (&avatar.gaussians, avatar.lhm.as_ref().context("no body data")?);
    let Colors::Rgb(rgb) = &g.colors else { anyhow::bail!("no colours") };
    let n = g.len();
    let mut entry =
        |tensor: &str, shape: &[usize], values: &[f32]| check.f32(&format!("{name}.{tensor}"), shape, values);
    entry("offset_xyz", &[n, 3], body.offset.as_flattened());
    entry("query_points", &[n, 3], body.query.as_flattened());
    entry("rgb", &[n, 3], rgb.as_flattened());
    entry("opacity", &[n, 1], &g.opacities);
    entry("scaling", &[n, 3], g.scales.as_flattened());
    entry("rotation", &[n, 4], g.rotations.as_flattened());
    let transforms: Vec<f32> =
        body.neutral_to_zero.iter().flat_map(|t| affine_to_4x4(t).as_flattened().to_vec()).collect();
    entry("transform_mat_neutral_pose", &[55, 4, 4], &transforms);
    entry("betas", &[body.betas.len()], &body.betas);
    check.i64(&format!("{name}.have_head"), &[1], &[i64::from(body.has_face)]);
    Ok(())
}

/// The file that the original wrote, beside the one that is written here.
fn written(case: &Case, avatar: &Avatar) -> Result<()> {
    let Some(file) = case.json["gaussian_file"].as_str() else { return Ok(()) };
    let theirs = Avatar::open(case.dir.join(file))?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("avatar_gaussian.pth");
    avatar.save(&path)?;
    let ours = Avatar::open(&path)?;
    ensure!(ours == *avatar, "what is written isn't what is read");
    let (a, b) =
        (theirs.lhm.context("no body data in the original's file")?, ours.lhm.context("no body data")?);
    ensure!(a.body_ratio == b.body_ratio, "body ratio {} instead of {}", b.body_ratio, a.body_ratio);
    ensure!(a.has_face == b.has_face, "has_face {} instead of {}", b.has_face, a.has_face);
    ensure!(theirs.gaussians.len() == avatar.gaussians.len(), "another number of Gaussians");
    Ok(())
}
