//! The Rust side of a comparison: takes one command a line, answers one line each.
//!
//! ```text
//! load CASE DTYPE   makes the weights and inputs; answers "ok CASE"
//! run               one run; answers "time SECONDS"
//! output PATH       writes the last result as raw f32; answers "shape A B C …"
//! peak              answers "peak KIB", the largest resident memory so far, 0 where the system doesn't tell
//! ```
//!
//! `benches/against_pytorch/compare.py` is the other side. Weights and inputs are [`nn::RandomWeights`], which it
//! computes by the same formula.
#![expect(clippy::print_stdout, reason = "answers go to the terminal, or through a pipe to the script")]

mod cases;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use std::io::BufRead;
use std::time::Instant;

fn main() -> Result<()> {
    let mut case: Option<cases::Case> = None;
    let mut result: Option<Tensor> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["load", name, dtype] => {
                drop((case.take(), result.take())); // frees before the next is made
                let dtype = match dtype {
                    "f32" => DType::F32,
                    "bf16" => DType::BF16,
                    other => bail!("{other} is neither f32 nor bf16"),
                };
                case = Some(cases::load(name, dtype).with_context(|| format!("{name} in {dtype:?}"))?);
                println!("ok {name}");
            }
            ["run"] => {
                let case = case.as_ref().context("nothing was loaded")?;
                let start = Instant::now();
                result = Some(case()?);
                println!("time {}", start.elapsed().as_secs_f64());
            }
            ["output", path] => {
                let result = result.as_ref().context("nothing was run")?;
                let values = result.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                std::fs::write(path, bytes).with_context(|| path.to_owned())?;
                let shape: Vec<String> = result.dims().iter().map(ToString::to_string).collect();
                println!("shape {}", shape.join(" "));
            }
            ["peak"] => println!("peak {}", peak_kib()),
            _ => bail!("no such command: {line:?}"),
        }
    }
    Ok(())
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
