//! Running cargo.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), std::path::Path::to_path_buf)
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A cargo command over whatever its arguments say.
pub(crate) fn bare(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand);
    command
}

/// A cargo command over this workspace. The caller's working directory is kept, so that relative paths mean what the
/// caller meant.
pub(crate) fn command(subcommand: &str) -> Command {
    let mut command = bare(subcommand);
    if subcommand == "fmt" {
        command.arg("--all").current_dir(root());
    } else {
        command.arg("--manifest-path").arg(root().join("Cargo.toml"));
    }
    command
}

/// Runs cargo to the end.
pub(crate) fn cargo<const N: usize>(args: [&str; N], rest: Vec<OsString>) -> Result<()> {
    let (subcommand, args) = args.split_first().context("a cargo subcommand")?;
    run(command(subcommand).args(args).args(rest))
}

/// Runs a command to the end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
