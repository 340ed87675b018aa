//! The work folder: finished stages of a job, each under the fingerprint of everything it depends on.
//!
//! A stage writes into a folder whose name ends in `.part` and is renamed when it is whole, so what carries a final name
//! is complete, whatever killed the run before. A changed setting changes the fingerprint of the stages that depend on
//! it and of nothing else. Runs that share a folder make a result once: one has its [`Lease`], and a folder of its own to work
//! in, so that not even a run that was taken for dead and wakes up again can spoil what the next one makes.

use crate::lease::{Lease, Owner, Taken};
use crate::{Error, Job, Result, Stage};
use candle_core::{Device, Tensor};
use image::RgbImage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// Changes when a stage's result changes for the same inputs.
const FORMAT: u32 = 5;

/// A hash of everything that a result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of settings and of the fingerprints they build on.
    ///
    /// # Errors
    /// When the settings can't be serialised.
    pub fn of(settings: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string(&(FORMAT, settings)).map_err(|e| Error::Settings(e.to_string()))?;
        Ok(Self::of_bytes(&[without_mirrors(json).as_bytes()]))
    }

    /// The fingerprint of contents, one after the other.
    pub(crate) fn of_bytes(contents: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        contents.iter().for_each(|bytes| hash.update(bytes));
        Self(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The fingerprint of a file or folder: names, sizes and times of change, not contents. Of the inputs of a mirror
    /// ([`count_as_mirror`]), which lie in folders named by their contents, it is that name, and nothing is looked at.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn of_path(path: &Path) -> Result<Self> {
        let mut entries = Vec::new();
        match input_of_mirror(path) {
            true => entries.push((path.to_owned(), 0, None)),
            false => visit(path, &mut entries)?,
        }
        entries.sort();
        Self::of(&entries)
    }

    /// The hexadecimal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mirror's folder of inputs: each in a folder that is named by the hash of what is in it.
pub const MIRROR_INPUTS: &str = "inputs";

/// The mirrors that this process works in.
static MIRRORS: RwLock<Vec<PathBuf>> = RwLock::new(Vec::new());

/// Says that a folder is this machine's copy of what lies elsewhere. From now on paths in it count in this process's fingerprints by what
/// follows the folder's own, so that results have the same ones wherever each machine keeps its copy.
///
/// # Errors
/// When the folder isn't there.
pub fn count_as_mirror(folder: &Path) -> Result<()> {
    let full = folder.canonicalize().map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    let mut mirrors = MIRRORS.write().unwrap_or_else(PoisonError::into_inner);
    for root in [full, folder.to_owned()] {
        if !mirrors.contains(&root) {
            mirrors.push(root);
        }
    }
    Ok(())
}

fn mirrors() -> Vec<PathBuf> {
    MIRRORS.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Settings as JSON in which paths in a mirror begin there.
fn without_mirrors(mut json: String) -> String {
    for root in mirrors() {
        // As it is written at the beginning of a path, without the quote behind it.
        if let Ok(written) = serde_json::to_string(&root.join("")) {
            json = json.replace(written.trim_end_matches('"'), "\"mirror:");
        }
    }
    json
}

fn input_of_mirror(path: &Path) -> bool {
    mirrors().iter().any(|root| path.starts_with(root.join(MIRROR_INPUTS)))
}

type Entry = (PathBuf, u64, Option<(u64, u32)>);

fn visit(path: &Path, entries: &mut Vec<Entry>) -> Result<()> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let meta = std::fs::metadata(path).map_err(fail)?;
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).map_err(fail)? {
            visit(&entry.map_err(fail)?.path(), entries)?;
        }
        return Ok(());
    }
    let changed = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let full = path.canonicalize().map_err(fail)?;
    entries.push((full, meta.len(), changed.map(|t| (t.as_secs(), t.subsec_nanos()))));
    Ok(())
}

/// The work folder of a job.
#[derive(Clone, Debug)]
pub struct WorkDir {
    root: PathBuf,
    /// Where results lie that other jobs may use too; in the work folder where there is none.
    shared: Option<PathBuf>,
}

