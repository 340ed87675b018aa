//! The AniCrafter studio: a page in the browser and an HTTP API, over one library folder and one queue of jobs.
//!
//! ```no_run
//! use anicrafter_server::{Options, Server};
//!
//! # async fn embed() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::open(Options::new("library")).await?;
//! println!("open {}", server.url());
//! server.run_until(std::future::pending()).await?;
//! # Ok(()) }
//! ```
//!
//! # What there is
//! - A **library**: one folder that the user chose, with avatars, pictures, videos, motions, and `results/`.
//! - A **queue** on disk, one job at a time: whatever ends the program, jobs that were taken in go on where they were when it
//!   starts again. Each job is the command line's job file.
//! - An **API** in the style that clients of video services know (`POST /v1/videos`, `GET /v1/videos/{id}`, …), with an OpenAPI
//!   document made from the types at `/openapi.json` and examples at `/api`.
//! - A **page** that does the whole job over this API. Nothing in it is loaded from elsewhere.
//!
//! # Behaviour where things go wrong
//! - *The disk is full*: uploads are refused with 507; the running job is paused, keeps what it has and says so.
//! - *A file vanished*: the job that needs it fails and names it; the next one runs.
//! - *A job ends the whole program*: it is tried again, at the third time it is set aside as failed.
//! - *Two tabs*: there is one state, on the server; each tab hears of every change. What doesn't fit the state any more is
//!   answered with 409 and changes nothing.
//! - *A slow client*: listeners get the latest state and no backlog; headers must come within 15 s, the next bytes of an upload
//!   within 60 s. What came before is kept.

mod access;
mod api;
mod avatars;
mod clock;
mod creations;
mod drain;
mod error;
mod library;
mod names;
mod page;
mod previews;
mod queue;
mod serve;

pub use api::openapi;
pub use avatars::{BakeReport, CreateAvatar};
pub use clock::Clock;
pub use creations::{AvatarPlan, Making};
pub use error::{Error, ErrorBody, ErrorDetail, Result};
pub use library::{Facts, FileKind, LibraryFile, Upload};
pub use previews::PreviewInfo;
pub use queue::{Failure, Figures, Made, Progress, Record, SessionWorker, StageProgress, State, Worker};
pub use serve::{Server, run_blocking, run_blocking_until};

use access::Access;
use creations::Creations;
use library::{Library, Uploads};
use pipeline::{Session, SessionBuilder};
use previews::Previews;
use queue::Queue;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The port that a studio listens on.
pub const PORT: u16 = 8585;

/// What a studio is to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The library's folder; made where there is none.
    pub library: PathBuf,
    /// Where to listen. Anything but this machine's own addresses asks callers for a token.
    pub listen: SocketAddr,
    /// Further names by which the server may be asked for.
    pub hosts: Vec<String>,
    /// Folders outside of the library whose weights jobs may name.
    pub weights: Vec<PathBuf>,
    /// Make a new token, and forget the one before.
    pub new_token: bool,
    /// Device, memory and threads of the jobs.
    pub session: SessionBuilder,
    /// The largest file that is taken in, in bytes.
    pub largest_upload: u64,
    /// How long an upload may say nothing.
    pub upload_idle: Duration,
    /// What time it is.
    pub clock: Clock,
}

impl Options {
    /// For a library, on this machine alone, at the usual port.
    #[must_use]
    pub fn new(library: impl Into<PathBuf>) -> Self {
        let library = library.into();
        let measured = library.join(library::OWN).join("machine.json");
        Self {
            library,
            listen: (Ipv4Addr::LOCALHOST, PORT).into(),
            hosts: Vec::new(),
            weights: Vec::new(),
            new_token: false,
            session: Session::builder().rates_file(measured),
            largest_upload: 16 << 30,
            upload_idle: Duration::from_secs(60),
            clock: Clock::system(),
        }
    }
}

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Studio(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) library: Arc<Library>,
    pub(crate) uploads: Uploads,
    pub(crate) queue: Queue,
    pub(crate) previews: Previews,
    pub(crate) creations: Creations,
    pub(crate) session: Arc<Session>,
    pub(crate) access: Arc<Access>,
    pub(crate) weights: Vec<PathBuf>,
    pub(crate) clock: Clock,
    /// Pictures that are made at once.
    pub(crate) looks: Semaphore,
    /// Listeners at once.
    pub(crate) listeners: Arc<Semaphore>,
}

impl std::ops::Deref for Studio {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Studio {
    /// Opens everything; `worker` does the jobs.
    fn open(
        options: &Options,
        address: SocketAddr,
        session: Arc<Session>,
        worker: Box<dyn Worker>,
    ) -> Result<(Self, queue::WorkerThread, Option<String>)> {
        let library = Arc::new(Library::open(&options.library)?);
        let (access, token) = Access::new(address, &options.hosts, &library.own("token"), options.new_token)?;
        let uploads = Uploads::open(&library, options.largest_upload, options.upload_idle, &options.clock);
        library::remove_older(&library.own("cache"), 30, &options.clock);
        let (queue, thread) = Queue::open(library.clone(), options.clock.clone(), worker)?;
        let previews = Previews::start(session.clone(), &library)
            .map_err(Error::io(Path::new("the preview's thread")))?;
        let creations = Creations::new(queue.heavy(), session.clone(), library.clone());
        let weights = options.weights.iter().map(|folder| folder.canonicalize().map_err(Error::io(folder)));
        let parts = Parts {
            library,
            uploads,
            queue,
            previews,
            creations,
            session,
            access: Arc::new(access),
            weights: weights.collect::<Result<_>>()?,
            clock: options.clock.clone(),
            looks: Semaphore::new(1),
            listeners: Arc::new(Semaphore::new(1000)),
        };
        Ok((Self(Arc::new(parts)), thread, token))
    }
}

/// Runs heavy work outside of the threads that answer requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> error::ApiResult<T> + Send + 'static,
) -> error::ApiResult<T> {
    tokio::task::spawn_blocking(work).await?
}
