//! The library: one folder of the user's with avatars, pictures, videos, motions, and this program's results.
//!
//! Nothing outside of the folder is reachable by any name that a caller gives: paths are plain names between slashes, links that
//! lead out aren't followed, and what begins with a dot belongs to the program.

mod inspect;
mod pictures;
mod upload;

pub use inspect::{Facts, FileKind};
pub(crate) use pictures::{Look, jpeg};
pub use upload::Upload;
pub(crate) use upload::Uploads;

use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::names::{digest, is_id, relative};
use crate::{Error, Result};
use inspect::inspect;
use serde::Serialize;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};
use utoipa::ToSchema;

/// The folder for what is the program's own: queue, uploads, caches.
pub(crate) const OWN: &str = ".anicrafter";
/// The folder for results.
pub(crate) const RESULTS: &str = "results";
/// Folders within folders that are looked into.
const DEPTH: usize = 4;
/// Files that are listed at most.
const MOST: usize = 5000;
/// How long a listing looks into files that it hasn't seen before.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Something in the library.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LibraryFile {
    /// Names it in requests; the same for the same path.
    pub id: String,
    /// Always `file`.
    pub object: &'static str,
    /// Its path in the library, with slashes.
    pub filename: String,
    /// Size; of a folder, that of its files.
    pub bytes: u64,
    /// When it was last changed, in seconds since 1970.
    pub created_at: u64,
    /// What it is.
    pub kind: FileKind,
    /// May a job use it?
    pub usable: bool,
    /// Why not, and what to do.
    pub problem: Option<String>,
    /// It hasn't been looked into yet: ask again.
    pub checking: bool,
    /// What is known of it.
    pub facts: Facts,
}

/// A path in the library with what tells whether it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    bytes: u64,
    changed_ms: u64,
    /// A folder that counts as one thing.
    folder: bool,
    /// It is a link that leads out of the library.
    strays: bool,
}

impl Entry {
    fn id(&self) -> String {
        format!("file_{}", &digest(&[self.name.as_bytes()])[..24])
    }

    /// Changes when the file does.
    fn version(&self) -> String {
        digest(&[self.name.as_bytes(), &self.bytes.to_le_bytes(), &self.changed_ms.to_le_bytes()])
    }
}

/// What a file was found to be, while its version stays.
type Looked = (String, FileKind, Facts, Option<String>);

/// The library's folder.
#[derive(Debug)]
pub(crate) struct Library {
    root: PathBuf,
    /// By path: the version and what it was found to be.
    known: Mutex<HashMap<String, Looked>>,
    /// Files are looked into one at a time.
    looking: Mutex<()>,
    /// Kept open for as long as the library is: the lock goes with it.
    _lock: fs::File,
}

/// How long a folder that another studio has is waited for: one that ends has it for a moment more, and so has a program that it is
/// just starting.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

