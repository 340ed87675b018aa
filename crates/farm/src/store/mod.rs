//! A farm in an object store: each machine has a mirror of as much of it as its tasks need, and no folder is shared.
//!
//! ```text
//! farm.json                     the shots, their tasks, what these take
//! shots/NAME/job.json           the job, with paths relative to the mirror
//! shots/NAME/tasks/GROUP.json   what became of each task
//! shots/NAME/tasks/GROUP.lease  who is at it
//! inputs/HASH/                  a file or a folder that jobs name, under the hash of what is in it
//! shared/RESULT/                finished stages
//! videos/NAME-FINGERPRINT/      what a job writes for its user
//! ```
//!
//! The last three are there as a whole or not at all: their files are uploaded to a place of each attempt's own, and the object
//! `whole.json`, which names them with their hashes, is written last and only if nobody else has written it. Whoever is killed leaves
//! files that nothing speaks of.

mod depot;
mod lease;

use crate::clock::now_s;
use crate::folder::{FILE, kept_marker};
use crate::record::{self, Record};
use crate::task::run_task_with;
use crate::{Collected, Error, Farm, Group, NamedJob, Result, TaskEnd, TaskOptions, Verdict};
use depot::{Depot, contents, entries, hash_of};
use lease::StoreLease;
use pipeline::lease::{Lease, Taken};
use pipeline::work::{Fingerprint, MIRROR_INPUTS, count_as_mirror, write_atomically};
use pipeline::{CancelToken, Context, Job, Observer, ResultStore, Session};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

/// Inputs that are in the mirror: for each path of a job, the folder of its contents, and their bytes.
type TakenIn = BTreeMap<PathBuf, (PathBuf, u64)>;

/// This machine's mirror of a farm in an object store.
pub struct Mirror {
    depot: Depot,
    root: PathBuf,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("address", &self.depot.address()).field("root", &self.root).finish()
    }
}

impl Mirror {
    /// Opens the mirror of an address (`s3://bucket/farm`, `gs://…`, `az://…`, `file:///…`) in a folder for mirrors. What it takes to get
    /// in is in the environment: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and so on.
    ///
    /// # Errors
    /// When the address can't be understood, or the folder can't be made.
    pub fn open(address: &str, cache: &Path) -> Result<Self> {
        let depot = Depot::open(address)?;
        let address = depot.address();
        let name: String = address
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        // Two addresses may end alike.
        let number = Fingerprint::of(&address)?;
        let cache = std::path::absolute(cache).map_err(Error::io(cache))?;
        let root = cache.join(format!("{name}-{}", number.as_str()));
        std::fs::create_dir_all(&root).map_err(Error::io(&root))?;
        count_as_mirror(&root)?;
        Ok(Self { depot, root })
    }

    /// The mirror's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a farm of jobs, as [`Farm::create`] does, and uploads it with everything that the jobs name. What is there isn't uploaded
    /// again. Gives the farm and the bytes of its inputs.
    ///
    /// # Errors
    /// As [`Farm::create`]; when the store can't be written, or `context` says to stop.
    pub fn create(
        &self,
        mut jobs: Vec<NamedJob>,
        session: &Session,
        renderer: &str,
        context: Context<'_>,
    ) -> Result<(Farm, u64)> {
        let mut known = BTreeMap::new();
        for shot in &mut jobs {
            self.take_in(&shot.name, &mut shot.job, &mut known)?;
        }
        let farm = Farm::make(self.root.clone(), jobs, session, renderer)?;
        for (folder, _) in known.values() {
            self.depot.put_folder(&self.name(folder)?, || contents(folder), context)?;
        }
        let bytes = known.values().map(|(_, bytes)| bytes).sum();
        for n in 0..farm.shots.len() {
            let mut job = Job::read(&farm.files(n).job)?;
            let mut wrong = None;
            job.for_each_path(|path| {
                if !path.as_os_str().is_empty() {
                    match self.name(path) {
                        Ok(name) => *path = name.into(),
                        Err(error) => wrong = Some(error),
                    }
                }
            });
            wrong.map_or(Ok(()), Err)?;
            let text = serde_json::to_vec_pretty(&job).map_err(|e| self.damaged("job.json", &e))?;
            self.depot.put(&job_name(&farm, n), text)?;
        }
        // Last: with it, the farm is there.
        let path = self.root.join(FILE);
        self.depot.put(FILE, std::fs::read(&path).map_err(Error::io(&path))?)?;
        Ok((farm, bytes))
    }

