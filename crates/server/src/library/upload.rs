//! Files that come in: at once, or in pieces that go on where they broke off.

use super::{Library, LibraryFile, remove_older};
use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::names::{harmless, is_id, new_id};
use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use utoipa::ToSchema;

/// Days after which an upload that nobody goes on with is removed.
const KEPT_DAYS: u64 = 7;
/// Uploads that wait for their rest at most.
const MOST_OPEN: usize = 200;
/// Bytes of the disk that are left free.
pub(crate) const RESERVE: u64 = 256 << 20;

/// A file that is on its way into the library.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Upload {
    /// Names it in requests.
    pub id: String,
    /// Always `upload`.
    pub object: &'static str,
    /// What the file is to be called.
    pub filename: String,
    /// Its size.
    pub bytes: u64,
    /// How much of it is here: the next piece begins there.
    pub offset: u64,
    /// The file, once all of it is here.
    pub file: Option<LibraryFile>,
}

/// What is kept of an upload beside its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Wanted {
    filename: String,
    bytes: u64,
}

/// A whole file that hasn't a name in the library yet; it goes when this does.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) path: tempfile::TempPath,
    pub(crate) filename: String,
}

/// The uploads of a library.
#[derive(Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
    largest: u64,
    idle: Duration,
    /// Those that are being written to: one piece at a time.
    busy: Arc<Mutex<HashSet<String>>>,
}

