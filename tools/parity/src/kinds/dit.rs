//! Kinds `dit` and `dit_t2v`: the transformer and its intermediates, in f32 and with bf16 weights.

use super::tensor::{from_array, to_f32, weights_as};
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use dit::{Conditions, Config, Observer, WanModel};
use nn::{Probe, Recording};
use testkit::{Case, Checker};

/// Tokens at a time: few, so that the cases' small latents go in several chunks, as real ones do.
const ROWS: usize = 7;

/// Keeps every intermediate.
#[derive(Default)]
struct Collector(Recording);

impl Observer for Collector {
    fn probe(&mut self, _: usize) -> Option<&mut dyn Probe> {
        Some(&mut self.0)
    }
}

pub fn run(case: &Case, checker: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: Config = serde_json::from_value(case.config().clone()).context("the case's config")?;
    let exact = WanModel::load(&config, &weights_as(case, "", DType::F32, device)?)?.with_rows(ROWS);
    let half = WanModel::load(&config, &weights_as(case, "", DType::BF16, device)?)?.with_rows(ROWS);
    for (name, _) in case.named_runs()? {
        let timestep = case.input_f32(name, "timestep")?.data[0];
        let mut seen = Collector::default();
        let out = predict(&exact, case, name, timestep, (&mut seen, device))?;
        compare(checker, &format!("{name}.out"), &out)?;
        for (tensor, values) in &seen.0.values {
            for value in values {
                compare(checker, &format!("{name}.{tensor}"), value)?;
            }
        }
        // The reference rounds the timestep too; its largest effect by far.
        let rounded = Tensor::new(timestep, &Device::Cpu)?.to_dtype(DType::BF16)?;
        let rounded = rounded.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        let full = format!("bf16.{name}.out");
        if checker.expects(&full) {
            compare(checker, &full, &predict(&half, case, name, rounded, (&mut (), device))?)?;
        }
    }
    Ok(())
}

fn predict(
    model: &WanModel,
    case: &Case,
    run: &str,
    timestep: f32,
    (observer, device): (&mut dyn Observer, &Device),
) -> Result<Tensor> {
    let input = |tensor: &str| from_array(case.input_f32(run, tensor)?, device);
    let optional = |tensor: &str| case.has_input(run, tensor).then(|| input(tensor)).transpose();
    let (clip_feature, y, add_condition) =
        (optional("clip_feature")?, optional("y")?, optional("add_condition")?);
    let image = model.config().has_image_input;
    let conditions = Conditions {
        context: &input("context")?,
        clip_feature: clip_feature.as_ref().filter(|_| image),
        y: y.as_ref().filter(|_| image),
        add_condition: add_condition.as_ref(),
    };
    let branch = model.branch_observed(&conditions, observer)?;
    Ok(model.forward(&input("x")?, timestep.into(), &branch, observer)?)
}

fn compare(checker: &mut Checker<'_>, name: &str, value: &Tensor) -> Result<()> {
    if checker.expects(name) {
        checker.f32(name, value.dims(), &to_f32(value)?);
    }
    Ok(())
}
