//! Connections: listening, slow clients, the end.

use crate::drain::Patient;
use crate::queue::{SessionWorker, Worker, WorkerThread};
use crate::{Error, Options, Result, Studio, api};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once; further ones wait.
const MOST_CONNECTIONS: usize = 1200;
/// How long a client may take for its headers.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// How long requests that are being answered may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// A studio that listens. Dropping it stops nothing that was taken in: the queue is on disk.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    studio: Studio,
    worker: WorkerThread,
    token: Option<String>,
}

impl Server {
    /// Opens the library, takes its jobs up again, and listens.
    ///
    /// # Errors
    /// When the library can't be opened or belongs to another studio, the address can't be had, or the session can't be made.
    pub async fn open(options: Options) -> Result<Self> {
        let session = Arc::new(options.session.clone().build()?);
        let worker = SessionWorker::new(session.clone());
        Self::open_with(options, session, Box::new(worker)).await
    }

    /// As [`Server::open`], with another worker in the session's place for jobs; `session` plans and previews.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn open_with(
        options: Options,
        session: Arc<pipeline::Session>,
        worker: Box<dyn Worker>,
    ) -> Result<Self> {
        let refused = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (studio, worker, token) = Studio::open(&options, address, session, worker)?;
        Ok(Self { listener, address, studio, worker, token })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address.
    #[must_use]
    pub fn url(&self) -> String {
        let ip = self.address.ip();
        let host =
            if ip.is_unspecified() { "localhost".to_owned() } else { SocketAddr::new(ip, 0).to_string() };
        let host = host.trim_end_matches(":0").to_owned();
        format!("http://{host}:{}/", self.address.port())
    }

    /// The token that callers must show, if one was made just now: it can't be had again.
    #[must_use]
    pub fn new_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Must callers show a token?
    #[must_use]
    pub fn needs_token(&self) -> bool {
        self.studio.access.needs_token()
    }

    /// The API and the page, to be put into another program's server. It is still this server that owns queue and library.
    pub fn router(&self) -> Router {
        api::router(&self.studio)
    }

    /// Serves until `stop` comes true; then the running job stops where it can go on.
    ///
    /// # Errors
    /// When the system takes no more connections.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        let app = api::router(&self.studio);
        let service = TowerToHyperService::new(app);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            // Closed by nobody, so a permit comes.
            let Ok(permit) = room.clone().acquire_owned().await else { break };
            let stream = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let Ok((stream, _)) = stream else {
                // Too many open files, or a client that was gone at once: the next one may do better.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // Small answers aren't held back; where that can't be set they are a little later.
            let _slower = stream.set_nodelay(true);
            let connection = builder.serve_connection(TokioIo::new(Patient::new(stream)), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A client that hung up is nobody's concern.
                let _ended = connection.await;
                drop(permit);
            });
        }
        self.studio.queue.close();
        self.studio.creations.close();
        // Listeners never end by themselves.
        let _late = tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await;
        let worker = self.worker;
        let _ended = tokio::task::spawn_blocking(move || worker.join()).await;
        Ok(())
    }
}

/// Opens a studio and serves until the program is asked to end (Ctrl-C, or the system's signal). `ready` is told when it listens.
///
/// # Errors
/// As [`Server::open`] and [`Server::run_until`].
pub fn run_blocking(options: Options, ready: impl FnOnce(&Server)) -> Result<()> {
    run_blocking_until(options, ready, asked_to_end())
}

/// As [`run_blocking`], until `stop` comes true.
///
/// # Errors
/// As [`Server::open`] and [`Server::run_until`].
pub fn run_blocking_until(
    options: Options,
    ready: impl FnOnce(&Server),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Error::io(std::path::Path::new("the server's threads")))?;
    runtime.block_on(async {
        let server = Server::open(options).await?;
        ready(&server);
        server.run_until(stop).await
    })
}

async fn asked_to_end() {
    let interrupted = async {
        // Where the signal can't be listened to, the system ends the program, and the queue goes on at the next start.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        let Ok(mut terminate) = terminate else { return interrupted.await };
        tokio::select! {
            () = interrupted => {},
            _ = terminate.recv() => {},
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
}
