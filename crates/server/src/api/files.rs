//! The library's files.

use super::create::json;
use super::videos::{Deleted, Placeholder, picture, serve_file};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::library::{FileKind, LibraryFile, Look, Upload};
use crate::{Studio, blocking};
use axum::Json;
use axum::extract::{FromRequest, Multipart, Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use media::VideoReader;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The files of the library.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileList {
    /// Always `list`.
    object: &'static str,
    /// The files, by path.
    data: Vec<LibraryFile>,
    /// How many haven't been looked into yet: ask again for them.
    checking: usize,
}

/// Which of the files.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Kind {
    /// `avatar`, `picture`, `video`, `motion`, `weights`, `job` or `unknown`.
    kind: Option<String>,
}

/// Lists the library.
#[utoipa::path(get, path = "/v1/files", tag = "files", params(Kind),
    responses((status = 200, body = FileList), (status = "default", body = ErrorBody)))]
pub(crate) async fn list(
    Shared(studio): Shared<Studio>,
    Query(kind): Query<Kind>,
) -> ApiResult<Json<FileList>> {
    let library = studio.library.clone();
    let mut data = blocking(move || library.list()).await?;
    let checking = data.iter().filter(|file| file.checking).count();
    if let Some(kind) = kind.kind {
        let wanted = serde_json::Value::String(kind);
        data.retain(|file| serde_json::to_value(file.kind).is_ok_and(|kind| kind == wanted));
    }
    Ok(Json(FileList { object: "list", data, checking }))
}

/// A file to take in.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form; its fields are read one by one")]
pub(crate) struct CreateFile {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What clients of other services say it is for; without effect here.
    purpose: Option<String>,
}

/// Takes a file in, at once. Large ones are better sent as an upload, which goes on where it broke off.
#[utoipa::path(post, path = "/v1/files", tag = "files",
    request_body(content((CreateFile = "multipart/form-data"))),
    responses((status = 200, body = LibraryFile), (status = "default", body = ErrorBody)))]
pub(crate) async fn create(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<LibraryFile>> {
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|e| ApiError::new(e.status(), "invalid_form", e.body_text()))?;
    let broken = |e: axum::extract::multipart::MultipartError| {
        ApiError::new(e.status(), "invalid_form", e.body_text())
    };
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("file") => {
                let filename = field.file_name().unwrap_or("file").to_owned();
                let received = studio.uploads.receive(&studio.library, &filename, field).await?;
                let adopted = blocking(move || studio.library.adopt(&received.path, &received.filename));
                return adopted.await.map(Json);
            }
            Some("purpose") => {}
            name => {
                return Err(ApiError::invalid(
                    name.unwrap_or_default(),
                    "there is no such field: file is needed",
                ));
            }
        }
    }
    Err(ApiError::invalid("file", "a file is needed"))
}

/// A file of the library.
#[utoipa::path(get, path = "/v1/files/{id}", tag = "files", params(("id" = String, Path, description = "The file")),
    responses((status = 200, body = LibraryFile), (status = "default", body = ErrorBody)))]
pub(crate) async fn get(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<LibraryFile>> {
    blocking(move || studio.library.get(&id)).await.map(Json)
}

/// Removes a file from the library's folder.
#[utoipa::path(delete, path = "/v1/files/{id}", tag = "files", params(("id" = String, Path, description = "The file")),
    responses((status = 200, body = Deleted), (status = "default", body = ErrorBody)))]
pub(crate) async fn delete(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<Deleted>> {
    let gone = id.clone();
    blocking(move || studio.library.remove(&gone)).await?;
    Ok(Json(Deleted { id, object: "file.deleted", deleted: true }))
}

async fn find(studio: &Studio, id: &str) -> ApiResult<(LibraryFile, std::path::PathBuf)> {
    let (library, id) = (studio.library.clone(), id.to_owned());
    blocking(move || {
        let file = library.get(&id)?;
        let path = library.root().join(&file.filename);
        Ok((file, path))
    })
    .await
}

/// The file itself.
#[utoipa::path(get, path = "/v1/files/{id}/content", tag = "files", params(("id" = String, Path, description = "The file")),
    responses((status = 200, description = "The file; parts of it are given where `Range` asks for them", content_type = "application/octet-stream"),
        (status = "default", body = ErrorBody)))]
pub(crate) async fn content(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    request: Request,
) -> ApiResult<Response> {
    let (file, path) = find(&studio, &id).await?;
    if path.is_dir() {
        let what = "a folder can't be had in one piece";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "is_a_folder", what));
    }
    if file.problem.as_deref().is_some_and(|problem| problem.contains("a link that leads out")) {
        return Err(ApiError::not_found("file", &id));
    }
    // What a browser shows is what the file's own first bytes say.
    let kind = match sniff::Kind::of_file(&path).map_err(|e| ApiError::io(&e))? {
        sniff::Kind::Png => "image/png",
        sniff::Kind::Jpeg => "image/jpeg",
        sniff::Kind::Gif => "image/gif",
        sniff::Kind::Webp => "image/webp",
        sniff::Kind::Bmp => "image/bmp",
        sniff::Kind::Mp4 => "video/mp4",
        sniff::Kind::Matroska => "video/webm",
        _ => "application/octet-stream",
    };
    let name = file.filename.rsplit('/').next().unwrap_or("file").to_owned();
    serve_file(&path, kind, &name, request).await
}

