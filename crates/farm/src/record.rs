//! What became of a task, beside its shot's results: one file a task, with all attempts.

use crate::clock::now_s;
use crate::{Error, Group, Result, Verdict};
use pipeline::StageRow;
use pipeline::work::write_atomically;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One attempt at a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// What the scheduler calls it, where it says.
    pub scheduler: Option<String>,
    /// When it began: seconds since 1970.
    pub started_s: f64,
    /// When it was last seen at work.
    pub seen_s: f64,
    /// When it ended; `None` while it runs, and where nobody could tell: it was killed.
    pub ended_s: Option<f64>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// Why, where that isn't plain.
    pub reason: Option<String>,
    /// The stage that it was last seen in, and how much of it was done, 0..1.
    pub at: Option<(String, f64)>,
    /// The stages that it went through.
    pub stages: Vec<StageRow>,
}

impl Attempt {
    /// Seconds that it held a machine.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.ended_s.unwrap_or(self.seen_s) - self.started_s).max(0.0)
    }
}

/// All attempts at a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The fingerprint of job and inputs that the last attempt had.
    pub job: String,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

impl Record {
    /// The record of a task in its shot's folder; none where nobody has tried it.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn read(shot: &Path, group: Group) -> Result<Self> {
        let path = path(shot, group);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(Error::io(&path))?,
        };
        serde_json::from_slice(&text).map_err(|error| Error::Damaged { path, why: error.to_string() })
    }

    /// Begins an attempt.
    pub(crate) fn begin(&mut self, host: &str, scheduler: Option<&str>) {
        let now = now_s();
        self.attempts.push(Attempt {
            host: host.to_owned(),
            pid: std::process::id(),
            scheduler: scheduler.map(str::to_owned),
            started_s: now,
            seen_s: now,
            ended_s: None,
            verdict: None,
            reason: None,
            at: None,
            stages: Vec::new(),
        });
    }

    /// The attempt that was begun last.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }

    /// Writes it.
    pub(crate) fn write(&self, shot: &Path, group: Group) -> Result<()> {
        let path = path(shot, group);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Damaged { path: path.clone(), why: error.to_string() })?;
        Ok(write_atomically(&path, &text)?)
    }

    /// Was the last attempt done, with the job and the inputs of this fingerprint?
    #[must_use]
    pub fn is_done(&self, job: &str) -> bool {
        self.job == job && self.attempts.last().is_some_and(|last| last.verdict == Some(Verdict::Done))
    }
}

/// The folder of a shot's records.
pub(crate) fn folder(shot: &Path) -> PathBuf {
    shot.join("tasks")
}

pub(crate) fn path(shot: &Path, group: Group) -> PathBuf {
    folder(shot).join(format!("{}.json", group.name()))
}

/// Who is at a task on another machine, as far as an object store tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub host: String,
    pub pid: u32,
    /// When it last said that it lives, in seconds since 1970: in a store by its owner's clock, which nobody goes by; in a mirror by that
    /// of the mirror's machine.
    pub seen_s: f64,
}

impl Held {
    /// One that has said nothing for so long is taken for dead.
    pub(crate) const DEAD_S: f64 = 90.0;

    /// Does its owner live?
    pub(crate) fn is_alive(&self) -> bool {
        now_s() - self.seen_s < Self::DEAD_S
    }

    /// Who is at a task of a shot in this mirror.
    pub(crate) fn read(shot: &Path, group: Group) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(held(shot, group)).ok()?).ok()
    }
}

/// The file of a mirror that says who is at a task elsewhere.
pub(crate) fn held(shot: &Path, group: Group) -> PathBuf {
    folder(shot).join(format!("{}.held", group.name()))
}

/// The file that says who is at a task.
pub(crate) fn lease(shot: &Path, group: Group) -> PathBuf {
    folder(shot).join(format!("{}.lease", group.name()))
}
