//! Ranks that are processes which `mpirun` or `srun` started.
//!
//! MPI's own collectives wait for ever for a rank that doesn't come, and can't be left. So ranks meet first, by small messages that
//! are asked for and never waited in: only when all are there, MPI's collective begins. A rank that fails or leaves says so to
//! all others, on a tag of its own.

use crate::call::{Call, agree};
use crate::traffic::Counter;
use crate::{Collectives, Error, Result, Traffic};
use ::mpi::collective::{CommunicatorCollectives, Root};
use ::mpi::environment::{Threading, Universe, initialize_with_threading};
use ::mpi::point_to_point::{Destination, MatchedReceiveVec, Source};
use ::mpi::topology::{Color, Communicator, SimpleCommunicator};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// "This is what I call."
const CALLS: i32 = 1;
/// "I can't go on."
const FAILED: i32 = 2;
/// "I'm done."
const LEAVES: i32 = 3;

/// Longest reason that a rank gives.
const REASON: usize = 2000;
/// Most bytes of one MPI call: its counts are 32-bit.
const LARGEST: usize = 1 << 30;

/// A rank that is a process. Dropping the last end of it ends MPI, when all others are done too.
pub struct Mpi {
    // Communicators go before MPI ends: fields are dropped in order.
    group: SimpleCommunicator,
    members: Vec<usize>,
    world: Rc<World>,
}

/// What all groups of a process share.
struct World {
    all: SimpleCommunicator,
    failed: RefCell<Option<Error>>,
    /// Who has left.
    gone: RefCell<Vec<bool>>,
    /// Has this rank said that it failed?
    has_failed: Cell<bool>,
    counter: Counter,
    /// Keeps MPI going.
    _universe: Universe,
}

impl std::fmt::Debug for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mpi").field("rank", &self.rank()).field("members", &self.members).finish()
    }
}

impl Mpi {
    /// Joins the processes of a launcher: to be called once, from the main thread, which makes all further calls.
    ///
    /// # Errors
    /// When MPI was begun before in this process, or doesn't let a program with several threads call it.
    pub fn start() -> Result<Self> {
        let Some((mut universe, threading)) = initialize_with_threading(Threading::Serialized) else {
            return Err(Error::Start("MPI was begun before in this process".to_owned()));
        };
        if threading < Threading::Funneled {
            return Err(Error::Start("this MPI library isn't for programs with several threads".to_owned()));
        }
        let all = universe.world().duplicate();
        let size = all.size() as usize;
        universe.set_buffer_size((1 << 16) + size * (2 * REASON + 1024));
        let group = all.duplicate();
        let world = World {
            all,
            failed: RefCell::default(),
            gone: RefCell::new(vec![false; size]),
            has_failed: Cell::new(false),
            counter: Counter::default(),
            _universe: universe,
        };
        Ok(Self { group, members: (0..size).collect(), world: Rc::new(world) })
    }

    /// Waits until all ranks of the group are about to make `call`.
    fn meet(&self, call: Call) -> Result<()> {
        let arrived = Instant::now();
        self.world.check()?;
        let (size, me) = (self.size(), self.rank());
        let others = || (0..size).filter(|n| *n != me);
        for n in others() {
            self.group.process_at_rank(n as i32).buffered_send_with_tag(&call.encode()[..], CALLS);
        }
        let mut calls = vec![call; size];
        for n in others() {
            let mut patience = Patience::default();
            calls[n] = loop {
                if let Some(call) = self.heard(n)? {
                    break call;
                }
                self.world.check()?;
                let is_gone = self.world.gone.borrow()[self.members[n]];
                if is_gone {
                    // What it said before it left may come behind.
                    std::thread::sleep(Duration::from_millis(5));
                    match self.heard(n)? {
                        Some(call) => break call,
                        None => {
                            let (rank, by) = (self.members[n], self.world_rank());
                            return Err(Error::Gone { rank, by, waiting: call });
                        }
                    }
                }
                patience.wait();
            };
        }
        self.world.counter.add(call.sent(me, size), arrived.elapsed());
        agree(&self.members, &calls)
    }

    /// What rank `n` of the group calls next, if it has said so.
    fn heard(&self, n: usize) -> Result<Option<Call>> {
        let process = self.group.process_at_rank(n as i32);
        let Some(message) = process.immediate_matched_probe_with_tag(CALLS) else { return Ok(None) };
        let (bytes, _) = message.matched_receive_vec::<u8>();
        let call = <[u8; 16]>::try_from(bytes.as_slice()).ok().and_then(Call::decode);
        let unknown = || Error::Library {
            rank: self.world_rank(),
            why: format!("rank {} sent what no rank of this program sends", self.members[n]),
        };
        call.map(Some).ok_or_else(unknown)
    }
}

impl World {
    fn rank(&self) -> usize {
        self.all.rank() as usize
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let (me, size) = (self.rank(), self.all.size() as usize);
        (0..size).filter(move |n| *n != me)
    }

    fn tell(&self, tag: i32, bytes: &[u8]) {
        for n in self.others() {
            self.all.process_at_rank(n as i32).buffered_send_with_tag(bytes, tag);
        }
    }

