//! A table of shots: each row is a shot, each column a setting that differs from the base job.

use crate::shots::check_name;
use crate::{Error, NamedJob, Result};
use pipeline::{Actor, Job, JobChanges};
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// The column that names shots.
const NAME: &str = "name";
/// Short words for settings, beside `avatar`, `motion` and `place`.
const SHORT: &[(&str, &str, &str)] = &[("output", "output", "video"), ("prompt", "prompt", "positive")];

/// What a column sets.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sets {
    Name,
    /// An actor's avatar, from 0.
    Avatar(usize),
    /// An actor's motion, from 0.
    Motion(usize),
    /// Where an actor stands, from 0.
    Place(usize),
    /// A setting by section and name.
    Setting(String, String),
}

/// Reads a table's shots.
pub(crate) fn read(path: &Path, base: Option<&Path>, videos: &Path) -> Result<Vec<NamedJob>> {
    let fail = |row: Option<u64>, column: Option<&str>, why: String| Error::Table {
        path: path.to_owned(),
        row,
        column: column.map(str::to_owned),
        why,
    };
    let damaged = |error: csv::Error| {
        let row = error.position().map(csv::Position::line);
        fail(row, None, error.to_string())
    };
    let (base, base_says) = read_base(base)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(damaged)?;
    let header: Vec<String> = reader
        .headers()
        .map_err(damaged)?
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_owned())
        .collect();
    let mut columns = Vec::new();
    for name in &header {
        let sets = meaning(name).map_err(|why| fail(Some(1), Some(name), why))?;
        if columns.contains(&sets) {
            return Err(fail(Some(1), Some(name), "another column sets the same".to_owned()));
        }
        columns.push(sets);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut shots = Vec::new();
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(damaged)?;
        let row = record.position().map(csv::Position::line);
        let mut job = base.clone();
        let mut changes = Table::new();
        let mut name = None;
        let mut says_output = false;
        for ((sets, column), cell) in columns.iter().zip(&header).zip(&record) {
            let wrong = |why: String| fail(row, Some(column), why);
            if cell.is_empty() {
                if must_say(sets, &base, &base_says) {
                    return Err(wrong(
                        "the cell is empty, and the base job doesn't say it either".to_owned(),
                    ));
                }
                continue;
            }
            match sets {
                Sets::Name => {
                    check_name(cell).map_err(wrong)?;
                    name = Some(cell.to_owned());
                }
                Sets::Avatar(at) => actor(&mut job, *at).avatar = cell.into(),
                Sets::Motion(at) => actor(&mut job, *at).motion = cell.into(),
                Sets::Place(at) => actor(&mut job, *at).place = cell.parse().map_err(wrong)?,
                Sets::Setting(section, setting) => {
                    says_output |= (&**section, &**setting) == ("output", "video");
                    let value = value_of(section, setting, cell).map_err(wrong)?;
                    let entry = changes.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(settings) = entry {
                        settings.insert(setting.clone(), value);
                    }
                }
            }
        }
        let changes: JobChanges = parse(Value::Table(changes)).map_err(|why| fail(row, None, why))?;
        job.change(changes);
        // The base's paths are absolute: what isn't comes from the row.
        job.for_each_path(|path| {
            if path.is_relative() && !path.as_os_str().is_empty() {
                *path = folder.join(&path);
            }
        });
        let stem = || job.output.video.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = match name {
            Some(name) => name,
            None => {
                let name = says_output.then(stem).flatten().unwrap_or_else(|| format!("shot-{:03}", n + 1));
                check_name(&name)
                    .map_err(|why| fail(row, None, format!("{why}; or add a column \"{NAME}\"")))?;
                name
            }
        };
        if !says_output {
            let extension = job.output.video.extension().unwrap_or_default().to_owned();
            job.output.video = videos.join(&name).with_extension(extension);
        }
        let missing = job.input.actors.iter().position(|actor| actor.avatar.as_os_str().is_empty());
        if let Some(at) = missing {
            let why = format!("person {} has a motion and no avatar", at + 1);
            return Err(fail(row, Some("avatar"), why));
        }
        job.validate().map_err(|error| fail(row, None, format!("{name}: {error}")))?;
        let row = row.map_or_else(String::new, |row| format!(", row {row}"));
        let said = header.iter().zip(&record).filter(|(column, cell)| *column != NAME && !cell.is_empty());
        let says = said.map(|(column, cell)| (column.clone(), cell.to_owned())).collect();
        shots.push(NamedJob { name, job, from: format!("{}{row}", path.display()), says });
    }
    if shots.is_empty() {
        return Err(fail(None, None, "the table has no rows".to_owned()));
    }
    Ok(shots)
}

