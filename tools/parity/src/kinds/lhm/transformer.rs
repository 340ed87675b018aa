//! `lhm_transformer`: points and picture tokens through the body-head blocks.

use super::{compare, compare_rows};
use crate::kinds::tensor::{from_array, weights};
use anyhow::{Context, Result};
use candle_core::Device;
use lhm::{Transformer, TransformerConfig};
use nn::Recording;
use testkit::{Case, Checker};

pub(in crate::kinds) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: TransformerConfig = serde_json::from_value(case.config().clone()).context("config")?;
    let stride = case.config()["context_stride"].as_u64().context("context_stride")? as usize;
    let model = Transformer::new(&config, &weights(case, "", device)?)?;
    for (name, _) in case.named_runs()? {
        let input = |tensor: &str| from_array(case.input_f32(name, tensor)?, device);
        let mut seen = Recording::default();
        model.forward(input("x")?, &input("cond")?, &input("temb")?, &mut seen)?;
        for (tensor, values) in &seen.values {
            let full = format!("{name}.{tensor}");
            compare(check, &full, &values[0])?;
            compare_rows(case, check, &format!("{full}_rows"), &values[0], stride)?;
        }
    }
    Ok(())
}