impl Library {
    /// Opens a folder, and makes it if it isn't there.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(Error::io(root))?;
        let root = root.canonicalize().map_err(Error::io(root))?;
        for folder in [OWN, RESULTS] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        for folder in ["queue", "work", "uploads", "cache"] {
            let folder = root.join(OWN).join(folder);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        let path = root.join(OWN).join("lock");
        let lock = fs::File::create(&path).map_err(Error::io(&path))?;
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(fs::TryLockError::WouldBlock) => return Err(Error::Locked { path: root }),
                Err(fs::TryLockError::Error(source)) => return Err(Error::Io { path, source }),
            }
        }
        let library = Self { root, known: Mutex::default(), looking: Mutex::new(()), _lock: lock };
        pictures::tidy(&library.own("cache"));
        Ok(library)
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder or file of the program's own.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.root.join(OWN).join(name)
    }

    /// The folder of a result.
    pub(crate) fn result(&self, id: &str) -> PathBuf {
        self.root.join(RESULTS).join(id)
    }

    /// Bytes that are free on the library's disk, where the system tells.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        fs4::available_space(&self.root).ok()
    }

    /// Everything in the library, by path. What is new is looked into for a moment; what is left says so.
    pub(crate) fn list(&self) -> ApiResult<Vec<LibraryFile>> {
        let entries = self.entries()?;
        let until = Instant::now() + PATIENCE;
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let files = entries.iter().map(|entry| self.file(entry, Instant::now() < until)).collect();
        drop(looking);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > entries.len() {
            let there: std::collections::HashSet<&str> = entries.iter().map(|e| e.name.as_str()).collect();
            known.retain(|name, _| there.contains(name.as_str()));
        }
        Ok(files)
    }

    /// One file, looked into.
    pub(crate) fn get(&self, id: &str) -> ApiResult<LibraryFile> {
        let entry = self.entry(id)?;
        Ok(self.file(&entry, true))
    }

    /// The file of an identifier, or of a path in the library, with where it lies.
    pub(crate) fn find(&self, reference: &str) -> ApiResult<(LibraryFile, PathBuf)> {
        let file = if is_file_id(reference) {
            self.get(reference)?
        } else {
            let path = self.resolve("file", reference)?;
            let entry = self.look_at(&path).ok_or_else(|| ApiError::not_found("file", reference))?;
            self.file(&entry, true)
        };
        let path = self.root.join(&file.filename);
        Ok((file, path))
    }

    /// Where the file lies that a request names by identifier or path. `param` is the request's field.
    pub(crate) fn resolve(&self, param: &str, reference: &str) -> ApiResult<PathBuf> {
        if is_file_id(reference) {
            let entry = self.entry(reference).map_err(|e| ApiError::invalid(param, e.text()))?;
            return Ok(self.root.join(entry.name));
        }
        let wrong = || {
            let shown: String = reference.chars().take(100).collect();
            let what = format!(
                "{shown:?} is neither a file's id nor a path in the library: addresses and paths elsewhere aren't taken; upload the file, or put it into the library's folder"
            );
            ApiError::invalid(param, what)
        };
        let path = self.root.join(relative(reference).ok_or_else(wrong)?);
        match path.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => Ok(path),
            Ok(_) => Err(wrong()),
            Err(_) => {
                let shown: String = reference.chars().take(100).collect();
                Err(ApiError::invalid(param, format!("there is no {shown:?} in the library")))
            }
        }
    }

    /// Removes a file of the user's.
    pub(crate) fn remove(&self, id: &str) -> ApiResult<()> {
        let entry = self.entry(id)?;
        let path = self.root.join(&entry.name);
        let removed = if entry.folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|e| ApiError::io(&e))
    }

    /// Gives a whole file a name of its own in the library.
    pub(crate) fn adopt(&self, whole: &Path, name: &str) -> ApiResult<LibraryFile> {
        let path = self.new_path(name)?;
        fs::rename(whole, &path).map_err(|e| ApiError::io(&e))?;
        let entry = self.look_at(&path).ok_or_else(|| ApiError::internal("the file went away"))?;
        Ok(self.file(&entry, true))
    }

    /// A path that nobody has yet, with an empty file that keeps it.
    pub(crate) fn new_path(&self, name: &str) -> ApiResult<PathBuf> {
        let name = crate::names::harmless(name);
        let (stem, ending) = match name.rsplit_once('.') {
            Some((stem, ending)) => (stem.to_owned(), format!(".{ending}")),
            None => (name.clone(), String::new()),
        };
        let taken = |name: &str| name.eq_ignore_ascii_case(RESULTS);
        for n in 1..10_000 {
            let name = if n == 1 { name.clone() } else { format!("{stem} ({n}){ending}") };
            let path = self.root.join(&name);
            if taken(&name) {
                continue;
            }
            match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(ApiError::io(&e)),
            }
        }
        Err(ApiError::conflict("name_taken", format!("there are too many files of the name {name:?}")))
    }

    /// What a path in the library is called in requests.
    pub(crate) fn name_of(&self, path: &Path) -> Option<String> {
        let inside = path.strip_prefix(&self.root).ok()?;
        let parts: Option<Vec<&str>> = inside.components().map(|c| c.as_os_str().to_str()).collect();
        Some(parts?.join("/"))
    }

    /// Changes with the file: what is made of it is kept under this.
    pub(crate) fn version(&self, path: &Path) -> Option<String> {
        Some(self.look_at(path)?.version())
    }

    fn entry(&self, id: &str) -> ApiResult<Entry> {
        let found =
            if is_file_id(id) { self.entries()?.into_iter().find(|entry| entry.id() == id) } else { None };
        found.ok_or_else(|| ApiError::not_found("file", id))
    }

    fn file(&self, entry: &Entry, look: bool) -> LibraryFile {
        let version = entry.version();
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&entry.name).filter(|known| known.0 == version).cloned()
        };
        let looked = known.or_else(|| {
            look.then(|| {
                let (kind, facts, problem) = if entry.strays {
                    let why = "a link that leads out of the library isn't followed: copy the file here";
                    (FileKind::Unknown, Facts::default(), Some(why.to_owned()))
                } else {
                    inspect(&self.root.join(&entry.name), entry.bytes)
                };
                let looked = (version, kind, facts, problem);
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(entry.name.clone(), looked.clone());
                looked
            })
        });
        let checking = looked.is_none();
        let (_, kind, facts, problem) = looked.unwrap_or_default();
        LibraryFile {
            id: entry.id(),
            object: "file",
            filename: entry.name.clone(),
            bytes: entry.bytes,
            created_at: entry.changed_ms / 1000,
            kind,
            usable: !checking && problem.is_none(),
            problem,
            checking,
            facts,
        }
    }

    fn entries(&self) -> ApiResult<Vec<Entry>> {
        let mut found = Vec::new();
        self.scan(&self.root, 0, &mut found).map_err(|e| ApiError::io(&e))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn scan(&self, folder: &Path, depth: usize, found: &mut Vec<Entry>) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            if found.len() >= MOST {
                break;
            }
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
            if name.starts_with('.') || (depth == 0 && name == RESULTS) {
                continue;
            }
            let Some(looked) = self.look_at(&path) else { continue };
            if path.is_dir() && !looked.folder && !looked.strays {
                if depth < DEPTH {
                    // A folder that can't be read hides nothing else.
                    let _unreadable = self.scan(&path, depth + 1, found);
                }
                continue;
            }
            found.push(looked);
        }
        Ok(())
    }

    /// `None` where nothing is there, or its name isn't text.
    fn look_at(&self, path: &Path) -> Option<Entry> {
        let name = self.name_of(path)?;
        let strays = path.is_symlink() && !path.canonicalize().is_ok_and(|real| real.starts_with(&self.root));
        let meta = if strays { fs::symlink_metadata(path) } else { fs::metadata(path) }.ok()?;
        let changed = |meta: &fs::Metadata| {
            let since = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            u64::try_from(since.as_millis()).ok()
        };
        let mut entry =
            Entry { name, bytes: meta.len(), changed_ms: changed(&meta).unwrap_or(0), folder: false, strays };
        if meta.is_dir() && !strays {
            entry.folder = inspect::is_one_thing(path);
            let files = fs::read_dir(path).ok()?.filter_map(|e| e.ok()?.metadata().ok());
            let all: Vec<fs::Metadata> = files.filter(fs::Metadata::is_file).take(100_000).collect();
            entry.bytes = all.iter().map(fs::Metadata::len).sum();
            entry.changed_ms = all.iter().filter_map(changed).max().unwrap_or(entry.changed_ms);
        }
        Some(entry)
    }
}

fn is_file_id(reference: &str) -> bool {
    is_id("file", reference)
}

/// Removes what is older than `days` from a folder of the program's own.
pub(crate) fn remove_older(folder: &Path, days: u64, clock: &Clock) {
    let oldest = clock.now_s().saturating_sub(days * 24 * 3600);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|meta| meta.modified());
        let since = changed.ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        if since.is_some_and(|since| since.as_secs() < oldest) {
            let path = entry.path();
            // What can't be removed now is removed another time.
            let _left = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}
