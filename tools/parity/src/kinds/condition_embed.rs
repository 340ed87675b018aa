//! Kind `condition_embed`: from bytes to the condition tokens.

use super::tensor::{to_f32, weights};
use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use dit::condition::{combine_mask, embedder_input, frames_from_rgb, shift_frames};
use dit::{ConditionEmbedder, Rounding, condition_tokens};
use serde_json::Value;
use testkit::{Array, Case, Checker};

pub fn run(case: &Case, checker: &mut Checker<'_>, device: &Device) -> Result<()> {
    let Some(dim) = case.config()["dim"].as_u64() else { bail!("the config has no dim") };
    let weights = weights(case, "", device)?;
    let blend_embedding = ConditionEmbedder::load(usize::try_from(dim)?, &weights.pp("blend_embedding"))?;
    let smplx_embedding = ConditionEmbedder::load(usize::try_from(dim)?, &weights.pp("smplx_embedding"))?;
    for (name, run) in case.named_runs()? {
        let frames = |input: &str| frames(case.input_u8(name, input)?, run, device);
        let reference = frames("ref_u8")?;
        let blend = shift_frames(&reference, &frames("blend_u8")?)?;
        let smplx = shift_frames(&reference, &frames("smplx_u8")?)?;
        let mask = combine_mask(&smplx)?;
        let blend_input = embedder_input(&mask, &blend)?;
        let smplx_input = embedder_input(&mask, &smplx)?;
        let blend_output = blend_embedding.forward(&blend_input)?;
        let smplx_output = smplx_embedding.forward(&smplx_input)?;
        let outputs = [
            ("ref_combine_blend_tensor", &blend),
            ("ref_combine_smplx_tensor", &smplx),
            ("combine_mask", &mask),
            ("blend_embedding_input", &blend_input),
            ("smplx_embedding_input", &smplx_input),
            ("blend_embedding_output", &blend_output),
            ("smplx_embedding_output", &smplx_output),
            ("condition", &condition_tokens(&blend_output, &smplx_output, Rounding::None)?),
        ];
        for (tensor, value) in outputs {
            let full = format!("{name}.{tensor}");
            if checker.expects(&full) {
                checker.f32(&full, value.dims(), &to_f32(value)?);
            }
        }
    }
    Ok(())
}

/// `[F, H, W, 3]` or `[H, W, 3]` bytes as `[3, F, H, W]`.
fn frames(array: Array<u8>, run: &Value, device: &Device) -> Result<Tensor> {
    let (f, h, w) = match array.shape[..] {
        [f, h, w, 3] => (f, h, w),
        [h, w, 3] => (1, h, w),
        _ => bail!("run {}: not pictures: {:?}", run["name"], array.shape),
    };
    Ok(frames_from_rgb(&array.data, [f, h, w], device)?)
}
