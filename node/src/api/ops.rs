//! The routes about the node itself.

use super::auth::Caller;
use super::metrics::{CONTENT_TYPE, Sample};
use super::{Api, ApiError};
use crate::service::view::{MemberView, Refusal, StatusView};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// The node in one page.
pub(super) async fn status(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<StatusView>, ApiError> {
    caller.ops(&api)?;
    Ok(Json(api.hosts.status().await))
}

/// The members in this node's view.
pub(super) async fn members(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<MemberView>>, ApiError> {
    caller.ops(&api)?;
    Ok(Json(api.hosts.members().await))
}

/// Whether the process answers at all; depends on nothing else.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// Whether this node should be sent new players.
pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    if api.hosts.ready() {
        return Ok(Json(json!({ "ready": true })));
    }
    let refusal = Refusal::new("not_ready", "this node takes no new players now")
        .hint("it is starting, has found no peer yet, or is on its way out: use another node");
    Err(refusal.into())
}

/// Numbers for a scraper.
pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let mut samples = describe_status(&api.hosts.status().await);
    samples.extend(api.hosts.members().await.iter().filter_map(describe_link));
    let taken = super::STREAMS_MAX - api.streams.available_permits();
    let help = "Event streams that hosts and screens have open";
    samples.push(Sample::new("starling_http_streams", help, taken as f64));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], api.settings.metrics.encode(samples))
}

fn describe_status(status: &StatusView) -> Vec<Sample> {
    let alive = status.members_alive as f64;
    let dead = status.members_known.saturating_sub(status.members_alive) as f64;
    let members = "Members in this node's view, itself included";
    vec![
        Sample::new("starling_build", "Always 1; its label says what runs", 1.0)
            .label("version", &status.version),
        Sample::new("starling_uptime_seconds", "Since the start", status.uptime_s as f64),
        Sample::new("starling_members", members, alive).label("state", "alive"),
        Sample::new("starling_members", members, dead).label("state", "dead"),
        Sample::new(
            "starling_healthy",
            "1 unless this node calls itself degraded or isolated",
            f64::from(u8::from(status.verdict == "healthy")),
        ),
    ]
}

fn describe_link(member: &MemberView) -> Option<Sample> {
    let seconds = member.rtt_ms? / 1_000.0;
    let help = "Round trip to a peer on the direct link";
    Some(Sample::new("starling_peer_rtt_seconds", help, seconds).label("peer", &member.name))
}
