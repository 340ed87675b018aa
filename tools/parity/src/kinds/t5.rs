//! `t5`: the UMT5 encoder.

use super::tensor::{to_f32, weights};
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use encoders::umt5::{Config, TextEncoder};
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: Config = serde_json::from_value(case.config().clone()).context("config")?;
    let model = TextEncoder::new(&config, &weights(case, "", device)?)?;
    for (name, _) in case.named_runs()? {
        let ids = case.input_i64(name, "ids")?;
        let mask = case.input_i64(name, "mask")?;
        ensure!(ids.shape[0] == 1, "the encoder takes one prompt at a time");
        let ids: Vec<u32> = ids.data.iter().map(|&id| u32::try_from(id)).collect::<Result<_, _>>()?;
        let valid = mask.data.iter().filter(|&&m| m > 0).count();
        let mut failed = None;
        let raw = model.forward_probed(&ids, valid, &mut |tensor: &str, value: &Tensor| {
            let tensor = format!("{name}.{tensor}");
            if check.expects(&tensor) {
                match to_f32(value) {
                    Ok(data) => check.f32(&tensor, value.dims(), &data),
                    Err(error) => failed = Some(error),
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        check.f32(&format!("{name}.raw"), raw.dims(), &to_f32(&raw)?);
        let out = model.encode(&ids[..valid], ids.len())?;
        check.f32(&format!("{name}.out"), out.dims(), &to_f32(&out)?);
    }
    Ok(())
}
