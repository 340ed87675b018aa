//! `teacache`: the step cache, driven step by step.

use super::tensor::{from_array, to_f32};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use sampler::{Decision, TeaCache, TeaCacheModel};
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let model = run["model_id"].as_str().and_then(TeaCacheModel::from_name).context("model_id")?;
        let threshold = run["rel_l1_thresh"].as_f64().context("rel_l1_thresh")?;
        let modulations = from_array(case.input_f32(name, "t_mod")?, device)?;
        let inputs = from_array(case.input_f32(name, "x")?, device)?;
        let blocks_out = from_array(case.input_f32(name, "blocks_out")?, device)?;
        let steps = modulations.dim(0)?;
        let mut cache = TeaCache::new(steps, threshold, model)?;
        let (mut calc, mut accumulated, mut outs) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..steps {
            let x = inputs.get(i)?;
            let decision = cache.decide(&modulations.get(i)?)?;
            accumulated.push(cache.accumulated());
            calc.push(i64::from(decision == Decision::Compute));
            outs.push(match decision {
                Decision::Compute => {
                    let out = blocks_out.get(i)?;
                    cache.store(&x, &out)?;
                    out
                }
                Decision::Reuse => cache.reuse(&x)?,
            });
        }
        let out = Tensor::stack(&outs, 0)?;
        check.i64(&format!("{name}.calc"), &[steps], &calc);
        check.f64(&format!("{name}.accumulated"), &[steps], &accumulated);
        check.f32(&format!("{name}.out"), out.dims(), &to_f32(&out)?);
    }
    Ok(())
}
