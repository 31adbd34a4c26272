//! Cross-origin requests: a page that came from one node may go on with any other of its cluster.
//!
//! An origin is let in when it is the web origin of a member that this node knows, dead ones
//! included, since their pages live on in browsers. Tokens travel in headers that only a page's own
//! script sets, so this keeps foreign pages from reading, not from being recognised.

use super::{Api, ApiError};
use crate::service::view::Refusal;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Answers preflights itself, and marks all other answers as readable by the cluster's pages.
pub(super) async fn answer(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let known = is_known(&api, &origin).await;
    let mut response = if is_preflight(&request) {
        if known { preflight() } else { refused(&origin) }
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if known {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    let headers: HeaderMap =
        allowed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn refused(origin: &HeaderValue) -> Response {
    let refusal =
        Refusal::new("origin_unknown", format!("{origin:?} is not the origin of a known member"))
            .hint("open the page from a node's advertised address");
    ApiError::new(StatusCode::FORBIDDEN, refusal).into_response()
}

async fn is_known(api: &Api, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let members = api.hosts.members().await;
    members.iter().any(|member| same_origin(origin, &member.links.http))
}

/// Equal, or two names of the loopback interface with one port.
fn same_origin(origin: &str, base: &str) -> bool {
    let base = base.trim_end_matches('/');
    let loopback = |url: &str| {
        let (host, port) = url.strip_prefix("http://")?.rsplit_once(':')?;
        let is = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        is.then(|| port.to_owned())
    };
    origin == base || loopback(origin).is_some_and(|port| loopback(base) == Some(port))
}

#[cfg(test)]
mod tests {
    use super::same_origin;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(same_origin("http://n1:8080", "http://n1:8080"));
        assert!(same_origin("http://n1:8080", "http://n1:8080/"));
        assert!(!same_origin("https://n1:8080", "http://n1:8080"));
        assert!(!same_origin("http://n1:80800", "http://n1:8080"));
        assert!(!same_origin("null", "http://n1:8080"));
    }

    #[test]
    fn loopback_has_several_names() {
        assert!(same_origin("http://localhost:81", "http://127.0.0.1:81"));
        assert!(!same_origin("http://localhost:82", "http://127.0.0.1:81"));
        assert!(!same_origin("http://localhost", "http://n1:8080"));
    }
}
