//! The farm on this machine: the same graph, tasks as processes, so many at a time.

use crate::{Error, Farm, Group, Result, Verdict};
use pipeline::CancelToken;
use pipeline::models::GIB;
use serde::Serialize;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// How tasks are run here.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The command `anicrafter`, which runs a task.
    pub program: PathBuf,
    /// How many tasks run at once.
    pub at_once: usize,
    /// Threads of a task.
    pub threads: usize,
    /// Memory in GiB that running tasks may take together, by their plans; a task that alone takes more runs alone. No limit where it
    /// isn't given.
    pub memory_gib: Option<f64>,
    /// How often a task that was stopped or killed is run again before it is given up.
    pub restarts: u32,
}

/// What happens to tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum LocalEvent {
    /// A task's process was started.
    Started {
        /// The shot's name.
        shot: String,
        /// The task.
        task: Group,
        /// The process.
        pid: u32,
    },
    /// A task's process is gone.
    Ended {
        /// The shot's name.
        shot: String,
        /// The task.
        task: Group,
        /// What its exit code says.
        verdict: Verdict,
        /// Seconds that it ran.
        seconds: f64,
        /// Will it be run again?
        again: bool,
        /// Tasks that are done, of `total`.
        done: usize,
        /// Tasks of all shots that weren't done at the start.
        total: usize,
        /// The file with what it said.
        log: PathBuf,
    },
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Shots that are done, those that were before included.
    pub done: usize,
    /// Tasks that failed: the shot's name, the task, the file with what it said.
    pub failed: Vec<(String, Group, PathBuf)>,
    /// Was it stopped before everything was tried?
    pub stopped: bool,
}

/// How often processes are looked after.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Open,
    Running,
    Done,
    Failed,
}

struct Running {
    shot: usize,
    task: usize,
    child: Child,
    /// The task stops when this is closed.
    stdin: Option<ChildStdin>,
    start: Instant,
    log: PathBuf,
}

/// Runs what isn't done of a farm's shots; `cancel` stops the running tasks, which save what they have.
///
/// # Errors
/// When a process can't be started or a log not be written; tasks that fail are in the summary.
pub fn run_local(
    farm: &Farm,
    options: &LocalOptions,
    tell: &dyn Fn(&LocalEvent),
    cancel: &CancelToken,
) -> Result<Summary> {
    if options.at_once == 0 {
        let why = "must be at least 1".to_owned();
        return Err(Error::Option { option: "--at-once", why });
    }
    let mut walk = Walk::new(farm, options);
    let ended = walk.all(tell, cancel);
    if ended.is_err() {
        // Nobody is left behind.
        walk.stop();
    }
    ended?;
    let done =
        (0..farm.shots.len()).filter(|n| walk.stands[*n].iter().all(|stand| *stand == Stand::Done)).count();
    Ok(Summary { done, failed: walk.failed, stopped: cancel.is_cancelled() })
}

struct Walk<'a> {
    farm: &'a Farm,
    options: &'a LocalOptions,
    stands: Vec<Vec<Stand>>,
    tries: Vec<Vec<u32>>,
    running: Vec<Running>,
    failed: Vec<(String, Group, PathBuf)>,
    total: usize,
    done: usize,
}

impl<'a> Walk<'a> {
    fn new(farm: &'a Farm, options: &'a LocalOptions) -> Self {
        let stand = |n: usize| {
            // Where it can't be told, the task tells why.
            let stand = if farm.is_done(n).unwrap_or(false) { Stand::Done } else { Stand::Open };
            vec![stand; farm.shots[n].tasks.len()]
        };
        let stands: Vec<Vec<Stand>> = (0..farm.shots.len()).map(stand).collect();
        let tries = stands.iter().map(|shot| vec![0; shot.len()]).collect();
        let total = stands.iter().flatten().filter(|stand| **stand == Stand::Open).count();
        Self { farm, options, stands, tries, running: Vec::new(), failed: Vec::new(), total, done: 0 }
    }

