//! What the server's tests share: a studio on a folder of its own, a worker that does nothing slowly, and a client that says
//! exactly what it is told to say.
#![allow(dead_code, reason = "each test takes what it needs")]

use anicrafter_server::{Clock, Made, Options, Server, Worker};
use pipeline::{Context, Error, Event, Job, Stage};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A worker that does what the job's prompt says: `fail`, `panic`, `full`, `missing`, `hold`, or a number of milliseconds
/// a step.
#[derive(Clone, Debug, Default)]
pub struct FakeWorker {
    pub clock: Option<Clock>,
    pub runs: Arc<AtomicUsize>,
    /// Jobs that work at once, and the most that ever did.
    pub busy: Arc<AtomicUsize>,
    pub most_busy: Arc<AtomicUsize>,
}

const STEPS: usize = 10;

impl FakeWorker {
    fn work(&mut self, job: &Job, context: Context<'_>) -> Result<Made, Error> {
        let said = job.prompt.positive.as_str();
        for stage in [Stage::Composite, Stage::Denoise, Stage::Decode] {
            context.tell(&Event::Started { stage, window: 0, windows: 1, total: STEPS });
            for step in 0..STEPS {
                context.advance(stage, step as f64, STEPS)?;
                match &self.clock {
                    Some(clock) => clock.advance_ms(60_000),
                    None => std::thread::sleep(Duration::from_millis(said.parse().unwrap_or(1))),
                }
            }
            match said {
                // It runs until somebody lets it go on: see `Running::let_go`.
                "hold" => {
                    while !job.output.video.with_file_name("go").exists() {
                        context.check()?;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                "fail" => return Err(Error::Internal("it was told to fail")),
                "panic" => panic!("it was told to panic"),
                "full" => {
                    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
                    return Err(Error::Io { path: job.work_dir(), source });
                }
                "missing" => {
                    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                    return Err(Error::Io { path: job.input.background.clone(), source });
                }
                _ => {}
            }
            context.tell(&Event::Finished { stage, seconds: 1.0, cached: false, peak_bytes: 1 << 20 });
        }
        context.warn("it was only a fake");
        std::fs::write(&job.output.video, video()).unwrap();
        Ok(Made { files: vec![job.output.video.clone()], frames: Some(16), ..Made::default() })
    }
}

impl Worker for FakeWorker {
    fn run(&mut self, _: &str, job: &Job, context: Context<'_>) -> Result<Made, Error> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let now = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_busy.fetch_max(now, Ordering::SeqCst);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work(job, context)));
        self.busy.fetch_sub(1, Ordering::SeqCst);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The demo's background: a video that everybody can play.
pub fn video() -> &'static [u8] {
    anicrafter_demo::BACKGROUND
}

/// A studio that listens, on a folder of its own.
pub struct Running {
    pub address: SocketAddr,
    pub token: Option<String>,
    pub library: PathBuf,
    pub worker: FakeWorker,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    pub fn start(library: &Path) -> Self {
        Self::start_with(library, |options| options, FakeWorker::default())
    }

    pub fn start_with(library: &Path, change: impl FnOnce(Options) -> Options, worker: FakeWorker) -> Self {
        let options = Options { listen: "127.0.0.1:0".parse().unwrap(), ..Options::new(library) };
        let (found, opened) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (options, own) = (change(options), worker.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let session =
                    Arc::new(options.session.clone().renderer("cpu".parse().unwrap()).build().unwrap());
                let server = Server::open_with(options, session, Box::new(own)).await.unwrap();
                found.send((server.address(), server.new_token().map(str::to_owned))).unwrap();
                let stop = async {
                    // Dropped or sent: both mean the end.
                    let _ended = stopped.await;
                };
                server.run_until(stop).await.unwrap();
            });
        });
        let (address, token) = opened.recv().unwrap();
        let library = library.to_owned();
        Self { address, token, library, worker, stop: Some(stop), thread: Some(thread) }
    }

    /// With the session's own worker.
    pub fn start_real(library: &Path) -> Self {
        let options = Options { listen: "127.0.0.1:0".parse().unwrap(), ..Options::new(library) };
        let options =
            Options { session: options.session.clone().renderer("cpu".parse().unwrap()), ..options };
        let (found, opened) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::open(options).await.unwrap();
                found.send(server.address()).unwrap();
                let stop = async {
                    let _ended = stopped.await;
                };
                server.run_until(stop).await.unwrap();
            });
        });
        let address = opened.recv().unwrap();
        let (library, worker) = (library.to_owned(), FakeWorker::default());
        Self { address, token: None, library, worker, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }

    /// A request with a JSON answer; the status must be below 400.
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.try_ask(method, path, body);
        assert!(answer.status < 400, "{method} {path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    pub fn try_ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        match body {
            Some(body) => {
                self.send(method, path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
            }
            None => self.send(method, path, &[], b""),
        }
    }

    /// A request, word for word; `Host` is this server where it isn't given.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method != "GET" {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        self.raw(&[text.as_bytes(), body].concat())
    }

    /// Bytes as they are; reads until the server closes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // A server that has refused closes before everything is sent.
        let _refused = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }

    /// A form with files.
    pub fn form(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
        let edge = "----edge7f3a";
        let mut body = Vec::new();
        for (name, file, content) in parts {
            let file = file
                .map(|file| format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream"))
                .unwrap_or_default();
            body.extend(
                format!("--{edge}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
                    .into_bytes(),
            );
            body.extend(*content);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{edge}--\r\n").into_bytes());
        self.send("POST", path, &[("Content-Type", &format!("multipart/form-data; boundary={edge}"))], &body)
    }

    /// The demo's scene, and the request that makes something of it; the prompt tells the fake worker what to do.
    pub fn demo(&self, prompt: &str) -> Value {
        self.ask("POST", "/v1/demo", None);
        serde_json::json!({
            "model": "anicrafter-demo", "prompt": prompt,
            "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json",
            "background": "demo/background.mp4", "character": "demo/character.png", "seconds": "1",
        })
    }

    pub fn queue(&self, prompt: &str) -> String {
        let request = self.demo(prompt);
        self.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned()
    }

    /// Lets a job of the prompt `hold` go on to its end.
    pub fn let_go(&self, id: &str) {
        std::fs::write(self.library.join("results").join(id).join("go"), b"").unwrap();
    }

    /// Waits until a video is as wanted.
    pub fn wait_for(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let video = self.ask("GET", &format!("/v1/videos/{id}"), None);
            if wanted(&video) {
                return video;
            }
            assert!(Instant::now() < until, "it never came: {video}");
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    pub fn wait_state(&self, id: &str, state: &str) -> Value {
        self.wait_for(id, |video| video["state"] == state)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Self::default() };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunked(&body);
        }
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&bytes[..end]).trim(), 16).unwrap_or(0);
        let from = end + 2;
        if size == 0 || bytes.len() < from + size {
            break;
        }
        out.extend(&bytes[from..from + size]);
        bytes = bytes.get(from + size + 2..).unwrap_or(&[]);
    }
    out
}
