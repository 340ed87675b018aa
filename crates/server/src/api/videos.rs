//! Jobs and their results.

use super::create::{self, CreateVideo, CreateVideoForm, result_name};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::library::{FileKind, Look};
use crate::queue::{Failure, Figures, Progress, Record, State};
use crate::{Studio, access, blocking};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipeline::JobChanges;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::{IntoParams, ToSchema};

/// A video and the job that makes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Video {
    /// Names it in requests.
    id: String,
    /// Always `video`.
    object: &'static str,
    /// What makes it.
    model: String,
    /// `queued`, `in_progress`, `completed` or `failed`. A paused job is `queued`, a cancelled one `failed`: see `state`.
    status: &'static str,
    /// How it stands, in more words: `queued`, `running`, `paused`, `completed`, `failed`, `cancelled`.
    state: &'static str,
    /// How much is done, in percent.
    progress: u8,
    /// When it was taken in, in seconds since 1970.
    created_at: u64,
    /// When it began last.
    started_at: Option<u64>,
    /// When it ended.
    completed_at: Option<u64>,
    /// Results don't expire.
    expires_at: Option<u64>,
    /// What it shows.
    prompt: String,
    /// Width and height in pixels.
    size: String,
    /// Length in seconds, as text.
    seconds: Option<String>,
    /// Number of frames.
    frames: Option<usize>,
    /// The video whose settings it took over.
    remixed_from_video_id: Option<String>,
    /// Why there is no video, or why it is paused.
    error: Option<Failure>,
    /// What it is called.
    title: String,
    /// Jobs before it, while it waits.
    queue_position: Option<usize>,
    /// How far it is.
    details: Progress,
    /// Step of the last rough picture at `…/preview`.
    preview_step: Option<usize>,
    /// What the run had to say.
    warnings: Vec<String>,
    /// Drift and quality.
    figures: Option<Figures>,
    /// What `…/content?variant=` has.
    variants: Vec<&'static str>,
}

/// Which part of a result a file of its folder is.
fn variant_of(file: &str) -> &'static str {
    let beside = |name| pipeline::beside(std::path::Path::new("video.mp4"), name);
    match file {
        _ if beside("panels").as_os_str() == file => "panels",
        _ if beside("condition").as_os_str() == file => "condition",
        _ if file.ends_with(".html") => "report",
        _ => "video",
    }
}

impl Video {
    pub(crate) fn of(studio: &Studio, record: &Record) -> Self {
        let (status, state) = match record.state {
            State::Queued => ("queued", "queued"),
            State::Paused => ("queued", "paused"),
            State::Running => ("in_progress", "running"),
            State::Completed => ("completed", "completed"),
            State::Failed => ("failed", "failed"),
            State::Cancelled => ("failed", "cancelled"),
        };
        let cancelled = record.state == State::Cancelled;
        let given_up =
            || Failure { code: "cancelled".to_owned(), message: "the job was cancelled".to_owned() };
        let mut variants: Vec<&'static str> = record.files.iter().map(|file| variant_of(file)).collect();
        if record.files.first().is_some_and(|file| file.ends_with(".mp4")) {
            variants.push("thumbnail");
        }
        Self {
            id: record.id.clone(),
            object: "video",
            model: record.model.clone(),
            status,
            state,
            progress: (record.progress.done * 100.0).floor().clamp(0.0, 100.0) as u8,
            created_at: record.created_at,
            started_at: record.started_at,
            completed_at: record.completed_at,
            expires_at: None,
            prompt: record.prompt.clone(),
            size: record.size.clone(),
            seconds: record.seconds.map(|seconds| format!("{}", (seconds * 100.0).round() / 100.0)),
            frames: record.frames,
            remixed_from_video_id: record.remixed_from.clone(),
            error: record.error.clone().or_else(|| cancelled.then(given_up)),
            title: record.title.clone(),
            queue_position: if record.state == State::Queued {
                studio.queue.place_of(&record.id)
            } else {
                None
            },
            details: record.progress.clone(),
            preview_step: record.preview.as_ref().map(|(step, _)| *step),
            warnings: record.warnings.clone(),
            figures: record.figures.clone(),
            variants,
        }
    }
}

