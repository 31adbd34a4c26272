//! Reading requests: path segments and bodies, with our own word for what is wrong with them.

use super::ApiError;
use crate::service::view::Refusal;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use crdt_state::EventId;

/// The one parameter of a path.
pub(super) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Segment(text)),
            Err(error) => Err(malformed(error.body_text())),
        }
    }
}

/// The one parameter of a path, as an event's id.
pub(super) struct Event(pub EventId);

impl<S: Send + Sync> FromRequestParts<S> for Event {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Segment(text) = Segment::from_request_parts(parts, state).await?;
        let unknown = |error: crdt_state::id::ParseIdError| {
            ApiError::from(Refusal::new("event_unknown", error.to_string()))
        };
        text.parse().map(Event).map_err(unknown)
    }
}

/// A whole body, within the limit of its route.
pub(super) struct Payload(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Payload(bytes)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let refusal = Refusal::new("body_too_large", "the body is longer than its limit")
                    .hint("a show file has at most 64 MiB, any other body 64 KiB");
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, refusal))
            }
            Err(error) => Err(malformed(error.body_text())),
        }
    }
}

impl Payload {
    /// The body as UTF-8.
    pub(super) fn text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.0)
            .map_err(|error| malformed(format!("the body is not UTF-8: {error}")))
    }

    /// The body as JSON of the wanted shape.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.0)
            .map_err(|error| malformed(format!("the body is not the JSON that goes here: {error}")))
    }
}

/// What a query asks for, or how it is asked.
pub(super) fn asked<T>(
    query: Result<Query<T>, QueryRejection>,
    way_out: &str,
) -> Result<T, ApiError> {
    let malformed = |error: QueryRejection| {
        ApiError::from(Refusal::new("query_malformed", error.body_text()).hint(way_out))
    };
    query.map(|Query(asked)| asked).map_err(malformed)
}

fn malformed(message: String) -> ApiError {
    ApiError::from(Refusal::new("payload_malformed", message))
}

/// Answers what no route takes.
pub(super) async fn unknown_route(uri: Uri) -> ApiError {
    let refusal = Refusal::new("route_unknown", format!("there is nothing at {}", uri.path()));
    ApiError::new(StatusCode::NOT_FOUND, refusal)
}

/// Answers a route that does not take this method.
pub(super) async fn unknown_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not take {method}", uri.path());
    let refusal =
        Refusal::new("method_unknown", message).hint("the header `Allow` names the ones it takes");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, refusal)
}
