//! Objects under an address, and folders of them that are there as a whole or not at all.

use crate::{Error, Result};
use futures_util::StreamExt;
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion, WriteMultipart,
};
use pipeline::{Context, Event};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The object that says that a folder is whole.
const WHOLE: &str = "whole.json";
/// The object that is written to ask the store's clock.
const CLOCK: &str = "clock";
/// Files of more bytes are uploaded in parts.
const PART: usize = 8 << 20;
/// Parts that are under way at once.
const AT_ONCE: usize = 4;

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Where it lies in the folder, with slashes.
    pub name: String,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// What makes a folder whole: written when all of its files are there, by whoever is first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Each attempt to write the folder has a place of its own, so that no two are mixed.
    at: String,
    pub files: Vec<Entry>,
}

/// An object as it was found: what is in it, and which writing of it that is.
pub(super) struct Seen {
    pub bytes: Vec<u8>,
    pub version: UpdateVersion,
    /// When it was written, by the store's clock: seconds since 1970.
    pub written_s: f64,
}

/// A file of a folder, and where it lies here.
pub(super) type Found = (Entry, PathBuf);

/// The objects under an address.
pub(super) struct Depot {
    store: Box<dyn ObjectStore>,
    prefix: Key,
    /// What the store's futures run on: nothing else here waits that way.
    runtime: Runtime,
    address: String,
}

impl Depot {
    /// Opens an address such as `s3://bucket/farm`; what it takes to get in is in the environment, under the store's own names.
    pub(super) fn open(address: &str) -> Result<Self> {
        let wrong = |why: String| Error::Store { address: address.to_owned(), why };
        let url = address.parse().map_err(|e| wrong(format!("that is no address: {e}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| wrong(e.to_string()))?;
        let of_stores = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|own| name.starts_with(own));
        let settings = std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            of_stores(&name).then_some((name, value))
        });
        let (store, prefix) = object_store::parse_url_opts(&url, settings)
            .map_err(|e| wrong(format!("{e}; addresses are s3://, gs://, az:// or file:///")))?;
        Ok(Self { store, prefix, runtime, address: address.trim_end_matches('/').to_owned() })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn key(&self, name: &str) -> Key {
        name.split('/').fold(self.prefix.clone(), |key, part| key.join(part))
    }

    fn error(&self, name: &str, error: &object_store::Error) -> Error {
        use object_store::Error as E;
        let advice = match error {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                ": are the credentials in the environment, and may they do this?"
            }
            E::NotFound { .. } => ": is there such a bucket?",
            _ => "",
        };
        let (address, why) = (format!("{}/{name}", self.address), format!("{error}{advice}"));
        match error {
            // What the store's own attempts didn't get over: no connection, time-outs, answers of 500 and more.
            E::Generic { .. } => Error::Unreachable { address, why },
            _ => Error::Store { address, why },
        }
    }

