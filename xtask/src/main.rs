//! `cargo xtask …`: the tasks of this workspace, in Rust.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tasks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all tests of all crates.
    Test {
        /// Further arguments for `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Compares the crates with golden cases of the reference implementation.
    Parity {
        /// Arguments for the parity program: `--goldens DIR [--only kind,kind…] [--quiet]`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Test { rest } => cargo(["test", "--workspace"], rest),
        Task::Parity { rest } => cargo(["run", "--quiet", "--package", "parity", "--"], rest),
    }
}

/// The workspace's root folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs cargo, keeping the caller's working directory so that relative paths mean what the caller meant.
fn cargo<const N: usize>(args: [&str; N], rest: Vec<OsString>) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = root().join("Cargo.toml");
    let status = Command::new(program)
        .arg(args[0])
        .arg("--manifest-path")
        .arg(manifest)
        .args(&args[1..])
        .args(rest)
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.join(" "));
    }
    Ok(())
}
