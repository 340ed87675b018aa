//! From a request to a job.

use super::LARGEST_REQUEST;
use crate::Studio;
use crate::error::{ApiError, ApiResult};
use crate::library::{FileKind, LibraryFile};
use crate::queue::Order;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use pipeline::{Actor, Blend, Job, JobChanges, Preset, Until, Who};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use utoipa::ToSchema;

/// The model that needs no download.
const DEMO: &str = "anicrafter-demo";
/// The model with the real weights.
const REAL: &str = "anicrafter";
/// Fields of a form that may be files.
const FILES: [&str; 6] = ["input_reference", "avatar", "motion", "background", "video", "character"];

/// What a video is to be made of. Files are named by their id or by their path in the library.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateVideo {
    /// `anicrafter-demo` (the embedded small weights) or `anicrafter` (the real ones, which a job's `models` must name).
    #[schema(example = "anicrafter-demo")]
    pub model: Option<String>,
    /// What to show.
    pub prompt: Option<String>,
    /// Width and height in pixels, multiples of 16.
    #[schema(example = "320x192")]
    pub size: Option<String>,
    /// Length of the video in seconds, as a number or its text; as long as what goes in where it isn't given.
    #[schema(value_type = Option<String>, example = "2")]
    pub seconds: Option<Seconds>,
    /// A video: the raw one in which somebody is replaced. A picture: the character's.
    pub input_reference: Option<String>,
    /// The avatar.
    pub avatar: Option<String>,
    /// Its motion; found in the raw video where it isn't given.
    pub motion: Option<String>,
    /// The background without a person; found in the raw video where it isn't given.
    pub background: Option<String>,
    /// The raw video in which somebody is replaced.
    pub video: Option<String>,
    /// The character's picture.
    pub character: Option<String>,
    /// Which person of the raw video: who is at a place of a frame (`FRAME:X,Y`, as a file's `people` say it), or a number from 1 (who
    /// is largest for longest first), or `all`.
    #[schema(value_type = Option<String>, example = "0:0.5,0.4")]
    pub person: Option<Who>,
    /// What you call it.
    pub title: Option<String>,
    /// Take it in, but let it wait until it is resumed.
    pub paused: Option<bool>,
    /// All other settings, as in a job file. The server chooses where results go.
    pub job: Option<JobChanges>,
}

/// As a form: each file may also be sent along.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form; its fields are read one by one")]
pub struct CreateVideoForm {
    model: Option<String>,
    prompt: Option<String>,
    size: Option<String>,
    seconds: Option<String>,
    /// A file, or the id of one.
    #[schema(value_type = Option<String>, format = Binary)]
    input_reference: Option<Vec<u8>>,
    /// A file, or the id of one.
    #[schema(value_type = Option<String>, format = Binary)]
    avatar: Option<Vec<u8>>,
    /// A file, or the id of one.
    #[schema(value_type = Option<String>, format = Binary)]
    motion: Option<Vec<u8>>,
    /// A file, or the id of one.
    #[schema(value_type = Option<String>, format = Binary)]
    background: Option<Vec<u8>>,
    /// A file, or the id of one.
    #[schema(value_type = Option<String>, format = Binary)]
    video: Option<Vec<u8>>,
    /// A file, or the id of one.
    #[schema(value_type = Option<String>, format = Binary)]
    character: Option<Vec<u8>>,
    person: Option<String>,
    title: Option<String>,
    paused: Option<bool>,
    /// All other settings: JSON.
    job: Option<String>,
}

/// A length as clients write it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Seconds {
    /// `2.5`
    Number(f64),
    /// `"2.5"`
    Text(String),
}

impl Seconds {
    fn value(&self) -> ApiResult<f64> {
        let value = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
        };
        if value > 0.0 && value < 1e6 {
            Ok(value)
        } else {
            Err(ApiError::invalid("seconds", "a number of seconds above 0 is needed"))
        }
    }
}

/// The body of a request that is JSON, and says so: other sites' forms can't.
pub(crate) async fn json<T: serde::de::DeserializeOwned>(request: Request) -> ApiResult<T> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
        let what = "the request must be JSON, with the header Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", what));
    }
    let bytes = axum::body::to_bytes(request.into_body(), LARGEST_REQUEST).await;
    let bytes = bytes.map_err(|_| {
        ApiError::too_large(format!("the request broke off, or has more than {} MiB", LARGEST_REQUEST >> 20))
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", e.to_string()))
}

/// A form's field that isn't a file.
async fn short_text(name: &str, mut field: Field<'_>) -> ApiResult<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|e| broken(&e))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LARGEST_REQUEST {
            return Err(ApiError::too_large(format!("{name} has more than {} MiB", LARGEST_REQUEST >> 20)));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::invalid(name, "text in UTF-8 is needed"))
}

