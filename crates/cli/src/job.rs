//! `anicrafter job`: every setting with its meaning and its default.

use anyhow::Result;
use pipeline::{Job, Preset};

/// Prints a job file with every setting: what it means and what it is where nothing else is said. `animate --job` reads it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whose defaults.
    #[arg(long, default_value = "demo")]
    preset: Preset,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    print!("{}", Job::explain(args.preset)?);
    Ok(())
}
