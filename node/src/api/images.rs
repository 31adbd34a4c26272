//! The route of questions' pictures.
//!
//! A picture never changes under its name, so that browsers and whatever stands before a node may keep it. It
//! is somebody else's bytes: nothing in it runs, whatever a browser takes it for.

use super::{Api, ApiError};
use crate::service::view::Refusal;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use crdt_state::EventId;

/// For a day, and without asking again.
const KEEP: &str = "public, max-age=86400, immutable";
const POLICY: &str = "default-src 'none'; sandbox";

/// A picture, to anybody who has been told its name.
pub(super) async fn image(
    State(api): State<Api>,
    Path((event, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let event: EventId = event.parse().map_err(|_| {
        let message = format!("{event:?} is no event's id");
        Refusal::new("image_unknown", message).hint("take the path from the live state")
    })?;
    let image = api.hosts.image(event, &name).await?;
    let headers = [
        (header::CONTENT_TYPE, image.kind),
        (header::CACHE_CONTROL, KEEP),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, image.bytes).into_response())
}
