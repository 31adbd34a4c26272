//! Who asks: the token of a request, and the role that it gives.
//!
//! A token comes as `Authorization: Bearer` or, for browsers' event sources, which cannot set
//! headers, as `?token=`. Cookies are never read, so that no foreign page can act for a host.

use super::{Api, ApiError};
use crate::identity::Bearer;
use crate::service::view::{PinView, Refusal};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use crdt_state::EventId;
use crdt_state::engagement::script::Entry;
use std::convert::Infallible;
use std::sync::Arc;

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
    pub(super) async fn ops(&self, api: &Api) -> Result<Arc<Bearer>, ApiError> {
        let way_out = "make one with `starling token ops` from this cluster's key";
        let bearer = self.bearer(api, "`starling token ops` makes one", way_out).await?;
        if bearer.is_ops() {
            return Ok(bearer);
        }
        let refusal = unknown("this token does not give the operator's role here").hint(way_out);
        Err(unauthorized(refusal))
    }

    /// Lets the event's host and co-hosts through.
    pub(super) async fn host(&self, api: &Api, event: EventId) -> Result<Arc<Bearer>, ApiError> {
        let way_out = format!(
            "`starling token host --event {event}` makes one, for --token or STARLING_TOKEN"
        );
        let bearer = self.bearer(api, &way_out, &way_out).await?;
        if bearer.is_host(event) {
            return Ok(bearer);
        }
        if bearer.is_ops() {
            let message = format!("an operator does not drive event {event}, its host does");
            let refusal = Refusal::new("not_permitted", message).hint(way_out);
            return Err(ApiError::new(StatusCode::FORBIDDEN, refusal));
        }
        let message = format!("this token does not give the host's role for event {event}");
        Err(unauthorized(unknown(message).hint(way_out)))
    }

    /// Lets the event's host and operators through.
    pub(super) async fn host_or_ops(
        &self,
        api: &Api,
        event: EventId,
    ) -> Result<Arc<Bearer>, ApiError> {
        match &self.0 {
            Some(token) => match api.hosts.bearer(token).await {
                Ok(bearer) if bearer.is_ops() || bearer.is_host(event) => Ok(bearer),
                _ => self.host(api, event).await,
            },
            None => self.host(api, event).await,
        }
    }

    /// Lets those through who may see an event's live state: everybody, unless it is closed.
    pub(super) async fn watch(
        &self,
        api: &Api,
        of: &PinView,
    ) -> Result<Option<Arc<Bearer>>, ApiError> {
        if of.entry == Entry::Open {
            return Ok(None);
        }
        let way_out = "the platform's token, or the host's";
        let bearer = self.bearer(api, way_out, way_out).await?;
        if bearer.may_watch(of.event) {
            return Ok(Some(bearer));
        }
        let message = format!("this token is not good for the event {}", of.event);
        Err(ApiError::new(StatusCode::FORBIDDEN, Refusal::new("token_event", message)))
    }

    /// Lets everybody through who bears any token.
    pub(super) async fn anybody(&self, api: &Api) -> Result<Arc<Bearer>, ApiError> {
        self.bearer(api, "any token will do", "any token will do").await
    }

    /// The token of a player, not yet checked.
    pub(super) fn player(&self) -> Result<&str, ApiError> {
        self.token("a player gets one with the answer to a join")
    }

    async fn bearer(
        &self,
        api: &Api,
        missing: &str,
        way_out: &str,
    ) -> Result<Arc<Bearer>, ApiError> {
        let token = self.token(missing)?;
        api.hosts.bearer(token).await.map_err(|refusal| {
            let ApiError { status, refusal } = refusal.into();
            match refusal.hint {
                _ if cannot_tell(status) => ApiError::new(status, refusal),
                None => unauthorized(refusal.hint(way_out)),
                Some(_) => unauthorized(refusal),
            }
        })
    }

    fn token(&self, way_out: &str) -> Result<&str, ApiError> {
        let missing = || {
            let refusal = Refusal::new("token_missing", "this needs a token")
                .hint(format!("on the command line --token or STARLING_TOKEN, else `Authorization: Bearer`; {way_out}"));
            unauthorized(refusal)
        };
        self.0.as_deref().ok_or_else(missing)
    }
}

/// Whether a refusal says nothing against a token: another node, or the same one later, can tell.
fn cannot_tell(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND)
}

fn unknown(message: impl Into<String>) -> Refusal {
    Refusal::new("token_unknown", message)
}

fn unauthorized(refusal: Refusal) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, refusal)
}
