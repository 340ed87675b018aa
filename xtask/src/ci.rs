//! `cargo xtask ci`: every check that a change must pass, cheap ones first.

use crate::shell::{self, command};
use crate::{deps, tidy};
use anyhow::{Context, Result};
use std::time::Instant;

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leaves the tests out: for a caller that has just run `cargo xtask test`.
    #[arg(long)]
    skip_tests: bool,
    /// Leaves out what only compiles without running: clippy, documentation, features.
    #[arg(long)]
    skip_lints: bool,
    /// Also builds every crate from its packed form, which compiles most dependencies once more.
    #[arg(long)]
    verify_packages: bool,
}

/// Features that build on any machine, beyond the default ones. `cuda` and `metal` need a toolkit.
const FEATURES: &[(&str, &str)] = &[("avatar-render", "gpu"), ("cli", "gpu")];

/// Tools and tests of the workspace itself.
const UNPUBLISHED: &[&str] = &["body-builder", "demo-builder", "parity", "testkit", "xtask"];

type Step<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);

fn steps(args: &Args) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = vec![
        ("format", Box::new(|| shell::run(command("fmt").arg("--check")))),
        ("tidy", Box::new(tidy::check)),
        ("dependencies", Box::new(deps::check)),
        (
            "clippy",
            Box::new(|| {
                shell::run(command("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
            }),
        ),
    ];
    if !args.skip_tests {
        steps.push(("tests", Box::new(|| shell::run(command("test").arg("--workspace")))));
    }
    steps.push((
        "documentation",
        Box::new(|| {
            shell::run(command("doc").args(["--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
        }),
    ));
    for (package, feature) in FEATURES {
        steps.push((
            "features",
            Box::new(move || {
                shell::run(command("clippy").args([
                    "-p",
                    package,
                    "--features",
                    feature,
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]))
            }),
        ));
    }
    steps.push((
        "packages",
        Box::new(|| {
            let mut package = command("package");
            package.args(["--workspace", "--allow-dirty", "--quiet"]);
            for tool in UNPUBLISHED {
                package.args(["--exclude", tool]);
            }
            if !args.verify_packages {
                package.arg("--no-verify");
            }
            shell::run(&mut package)
        }),
    ));
    steps
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for (name, step) in steps(args) {
        if args.skip_lints && ["clippy", "documentation", "features"].contains(&name) {
            continue;
        }
        println!("── {name}");
        let start = Instant::now();
        step().with_context(|| format!("the step {name:?} failed"))?;
        println!("── {name}: {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
