//! `lhm_heads`: features to Gaussians at several steps of the training.

use super::compare;
use crate::kinds::tensor::{from_array, weights};
use anyhow::{Context, Result};
use candle_core::Device;
use lhm::{Heads, HeadsConfig};
use testkit::{Case, Checker};

pub(in crate::kinds) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: HeadsConfig = serde_json::from_value(case.config().clone()).context("config")?;
    let heads = Heads::load(&config, &weights(case, "", device)?)?;
    let features = from_array(case.inputs.f32("features")?, device)?;
    let upper: Vec<bool> = case.inputs.u8("is_upper_body")?.data.iter().map(|v| *v != 0).collect();
    let features = heads.mlp(&features)?;
    compare(check, "mlp", &features)?;
    for (name, run) in case.named_runs()? {
        let step = run["step"].as_u64().with_context(|| format!("run {name} has no step"))?;
        let raw = heads.gaussians(&features, &upper, config.max_scaling_at(step))?;
        for (tensor, value) in [
            ("offset_xyz", &raw.offset),
            ("opacity", &raw.opacity),
            ("rotation", &raw.rotation),
            ("scaling", &raw.scaling),
            ("shs", &raw.rgb.unsqueeze(1)?),
        ] {
            compare(check, &format!("{name}.{tensor}"), value)?;
        }
    }
    Ok(())
}
