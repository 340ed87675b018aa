//! The queue: jobs on disk, one at a time, in order.
//!
//! What a job wants lies in `results/ID/job.toml`, as the command line takes it; how far it is, in `.anicrafter/queue/ID.json`.
//! Both are written whole before anything is answered, so that a job that was taken in survives whatever ends the program:
//! it is found again, and goes on from what its work folder has.

mod figures;
mod progress;
mod rates;
mod record;
mod worker;

pub use figures::Figures;
pub use progress::{Progress, StageProgress};
pub(crate) use rates::{Rates, disk_bytes, windows};
pub use record::{Failure, Record, State};
pub(crate) use worker::expected;
pub use worker::{Made, SessionWorker, Worker};

use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::library::Library;
use crate::names::new_id;
use crate::{Error, Result};
use pipeline::{CancelToken, Context, Event, Job};
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often a job may end the whole program before it isn't tried again.
const MOST_CRASHES: u32 = 3;
/// Jobs that wait at most.
const MOST_WAITING: usize = 1000;
/// Seconds without a job after which the models' memory is given back.
const IDLE: Duration = Duration::from_secs(120);

/// What a new job comes with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) title: String,
    pub(crate) model: String,
    pub(crate) size: String,
    pub(crate) seconds: Option<f64>,
    pub(crate) frames: Option<usize>,
    pub(crate) remixed_from: Option<String>,
    pub(crate) paused: bool,
}

/// Why the running job is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Pause,
    Cancel,
    Delete,
    Shutdown,
}

#[derive(Debug)]
struct Running {
    id: String,
    cancel: CancelToken,
    stop: Option<Stop>,
}

#[derive(Debug, Default)]
struct Jobs {
    records: BTreeMap<String, Record>,
    running: Option<Running>,
    /// Counts changes; each record carries the number of its last one.
    version: u64,
    /// What was deleted last, with the version of it, for those who listen.
    deleted: Vec<(u64, String)>,
    closing: bool,
}

#[derive(Debug)]
struct Shared {
    library: Arc<Library>,
    clock: Clock,
    jobs: Mutex<Jobs>,
    wake: Condvar,
    changed: watch::Sender<u64>,
    rates: Mutex<Rates>,
    /// Held by what needs the whole machine: one at a time.
    heavy: Arc<Mutex<()>>,
}

/// The queue. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    shared: Arc<Shared>,
}

/// The thread that works; [`WorkerThread::join`] waits for its end.
#[derive(Debug)]
pub(crate) struct WorkerThread(Option<std::thread::JoinHandle<()>>);

impl WorkerThread {
    pub(crate) fn join(mut self) {
        if let Some(thread) = self.0.take() {
            // A panic in it was told where it happened.
            let _ended = thread.join();
        }
    }
}

impl Queue {
    /// Finds the jobs that are on disk, and starts to work on them.
    pub(crate) fn open(
        library: Arc<Library>,
        clock: Clock,
        worker: Box<dyn Worker>,
    ) -> Result<(Self, WorkerThread)> {
        let mut jobs = Jobs::default();
        for mut record in read_records(&library.own("queue"))? {
            record.after_restart(MOST_CRASHES, clock.now_s());
            record.save(&library).map_err(|error| Error::Io {
                path: Record::path(&library, &record.id),
                source: std::io::Error::other(error.text().to_owned()),
            })?;
            jobs.records.insert(record.id.clone(), record);
        }
        let rates = Mutex::new(Rates::read(&library.own("rates.json")));
        let shared = Shared {
            library,
            clock,
            jobs: Mutex::new(jobs),
            wake: Condvar::new(),
            changed: watch::Sender::new(0),
            rates,
            heavy: Arc::default(),
        };
        let queue = Self { shared: Arc::new(shared) };
        let own = queue.clone();
        let thread = std::thread::Builder::new().name("anicrafter-queue".to_owned());
        let thread =
            thread.spawn(move || own.work(worker)).map_err(Error::io(Path::new("the queue's thread")))?;
        Ok((queue, WorkerThread(Some(thread))))
    }

