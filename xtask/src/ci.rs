//! `cargo xtask ci`: every check that a change must pass, cheap ones first.

use crate::shell::{self, command};
use crate::{deps, other_cpus, packed, tidy};
use anyhow::{Context, Result};
use std::time::Instant;

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leaves the tests out: for a caller that has just run `cargo xtask test`.
    #[arg(long)]
    skip_tests: bool,
    /// Leaves out what compiles everything once more in other ways: features, crates alone, documentation.
    #[arg(long)]
    skip_variants: bool,
    /// Also builds every crate from its packed form alone, as publishing does, which compiles most dependencies once more.
    #[arg(long)]
    verify_packages: bool,
}

/// Features that build on any machine, beyond the default ones. `cuda` and `metal` need a toolkit.
const FEATURES: &str = "anicrafter-avatar-render/gpu,anicrafter/gpu,anicrafter/cloud";

/// Crates that people take alone, and the features of the parity program: each is checked without what the rest of the
/// workspace would switch on in its dependencies.
const ALONE: &[&[&str]] = &[
    &["-p", "anicrafter-tensorfile"],
    &["-p", "anicrafter-smplx"],
    &["-p", "anicrafter-bg-mask"],
    &["-p", "anicrafter-media"],
    &["-p", "anicrafter-kernels"],
    &["-p", "anicrafter-ranks"],
    &["-p", "anicrafter-avatar-render"],
    &["-p", "parity", "--no-default-features"],
    &["-p", "parity", "--no-default-features", "--features", "body"],
    &["-p", "parity", "--no-default-features", "--features", "render"],
    &["-p", "parity", "--no-default-features", "--features", "models"],
];

type Step<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);

fn clippy(args: &[&str]) -> Result<()> {
    shell::run(command("clippy").args(args).args(["--", "-D", "warnings"]))
}

fn documentation(args: &[&str]) -> Result<()> {
    let mut doc = command("doc");
    shell::run(doc.args(["--workspace", "--no-deps"]).args(args).env("RUSTDOCFLAGS", "-D warnings"))
}

fn steps(args: &Args) -> Vec<Step<'_>> {
    const ALL: [&str; 2] = ["--workspace", "--all-targets"];
    let mut steps: Vec<Step<'_>> = vec![
        ("format", Box::new(|| shell::run(command("fmt").arg("--check")))),
        ("tidy", Box::new(tidy::check)),
        ("dependencies", Box::new(deps::check)),
        ("clippy", Box::new(|| clippy(&ALL))),
    ];
    if !args.skip_tests {
        steps.push(("tests", Box::new(|| shell::run(command("test").arg("--workspace")))));
    }
    // The whole workspace again with the features on: what they don't touch isn't checked twice.
    steps.push(("features", Box::new(|| clippy(&[&ALL[..], &["--features", FEATURES]].concat()))));
    steps.push((
        "object stores",
        Box::new(|| {
            let tests = ["--workspace", "--features", "anicrafter/cloud", "--test", "farm"];
            shell::run(command("test").args(tests))
        }),
    ));
    // Where there is no adapter, software Vulkan included, the tests say that they were skipped.
    steps.push((
        "twins",
        Box::new(|| {
            let twin = ["-p", "anicrafter-avatar-render", "--features", "gpu", "--test", "twin"];
            shell::run(command("test").args(twin))
        }),
    ));
    // The dev profile leaves them out of `kernels`, whose inner loops they would make three times slower.
    steps.push((
        "kernels with assertions",
        Box::new(|| {
            let mut test = command("test");
            for check in ["debug-assertions", "overflow-checks"] {
                test.arg("--config").arg(format!("profile.dev.package.anicrafter-kernels.{check}=true"));
            }
            shell::run(test.args(["-p", "anicrafter-kernels"]))
        }),
    ));
    // Where QEMU isn't installed the step says that it was skipped.
    steps.push(("other CPUs", Box::new(other_cpus::check)));
    steps.push(("alone", Box::new(|| ALONE.iter().try_for_each(|args| clippy(args)))));
    steps.push(("documentation", Box::new(|| documentation(&[]))));
    steps.push(("documentation with features", Box::new(|| documentation(&["--features", FEATURES]))));
    steps.push(("packages", Box::new(|| packed::publish(args.verify_packages))));
    steps.push(("packages from outside", Box::new(packed::use_from_outside)));
    steps
}

/// Steps that compile far more than they run.
const VARIANTS: &[&str] = &[
    "features",
    "object stores",
    "twins",
    "kernels with assertions",
    "other CPUs",
    "alone",
    "documentation",
    "documentation with features",
    "packages from outside",
];

pub(crate) fn run(args: &Args) -> Result<()> {
    for (name, step) in steps(args) {
        if args.skip_variants && VARIANTS.contains(&name) {
            continue;
        }
        println!("── {name}");
        let start = Instant::now();
        step().with_context(|| format!("the step {name:?} failed"))?;
        println!("── {name}: {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
