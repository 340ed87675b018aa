//! Timing beside other implementations.

use crate::shell::{command, root, run as run_command, target};
use anyhow::Result;
use clap::ValueEnum;
use std::ffi::OsString;
use std::process::Command;

/// What to time, against what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to time.
    #[arg(value_enum)]
    what: What,
    /// The other implementation, installed into a scratch environment under `target`.
    #[arg(long, value_enum)]
    against: Against,
    /// Arguments for the script, e.g. `--cases clip --dtypes bf16`.
    #[arg(last = true)]
    rest: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Parts of the models: a block, attention, the autoencoder, the encoders.
    Models,
}

#[derive(Clone, Copy, ValueEnum)]
enum Against {
    /// PyTorch from PyPI.
    Pytorch,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let Args { what: What::Models, against: Against::Pytorch, rest } = args;
    let environment = root().join("target").join("pytorch");
    let python = if cfg!(windows) {
        environment.join("Scripts").join("python.exe")
    } else {
        environment.join("bin").join("python")
    };
    if !python.exists() {
        let make = if cfg!(windows) { "python" } else { "python3" };
        run_command(Command::new(make).args(["-m", "venv"]).arg(&environment))?;
    }
    run_command(Command::new(&python).args(["-m", "pip", "install", "--quiet", "torch", "numpy"]))?;
    run_command(command("build").args(["--release", "--package", "benches"]))?;
    let program = target().join("release").join(format!("benches{}", std::env::consts::EXE_SUFFIX));
    let benches = root().join("benches");
    let script = benches.join("against_pytorch").join("compare.py");
    let results = benches.join("results");
    run_command(Command::new(&python).arg(script).arg(program).arg("--results").arg(results).args(rest))
}