/// The base job with absolute paths, and which settings its file gives.
fn read_base(base: Option<&Path>) -> Result<(Job, Table)> {
    let Some(path) = base else {
        return Ok((JobChanges::default().into_job(), Table::new()));
    };
    let mut job = Job::read(path)?;
    job.for_each_path(|path| {
        if !path.as_os_str().is_empty() {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
    });
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    // It was read as a job just now.
    let says = toml::from_str(&text).ok().or_else(|| serde_json::from_str(&text).ok());
    Ok((job, says.unwrap_or_default()))
}

/// Must a cell of this column say something, because nothing else does?
fn must_say(sets: &Sets, base: &Job, base_says: &Table) -> bool {
    match sets {
        Sets::Name => true,
        Sets::Place(_) => false,
        Sets::Avatar(at) => {
            base.input.actors.get(*at).is_none_or(|actor| actor.avatar.as_os_str().is_empty())
        }
        Sets::Motion(at) => {
            base.replace.is_none()
                && base.input.actors.get(*at).is_none_or(|actor| actor.motion.as_os_str().is_empty())
        }
        Sets::Setting(section, setting) => match (&**section, &**setting) {
            // Two shots can't have the base's.
            ("output", "video") => true,
            ("input", "background") => base.replace.is_none() && base.input.background.as_os_str().is_empty(),
            ("replace", "video") => base_says.get("replace").and_then(|r| r.get("video")).is_none(),
            _ => false,
        },
    }
}

fn actor(job: &mut Job, at: usize) -> &mut Actor {
    while job.input.actors.len() <= at {
        job.input.actors.push(Actor::new("", ""));
    }
    &mut job.input.actors[at]
}

/// What a column of a name sets: `section.setting`, or the setting alone where only one section has it.
fn meaning(column: &str) -> std::result::Result<Sets, String> {
    if column == NAME {
        return Ok(Sets::Name);
    }
    let plain = column.strip_prefix("input.actors.").unwrap_or(column);
    let (word, number) = plain.split_once('.').unwrap_or((plain, "1"));
    let of: Option<fn(usize) -> Sets> = match word {
        "avatar" => Some(Sets::Avatar),
        "motion" => Some(Sets::Motion),
        "place" => Some(Sets::Place),
        _ => None,
    };
    if let Some(of) = of {
        let at = number.parse::<usize>().ok().filter(|n| (1..=100).contains(n));
        let at = at.ok_or_else(|| format!("{number:?} isn't a person's number, from 1"))? - 1;
        return Ok(of(at));
    }
    if column == "input.actors" {
        return Err(
            "give each person's files columns of their own: avatar, motion, place, avatar.2, motion.2, place.2 …".to_owned()
        );
    }
    let known = Job::settings();
    if let Some((section, setting)) = column.split_once('.') {
        if known.contains(&(section, setting)) {
            return Ok(Sets::Setting(section.to_owned(), setting.to_owned()));
        }
        return Err(unknown(column, &known));
    }
    if let Some((_, section, setting)) = SHORT.iter().find(|(short, ..)| *short == column) {
        return Ok(Sets::Setting((*section).to_owned(), (*setting).to_owned()));
    }
    let fitting: Vec<_> = known.iter().filter(|(_, name)| *name == column).collect();
    match &fitting[..] {
        [(section, setting)] => Ok(Sets::Setting((*section).to_owned(), (*setting).to_owned())),
        [] => Err(unknown(column, &known)),
        several => {
            let names: Vec<String> = several.iter().map(|(s, name)| format!("{s}.{name}")).collect();
            Err(format!("{column:?} may be {}: write which", names.join(" or ")))
        }
    }
}

fn unknown(column: &str, known: &[(&str, &str)]) -> String {
    let last = column.rsplit('.').next().unwrap_or(column);
    let similar: Vec<String> = known
        .iter()
        .filter(|(_, name)| name.contains(last) || last.contains(*name) || distance(name, last) <= 2)
        .map(|(section, name)| format!("{section}.{name}"))
        .collect();
    let hint = match &similar[..] {
        [] => "`anicrafter job` prints all settings".to_owned(),
        some => format!("did you mean {}?", some.join(", ")),
    };
    format!("there is no such setting; {hint}")
}

/// Letters that have to be changed, added or left out to make one word of another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn parse<T: DeserializeOwned>(value: Value) -> std::result::Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string().lines().collect::<Vec<_>>().join(" "))
}

