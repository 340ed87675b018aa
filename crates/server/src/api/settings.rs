//! Settings, plans, and who may ask.

use super::create::{self, CreateVideo, json};
use crate::error::{ApiResult, ErrorBody};
use crate::queue::{Progress, StageProgress, expected};
use crate::{Studio, blocking};
use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use pipeline::{Job, JobChanges, Preset};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that stands in a job's way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The setting, as in a job file, or the part of the weights.
    about: String,
    /// What is wrong, and what to do.
    message: String,
}

/// What a job will take.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Plan {
    /// Always `plan`.
    object: &'static str,
    /// May it run?
    ok: bool,
    /// Why not.
    problems: Vec<Problem>,
    /// What is legal and rarely wanted.
    advice: Vec<String>,
    /// Frames of the video.
    frames: Option<usize>,
    /// Windows that it is made in.
    windows: usize,
    /// Width and height in pixels.
    size: String,
    /// Length in seconds.
    seconds: Option<f64>,
    /// Weights in memory at once, in bytes.
    weight_bytes: Option<u64>,
    /// Everything else in memory at the peak of a step, in bytes.
    activation_bytes: Option<u64>,
    /// Weights that are read over the whole job, in bytes.
    read_bytes: Option<u64>,
    /// Arithmetic of all steps, in floating-point operations.
    flops: Option<f64>,
    /// What the work folder will take, in bytes.
    disk_bytes: u64,
    /// What is free there.
    disk_free_bytes: Option<u64>,
    /// The stages, with the time that they take on this machine where one like it has run here.
    stages: Vec<StageProgress>,
    /// All of it in seconds, where it is known.
    total_seconds: Option<f64>,
}

/// Says what a job will take and what stands in its way. Nothing runs.
#[utoipa::path(post, path = "/v1/plan", tag = "studio",
    request_body(content((CreateVideo = "application/json"))),
    responses((status = 200, body = Plan), (status = "default", body = ErrorBody)))]
pub(crate) async fn plan(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<Plan>> {
    let wanted: CreateVideo = json(request).await?;
    blocking(move || {
        let (job, order) = wanted.into_job(&studio)?;
        let mut problems = Vec::new();
        if let Err(error) = create::check(&studio, &job) {
            let about = error.param().unwrap_or("job").to_owned();
            problems.push(Problem { about, message: error.text().to_owned() });
        }
        let whole = job.output.until.is_none();
        let models = if whole { studio.session.plan(&job).ok() } else { None };
        let reckoned = if problems.is_empty() { expected(&studio.session, &job) } else { Vec::new() };
        let progress = Progress::new(&job, order.frames, &studio.queue.rates(), &reckoned);
        let known: Option<Vec<f64>> = progress.stages.iter().map(|stage| stage.expected_seconds).collect();
        let frames = order.frames;
        Ok(Plan {
            object: "plan",
            ok: problems.is_empty(),
            problems,
            advice: if whole { job.advice() } else { Vec::new() },
            frames,
            windows: if whole { crate::queue::windows(&job, frames.unwrap_or(job.video.window)) } else { 1 },
            size: order.size,
            seconds: order.seconds,
            weight_bytes: models.map(|plan| plan.weight_bytes),
            activation_bytes: models.map(|plan| plan.activation_bytes),
            read_bytes: models.map(|plan| plan.read_bytes),
            flops: models.map(|plan| plan.total_flops),
            disk_bytes: crate::queue::disk_bytes(&job, frames),
            disk_free_bytes: studio.library.free_bytes(),
            stages: progress.stages,
            total_seconds: known.map(|all| all.iter().sum()),
        })
    })
    .await
    .map(Json)
}

/// What each preset says of all settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settings {
    /// Always `settings`.
    object: &'static str,
    /// The embedded small weights.
    #[schema(value_type = JobChanges)]
    #[serde(rename = "anicrafter-demo")]
    demo: Job,
    /// The real weights.
    #[schema(value_type = JobChanges)]
    anicrafter: Job,
}

/// What each model's settings are where nothing is said. The document's schema `JobChanges` says what they mean.
#[utoipa::path(get, path = "/v1/settings", tag = "studio",
    responses((status = 200, body = Settings), (status = "default", body = ErrorBody)))]
pub(crate) async fn settings() -> Json<Settings> {
    let (demo, anicrafter) = (Job::new(Preset::Demo), Job::new(Preset::AniCrafter));
    Json(Settings { object: "settings", demo, anicrafter })
}

/// The studio itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudioInfo {
    /// Always `studio`.
    object: &'static str,
    /// Its version.
    version: &'static str,
    /// The library's folder on the server's machine.
    library: String,
    /// Bytes that are free there.
    free_bytes: Option<u64>,
    /// Folders of weights that jobs may name.
    weights: Vec<String>,
    /// Threads that work.
    threads: usize,
}

/// The studio itself: its library and version.
#[utoipa::path(get, path = "/v1/studio", tag = "studio",
    responses((status = 200, body = StudioInfo), (status = "default", body = ErrorBody)))]
pub(crate) async fn studio(Shared(studio): Shared<Studio>) -> Json<StudioInfo> {
    Json(StudioInfo {
        object: "studio",
        version: env!("CARGO_PKG_VERSION"),
        library: studio.library.root().display().to_string(),
        free_bytes: studio.library.free_bytes(),
        weights: studio.weights.iter().map(|folder| folder.display().to_string()).collect(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    })
}

/// The token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    /// As it was shown when the server first listened.
    token: String,
}

/// Whether a token was needed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// Always `session`.
    object: &'static str,
    /// Does this server ask for a token?
    token_needed: bool,
}

/// Shows the token, for a browser: the answer's cookie stands for it from then on. Programs send the token itself.
#[utoipa::path(post, path = "/v1/session", tag = "studio",
    request_body(content((LogIn = "application/json"))),
    responses((status = 200, body = Session), (status = "default", body = ErrorBody)))]
pub(crate) async fn log_in(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Response> {
    let LogIn { token } = json(request).await?;
    let cookie = studio.access.log_in(&token)?;
    let body = Json(Session { object: "session", token_needed: studio.access.needs_token() });
    Ok(match cookie {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], body).into_response(),
        None => body.into_response(),
    })
}
