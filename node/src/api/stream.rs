//! Server-sent events from a feed, the next one taken when the connection has room.
//!
//! A feed of states holds the newest only: a slow client misses states in between, costs no memory
//! and is never behind for long. A feed of everything holds a bounded number of batches: a slow
//! client loses the oldest and is told so by the event `missed`.

use super::{Api, ApiError};
use crate::identity::{Bearer, Role};
use crate::service::view::{HostQuestion, HostView, Refusal, RoundLine};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

/// Streams of hosts and operators that one listener serves at once. Arbitrary: they are few.
const DRIVERS_MAX: usize = 1_024;
/// Streams of everybody else. Arbitrary: a screen or two for each of many shows.
const OTHERS_MAX: usize = 3_072;

/// How long a browser waits before it connects again. Short: it is told to try another node anyway.
const RETRY: Duration = Duration::from_millis(1_000);

/// The newest state, then whatever has become of it.
pub(super) struct Newest<T>(pub watch::Receiver<Arc<T>>);

/// Every batch, in order.
pub(super) struct Every<T>(pub broadcast::Receiver<Arc<T>>);

/// What a stream is fed by.
pub(super) trait Feed: Send + 'static {
    /// What a new client is shown at once.
    fn begin(&mut self, name: &str) -> Result<Event, axum::Error>;

    /// What comes next, or `None` when the node lets go of the event. Cancel safe.
    fn next(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Option<Result<Event, axum::Error>>> + Send;
}

impl<T: Serialize + Send + Sync + 'static> Feed for Newest<T> {
    fn begin(&mut self, name: &str) -> Result<Event, axum::Error> {
        let state = self.0.borrow_and_update().clone();
        Event::default().event(name).json_data(&*state)
    }

    async fn next(&mut self, name: &str) -> Option<Result<Event, axum::Error>> {
        self.0.changed().await.ok()?;
        Some(self.begin(name))
    }
}

/// The newest of what a host sees, for as long as an invitation is good, if it rests on one. What may be long and
/// seldom changes is told once, and again when it has changed.
pub(super) struct Hosted {
    feed: watch::Receiver<Arc<HostView>>,
    /// The co-host's invitation.
    invitation: Option<String>,
    /// The script that this host was told.
    script: Option<Arc<Vec<HostQuestion>>>,
    /// The runs that this host was told.
    rounds: Option<Vec<RoundLine>>,
}

impl Feed for Hosted {
    fn begin(&mut self, name: &str) -> Result<Event, axum::Error> {
        let view = self.feed.borrow_and_update().clone();
        Event::default().event(name).json_data(self.news(&view))
    }

    async fn next(&mut self, name: &str) -> Option<Result<Event, axum::Error>> {
        self.feed.changed().await.ok()?;
        self.is_good().then(|| self.begin(name))
    }
}

impl Hosted {
    pub(super) fn new(feed: watch::Receiver<Arc<HostView>>, invitation: Option<String>) -> Self {
        Hosted { feed, invitation, script: None, rounds: None }
    }

    /// The view without what this host knows already.
    fn news(&mut self, view: &HostView) -> HostView {
        let is_known = match (&self.script, &view.questions) {
            (Some(told), Some(script)) => Arc::ptr_eq(told, script),
            _ => false,
        };
        let questions = view.questions.clone().filter(|_| !is_known);
        let rounds = view.rounds.clone().filter(|_| self.rounds != view.rounds);
        self.script.clone_from(&view.questions);
        self.rounds.clone_from(&view.rounds);
        HostView { questions, rounds, ..view.clone() }
    }

    fn is_good(&self) -> bool {
        let view = self.feed.borrow();
        let is_known = |id: &String| view.desk.co_hosts.iter().any(|co_host| co_host.id == *id);
        self.invitation.as_ref().is_none_or(is_known)
    }
}

impl<T: Serialize + Send + Sync + 'static> Feed for Every<T> {
    fn begin(&mut self, _: &str) -> Result<Event, axum::Error> {
        Ok(Event::default().comment("from now on"))
    }

    async fn next(&mut self, name: &str) -> Option<Result<Event, axum::Error>> {
        match self.0.recv().await {
            Ok(batch) => Some(Event::default().event(name).json_data(&*batch)),
            Err(RecvError::Lagged(batches)) => {
                Some(Event::default().event("missed").json_data(json!({ "batches": batches })))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

struct Source<F> {
    feed: F,
    name: &'static str,
    stop: CancellationToken,
    /// Comes to pass when the right to see it is taken back.
    revoked: BoxFuture<'static, ()>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

/// Places for streams. Screens are anybody's, so that those who open many of them take none from hosts and
/// operators.
#[derive(Debug, Clone)]
pub(super) struct Places {
    drivers: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            drivers: Arc::new(Semaphore::new(DRIVERS_MAX)),
            others: Arc::new(Semaphore::new(OTHERS_MAX)),
        }
    }
}

impl Places {
    /// A place for whoever comes with `bearer`, given back when dropped.
    fn take(&self, bearer: Option<&Bearer>) -> Result<OwnedSemaphorePermit, ApiError> {
        let drives = bearer.is_some_and(|bearer| bearer.role != Role::Player);
        let places = if drives { &self.drivers } else { &self.others };
        Arc::clone(places).try_acquire_owned().map_err(|_| full())
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        let free = self.drivers.available_permits() + self.others.available_permits();
        DRIVERS_MAX + OTHERS_MAX - free
    }
}

/// Serves `feed` under the event name `name`, for as long as `bearer` has a right to it.
pub(super) fn serve(
    api: &Api,
    bearer: Option<Arc<Bearer>>,
    name: &'static str,
    feed: impl Feed,
) -> Result<Response, ApiError> {
    let place = api.streams.take(bearer.as_deref())?;
    let stop = api.settings.stop.clone();
    let revoked = bearer.map_or_else(|| pending().boxed(), |bearer| api.hosts.revoked(bearer));
    let source = Source { feed, name, stop, revoked, begun: false, _place: place };
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

impl<F: Feed> Source<F> {
    /// The next event, or `None` when the node stops or lets go of what is followed.
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        if !self.begun {
            self.begun = true;
            return Some(self.feed.begin(self.name).map(|event| event.retry(RETRY)));
        }
        tokio::select! {
            event = self.feed.next(self.name) => event,
            () = self.stop.cancelled() => None,
            () = &mut self.revoked => None,
        }
    }
}

fn full() -> ApiError {
    let refusal = Refusal::new("overloaded", "this node serves as many streams as it can")
        .hint("connect to another node");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Events;

    #[test]
    fn those_who_watch_take_no_place_from_those_who_drive() {
        let of = |role| Bearer {
            role,
            player: None,
            name: None,
            events: Events::All,
            token: None,
            co_host: None,
            key: None,
        };
        let (player, host, ops) = (of(Role::Player), of(Role::Host), of(Role::Ops));
        let places = Places::default();
        let mut screens: Vec<_> = (1..OTHERS_MAX).map(|_| places.take(None).unwrap()).collect();
        screens.push(places.take(Some(&player)).unwrap());
        assert!(places.take(None).is_err() && places.take(Some(&player)).is_err());
        let host = places.take(Some(&host)).unwrap();
        assert!(places.take(Some(&ops)).is_ok());
        assert_eq!(places.taken(), OTHERS_MAX + 1);
        drop((screens, host));
        assert_eq!(places.taken(), 0);
    }
}