/// A cell as what its setting holds: text, else a number, a truth, a list as job files write them, else a list of one.
fn value_of(section: &str, setting: &str, cell: &str) -> std::result::Result<Value, String> {
    let text = Value::String(cell.to_owned());
    // Spreadsheets write truths in capitals.
    let lower = cell.to_lowercase();
    let written = if matches!(&*lower, "true" | "false") { &*lower } else { cell };
    let literal =
        toml::from_str::<Table>(&format!("x = {written}")).ok().and_then(|mut table| table.remove("x"));
    let candidates = [Some(text.clone()), literal, Some(Value::Array(vec![text]))];
    let mut first = None;
    for value in candidates.into_iter().flatten() {
        let mut settings = Table::new();
        settings.insert(setting.to_owned(), value.clone());
        let mut whole = Table::new();
        whole.insert(section.to_owned(), Value::Table(settings));
        match parse::<JobChanges>(Value::Table(whole)) {
            Ok(_) => return Ok(value),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(format!("{cell:?} can't be taken: {}", first.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            files.write(
                "jobs/base.toml",
                "[input]\nbackground = \"street.mp4\"\nactors = [{ avatar = \"a.ply\", motion = \"walk.npz\" }]\n[sampling]\nsteps = 2\n",
            );
            files
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        fn read(&self, text: &str) -> Result<Vec<NamedJob>> {
            let table = self.write("shots.csv", text);
            read(&table, Some(&self.0.path().join("jobs/base.toml")), Path::new("/videos"))
        }

        fn error(&self, text: &str) -> String {
            self.read(text).unwrap_err().to_string()
        }
    }

    #[test]
    fn rows_are_changes_of_the_base_job() {
        let files = Files::new();
        let shots = files
            .read("name,avatar,sampling.seed,background,prompt,models.lora,panels\none,b.ply,7,,,,\ntwo,,8,/x/park.mp4,\"a, b\",\"[{path = \"\"l.safetensors\"\"}]\",TRUE\n")
            .unwrap();
        let folder = files.0.path();
        let (one, two) = (&shots[0], &shots[1]);
        assert_eq!((&*one.name, one.job.sampling.seed, one.job.sampling.steps), ("one", 7, 2));
        assert_eq!(one.job.input.actors[0].avatar, folder.join("b.ply"), "beside the table");
        assert_eq!(one.job.input.actors[0].motion, folder.join("jobs/walk.npz"), "beside the base");
        assert_eq!(one.job.input.background, folder.join("jobs/street.mp4"));
        assert_eq!(one.job.output.video, Path::new("/videos/one.mp4"));
        assert_eq!(two.job.input.background, Path::new("/x/park.mp4"));
        assert_eq!(two.job.input.actors[0].avatar, folder.join("jobs/a.ply"));
        assert_eq!((&*two.job.prompt.positive, two.job.models.lora.len()), ("a, b", 1));
        assert!(two.job.output.panels && !one.job.output.panels);
        assert!(two.from.ends_with("shots.csv, row 3"), "{}", two.from);
    }

    #[test]
    fn a_column_says_where_somebody_stands() {
        let files = Files::new();
        let shots =
            files.read("name,place,avatar.2,motion.2,place.2,blend\na,\"0.5,-1,90\",b.ply,run.npz,\"-0.5,0\",over\nb,,b.ply,run.npz,,over\n").unwrap();
        let places = |shot: &NamedJob| {
            let actors = &shot.job.input.actors;
            [0, 1].map(|n| (actors[n].place.right_m, actors[n].place.away_m, actors[n].place.turn_degrees))
        };
        assert_eq!(places(&shots[0]), [(0.5, -1.0, 90.0), (-0.5, 0.0, 0.0)]);
        assert_eq!(places(&shots[1]), [(0.0, 0.0, 0.0); 2]);
        let error = files.error("name,place\na,left\n");
        assert!(error.contains("row 2") && error.contains("column place"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_by_row_and_column() {
        let files = Files::new();
        for (text, says) in [
            ("name,sampling.sede\na,1\n", &["column sampling.sede", "row 1", "sampling.seed"][..]),
            ("name,mask\na,1\n", &["column mask", "output.mask or replace.mask"]),
            ("name,seed\na,1\nb,x\n", &["row 3", "column seed", "\"x\""]),
            ("name,output\na,a.mp4\nb,\n", &["row 3", "column output", "empty"]),
            ("name,seed\n,1\n", &["row 2", "column name", "empty"]),
            ("name,seed\na b,1\n", &["row 2", "column name", "a b"]),
            ("name,steps\na,0\n", &["row 2", "sampling.steps"]),
            ("name,avatar.2\na,\n", &["row 2", "column avatar.2", "empty"]),
            ("name,seed,sampling.seed\na,1,2\n", &["column sampling.seed", "same"]),
            ("name,seed\na,1,2\n", &["row 2"]),
            ("name,seed\n", &["no rows"]),
            ("name,input.actors\na,b\n", &["avatar, motion"]),
        ] {
            let error = files.error(text);
            for word in says {
                assert!(error.contains(word), "{text:?}: {error:?} should say {word:?}");
            }
        }
    }

    #[test]
    fn a_table_may_do_without_a_base() {
        let files = Files::new();
        let table = files.write("all.csv", "output,avatar,motion,background\nout/x.mp4,a.ply,m.npz,\n");
        let error = read(&table, None, Path::new("/v")).unwrap_err().to_string();
        assert!(error.contains("row 2") && error.contains("column background"), "{error}");
        let table = files.write("all.csv", "output,avatar,motion,background\nout/x.mp4,a.ply,m.npz,b.mp4\n");
        let shots = read(&table, None, Path::new("/v")).unwrap();
        assert_eq!(shots[0].name, "x");
        assert_eq!(shots[0].job.output.video, files.0.path().join("out/x.mp4"));
    }

    #[test]
    fn every_setting_has_a_column() {
        for (section, setting) in Job::settings() {
            if setting != "actors" {
                let sets = Sets::Setting(section.to_owned(), setting.to_owned());
                assert_eq!(meaning(&format!("{section}.{setting}")), Ok(sets));
            }
        }
    }
}
