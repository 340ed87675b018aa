//! What a job will compose.

use super::create::{CreateVideo, json};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::previews::{Look, PreviewInfo};
use crate::{Studio, blocking};
use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use pipeline::Until;

/// Opens the composite of a job, to look at its frames: rendered by the code that makes the result.
///
/// Answers at once; a raw video is looked through first, its first frames only. Ask again until the status is `ready`.
#[utoipa::path(post, path = "/v1/previews", tag = "previews",
    request_body(content((CreateVideo = "application/json"))),
    responses((status = 200, body = PreviewInfo), (status = "default", body = ErrorBody)))]
pub(crate) async fn create(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<PreviewInfo>> {
    let wanted: CreateVideo = json(request).await?;
    blocking(move || {
        let (mut job, _) = wanted.into_job(&studio)?;
        if !matches!(job.output.until, None | Some(Until::Composite)) {
            return Err(ApiError::invalid(
                "job.output.until",
                "such a job composes nothing that could be looked at",
            ));
        }
        let versions: Vec<String> = {
            let mut versions = Vec::new();
            job.for_each_path(|path| versions.extend(studio.library.version(path)));
            versions
        };
        let mut placed = job.clone();
        placed.output.until = Some(Until::Composite);
        placed.output.video = studio.library.own("cache").join("preview.mp4");
        placed.validate().map_err(|e| ApiError::invalid("job", e.to_string()))?;
        studio.previews.open(job, &versions)
    })
    .await
    .map(Json)
}

/// A preview and whether it can be looked at.
#[utoipa::path(get, path = "/v1/previews/{id}", tag = "previews", params(("id" = String, Path, description = "The preview")),
    responses((status = 200, body = PreviewInfo), (status = "default", body = ErrorBody)))]
pub(crate) async fn get(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<PreviewInfo>> {
    studio.previews.get(&id).map(Json)
}

/// A frame of a preview, counted from 0: a JPEG.
#[utoipa::path(get, path = "/v1/previews/{id}/frames/{frame}", tag = "previews",
    params(("id" = String, Path, description = "The preview"), ("frame" = usize, Path, description = "The frame, from 0")),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg"), (status = "default", body = ErrorBody)))]
pub(crate) async fn frame(
    Shared(studio): Shared<Studio>,
    Path((id, frame)): Path<(String, usize)>,
) -> ApiResult<Response> {
    picture(&studio, &id, Look::Composite(frame), "image/jpeg").await
}

/// The frame of the raw video or background under a frame of a preview, as it came in: a JPEG. The answer's header `Source-Frame` says
/// which frame of the file it is: what strokes name.
#[utoipa::path(get, path = "/v1/previews/{id}/frames/{frame}/source", tag = "previews",
    params(("id" = String, Path, description = "The preview"), ("frame" = usize, Path, description = "The frame, from 0")),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg"), (status = "default", body = ErrorBody)))]
pub(crate) async fn source(
    Shared(studio): Shared<Studio>,
    Path((id, frame)): Path<(String, usize)>,
) -> ApiResult<Response> {
    picture(&studio, &id, Look::Source(frame), "image/jpeg").await
}

/// What is known of that frame's pixels, to be laid over it: the person who is replaced bluish, what stays in front orange. A PNG.
#[utoipa::path(get, path = "/v1/previews/{id}/frames/{frame}/masks", tag = "previews",
    params(("id" = String, Path, description = "The preview"), ("frame" = usize, Path, description = "The frame, from 0")),
    responses((status = 200, description = "A PNG", content_type = "image/png"), (status = "default", body = ErrorBody)))]
pub(crate) async fn masks(
    Shared(studio): Shared<Studio>,
    Path((id, frame)): Path<(String, usize)>,
) -> ApiResult<Response> {
    picture(&studio, &id, Look::Masks(frame), "image/png").await
}

async fn picture(studio: &Studio, id: &str, look: Look, kind: &'static str) -> ApiResult<Response> {
    let seen = studio.previews.look(id, look).await?;
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CACHE_CONTROL, "private, max-age=600".to_owned()),
        (HeaderName::from_static("source-frame"), seen.source_frame.to_string()),
    ];
    Ok((headers, seen.bytes.to_vec()).into_response())
}
