//! A farm: the folder that all machines see.
//!
//! ```text
//! farm.json              the shots, their tasks, what these take
//! shots/NAME/job.toml    the job, with absolute paths
//! shots/NAME/            its work folder: previews, tasks/GROUP.json says what became of each task
//! shared/                finished stages, under the fingerprint of all that they depend on, so that shots share them
//! logs/                  what tasks say
//! ```

use crate::record::Record;
use crate::{Error, Group, NamedJob, Needs, Result, Task};
use pipeline::work::write_atomically;
use pipeline::{Job, Session};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that makes a folder a farm.
pub(crate) const FILE: &str = "farm.json";
/// Changes when what is in it means something else.
const FORMAT: u32 = 1;

/// Many shots and their tasks, in a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Farm {
    format: u32,
    /// The shots; schedulers know them by their place here, from 0.
    pub shots: Vec<Shot>,
    /// What renders avatars: the same everywhere, since results are found again by it.
    pub renderer: String,
    #[serde(skip)]
    root: PathBuf,
}

/// A job with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shot {
    /// The name: part of file names.
    pub name: String,
    /// Its tasks, in an order in which they can be run.
    pub tasks: Vec<FarmTask>,
    /// What its row of a table says, column by column.
    pub says: Vec<(String, String)>,
}

/// A task of a shot and what it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FarmTask {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// What it takes.
    pub needs: Needs,
}

/// Shots with the same tasks, which schedulers take as arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The tasks, with what the most demanding shot takes.
    pub tasks: Vec<FarmTask>,
    /// The shots, by their place in the farm.
    pub shots: Vec<usize>,
}

/// Where a shot's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShotFiles {
    /// Its work folder.
    pub folder: PathBuf,
    /// Its job file.
    pub job: PathBuf,
}

impl Farm {
    /// Makes a farm of jobs in a folder: looks at everything that they name, reckons what they take, and writes their job files. In a folder that
    /// is a farm already, what is finished stays.
    ///
    /// # Errors
    /// When a job can't run ([`Error::Shot`] names it), the folder holds something else, or it can't be written.
    pub fn create(root: &Path, jobs: Vec<NamedJob>, session: &Session, renderer: &str) -> Result<Self> {
        let root = std::path::absolute(root).map_err(Error::io(root))?;
        let is_farm = root.join(FILE).is_file();
        if !is_farm && root.is_dir() && std::fs::read_dir(&root).map_err(Error::io(&root))?.next().is_some() {
            let why = "the folder isn't empty, and no farm: choose another one".to_owned();
            return Err(Error::Damaged { path: root, why });
        }
        Self::make(root, jobs, session, renderer)
    }

