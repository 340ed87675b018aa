//! The right to run a task, in a store: an object that is created only if it isn't there, and says now and then that its owner lives.

use super::depot::Depot;
use crate::clock::now_s;
use crate::record::{self, Held};
use crate::{Group, Result};
use pipeline::work::write_atomically;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
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
}

/// Says that the owner lives, until it is dropped.
pub(super) struct Beat(#[expect(dead_code, reason = "its end is what it says")] Sender<()>);

/// This process, as it lives now.
fn own() -> Vec<u8> {
    let held = Held { host: pipeline::lease::host(), pid: std::process::id(), seen_s: now_s() };
    // Three plain values can always be written.
    serde_json::to_vec(&held).unwrap_or_default()
}

impl<'a> StoreLease<'a> {
    /// Takes the right; else gives who has it.
    pub(super) fn take(depot: &'a Depot, name: &str) -> Result<std::result::Result<Self, String>> {
        let lease = || Self { depot, name: name.to_owned() };
        if depot.put_new(name, own())? {
            return Ok(Ok(lease()));
        }
        match depot.get(name)?.and_then(|text| serde_json::from_slice::<Held>(&text).ok()) {
            Some(held) if held.is_alive() => Ok(Err(format!("{} (process {})", held.host, held.pid))),
            // Gone meanwhile, dead, or damaged. Two that take it at once do no harm: the task is done twice.
            _ => {
                depot.delete(name)?;
                let taken = depot.put_new(name, own())?;
                Ok(if taken { Ok(lease()) } else { Err("another machine".to_owned()) })
            }
        }
    }

    /// Says that the owner lives for as long as the result is kept, and calls `also` each time.
    pub(super) fn beat<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        also: impl Fn() + Send + 'scope,
    ) -> Beat {
        let (sender, receiver) = channel::<()>();
        scope.spawn(move || {
            while receiver.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A store that is away for the moment may be back for the next one.
                let _ = self.depot.put(&self.name, own());
                also();
            }
        });
        Beat(sender)
    }

    /// Writes beside a task's record who is at it, where anybody is.
    pub(super) fn show(depot: &Depot, name: &str, shot: &Path, group: Group) -> Result<()> {
        let path = record::held(shot, group);
        match depot.get(name)? {
            Some(text) => Ok(write_atomically(&path, &text)?),
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
        let held = self.depot.get(&self.name).ok().flatten();
        let held = held.and_then(|text| serde_json::from_slice::<Held>(&text).ok());
        if held.is_some_and(|held| held.pid == std::process::id() && held.host == pipeline::lease::host()) {
            // Without an answer it is taken for dead in a while.
            let _ = self.depot.delete(&self.name);
        }
    }
}