fn broken(error: &MultipartError) -> ApiError {
    ApiError::new(error.status(), "invalid_form", error.body_text())
}

impl CreateVideo {
    /// Reads a request, JSON or a form; files of a form go into the library.
    pub(crate) async fn read(studio: &Studio, request: Request) -> ApiResult<Self> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("multipart/form-data") {
            return json(request).await;
        }
        // The route takes forms of any size: what is written is bounded where it is written.
        let mut form = Multipart::from_request(request, &())
            .await
            .map_err(|e| ApiError::new(e.status(), "invalid_form", e.body_text()))?;
        let mut fields = Map::new();
        while let Some(field) = form.next_field().await.map_err(|e| broken(&e))? {
            let name = field.name().unwrap_or_default().to_owned();
            if fields.contains_key(&name) {
                return Err(ApiError::invalid(&name, "this field is there twice"));
            }
            let value = match field.file_name().map(str::to_owned) {
                Some(filename) if FILES.contains(&name.as_str()) => {
                    let received = studio.uploads.receive(&studio.library, &filename, field).await?;
                    let file = studio.library.adopt(&received.path, &received.filename)?;
                    Value::String(file.id)
                }
                Some(_) => return Err(ApiError::invalid(&name, "this field takes no file")),
                None => from_text(&name, short_text(&name, field).await?)?,
            };
            fields.insert(name, value);
        }
        serde_json::from_value(Value::Object(fields))
            .map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, "invalid_form", e.to_string()))
    }

    /// The job and what is kept of it in the queue. Files are looked for, nothing runs.
    pub(crate) fn into_job(self, studio: &Studio) -> ApiResult<(Job, Order)> {
        let seconds = self.seconds.as_ref().map(Seconds::value).transpose()?;
        let (title, paused) = (self.title.clone(), self.paused.unwrap_or(false));
        let mut job = self.changes(studio)?;
        resolve_all(studio, &mut job)?;
        let source = Source::of(studio, &job);
        if let (Some(seconds), Some(fps)) = (seconds, source.fps) {
            let frames = (seconds * fps).round().max(1.0) as usize * job.input.stride.max(1);
            job.input.end = Some(job.input.start.saturating_add(frames));
        } else if seconds.is_some() {
            return Err(ApiError::invalid(
                "seconds",
                "what goes in doesn't say how many frames it has a second",
            ));
        }
        let frames = source.frames_of(&job);
        let fps = source.fps.map(|fps| job.fps(fps));
        let length = frames.zip(fps).map(|(frames, fps)| frames as f64 / fps);
        let size = match (job.video.width, job.video.height) {
            (0, 0) => source.size.map_or_else(String::new, |(w, h)| format!("{}x{}", w / 2 * 2, h / 2 * 2)),
            (w, h) => format!("{w}x{h}"),
        };
        let title = title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| usual_title(&job));
        let order = Order {
            title: title.chars().take(200).collect(),
            model: if job.models.preset == Preset::Demo { DEMO } else { REAL }.to_owned(),
            size,
            seconds: length,
            frames,
            remixed_from: None,
            paused,
        };
        Ok((job, order))
    }

    /// The settings as changes of a preset's job.
    fn changes(self, studio: &Studio) -> ApiResult<Job> {
        let mut changes = self.job.unwrap_or_default();
        let output = &changes.output;
        for (name, given) in [
            ("job.output.video", &output.video),
            ("job.output.work", &output.work),
            ("job.output.shared", &output.shared),
            ("job.output.mesh", &output.mesh),
            ("job.output.mask", &output.mask),
        ] {
            if given.is_some() {
                return Err(ApiError::invalid(name, "the server chooses where results go: leave it out"));
            }
        }
        if let Some(model) = &self.model {
            changes.models.preset = Some(match model.as_str() {
                DEMO => Preset::Demo,
                REAL => Preset::AniCrafter,
                _ => {
                    return Err(ApiError::invalid(
                        "model",
                        format!("{model:?} is neither {DEMO} nor {REAL}"),
                    ));
                }
            });
        }
        if let Some(size) = &self.size {
            let sides =
                size.split_once(['x', '×']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            let Some((width, height)) = sides else {
                return Err(ApiError::invalid("size", format!("{size:?} isn't a size such as 320x192")));
            };
            (changes.video.width, changes.video.height) = (Some(width), Some(height));
        }
        let wants = |until: Until| changes.output.until == Some(until);
        if wants(Until::Composite) {
            // As for the command of that name: a video for people.
            changes.video.width.get_or_insert(0);
            changes.video.height.get_or_insert(0);
            changes.video.blend.get_or_insert(Blend::Over);
        }
        let whole = changes.output.until.is_none();
        let (panels, report) = (changes.output.panels, changes.output.report);
        let preview_every = changes.output.preview_every;
        let mut job = changes.into_job();
        job.output.panels = panels.unwrap_or(whole);
        job.output.report = report.unwrap_or(whole);
        job.output.preview_every = preview_every.unwrap_or_else(|| (job.sampling.steps / 10).max(1));
        if let Some(prompt) = self.prompt {
            job.prompt.positive = prompt;
        }
        let path = |given: Option<String>| given.map(PathBuf::from).unwrap_or_default();
        let (mut video, mut character) = (self.video, self.character);
        if let Some(reference) = self.input_reference {
            let (file, _) = studio
                .library
                .find(&reference)
                .map_err(|e| ApiError::invalid("input_reference", e.text()))?;
            match file.kind {
                FileKind::Video if video.is_none() => video = Some(reference),
                FileKind::Picture if character.is_none() => character = Some(reference),
                FileKind::Video | FileKind::Picture => {
                    return Err(ApiError::invalid(
                        "input_reference",
                        "it is given twice, under another name too",
                    ));
                }
                _ => return Err(ApiError::invalid("input_reference", "a video or a picture is needed")),
            }
        }
        if self.avatar.is_some() || self.motion.is_some() {
            if !job.input.actors.is_empty() {
                return Err(ApiError::invalid(
                    "avatar",
                    "avatars are given twice: here and in job.input.actors",
                ));
            }
            job.input.actors = vec![Actor::new(path(self.avatar), path(self.motion))];
        }
        if self.background.is_some() {
            job.input.background = path(self.background);
        }
        if let Some(character) = character {
            job.input.character = Some(character.into());
        }
        if video.is_some() || self.person.is_some() {
            let replace = job.replace.get_or_insert_default();
            if let Some(video) = video {
                replace.video = video.into();
            }
            if let Some(person) = self.person {
                replace.person = person;
            }
        }
        Ok(job)
    }
}

