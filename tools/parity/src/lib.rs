//! Parity with the reference: every golden case that the workspace has code for, run and compared.

pub mod kinds;

use anyhow::{Context, Result, ensure};
use kinds::{Device, Run};
use std::path::{Path, PathBuf};
use testkit::{Case, Checker, Row, Status};

/// What became of the cases of a folder.
#[derive(Debug, Default)]
pub struct Summary {
    /// One row for each output tensor of the cases that were run.
    pub rows: Vec<Row>,
    /// Cases of kinds that this build has no code for: (case, kind).
    pub without_implementation: Vec<(String, String)>,
    /// Cases that have code for the CPU alone and were left out because another device was asked for: (case, kind).
    pub cpu_only: Vec<(String, String)>,
}

impl Summary {
    /// Number of rows within their tolerance.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|r| r.status == Status::Pass).count()
    }

    /// Number of rows that failed or that nobody compared.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.rows.len() - self.passed()
    }
}

/// The case folders below `goldens`, sorted by name.
///
/// # Errors
/// When the folder can't be read or has no case.
pub fn cases(goldens: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(goldens).with_context(|| format!("reading {}", goldens.display()))?;
    let mut dirs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("case.json").is_file() {
            dirs.push(path);
        }
    }
    ensure!(!dirs.is_empty(), "{} has no folder with a case.json", goldens.display());
    dirs.sort();
    Ok(dirs)
}

/// Runs one case folder into `summary`, models on `device`, and hands each finished row to `on_row`.
///
/// A run that ends with an error is a failed row that carries the error's text.
///
/// # Errors
/// When the case itself can't be read.
pub fn run_case(
    dir: &Path,
    device: &Device,
    summary: &mut Summary,
    mut on_row: impl FnMut(&Row),
) -> Result<()> {
    let case = Case::open(dir)?;
    let Some((_, run)) = kinds::KINDS.iter().find(|(kind, _)| *kind == case.kind) else {
        summary.without_implementation.push((case.name.clone(), case.kind.clone()));
        return Ok(());
    };
    let mut checker = Checker::new(&case);
    let done = match run {
        Run::OnDevice(run) => run(&case, &mut checker, device),
        Run::OnCpu(run) if matches!(device, Device::Cpu) => run(&case, &mut checker),
        Run::OnCpu(_) => {
            summary.cpu_only.push((case.name.clone(), case.kind.clone()));
            return Ok(());
        }
    };
    if let Err(error) = done {
        checker.fail("(run)", format!("{error:#}"));
    }
    for row in checker.finish() {
        on_row(&row);
        summary.rows.push(row);
    }
    Ok(())
}