impl WorkDir {
    /// Opens the folder and makes it if it isn't there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root).map_err(|source| Error::Io { path: root.clone(), source })?;
        Ok(Self { root, shared: None })
    }

    /// Opens a job's folders and makes them if they aren't there.
    ///
    /// # Errors
    /// When one can't be made.
    pub fn of(job: &Job) -> Result<Self> {
        let shared = job.output.shared.clone();
        if let Some(folder) = &shared {
            Self::open(folder)?;
        }
        Ok(Self { shared, ..Self::open(job.work_dir())? })
    }

    /// The folder of the finished stages: the one that jobs share, or the work folder.
    #[must_use]
    pub fn results(&self) -> &Path {
        self.shared.as_deref().unwrap_or(&self.root)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The slot of a stage's result for a window of the video.
    #[must_use]
    pub fn slot(&self, stage: Stage, window: usize, fingerprint: &Fingerprint) -> Slot {
        let name = format!("{window:03}-{}-{}", stage.name(), fingerprint.as_str());
        Slot { path: self.results().join(name) }
    }

    /// Throws away every result of `stage` and of the stages after it.
    ///
    /// # Errors
    /// When a folder can't be removed, or other jobs may need what lies in it.
    pub fn forget_from(&self, stage: Stage) -> Result<()> {
        if let Some(shared) = &self.shared {
            let why = format!(
                "{} holds results of other jobs too, and none are thrown away: what has changed is made again anyway",
                shared.display()
            );
            return Err(Error::Option { option: "output.shared", why });
        }
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        for entry in std::fs::read_dir(&self.root).map_err(fail(&self.root))? {
            let path = entry.map_err(fail(&self.root))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let of = name.split('-').nth(1).and_then(Stage::from_name);
            if of.is_some_and(|of| of >= stage) && path.is_dir() {
                std::fs::remove_dir_all(&path).map_err(fail(&path))?;
            }
        }
        Ok(())
    }
}

/// Where one stage's result lies, or will lie.
#[derive(Clone, Debug)]
pub struct Slot {
    path: PathBuf,
}

impl Slot {
    /// The finished result's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Is the result complete?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.path.is_dir()
    }

    /// Takes the right to make the result, with a folder to work in: what an interrupted run left there is still there.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn claim(&self) -> Result<Claim> {
        let lease = match Lease::take(&self.beside(".lease"))? {
            Taken::Ours(lease) => lease,
            Taken::Held(owner) => return Ok(Claim::Held(owner)),
        };
        if self.is_finished() {
            return Ok(Claim::Finished);
        }
        let folder = self.beside(&format!(".{}.part", lease.owner().label()));
        for left in self.parts()? {
            // The first one is gone on with. Its name changes, so that whoever left it can't finish it any more.
            let gone = if folder.exists() {
                std::fs::remove_dir_all(&left)
            } else {
                std::fs::rename(&left, &folder)
            };
            gone.map_err(|source| Error::Io { path: left, source })?;
        }
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        Ok(Claim::Ours(Part { folder, whole: self.path.clone(), lease }))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// What interrupted runs left of this result.
    fn parts(&self) -> Result<Vec<PathBuf>> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let fail = |source| Error::Io { path: folder.to_owned(), source };
        let own = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(&own) && name.ends_with(".part") {
                parts.push(path);
            }
        }
        parts.sort();
        Ok(parts)
    }
}

/// What became of an attempt to make a result.
#[derive(Debug)]
pub enum Claim {
    /// It is ours to make.
    Ours(Part),
    /// Another run is at it.
    Held(Owner),
    /// It was finished meanwhile.
    Finished,
}

/// A result that is being made, by this run alone.
#[derive(Debug)]
pub struct Part {
    folder: PathBuf,
    whole: PathBuf,
    lease: Lease,
}

impl Part {
    /// The folder to work in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who took the work over, if somebody did because this run didn't move for too long.
    #[must_use]
    pub fn lost_to_another(&self) -> bool {
        self.lease.is_lost()
    }

    /// Declares what lies in the folder complete.
    ///
    /// # Errors
    /// When it can't be renamed.
    pub fn commit(self) -> Result<()> {
        match std::fs::rename(&self.folder, &self.whole) {
            // Another run was faster; equal fingerprints are equal results.
            Err(_) if self.whole.is_dir() => {
                let _ = std::fs::remove_dir_all(&self.folder);
                Ok(())
            }
            renamed => renamed.map_err(|source| Error::Io { path: self.whole.clone(), source }),
        }
    }
}

