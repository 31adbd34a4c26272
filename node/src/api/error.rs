//! The one shape of every refused request.

use crate::service::view::Refusal;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal on its way out: the status for machines, the rest for people and pages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {refusal}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// Code, message, hint, and the stage or the problems where there are any.
    pub refusal: Refusal,
}

/// Rides on a refused response for the counter of refusals.
#[derive(Debug, Clone)]
pub(super) struct RefusedCode(pub String);

impl ApiError {
    /// A refusal with its status.
    #[must_use]
    pub fn new(status: StatusCode, refusal: Refusal) -> Self {
        ApiError { status, refusal }
    }
}

/// The node's own refusals: their codes decide the status.
impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code.as_str() {
            "pin_unknown" | "event_unknown" | "player_unknown" | "question_unknown"
            | "round_unknown" | "node_unknown" | "raffle_unknown" | "image_unknown"
            | "file_unknown" => StatusCode::NOT_FOUND,
            "image_unavailable" => StatusCode::BAD_GATEWAY,
            "event_archived" => StatusCode::GONE,
            "show_invalid" | "identity_unconfigured" => StatusCode::UNPROCESSABLE_ENTITY,
            "key_unknown" => StatusCode::NOT_FOUND,
            "key_invalid" => StatusCode::UNPROCESSABLE_ENTITY,
            "keys_full" | "key_in_use" | "key_not_everywhere" | "revocations_full" => {
                StatusCode::CONFLICT
            }
            "token_unknown" | "token_revoked" => StatusCode::UNAUTHORIZED,
            "kicked" | "muted" => StatusCode::FORBIDDEN,
            "stage_moved" | "not_possible" | "ended" | "not_open" | "not_over" | "node_alive"
            | "window_open" | "reactions_off" | "limit_reached" | "name_taken" => {
                StatusCode::CONFLICT
            }
            "raffle_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "flooded" => StatusCode::TOO_MANY_REQUESTS,
            "overloaded" | "not_ready" | "identity_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        ApiError { status, refusal }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = RefusedCode(self.refusal.code.clone());
        let body = Json(json!({ "error": self.refusal }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(code);
        response
    }
}
