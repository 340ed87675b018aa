//! How far a farm is: what its folders say, whatever scheduler ran the tasks.

use crate::clock::now_s;
use crate::record::{self, Attempt, Record};
use crate::{Farm, Group, Result, Verdict};
use pipeline::Job;
use pipeline::lease::Lease;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is known of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has tried it yet, or its job or inputs have changed since.
    Waiting,
    /// A process is at it.
    Running,
    /// It is finished.
    Done,
    /// It was stopped with what it has saved, and wants to be run again.
    Again,
    /// Its process is gone without a word: killed, or its machine went away. It wants to be run again.
    Lost,
    /// It failed, and would again.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Again => "again",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}

/// A task of a shot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Which.
    pub group: Group,
    /// What is known of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: usize,
    /// Seconds that all attempts held a machine.
    pub seconds: f64,
    /// Why it isn't done.
    pub reason: Option<String>,
    /// The machine of the last attempt.
    pub host: Option<String>,
    /// The stage of a running task and how much of it is done, 0..1.
    pub at: Option<(String, f64)>,
    /// Stages that were made, and those that were found made, over all attempts.
    pub made: usize,
    /// See [`Cell::made`].
    pub found: usize,
}

/// A shot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShotStatus {
    /// Its name.
    pub name: String,
    /// Where its video goes.
    pub video: Option<std::path::PathBuf>,
    /// Is everything done?
    pub done: bool,
    /// What stands in the way of knowing, where something does: a job file that is gone, say.
    pub trouble: Option<String>,
    /// Its tasks.
    pub tasks: Vec<Cell>,
}

/// A farm's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The shots in the farm's order.
    pub shots: Vec<ShotStatus>,
    /// Machine hours of all attempts, those that were lost too.
    pub machine_hours: f64,
    /// The same, by group.
    pub hours_of: BTreeMap<Group, f64>,
}

impl Status {
    /// Reads a farm's folders.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn of(farm: &Farm) -> Result<Self> {
        let mut shots = Vec::new();
        for n in 0..farm.shots.len() {
            shots.push(shot(farm, n)?);
        }
        let mut hours_of = BTreeMap::new();
        for cell in shots.iter().flat_map(|shot| &shot.tasks) {
            *hours_of.entry(cell.group).or_insert(0.0) += cell.seconds / 3600.0;
        }
        Ok(Self { shots, machine_hours: hours_of.values().sum(), hours_of })
    }

    /// How many shots are done.
    #[must_use]
    pub fn done(&self) -> usize {
        self.shots.iter().filter(|shot| shot.done).count()
    }

    /// The table and what went wrong, as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let groups: Vec<Group> = Group::ALL
            .into_iter()
            .filter(|group| self.shots.iter().any(|shot| shot.tasks.iter().any(|cell| cell.group == *group)))
            .collect();
        let mut rows = vec![
            std::iter::once("shot")
                .chain(groups.iter().map(|g| g.name()))
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        ];
        for shot in &self.shots {
            let cell = |group: &Group| match shot.tasks.iter().find(|cell| cell.group == *group) {
                Some(cell) => cell.text(),
                None => "-".to_owned(),
            };
            rows.push(std::iter::once(shot.name.clone()).chain(groups.iter().map(cell)).collect());
        }
        let mut text = table(&rows);
        for shot in &self.shots {
            // Writing to a string can't fail.
            if let Some(trouble) = &shot.trouble {
                let _ = writeln!(text, "{}: {trouble}", shot.name);
            }
            for cell in shot.tasks.iter().filter(|cell| !matches!(cell.state, State::Done | State::Running)) {
                if let Some(reason) = &cell.reason {
                    let host = cell.host.as_deref().filter(|host| !host.is_empty());
                    let host = host.map(|host| format!(" on {host}")).unwrap_or_default();
                    let _ = writeln!(text, "{} {}{host}: {reason}", shot.name, cell.group.name());
                }
            }
        }
        let parts: Vec<String> = self
            .hours_of
            .iter()
            .filter(|(_, hours)| **hours > 0.0)
            .map(|(group, hours)| format!("{} {}", group.name(), hours_text(*hours)))
            .collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let _ = writeln!(
            text,
            "{} of {} shots are done; {} machine hours{parts}",
            self.done(),
            self.shots.len(),
            hours_text(self.machine_hours)
        );
        text
    }
}

fn hours_text(hours: f64) -> String {
    if hours < 0.995 { format!("{hours:.3}") } else { format!("{hours:.1}") }
}