/// A field of a form that isn't a file.
fn from_text(name: &str, text: String) -> ApiResult<Value> {
    match name {
        "job" => serde_json::from_str(&text).map_err(|e| ApiError::invalid(name, e.to_string())),
        "person" => {
            let who: Result<Who, String> = text.trim().parse();
            who.map(|_| Value::String(text.trim().to_owned())).map_err(|why| ApiError::invalid(name, why))
        }
        "paused" => {
            let truth: Result<bool, _> = text.trim().parse();
            truth.map(Value::from).map_err(|_| ApiError::invalid(name, "true or false is needed"))
        }
        _ => Ok(Value::String(text)),
    }
}

/// Puts where files lie in the place of their ids and names.
fn resolve_all(studio: &Studio, job: &mut Job) -> ApiResult<()> {
    job.output.video = PathBuf::new();
    let mut wrong = None;
    job.for_each_path(|path| {
        if path.as_os_str().is_empty() || wrong.is_some() {
            return;
        }
        match resolve(studio, "job", path) {
            Ok(found) => *path = found,
            Err(error) => wrong = Some(error),
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// A file of the library, or of a folder of weights that the server was started with.
pub(crate) fn resolve(studio: &Studio, param: &str, path: &Path) -> ApiResult<PathBuf> {
    let Some(text) = path.to_str() else {
        return Err(ApiError::invalid(param, "a path that isn't text can't be taken"));
    };
    if path.is_absolute()
        && let Ok(real) = path.canonicalize()
    {
        let roots = studio.weights.iter().map(PathBuf::as_path).chain([studio.library.root()]);
        let inside = roots.into_iter().any(|root| real.starts_with(root));
        let own = real.components().any(|c| c.as_os_str().to_str().is_some_and(|name| name == ".anicrafter"));
        if inside && !own {
            return Ok(real);
        }
    }
    studio.library.resolve(param, text)
}

/// A job as its requests name files: by their paths in the library.
pub(crate) fn with_names(studio: &Studio, job: &Job) -> Job {
    let mut named = job.clone();
    named.for_each_path(|path| {
        // A job file's own folder may be on the way.
        let plain = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(name) = studio.library.name_of(&plain) {
            *path = PathBuf::from(name);
        }
    });
    named
}

/// The request that makes a job again, with changes: what both say, the changes win.
pub(crate) fn remixed(job: &Job, changes: Value) -> ApiResult<CreateVideo> {
    let internal = |e: serde_json::Error| ApiError::internal(e.to_string());
    let bad = |e: serde_json::Error| ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", e.to_string());
    let changes: CreateVideo = serde_json::from_value(changes).map_err(bad)?;
    let mut settings = serde_json::to_value(job).map_err(internal)?;
    if let Some(output) = settings.get_mut("output").and_then(Value::as_object_mut) {
        for chosen in ["video", "work", "mesh", "mask"] {
            output.remove(chosen);
        }
    }
    if let Some(own) = &changes.job {
        merge(&mut settings, serde_json::to_value(own).map_err(internal)?);
    }
    let mut merged = CreateVideo { job: None, ..changes };
    let actors = &mut settings["input"]["actors"];
    if merged.avatar.is_some() || merged.motion.is_some() {
        // The avatar stays with another motion, and the motion with another avatar.
        let first = actors.get(0).cloned().unwrap_or_default();
        let kept = |name: &str| first[name].as_str().filter(|path| !path.is_empty()).map(str::to_owned);
        merged.avatar = merged.avatar.or_else(|| kept("avatar"));
        merged.motion = merged.motion.or_else(|| kept("motion"));
        *actors = Value::Array(Vec::new());
    }
    merged.job = Some(serde_json::from_value(settings).map_err(internal)?);
    Ok(merged)
}

/// Puts values into others, object by object.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// What decides how long and large a video is.
#[derive(Debug, Default)]
struct Source {
    frames: Option<usize>,
    fps: Option<f64>,
    size: Option<(u32, u32)>,
}

impl Source {
    fn of(studio: &Studio, job: &Job) -> Self {
        let look = |path: &Path| -> Option<LibraryFile> {
            let name = studio.library.name_of(path)?;
            Some(studio.library.find(&name).ok()?.0)
        };
        let background = job.input.background.as_path();
        let main = match &job.replace {
            Some(replace) if background.as_os_str().is_empty() => look(&replace.video),
            _ => look(background),
        };
        let motion = job.input.actors.first().and_then(|actor| look(&actor.motion));
        let main = main.filter(|file| file.kind == FileKind::Video || file.kind == FileKind::Picture);
        let timed = main.as_ref().and_then(|file| file.facts.fps);
        let fps = timed.or_else(|| motion.as_ref().and_then(|file| file.facts.fps));
        // A motion of another rate is resampled to the background's.
        let moving = motion.as_ref().and_then(|file| Some((file.facts.seconds?, file.facts.frames?)));
        let moving =
            moving.map(|(seconds, frames)| timed.map_or(frames, |fps| (seconds * fps).round() as usize));
        let shown =
            main.as_ref().filter(|file| file.kind == FileKind::Video).and_then(|file| file.facts.frames);
        let frames = [moving, shown].into_iter().flatten().min();
        let size = main.as_ref().and_then(|file| file.facts.width.zip(file.facts.height));
        Self { frames, fps, size }
    }

    fn frames_of(&self, job: &Job) -> Option<usize> {
        let end = [self.frames, job.input.end].into_iter().flatten().min()?;
        let own = end.saturating_sub(job.input.start).div_ceil(job.input.stride.max(1));
        // Another rate repeats frames or leaves some out.
        let rate = self.fps.map_or(1.0, |fps| job.fps(fps) / (fps / job.input.stride.max(1) as f64));
        Some((own as f64 * rate).round() as usize)
    }
}

fn usual_title(job: &Job) -> String {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let who = job.input.actors.first().and_then(|actor| stem(&actor.avatar));
    let place = match &job.replace {
        Some(replace) => stem(&replace.video),
        None => stem(&job.input.background),
    };
    match (who, place) {
        (Some(who), Some(place)) => format!("{who} in {place}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "video".to_owned(),
    }
}

/// What is wrong with a job before it runs, as an answer.
pub(crate) fn check(studio: &Studio, job: &Job) -> ApiResult<()> {
    let mut placed = job.clone();
    placed.output.video = studio.library.result("new").join(result_name(job));
    placed.validate().map_err(|e| invalid(&e))?;
    let findings = studio.session.inspect(&placed).map_err(|e| invalid(&e))?;
    if findings.is_clean() {
        return Ok(());
    }
    let what = format!("the job can't run:\n{findings}")
        .replace(&format!("{}/", studio.library.root().display()), "");
    let about = findings.problems.first().map_or("job", |finding| finding.about.as_str());
    Err(ApiError::invalid(about, what))
}

fn invalid(error: &pipeline::Error) -> ApiError {
    let param = match error {
        pipeline::Error::Option { option, .. } => option,
        _ => "job",
    };
    ApiError::invalid(param, error.to_string())
}

/// What a job's result is called.
pub(crate) fn result_name(job: &Job) -> &'static str {
    if job.output.until == Some(Until::Motion) { "motion.json" } else { "video.mp4" }
}
