//! What can go wrong when a studio opens, and what a request is answered with.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::path::{Path, PathBuf};
use utoipa::ToSchema;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a studio opens or runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another studio works in this library.
    #[error("{}: another studio is open on this library: close it, or choose another folder", path.display())]
    Locked {
        /// The library.
        path: PathBuf,
    },
    /// The address can't be listened on.
    #[error("{address}: {source}: choose another port with --port, or 0 for a free one")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// The session can't be made.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What a refused or failed request is answered with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// In words: what was expected, what was found, what to do.
    pub message: String,
    /// `invalid_request_error`, or `server_error` where the request was right.
    pub r#type: &'static str,
    /// The field of the request that it is about, where there is one.
    pub param: Option<String>,
    /// For programs.
    pub code: &'static str,
}

/// A request that isn't done.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after_s: Option<u32>,
}

/// A handler's result.
pub(crate) type ApiResult<T> = std::result::Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after_s: None }
    }

    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message) }
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        // What was asked for may be anything: it is shown, but not at any length.
        let id: String = id.chars().take(64).collect();
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {id:?}"))
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(crate) fn no_room(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "no_room", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        let busy = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message);
        Self { retry_after_s: Some(2), ..busy }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The field of the request that it is about.
    pub(crate) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn text(&self) -> &str {
        &self.message
    }

    /// The system refused a file of the library: a full disk is said as such, and paths stay here.
    pub(crate) fn io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => {
                Self::no_room("the disk of the library is full: make room and try again")
            }
            NotFound => Self::new(StatusCode::NOT_FOUND, "file_missing", "the file is no longer there"),
            _ => Self::internal(format!("a file of the library can't be read or written: {error}")),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Io { source, .. } => Self::io(source),
            _ => Self::internal(error.to_string()),
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::internal("the work for this request broke off; the server's log says why")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let error = ErrorDetail { message: self.message, r#type: kind, param: self.param, code: self.code };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
