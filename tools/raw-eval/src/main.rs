//! Command line: `raw-eval SHOTS` prints a line of figures for each shot that `synth shots` wrote.

use anyhow::{Context, Result};
use clap::Parser;
use pipeline::Stage;
use raw_eval::{Figures, measure};
use std::io::Write;
use std::path::PathBuf;

#[derive(Parser)]
#[command(
    name = "raw-eval",
    about = "Measures what is found in raw videos against the truth of synthetic shots"
)]
struct Cli {
    /// The folder that `synth shots` wrote.
    shots: PathBuf,
    /// Work folder: what lies there isn't made again.
    #[arg(long)]
    work: PathBuf,
    /// Shots whose names begin so; all of them unless said.
    #[arg(long)]
    only: Vec<String>,
    /// Makes no backgrounds: quicker, and nothing is said of damage.
    #[arg(long)]
    quick: bool,
    /// Writes everything as JSON to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&cli.shots)
        .with_context(|| cli.shots.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    folders.sort();
    let until = if cli.quick { Stage::Motion } else { Stage::Plate };
    let mut out = std::io::stdout();
    writeln!(out, "{}", Figures::head_row())?;
    let mut all = std::collections::BTreeMap::new();
    for folder in folders.iter().filter(|f| f.join("truth.json").is_file()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !cli.only.is_empty() && !cli.only.iter().any(|only| name.starts_with(only)) {
            continue;
        }
        let figures = measure(folder, &cli.work.join(&name), until).with_context(|| name.clone())?;
        writeln!(out, "{}", figures.row(&name))?;
        all.insert(name, figures);
    }
    let sum = |of: fn(&Figures) -> [usize; 2]| {
        all.values().map(of).fold([0, 0], |sum, v| [sum[0] + v[0], sum[1] + v[1]])
    };
    let ([bad, named], [good, wrongly]) = (sum(|f| f.bad), sum(|f| f.good));
    writeln!(out, "bad frames that are named: {named} of {bad}; good ones that are: {wrongly} of {good}")?;
    if let Some(path) = &cli.json {
        std::fs::write(path, serde_json::to_vec_pretty(&all)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
