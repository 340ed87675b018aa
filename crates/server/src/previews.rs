//! Looks at what a job will compose, before it is queued: rendered by the code that makes the result, in a thread of its own.
//!
//! A raw video has to be looked through first; a preview does that for its first frames only, so that something moves within
//! seconds, and says so.

use crate::error::{ApiError, ApiResult};
use crate::library::{Library, jpeg};
use crate::names::digest;
use image::{GrayImage, RgbImage, RgbaImage};
use media::{VideoReader, VideoWriter, WriteOptions};
use pipeline::{CancelToken, Context, Event, Job, Preview, Session, SourceFrame, Who};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// Frames of a raw video that a preview looks through.
const QUICK_FRAMES: usize = 32;
/// Previews that are kept in mind.
const KNOWN: usize = 48;
/// Previews that are held open.
const OPEN: usize = 2;
/// Bytes of rendered frames that are kept.
const KEPT_BYTES: usize = 96 << 20;
/// Frames that wait to be rendered at most.
const MOST_WAITING: usize = 64;

/// A job's composite, to be looked at frame by frame.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewInfo {
    /// Names it in requests; the same for the same job.
    pub id: String,
    /// Always `preview`.
    pub object: &'static str,
    /// `opening`, `ready` or `failed`.
    pub status: &'static str,
    /// What is done while it opens.
    pub stage: Option<String>,
    /// How much of that is done, 0 to 1.
    pub done: f64,
    /// Number of frames that can be looked at.
    pub frames: usize,
    /// Frames a second.
    pub fps: f64,
    /// Width of a frame in pixels.
    pub width: u32,
    /// Height of a frame in pixels.
    pub height: u32,
    /// Only the first frames of the raw video were looked through: person, motion and background of the whole job may differ a
    /// little.
    pub quick: bool,
    /// What there is to say of the inputs.
    pub warnings: Vec<String>,
    /// Why it can't be opened.
    pub error: Option<String>,
}

/// What the thread is asked.
enum Ask {
    Open(String),
    Frame { id: String, look: Look, reply: oneshot::Sender<ApiResult<Seen>> },
}

/// What of a preview is looked at: a frame counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Look {
    /// The composite.
    Composite(usize),
    /// The frame of the raw video or background under it, as it came in.
    Source(usize),
    /// What is known of that frame's pixels.
    Masks(usize),
}

impl Look {
    fn frame(self) -> usize {
        let (Self::Composite(n) | Self::Source(n) | Self::Masks(n)) = self;
        n
    }
}

/// A picture of a preview.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// A JPEG, or a PNG of masks.
    pub(crate) bytes: Arc<[u8]>,
    /// The frame of the raw video or background that it belongs to.
    pub(crate) source_frame: usize,
}

#[derive(Debug)]
struct Known {
    info: PreviewInfo,
    job: Job,
    cancel: CancelToken,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Known>,
    /// The longest unasked first.
    order: VecDeque<String>,
    waiting: usize,
}

/// The previews of a studio.
#[derive(Debug)]
pub(crate) struct Previews {
    state: Arc<Mutex<State>>,
    asks: Mutex<Sender<Ask>>,
}

