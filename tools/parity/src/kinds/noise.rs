//! `noise`: normal numbers of PyTorch's CPU generator.

use anyhow::{Context, Result};
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let seed = run["seed"].as_u64().context("seed")?;
        let shape: Vec<usize> = serde_json::from_value(run["shape"].clone()).context("shape")?;
        check.f32(&format!("{name}.noise"), &shape, &sampler::noise::randn(seed, shape.iter().product()));
    }
    Ok(())
}
