//! `scheduler`: the flow-matching schedule, its steps and its noising.

use super::tensor::{from_array, to_f32};
use anyhow::{Context, Result};
use candle_core::Device;
use sampler::FlowMatch;
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let steps = run["num_inference_steps"].as_u64().context("num_inference_steps")? as usize;
        let strength = run["denoising_strength"].as_f64().context("denoising_strength")?;
        let shift = run["shift"].as_f64().context("shift")?;
        let schedule = FlowMatch::with_strength(steps, shift, strength)?;
        check.f32(&format!("{name}.sigmas"), &[steps], schedule.sigmas());
        check.f32(&format!("{name}.timesteps"), &[steps], schedule.timesteps());
        let rounded = (0..steps).map(|i| schedule.timestep_bf16(i)).collect::<Result<Vec<_>, _>>()?;
        check.f32(&format!("{name}.timesteps_bf16"), &[steps], &rounded);

        let velocities = from_array(case.input_f32(name, "model_output")?, device)?;
        let clean = from_array(case.input_f32(name, "sample")?, device)?;
        let noise = from_array(case.input_f32(name, "noise")?, device)?;
        let noised = schedule.add_noise(0, &clean, &noise)?;
        check.f32(&format!("{name}.add_noise"), noised.dims(), &to_f32(&noised)?);
        let ids: Vec<usize> = serde_json::from_value(run["step_ids"].clone()).context("step_ids")?;
        let mut sample = clean;
        for (k, &step) in ids.iter().enumerate() {
            sample = schedule.euler(step, &velocities.get(k)?, &sample)?;
            // A step that is taken twice is stored once, after the last time.
            if !ids[k + 1..].contains(&step) {
                check.f32(&format!("{name}.step{step}"), sample.dims(), &to_f32(&sample)?);
            }
        }
    }
    Ok(())
}
