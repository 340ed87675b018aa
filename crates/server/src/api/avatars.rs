//! Avatars from pictures.

use super::create::json;
use crate::avatars::{BakeReport, CreateAvatar, bake};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::library::LibraryFile;
use crate::{Studio, blocking};
use axum::Json;
use axum::extract::{Request, State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

/// An avatar that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Avatar {
    /// Always `avatar`.
    object: &'static str,
    /// The avatar's file in the library.
    file: LibraryFile,
    /// How it came out.
    report: BakeReport,
}

/// Makes an avatar from a picture of a person. Answers when it is there, after some seconds.
#[utoipa::path(post, path = "/v1/avatars", tag = "avatars",
    request_body(content((CreateAvatar = "application/json"))),
    responses((status = 200, body = Avatar), (status = "default", body = ErrorBody)))]
pub(crate) async fn create(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<Avatar>> {
    let wanted: CreateAvatar = json(request).await?;
    let permit = studio.looks.acquire().await.map_err(|e| ApiError::internal(e.to_string()))?;
    let made = {
        let studio = studio.clone();
        blocking(move || {
            let picture = studio.library.resolve("picture", &wanted.picture)?;
            let stem = picture.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = wanted.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or(stem);
            let folder = tempfile::tempdir_in(studio.library.own("uploads")).map_err(|e| ApiError::io(&e))?;
            let whole = folder.path().join("avatar.safetensors");
            let report = bake(&picture, &wanted, &whole)?;
            let file = studio.library.adopt(&whole, &format!("{name}.safetensors"))?;
            Ok(Avatar { object: "avatar", file, report })
        })
        .await
    };
    drop(permit);
    made.map(Json)
}
