//! Waiting until a cluster that listens is one: every node ready, aware of all others and of the
//! event.

use crate::cli::client::{Client, ClientError};
use crate::cli::{Exit, Failure};
use crate::service::view::{PinView, StatusView};
use crdt_state::EventId;
use serde_json::Value;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// How long a cluster on one machine may take to find itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions to a node that is not there yet.
const AGAIN: Duration = Duration::from_millis(20);
/// How long one question may take.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// What a node must have to count as a part of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Members alive in its view.
    pub(super) members: usize,
    /// An event that it knows, and the PIN under which it does.
    pub(super) event: Option<(EventId, String)>,
}

/// Waits until the node that `client` asks has what is wanted.
pub(super) async fn wait(client: &Client, wanted: &Wanted) -> Result<(), Failure> {
    let late = Instant::now() + PATIENCE;
    loop {
        let asked = wanted.clone();
        let Err(missing) = ask(client, move |client| check(client, &asked)).await else {
            return Ok(());
        };
        if Instant::now() > late {
            let message = format!("{} is not ready after {PATIENCE:?}", client.node());
            return Err(Failure::new(Exit::Unreachable, message).hint(missing));
        }
        sleep(AGAIN).await;
    }
}

/// Asks a node without holding up the thread that all nodes hang on.
pub(super) async fn ask<T: Send + 'static>(
    client: &Client,
    question: impl FnOnce(&Client) -> T + Send + 'static,
) -> T {
    let client = client.clone();
    spawn_blocking(move || question(&client)).await.expect("asking a node does not panic")
}

/// What the node still lacks, in words.
fn check(client: &Client, wanted: &Wanted) -> Result<(), String> {
    let say = |error: ClientError| Failure::from(error).message;
    client.get::<Value>("/readyz").map_err(say)?;
    let status: StatusView = client.get("/api/v1/status").map_err(say)?;
    if status.members_alive < wanted.members {
        return Err(format!("it sees {} of {} members", status.members_alive, wanted.members));
    }
    match &wanted.event {
        Some((event, pin)) => check_event(client, *event, pin).map_err(say),
        None => Ok(()),
    }
}

/// Whether the node knows the event, or that it is over: an archived one has no PIN any more.
fn check_event(client: &Client, event: EventId, pin: &str) -> Result<(), ClientError> {
    let Err(unknown) = client.get::<PinView>(&format!("/api/v1/pins/{pin}")) else { return Ok(()) };
    match client.get::<Value>(&format!("/api/v1/events/{event}")) {
        Err(ClientError::Refused { refusal, .. }) if refusal.code == "event_archived" => Ok(()),
        _ => Err(unknown),
    }
}
