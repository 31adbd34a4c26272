//! Who asks: the token of a request, and the role that it gives.
//!
//! A token comes as `Authorization: Bearer` or, for browsers' event sources, which cannot set
//! headers, as `?token=`. Cookies are never read, so that no foreign page can act for a host.

use super::{Api, ApiError};
use crate::service::view::Refusal;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use crdt_state::EventId;
use std::convert::Infallible;

/// The token of a request, if it has one; not yet checked.
pub(super) struct Caller(Option<String>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let query = || {
            let pairs = parts.uri.query()?.split('&');
            pairs.filter_map(|pair| pair.strip_prefix("token=")).next().map(str::to_owned)
        };
        Ok(Caller(bearer.or_else(query)))
    }
}

impl Caller {
    /// Lets an operator through.
    pub(super) fn ops(&self, api: &Api) -> Result<(), ApiError> {
        let token = self.token("`starling token ops` makes one")?;
        if api.hosts.is_ops(token) {
            return Ok(());
        }
        let refusal = unknown("this token does not give the operator's role here")
            .hint("make one with `starling token ops` from this cluster's key");
        Err(unauthorized(refusal))
    }

    /// Lets the event's host through.
    pub(super) fn host(&self, api: &Api, event: EventId) -> Result<(), ApiError> {
        let way_out = format!("`starling token host --event {event}` makes one");
        let token = self.token(&way_out)?;
        if api.hosts.is_host(token, event) {
            return Ok(());
        }
        if api.hosts.is_ops(token) {
            let message = format!("an operator does not drive event {event}, its host does");
            let refusal = Refusal::new("not_permitted", message).hint(way_out);
            return Err(ApiError::new(StatusCode::FORBIDDEN, refusal));
        }
        let message = format!("this token does not give the host's role for event {event}");
        Err(unauthorized(unknown(message).hint(way_out)))
    }

    /// Lets the event's host and operators through.
    pub(super) fn host_or_ops(&self, api: &Api, event: EventId) -> Result<(), ApiError> {
        match &self.0 {
            Some(token) if api.hosts.is_ops(token) => Ok(()),
            _ => self.host(api, event),
        }
    }

    fn token(&self, way_out: &str) -> Result<&str, ApiError> {
        let missing = || {
            let refusal = Refusal::new("token_missing", "this needs a token")
                .hint(format!("send it as `Authorization: Bearer`; {way_out}"));
            unauthorized(refusal)
        };
        self.0.as_deref().ok_or_else(missing)
    }
}

fn unknown(message: impl Into<String>) -> Refusal {
    Refusal::new("token_unknown", message)
}

fn unauthorized(refusal: Refusal) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, refusal)
}