    /// Hears who failed and who left.
    fn listen(&self) {
        let anybody = self.all.any_process();
        // In this order: who fails says so before it leaves, so that whose leaving is heard, whose failure is there too.
        while let Some(message) = anybody.immediate_matched_probe_with_tag(LEAVES) {
            let (_, status) = message.matched_receive_vec::<u8>();
            self.gone.borrow_mut()[status.source_rank() as usize] = true;
        }
        while let Some(message) = anybody.immediate_matched_probe_with_tag(FAILED) {
            let (bytes, status) = message.matched_receive_vec::<u8>();
            let why = String::from_utf8_lossy(&bytes).into_owned();
            let rank = status.source_rank() as usize;
            self.failed.borrow_mut().get_or_insert(Error::Failed { rank, why });
        }
    }

    fn check(&self) -> Result<()> {
        self.listen();
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }

    fn fail(&self, why: &str) {
        self.listen();
        // Who only passes on another's failure has nothing to add.
        if self.has_failed.replace(true) || self.failed.borrow().is_some() {
            return;
        }
        let end = (0..=REASON.min(why.len())).rev().find(|n| why.is_char_boundary(*n)).unwrap_or(0);
        let why = &why[..end];
        *self.failed.borrow_mut() = Some(Error::Failed { rank: self.rank(), why: why.to_owned() });
        self.tell(FAILED, why.as_bytes());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail("it panicked");
        }
        self.tell(LEAVES, &[1]);
        let mut patience = Patience::default();
        loop {
            self.listen();
            let all_gone = self.others().all(|n| self.gone.borrow()[n]);
            if all_gone {
                return;
            }
            patience.wait();
        }
    }
}

/// Waits a little, then longer: who waits for seconds takes no processor.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    fn wait(&mut self) {
        self.0 = self.0.saturating_add(1);
        match self.0 {
            0..200 => std::thread::yield_now(),
            200..2000 => std::thread::sleep(Duration::from_micros(50)),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

impl Collectives for Mpi {
    fn rank(&self) -> usize {
        self.group.rank() as usize
    }

    fn size(&self) -> usize {
        self.members.len()
    }

    fn world_rank(&self) -> usize {
        self.world.rank()
    }

    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        let size = self.size();
        self.meet(Call::all_to_all(send.len(), receive.len(), size)?)?;
        let part = send.len() / size;
        if part <= LARGEST {
            if part > 0 {
                self.group.all_to_all_into(send, receive);
            }
            return Ok(());
        }
        // Piece by piece, since a message's length is a 32-bit number.
        for first in (0..part).step_by(LARGEST / size) {
            let len = (LARGEST / size).min(part - first);
            let pieces: Vec<u8> =
                send.chunks_exact(part).flat_map(|p| &p[first..first + len]).copied().collect();
            let mut received = vec![0; size * len];
            self.group.all_to_all_into(&pieces[..], &mut received[..]);
            for (to, from) in receive.chunks_exact_mut(part).zip(received.chunks_exact(len)) {
                to[first..first + len].copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<()> {
        self.meet(Call::all_gather(mine.len(), all.len(), self.size())?)?;
        let part = mine.len();
        if part <= LARGEST {
            if part > 0 {
                self.group.all_gather_into(mine, all);
            }
            return Ok(());
        }
        for first in (0..part).step_by(LARGEST / self.size()) {
            let len = (LARGEST / self.size()).min(part - first);
            let mut received = vec![0; self.size() * len];
            self.group.all_gather_into(&mine[first..first + len], &mut received[..]);
            for (to, from) in all.chunks_exact_mut(part).zip(received.chunks_exact(len)) {
                to[first..first + len].copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<()> {
        self.meet(Call::broadcast(bytes.len(), root, self.size())?)?;
        for piece in bytes.chunks_mut(LARGEST) {
            self.group.process_at_rank(root as i32).broadcast_into(piece);
        }
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        self.meet(Call::Barrier)
    }

    fn split(&self, colour: usize) -> Result<Box<dyn Collectives>> {
        let mine = (colour as u64).to_le_bytes();
        let mut colours = vec![0; 8 * self.size()];
        self.all_gather(&mine, &mut colours)?;
        let same = |n: &usize| colours[8 * n..8 * (n + 1)] == mine;
        // Any number is a colour here; MPI takes small ones: that of the first rank which has it.
        let first = (0..self.size()).find(same).unwrap_or(0);
        let group = self.group.split_by_color_with_key(Color::with_value(first as i32), self.rank() as i32);
        let nothing = || Error::Library { rank: self.world_rank(), why: "MPI made no group".to_owned() };
        Ok(Box::new(Self {
            group: group.ok_or_else(nothing)?,
            members: (0..self.size()).filter(same).map(|n| self.members[n]).collect(),
            world: self.world.clone(),
        }))
    }

    fn fail(&self, why: &str) {
        self.world.fail(why);
    }

    fn check(&self) -> Result<()> {
        self.world.check()
    }

    fn traffic(&self) -> Traffic {
        self.world.counter.read()
    }
}