    /// Copies everything that a job names into the mirror: what is changed where it came from must not change here.
    fn take_in(&self, shot: &str, job: &mut Job, known: &mut TakenIn) -> Result<()> {
        // What it writes isn't an input, even if there is something of the name.
        let output = std::mem::take(&mut job.output);
        let mut wrong = None;
        job.for_each_path(|path| {
            if path.as_os_str().is_empty() || wrong.is_some() || !path.exists() {
                return;
            }
            match self.take_in_one(path, known) {
                Ok(new) => *path = new,
                Err(error) => wrong = Some(error),
            }
        });
        wrong.map_or(Ok(()), Err)?;
        job.output = output;
        // What the job writes lies in the mirror too.
        let videos = self.root.join("videos");
        let named = |path: &Path, what: &str| {
            let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
            videos.join(format!("{shot}{what}{extension}"))
        };
        job.output.video = named(&job.output.video, "");
        job.output.mesh = job.output.mesh.as_deref().map(|path| named(path, "-mesh"));
        job.output.mask = job.output.mask.as_deref().map(|path| named(path, "-mask"));
        Ok(())
    }

    fn take_in_one(&self, path: &Path, known: &mut TakenIn) -> Result<PathBuf> {
        let full = std::path::absolute(path).map_err(Error::io(path))?;
        let name = full.file_name().unwrap_or_default().to_owned();
        if let Some((folder, _)) = known.get(&full) {
            return Ok(folder.join(name));
        }
        let files = entries(&full)?;
        let folder = self.root.join(MIRROR_INPUTS).join(hash_of(&files));
        if !folder.is_dir() {
            let work = self.incoming(&folder)?;
            for (entry, from) in &files {
                let to = work.join(&entry.name);
                if let Some(above) = to.parent() {
                    std::fs::create_dir_all(above).map_err(Error::io(above))?;
                }
                std::fs::copy(from, &to).map_err(Error::io(from))?;
            }
            if let Some(above) = folder.parent() {
                std::fs::create_dir_all(above).map_err(Error::io(above))?;
            }
            std::fs::rename(&work, &folder).map_err(Error::io(&folder))?;
        }
        let whole = folder.join(name);
        known.insert(full, (folder, files.iter().map(|(entry, _)| entry.bytes).sum()));
        Ok(whole)
    }

    /// Brings the farm here: the shots, their jobs, what became of their tasks.
    ///
    /// # Errors
    /// When there is no farm at the address, or it can't be read.
    pub fn pull(&self) -> Result<Farm> {
        let (farm, clock) = (self.pull_farm()?, StoreClock::new(&self.depot));
        for n in 0..farm.shots.len() {
            self.pull_shot(&farm, n, &clock)?;
        }
        Ok(farm)
    }

