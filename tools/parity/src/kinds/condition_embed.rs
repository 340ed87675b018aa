//! Kind `condition_embed`: from bytes to the condition tokens.

use super::pictures::{rgb_image, rgb_images};
use super::tensor::{to_f32, weights};
use anyhow::{Result, bail};
use candle_core::Device;
use conditioning::{Clip, ConditionEmbedder, Rounding, Strides, condition_tokens};
use testkit::{Case, Checker};

pub fn run(case: &Case, checker: &mut Checker<'_>, device: &Device) -> Result<()> {
    let Some(dim) = case.config()["dim"].as_u64() else { bail!("the config has no dim") };
    let strides = Strides::of(&vae::Config::wan_2_1());
    let weights = weights(case, "", device)?;
    let blend_embedding = ConditionEmbedder::load(usize::try_from(dim)?, &weights.pp("blend_embedding"))?;
    let smplx_embedding = ConditionEmbedder::load(usize::try_from(dim)?, &weights.pp("smplx_embedding"))?;
    for (name, _) in case.named_runs()? {
        let reference = rgb_image(case.input_u8(name, "ref_u8")?)?;
        // The last frame is lost to the reference picture.
        let behind = |input: &str| -> Result<_> {
            let mut frames = rgb_images(case.input_u8(name, input)?)?;
            frames.pop();
            Ok(frames)
        };
        let (blend, smplx) = (behind("blend_u8")?, behind("smplx_u8")?);
        let clip = Clip::new(&reference, &blend, &smplx, strides)?;
        let [blend_input, smplx_input] = clip.embedder_inputs(device)?;
        let blend_output = blend_embedding.forward(&blend_input)?;
        let smplx_output = smplx_embedding.forward(&smplx_input)?;
        let outputs = [
            ("ref_combine_blend_tensor", &clip.blend_frames(device)?),
            ("ref_combine_smplx_tensor", &clip.mesh_frames(device)?),
            ("combine_mask", &clip.embedder_mask(device)?),
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