    /// An object's contents; nothing where there is none.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.look(name)?.map(|seen| seen.bytes))
    }

    /// An object as it is now; nothing where there is none.
    pub(super) fn look(&self, name: &str) -> Result<Option<Seen>> {
        let got = self.runtime.block_on(async {
            let got = self.store.get(&self.key(name)).await?;
            let (written_s, version) = (seconds_of(&got.meta), version_of(&got.meta));
            Ok(Seen { bytes: got.bytes().await?.to_vec(), version, written_s })
        });
        match got {
            Ok(seen) => Ok(Some(seen)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(name, &error)),
        }
    }

    /// What the store's clock says now: the time of an object that is written for that.
    pub(super) fn now_s(&self) -> Result<f64> {
        self.put(CLOCK, Vec::new())?;
        let meta = self.runtime.block_on(self.store.head(&self.key(CLOCK)));
        meta.map(|meta| seconds_of(&meta)).map_err(|error| self.error(CLOCK, &error))
    }

    /// Is there such an object?
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        match self.runtime.block_on(self.store.head(&self.key(name))) {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error(name, &error)),
        }
    }

    /// Writes an object, whatever was there.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.put_if(name, bytes, PutMode::Overwrite).map(drop).map_err(|error| self.error(name, &error))
    }

    /// Writes an object that isn't there yet; gives nothing where it is.
    pub(super) fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<Option<UpdateVersion>> {
        match self.put_if(name, bytes, PutMode::Create) {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(None)
            }
            put => put.map(Some).map_err(|error| self.error(name, &error)),
        }
    }

    /// Writes an object over the writing of it that was seen; gives nothing where it is another one by now, or gone.
    ///
    /// A folder as a store can't tell writings apart: there it is written over whatever there is.
    pub(super) fn put_over(
        &self,
        name: &str,
        bytes: Vec<u8>,
        seen: UpdateVersion,
    ) -> Result<Option<UpdateVersion>> {
        use object_store::Error as E;
        let put = match self.put_if(name, bytes.clone(), PutMode::Update(seen)) {
            Err(E::NotImplemented { .. } | E::NotSupported { .. }) => {
                self.put_if(name, bytes, PutMode::Overwrite)
            }
            Err(E::Precondition { .. } | E::NotFound { .. } | E::AlreadyExists { .. }) => return Ok(None),
            put => put,
        };
        put.map(Some).map_err(|error| self.error(name, &error))
    }

    fn put_if(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> object_store::Result<UpdateVersion> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let key = self.key(name);
        let put = self.store.put_opts(&key, PutPayload::from(bytes), options);
        self.runtime.block_on(put).map(UpdateVersion::from)
    }

    /// Takes an object away, if it is there.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        match self.runtime.block_on(self.store.delete(&self.key(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(name, &error)),
        }
    }

    /// What a whole folder holds; nothing where there is none.
    pub(super) fn manifest(&self, folder: &str) -> Result<Option<Manifest>> {
        let name = format!("{folder}/{WHOLE}");
        let Some(text) = self.get(&name)? else { return Ok(None) };
        let found = serde_json::from_slice(&text).map_err(|error| Error::Store {
            address: format!("{}/{name}", self.address),
            why: format!("damaged: {error}; delete it, and what it speaks of is made again"),
        })?;
        Ok(Some(found))
    }

    /// Is a folder there as a whole?
    pub(super) fn has_folder(&self, folder: &str) -> Result<bool> {
        self.has(&format!("{folder}/{WHOLE}"))
    }

    /// Puts files into a folder, unless it is there. They are asked for, which hashes them, only where they are needed.
    ///
    /// # Errors
    /// Also when `context` is told to stop: nothing speaks of what was uploaded until then.
    pub(super) fn put_folder(
        &self,
        folder: &str,
        files: impl FnOnce() -> Result<Vec<Found>>,
        context: Context<'_>,
    ) -> Result<()> {
        if self.has_folder(folder)? {
            return Ok(());
        }
        let files = files()?;
        let at = format!("{:016x}", attempt());
        let total = files.iter().map(|(entry, _)| entry.bytes).sum();
        let mut transfer = Transfer { context, here: false, name: folder, done: 0, total, told: None };
        for (entry, path) in &files {
            self.upload(&format!("{folder}/{at}/{}", entry.name), path, &mut transfer)?;
        }
        let manifest =
            Manifest { at: at.clone(), files: files.iter().map(|(entry, _)| entry.clone()).collect() };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| Error::Store { address: self.address.clone(), why: e.to_string() })?;
        let first = self.put_new(&format!("{folder}/{WHOLE}"), text)?.is_some();
        // A request that was sent twice, because the first answer got lost, finds its own.
        let ours = || Ok::<_, Error>(self.manifest(folder)?.is_some_and(|found| found.at == at));
        if !first && !ours()? {
            // Another machine was faster. What can't be taken away now is litter, and nothing speaks of it.
            for (entry, _) in &files {
                let _ = self.delete(&format!("{folder}/{at}/{}", entry.name));
            }
        }
        Ok(())
    }

    fn upload(&self, name: &str, path: &Path, transfer: &mut Transfer<'_>) -> Result<()> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let bytes = file.metadata().map_err(Error::io(path))?.len();
        if bytes <= PART as u64 {
            let mut whole = Vec::with_capacity(bytes as usize);
            file.read_to_end(&mut whole).map_err(Error::io(path))?;
            self.put(name, whole)?;
            return transfer.add(bytes);
        }
        let key = self.key(name);
        let upload =
            self.runtime.block_on(self.store.put_multipart(&key)).map_err(|e| self.error(name, &e))?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut buffer = vec![0; PART];
        let sent = loop {
            match file.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(n) => {
                    // The parts are sent by tasks of the runtime, which it has to be entered for.
                    let waited = self.runtime.block_on(async {
                        parts.wait_for_capacity(AT_ONCE).await?;
                        parts.write(&buffer[..n]);
                        Ok::<_, object_store::Error>(())
                    });
                    let waited = waited.map_err(|error| self.error(name, &error));
                    if let Err(error) = waited.and_then(|()| transfer.add(n as u64)) {
                        break Err(error);
                    }
                }
                Err(source) => break Err(Error::Io { path: path.to_owned(), source }),
            }
        };
        match sent {
            Ok(()) => self.runtime.block_on(parts.finish()).map(drop).map_err(|e| self.error(name, &e)),
            Err(error) => {
                // Parts that can't be taken back aren't an object either.
                let _ = self.runtime.block_on(parts.abort());
                Err(error)
            }
        }
    }

    /// Brings a whole folder here: `to` comes to be in one step. `work` is where it is gathered: what an interrupted call left there
    /// is gone on with. Says no where there is no such folder.
    pub(super) fn get_folder(
        &self,
        folder: &str,
        to: &Path,
        work: &Path,
        context: Context<'_>,
    ) -> Result<bool> {
        let Some(manifest) = self.manifest(folder)? else { return Ok(false) };
        fs::create_dir_all(work).map_err(Error::io(work))?;
        let total = manifest.files.iter().map(|entry| entry.bytes).sum();
        let mut transfer = Transfer { context, here: true, name: folder, done: 0, total, told: None };
        for entry in &manifest.files {
            let address = format!("{folder}/{}/{}", manifest.at, entry.name);
            let inside =
                Path::new(&entry.name).components().all(|c| matches!(c, std::path::Component::Normal(_)));
            if !inside {
                let why = format!("{:?} would lie outside of its folder", entry.name);
                return Err(Error::Store { address, why });
            }
            self.download(&address, entry, &work.join(&entry.name), &mut transfer)?;
        }
        if let Some(above) = to.parent() {
            fs::create_dir_all(above).map_err(Error::io(above))?;
        }
        match fs::rename(work, to) {
            // Another process of this machine was faster.
            Err(_) if to.is_dir() => {
                let _ = fs::remove_dir_all(work);
                Ok(true)
            }
            renamed => renamed.map(|()| true).map_err(Error::io(to)),
        }
    }

    /// Brings an object here, from where an interrupted download stopped, and compares it with its hash.
    fn download(&self, name: &str, entry: &Entry, to: &Path, transfer: &mut Transfer<'_>) -> Result<()> {
        if to.is_file() {
            return transfer.add(entry.bytes);
        }
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let mut have = fs::metadata(&part).map_or(0, |meta| meta.len());
        if have > entry.bytes {
            fs::remove_file(&part).map_err(Error::io(&part))?;
            have = 0;
        }
        transfer.add(have)?;
        let mut file = File::options().create(true).append(true).open(&part).map_err(Error::io(&part))?;
        if have < entry.bytes {
            let options = GetOptions { range: Some(GetRange::Offset(have)), ..GetOptions::default() };
            self.runtime.block_on(async {
                let got = self.store.get_opts(&self.key(name), options).await;
                let mut stream = got.map_err(|e| self.error(name, &e))?.into_stream();
                while let Some(bytes) = stream.next().await {
                    let bytes = bytes.map_err(|e| self.error(name, &e))?;
                    file.write_all(&bytes).map_err(Error::io(&part))?;
                    transfer.add(bytes.len() as u64)?;
                }
                Ok::<_, Error>(())
            })?;
        }
        file.sync_all().map_err(Error::io(&part))?;
        let (bytes, sha256) = hash(&part)?;
        if (bytes, &sha256) != (entry.bytes, &entry.sha256) {
            let _ = fs::remove_file(&part);
            let why = format!(
                "{bytes} bytes with the hash {sha256}, where {} with {} were kept: it is damaged, or was changed",
                entry.bytes, entry.sha256
            );
            return Err(Error::Store { address: format!("{}/{name}", self.address), why });
        }
        fs::rename(&part, to).map_err(Error::io(to))
    }
}

