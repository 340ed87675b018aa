//! Ranks that are threads of one process.

use crate::call::{Call, agree};
use crate::traffic::Counter;
use crate::{Collectives, Error, Result, Traffic};
use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A rank that is a thread. Dropping it tells the others that it is gone.
#[derive(Debug)]
pub struct Threads {
    world: Arc<World>,
    /// The group's ranks by their numbers in the world.
    members: Vec<usize>,
    /// This rank's number in the group.
    rank: usize,
    /// The group's name: that of the group it was split from, which split, which colour.
    name: String,
    splits: AtomicUsize,
    /// Is this the end that stands for the rank, not one of a group's?
    is_whole: bool,
}

/// What all threads share.
#[derive(Debug)]
struct World {
    state: Mutex<State>,
    changed: Condvar,
    counters: Vec<Counter>,
}

#[derive(Debug, Default)]
struct State {
    failed: Option<Error>,
    gone: Vec<bool>,
    /// The call at hand of each group.
    rounds: HashMap<String, Round>,
}

/// What a group's members bring to a call.
#[derive(Debug)]
struct Round {
    brought: Vec<Option<(Call, Arc<Vec<u8>>)>>,
    /// Members that have taken what they need.
    taken: usize,
}

impl Round {
    fn new(size: usize) -> Self {
        Self { brought: vec![None; size], taken: 0 }
    }
}

impl World {
    /// A thread that panicked leaves a state that is whole: nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, rank: usize, why: &str) {
        self.lock().failed.get_or_insert(Error::Failed { rank, why: why.to_owned() });
        self.changed.notify_all();
    }
}

impl Threads {
    /// The ends of a world of `size` ranks, one for each thread.
    #[must_use]
    pub fn world(size: usize) -> Vec<Self> {
        let state = State { gone: vec![false; size], ..State::default() };
        let counters = (0..size).map(|_| Counter::default()).collect();
        let world = Arc::new(World { state: Mutex::new(state), changed: Condvar::new(), counters });
        let end = |rank| Self {
            world: world.clone(),
            members: (0..size).collect(),
            rank,
            name: String::new(),
            splits: AtomicUsize::new(0),
            is_whole: true,
        };
        (0..size).map(end).collect()
    }

