//! A task is run: stages of a shot, from what its folders have, with a record of how it went.

use crate::clock::now_s;
use crate::record::{self, Record};
use crate::{Error, Farm, Group, Result, Verdict};
use pipeline::lease::{Lease, Taken};
use pipeline::{CancelToken, Context, Event, Job, Observer, ResultStore, Session, StageRow};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a running task says in its record that it is at work.
const SEEN_EVERY_S: f64 = 5.0;
/// How often a task looks whether another machine is done with it.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How a task is run.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions {
    /// What the scheduler calls it, for the record.
    pub scheduler: Option<String>,
    /// How long a result is waited for that another machine is making; then the task ends with [`Verdict::Again`].
    pub patience: Duration,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskEnd {
    /// What to do about it.
    pub verdict: Verdict,
    /// Why, where it isn't done.
    pub reason: Option<String>,
    /// The stages that it went through.
    pub stages: Vec<StageRow>,
}

/// Runs a task of a farm and keeps its record. What goes wrong with the shot is told by the result.
///
/// # Errors
/// When the farm itself can't be used: the shot hasn't such a task, the record can't be read or written.
pub fn run_task(
    farm: &Farm,
    (shot, group): (usize, Group),
    session: &Session,
    options: &TaskOptions,
    observer: &dyn Observer,
    cancel: &CancelToken,
) -> Result<TaskEnd> {
    run_task_with(farm, (shot, group), session, options, (observer, None), cancel)
}

/// The same, with results that are looked for and kept elsewhere too.
pub(crate) fn run_task_with(
    farm: &Farm,
    (shot, group): (usize, Group),
    session: &Session,
    options: &TaskOptions,
    (observer, store): (&dyn Observer, Option<&dyn ResultStore>),
    cancel: &CancelToken,
) -> Result<TaskEnd> {
    let own = &farm.shots[shot];
    let Some(task) = own.tasks.iter().map(|t| &t.task).find(|task| task.group == group) else {
        let why = format!("{} has no task {}", own.name, group.name());
        return Err(Error::Option { option: "--task", why });
    };
    let files = farm.files(shot);
    let folder = record::folder(&files.folder);
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let start = Instant::now();
    let lease = loop {
        match Lease::take(&record::lease(&files.folder, group))? {
            Taken::Ours(lease) => break lease,
            Taken::Held(owner) if start.elapsed() >= options.patience || cancel.is_cancelled() => {
                let reason = Some(format!("{owner} is at it"));
                return Ok(TaskEnd { verdict: Verdict::Again, reason, stages: Vec::new() });
            }
            Taken::Held(_) => std::thread::sleep(LOOK_AGAIN),
        }
    };
    let book = Book { record: Mutex::new(Record::read(&files.folder, group)?), farm, shot, group, observer };
    let ran = (|| {
        let job = Job::read(&files.job)?;
        let key = job.fingerprint()?;
        // A video has no fingerprint in the work folder: the record says that it is there.
        if task.stages.contains(&pipeline::Stage::Finish)
            && crate::folder::written(&job)
            && book.lock().is_done(key.as_str())
        {
            return Ok(None);
        }
        book.begin(key.as_str(), lease.owner().host.as_str(), options)?;
        let context = Context::new(&book, cancel).with_patience(options.patience);
        let context = store.map_or(context, |store| context.with_store(store));
        Ok::<_, Error>(Some(session.run_stages(&job, &task.stages, context)?.stages))
    })();
    let end = match ran {
        Ok(None) => return Ok(TaskEnd { verdict: Verdict::Done, reason: None, stages: Vec::new() }),
        Ok(Some(stages)) => TaskEnd { verdict: Verdict::Done, reason: None, stages },
        Err(error) => TaskEnd {
            verdict: Verdict::of_error(&error),
            reason: Some(error.to_string()),
            stages: book.finished(),
        },
    };
    book.end(&end, lease.owner().host.as_str(), options)?;
    Ok(end)
}

/// A task's record while it runs.
struct Book<'a> {
    record: Mutex<Record>,
    farm: &'a Farm,
    shot: usize,
    group: Group,
    observer: &'a dyn Observer,
}

impl Book<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, record: &Record) -> Result<()> {
        record.write(&self.farm.files(self.shot).folder, self.group)
    }

    fn begin(&self, key: &str, host: &str, options: &TaskOptions) -> Result<()> {
        let mut record = self.lock();
        record.job = key.to_owned();
        record.begin(host, options.scheduler.as_deref());
        self.write(&record)
    }

    fn finished(&self) -> Vec<StageRow> {
        self.lock().last_mut().map(|attempt| attempt.stages.clone()).unwrap_or_default()
    }

    fn end(&self, end: &TaskEnd, host: &str, options: &TaskOptions) -> Result<()> {
        let mut record = self.lock();
        if record.attempts.last().is_none_or(|last| last.ended_s.is_some() || last.pid != std::process::id())
        {
            // It ended before it began: the job file is gone, say.
            record.begin(host, options.scheduler.as_deref());
        }
        if let Some(attempt) = record.last_mut() {
            let now = now_s();
            (attempt.seen_s, attempt.ended_s) = (now, Some(now));
            attempt.verdict = Some(end.verdict);
            attempt.reason.clone_from(&end.reason);
            attempt.stages.clone_from(&end.stages);
        }
        self.write(&record)
    }
}

impl Observer for Book<'_> {
    fn event(&self, event: &Event) {
        let mut record = self.lock();
        if let Some(attempt) = record.last_mut() {
            match event {
                Event::Started { stage, .. } => attempt.at = Some((stage.name().to_owned(), 0.0)),
                Event::Advanced { stage, done, total } => {
                    attempt.at = Some((stage.name().to_owned(), done / (*total).max(1) as f64));
                }
                Event::Finished { stage, seconds, cached, peak_bytes } => attempt.stages.push(StageRow {
                    name: stage.name().to_owned(),
                    seconds: *seconds,
                    peak_bytes: *peak_bytes,
                    cached: *cached,
                }),
                _ => {}
            }
            let now = now_s();
            if now - attempt.seen_s > SEEN_EVERY_S {
                attempt.seen_s = now;
                // A record that can't be written now is written at the end.
                let _ = self.write(&record);
            }
        }
        drop(record);
        self.observer.event(event);
    }
}