impl Previews {
    pub(crate) fn start(session: Arc<Session>, library: &Arc<Library>) -> std::io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let (asks, asked) = channel();
        let room = Room {
            session,
            library: library.clone(),
            folder: library.own("cache"),
            state: state.clone(),
            open: VecDeque::new(),
            frames: Frames::default(),
        };
        std::thread::Builder::new()
            .name("anicrafter-preview".to_owned())
            .spawn(move || room.serve(&asked))?;
        Ok(Self { state, asks: Mutex::new(asks) })
    }

    /// Opens a job's preview, or finds the one that is open.
    pub(crate) fn open(&self, job: Job, versions: &[String]) -> ApiResult<PreviewInfo> {
        let mut look = job.clone();
        // What comes after the composite changes nothing of it.
        look.sampling = pipeline::Sampling::default();
        look.prompt = pipeline::Prompt::default();
        look.output = pipeline::Output::default();
        let text = serde_json::to_vec(&look).map_err(|e| ApiError::internal(e.to_string()))?;
        let mut parts: Vec<&[u8]> = vec![&text];
        parts.extend(versions.iter().map(|version| version.as_bytes()));
        let id = format!("preview_{}", &digest(&parts)[..24]);
        let mut state = lock(&self.state);
        state.order.retain(|known| *known != id);
        state.order.push_back(id.clone());
        if let Some(known) = state.known.get(&id)
            && known.info.status != "failed"
        {
            return Ok(known.info.clone());
        }
        // Whoever opens another one isn't waiting for the last any more.
        for known in state.known.values().filter(|known| known.info.status == "opening") {
            known.cancel.cancel();
        }
        let info = PreviewInfo {
            id: id.clone(),
            object: "preview",
            status: "opening",
            stage: None,
            done: 0.0,
            frames: 0,
            fps: 0.0,
            width: 0,
            height: 0,
            quick: false,
            warnings: Vec::new(),
            error: None,
        };
        state.known.insert(id.clone(), Known { info: info.clone(), job, cancel: CancelToken::new() });
        while state.order.len() > KNOWN {
            if let Some(old) = state.order.pop_front()
                && let Some(known) = state.known.remove(&old)
            {
                known.cancel.cancel();
            }
        }
        drop(state);
        self.ask(Ask::Open(id))?;
        Ok(info)
    }

    pub(crate) fn get(&self, id: &str) -> ApiResult<PreviewInfo> {
        let state = lock(&self.state);
        state.known.get(id).map(|known| known.info.clone()).ok_or_else(|| ApiError::not_found("preview", id))
    }

    /// A picture of a frame.
    pub(crate) async fn look(&self, id: &str, look: Look) -> ApiResult<Seen> {
        let frame = look.frame();
        let info = self.get(id)?;
        if let Some(error) = info.error {
            return Err(ApiError::conflict("preview_failed", error));
        }
        if info.status == "ready" && frame >= info.frames {
            return Err(ApiError::not_found("frame", &frame.to_string()));
        }
        {
            let mut state = lock(&self.state);
            if state.waiting >= MOST_WAITING {
                return Err(ApiError::busy("too many frames are asked for at once"));
            }
            state.waiting += 1;
        }
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Frame { id: id.to_owned(), look, reply })?;
        answer.await.map_err(|_| ApiError::internal("the preview broke off"))?
    }

    fn ask(&self, ask: Ask) -> ApiResult<()> {
        let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        asks.send(ask).map_err(|_| ApiError::internal("the preview's thread has ended"))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change(state: &Mutex<State>, id: &str, change: impl FnOnce(&mut PreviewInfo)) {
    if let Some(known) = lock(state).known.get_mut(id) {
        change(&mut known.info);
    }
}

/// Rendered frames, as many as fit.
#[derive(Default)]
struct Frames {
    kept: HashMap<(String, Look), Seen>,
    order: VecDeque<(String, Look)>,
    bytes: usize,
}

impl Frames {
    fn get(&self, key: &(String, Look)) -> Option<Seen> {
        self.kept.get(key).cloned()
    }

    fn keep(&mut self, key: (String, Look), frame: Seen) {
        self.bytes += frame.bytes.len();
        if let Some(old) = self.kept.insert(key.clone(), frame) {
            self.bytes -= old.bytes.len();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > KEPT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(old) = self.kept.remove(&oldest) {
                self.bytes -= old.bytes.len();
            }
        }
    }
}

/// A preview that is held open.
struct Open {
    id: String,
    preview: Preview,
    /// The frame with which its raw video was cut.
    first: usize,
}

/// The masks as a picture to be laid over the frame: the person bluish, what stays in front orange; a PNG.
fn drawn(source: &SourceFrame) -> ApiResult<Vec<u8>> {
    let (w, h) = source.picture.dimensions();
    let level = |mask: Option<&GrayImage>, x, y| mask.map_or(0, |mask| mask.get_pixel(x, y)[0]);
    let picture = RgbaImage::from_fn(w, h, |x, y| {
        let (front, person) = (level(Some(&source.in_front), x, y), level(source.person.as_ref(), x, y));
        let (color, level) = if front >= 128 { (FRONT, front) } else { (PERSON, person) };
        let [r, g, b] = color;
        image::Rgba([r, g, b, (u16::from(level) * 3 / 5) as u8])
    });
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    picture.write_with_encoder(encoder).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(bytes)
}

/// The colours of masks; the page paints with the same ones.
const PERSON: [u8; 3] = [70, 130, 255];
const FRONT: [u8; 3] = [255, 140, 30];

/// The thread's own.
struct Room {
    library: Arc<Library>,
    session: Arc<Session>,
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    open: VecDeque<Open>,
    frames: Frames,
}

impl Room {
    fn serve(mut self, asked: &Receiver<Ask>) {
        while let Ok(ask) = asked.recv() {
            match ask {
                Ask::Open(id) => {
                    let done = catch_unwind(AssertUnwindSafe(|| self.ensure_open(&id)));
                    let error = match done {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => error.text().to_owned(),
                        Err(_) => "a fault of the program ended the preview; please report it".to_owned(),
                    };
                    change(&self.state, &id, |info| (info.status, info.error) = ("failed", Some(error)));
                }
                Ask::Frame { id, look, reply } => {
                    lock(&self.state).waiting -= 1;
                    // Who asked may have gone on to another frame long ago.
                    if reply.is_closed() {
                        continue;
                    }
                    let made = catch_unwind(AssertUnwindSafe(|| self.look(&id, look)));
                    let fault = || Err(ApiError::internal("a fault of the program ended the preview"));
                    // The one who asked may be gone by now.
                    let _gone = reply.send(made.unwrap_or_else(|_| fault()));
                }
            }
        }
    }

    fn look(&mut self, id: &str, look: Look) -> ApiResult<Seen> {
        let key = (id.to_owned(), look);
        if let Some(kept) = self.frames.get(&key) {
            return Ok(kept);
        }
        self.ensure_open(id)?;
        let open = self.open.iter_mut().find(|open| open.id == id);
        let Open { preview, first, .. } = open.ok_or_else(|| ApiError::not_found("preview", id))?;
        let made = match look {
            Look::Composite(frame) => {
                let picture: RgbImage = preview.frame(frame).map_err(refused)?;
                let source_frame = *first + preview.source_frame(frame);
                Seen { bytes: jpeg(&picture, 88)?.into(), source_frame }
            }
            Look::Source(frame) | Look::Masks(frame) => {
                let source = preview.source(frame).map_err(refused)?;
                let source_frame = *first + source.number;
                let picture = Seen { bytes: jpeg(&source.picture, 88)?.into(), source_frame };
                let masks = Seen { bytes: drawn(&source)?.into(), source_frame };
                // Who asks for one of them asks for the other.
                self.frames.keep((id.to_owned(), Look::Source(frame)), picture.clone());
                self.frames.keep((id.to_owned(), Look::Masks(frame)), masks.clone());
                return Ok(if look == Look::Source(frame) { picture } else { masks });
            }
        };
        self.frames.keep(key, made.clone());
        Ok(made)
    }

    /// The folder in which a job's video is looked through: the same for all jobs on that video, so that a switch doesn't look
    /// through it again.
    fn work_for(&self, job: &Job) -> PathBuf {
        let video = job.replace.as_ref().map_or(&job.input.background, |replace| &replace.video);
        let version = self.library.version(video).unwrap_or_default();
        let start = job.input.start.to_le_bytes();
        let name = digest(&[video.as_os_str().as_encoded_bytes(), version.as_bytes(), &start]);
        self.folder.join(format!("work-{name}"))
    }

    fn ensure_open(&mut self, id: &str) -> ApiResult<()> {
        if self.open.iter().any(|open| open.id == id) {
            return Ok(());
        }
        let (job, cancel) = {
            let state = lock(&self.state);
            let Some(known) = state.known.get(id) else { return Err(ApiError::not_found("preview", id)) };
            (known.job.clone(), known.cancel.clone())
        };
        let warnings = Mutex::new(Vec::new());
        // What is held open can't be shared with those who tell of their progress.
        let state = self.state.clone();
        let hear = |event: &Event| match event {
            Event::Started { stage, .. } => change(&state, id, |info| {
                (info.stage, info.done) = (Some(stage.name().to_owned()), 0.0);
            }),
            Event::Advanced { done, total, .. } => {
                change(&state, id, |info| info.done = done / (*total).max(1) as f64);
            }
            Event::Warning { message } => {
                let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
                if warnings.len() < 40 {
                    warnings.push(message.clone());
                }
            }
            _ => {}
        };
        let context = Context::new(&hear, &cancel);
        let work = self.work_for(&job);
        let (job, first) = quick_look(&job, &work, context).map_err(refused)?;
        let preview = self.session.open_preview(&job, context).map_err(refused)?;
        let warnings = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
        change(&self.state, id, |info| {
            info.status = "ready";
            (info.stage, info.done) = (None, 1.0);
            (info.frames, info.fps) = (preview.len(), preview.fps());
            (info.width, info.height) = preview.size();
            (info.quick, info.warnings, info.error) = (first.is_some(), warnings, None);
        });
        while self.open.len() >= OPEN {
            self.open.pop_front();
        }
        self.open.push_back(Open { id: id.to_owned(), preview, first: first.unwrap_or(0) });
        Ok(())
    }
}

fn refused(error: pipeline::Error) -> ApiError {
    match error {
        pipeline::Error::Cancelled => ApiError::conflict("preview_left", "another preview was opened"),
        error => {
            ApiError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "preview_failed", error.to_string())
        }
    }
}

