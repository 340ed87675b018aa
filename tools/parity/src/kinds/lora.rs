//! LoRA shards merged into a transformer, in f32 and bf16, and the modules found beside them.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use checkpoint::{Alpha, Checkpoint, Lora};
use nn::WeightSource;
use std::path::PathBuf;
use testkit::{Case, Checker};

/// Tensor names that the reference collects for the condition embedders.
const MODULES: [&str; 2] = ["blend_embedding", "smplx_embedding"];

pub(super) fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    let files: Option<Vec<PathBuf>> = case.json["files"]
        .as_array()
        .context("the case names no files")?
        .iter()
        .map(|f| Some(case.dir.join(f.as_str()?)))
        .collect();
    let files = files.context("a file's name isn't text")?;
    let lora = Lora::open(&files, Alpha::Ignore)?;
    let shards = Checkpoint::open(&files)?;
    for (name, run) in case.named_runs()? {
        let dtype = match run["dtype"].as_str() {
            Some("f32") => DType::F32,
            Some("bf16") => DType::BF16,
            other => anyhow::bail!("run {name}: dtype {other:?}"),
        };
        let alpha = run["lora_alpha"].as_f64().with_context(|| format!("run {name}: no lora_alpha"))?;
        let dit = Checkpoint::open(&[case.dir.join("weights.safetensors")])?.with_lora(&lora, alpha)?;
        // The reference changes these tensors and no others.
        let expected: Option<Vec<&str>> =
            run["changed"].as_array().map(|c| c.iter().filter_map(|v| v.as_str()).collect());
        let mut expected = expected.with_context(|| format!("run {name}: no list of changed tensors"))?;
        expected.sort_unstable();
        ensure!(
            dit.patched() == expected || alpha == 0.0,
            "run {name} changes {:?}, not {expected:?}",
            dit.patched()
        );
        for target in expected {
            compare(checker, &format!("{name}.{target}"), &dit, target, dtype)?;
        }
        for key in shards.names() {
            if MODULES.iter().any(|m| key.contains(m)) {
                compare(checker, &format!("{name}.module:{key}"), &shards, key, DType::F32)?;
            }
        }
    }
    Ok(())
}

fn compare(
    checker: &mut Checker<'_>,
    output: &str,
    from: &Checkpoint,
    tensor: &str,
    dtype: DType,
) -> Result<()> {
    let shape = from.info(tensor).with_context(|| format!("no tensor {tensor:?}"))?.shape;
    let values = from.dense(tensor, &shape.as_slice().into(), dtype, &Device::Cpu)?;
    let values = values.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    checker.f32(output, &shape, &values);
    Ok(())
}