/// Some of the videos.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VideoList {
    /// Always `list`.
    object: &'static str,
    /// The videos.
    data: Vec<Video>,
    /// The first one's id.
    first_id: Option<String>,
    /// The last one's id: the next request's `after`.
    last_id: Option<String>,
    /// Are there more?
    has_more: bool,
}

/// Something that was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// What it was called.
    pub(crate) id: String,
    /// `video.deleted`, `file.deleted`, `upload.deleted` or `avatar.deleted`.
    pub(crate) object: &'static str,
    /// Always true.
    pub(crate) deleted: bool,
}

/// Which of the videos.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many at most: 1 to 100, 20 where it isn't given.
    limit: Option<usize>,
    /// Those after this one.
    after: Option<String>,
    /// `desc` (the newest first) or `asc`.
    order: Option<String>,
}

/// Lists the videos, the newest first.
#[utoipa::path(get, path = "/v1/videos", tag = "videos", params(Page),
    responses((status = 200, body = VideoList), (status = "default", body = ErrorBody)))]
pub(crate) async fn list(
    Shared(studio): Shared<Studio>,
    Query(page): Query<Page>,
) -> ApiResult<Json<VideoList>> {
    let mut records = studio.queue.all();
    match page.order.as_deref() {
        None | Some("desc") => records.reverse(),
        Some("asc") => {}
        Some(_) => return Err(ApiError::invalid("order", "desc or asc is needed")),
    }
    if let Some(after) = &page.after {
        let at = records.iter().position(|record| record.id == *after);
        let at = at.ok_or_else(|| ApiError::invalid("after", "there is no such video"))?;
        records.drain(..=at);
    }
    let limit = page.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::invalid("limit", "1 to 100 is needed"));
    }
    let has_more = records.len() > limit;
    records.truncate(limit);
    let data: Vec<Video> = records.iter().map(|record| Video::of(&studio, record)).collect();
    let id = |video: Option<&Video>| video.map(|video| video.id.clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    Ok(Json(VideoList { object: "list", data, first_id, last_id, has_more }))
}

/// Makes a video: takes the job in and answers at once.
///
/// The job is on disk when this answers. What can be known to be wrong with it is refused here.
#[utoipa::path(post, path = "/v1/videos", tag = "videos",
    request_body(content((CreateVideo = "application/json"), (CreateVideoForm = "multipart/form-data"))),
    responses((status = 200, body = Video), (status = "default", body = ErrorBody)))]
pub(crate) async fn create(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<Video>> {
    let wanted = CreateVideo::read(&studio, request).await?;
    blocking(move || queue(&studio, wanted, None)).await.map(Json)
}

fn queue(studio: &Studio, wanted: CreateVideo, remixed_from: Option<String>) -> ApiResult<Video> {
    let (job, mut order) = wanted.into_job(studio)?;
    create::check(studio, &job)?;
    order.remixed_from = remixed_from;
    let name = result_name(&job);
    let record = studio.queue.add(order, job, |job, folder| job.output.video = folder.join(name))?;
    Ok(Video::of(studio, &record))
}

/// A video and how far its job is.
#[utoipa::path(get, path = "/v1/videos/{id}", tag = "videos", params(("id" = String, Path, description = "The video")),
    responses((status = 200, body = Video), (status = "default", body = ErrorBody)))]
pub(crate) async fn get(Shared(studio): Shared<Studio>, Path(id): Path<String>) -> ApiResult<Json<Video>> {
    Ok(Json(Video::of(&studio, &studio.queue.get(&id)?)))
}

/// Removes a video with its job and all that it made; one that runs is stopped first.
#[utoipa::path(delete, path = "/v1/videos/{id}", tag = "videos", params(("id" = String, Path, description = "The video")),
    responses((status = 200, body = Deleted), (status = "default", body = ErrorBody)))]
pub(crate) async fn delete(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<Deleted>> {
    let gone = id.clone();
    blocking(move || studio.queue.delete(&gone)).await?;
    Ok(Json(Deleted { id, object: "video.deleted", deleted: true }))
}

/// Which part of a result.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Variant {
    /// `video` (where it isn't given), `thumbnail`, `condition`, `panels` or `report`: those that the video's `variants` name.
    variant: Option<String>,
    /// Of a thumbnail that can't be made, a sign in its place (an SVG) in place of an error.
    placeholder: Option<bool>,
}