    /// The same in an absolute folder, whatever else lies in it.
    pub(crate) fn make(
        root: PathBuf,
        jobs: Vec<NamedJob>,
        session: &Session,
        renderer: &str,
    ) -> Result<Self> {
        let mut made = Self { format: FORMAT, shots: Vec::new(), renderer: renderer.to_owned(), root };
        let mut ready = Vec::new();
        for NamedJob { name, mut job, says, .. } in jobs {
            made.settle(&name, &mut job)?;
            let fail = |source| Error::Shot { shot: name.clone(), source: Box::new(source) };
            job.validate().map_err(fail)?;
            session.inspect(&job).and_then(pipeline::Findings::clean).map_err(fail)?;
            let needs = session.needs(&job).map_err(fail)?;
            let of = |task: Task| FarmTask { needs: Needs::of(&task, &needs), task };
            let tasks = Task::all_of(&job).into_iter().map(of).collect();
            made.shots.push(Shot { name, tasks, says });
            ready.push(job);
        }
        // Nothing is written before everything is known to be right.
        for (n, job) in ready.iter().enumerate() {
            let files = made.files(n);
            let tasks = crate::record::folder(&files.folder);
            std::fs::create_dir_all(&tasks).map_err(Error::io(&tasks))?;
            job.write(&files.job)?;
        }
        for folder in [made.shared(), made.logs()] {
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        let path = made.root.join(FILE);
        let text = serde_json::to_vec_pretty(&made)
            .map_err(|error| Error::Damaged { path: path.clone(), why: error.to_string() })?;
        write_atomically(&path, &text)?;
        Ok(made)
    }

    /// Gives a job its places in the farm, and absolute paths.
    fn settle(&self, name: &str, job: &mut Job) -> Result<()> {
        job.output.work = Some(self.root.join("shots").join(name));
        job.output.shared = Some(self.shared());
        let mut wrong = None;
        let mut absolute = |path: &mut PathBuf| {
            if path.as_os_str().is_empty() {
                return;
            }
            match std::path::absolute(&*path) {
                Ok(full) => *path = full,
                Err(source) => wrong = Some(Error::Io { path: path.clone(), source }),
            }
        };
        job.for_each_path(&mut absolute);
        job.models.prepared.iter_mut().for_each(absolute);
        wrong.map_or(Ok(()), Err)
    }

    /// Opens a farm.
    ///
    /// # Errors
    /// When the folder isn't one.
    pub fn open(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let text = std::fs::read(&path).map_err(Error::io(&path))?;
        let damaged = |why: String| Error::Damaged { path: path.clone(), why };
        let mut farm: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if farm.format != FORMAT {
            let why =
                format!("its format is {}, this program knows {FORMAT}: export the farm again", farm.format);
            return Err(damaged(why));
        }
        farm.root = std::path::absolute(root).map_err(Error::io(root))?;
        Ok(farm)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of finished stages.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }

    /// The folder of what tasks say.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The files of a shot.
    #[must_use]
    pub fn files(&self, shot: usize) -> ShotFiles {
        let folder = self.root.join("shots").join(&self.shots[shot].name);
        ShotFiles { job: folder.join("job.toml"), folder }
    }

    /// The shot of a name, or of a place from 0.
    ///
    /// # Errors
    /// [`Error::Option`] where there is none.
    pub fn find(&self, shot: &str) -> Result<usize> {
        let named = self.shots.iter().position(|known| known.name == shot);
        let at = || shot.parse::<usize>().ok().filter(|n| *n < self.shots.len());
        named.or_else(at).ok_or_else(|| {
            let why = format!(
                "{} has no shot {shot:?}: give a name, or a number from 0 to {}",
                self.root.display(),
                self.shots.len().saturating_sub(1)
            );
            Error::Option { option: "--shot", why }
        })
    }

    /// Is everything of a shot done, as its job and its inputs are now?
    ///
    /// # Errors
    /// When job, inputs or records can't be read.
    pub fn is_done(&self, shot: usize) -> Result<bool> {
        let files = self.files(shot);
        let job = Job::read(&files.job)?;
        let key = job.fingerprint()?;
        if !written(&job) && !kept_marker(&files.folder, key.as_str()).is_file() {
            return Ok(false);
        }
        for task in self.last_tasks(shot) {
            if !Record::read(&files.folder, task)?.is_done(key.as_str()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The tasks of a shot that no other waits for.
    fn last_tasks(&self, shot: usize) -> impl Iterator<Item = Group> {
        let tasks = &self.shots[shot].tasks;
        tasks.iter().map(|t| t.task.group).filter(|group| tasks.iter().all(|t| !t.task.after.contains(group)))
    }

    /// The shots by their tasks: those with the same ones together, in the order of their first.
    #[must_use]
    pub fn chains(&self) -> Vec<Chain> {
        let mut chains: Vec<Chain> = Vec::new();
        for (n, shot) in self.shots.iter().enumerate() {
            let same = |chain: &&mut Chain| {
                chain.tasks.iter().map(|t| &t.task).eq(shot.tasks.iter().map(|t| &t.task))
            };
            match chains.iter_mut().find(same) {
                Some(chain) => {
                    for (known, task) in chain.tasks.iter_mut().zip(&shot.tasks) {
                        known.needs = known.needs.max(&task.needs);
                    }
                    chain.shots.push(n);
                }
                None => chains.push(Chain { tasks: shot.tasks.clone(), shots: vec![n] }),
            }
        }
        chains
    }
}

/// The file of a mirror that says that an object store has what the job of this fingerprint writes for its user.
pub(crate) fn kept_marker(shot: &Path, key: &str) -> PathBuf {
    shot.join(format!("kept-{key}"))
}

/// Is everything there that the job writes for its user?
pub(crate) fn written(job: &Job) -> bool {
    job.outputs().iter().filter(|(name, _)| *name != "output.work").all(|(_, path)| {
        // Pictures with numbers in their names: one of them isn't asked for.
        path.to_string_lossy().contains('%') || path.exists()
    })
}
