//! The HTTP API and the pages, as one axum router over [`Hosts`] and [`Ops`].
//!
//! It holds no state of an event and decides nothing about one: a handler finds out who asks, checks
//! the role, asks the node and turns the answer into JSON. Whatever goes wrong is answered as
//! `{"error":{"code","message","hint"}}` and counted by its code. MQTT over WebSocket is the edge's:
//! its route is merged into this router by whoever serves it, and the limits here do not touch it.

mod auth;
mod cors;
mod error;
mod events;
mod guard;
mod images;
pub mod metrics;
mod ops;
mod pages;
mod people;
mod request;
mod schemas;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use error::ApiError;

use crate::service::{Hosts, Ops};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use stream::Places;
use tokio_util::sync::CancellationToken;

/// Longest show file.
pub const SHOW_BYTES_MAX: usize = crate::show::FILE_BYTES_MAX;
/// Longest body of any other request.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// What the API is told beside the node that it speaks for.
#[derive(Clone)]
pub struct Settings {
    /// Base URL of this node as others reach it, without a slash at the end.
    pub http: String,
    /// Where players' pages connect to a broker; empty where they connect to the nodes.
    pub broker_pages: Vec<String>,
    /// Where refusals are counted and what `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Ends the event streams, so that a node that stops is not held up by an open page.
    pub stop: CancellationToken,
    /// How long the head of an answer may take. Default 10 s: longer than any wait inside a node.
    pub timeout: Duration,
    /// How often a quiet event stream shows that it lives. Default 15 s: proxies cut off after a
    /// minute or so.
    pub keep_alive: Duration,
}

impl Settings {
    /// Defaults for a node that is reached at `http`.
    #[must_use]
    pub fn new(http: impl Into<String>) -> Self {
        Settings {
            http: http.into(),
            broker_pages: Vec::new(),
            metrics: Arc::default(),
            stop: CancellationToken::new(),
            timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// What every handler gets.
#[derive(Clone)]
struct Api {
    hosts: Arc<dyn Hosts>,
    ops: Arc<dyn Ops>,
    settings: Arc<Settings>,
    streams: Places,
}

/// Every route but `/mqtt`.
pub fn router<N: Hosts + Ops>(node: Arc<N>, settings: Settings) -> Router {
    let hosts = Arc::clone(&node) as Arc<dyn Hosts>;
    let ops = node as Arc<dyn Ops>;
    let api = Api { hosts, ops, settings: Arc::new(settings), streams: Places::default() };
    Router::new()
        .merge(event_routes())
        .merge(node_routes())
        .merge(pages::routes())
        .fallback(request::unknown_route)
        .method_not_allowed_fallback(request::unknown_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), guard::time_out))
        .layer(middleware::from_fn_with_state(api.clone(), cors::answer))
        .layer(middleware::from_fn_with_state(api.clone(), guard::count_refusals))
        .with_state(api)
}

fn event_routes() -> Router<Api> {
    let import = post(events::import).layer(DefaultBodyLimit::max(SHOW_BYTES_MAX));
    Router::new()
        .route("/api/v1/edge", get(events::edge))
        .route("/api/v1/pins/{pin}", get(events::pin))
        .route("/api/v1/pins/{pin}/qr.svg", get(events::qr))
        .route("/api/v1/pins/{pin}/raffle", get(events::raffle))
        .route("/api/v1/images/{event}/{name}", get(images::image))
        .route("/api/v1/pins/{pin}/screen/stream", get(events::screen_stream))
        .route("/api/v1/events", import.get(events::list))
        .route("/api/v1/events/{event}", get(events::host_view))
        .route("/api/v1/events/{event}/host/stream", get(events::host_stream))
        .route("/api/v1/events/{event}/applied/stream", get(events::applied_stream))
        .route("/api/v1/events/{event}/board", post(events::friends))
        .route("/api/v1/events/{event}/commands", post(events::command))
        .route("/api/v1/events/{event}/players", get(events::players))
        .route("/api/v1/events/{event}/reactions", post(events::react))
        .route("/api/v1/events/{event}/rounds", get(events::rounds))
        .route("/api/v1/events/{event}/state", get(events::state))
        .route("/api/v1/events/{event}/log", get(events::log))
        .route("/api/v1/events/{event}/export", get(events::export))
        .route("/api/v1/events/{event}/archive", post(events::archive))
        .route("/api/v1/events/{event}/proof", get(events::proof))
        .route("/api/v1/events/{event}/explain", get(events::explain))
}

fn node_routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/status", get(ops::status))
        .route("/api/v1/members", get(ops::members))
        .route("/api/v1/members/stream", get(ops::member_stream))
        .route("/api/v1/schemas", get(schemas::list))
        .route("/api/v1/schemas/{name}", get(schemas::one))
        .route("/api/v1/me", get(people::me))
        .route("/api/v1/revocations", get(people::revocations).post(people::revoke))
        .route("/api/v1/standing", get(ops::standing))
        .route("/api/v1/keys", get(ops::keys).post(ops::change_keys))
        .route("/api/v1/drain", post(ops::drain))
        .route("/api/v1/undrain", post(ops::undrain))
        .route("/api/v1/nodes/{node}/forget", post(ops::forget))
        .route("/metrics", get(ops::metrics))
        .route("/livez", get(ops::live))
        .route("/readyz", get(ops::ready))
}
