//! Avatars from pictures.

use super::create::{json, resolve};
use super::videos::Deleted;
use crate::avatars::{BakeReport, CreateAvatar, bake, named};
use crate::creations::{AvatarPlan, Making};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::library::LibraryFile;
use crate::{Studio, blocking};
use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use serde::Serialize;
use std::path::PathBuf;
use utoipa::ToSchema;

/// An avatar that was baked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Avatar {
    /// Always `avatar`.
    object: &'static str,
    /// Always `completed`.
    status: &'static str,
    /// The avatar's file in the library.
    file: LibraryFile,
    /// How it came out.
    report: BakeReport,
}

/// An avatar that was baked, or one that LHM is making.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Made {
    /// It is there.
    Baked(Avatar),
    /// Ask again how far it is.
    Begun(Making),
}

/// Makes an avatar from a picture of a person.
///
/// Baked, the answer comes when it is there, after some seconds. With LHM it comes at once, and `GET /v1/avatars/{id}` says how far it
/// is; it waits until no job runs.
#[utoipa::path(post, path = "/v1/avatars", tag = "avatars",
    request_body(content((CreateAvatar = "application/json"))),
    responses((status = 200, body = Made), (status = "default", body = ErrorBody)))]
pub(crate) async fn create(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<Made>> {
    let wanted: CreateAvatar = json(request).await?;
    let permit = studio.looks.acquire().await.map_err(|e| ApiError::internal(e.to_string()))?;
    let made = {
        let studio = studio.clone();
        blocking(move || {
            if wanted.by_network()? {
                let weights = weights(&studio, &wanted)?;
                return studio.creations.begin(wanted, weights, &studio.clock).map(Made::Begun);
            }
            let name = named(&studio.library, &wanted)?;
            let folder = tempfile::tempdir_in(studio.library.own("uploads")).map_err(|e| ApiError::io(&e))?;
            let whole = folder.path().join("avatar.safetensors");
            let report = bake(&studio.library, &wanted, &whole)?;
            let file = studio.library.adopt(&whole, &format!("{name}.safetensors"))?;
            Ok(Made::Baked(Avatar { object: "avatar", status: "completed", file, report }))
        })
        .await
    };
    drop(permit);
    made.map(Json)
}

fn weights(studio: &Studio, wanted: &CreateAvatar) -> ApiResult<PathBuf> {
    let named = wanted.weights.as_deref().filter(|named| !named.is_empty());
    let named =
        named.ok_or_else(|| ApiError::invalid("weights", "LHM needs its weights: name their folder"))?;
    resolve(studio, "weights", std::path::Path::new(named))
}

/// Says what making an avatar with LHM takes: files, memory, time. Nothing is made.
#[utoipa::path(post, path = "/v1/avatars/plan", tag = "avatars",
    request_body(content((CreateAvatar = "application/json"))),
    responses((status = 200, body = AvatarPlan), (status = "default", body = ErrorBody)))]
pub(crate) async fn plan(Shared(studio): Shared<Studio>, request: Request) -> ApiResult<Json<AvatarPlan>> {
    let wanted: CreateAvatar = json(request).await?;
    if !wanted.by_network()? {
        return Err(ApiError::invalid("method", "baking takes some seconds: only lhm has a plan"));
    }
    let permit = studio.looks.acquire().await.map_err(|e| ApiError::internal(e.to_string()))?;
    let planned = {
        let studio = studio.clone();
        blocking(move || studio.creations.plan(&wanted, &weights(&studio, &wanted)?)).await
    };
    drop(permit);
    planned.map(Json)
}

/// The avatars that LHM is making, or has made since the server began.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MakingList {
    /// Always `list`.
    object: &'static str,
    /// The avatars, oldest first.
    data: Vec<Making>,
}

/// Lists the avatars that LHM is making, or has made since the server began.
#[utoipa::path(get, path = "/v1/avatars", tag = "avatars",
    responses((status = 200, body = MakingList), (status = "default", body = ErrorBody)))]
pub(crate) async fn list(Shared(studio): Shared<Studio>) -> Json<MakingList> {
    Json(MakingList { object: "list", data: studio.creations.list() })
}

/// How far an avatar is that LHM makes.
#[utoipa::path(get, path = "/v1/avatars/{id}", tag = "avatars", params(("id" = String, Path, description = "The avatar")),
    responses((status = 200, body = Making), (status = "default", body = ErrorBody)))]
pub(crate) async fn get(Shared(studio): Shared<Studio>, Path(id): Path<String>) -> ApiResult<Json<Making>> {
    studio.creations.get(&id).map(Json)
}

/// Stops an avatar that LHM makes. The file of one that is made stays in the library.
#[utoipa::path(delete, path = "/v1/avatars/{id}", tag = "avatars", params(("id" = String, Path, description = "The avatar")),
    responses((status = 200, body = Deleted), (status = "default", body = ErrorBody)))]
pub(crate) async fn delete(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Json<Deleted>> {
    studio.creations.remove(&id)?;
    Ok(Json(Deleted { id, object: "avatar.deleted", deleted: true }))
}
