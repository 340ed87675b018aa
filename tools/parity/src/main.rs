//! `parity --goldens DIR [--only kind,kind…]`: compares this workspace with the reference, tensor by tensor.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use testkit::{Case, Status};

/// Runs golden cases and prints one line for each output tensor.
#[derive(Parser)]
struct Args {
    /// A folder of golden cases.
    #[arg(long)]
    goldens: PathBuf,
    /// Only these kinds of case (or case names), separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What models run on: cpu, cuda:N or metal. Kinds without device code are left out unless it is cpu.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print failures and the closing line only.
    #[arg(long)]
    quiet: bool,
    /// Instruction set of the models' CPU kernels instead of the best one: portable, neon, avx2, avx512, avx512bf16, amx.
    #[cfg(feature = "models")]
    #[arg(long, value_parser = level)]
    level: Option<kernels::Level>,
}

#[cfg(feature = "models")]
fn level(name: &str) -> Result<kernels::Level, String> {
    let level = kernels::Level::ALL.into_iter().find(|level| format!("{level:?}").eq_ignore_ascii_case(name));
    level.ok_or_else(|| format!("no such level; there are {:?}", kernels::Level::ALL))
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let device = open(&args.device)?;
    #[cfg(feature = "models")]
    if let Some(level) = args.level {
        kernels::set_level(level)?;
    }
    let mut summary = parity::Summary::default();
    for dir in parity::cases(&args.goldens)? {
        if !args.only.is_empty() {
            let case = Case::open(&dir)?;
            if !args.only.iter().any(|o| *o == case.kind || *o == case.name) {
                continue;
            }
        }
        parity::run_case(&dir, &device, &mut summary, |row| {
            let verdict = match row.status {
                Status::Pass => "PASS",
                Status::Fail => "FAIL",
                Status::NotCompared => "FAIL (not compared)",
            };
            if !args.quiet || row.status != Status::Pass {
                println!(
                    "{:<16} {:<52} worst {:>9.2e}  atol {:>9.2e}  {verdict} {}",
                    row.case, row.tensor, row.worst, row.atol, row.note
                );
            }
        })?;
    }
    for (case, kind) in &summary.without_implementation {
        println!("{case:<16} kind {kind}: no implementation");
    }
    for (case, kind) in &summary.cpu_only {
        println!("{case:<16} kind {kind}: runs on the CPU only");
    }
    let (passed, failed) = (summary.passed(), summary.failed());
    let missing = summary.without_implementation.len();
    println!("parity: {passed} passed, {failed} failed, {missing} without an implementation");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(feature = "models")]
fn open(name: &str) -> Result<parity::kinds::Device> {
    Ok(nn::open_device(name)?)
}

#[cfg(not(feature = "models"))]
fn open(name: &str) -> Result<parity::kinds::Device> {
    anyhow::ensure!(name == "cpu", "this build runs no models: {name} is of no use");
    Ok(parity::kinds::Device::Cpu)
}
