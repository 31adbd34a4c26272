//! What stands around every request: the time limit and the count of refusals.

use super::error::RefusedCode;
use super::{Api, ApiError};
use crate::service::view::Refusal;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Gives up on a request whose answer does not begin in time: a body that trickles in, a node that
/// is stuck. A stream that has begun runs for as long as it likes.
pub(super) async fn time_out(State(api): State<Api>, request: Request, next: Next) -> Response {
    let limit = api.settings.timeout;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let refusal = Refusal::new("timed_out", format!("no answer within {limit:?}"))
                .hint("try again, or another node");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, refusal).into_response()
        }
    }
}

/// Counts each refusal by its code.
pub(super) async fn count_refusals(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(RefusedCode(code)) = response.extensions().get() {
        api.settings.metrics.count_refusal(code);
    }
    response
}