    /// Brings here what the farm is, without its shots.
    fn pull_farm(&self) -> Result<Farm> {
        let Some(text) = self.depot.get(FILE)? else {
            let why = "there is no farm here, or no such bucket: export one with anicrafter farm export -o"
                .to_owned();
            return Err(Error::Store { address: self.depot.address().to_owned(), why });
        };
        write_atomically(&self.root.join(FILE), &text)?;
        let farm = Farm::open(&self.root)?;
        for folder in [farm.shared(), farm.logs()] {
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        Ok(farm)
    }

    fn pull_shot(&self, farm: &Farm, n: usize, clock: &StoreClock<'_>) -> Result<()> {
        let files = farm.files(n);
        let tasks = record::folder(&files.folder);
        std::fs::create_dir_all(&tasks).map_err(Error::io(&tasks))?;
        let name = job_name(farm, n);
        let text = self.depot.get(&name)?.ok_or_else(|| Error::Store {
            address: format!("{}/{name}", self.depot.address()),
            why: "it isn't there: export the farm again".to_owned(),
        })?;
        let mut job: Job = serde_json::from_slice(&text).map_err(|e| self.damaged(&name, &e))?;
        job.for_each_path(|path| {
            if !path.as_os_str().is_empty() {
                *path = self.root.join(&path);
            }
        });
        job.write(&files.job)?;
        for task in &farm.shots[n].tasks {
            let group = task.task.group;
            let record = record::path(&files.folder, group);
            match self.depot.get(&record_name(farm, n, group))? {
                Some(text) => write_atomically(&record, &text)?,
                // What only this machine has heard of isn't so: it may have been stopped before others could see it.
                None => drop(std::fs::remove_file(record)),
            }
            let at = (&*files.folder, group);
            StoreLease::show(&self.depot, &lease_name(farm, n, group), at, |then| clock.age_s(then))?;
        }
        let key = job.fingerprint()?;
        let marker = kept_marker(&files.folder, key.as_str());
        if self.depot.has_folder(&videos_name(farm, n, key.as_str()))? {
            write_atomically(&marker, b"")?;
        } else {
            let _ = std::fs::remove_file(&marker);
        }
        Ok(())
    }

    /// Runs a task, as [`crate::run_task`] does: its inputs are brought here, results are looked for in the store before they are made,
    /// and kept there.
    ///
    /// # Errors
    /// When the farm can't be used or the store can't be reached.
    pub fn run_task(
        &self,
        (shot, group): (&str, Group),
        session: impl FnOnce(&Farm) -> Result<Session>,
        options: &TaskOptions,
        observer: &dyn Observer,
        cancel: &CancelToken,
    ) -> Result<TaskEnd> {
        let farm = self.pull_farm()?;
        let n = farm.find(shot)?;
        let files = farm.files(n);
        let start = Instant::now();
        let lease = loop {
            match StoreLease::take(&self.depot, &lease_name(&farm, n, group))? {
                Ok(lease) => break lease,
                Err(owner) if start.elapsed() >= options.patience || cancel.is_cancelled() => {
                    let reason = Some(format!("{owner} is at it"));
                    return Ok(TaskEnd { verdict: Verdict::Again, reason, stages: Vec::new() });
                }
                Err(_) => std::thread::sleep(lease::LOOK_AGAIN),
            }
        };
        std::thread::scope(|scope| {
            // From here to the last upload the owner says that it lives.
            let _beat = lease.beat(scope, || {
                // A record that can't be uploaded now is uploaded at the end.
                if let Ok(text) = std::fs::read(record::path(&files.folder, group)) {
                    let _ = self.depot.put(&record_name(&farm, n, group), text);
                }
            });
            self.run_held(&farm, (n, group), session, options, observer, cancel)
        })
    }

    /// Runs a task that nobody else is at.
    fn run_held(
        &self,
        farm: &Farm,
        (n, group): (usize, Group),
        session: impl FnOnce(&Farm) -> Result<Session>,
        options: &TaskOptions,
        observer: &dyn Observer,
        cancel: &CancelToken,
    ) -> Result<TaskEnd> {
        let files = farm.files(n);
        // Not earlier: whoever had it before may have ended meanwhile.
        self.pull_shot(farm, n, &StoreClock::new(&self.depot))?;
        let mut job = Job::read(&files.job)?;
        let key = job.fingerprint()?;
        let is_done = Record::read(&files.folder, group)?.is_done(key.as_str());
        let kept = group != Group::Finish || kept_marker(&files.folder, key.as_str()).is_file();
        if is_done && kept {
            return Ok(TaskEnd { verdict: Verdict::Done, reason: None, stages: Vec::new() });
        }
        let context = Context::new(observer, cancel);
        self.bring_inputs(&mut job, context)?;
        let session = session(farm)?;
        let store = Kept { mirror: self, context };
        let ended = run_task_with(farm, (n, group), &session, options, (observer, Some(&store)), cancel)?;
        if ended.verdict == Verdict::Done && group == Group::Finish {
            self.keep_videos(farm, n, &job, key.as_str(), context)?;
        }
        let path = record::path(&files.folder, group);
        self.depot.put(&record_name(farm, n, group), std::fs::read(&path).map_err(Error::io(&path))?)?;
        Ok(ended)
    }

    /// Brings here what a job reads.
    fn bring_inputs(&self, job: &mut Job, context: Context<'_>) -> Result<()> {
        let inputs = self.root.join(MIRROR_INPUTS);
        let mut folders = Vec::new();
        job.for_each_path(|path| {
            let own = path.strip_prefix(&inputs).ok().and_then(|rest| rest.components().next());
            if let Some(Component::Normal(hash)) = own {
                folders.push(inputs.join(hash));
            }
        });
        folders.sort();
        folders.dedup();
        for folder in folders.into_iter().filter(|folder| !folder.is_dir()) {
            let name = self.name(&folder)?;
            if !self.bring(&name, &folder, context)? {
                return Err(Error::Store {
                    address: format!("{}/{name}", self.depot.address()),
                    why: "it isn't there, or not whole: export the farm again".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn keep_videos(&self, farm: &Farm, n: usize, job: &Job, key: &str, context: Context<'_>) -> Result<()> {
        let files = || {
            let mut files = Vec::new();
            for (what, path) in job.outputs() {
                if what != "output.work" && path.exists() {
                    files.extend(entries(&path)?);
                }
            }
            Ok(files)
        };
        self.depot.put_folder(&videos_name(farm, n, key), files, context)
    }

    /// Gathers the videos that are done, as [`crate::collect`] does.
    ///
    /// # Errors
    /// When the store can't be read, the videos can't be written, or `context` says to stop.
    pub fn collect(&self, to: &Path, context: Context<'_>) -> Result<Collected> {
        let farm = self.pull()?;
        for n in 0..farm.shots.len() {
            let job = Job::read(&farm.files(n).job)?;
            let key = job.fingerprint()?;
            if !farm.is_done(n)? || crate::folder::written(&job) {
                continue;
            }
            let name = videos_name(&farm, n, key.as_str());
            let here = self.root.join("incoming").join(format!("videos-{}", farm.shots[n].name));
            let _ = std::fs::remove_dir_all(&here);
            self.bring(&name, &here, context)?;
            let videos = self.root.join("videos");
            std::fs::create_dir_all(&videos).map_err(Error::io(&videos))?;
            for entry in std::fs::read_dir(&here).map_err(Error::io(&here))? {
                let entry = entry.map_err(Error::io(&here))?;
                let to = videos.join(entry.file_name());
                let _ = std::fs::remove_dir_all(&to);
                std::fs::rename(entry.path(), &to).map_err(Error::io(&to))?;
            }
            let _ = std::fs::remove_dir_all(&here);
        }
        crate::collect(&farm, to)
    }

    /// Brings a whole folder here, if the store has it. Of several processes of this machine one does, and the others wait.
    fn bring(&self, name: &str, to: &Path, context: Context<'_>) -> Result<bool> {
        let work = self.incoming(to)?;
        let lock = work.with_extension("lease");
        let _lease = loop {
            match Lease::take(&lock)? {
                Taken::Ours(lease) => break lease,
                Taken::Held(_) => {
                    context.check()?;
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
            }
        };
        if to.is_dir() {
            return Ok(true);
        }
        self.depot.get_folder(name, to, &work, context)
    }

    /// Where something of this name is gathered until it is whole.
    fn incoming(&self, whole: &Path) -> Result<PathBuf> {
        let name = format!("{}.incoming", whole.file_name().unwrap_or_default().to_string_lossy());
        let folder = self.root.join("incoming").join(name);
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        Ok(folder)
    }

    /// The name in the store of something in the mirror.
    fn name(&self, path: &Path) -> Result<String> {
        let inside = path.strip_prefix(&self.root).map_err(|_| Error::Damaged {
            path: path.to_owned(),
            why: format!("it isn't there, or lies outside of {}", self.root.display()),
        })?;
        Ok(inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
    }

    fn damaged(&self, name: &str, error: &serde_json::Error) -> Error {
        Error::Store { address: format!("{}/{name}", self.depot.address()), why: error.to_string() }
    }
}

/// A mirror's results while a task runs, which may be stopped.
struct Kept<'a> {
    mirror: &'a Mirror,
    context: Context<'a>,
}

impl ResultStore for Kept<'_> {
    fn fetch(&self, folder: &Path) -> std::io::Result<bool> {
        let Self { mirror, context } = *self;
        let fetched = mirror.name(folder).and_then(|name| mirror.bring(&name, folder, context));
        fetched.map_err(io_error)
    }

    fn keep(&self, folder: &Path) -> std::io::Result<()> {
        let Self { mirror, context } = *self;
        let put = |name: String| mirror.depot.put_folder(&name, || contents(folder), context);
        let kept = mirror.name(folder).and_then(put);
        kept.map_err(io_error)
    }
}

/// The error as the pipeline takes it: one that passes is of a kind that passes.
fn io_error(error: Error) -> std::io::Error {
    match Verdict::of_error(&error) {
        Verdict::Again => std::io::Error::new(std::io::ErrorKind::NetworkDown, error),
        Verdict::Done | Verdict::Never => std::io::Error::other(error),
    }
}

/// The store's clock, asked once, and only if anybody wants to know.
struct StoreClock<'a> {
    depot: &'a Depot,
    now_s: OnceCell<f64>,
}

impl<'a> StoreClock<'a> {
    fn new(depot: &'a Depot) -> Self {
        Self { depot, now_s: OnceCell::new() }
    }

    /// How long ago that was. Whoever may only read takes the own clock for the store's.
    fn age_s(&self, then_s: f64) -> f64 {
        self.now_s.get_or_init(|| self.depot.now_s().unwrap_or_else(|_| now_s())) - then_s
    }
}

fn job_name(farm: &Farm, n: usize) -> String {
    format!("shots/{}/job.json", farm.shots[n].name)
}

fn record_name(farm: &Farm, n: usize, group: Group) -> String {
    format!("shots/{}/tasks/{}.json", farm.shots[n].name, group.name())
}

fn lease_name(farm: &Farm, n: usize, group: Group) -> String {
    format!("shots/{}/tasks/{}.lease", farm.shots[n].name, group.name())
}

fn videos_name(farm: &Farm, n: usize, key: &str) -> String {
    format!("videos/{}-{key}", farm.shots[n].name)
}
