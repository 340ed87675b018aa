//! From files to named jobs: job files, one a shot, and tables of shots over a base job.

use crate::{Error, Result, table};
use pipeline::Job;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A job with a name, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedJob {
    /// The name.
    pub name: String,
    /// The job.
    pub job: Job,
    /// The job file, or the row of a table.
    pub from: String,
    /// What its row of a table says, column by column.
    pub says: Vec<(String, String)>,
}

/// Reads the shots of job files (`.toml`, `.json`), named after their files, and of tables (`.csv`), whose rows are changes of the job
/// file `base`. Where a table doesn't say where videos go, they go into the folder `videos`, under the shots' names.
///
/// # Errors
/// When a file can't be read or understood, a table has a column, a cell or a row that can't be taken, or two shots have one name or
/// write one file.
pub fn read_shots(paths: &[PathBuf], base: Option<&Path>, videos: &Path) -> Result<Vec<NamedJob>> {
    let is_table = |path: &Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    if base.is_some() && !paths.iter().any(|path| is_table(path)) {
        let why =
            "a base job is changed by the rows of a table, and there is none: name a .csv file".to_owned();
        return Err(Error::Option { option: "--base", why });
    }
    let mut shots = Vec::new();
    for path in paths {
        if is_table(path) {
            shots.extend(table::read(path, base, videos)?);
        } else {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let from = path.display().to_string();
            check_name(&name).map_err(|why| Error::Damaged { path: path.clone(), why })?;
            shots.push(NamedJob { name, job: Job::read(path)?, from, says: Vec::new() });
        }
    }
    if shots.is_empty() {
        let why = "there is no shot: name job files, or tables with rows".to_owned();
        return Err(Error::Option { option: "JOBS", why });
    }
    refuse_twins(&shots)?;
    Ok(shots)
}

/// Names become names of files and parts of scripts.
pub(crate) fn check_name(name: &str) -> std::result::Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with(['.', '-']) || !name.chars().all(fits) {
        return Err(format!(
            "{name:?} can't name a shot: take letters, digits, \"-\", \"_\" and \".\", and begin with a letter or a digit"
        ));
    }
    Ok(())
}

fn refuse_twins(shots: &[NamedJob]) -> Result<()> {
    let twice = |what, value: String, first: &NamedJob, second: &NamedJob| {
        Err(Error::Twice { what, value, first: first.from.clone(), second: second.from.clone() })
    };
    // File systems that don't know upper from lower case see these as one.
    let mut names: BTreeMap<String, &NamedJob> = BTreeMap::new();
    let mut outputs: BTreeMap<PathBuf, &NamedJob> = BTreeMap::new();
    for shot in shots {
        if let Some(other) = names.insert(shot.name.to_lowercase(), shot) {
            return twice("name", shot.name.clone(), other, shot);
        }
        for (option, path) in shot.job.outputs() {
            // The farm gives each shot a work folder of its own.
            if option == "output.work" {
                continue;
            }
            let path = std::path::absolute(&path).map_err(Error::io(&path))?;
            if let Some(other) = outputs.insert(path.clone(), shot) {
                return twice("output", path.display().to_string(), other, shot);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_files_are_shots() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let a = write("a.toml", "[output]\nvideo = \"a.mp4\"\n");
        let b = write("b.json", "{\"output\": {\"video\": \"b.mp4\"}}");
        let shots = read_shots(&[a.clone(), b], None, dir.path()).unwrap();
        assert_eq!(shots.iter().map(|s| &*s.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(shots[1].job.output.video, dir.path().join("b.mp4"));
        let twin = write("c.toml", "[output]\nvideo = \"./a.mp4\"\n");
        let error = read_shots(&[a.clone(), twin], None, dir.path()).unwrap_err().to_string();
        assert!(error.contains("a.toml") && error.contains("c.toml") && error.contains("output"), "{error}");
        let error = read_shots(&[write("x y.toml", "")], None, dir.path()).unwrap_err().to_string();
        assert!(error.contains("x y"), "{error}");
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let same = write("d/A.toml", "[output]\nvideo = \"other.mp4\"\n");
        let error = read_shots(&[a.clone(), same], None, dir.path()).unwrap_err().to_string();
        assert!(error.contains("name"), "{error}");
        assert!(read_shots(&[a], Some(Path::new("base.toml")), dir.path()).is_err());
        assert!(read_shots(&[], None, dir.path()).is_err());
    }
}