/// The job over the first frames of its raw video, cut out for it, with the frame at which it was cut; the job itself where it has
/// none, or brings masks along.
fn quick_look(job: &Job, folder: &Path, context: Context<'_>) -> pipeline::Result<(Job, Option<usize>)> {
    let mut job = job.clone();
    job.output.work = Some(folder.join("work"));
    let Some(replace) = &mut job.replace else { return Ok((job, None)) };
    if replace.mask.is_some() || !job.input.occluders.is_empty() {
        return Ok((job, None));
    }
    let reader = VideoReader::open(&replace.video)?;
    let all = reader.info().frames.unwrap_or(usize::MAX);
    let start = job.input.start;
    let brought = |path: &PathBuf| !path.as_os_str().is_empty();
    // What comes with the job frame by frame isn't cut.
    let brings =
        brought(&job.input.background) || job.input.actors.iter().any(|actor| brought(&actor.motion));
    if all.saturating_sub(start) <= QUICK_FRAMES || (brings && start > 0) {
        return Ok((job, None));
    }
    std::fs::create_dir_all(folder)
        .map_err(|source| pipeline::Error::Io { path: folder.to_owned(), source })?;
    let cut = folder.join("raw.mp4");
    if !cut.is_file() {
        let rate = reader.info().frame_rate;
        let mut writer = VideoWriter::create(&cut, WriteOptions::new(rate))?;
        for frame in reader.skip(start).take(QUICK_FRAMES) {
            context.check()?;
            let frame = frame?;
            // Video has no odd sizes.
            let (w, h) = (frame.width() / 2 * 2, frame.height() / 2 * 2);
            writer.push(&image::imageops::crop_imm(&frame, 0, 0, w, h).to_image())?;
        }
        writer.finish()?;
    }
    replace.video = cut;
    job.input.end = job.input.end.map(|end| end.saturating_sub(start).max(1));
    job.input.start = 0;
    if let Who::At { frame, .. } = &mut replace.person {
        if (start..start + QUICK_FRAMES).contains(frame) {
            *frame -= start;
        } else {
            context.warn("the person was pointed at on a frame that the quick look doesn't see: it shows the largest one");
            replace.person = Who::One(1);
        }
    }
    let strokes = job.input.strokes.len();
    job.input.strokes.retain_mut(|stroke| {
        let inside = (start..start + QUICK_FRAMES).contains(&stroke.frame);
        stroke.frame = stroke.frame.saturating_sub(start);
        inside
    });
    if job.input.strokes.len() < strokes {
        context
            .warn("strokes on frames that the quick look doesn't see are left out of it; the job has them");
    }
    Ok((job, Some(start)))
}