/// Seconds as people say them.
pub(crate) fn seconds_text(seconds: f64) -> String {
    match seconds {
        s if s < 99.5 => format!("{s:.1} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

impl Cell {
    fn text(&self) -> String {
        let mut text = self.state.word().to_owned();
        match (&self.at, self.state) {
            (Some((stage, done)), State::Running) => {
                text += &format!(" {stage} {:.0} %", 100.0 * done);
            }
            _ if self.attempts > 0 => text += &format!(" {}", seconds_text(self.seconds)),
            _ => {}
        }
        if self.attempts > 1 {
            text += &format!(" ×{}", self.attempts);
        }
        text
    }
}

fn shot(farm: &Farm, n: usize) -> Result<ShotStatus> {
    let files = farm.files(n);
    let job = Job::read(&files.job).map_err(|error| error.to_string());
    let key = job.as_ref().map_err(Clone::clone).and_then(|job| job.fingerprint().map_err(|e| e.to_string()));
    let mut tasks = Vec::new();
    for task in &farm.shots[n].tasks {
        let group = task.task.group;
        let record = Record::read(&files.folder, group)?;
        let here = Lease::holder(&record::lease(&files.folder, group))?.is_some();
        let elsewhere = record::Held::read(&files.folder, group).is_some_and(|held| held.is_alive());
        tasks.push(cell(group, &record, here || elsewhere, key.as_deref_str()));
    }
    let done = key.is_ok() && farm.is_done(n)?;
    let trouble = key.err();
    Ok(ShotStatus {
        name: farm.shots[n].name.clone(),
        video: job.ok().map(|job| job.output.video),
        done,
        trouble,
        tasks,
    })
}

/// The text of a fingerprint that may not be known.
trait KeyText {
    fn as_deref_str(&self) -> Option<&str>;
}

impl KeyText for std::result::Result<pipeline::work::Fingerprint, String> {
    fn as_deref_str(&self) -> Option<&str> {
        self.as_ref().ok().map(pipeline::work::Fingerprint::as_str)
    }
}

fn cell(group: Group, record: &Record, is_held: bool, key: Option<&str>) -> Cell {
    let last = record.attempts.last();
    let running = last.filter(|last| last.ended_s.is_none() && is_held);
    let (state, reason) = match last {
        _ if running.is_some() => (State::Running, None),
        None => (State::Waiting, None),
        Some(_) if key.is_some_and(|key| key != record.job) => {
            (State::Waiting, Some("the job or its inputs have changed since".to_owned()))
        }
        Some(last) => match last.verdict {
            Some(Verdict::Done) => (State::Done, None),
            Some(Verdict::Again) => (State::Again, last.reason.clone()),
            Some(Verdict::Never) => (State::Failed, last.reason.clone()),
            None => (State::Lost, Some(format!("process {} ended without a word", last.pid))),
        },
    };
    let seconds = |attempt: &Attempt| match running {
        Some(running) if std::ptr::eq(running, attempt) => (now_s() - attempt.started_s).max(0.0),
        _ => attempt.seconds(),
    };
    let stages = || record.attempts.iter().flat_map(|attempt| &attempt.stages);
    Cell {
        group,
        state,
        attempts: record.attempts.len(),
        seconds: record.attempts.iter().map(seconds).sum(),
        reason,
        host: last.map(|last| last.host.clone()),
        at: running.and_then(|running| running.at.clone()),
        made: stages().filter(|row| !row.cached).count(),
        found: stages().filter(|row| row.cached).count(),
    }
}

/// Rows in columns as wide as what is in them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string can't fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_says_of_its_task() {
        let mut record = Record { job: "k".to_owned(), ..Record::default() };
        let state = |record: &Record, held, key| cell(Group::Denoise, record, held, Some(key)).state;
        assert_eq!(state(&record, false, "k"), State::Waiting);
        record.begin("node", None);
        assert_eq!(state(&record, true, "k"), State::Running);
        assert_eq!(state(&record, false, "k"), State::Lost);
        let mut ends = |verdict, reason: Option<&str>| {
            let last = record.last_mut().unwrap();
            (last.verdict, last.reason, last.ended_s) =
                (Some(verdict), reason.map(str::to_owned), Some(last.started_s + 90.0));
            record.clone()
        };
        assert_eq!(state(&ends(Verdict::Again, None), false, "k"), State::Again);
        let failed = ends(Verdict::Never, Some("no such file"));
        assert_eq!(cell(Group::Denoise, &failed, false, Some("k")).reason.as_deref(), Some("no such file"));
        let done = ends(Verdict::Done, None);
        assert_eq!((state(&done, false, "k"), state(&done, false, "other")), (State::Done, State::Waiting));
        assert_eq!(cell(Group::Denoise, &done, false, Some("k")).text(), "done 90.0 s");
    }
}
