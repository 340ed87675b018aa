//! Who may ask: hosts, origins, tokens, and what browsers are told to keep to.
//!
//! A server that listens on this machine alone asks for no token, and is guarded against pages of other sites in the same
//! browser: a request must name a host that is this server's (a name that was pointed here later isn't), and must not come from
//! another site. A server that listens elsewhere asks for a token besides. Only its hash is stored.

use crate::Result;
use crate::error::{ApiError, ApiResult};
use crate::names::{hex, random};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The cookie of a browser that has shown the token.
const COOKIE: &str = "anicrafter_session";
/// Browsers that are known at once.
const SESSIONS: usize = 64;

/// What pages may load and do: nothing from elsewhere, no script or style within the page, no frames.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                           media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                           frame-ancestors 'none'";
/// A report is a page of its own with scripts in it: it runs apart, and reaches nothing of this server.
pub(crate) const REPORT_POLICY: &str = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; \
                                        style-src 'unsafe-inline'; img-src data:; media-src data:; frame-ancestors 'none'";

/// Who may ask.
#[derive(Debug)]
pub(crate) struct Access {
    /// Names by which this server may be asked for, beside addresses.
    hosts: Vec<String>,
    /// SHA-256 of the token, where one is asked for.
    token: Option<[u8; 32]>,
    /// SHA-256 of the cookies that were given out, the oldest first.
    sessions: Mutex<VecDeque<[u8; 32]>>,
}

impl Access {
    /// For a server at `address`. Where it is more than this machine's own, a token is needed: the one whose hash is in `file`,
    /// or a new one, which is given back in words this once.
    pub(crate) fn new(
        address: SocketAddr,
        further_hosts: &[String],
        file: &Path,
        renew: bool,
    ) -> Result<(Self, Option<String>)> {
        let mut hosts = vec!["localhost".to_owned()];
        hosts.extend(further_hosts.iter().map(|host| host.trim().to_ascii_lowercase()));
        let (mut token, mut made) = (None, None);
        if !address.ip().is_loopback() {
            let stored = if renew { None } else { read_hash(file) };
            token = match stored {
                Some(hash) => Some(hash),
                None => {
                    let words = format!("ac-{}", hex(&random::<32>()?));
                    let hash = sha256(words.as_bytes());
                    pipeline::work::write_atomically(file, format!("sha256:{}\n", hex(&hash)).as_bytes())?;
                    made = Some(words);
                    Some(hash)
                }
            };
        }
        Ok((Self { hosts, token, sessions: Mutex::default() }, made))
    }

    /// Is a token asked for?
    pub(crate) fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// A browser's session for who knows the token: the cookie's value.
    pub(crate) fn log_in(&self, token: &str) -> ApiResult<Option<HeaderValue>> {
        let Some(wanted) = &self.token else { return Ok(None) };
        if sha256(token.trim().as_bytes()) != *wanted {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "wrong_token",
                "that isn't this server's token",
            ));
        }
        let value = hex(&random::<32>()?);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push_back(sha256(value.as_bytes()));
        while sessions.len() > SESSIONS {
            sessions.pop_front();
        }
        let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000");
        HeaderValue::from_str(&cookie).map(Some).map_err(|e| ApiError::internal(e.to_string()))
    }

    fn check(&self, request: &Request) -> ApiResult<()> {
        let headers = request.headers();
        let refuse = |code, what: &str| Err(ApiError::new(StatusCode::FORBIDDEN, code, what));
        let host = text(headers, &header::HOST)
            .or_else(|| request.uri().authority().map(|authority| authority.as_str()))
            .unwrap_or_default();
        if !self.is_own(host) {
            return refuse(
                "wrong_host",
                "this server isn't known by that name: open it by its address, or start it with --host NAME",
            );
        }
        if headers.get_all(header::HOST).iter().count() > 1 {
            return refuse("wrong_host", "a request names one host");
        }
        if let Some(origin) = text(headers, &header::ORIGIN) {
            let from = origin.split_once("://");
            let own = from.is_some_and(|(scheme, rest)| {
                matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host)
            });
            if !own {
                return refuse("wrong_origin", "requests from pages of other sites aren't taken");
            }
        }
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            // Following a link to the page is all that another site may do.
            let mode = headers.get("sec-fetch-mode").and_then(|mode| mode.to_str().ok());
            let follows =
                request.method() == Method::GET && mode == Some("navigate") && is_page(request.uri().path());
            if !follows {
                return refuse("wrong_origin", "requests from pages of other sites aren't taken");
            }
        }
        if self.token.is_some() && !is_open(request) && !self.knows(headers) {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "token_needed",
                "this server asks for its token: send the header Authorization: Bearer TOKEN",
            ));
        }
        Ok(())
    }

    /// Is it this server that a request names? An address is: only a name can be pointed here by somebody else.
    fn is_own(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok() || self.hosts.iter().any(|own| own == &name)
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let bearer = text(headers, &header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        // Hashes are compared, not tokens: how far they agree says nothing of the token.
        if bearer.is_some_and(|token| self.token == Some(sha256(token.as_bytes()))) {
            return true;
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut own = cookies.flat_map(|all| all.split(';')).filter_map(|one| {
            let (name, value) = one.trim().split_once('=')?;
            (name == COOKIE).then(|| sha256(value.as_bytes()))
        });
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        own.any(|hash| sessions.contains(&hash))
    }
}

/// What is answered without a token: the page's own files and the way to log in. Nothing of the library is in them.
fn is_open(request: &Request) -> bool {
    let path = request.uri().path();
    is_page(path) || path.starts_with("/page/") || path == "/v1/session"
}

fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/api")
}