/// A small picture of the file: a JPEG.
#[utoipa::path(get, path = "/v1/files/{id}/thumbnail", tag = "files", params(("id" = String, Path, description = "The file"), Placeholder),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg"), (status = "default", body = ErrorBody)))]
pub(crate) async fn thumbnail(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(query): Query<Placeholder>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let made = match find(&studio, &id).await {
        Ok((file, path)) => picture(&studio, path, file.kind, Look::Thumbnail, &headers).await,
        Err(error) => Err(error),
    };
    query.or(made)
}

/// How many pictures side by side, and how large.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Tiles {
    /// How many: 1 to 60; 12 where it isn't given.
    count: Option<u32>,
    /// Height of each in pixels: 16 to 512; 96 where it isn't given.
    height: Option<u32>,
}

impl Tiles {
    fn checked(&self) -> ApiResult<(u32, u32)> {
        let (count, height) = (self.count.unwrap_or(12), self.height.unwrap_or(96));
        if !(1..=60).contains(&count) {
            return Err(ApiError::invalid("count", "1 to 60 is needed"));
        }
        if !(16..=512).contains(&height) {
            return Err(ApiError::invalid("height", "16 to 512 is needed"));
        }
        Ok((count, height))
    }
}

/// Frames of a video side by side: a JPEG.
#[utoipa::path(get, path = "/v1/files/{id}/strip", tag = "files", params(("id" = String, Path, description = "The video"), Tiles),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg"), (status = "default", body = ErrorBody)))]
pub(crate) async fn strip(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(tiles): Query<Tiles>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (count, height) = tiles.checked()?;
    let (file, path) = find(&studio, &id).await?;
    picture(&studio, path, file.kind, Look::Strip { count, height }, &headers).await
}

/// An avatar from all sides, the pictures side by side: a JPEG.
#[utoipa::path(get, path = "/v1/files/{id}/turntable", tag = "files", params(("id" = String, Path, description = "The avatar"), Tiles),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg"), (status = "default", body = ErrorBody)))]
pub(crate) async fn turntable(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(tiles): Query<Tiles>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (count, size) = tiles.checked()?;
    let (file, path) = find(&studio, &id).await?;
    picture(&studio, path, file.kind, Look::Turntable { count, size }, &headers).await
}

/// A frame of a video, counted from 0: a JPEG.
#[utoipa::path(get, path = "/v1/files/{id}/frames/{frame}", tag = "files",
    params(("id" = String, Path, description = "The video"), ("frame" = usize, Path, description = "The frame, from 0")),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg"), (status = "default", body = ErrorBody)))]
pub(crate) async fn frame(
    Shared(studio): Shared<Studio>,
    Path((id, index)): Path<(String, usize)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (file, path) = find(&studio, &id).await?;
    picture(&studio, path, file.kind, Look::Frame { index }, &headers).await
}

/// Somebody in a frame.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenPerson {
    /// From 1, the largest in this frame first.
    person: usize,
    /// Where they are, as a job's `person` takes it.
    at: String,
    /// The middle of the body in pixels.
    centre: [f32; 2],
    /// Side of the square that holds the body, in pixels.
    size: f32,
    /// How sure the finder is, 0 to 1.
    score: f32,
}

/// Who is in view where tracking begins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct People {
    /// Always `people`.
    object: &'static str,
    /// The frame: the first one with somebody in it.
    frame: usize,
    /// Its width in pixels.
    width: u32,
    /// Its height in pixels.
    height: u32,
    /// The people, the largest first.
    data: Vec<SeenPerson>,
}

/// Frames that are searched for the first person.
const SEARCHED: usize = 150;

/// Where a video is looked at.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// The frame to begin with, from 0.
    from: Option<usize>,
}

/// Everybody in a picture, or in the first frame of a video that shows anybody.
#[utoipa::path(get, path = "/v1/files/{id}/people", tag = "files", params(("id" = String, Path, description = "The picture or video"), From),
    responses((status = 200, body = People), (status = "default", body = ErrorBody)))]
