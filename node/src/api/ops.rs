//! The routes about the node itself.

use super::auth::Caller;
use super::metrics::{CONTENT_TYPE, Sample};
use super::request::{Payload, Segment};
use super::stream::{self, Every};
use super::{Api, ApiError};
use crate::service::view::{
    ForgetView, KeyChange, KeyView, MemberView, Refusal, StandingView, StatusView,
};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The node in one page.
pub(super) async fn status(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<StatusView>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.hosts.status().await))
}

/// The members in this node's view.
pub(super) async fn members(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<MemberView>>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.hosts.members().await))
}

/// What becomes of other members, from now on.
pub(super) async fn member_stream(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let bearer = caller.ops(&api).await?;
    stream::serve(&api, Some(bearer), "member", Every(api.ops.member_events()))
}

/// What the node says of itself.
pub(super) async fn standing(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<StandingView>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.ops.standing()))
}

/// The cluster's keys, by their fingerprints.
pub(super) async fn keys(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.ops.keys()))
}

/// Installs, uses or removes a key.
pub(super) async fn change_keys(
    State(api): State<Api>,
    caller: Caller,
    payload: Payload,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    caller.ops(&api).await?;
    let change: KeyChange = payload.json()?;
    Ok(Json(api.ops.change_keys(&change)?))
}

/// Has the node send new players elsewhere.
pub(super) async fn drain(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<StandingView>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.ops.drain(true)))
}

/// Has the node take new players again.
pub(super) async fn undrain(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<StandingView>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.ops.drain(false)))
}

/// Gives up a node that is gone for good.
pub(super) async fn forget(
    State(api): State<Api>,
    caller: Caller,
    Segment(node): Segment,
) -> Result<Json<ForgetView>, ApiError> {
    caller.ops(&api).await?;
    let unknown = |error: crdt_state::id::ParseIdError| {
        Refusal::new("node_unknown", error.to_string()).hint("`starling members` lists the nodes")
    };
    Ok(Json(api.hosts.forget(node.parse().map_err(unknown)?).await?))
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
        .hint("it is starting, cannot join its cluster, or is on its way out: use another node; `starling status` says why");
    Err(refusal.into())
}

/// Numbers for a scraper.
pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let mut samples = describe_status(&api.hosts.status().await);
    samples.extend(api.hosts.members().await.iter().flat_map(describe_link));
    let taken = api.streams.taken();
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

/// The direct link to a member, if there is one.
fn describe_link(member: &MemberView) -> Vec<Sample> {
    let Some(rtt_ms) = member.rtt_ms else { return Vec::new() };
    let sample =
        |name, help, value: f64| Sample::new(name, help, value).label("peer", &member.name);
    vec![
        sample(
            "starling_peer_rtt_seconds",
            "Round trip to a peer on the direct link",
            rtt_ms / 1_000.0,
        ),
        sample(
            "starling_peer_packets_sent_total",
            "Packets to a peer on the direct link, since it stands",
            member.packets_sent as f64,
        ),
        sample(
            "starling_peer_packets_lost_total",
            "Of those, how many were lost",
            member.packets_lost as f64,
        ),
    ]
}
