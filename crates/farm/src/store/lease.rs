//! The right to run a task, in a store: an object that is created only if it isn't there, and says now and then that its owner lives.
//!
//! Whether one lives is judged by the store's clock alone: machines' own may differ. A dead owner's lease is written over only as it was
//! seen, so of two that find it dead one gets it.

use super::depot::Depot;
use crate::clock::now_s;
use crate::record::{self, Held};
use crate::{Group, Result};
use object_store::UpdateVersion;
use pipeline::work::write_atomically;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

/// How often an owner says that it lives.
const BEAT: Duration = Duration::from_secs(15);
/// How often a task that another machine has is looked for.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A task's lease in a store.
pub(super) struct StoreLease<'a> {
    depot: &'a Depot,
    name: String,
    /// Its last writing; nothing once another machine has it.
    version: Mutex<Option<UpdateVersion>>,
}

/// Says that the owner lives, until it is dropped.
pub(super) struct Beat(#[expect(dead_code, reason = "its end is what it says")] Sender<()>);

/// This process, as it lives now.
fn own() -> Vec<u8> {
    let held = Held { host: pipeline::lease::host(), pid: std::process::id(), seen_s: now_s() };
    // Three plain values can always be written.
    serde_json::to_vec(&held).unwrap_or_default()
}

/// Whose lease this is, where it can be read.
fn owner(text: &[u8]) -> Option<Held> {
    serde_json::from_slice(text).ok()
}

fn is_own(held: &Held) -> bool {
    held.pid == std::process::id() && held.host == pipeline::lease::host()
}

impl<'a> StoreLease<'a> {
    /// Takes the right; else gives who has it.
    pub(super) fn take(depot: &'a Depot, name: &str) -> Result<std::result::Result<Self, String>> {
        let lease = |version| Self { depot, name: name.to_owned(), version: Mutex::new(Some(version)) };
        if let Some(version) = depot.put_new(name, own())? {
            return Ok(Ok(lease(version)));
        }
        let Some(seen) = depot.look(name)? else {
            // It has just been given back.
            return Ok(Err("another machine".to_owned()));
        };
        if let Some(held) = owner(&seen.bytes)
            // The first writing may have arrived though its answer got lost.
            && !is_own(&held)
            && depot.now_s()? - seen.written_s < Held::DEAD_S
        {
            return Ok(Err(format!("{} (process {})", held.host, held.pid)));
        }
        let taken = depot.put_over(name, own(), seen.version)?;
        Ok(taken.map(lease).ok_or_else(|| "another machine".to_owned()))
    }

    /// Says that the owner lives for as long as the result is kept, and calls `also` each time. Stops where another machine has taken
    /// the task over, because this one was silent for too long: both end with the same result.
    pub(super) fn beat<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        also: impl Fn() + Send + 'scope,
    ) -> Beat {
        let (sender, receiver) = channel::<()>();
        scope.spawn(move || {
            while receiver.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) && self.say() {
                also();
            }
        });
        Beat(sender)
    }

    /// Says once that the owner lives; gives no where the lease is another machine's.
    fn say(&self) -> bool {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = version.clone() else { return false };
        match self.depot.put_over(&self.name, own(), seen) {
            Ok(Some(new)) => *version = Some(new),
            Ok(None) => {
                // An earlier writing whose answer got lost is this owner's too.
                let now = self.depot.look(&self.name).ok().flatten();
                let ours = now.filter(|seen| owner(&seen.bytes).is_some_and(|held| is_own(&held)));
                *version = ours.map(|seen| seen.version);
            }
            // A store that is away for the moment may be back for the next one.
            Err(_) => {}
        }
        version.is_some()
    }

    /// Writes beside a task's record who else is at it, where anybody is. `age` turns the store's time of a writing into seconds ago.
    pub(super) fn show(
        depot: &Depot,
        name: &str,
        (shot, group): (&Path, Group),
        age: impl FnOnce(f64) -> f64,
    ) -> Result<()> {
        let path = record::held(shot, group);
        let held = depot.look(name)?.and_then(|seen| Some((owner(&seen.bytes)?, seen.written_s)));
        match held.filter(|(held, _)| !is_own(held)) {
            Some((mut held, written_s)) => {
                held.seen_s = now_s() - age(written_s);
                Ok(write_atomically(&path, &serde_json::to_vec(&held).unwrap_or_default())?)
            }
            None => {
                let _ = std::fs::remove_file(path);
                Ok(())
            }
        }
    }
}

impl Drop for StoreLease<'_> {
    /// Gives the right back, if nobody has taken it over.
    fn drop(&mut self) {
        let held = self.depot.get(&self.name).ok().flatten().and_then(|text| owner(&text));
        if held.is_some_and(|held| is_own(&held)) {
            // Without an answer it is taken for dead in a while.
            let _ = self.depot.delete(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depot(folder: &Path) -> Depot {
        Depot::open(&format!("file://{}", folder.display())).unwrap()
    }

    /// What another machine wrote, which says a time of its own.
    fn other(seen_s: f64) -> Vec<u8> {
        serde_json::to_vec(&Held { host: "elsewhere".to_owned(), pid: 7, seen_s }).unwrap()
    }

    #[test]
    fn a_clock_that_is_wrong_takes_nothing_over() {
        let folder = tempfile::tempdir().unwrap();
        let depot = depot(folder.path());
        // Its clock is an hour behind; what counts is that it has just written.
        depot.put("a.lease", other(now_s() - 3600.0)).unwrap();
        let taken = StoreLease::take(&depot, "a.lease").unwrap();
        assert_eq!(taken.err().unwrap(), "elsewhere (process 7)");
        // Its clock is an hour ahead, and it was last heard of a while ago.
        depot.put("b.lease", other(now_s() + 3600.0)).unwrap();
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(91);
        std::fs::File::options()
            .append(true)
            .open(folder.path().join("b.lease"))
            .and_then(|file| file.set_modified(long_ago))
            .unwrap();
        let lease = StoreLease::take(&depot, "b.lease").unwrap().ok().unwrap();
        assert!(lease.say());
        drop(lease);
        assert!(depot.get("b.lease").unwrap().is_none());
    }

    #[test]
    fn whoever_lost_a_lease_leaves_the_new_owner_alone() {
        let depot = Depot::open("memory:///").unwrap();
        let lease = StoreLease::take(&depot, "a.lease").unwrap().ok().unwrap();
        assert!(lease.say());
        depot.put("a.lease", other(now_s())).unwrap();
        assert!(!lease.say());
        drop(lease);
        assert_eq!(owner(&depot.get("a.lease").unwrap().unwrap()).unwrap().host, "elsewhere");
    }

    #[test]
    fn of_two_that_find_an_owner_dead_one_takes_over() {
        let depot = Depot::open("memory:///").unwrap();
        depot.put("a.lease", other(0.0)).unwrap();
        let seen = |depot: &Depot| depot.look("a.lease").unwrap().unwrap().version;
        let (first, second) = (seen(&depot), seen(&depot));
        assert!(depot.put_over("a.lease", own(), first).unwrap().is_some());
        assert!(depot.put_over("a.lease", own(), second).unwrap().is_none());
    }
}