pub(crate) async fn people(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    Query(query): Query<From>,
) -> ApiResult<Json<People>> {
    let (file, path) = find(&studio, &id).await?;
    if !file.usable || !matches!(file.kind, FileKind::Video | FileKind::Picture) {
        return Err(ApiError::invalid("id", "a picture or video is needed"));
    }
    let permit = studio.looks.acquire().await.map_err(|e| ApiError::internal(e.to_string()))?;
    let found = blocking(move || {
        let refused = |e: &dyn std::fmt::Display| {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", e.to_string())
        };
        let mut all = People { object: "people", frame: 0, width: 0, height: 0, data: Vec::new() };
        let from = query.from.unwrap_or(0);
        let reader = VideoReader::open(&path).map_err(|e| refused(&e))?;
        for (frame, picture) in reader.enumerate().skip(from).take(SEARCHED) {
            let picture = picture.map_err(|e| refused(&e))?;
            (all.width, all.height) = picture.dimensions();
            let found = pipeline::find_people(&picture).map_err(|e| refused(&e))?;
            if !found.is_empty() {
                all.frame = frame;
                all.data = found
                    .iter()
                    .enumerate()
                    .map(|(i, one)| SeenPerson {
                        person: i + 1,
                        at: {
                            let [x, y] = one.region.centre;
                            let part = |at: f32, all: u32| (at / all.max(1) as f32).clamp(0.0, 1.0);
                            format!("{frame}:{:.4},{:.4}", part(x, all.width), part(y, all.height))
                        },
                        centre: one.region.centre,
                        size: one.region.size,
                        score: one.score,
                    })
                    .collect();
                break;
            }
        }
        Ok(all)
    });
    let found = found.await;
    drop(permit);
    found.map(Json)
}

/// A file that will come in pieces.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginUpload {
    /// What the file is to be called.
    filename: String,
    /// Its size.
    bytes: u64,
}

/// Begins an upload. Its pieces are sent one after the other, each from where the last one ended.
#[utoipa::path(post, path = "/v1/uploads", tag = "files",
    request_body(content((BeginUpload = "application/json"))),
    responses((status = 200, body = Upload), (status = "default", body = ErrorBody)))]
pub(crate) async fn begin_upload(
    Shared(studio): Shared<Studio>,
    request: Request,
) -> ApiResult<Json<Upload>> {
    let BeginUpload { filename, bytes } = json(request).await?;
    blocking(move || studio.uploads.begin(&studio.library, &filename, bytes, &studio.clock)).await.map(Json)
}

/// How far an upload is: where its next piece begins.
#[utoipa::path(get, path = "/v1/uploads/{id}", tag = "files", params(("id" = String, Path, description = "The upload")),
    responses((status = 200, body = Upload), (status = "default", body = ErrorBody)))]
pub(crate) async fn get_upload(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<Upload>> {
    blocking(move || studio.uploads.get(&id)).await.map(Json)
}

/// Takes the next piece of an upload in. With the last one, the answer has the file. What came in stays if the piece breaks off.
#[utoipa::path(patch, path = "/v1/uploads/{id}", tag = "files",
    params(("id" = String, Path, description = "The upload"),
        ("Upload-Offset" = u64, Header, description = "Where the piece begins: as many bytes as are here")),
    request_body(content_type = "application/octet-stream", description = "The bytes", content = Vec<u8>),
    responses((status = 200, body = Upload), (status = "default", body = ErrorBody)))]
pub(crate) async fn append_upload(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> ApiResult<Json<Upload>> {
    let offset = headers.get("upload-offset").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let offset = offset
        .ok_or_else(|| ApiError::invalid("Upload-Offset", "this header must say where the piece begins"))?;
    let piece = request.into_body().into_data_stream();
    studio.uploads.append(&studio.library, &id, offset, piece).await.map(Json)
}

/// Gives an upload up.
#[utoipa::path(delete, path = "/v1/uploads/{id}", tag = "files", params(("id" = String, Path, description = "The upload")),
    responses((status = 200, body = Deleted), (status = "default", body = ErrorBody)))]
pub(crate) async fn delete_upload(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<Deleted>> {
    let gone = id.clone();
    blocking(move || studio.uploads.remove(&gone)).await?;
    Ok(Json(Deleted { id, object: "upload.deleted", deleted: true }))
}

/// Brings the demo's scene into the library: an avatar, a motion, a background and a picture.
#[utoipa::path(post, path = "/v1/demo", tag = "files",
    responses((status = 200, body = FileList), (status = "default", body = ErrorBody)))]
pub(crate) async fn demo(Shared(studio): Shared<Studio>) -> ApiResult<Json<FileList>> {
    blocking(move || {
        let folder = studio.library.root().join("demo");
        // The light belongs to the command's demo; the library has no card for it.
        let files: Vec<_> =
            anicrafter_demo::FILES.iter().copied().filter(|(name, _)| *name != "light.json").collect();
        pipeline::work::unpack(&files, &folder).map_err(|error| match error {
            pipeline::Error::Io { source, .. } => ApiError::io(&source),
            other => ApiError::internal(other.to_string()),
        })?;
        let names = files.iter().map(|(name, _)| format!("demo/{name}"));
        let data: ApiResult<Vec<LibraryFile>> = names.map(|name| Ok(studio.library.find(&name)?.0)).collect();
        Ok(FileList { object: "list", data: data?, checking: 0 })
    })
    .await
    .map(Json)
}