    /// Takes a job in. It is on disk when this returns. The job's outputs are set by `place`, given the result's folder.
    pub(crate) fn add(
        &self,
        order: Order,
        mut job: Job,
        place: impl FnOnce(&mut Job, &Path),
    ) -> ApiResult<Record> {
        let id = new_id("video", &self.shared.clock)?;
        {
            let jobs = self.jobs();
            let waiting = jobs.records.values().filter(|record| !record.state.is_over()).count();
            if waiting >= MOST_WAITING {
                return Err(ApiError::busy(format!("{waiting} jobs wait already: delete some of them")));
            }
        }
        let folder = self.shared.library.result(&id);
        fs::create_dir_all(&folder).map_err(|e| ApiError::io(&e))?;
        place(&mut job, &folder);
        job.output.work = Some(self.shared.library.own("work").join(&id));
        let path = job_path(&folder);
        let taken = self.write_job(&job, &path).and_then(|()| {
            let record = Record::new(&id, order, &job, self.shared.clock.now_s());
            record.save(&self.shared.library)?;
            Ok(record)
        });
        let record = taken.inspect_err(|_| {
            // A job that isn't on disk as a whole was never taken in.
            let _left = fs::remove_dir_all(&folder);
        })?;
        let mut jobs = self.jobs();
        jobs.records.insert(id.clone(), record);
        let record = self.touch(&mut jobs, &id).cloned();
        self.shared.wake.notify_all();
        record.ok_or_else(|| ApiError::internal("the job went away"))
    }

