//! Who works on a result in a folder that several processes share, on one machine or on many.
//!
//! A lease is a file with its owner's name. Two things say that the owner is still there: the system's lock on the file, which the
//! owner's death ends at once, and a beat, a write every few seconds. Where file systems don't pass locks on from machine to
//! machine, the beat alone counts; what hasn't beaten for [`STALE`] is taken over. Ages are told by the file system's own
//! clock, so that those of the machines may differ.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often an owner says that it is there.
const BEAT: Duration = Duration::from_secs(10);
/// After so long without a beat, an owner on another machine is taken for dead.
pub const STALE: Duration = Duration::from_secs(60);

/// The process that has a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The machine's name; empty where the system doesn't tell (it does on Linux).
    pub host: String,
    /// The process's number there.
    pub pid: u32,
    /// The machine's start, which tells machines of one name apart.
    boot: String,
    /// Leases of one process are told apart by this.
    number: u32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.pid)?;
        if self.host.is_empty() { Ok(()) } else { write!(f, " on {}", self.host) }
    }
}

fn of_linux(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// This machine's name; empty where the system doesn't tell (it does on Linux).
#[must_use]
pub fn host() -> String {
    of_linux("/proc/sys/kernel/hostname")
}

impl Owner {
    /// This process, as the owner of one more lease.
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self {
            host: host(),
            pid: std::process::id(),
            boot: of_linux("/proc/sys/kernel/random/boot_id"),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn is_on_the_machine_of(&self, other: &Self) -> bool {
        (&self.host, &self.boot) == (&other.host, &other.boot)
    }

    /// A name for files of this owner's alone.
    pub(crate) fn label(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let host: String = self.host.chars().take(40).map(plain).collect();
        format!("{host}-{}-{}", self.pid, self.number)
    }
}

/// The right to work on something, until it is dropped.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    owner: Owner,
    /// Its lock is the lease's, where the file system has locks.
    _file: File,
    lost: Arc<AtomicBool>,
    heart: Option<(Sender<()>, std::thread::JoinHandle<()>)>,
}

/// What an attempt to take a lease gave.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Ours(Lease),
    /// Somebody else has it.
    Held(Owner),
}

impl Lease {
    /// Takes the lease whose file is `path`, in a folder that is there, unless a living process has it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn take(path: &Path) -> Result<Taken> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        let owner = Owner::new();
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(fail)?;
            let locked = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => {
                    // The owner may just be writing its name.
                    return Ok(Taken::Held(read(&mut file).unwrap_or_else(unnamed)));
                }
                Err(TryLockError::Error(_)) => false,
            };
            // The owner before us removes the file while it has the lock: what was opened may be gone by now.
            if !is_file_at(&file, path) {
                continue;
            }
            if let Some(before) = read(&mut file)
                && lives(&before, &owner, locked, &file, path).map_err(fail)?
            {
                return Ok(Taken::Held(before));
            }
            write(&mut file, &owner).map_err(fail)?;
            if !locked {
                // Without locks the last one who wrote has it.
                std::thread::sleep(Duration::from_millis(200));
                if let Some(other) = read_at(path).filter(|found| *found != owner) {
                    return Ok(Taken::Held(other));
                }
            }
            let lost = Arc::new(AtomicBool::new(false));
            let heart = beat(path, &owner, file.try_clone().map_err(fail)?, &lost);
            return Ok(Taken::Ours(Self {
                path: path.to_owned(),
                owner,
                _file: file,
                lost,
                heart: Some(heart),
            }));
        }
    }

    /// The living process that has the lease whose file is `path`.
    ///
    /// # Errors
    /// When the file is there and can't be looked at.
    pub fn holder(path: &Path) -> Result<Option<Owner>> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        let mut file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(fail)?,
        };
        let owner = read(&mut file);
        let locked = match file.try_lock_shared() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(Some(owner.unwrap_or_else(unnamed))),
            Err(TryLockError::Error(_)) => false,
        };
        let Some(owner) = owner else { return Ok(None) };
        let living = lives(&owner, &Owner::new(), locked, &file, path).map_err(fail)?;
        Ok(living.then_some(owner))
    }

    /// Whose it is: ours.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Has somebody else taken it over? That happens to a process that was stopped for longer than [`STALE`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || read_at(&self.path).as_ref() != Some(&self.owner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((stop, heart)) = self.heart.take() {
            drop(stop);
            // A heart that panicked is still too.
            let _ = heart.join();
        }
        if !self.is_lost() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// An owner who has locked its file and not yet written its name.
