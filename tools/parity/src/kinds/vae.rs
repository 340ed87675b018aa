//! Kind `vae`: the autoencoder, whole and tiled, with its intermediates by chunk.

use super::tensor::{from_array, to_f32, weights};
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use nn::{Probe, Recording};
use serde_json::Value;
use testkit::{Case, Checker};
use vae::{Config, Observer, Tiles, Vae};

/// Keeps every intermediate of every chunk.
#[derive(Default)]
struct Collector(Recording);

impl Observer for Collector {
    fn probe(&mut self) -> Option<&mut dyn Probe> {
        Some(&mut self.0)
    }
}

pub fn run(case: &Case, checker: &mut Checker<'_>, device: &Device) -> Result<()> {
    let config: Config = serde_json::from_value(case.config().clone()).context("the case's config")?;
    let vae = Vae::load(&config, &weights(case, "", device)?)?;
    for (name, run) in case.named_runs()? {
        let input = from_array(case.input_f32(name, "in")?, device)?;
        let mut seen = Collector::default();
        let out = match (run["op"].as_str(), tiles(run)?) {
            (Some("encode"), None) => vae.encode(&input, &mut seen)?,
            (Some("encode"), Some(tiles)) => vae.encode_tiled(&input, &tiles, &mut ())?,
            (Some("decode"), None) => vae.decode(&input, &mut seen)?,
            (Some("decode"), Some(tiles)) => vae.decode_tiled(&input, &tiles, &mut ())?,
            (op, _) => bail!("run {name}: op {op:?}"),
        };
        checker.f32(&format!("{name}.out"), out.dims(), &to_f32(&out)?);
        for (module, chunks) in &seen.0.values {
            // Inside the networks one tensor for each chunk; around them the chunks joined.
            for (k, value) in chunks.iter().enumerate() {
                compare(checker, &format!("{name}.{module}.call{k}"), value)?;
            }
            let full = format!("{name}.{module}");
            if checker.expects(&full) {
                compare(checker, &full, &Tensor::cat(chunks, 2)?)?;
            }
        }
    }
    Ok(())
}

/// The tiles of a tiled run.
fn tiles(run: &Value) -> Result<Option<Tiles>> {
    if run["tiled"].as_bool() != Some(true) {
        return Ok(None);
    }
    let pair = |key: &str| -> Result<[usize; 2]> {
        serde_json::from_value(run[key].clone()).with_context(|| format!("a tiled run's {key}"))
    };
    Ok(Some(Tiles { size: pair("tile_size")?, stride: pair("tile_stride")? }))
}

fn compare(checker: &mut Checker<'_>, name: &str, value: &Tensor) -> Result<()> {
    if checker.expects(name) {
        checker.f32(name, value.dims(), &to_f32(value)?);
    }
    Ok(())
}
