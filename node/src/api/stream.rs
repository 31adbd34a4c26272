//! Server-sent events from a feed of states.
//!
//! A feed holds the newest state only, and the next one is taken when the connection has room: a
//! slow client misses states in between, costs no memory and is never behind for long.

use super::{Api, ApiError};
use crate::service::view::Refusal;
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// How long a browser waits before it connects again. Short: it is told to try another node anyway.
const RETRY: Duration = Duration::from_millis(1_000);

struct Source<T> {
    feed: watch::Receiver<Arc<T>>,
    name: &'static str,
    stop: CancellationToken,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

/// Serves `feed` under the event name `name`: its present state at once, then every change.
pub(super) fn serve<T: Serialize + Send + Sync + 'static>(
    api: &Api,
    name: &'static str,
    feed: watch::Receiver<Arc<T>>,
) -> Result<Response, ApiError> {
    let place = api.streams.clone().try_acquire_owned().map_err(|_| full())?;
    let stop = api.settings.stop.clone();
    let source = Source { feed, name, stop, begun: false, _place: place };
    let events = unfold(source, |mut source| async {
        let event = source.next().await?;
        Some((event, source))
    });
    let keep_alive = KeepAlive::new().interval(api.settings.keep_alive);
    let sse = Sse::new(events).keep_alive(keep_alive);
    let mut response = sse.into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl<T: Serialize> Source<T> {
    /// The next state, or `None` when the node stops or lets go of the event.
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        let mut event = Event::default().event(self.name);
        if self.begun {
            tokio::select! {
                changed = self.feed.changed() => changed.ok()?,
                () = self.stop.cancelled() => return None,
            }
        } else {
            self.begun = true;
            event = event.retry(RETRY);
        }
        let state = self.feed.borrow_and_update().clone();
        Some(event.json_data(&*state))
    }
}

fn full() -> ApiError {
    let refusal = Refusal::new("overloaded", "this node serves as many streams as it can")
        .hint("connect to another node");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, refusal)
}