/// A host's name; the port may be that of a tunnel.
fn without_port(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let colon = host.rfind(':').filter(|&at| !host[at..].contains(']'));
    match colon {
        Some(at) if host[at + 1..].bytes().all(|b| b.is_ascii_digit()) => host[..at].to_owned(),
        _ => host,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // What isn't text is no host, no origin and no token.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn read_hash(file: &Path) -> Option<[u8; 32]> {
    let text = std::fs::read_to_string(file).ok()?;
    let digits = text.trim().strip_prefix("sha256:")?;
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Lets a request through, or not, and tells the browser what to keep to.
pub(crate) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let mut response = match access.check(&request) {
        Ok(()) => in_own_words(next.run(request).await).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", PAGE_POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
    ] {
        // A report has a policy of its own, pictures may be kept.
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    response
}

/// What the framework refuses (a path or query that can't be read) is said as all else is.
async fn in_own_words(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !response.status().is_client_error() || kind.is_none_or(|kind| !kind.starts_with("text/plain")) {
        return response;
    }
    let status = response.status();
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    ApiError::new(status, "invalid_request", String::from_utf8_lossy(&text)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn access(address: &str, hosts: &[&str]) -> (Access, Option<String>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let (access, made) =
            Access::new(address.parse().unwrap(), &hosts, &dir.path().join("token"), false).unwrap();
        (access, made, dir)
    }

    fn refused(access: &Access, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        access.check(&request.body(Body::empty()).unwrap()).err().map(|error| error.code())
    }

    #[test]
    fn only_its_own_names_reach_a_server() {
        let (access, made, _dir) = access("127.0.0.1:8585", &["studio.home"]);
        assert!(made.is_none() && !access.needs_token());
        let get = |host: &str| refused(&access, "GET", "/v1/videos", &[("host", host)]);
        for good in [
            "127.0.0.1:8585",
            "localhost:8585",
            "LOCALHOST:8585",
            "[::1]:8585",
            "localhost:9000",
            "studio.home",
            "studio.home:443",
        ] {
            assert_eq!(get(good), None, "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:8585",
            "localhost.evil.example:8585",
            "127.0.0.1.evil.example",
            "",
            "localhost:8585@evil.example",
        ] {
            assert_eq!(get(bad), Some("wrong_host"), "{bad}");
        }
    }

    #[test]
    fn pages_of_other_sites_do_nothing() {
        let (access, _, _dir) = access("127.0.0.1:8585", &[]);
        let host = ("host", "127.0.0.1:8585");
        let from = |method: &str, path: &str, more: &[(&str, &str)]| {
            refused(&access, method, path, &[&[host], more].concat())
        };
        assert_eq!(from("POST", "/v1/videos", &[("origin", "http://127.0.0.1:8585")]), None);
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9999",
            "http://127.0.0.1:8585.evil.example",
            "file://",
            "x",
        ] {
            for method in ["POST", "GET", "DELETE", "PATCH"] {
                assert_eq!(
                    from(method, "/v1/videos", &[("origin", origin)]),
                    Some("wrong_origin"),
                    "{origin}"
                );
            }
        }
        let crossing = ("sec-fetch-site", "cross-site");
        assert_eq!(
            from("GET", "/v1/files/x/thumbnail", &[crossing, ("sec-fetch-mode", "no-cors")]),
            Some("wrong_origin")
        );
        assert_eq!(
            from("GET", "/v1/files", &[crossing, ("sec-fetch-mode", "navigate")]),
            Some("wrong_origin")
        );
        assert_eq!(from("POST", "/", &[crossing, ("sec-fetch-mode", "navigate")]), Some("wrong_origin"));
        assert_eq!(from("GET", "/", &[crossing, ("sec-fetch-mode", "navigate")]), None);
        assert_eq!(from("GET", "/v1/files", &[("sec-fetch-site", "same-origin")]), None);
        assert_eq!(from("GET", "/v1/files", &[("sec-fetch-site", "same-site")]), Some("wrong_origin"));
    }

    #[test]
    fn elsewhere_a_token_is_needed_and_only_its_hash_is_kept() {
        let (access, made, dir) = access("0.0.0.0:8585", &[]);
        let token = made.unwrap();
        let stored = std::fs::read_to_string(dir.path().join("token")).unwrap();
        assert!(stored.starts_with("sha256:") && !stored.contains(&token[3..]));
        let host = ("host", "192.168.1.5:8585");
        let with = |more: &[(&str, &str)]| refused(&access, "GET", "/v1/videos", &[&[host], more].concat());
        assert_eq!(with(&[]), Some("token_needed"));
        assert_eq!(with(&[("authorization", "Bearer wrong")]), Some("token_needed"));
        assert_eq!(with(&[("authorization", &format!("Basic {token}"))]), Some("token_needed"));
        assert_eq!(with(&[("authorization", &format!("Bearer {token}"))]), None);
        assert_eq!(with(&[("cookie", "anicrafter_session=guess")]), Some("token_needed"));
        assert!(access.log_in("wrong").is_err());
        let cookie = access.log_in(&token).unwrap().unwrap();
        let cookie = cookie.to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(&token)
        );
        assert_eq!(with(&[("cookie", cookie.split(';').next().unwrap())]), None);
        assert_eq!(refused(&access, "GET", "/", &[host]), None);
        assert_eq!(refused(&access, "GET", "/openapi.json", &[host]), Some("token_needed"));
        // The same token next time, a new one when that is asked for.
        let file = dir.path().join("token");
        let address = "0.0.0.0:8585".parse().unwrap();
        let (again, made) = Access::new(address, &[], &file, false).unwrap();
        assert!(made.is_none() && again.log_in(&token).is_ok());
        let (renewed, made) = Access::new(address, &[], &file, true).unwrap();
        assert!(made.is_some() && renewed.log_in(&token).is_err());
    }
}
