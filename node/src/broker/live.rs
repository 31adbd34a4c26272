//! The live states that the owner of slot 0 keeps at the broker, as retained messages.
//!
//! A state goes out when it changes, and each second while a round is open or a lobby counts down, so that
//! whoever subscribes in the middle of it gets a time that is at most a second old. Of an event whose state has
//! yet to arrive at this node nothing goes out: what another node retained stays. What waits for the
//! broker is the newest state of each show, never a queue of them.

use crate::engine::Owner;
use crate::hub::Owners;
use crate::service::view::PhaseView;
use crate::service::{Frame, live_topic};
use bytes::Bytes;
use crdt_state::EventId;
use futures_util::future::select_all;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Between two renewals while a time runs.
const RENEWAL: Duration = Duration::from_secs(1);

/// The newest states that wait for the broker. An empty one takes a show's state away.
#[derive(Debug, Default)]
pub struct Shelf {
    waiting: Mutex<BTreeMap<String, Bytes>>,
    filled: Notify,
}

impl Shelf {
    /// Lays a state down, in place of an older one of that topic.
    pub fn put(&self, topic: String, payload: Bytes) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(topic, payload);
        self.filled.notify_one();
    }

    /// Lays back what could not be sent, unless there is a newer one.
    pub fn put_back(&self, topic: String, payload: Bytes) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(topic).or_insert(payload);
    }

    /// The next state. Cancel safe.
    pub async fn take(&self) -> (String, Bytes) {
        loop {
            let mut filled = pin!(self.filled.notified());
            filled.as_mut().enable();
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            match next {
                Some(next) => return next,
                None => filled.await,
            }
        }
    }
}

/// Which connection to the broker this node speaks on for the shows, if it does: a number that
/// changes with every connection.
pub type Speaking = watch::Receiver<Option<u64>>;

/// Keeps the live states at the broker current for as long as this node is the one to do so.
pub struct Lives {
    owners: Owners,
    shelf: Arc<Shelf>,
    speaking: Speaking,
    followed: BTreeMap<EventId, Followed>,
    /// The topics of the shows that it has spoken for.
    shown: BTreeSet<String>,
}

/// A show, and how far its live state has been heard.
struct Followed {
    owner: Owner,
    live: watch::Receiver<Option<Arc<Frame>>>,
    arrived: watch::Receiver<bool>,
}

impl Lives {
    /// Of the shows of `owners`.
    #[must_use]
    pub fn new(owners: Owners, shelf: Arc<Shelf>, speaking: Speaking) -> Self {
        let (followed, shown) = Default::default();
        Lives { owners, shelf, speaking, followed, shown }
    }

    /// Runs until the broker is given up.
    pub async fn run(&mut self) {
        let mut tick = interval(RENEWAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.speaking.mark_changed();
        loop {
            let is_speaking = self.speaking.borrow().is_some();
            self.follow();
            let topics = tokio::select! {
                changed = self.speaking.changed() => match changed {
                    Ok(()) => self.events(|_| true),
                    Err(_) => return,
                },
                event = next_change(&mut self.followed) => vec![event],
                _ = tick.tick() => self.events(is_timed),
            };
            if !is_speaking && self.speaking.borrow().is_none() {
                continue;
            }
            for event in topics {
                self.show(event).await;
            }
            self.take_away();
        }
    }

    /// Follows the shows that are there now; a new one counts as changed.
    fn follow(&mut self) {
        let there: BTreeMap<EventId, Owner> = self
            .owners
            .all()
            .into_iter()
            .map(|owner| (owner.views.screen.borrow().event, owner.clone()))
            .collect();
        self.followed.retain(|event, _| there.contains_key(event));
        for (event, owner) in there {
            self.followed.entry(event).or_insert_with(|| {
                let mut live = owner.views.live.watch();
                live.mark_changed();
                let arrived = owner.arrived.clone();
                Followed { owner, live, arrived }
            });
        }
    }

    fn events(&self, wanted: impl Fn(&Owner) -> bool) -> Vec<EventId> {
        let wanted = self.followed.iter().filter(|(_, followed)| wanted(&followed.owner));
        wanted.map(|(event, _)| *event).collect()
    }

    async fn show(&mut self, event: EventId) {
        let Some(followed) = self.followed.get(&event) else { return };
        if !*followed.owner.arrived.borrow() {
            return; // its arrival counts as a change
        }
        if let Some(frame) = followed.owner.live_frame().await {
            self.shown.insert(frame.topic.clone());
            self.shelf.put(frame.topic.clone(), frame.payload.clone());
        }
    }

    /// A show that is gone, or found under another PIN, leaves nothing behind at the broker.
    fn take_away(&mut self) {
        let pins = self.followed.values().map(|it| live_topic(&it.owner.views.screen.borrow().pin));
        let there: BTreeSet<String> = pins.collect();
        let shelf = &self.shelf;
        self.shown.retain(|topic| {
            let stays = there.contains(topic);
            if !stays {
                shelf.put(topic.clone(), Bytes::new());
            }
            stays
        });
    }
}

/// Whether a time runs of which the live state tells: that of a round, or of a lobby.
fn is_timed(owner: &Owner) -> bool {
    let shown = owner.views.screen.borrow();
    shown.stage.phase == PhaseView::Open || shown.starts_in_ms.is_some()
}

/// The first show that has something new. Cancel safe: what is not returned counts as unseen.
async fn next_change(followed: &mut BTreeMap<EventId, Followed>) -> EventId {
    if followed.is_empty() {
        return std::future::pending().await;
    }
    let changes = followed.iter_mut().map(|(event, followed)| {
        Box::pin(async move {
            tokio::select! {
                Ok(()) = followed.live.changed() => *event,
                Ok(()) = followed.arrived.changed() => *event,
                // An owner that is gone shows nothing more.
                else => std::future::pending().await,
            }
        })
    });
    select_all(changes).await.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_state_of_a_show_is_the_one_that_waits() {
        let shelf = Shelf::default();
        for (topic, state) in [("live/1", "old"), ("live/2", "b"), ("live/1", "new")] {
            shelf.put(topic.into(), state.into());
        }
        let first = shelf.take().await;
        assert_eq!(first, ("live/1".into(), Bytes::from("new")));
        shelf.put("live/1".into(), "newer".into());
        shelf.put_back(first.0, first.1);
        assert_eq!(shelf.take().await.1, "newer");
        assert_eq!(shelf.take().await.0, "live/2");
    }
}
