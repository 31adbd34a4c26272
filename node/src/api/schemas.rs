//! The JSON Schemas of the protocol's messages.

use super::ApiError;
use super::request::Segment;
use crate::schema::{MESSAGES, Message, VERSION};
use crate::service::view::Refusal;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// What messages there are.
pub(super) async fn list() -> Json<Value> {
    let messages = MESSAGES.map(|message| json!({ "name": message.name, "where": message.place }));
    Json(json!({ "version": VERSION, "messages": messages }))
}

/// The schema of one.
pub(super) async fn one(Segment(name): Segment) -> Result<impl IntoResponse, ApiError> {
    let unknown = || {
        let refusal = Refusal::new("schema_unknown", format!("there is no message {name:?}"))
            .hint("GET /api/v1/schemas lists them");
        ApiError::new(StatusCode::NOT_FOUND, refusal)
    };
    let message = Message::named(&name).ok_or_else(unknown)?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], message.text()))
}