fn unnamed() -> Owner {
    Owner { host: String::new(), pid: 0, boot: String::new(), number: 0 }
}

fn read(file: &mut File) -> Option<Owner> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.trim()).ok()
}

fn read_at(path: &Path) -> Option<Owner> {
    read(&mut File::open(path).ok()?)
}

/// Writes the owner's name: a beat.
fn write(file: &mut File, owner: &Owner) -> std::io::Result<()> {
    let mut text = serde_json::to_string(owner)?;
    text.push('\n');
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_data()
}

/// Is the owner of a lease still there? `locked` says that its file could be locked by us.
fn lives(owner: &Owner, us: &Owner, locked: bool, file: &File, path: &Path) -> std::io::Result<bool> {
    if owner.is_on_the_machine_of(us) {
        if locked {
            return Ok(false);
        }
        let processes = Path::new("/proc/self");
        if processes.exists() {
            return Ok(Path::new("/proc").join(owner.pid.to_string()).exists());
        }
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let now = tempfile::tempfile_in(folder).and_then(|mut probe| {
        probe.write_all(b"now")?;
        probe.metadata()?.modified()
    })?;
    Ok(now.duration_since(file.metadata()?.modified()?).unwrap_or_default() < STALE)
}

/// Is the open file the one that has the name?
#[cfg(unix)]
fn is_file_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => id(open) == id(named),
        _ => false,
    }
}

/// Is the open file the one that has the name? Elsewhere, one that is open keeps its name.
#[cfg(not(unix))]
fn is_file_at(_: &File, _: &Path) -> bool {
    true
}

/// Says every few seconds that the owner is there, and notices when the lease was taken over.
fn beat(
    path: &Path,
    owner: &Owner,
    mut file: File,
    lost: &Arc<AtomicBool>,
) -> (Sender<()>, std::thread::JoinHandle<()>) {
    let (stop, stopped) = channel::<()>();
    let (path, owner, lost) = (path.to_owned(), owner.clone(), lost.clone());
    let heart = std::thread::spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(BEAT) {
            if read_at(&path).as_ref() != Some(&owner) {
                lost.store(true, Ordering::Relaxed);
                return;
            }
            // A beat that fails is made up for by the next.
            let _ = write(&mut file, &owner);
        }
    });
    (stop, heart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(path: &Path) -> Lease {
        match Lease::take(path).unwrap() {
            Taken::Ours(lease) => lease,
            Taken::Held(owner) => panic!("held by {owner}"),
        }
    }

    fn elsewhere() -> Owner {
        Owner { host: "elsewhere".to_owned(), pid: 1, boot: "another".to_owned(), number: 0 }
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lease");
        assert_eq!(Lease::holder(&path).unwrap(), None);
        let first = ours(&path);
        assert_eq!(Lease::holder(&path).unwrap().as_ref(), Some(first.owner()));
        assert!(matches!(Lease::take(&path).unwrap(), Taken::Held(owner) if owner == *first.owner()));
        drop(first);
        assert!(!path.exists());
        let next = ours(&path);
        assert!(!next.is_lost());
    }

    #[test]
    fn many_threads_never_have_it_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lease");
        let (inside, times) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..40 {
                        if let Taken::Ours(_lease) = Lease::take(&path).unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            times.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(times.into_inner() > 0);
    }

    #[test]
    fn the_dead_lose_it_and_those_of_other_machines_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lease");
        let put = |owner: &Owner| {
            let mut file = File::create(&path).unwrap();
            write(&mut file, owner).unwrap();
            file
        };
        // Of this machine and not locked: its process is gone.
        put(&Owner::new());
        assert_eq!(Lease::holder(&path).unwrap(), None);
        drop(ours(&path));
        // Of another machine, whose locks we may not see: its beat counts.
        let file = put(&elsewhere());
        assert!(matches!(Lease::take(&path).unwrap(), Taken::Held(owner) if owner == elsewhere()));
        let long_ago = file.metadata().unwrap().modified().unwrap() - 2 * STALE;
        file.set_modified(long_ago).unwrap();
        assert_eq!(Lease::holder(&path).unwrap(), None);
        let lease = ours(&path);
        // Somebody took it over: it is lost, and stays the other's.
        let mut other = File::create(&path).unwrap();
        write(&mut other, &elsewhere()).unwrap();
        assert!(lease.is_lost());
        drop(lease);
        assert_eq!(read_at(&path), Some(elsewhere()));
    }
}
