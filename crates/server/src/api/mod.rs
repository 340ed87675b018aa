//! The routes, and the document that describes them: both come from the same list.
#![allow(unused_qualifications, reason = "in what the macro for paths writes")]

mod avatars;
mod create;
mod events;
mod files;
mod previews;
mod settings;
mod videos;

use crate::access::guard;
use crate::drain::to_the_end;
use crate::error::ApiError;
use crate::{Studio, page};
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router, middleware};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// The largest request that isn't an upload.
const LARGEST_REQUEST: usize = 2 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AniCrafter studio",
        description = "Videos of characters in scenes: a library of files, a queue of jobs, previews. \
                       Servers that listen beyond their own machine ask for a token."
    ),
    tags(
        (name = "videos", description = "Jobs and their results, in the style that clients of video services know"),
        (name = "files", description = "The library: one folder of the user's"),
        (name = "avatars", description = "Avatars from pictures"),
        (name = "previews", description = "What a job will compose, before it is queued"),
        (name = "studio", description = "Settings, plans, sessions")
    ),
    security((), ("token" = []))
)]
struct Document;

fn documented() -> OpenApiRouter<Studio> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(videos::list, videos::create).layer(DefaultBodyLimit::disable()))
        .routes(routes!(videos::get, videos::delete))
        .routes(routes!(videos::content))
        .routes(routes!(videos::job))
        .routes(routes!(videos::preview))
        .routes(routes!(videos::remix))
        .routes(routes!(videos::pause))
        .routes(routes!(videos::resume))
        .routes(routes!(videos::cancel))
        .routes(routes!(videos::first))
        .routes(routes!(events::of_video))
        .routes(routes!(events::all))
        .routes(routes!(files::list, files::create).layer(DefaultBodyLimit::disable()))
        .routes(routes!(files::get, files::delete))
        .routes(routes!(files::content))
        .routes(routes!(files::thumbnail))
        .routes(routes!(files::frame))
        .routes(routes!(files::strip))
        .routes(routes!(files::turntable))
        .routes(routes!(files::people))
        .routes(routes!(files::begin_upload))
        .routes(routes!(files::get_upload, files::append_upload, files::delete_upload))
        .routes(routes!(files::demo))
        .routes(routes!(avatars::list, avatars::create))
        .routes(routes!(avatars::plan))
        .routes(routes!(avatars::get, avatars::delete))
        .routes(routes!(previews::create))
        .routes(routes!(previews::get))
        .routes(routes!(previews::frame))
        .routes(routes!(previews::source))
        .routes(routes!(previews::masks))
        .routes(routes!(settings::plan))
        .routes(routes!(settings::settings))
        .routes(routes!(settings::studio))
        .routes(routes!(settings::log_in))
}

/// The OpenAPI document, made from the types and routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = documented().into_openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
    document
}

/// Everything that the server answers, guarded.
pub(crate) fn router(studio: &Studio) -> Router {
    let (api, _) = documented().split_for_parts();
    api.route("/openapi.json", get(|| async { Json(openapi()) }))
        .route("/", get(page::index))
        .route("/api", get(page::examples))
        .route("/page/{name}", get(page::file))
        .fallback(|| async {
            ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
        })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong_method",
                "this address doesn't take that method",
            )
        })
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .layer(middleware::from_fn_with_state(studio.access.clone(), guard))
        .layer(middleware::from_fn(to_the_end))
        .with_state(studio.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_stands_by_itself() {
        let document = serde_json::to_value(openapi()).unwrap();
        let text = document.to_string();
        let components = document["components"]["schemas"].as_object().unwrap();
        // Every type that is named is there.
        for named in text.split("#/components/schemas/").skip(1) {
            let name = named.split('"').next().unwrap();
            assert!(components.contains_key(name), "{name} is named and isn't there");
        }
        assert!(
            components["JobChanges"]["properties"]["sampling"].is_object(),
            "{}",
            components["JobChanges"]
        );
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path} says nothing of itself");
                assert!(operation["responses"].as_object().is_some_and(|r| r.len() > 1), "{method} {path}");
            }
        }
    }
}
