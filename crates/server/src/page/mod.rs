//! The page: plain HTML, CSS and ES modules, embedded. Nothing is loaded from elsewhere, nothing is built.

use crate::error::{ApiError, ApiResult};
use axum::extract::{Path, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The embedded files: names, kinds, contents.
const FILES: &[(&str, &str, &str)] = &[
    ("style.css", CSS, include_str!("style.css")),
    ("app.js", SCRIPT, include_str!("app.js")),
    ("api.js", SCRIPT, include_str!("api.js")),
    ("avatars.js", SCRIPT, include_str!("avatars.js")),
    ("brush.js", SCRIPT, include_str!("brush.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
    ("library.js", SCRIPT, include_str!("library.js")),
    ("make.js", SCRIPT, include_str!("make.js")),
    ("player.js", SCRIPT, include_str!("player.js")),
    ("settings.js", SCRIPT, include_str!("settings.js")),
    ("videos.js", SCRIPT, include_str!("videos.js")),
    ("examples.js", SCRIPT, include_str!("examples.js")),
    ("icon.svg", SVG, include_str!("icon.svg")),
    ("example.sh", TEXT, include_str!("examples/example.sh")),
    ("example.py", TEXT, include_str!("examples/example.py")),
    ("example.mjs", TEXT, include_str!("examples/example.mjs")),
];

fn embedded(kind: &'static str, content: &'static str, request: &Request) -> Response {
    // The same for as long as the program is: asked for again, it needn't be sent again.
    let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), crate::names::digest(&[content.as_bytes()]));
    let headers = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    let known = request.headers().get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, kind)], content).into_response()
}

/// The studio.
pub(crate) async fn index(request: Request) -> Response {
    embedded(HTML, include_str!("index.html"), &request)
}

/// The API's examples.
pub(crate) async fn examples(request: Request) -> Response {
    embedded(HTML, include_str!("examples.html"), &request)
}

/// A file of the page's.
pub(crate) async fn file(Path(name): Path<String>, request: Request) -> ApiResult<Response> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, content) = found.ok_or_else(|| ApiError::not_found("file of the page", &name))?;
    Ok(embedded(kind, content, &request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_elsewhere_and_names_only_what_is_there() {
        let pages = [
            ("index.html", HTML, include_str!("index.html")),
            ("examples.html", HTML, include_str!("examples.html")),
        ];
        for (name, kind, text) in pages.iter().chain(FILES) {
            if *kind == TEXT {
                continue;
            }
            for wrong in ["https://", "//cdn", "innerHTML", "eval(", "document.write", "onclick=", "style=\""]
            {
                assert!(!text.contains(wrong), "{name} has {wrong}");
            }
            for link in text.split("/page/").skip(1) {
                let end = link
                    .find(|c: char| !(c.is_ascii_alphanumeric() || ".-_".contains(c)))
                    .unwrap_or(link.len());
                let named = &link[..end];
                assert!(FILES.iter().any(|(known, ..)| known == &named), "{name} names /page/{named}");
            }
            for module in text.split("from \"./").skip(1) {
                let named = module.split('"').next().unwrap();
                assert!(FILES.iter().any(|(known, ..)| known == &named), "{name} takes {named}");
            }
        }
    }
}
