//! `dinov2` and `sapiens`: pictures to features, step by step; Sapiens' weights once more from a TorchScript archive.

use super::{compare, picture, tensor_of};
use crate::kinds::tensor::{to_f32, weights, weights_as};
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use encoders::{dinov2, sapiens};
use nn::{Recording, Weights};
use std::sync::Arc;
use testkit::{Case, Checker};

pub(in crate::kinds) fn dinov2(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: dinov2::Config = serde_json::from_value(case.config().clone()).context("config")?;
    let model = dinov2::Encoder::new(&config, &weights(case, "", device)?)?;
    for (name, _) in case.named_runs()? {
        let picture = tensor_of(&picture(case.input_u8(name, "image_u8")?)?, device)?;
        let pixels = model.preprocess(&picture)?;
        compare(check, &format!("{name}.pixels"), &pixels)?;
        let mut seen = Recording::default();
        model.forward(&pixels, &mut seen)?;
        show(check, name, &seen)?;
    }
    Ok(())
}

pub(in crate::kinds) fn sapiens(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: sapiens::Config = serde_json::from_value(case.config().clone()).context("config")?;
    let layers = config.arch.num_layers;
    let dense = weights(case, "model.", device)?;
    let model = sapiens::Encoder::new(&config, &dense.pp("backbone"))?;
    let half = weights_as(case, "model.", DType::BF16, device)?;
    let half = sapiens::Encoder::new(&config, &half.pp("backbone"))?;
    // The same weights as the published file has them.
    let archive = match case.json["torchscript_file"].as_str() {
        Some(file) => {
            let checkpoint =
                checkpoint::Checkpoint::open_model(checkpoint::Model::Sapiens, &[case.dir.join(file)])?;
            let checkpoint = Arc::new(checkpoint);
            let weights = Weights::new(checkpoint.clone(), DType::F32, device);
            Some((sapiens::Encoder::new(&config, &weights.pp("backbone"))?, checkpoint))
        }
        None => None,
    };
    for (name, _) in case.named_runs()? {
        let picture = tensor_of(&picture(case.input_u8(name, "image_u8")?)?, device)?;
        let pixels = model.preprocess(&picture)?;
        compare(check, &format!("{name}.pixels"), &pixels)?;
        let mut seen = Recording::default();
        let out = model.forward(&pixels, &mut seen)?;
        if let Some(last) = seen.values.get(&format!("layer{}", layers - 1)) {
            compare(check, &format!("{name}.layer_last"), &last[0])?;
        }
        show(check, name, &seen)?;
        let rounded = half.forward(&pixels, &mut ())?;
        compare(check, &format!("bf16.{name}.out"), &rounded)?;
        if let Some((model, checkpoint)) = &archive {
            ensure!(
                to_f32(&model.forward(&pixels, &mut ())?)? == to_f32(&out)?,
                "{name}: the archive's weights differ"
            );
            checkpoint.report().strict()?;
        }
    }
    Ok(())
}

fn show(check: &mut Checker<'_>, run: &str, seen: &Recording) -> Result<()> {
    for (tensor, values) in &seen.values {
        for value in values {
            compare(check, &format!("{run}.{tensor}"), value)?;
        }
    }
    Ok(())
}