    /// All jobs, oldest first.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.jobs().records.values().cloned().collect()
    }

    /// A job.
    pub(crate) fn get(&self, id: &str) -> ApiResult<Record> {
        self.jobs().records.get(id).cloned().ok_or_else(|| ApiError::not_found("video", id))
    }

    /// Where a waiting job stands, from 0.
    pub(crate) fn place_of(&self, id: &str) -> Option<usize> {
        self.jobs().waiting().iter().position(|waiting| waiting == id)
    }

    /// The job itself, as it is run.
    pub(crate) fn job(&self, id: &str) -> ApiResult<Job> {
        self.get(id)?;
        Job::read(&job_path(&self.shared.library.result(id))).map_err(|e| ApiError::internal(e.to_string()))
    }

    /// Stops a job, to go on later.
    pub(crate) fn pause(&self, id: &str) -> ApiResult<Record> {
        self.change(id, |jobs, queue| match jobs.state(id)? {
            State::Queued => queue.set(jobs, id, State::Paused),
            State::Running => {
                jobs.stop(Stop::Pause);
                Ok(())
            }
            State::Paused => Ok(()),
            over => Err(is_over(over)),
        })
    }

    /// Lets a paused job wait for its turn again, or a failed one be tried once more.
    pub(crate) fn resume(&self, id: &str) -> ApiResult<Record> {
        self.change(id, |jobs, queue| match jobs.state(id)? {
            State::Paused | State::Failed | State::Cancelled => {
                if let Some(record) = jobs.records.get_mut(id) {
                    record.again();
                }
                queue.set(jobs, id, State::Queued)
            }
            State::Queued => Ok(()),
            State::Running if jobs.running.as_ref().is_some_and(|r| r.stop == Some(Stop::Pause)) => {
                Err(ApiError::conflict(
                    "still_pausing",
                    "the job is still coming to a stop: try again in a moment",
                ))
            }
            State::Running => Ok(()),
            State::Completed => Err(is_over(State::Completed)),
        })
    }

    /// Gives a job up; what it made so far goes when it is deleted.
    pub(crate) fn cancel(&self, id: &str) -> ApiResult<Record> {
        self.change(id, |jobs, queue| match jobs.state(id)? {
            State::Queued | State::Paused => queue.set(jobs, id, State::Cancelled),
            State::Running => {
                jobs.stop(Stop::Cancel);
                Ok(())
            }
            State::Cancelled => Ok(()),
            over => Err(is_over(over)),
        })
    }

    /// Puts a waiting job before all others.
    pub(crate) fn first(&self, id: &str) -> ApiResult<Record> {
        self.change(id, |jobs, queue| match jobs.state(id)? {
            State::Queued => {
                let first = jobs.records.values().map(|record| record.order).min().unwrap_or(0);
                if let Some(record) = jobs.records.get_mut(id) {
                    record.order = first - 1;
                    record.save(&queue.shared.library)?;
                }
                Ok(())
            }
            _ => Err(ApiError::conflict("not_waiting", "only a job that waits can come first")),
        })
    }

    /// Removes a job with all that it made; one that runs is stopped first.
    pub(crate) fn delete(&self, id: &str) -> ApiResult<()> {
        let mut jobs = self.jobs();
        if jobs.state(id)? == State::Running {
            jobs.stop(Stop::Delete);
            return Ok(());
        }
        self.forget(&mut jobs, id)
    }

    /// Changes of the number of changes: for those who listen.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// What has changed since a version: the jobs, the deleted ones, and the version now.
    pub(crate) fn changed_since(&self, version: u64) -> (Vec<Record>, Vec<String>, u64) {
        let jobs = self.jobs();
        let records = jobs.records.values().filter(|record| record.version > version).cloned().collect();
        let deleted = jobs.deleted.iter().filter(|(at, _)| *at > version).map(|(_, id)| id.clone()).collect();
        (records, deleted, jobs.version)
    }

    /// To be held by what needs the whole machine while it works; jobs wait for it, and are waited for.
    pub(crate) fn heavy(&self) -> Arc<Mutex<()>> {
        self.shared.heavy.clone()
    }

    /// How long stages took on this machine.
    pub(crate) fn rates(&self) -> Rates {
        self.shared.rates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the running job stop where it can go on, and takes no other one.
    pub(crate) fn close(&self) {
        let mut jobs = self.jobs();
        jobs.closing = true;
        jobs.stop(Stop::Shutdown);
        self.shared.wake.notify_all();
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Jobs, &Self) -> ApiResult<()>) -> ApiResult<Record> {
        let mut jobs = self.jobs();
        change(&mut jobs, self)?;
        let record = self.touch(&mut jobs, id).cloned();
        self.shared.wake.notify_all();
        record.ok_or_else(|| ApiError::not_found("video", id))
    }

    fn set(&self, jobs: &mut Jobs, id: &str, state: State) -> ApiResult<()> {
        let Some(record) = jobs.records.get_mut(id) else { return Err(ApiError::not_found("video", id)) };
        let before = std::mem::replace(&mut record.state, state);
        if state.is_over() {
            record.completed_at = Some(self.shared.clock.now_s());
        }
        record.save(&self.shared.library).inspect_err(|_| record.state = before)
    }

    /// Counts a change of a job and tells those who listen.
    fn touch<'a>(&self, jobs: &'a mut Jobs, id: &str) -> Option<&'a Record> {
        jobs.version += 1;
        let version = jobs.version;
        self.shared.changed.send_replace(version);
        let record = jobs.records.get_mut(id)?;
        record.version = version;
        Some(record)
    }

    fn forget(&self, jobs: &mut Jobs, id: &str) -> ApiResult<()> {
        let library = &self.shared.library;
        // The record goes last: until then what is left can be deleted again.
        for folder in [library.result(id), library.own("work").join(id)] {
            match fs::remove_dir_all(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(ApiError::io(&e)),
                _ => {}
            }
        }
        match fs::remove_file(Record::path(library, id)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(ApiError::io(&e)),
            _ => {}
        }
        jobs.records.remove(id);
        jobs.version += 1;
        let version = jobs.version;
        jobs.deleted.push((version, id.to_owned()));
        let many = jobs.deleted.len().saturating_sub(256);
        jobs.deleted.drain(..many);
        self.shared.changed.send_replace(version);
        Ok(())
    }

    fn write_job(&self, job: &Job, path: &Path) -> ApiResult<()> {
        let mut relative = job.clone();
        let root = self.shared.library.root();
        let folder = path.parent().unwrap_or(root).to_owned();
        // A library that is moved keeps its jobs: what lies in it is named from the job file on.
        relative.for_each_path(|path| {
            if let Ok(beside) = path.strip_prefix(&folder) {
                *path = beside.to_owned();
            } else if let Ok(inside) = path.strip_prefix(root) {
                *path = Path::new("../..").join(inside);
            }
        });
        relative.write(path).map_err(|error| match error {
            pipeline::Error::Io { source, .. } => ApiError::io(&source),
            other => ApiError::internal(other.to_string()),
        })
    }

    /// The thread's whole life.
    fn work(&self, mut worker: Box<dyn Worker>) {
        let mut released = true;
        loop {
            let taken = {
                let mut jobs = self.jobs();
                loop {
                    if jobs.closing {
                        return;
                    }
                    if let Some(id) = jobs.waiting().first().cloned() {
                        break Some(id);
                    }
                    if released {
                        jobs = self.shared.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                        continue;
                    }
                    let waited = self.shared.wake.wait_timeout(jobs, IDLE);
                    let (again, late) = waited.unwrap_or_else(PoisonError::into_inner);
                    jobs = again;
                    if late.timed_out() {
                        break None;
                    }
                }
            };
            match taken {
                Some(id) => {
                    released = false;
                    self.run(&id, worker.as_mut());
                }
                None => {
                    released = true;
                    worker.release();
                }
            }
        }
    }

    fn run(&self, id: &str, worker: &mut dyn Worker) {
        let _whole_machine = self.shared.heavy.lock().unwrap_or_else(PoisonError::into_inner);
        let cancel = CancelToken::new();
        let job = match self.begin(id, &cancel, worker) {
            Ok(Some(job)) => job,
            Ok(None) => return,
            Err(failure) => return self.settle(id, Err(failure)),
        };
        let observer = |event: &Event| self.hear(id, event);
        let context = Context::new(&observer, &cancel);
        let ended = catch_unwind(AssertUnwindSafe(|| worker.run(id, &job, context)));
        let ended = match ended {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(panic) => Err(Failure::of_panic(panic.as_ref())),
        };
        self.settle(id, ended);
    }

    /// Declares a job running. `None` where it isn't to be run any more.
    fn begin(&self, id: &str, cancel: &CancelToken, worker: &mut dyn Worker) -> Result<Option<Job>, Failure> {
        let library = &self.shared.library;
        let now = self.shared.clock.now_s();
        let rates = self.rates();
        let job = Job::read(&job_path(&library.result(id)));
        let reckoned = match &job {
            // Whatever is in the job, reckoning ends nobody.
            Ok(job) => catch_unwind(AssertUnwindSafe(|| worker.expect(job))).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let mut jobs = self.jobs();
        let Some(record) = jobs.records.get_mut(id).filter(|record| record.state == State::Queued) else {
            return Ok(None);
        };
        let before = record.clone();
        record.begin(now);
        // What can't be written down isn't begun: the disk is full, or gone.
        if let Err(error) = record.save(library) {
            *record = before;
            return Err(Failure::no_room(error.text()));
        }
        let job = match job {
            Ok(job) => job,
            Err(error) => return Err(Failure::of(&error)),
        };
        let needed = disk_bytes(&job, record.frames);
        if library.free_bytes().is_some_and(|free| free < needed) {
            return Err(Failure::no_room(&format!(
                "the job's work folder takes about {} MiB, more than the library's disk has free",
                needed >> 20
            )));
        }
        record.progress = Progress::new(&job, record.frames, &rates, &reckoned);
        jobs.running = Some(Running { id: id.to_owned(), cancel: cancel.clone(), stop: None });
        self.touch(&mut jobs, id);
        Ok(Some(job))
    }

    /// Takes an event of the running job in.
    fn hear(&self, id: &str, event: &Event) {
        let now = self.shared.clock.now_ms();
        let mut jobs = self.jobs();
        let Some(record) = jobs.records.get_mut(id) else { return };
        if record.hear(event, now) {
            self.touch(&mut jobs, id);
        }
    }

    /// Writes down how a job ended.
    fn settle(&self, id: &str, ended: Result<Made, Failure>) {
        let now = self.shared.clock.now_s();
        let mut jobs = self.jobs();
        let stop = jobs.running.take().filter(|running| running.id == id).and_then(|running| running.stop);
        if stop == Some(Stop::Delete) && ended.as_ref().err().is_none_or(Failure::is_cancelled) {
            if let Some(record) = jobs.records.get_mut(id) {
                record.stop(State::Cancelled, None, now);
            }
            // What can't be removed stays as a cancelled job, and can be deleted again.
            let _left = self.forget(&mut jobs, id);
            self.touch(&mut jobs, id);
            return;
        }
        let Some(record) = jobs.records.get_mut(id) else { return };
        match ended {
            Ok(made) => {
                let learned = record.finish(made, &self.shared.library.result(id), now);
                let mut rates = self.shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
                rates.learn(&learned);
                // Without it the next estimates are worse, no more.
                let _unlearned = rates.write(&self.shared.library.own("rates.json"));
            }
            Err(failure) if failure.is_cancelled() => match stop {
                Some(Stop::Pause) => record.stop(State::Paused, None, now),
                Some(Stop::Shutdown) => record.stop(State::Queued, None, now),
                _ => record.stop(State::Cancelled, None, now),
            },
            // Where there is no room now there may be later: the job waits for somebody to make some.
            Err(failure) if failure.is_no_room() => record.stop(State::Paused, Some(failure), now),
            Err(failure) => record.stop(State::Failed, Some(failure), now),
        }
        // A record that can't be written is still right in memory; on disk it says that the job runs, so that it is
        // taken up again after the next start.
        let _unsaved = record.save(&self.shared.library);
        if stop == Some(Stop::Delete) {
            let _left = self.forget(&mut jobs, id);
            return;
        }
        self.touch(&mut jobs, id);
    }
}