/// Holds an upload for as long as a piece of it is written.
struct Claim {
    busy: Arc<Mutex<HashSet<String>>>,
    id: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Uploads {
    pub(crate) fn open(library: &Library, largest: u64, idle: Duration, clock: &Clock) -> Self {
        let folder = library.own("uploads");
        remove_older(&folder, KEPT_DAYS, clock);
        Self { folder, largest, idle, busy: Arc::default() }
    }

    /// Begins an upload.
    pub(crate) fn begin(
        &self,
        library: &Library,
        filename: &str,
        bytes: u64,
        clock: &Clock,
    ) -> ApiResult<Upload> {
        self.check_size(library, bytes)?;
        let open = fs::read_dir(&self.folder).map_err(|e| ApiError::io(&e))?.count() / 2;
        if open >= MOST_OPEN {
            return Err(ApiError::busy(format!(
                "{open} uploads wait for their rest: finish or delete some of them"
            )));
        }
        let id = new_id("upload", clock)?;
        let wanted = Wanted { filename: harmless(filename), bytes };
        let text = serde_json::to_vec(&wanted).map_err(|e| ApiError::internal(e.to_string()))?;
        fs::write(self.part(&id), b"").map_err(|e| ApiError::io(&e))?;
        pipeline::work::write_atomically(&self.about(&id), &text)
            .map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(Upload { id, object: "upload", filename: wanted.filename, bytes, offset: 0, file: None })
    }

    /// How far an upload is.
    pub(crate) fn get(&self, id: &str) -> ApiResult<Upload> {
        let none = || ApiError::not_found("upload", id);
        if !is_id("upload", id) {
            return Err(none());
        }
        let text = fs::read(self.about(id)).map_err(|_| none())?;
        let wanted: Wanted = serde_json::from_slice(&text).map_err(|_| none())?;
        let offset = fs::metadata(self.part(id)).map_err(|_| none())?.len();
        let Wanted { filename, bytes } = wanted;
        Ok(Upload { id: id.to_owned(), object: "upload", filename, bytes, offset, file: None })
    }

    /// Gives an upload up.
    pub(crate) fn remove(&self, id: &str) -> ApiResult<()> {
        self.get(id)?;
        let _claim = self.claim(id)?;
        fs::remove_file(self.about(id)).map_err(|e| ApiError::io(&e))?;
        fs::remove_file(self.part(id)).map_err(|e| ApiError::io(&e))
    }

    /// Takes the next piece in, which begins at `offset`. What has come in stays, however it ends.
    pub(crate) async fn append<E>(
        &self,
        library: &Library,
        id: &str,
        offset: u64,
        piece: impl Stream<Item = Result<Bytes, E>>,
    ) -> ApiResult<Upload> {
        let _claim = self.claim(id)?;
        let mut upload = self.get(id)?;
        if upload.offset != offset {
            return Err(ApiError::conflict(
                "wrong_offset",
                format!("{} bytes are here, the piece begins at {offset}", upload.offset),
            ));
        }
        let file = tokio::fs::OpenOptions::new().append(true).open(self.part(id)).await;
        let mut file = file.map_err(|e| ApiError::io(&e))?;
        let left = upload.bytes - upload.offset;
        let taken = self.write(&mut file, piece, left).await;
        // What was written is there to go on from, whatever stopped it.
        file.sync_all().await.map_err(|e| ApiError::io(&e))?;
        upload.offset += taken?;
        if upload.offset == upload.bytes {
            upload.file = Some(library.adopt(&self.part(id), &upload.filename)?);
            fs::remove_file(self.about(id)).map_err(|e| ApiError::io(&e))?;
        }
        Ok(upload)
    }

    /// Takes a whole file in.
    pub(crate) async fn receive<E>(
        &self,
        library: &Library,
        filename: &str,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> ApiResult<Received> {
        self.check_size(library, 0)?;
        let path = tempfile::Builder::new().prefix("whole-").tempfile_in(&self.folder);
        let (file, path) = path.map_err(|e| ApiError::io(&e))?.into_parts();
        set_readable(&file);
        let mut file = tokio::fs::File::from_std(file);
        self.write(&mut file, bytes, self.largest).await?;
        file.sync_all().await.map_err(|e| ApiError::io(&e))?;
        Ok(Received { path, filename: harmless(filename) })
    }

    /// Writes at most `most` bytes; a sender that says nothing for long is given up.
    async fn write<E>(
        &self,
        file: &mut tokio::fs::File,
        pieces: impl Stream<Item = Result<Bytes, E>>,
        most: u64,
    ) -> ApiResult<u64> {
        let mut pieces = pin!(pieces);
        let mut written = 0;
        loop {
            let Ok(next) = tokio::time::timeout(self.idle, pieces.next()).await else {
                let what = format!("nothing came for {} s; what came before is kept", self.idle.as_secs());
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", what));
            };
            let Some(piece) = next else { break };
            let Ok(piece) = piece else {
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "broken_off", "the upload broke off"));
            };
            written += piece.len() as u64;
            if written > most {
                return Err(ApiError::too_large(format!("more than {most} bytes came")));
            }
            file.write_all(&piece).await.map_err(|e| ApiError::io(&e))?;
        }
        file.flush().await.map_err(|e| ApiError::io(&e))?;
        Ok(written)
    }

    fn check_size(&self, library: &Library, bytes: u64) -> ApiResult<()> {
        if bytes > self.largest {
            return Err(ApiError::too_large(format!(
                "{bytes} bytes: files of up to {} are taken; copy larger ones into the library's folder",
                self.largest
            )));
        }
        match library.free_bytes() {
            Some(free) if free < bytes.saturating_add(RESERVE) => Err(ApiError::no_room(format!(
                "{bytes} bytes don't fit on the library's disk: {} MiB are free, of which {} stay so",
                free >> 20,
                RESERVE >> 20
            ))),
            _ => Ok(()),
        }
    }

    fn claim(&self, id: &str) -> ApiResult<Claim> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(id.to_owned()) {
            return Err(ApiError::conflict("upload_busy", "another piece of this upload is on its way"));
        }
        Ok(Claim { busy: self.busy.clone(), id: id.to_owned() })
    }

    fn part(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.part"))
    }

    fn about(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// Temporary files are their owner's alone; the library's are as the user's others.
fn set_readable(file: &fs::File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Where that can't be changed, the file is still whole.
        let _kept = file.set_permissions(fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = file;
}