    /// Runs `work` on `size` ranks at once, each with its share of this machine's threads, and returns what they made, in order.
    ///
    /// # Errors
    /// The error of the rank that failed first; a panic is one too.
    pub fn run<T: Send, E: From<Error> + Display + Send>(
        size: usize,
        work: impl Fn(&Self) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        if size == 0 {
            return Err(Error::Start("at least one rank is needed".to_owned()).into());
        }
        let share = (rayon::current_num_threads() / size).max(1);
        let ends = Self::world(size);
        let world = ends.first().map(|end| end.world.clone());
        let one = |end: Self| -> Result<T, E> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(share).build();
            let pool = pool.map_err(|error| Error::Start(error.to_string()));
            let made = match pool {
                Ok(pool) => catch_unwind(AssertUnwindSafe(|| pool.install(|| work(&end)))),
                Err(error) => Ok(Err(error.into())),
            };
            let made = made.unwrap_or_else(|panic| {
                let why = format!("it panicked: {}", message(&*panic));
                end.fail(&why);
                Err(Error::Failed { rank: end.rank, why }.into())
            });
            if let Err(error) = &made {
                end.fail(&error.to_string());
            }
            made
        };
        let mut made: Vec<Option<Result<T, E>>> = std::thread::scope(|threads| {
            let running: Vec<_> = ends.into_iter().map(|end| threads.spawn(|| one(end))).collect();
            running.into_iter().map(|thread| thread.join().ok()).collect()
        });
        let failed = world.and_then(|world| world.lock().failed.clone());
        if let Some(Error::Failed { rank, .. }) = failed
            && let Some(Some(Err(error))) = made.get_mut(rank).map(Option::take)
        {
            return Err(error);
        }
        let lost = || Error::Start("a thread of a rank was lost".to_owned());
        made.into_iter().map(|made| made.unwrap_or_else(|| Err(lost().into()))).collect()
    }

    /// Brings `bytes` to a call and waits for the others'.
    fn exchange(&self, call: Call, bytes: &[u8]) -> Result<Vec<Arc<Vec<u8>>>> {
        let size = self.size();
        let mut bytes = Some(Arc::new(bytes.to_vec()));
        let arrived = Instant::now();
        let mut state = self.world.lock();
        let brought = loop {
            state.failed.clone().map_or(Ok(()), Err)?;
            let State { rounds, gone, .. } = &mut *state;
            let round = rounds.entry(self.name.clone()).or_insert_with(|| Round::new(size));
            // What this rank brought to the call before stays until everybody has taken it.
            if round.brought[self.rank].is_none()
                && let Some(bytes) = bytes.take()
            {
                round.brought[self.rank] = Some((call, bytes));
                self.world.changed.notify_all();
            }
            if bytes.is_none() && round.brought.iter().all(Option::is_some) {
                let brought: Vec<_> = round.brought.iter().flatten().cloned().collect();
                round.taken += 1;
                if round.taken == size {
                    *round = Round::new(size);
                    self.world.changed.notify_all();
                }
                break brought;
            }
            let missing = round.brought.iter().zip(&self.members).filter(|(brought, _)| brought.is_none());
            if let Some((_, &rank)) = missing.into_iter().find(|(_, rank)| gone[**rank]) {
                return Err(Error::Gone { rank, by: self.world_rank(), waiting: call });
            }
            state = self.world.wait(state);
        };
        drop(state);
        self.world.counters[self.world_rank()].add(call.sent(self.rank, size), arrived.elapsed());
        let (calls, bytes): (Vec<Call>, Vec<_>) = brought.into_iter().unzip();
        agree(&self.members, &calls)?;
        Ok(bytes)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if !self.is_whole {
            return;
        }
        if std::thread::panicking() {
            self.fail("it panicked");
        }
        let rank = self.world_rank();
        self.world.lock().gone[rank] = true;
        self.world.changed.notify_all();
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("for no reason given")
}

impl Collectives for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.members.len()
    }

    fn world_rank(&self) -> usize {
        self.members[self.rank]
    }

    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        let call = Call::all_to_all(send.len(), receive.len(), self.size())?;
        let part = send.len() / self.size();
        let mine = part * self.rank..part * (self.rank + 1);
        for (n, sent) in self.exchange(call, send)?.iter().enumerate() {
            receive[part * n..part * (n + 1)].copy_from_slice(&sent[mine.clone()]);
        }
        Ok(())
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<()> {
        let call = Call::all_gather(mine.len(), all.len(), self.size())?;
        let part = mine.len();
        for (n, sent) in self.exchange(call, mine)?.iter().enumerate() {
            all[part * n..part * (n + 1)].copy_from_slice(sent);
        }
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<()> {
        let call = Call::broadcast(bytes.len(), root, self.size())?;
        let brought = if self.rank == root { &*bytes } else { &[] };
        let sent = self.exchange(call, brought)?;
        bytes.copy_from_slice(&sent[root]);
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        self.exchange(Call::Barrier, &[]).map(drop)
    }

    fn split(&self, colour: usize) -> Result<Box<dyn Collectives>> {
        let mut colours = vec![0; 8 * self.size()];
        self.all_gather(&(colour as u64).to_le_bytes(), &mut colours)?;
        let mine = (colour as u64).to_le_bytes();
        let same = |n: &usize| colours[8 * n..8 * (n + 1)] == mine;
        let number = self.splits.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Self {
            world: self.world.clone(),
            members: (0..self.size()).filter(same).map(|n| self.members[n]).collect(),
            rank: (0..self.rank).filter(same).count(),
            name: format!("{}/{number}:{colour}", self.name),
            splits: AtomicUsize::new(0),
            is_whole: false,
        }))
    }

    fn fail(&self, why: &str) {
        self.world.fail(self.world_rank(), why);
    }

    fn check(&self) -> Result<()> {
        self.world.lock().failed.clone().map_or(Ok(()), Err)
    }

    fn traffic(&self) -> Traffic {
        self.world.counters[self.world_rank()].read()
    }
}