/// A new file in a part's folder, in place of one that an interrupted run left: who still writes into that one writes into nothing.
pub(crate) fn create_file(path: &Path) -> Result<std::fs::File> {
    let _ = std::fs::remove_file(path);
    std::fs::File::create(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// A file under a temporary name, readable by whom the user's files usually are and not by the user alone.
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Writes a file under a temporary name and renames it when it is whole and on disk.
///
/// # Errors
/// When writing fails: a full disk, say. The old file is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

/// Writes files (names and contents) into a folder: what is there with the right contents is left alone, so that results made
/// from it are still up to date.
///
/// # Errors
/// When the folder can't be made or a file can't be written.
pub fn unpack(files: &[(&str, &[u8])], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    for (name, bytes) in files {
        let path = folder.join(name);
        if std::fs::read(&path).ok().as_deref() != Some(*bytes) {
            write_atomically(&path, bytes)?;
        }
    }
    Ok(())
}

/// Copies a file under a temporary name and renames it when it is whole and on disk.
///
/// # Errors
/// When reading or writing fails. The old file is then still there.
pub fn copy_atomically(from: &Path, to: &Path) -> Result<()> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut source = std::fs::File::open(from).map_err(fail(from))?;
    let mut file = temporary_in(folder).map_err(fail(to))?;
    std::io::copy(&mut source, &mut file).map_err(fail(to))?;
    file.as_file().sync_all().map_err(fail(to))?;
    file.persist(to).map_err(|e| fail(to)(e.error))?;
    Ok(())
}

/// Reads a JSON file of this crate's own.
///
/// # Errors
/// When it can't be read, or isn't what it should be.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|e| Error::Damaged { path: path.to_owned(), why: e.to_string() })
}

