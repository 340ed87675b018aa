//! `teacache`: the step cache, driven step by step.

use super::tensor::{from_array, to_f32};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use sampler::{Decision, Signals, StepCache, StepCacheKind, TeaCacheModel};
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let model = run["model_id"].as_str().and_then(TeaCacheModel::from_name).context("model_id")?;
        let threshold = run["rel_l1_thresh"].as_f64().context("rel_l1_thresh")?;
        let modulations = from_array(case.input_f32(name, "t_mod")?, device)?;
        let inputs = from_array(case.input_f32(name, "x")?, device)?;
        let blocks_out = from_array(case.input_f32(name, "blocks_out")?, device)?;
        let steps = modulations.dim(0)?;
        let mut cache = StepCache::new(StepCacheKind::Tea { threshold, model }, steps)?;
        let (mut calc, mut accumulated, mut outs) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..steps {
            let x = inputs.get(i)?;
            let modulation = modulations.get(i)?;
            let signals = Signals { sigma: 1.0, sample: &x, modulation: Some(&modulation) };
            let decision = cache.decide(&signals, 1)?;
            accumulated.push(cache.accumulated());
            calc.push(i64::from(decision == Decision::Compute));
            outs.push(match decision {
                Decision::Compute => {
                    let out = blocks_out.get(i)?;
                    cache.store(0, &x, &out)?;
                    out
                }
                Decision::Reuse | Decision::Forecast => cache.predict(0, &x)?,
            });
        }
        let out = Tensor::stack(&outs, 0)?;
        check.i64(&format!("{name}.calc"), &[steps], &calc);
        check.f64(&format!("{name}.accumulated"), &[steps], &accumulated);
        check.f32(&format!("{name}.out"), out.dims(), &to_f32(&out)?);
    }
    Ok(())
}