/// Transfers of fewer bytes are over before anybody asks.
const WORTH_TELLING: u64 = 16 << 20;
/// How often it is told how far one is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A folder that is under way.
struct Transfer<'a> {
    context: Context<'a>,
    here: bool,
    name: &'a str,
    done: u64,
    total: u64,
    told: Option<Instant>,
}

impl Transfer<'_> {
    /// So many bytes more are there.
    fn add(&mut self, bytes: u64) -> Result<()> {
        self.done += bytes;
        let is_due = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) || self.done == self.total;
        if is_due && self.total >= WORTH_TELLING {
            self.told = Some(Instant::now());
            let Self { here, done, total, .. } = *self;
            self.context.tell(&Event::Transferring { here, name: self.name.to_owned(), done, total });
        }
        Ok(self.context.check()?)
    }
}

fn seconds_of(meta: &ObjectMeta) -> f64 {
    meta.last_modified.timestamp_millis() as f64 / 1000.0
}

fn version_of(meta: &ObjectMeta) -> UpdateVersion {
    UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() }
}

/// A number that no other attempt has.
fn attempt() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// A file's size and hash.
fn hash(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hex(&hash.finalize()))),
            Ok(n) => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a file or a folder holds, by names that begin with its own: sorted, with the places of the files here.