impl Jobs {
    fn state(&self, id: &str) -> ApiResult<State> {
        self.records.get(id).map(|record| record.state).ok_or_else(|| ApiError::not_found("video", id))
    }

    /// Asks the running job to stop; what was asked for first stays, unless more is asked for.
    fn stop(&mut self, why: Stop) {
        if let Some(running) = &mut self.running {
            let stronger = |stop: Stop| match stop {
                Stop::Pause => 0,
                Stop::Shutdown => 1,
                Stop::Cancel => 2,
                Stop::Delete => 3,
            };
            if running.stop.is_none_or(|before| stronger(why) > stronger(before)) {
                running.stop = Some(why);
            }
            running.cancel.cancel();
        }
    }

    /// Those that wait, the next one first.
    fn waiting(&self) -> Vec<String> {
        let mut waiting: Vec<&Record> =
            self.records.values().filter(|record| record.state == State::Queued).collect();
        waiting.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        waiting.into_iter().map(|record| record.id.clone()).collect()
    }
}

fn is_over(state: State) -> ApiError {
    ApiError::conflict("is_over", format!("the job is {} already", state.in_words()))
}

/// The job's file in its result's folder.
pub(crate) fn job_path(folder: &Path) -> PathBuf {
    folder.join("job.toml")
}

/// Every record that can be read; others are put aside under another name, so that one bad file stops nothing.
fn read_records(folder: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = fs::read(&path).map_err(Error::io(&path))?;
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if path.file_stem().is_some_and(|stem| stem == record.id.as_str()) => {
                records.push(record);
            }
            _ => {
                let aside = path.with_extension("damaged");
                fs::rename(&path, &aside).map_err(Error::io(&path))?;
            }
        }
    }
    Ok(records)
}