/// What is shown where there is no picture.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Placeholder {
    /// Where there is no picture, a sign in its place (an SVG) in place of an error.
    placeholder: Option<bool>,
}

impl Placeholder {
    /// The picture, or the sign where that was asked for.
    pub(crate) fn or(&self, picture: ApiResult<Response>) -> ApiResult<Response> {
        match picture {
            Err(_) if self.placeholder == Some(true) => {
                let headers =
                    [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "private, no-cache")];
                Ok((headers, NO_PICTURE).into_response())
            }
            other => other,
        }
    }
}

/// A frame with nothing in it, in greys that are seen on light and dark.
const NO_PICTURE: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 200"><g fill="none" stroke="#8a92a0" stroke-width="6"><rect x="110" y="60" width="100" height="80" rx="8"/><path d="M110 140 210 60"/></g></svg>"##;

/// The result: the video, or what was made beside it.
#[utoipa::path(get, path = "/v1/videos/{id}/content", tag = "videos",
    params(("id" = String, Path, description = "The video"), Variant),
    responses((status = 200, description = "The file; parts of it are given where `Range` asks for them", content_type = "video/mp4"),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn content(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(query): Query<Variant>,
    request: Request,
) -> ApiResult<Response> {
    let record = studio.queue.get(&id)?;
    if record.state != State::Completed {
        return Err(ApiError::conflict(
            "not_ready",
            format!("the video isn't there: the job is {}", record.state.in_words()),
        ));
    }
    let variant = query.variant.unwrap_or_else(|| "video".to_owned());
    let wanted = if variant == "thumbnail" { "video" } else { variant.as_str() };
    let file = record.files.iter().find(|file| variant_of(file) == wanted);
    let file = file.ok_or_else(|| ApiError::not_found("variant", &variant))?.clone();
    let path = studio.library.result(&id).join(&file);
    if variant == "thumbnail" {
        let headers = request.headers().clone();
        let made = picture(&studio, path, FileKind::Video, Look::Thumbnail, &headers).await;
        return Placeholder { placeholder: query.placeholder }.or(made);
    }
    let name = format!("{}-{file}", crate::names::harmless(&record.title));
    let mut response = serve_file(&path, content_type(&file), &name, request).await?;
    if variant == "report" {
        let policy = HeaderValue::from_static(access::REPORT_POLICY);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("mp4") => "video/mp4",
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

/// A file, or the parts of it that a request asks for.
pub(crate) async fn serve_file(
    path: &std::path::Path,
    kind: &str,
    name: &str,
    request: Request,
) -> ApiResult<Response> {
    let there = tokio::fs::metadata(path).await;
    if let Err(error) = there {
        return Err(ApiError::io(&error));
    }
    let mime = kind.parse().map_err(|_| ApiError::internal("a content type that isn't one"))?;
    let served = ServeFile::new_with_mime(path, &mime).oneshot(request).await;
    let mut response = served.unwrap_or_else(|never| match never {}).map(Body::new);
    // A page or script that somebody put into the library isn't opened as one of this server.
    let shown = kind.starts_with("video/") || kind.starts_with("image/") || kind.starts_with("text/html");
    let how = if shown { "inline" } else { "attachment" };
    let encoded: String = name
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b".-_".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    if let Ok(value) = HeaderValue::from_str(&format!("{how}; filename*=UTF-8''{encoded}")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// A picture that is made of a file, or the one that was made before.
pub(crate) async fn picture(
    studio: &Studio,
    path: PathBuf,
    kind: FileKind,
    look: Look,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let version = studio.library.version(&path);
    let version = version
        .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "file_missing", "the file is no longer there"))?;
    let tag = crate::names::digest(&[version.as_bytes(), format!("{look:?}").as_bytes()]);
    let quoted = format!("\"{tag}\"");
    let answer = [(header::ETAG, quoted.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == quoted.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let kept = studio.library.own("cache").join(format!("{tag}.jpg"));
    let bytes = match tokio::fs::read(&kept).await {
        Ok(bytes) => bytes,
        Err(_) => {
            // One at a time, so that a page full of new files doesn't take the machine from the job that runs.
            let permit = studio.looks.acquire().await.map_err(|e| ApiError::internal(e.to_string()))?;
            let made = blocking(move || {
                let bytes = look.of(&path, kind)?;
                // Without room for it, it is made again the next time.
                let _unkept = pipeline::work::write_atomically(&kept, &bytes);
                Ok(bytes)
            });
            let made = made.await;
            drop(permit);
            made?
        }
    };
    Ok((answer, [(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

/// How a job file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Format {
    /// `json` (where it isn't given; files are named as requests name them) or `toml` (as the command line takes it from the
    /// result's folder).
    format: Option<String>,
}

/// The job file of a video: all of its settings.
#[utoipa::path(get, path = "/v1/videos/{id}/job", tag = "videos",
    params(("id" = String, Path, description = "The video"), Format),
    responses((status = 200, body = JobChanges), (status = "default", body = ErrorBody)))]
pub(crate) async fn job(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(format): Query<Format>,
    request: Request,
) -> ApiResult<Response> {
    match format.format.as_deref() {
        None | Some("json") => {
            let job = blocking(move || {
                let job = studio.queue.job(&id)?;
                Ok(create::with_names(&studio, &job))
            });
            Ok(Json(job.await?).into_response())
        }
        Some("toml") => {
            studio.queue.get(&id)?;
            let path = crate::queue::job_path(&studio.library.result(&id));
            serve_file(&path, "application/toml", "job.toml", request).await
        }
        Some(_) => Err(ApiError::invalid("format", "json or toml is needed")),
    }
}

/// The last rough picture of a job that denoises.
#[utoipa::path(get, path = "/v1/videos/{id}/preview", tag = "videos",
    params(("id" = String, Path, description = "The video"), Placeholder),
    responses((status = 200, description = "A PNG", content_type = "image/png"), (status = "default", body = ErrorBody)))]
pub(crate) async fn preview(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(query): Query<Placeholder>,
    request: Request,
) -> ApiResult<Response> {
    let record = studio.queue.get(&id)?;
    let found = match record.preview {
        Some((_, path)) => serve_file(&path, "image/png", "preview.png", request).await,
        None => Err(ApiError::not_found("preview of video", &id)),
    };
    query.or(found)
}

/// Makes a video with the settings of another one; what the request says is different.
#[utoipa::path(post, path = "/v1/videos/{id}/remix", tag = "videos",
    params(("id" = String, Path, description = "The video whose settings are taken over")),
    request_body(content((CreateVideo = "application/json"))),
    responses((status = 200, body = Video), (status = "default", body = ErrorBody)))]
pub(crate) async fn remix(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    request: Request,
) -> ApiResult<Json<Video>> {
    let changes: serde_json::Value = create::json(request).await?;
    blocking(move || {
        let job = create::with_names(&studio, &studio.queue.job(&id)?);
        let merged = create::remixed(&job, changes)?;
        queue(&studio, merged, Some(id))
    })
    .await
    .map(Json)
}

macro_rules! action {
    ($(#[doc = $about:literal])+ $name:ident, $path:literal) => {
        $(#[doc = $about])+
        #[utoipa::path(post, path = $path, tag = "videos", params(("id" = String, Path, description = "The video")),
            responses((status = 200, body = Video), (status = "default", body = ErrorBody)))]
        pub(crate) async fn $name(Shared(studio): Shared<Studio>, Path(id): Path<String>) -> ApiResult<Json<Video>> {
            let record = {
                let (studio, id) = (studio.clone(), id.clone());
                blocking(move || studio.queue.$name(&id)).await?
            };
            Ok(Json(Video::of(&studio, &record)))
        }
    };
}

action! {
    /// Stops a job, to go on later from where it was.
    pause, "/v1/videos/{id}/pause"
}
action! {
    /// Lets a paused job wait for its turn again, or tries one that failed or was cancelled once more.
    resume, "/v1/videos/{id}/resume"
}
action! {
    /// Gives a job up. What it made so far is kept until it is deleted.
    cancel, "/v1/videos/{id}/cancel"
}
action! {
    /// Puts a waiting job before all others.
    first, "/v1/videos/{id}/first"
}