pub(super) fn entries(path: &Path) -> Result<Vec<Found>> {
    sorted(path, path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// The files in a folder, by their names in it.
pub(super) fn contents(folder: &Path) -> Result<Vec<Found>> {
    sorted(folder, String::new())
}

fn sorted(path: &Path, name: String) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    gather(path, name, &mut found)?;
    found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(found)
}

fn gather(path: &Path, name: String, found: &mut Vec<Found>) -> Result<()> {
    if !path.is_dir() {
        let (bytes, sha256) = hash(path)?;
        found.push((Entry { name, bytes, sha256 }, path.to_owned()));
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        gather(&entry.path(), name, found)?;
    }
    Ok(())
}

/// The hash of what a folder holds.
pub(super) fn hash_of(entries: &[Found]) -> String {
    let mut hash = Sha256::new();
    for (entry, _) in entries {
        hash.update(format!("{}\n{}\n{}\n", entry.name, entry.bytes, entry.sha256));
    }
    hex(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::{CancelToken, Observer};
    use std::sync::atomic::{AtomicU64, Ordering};

    const BYTES: usize = 3 * PART + 5;

    /// Stops what it watches as soon as it hears of so many bytes.
    struct StopsAt {
        bytes: u64,
        cancel: CancelToken,
        last: AtomicU64,
    }

    impl Observer for StopsAt {
        fn event(&self, event: &Event) {
            if let Event::Transferring { done, .. } = event {
                self.last.store(*done, Ordering::Relaxed);
                if *done >= self.bytes {
                    self.cancel.cancel();
                }
            }
        }
    }

    fn stops_at(bytes: usize) -> StopsAt {
        StopsAt { bytes: bytes as u64, cancel: CancelToken::default(), last: AtomicU64::new(0) }
    }

    /// A folder with a file of several parts and a small one, and a store for it.
    fn folders() -> (tempfile::TempDir, PathBuf, Depot) {
        let all = tempfile::tempdir().unwrap();
        let (here, there) = (all.path().join("here"), all.path().join("there"));
        fs::create_dir_all(here.join("in")).unwrap();
        fs::create_dir_all(&there).unwrap();
        let large: Vec<u8> = (0..BYTES).map(|i| (i * 31 % 251) as u8).collect();
        fs::write(here.join("in/large.bin"), large).unwrap();
        fs::write(here.join("small.txt"), "small").unwrap();
        let depot = Depot::open(&format!("file://{}", there.display())).unwrap();
        (all, here, depot)
    }

    fn same(a: &Path, b: &Path) -> bool {
        ["in/large.bin", "small.txt"]
            .iter()
            .all(|name| fs::read(a.join(name)).unwrap() == fs::read(b.join(name)).unwrap())
    }

    #[test]
    fn an_upload_in_parts_that_was_stopped_leaves_nothing_whole() {
        let (all, here, depot) = folders();
        let stop = stops_at(1);
        let put = depot.put_folder("a", || contents(&here), Context::new(&stop, &stop.cancel));
        assert!(matches!(put, Err(Error::Pipeline(pipeline::Error::Cancelled))), "{put:?}");
        assert!((stop.last.load(Ordering::Relaxed) as usize) < BYTES);
        assert!(!depot.has_folder("a").unwrap());
        let watch = stops_at(usize::MAX);
        let context = Context::new(&watch, &watch.cancel);
        depot.put_folder("a", || contents(&here), context).unwrap();
        assert_eq!(watch.last.load(Ordering::Relaxed) as usize, BYTES + "small".len());
        let (to, work) = (all.path().join("to"), all.path().join("work"));
        assert!(depot.get_folder("a", &to, &work, context).unwrap());
        assert!(same(&here, &to));
    }

    #[test]
    fn a_download_goes_on_where_it_was_interrupted() {
        let (all, here, depot) = folders();
        let quiet = stops_at(usize::MAX);
        let context = Context::new(&quiet, &quiet.cancel);
        depot.put_folder("a", || contents(&here), context).unwrap();
        let (to, work) = (all.path().join("to"), all.path().join("work"));
        // As an interrupted call leaves it.
        let part = work.join("in/large.bin.part");
        fs::create_dir_all(work.join("in")).unwrap();
        let whole = fs::read(here.join("in/large.bin")).unwrap()[..PART + 3].to_vec();
        let mut damaged = whole.clone();
        damaged[0] ^= 1;
        fs::write(&part, damaged).unwrap();
        // What is there isn't fetched again, so a wrong byte in it shows.
        let got = depot.get_folder("a", &to, &work, context).unwrap_err().to_string();
        assert!(got.contains("in/large.bin") && got.contains("damaged"), "{got}");
        assert!(!part.exists() && !to.exists());
        fs::write(&part, whole).unwrap();
        assert!(depot.get_folder("a", &to, &work, context).unwrap());
        assert!(same(&here, &to) && !work.exists());
    }
}