/// Saves named tensors as `.safetensors`.
///
/// # Errors
/// When writing fails.
pub fn save_tensors(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<()> {
    let map: HashMap<String, Tensor> = tensors
        .iter()
        .map(|(name, t)| Ok(((*name).to_owned(), t.to_device(&Device::Cpu)?.contiguous()?)))
        .collect::<Result<_>>()?;
    let damaged =
        |e: safetensors::SafeTensorError| Error::Tensors { path: path.to_owned(), why: e.to_string() };
    let bytes = safetensors::serialize(&map, None).map_err(damaged)?;
    write_atomically(path, &bytes)
}

/// Loads what [`save_tensors`] wrote.
///
/// # Errors
/// When the file is missing or damaged.
pub fn load_tensors(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(candle_core::safetensors::load_buffer(&bytes, device)?)
}

/// One tensor out of a loaded map.
///
/// # Errors
/// When it isn't there.
pub fn take(tensors: &mut HashMap<String, Tensor>, name: &'static str, path: &Path) -> Result<Tensor> {
    tensors
        .remove(name)
        .ok_or_else(|| Error::Damaged { path: path.to_owned(), why: format!("tensor {name:?} is missing") })
}

/// Frames on disk, uncompressed: 8-bit RGB, one after the other, read one at a time.
#[derive(Debug)]
pub struct FrameFile {
    path: PathBuf,
    file: std::fs::File,
    width: u32,
    height: u32,
    frames: usize,
}

impl FrameFile {
    /// Opens a file of frames of a known size.
    ///
    /// # Errors
    /// When it can't be opened or isn't a whole number of frames long.
    pub fn open(path: &Path, width: u32, height: u32) -> Result<Self> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        let frame = frame_bytes(width, height);
        if frame == 0 || !len.is_multiple_of(frame) {
            let why = format!("{len} bytes aren't a whole number of {width}×{height} frames");
            return Err(Error::Damaged { path: path.to_owned(), why });
        }
        Ok(Self { path: path.to_owned(), file, width, height, frames: (len / frame) as usize })
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Is there no frame?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Reads frame `index`.
    ///
    /// # Errors
    /// When there is no such frame or reading fails.
    pub fn frame(&mut self, index: usize) -> Result<RgbImage> {
        use std::io::{Read, Seek, SeekFrom};
        let fail = |source| Error::Io { path: self.path.clone(), source };
        if index >= self.frames {
            let why = format!("frame {index} of {} was asked for", self.frames);
            return Err(Error::Damaged { path: self.path.clone(), why });
        }
        let n = frame_bytes(self.width, self.height);
        self.file.seek(SeekFrom::Start(index as u64 * n)).map_err(fail)?;
        let mut bytes = vec![0; n as usize];
        self.file.read_exact(&mut bytes).map_err(fail)?;
        RgbImage::from_raw(self.width, self.height, bytes).ok_or(Error::Internal("a frame of the wrong size"))
    }

    /// Reads all frames.
    ///
    /// # Errors
    /// When reading fails.
    pub fn all(&mut self) -> Result<Vec<RgbImage>> {
        (0..self.frames).map(|index| self.frame(index)).collect()
    }
}

fn frame_bytes(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height) * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(slot: &Slot) -> Part {
        match slot.claim().unwrap() {
            Claim::Ours(part) => part,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mirror_counts_by_what_lies_in_it_and_not_by_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let roots = ["left", "deep/right", "no mirror"].map(|name| dir.path().join(name));
        let of = |root: &Path| {
            let file = root.join(MIRROR_INPUTS).join("abc").join("walk.json");
            let files = Fingerprint::of_path(&file)?;
            Fingerprint::of(&(file, "a \"quoted\" word", files))
        };
        for root in &roots {
            std::fs::create_dir_all(root).unwrap();
        }
        count_as_mirror(&roots[0]).unwrap();
        count_as_mirror(&roots[1]).unwrap();
        // Nothing has to be there: the folder's name says what is in it.
        assert_eq!(of(&roots[0]).unwrap(), of(&roots[1]).unwrap());
        let other = Fingerprint::of_path(&roots[0].join("inputs/abd/walk.json")).unwrap();
        assert_ne!(Fingerprint::of_path(&roots[0].join("inputs/abc/walk.json")).unwrap(), other);
        // Elsewhere in a mirror, and in folders that only look like one, files are looked at.
        assert!(Fingerprint::of_path(&roots[0].join("videos/none.mp4")).is_err());
        assert!(of(&roots[2]).is_err());
    }

    #[test]
    fn a_slot_is_finished_only_after_its_commit() {
        let dir = tempfile::tempdir().unwrap();
        let work = WorkDir::open(dir.path().join("w")).unwrap();
        let key = Fingerprint::of(&("a", 1)).unwrap();
        let slot = work.slot(Stage::Condition, 2, &key);
        let part = claim(&slot);
        std::fs::write(part.folder().join("x"), b"1").unwrap();
        assert!(!slot.is_finished());
        // Two runs never make one result together.
        assert!(matches!(slot.claim().unwrap(), Claim::Held(owner) if owner.pid == std::process::id()));
        drop(part);
        // Another run finds what the first one left.
        let part = claim(&slot);
        assert!(part.folder().join("x").exists());
        part.commit().unwrap();
        assert!(slot.is_finished() && slot.path().join("x").exists());
        assert!(matches!(slot.claim().unwrap(), Claim::Finished));
        assert!(!work.slot(Stage::Condition, 2, &Fingerprint::of(&("a", 2)).unwrap()).is_finished());
        assert_eq!(std::fs::read_dir(work.root()).unwrap().count(), 1, "no lease is left");
    }

    #[test]
    fn who_was_taken_for_dead_spoils_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let work = WorkDir::open(dir.path()).unwrap();
        let slot = work.slot(Stage::Composite, 0, &Fingerprint::of(&0).unwrap());
        let slow = claim(&slot);
        let mut writes = create_file(&slow.folder().join("frames")).unwrap();
        writes.write_all(b"half").unwrap();
        // It slept for so long that its lease was taken away.
        let lease = slot.beside(".lease");
        std::fs::remove_file(&lease).unwrap();
        let next = claim(&slot);
        let mut file = create_file(&next.folder().join("frames")).unwrap();
        file.write_all(b"wh").unwrap();
        writes.write_all(b" of it").unwrap();
        assert!(slow.lost_to_another() && !next.lost_to_another());
        assert!(slow.commit().is_err(), "its folder is the other's now");
        assert!(!slot.is_finished());
        file.write_all(b"ole").unwrap();
        next.commit().unwrap();
        assert_eq!(std::fs::read(slot.path().join("frames")).unwrap(), b"whole");
    }

    #[test]
    fn forgetting_spares_the_stages_before() {
        let dir = tempfile::tempdir().unwrap();
        let work = WorkDir::open(dir.path()).unwrap();
        let key = Fingerprint::of(&0).unwrap();
        for stage in Stage::ALL {
            claim(&work.slot(stage, 0, &key)).commit().unwrap();
        }
        work.forget_from(Stage::Condition).unwrap();
        for stage in Stage::ALL {
            assert_eq!(work.slot(stage, 0, &key).is_finished(), stage < Stage::Condition, "{stage:?}");
        }
        let shared = WorkDir { shared: Some(dir.path().to_owned()), ..work };
        assert!(matches!(shared.forget_from(Stage::Masks), Err(Error::Option { .. })));
    }

    #[test]
    fn a_changed_file_changes_its_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"a").unwrap();
        let before = Fingerprint::of_path(dir.path()).unwrap();
        std::fs::write(&path, b"ab").unwrap();
        assert_ne!(before, Fingerprint::of_path(dir.path()).unwrap());
        assert!(matches!(Fingerprint::of_path(&dir.path().join("none")), Err(Error::Io { .. })));
    }

    #[test]
    fn frames_come_back_and_cut_files_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.rgb");
        std::fs::write(&path, [7u8; 2 * 3 * 3 * 2]).unwrap();
        let mut file = FrameFile::open(&path, 3, 2).unwrap();
        assert_eq!((file.len(), file.frame(1).unwrap().get_pixel(2, 1).0), (2, [7; 3]));
        assert!(matches!(file.frame(2), Err(Error::Damaged { .. })));
        std::fs::write(&path, [7u8; 19]).unwrap();
        assert!(matches!(FrameFile::open(&path, 3, 2), Err(Error::Damaged { .. })));
    }
}