    fn all(&mut self, tell: &dyn Fn(&LocalEvent), cancel: &CancelToken) -> Result<()> {
        loop {
            self.reap(tell, cancel)?;
            if cancel.is_cancelled() {
                self.running.iter_mut().for_each(|running| running.stdin = None);
            } else {
                while let Some((shot, task)) = self.next() {
                    self.start(shot, task, tell)?;
                }
            }
            if self.running.is_empty() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A task that may start now: what it waits for is done, and there is room.
    fn next(&self) -> Option<(usize, usize)> {
        if self.running.len() >= self.options.at_once {
            return None;
        }
        let bytes = |shot: usize, task: usize| self.farm.shots[shot].tasks[task].needs.memory_bytes as f64;
        let taken: f64 = self.running.iter().map(|running| bytes(running.shot, running.task)).sum();
        let fits = |shot: usize, task: usize| {
            let limit = self.options.memory_gib.map_or(f64::INFINITY, |gib| gib * GIB);
            self.running.is_empty() || taken + bytes(shot, task) <= limit
        };
        for (n, shot) in self.farm.shots.iter().enumerate() {
            for (m, own) in shot.tasks.iter().enumerate() {
                let is_ready = self.stands[n][m] == Stand::Open
                    && shot.tasks.iter().zip(&self.stands[n]).all(|(other, stand)| {
                        *stand == Stand::Done || !own.task.after.contains(&other.task.group)
                    });
                if is_ready && fits(n, m) {
                    return Some((n, m));
                }
            }
        }
        None
    }

    fn start(&mut self, n: usize, m: usize, tell: &dyn Fn(&LocalEvent)) -> Result<()> {
        let (shot, group) = (&self.farm.shots[n], self.farm.shots[n].tasks[m].task.group);
        let log = self.farm.logs().join(format!("{}-{}.log", group.name(), shot.name));
        let says = OpenOptions::new().create(true).append(true).open(&log).map_err(Error::io(&log))?;
        let mut child = Command::new(&self.options.program)
            .args(["--threads", &self.options.threads.to_string(), "--progress", "plain", "farm", "task"])
            .arg(self.farm.root())
            .args(["--shot", &shot.name, "--task", group.name(), "--scheduler", "local", "--while-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(says)
            .spawn()
            .map_err(Error::io(&self.options.program))?;
        tell(&LocalEvent::Started { shot: shot.name.clone(), task: group, pid: child.id() });
        let stdin = child.stdin.take();
        self.stands[n][m] = Stand::Running;
        self.running.push(Running { shot: n, task: m, child, stdin, start: Instant::now(), log });
        Ok(())
    }

    fn reap(&mut self, tell: &dyn Fn(&LocalEvent), cancel: &CancelToken) -> Result<()> {
        let mut at = 0;
        while at < self.running.len() {
            let code = self.running[at].child.try_wait().map_err(Error::io(&self.options.program))?;
            let Some(status) = code else {
                at += 1;
                continue;
            };
            let Running { shot, task, start, log, .. } = self.running.swap_remove(at);
            let verdict = Verdict::of_exit(status.code());
            let (name, group) = (&self.farm.shots[shot].name, self.farm.shots[shot].tasks[task].task.group);
            let tries = &mut self.tries[shot][task];
            let again = verdict == Verdict::Again && *tries < self.options.restarts && !cancel.is_cancelled();
            *tries += 1;
            self.stands[shot][task] = match verdict {
                Verdict::Done => {
                    self.done += 1;
                    Stand::Done
                }
                Verdict::Again if again || cancel.is_cancelled() => Stand::Open,
                _ => {
                    self.failed.push((name.clone(), group, log.clone()));
                    Stand::Failed
                }
            };
            tell(&LocalEvent::Ended {
                shot: name.clone(),
                task: group,
                verdict,
                seconds: start.elapsed().as_secs_f64(),
                again,
                done: self.done,
                total: self.total,
                log,
            });
        }
        Ok(())
    }

    /// Lets the running tasks save and end.
    fn stop(&mut self) {
        self.running.iter_mut().for_each(|running| running.stdin = None);
        for running in &mut self.running {
            // One that can't be waited for is gone.
            let _ = running.child.wait();
        }
    }
}
