//! How a node stands with its broker, for `status` and `/metrics`.

use super::wire::Protocol;
use crate::api::metrics::{Sample, Source};
use crate::engine::Slots;
use crate::service::view::BrokerView;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How the node stands with its broker. Shared by all who write it.
#[derive(Debug)]
pub struct BrokerState {
    seen: Mutex<BrokerView>,
    /// What was counted.
    pub counts: Counts,
}

/// What was counted. Every series exists from the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that the broker accepted.
    pub connects: AtomicU64,
    /// Attempts that failed: no connection, or a refusal.
    pub connects_failed: AtomicU64,
    /// Connections that were lost.
    pub losses: AtomicU64,
    /// Players' messages taken from the broker.
    pub received: AtomicU64,
    /// Of those, acknowledged to the broker.
    pub acknowledged: AtomicU64,
    /// Of those, left for the broker to bring again, since this node is stopping.
    pub left: AtomicU64,
    /// Messages handed to the broker.
    pub published: AtomicU64,
    /// Of those, refused by it.
    pub refused: AtomicU64,
    /// Messages for players dropped because too many waited for the broker; players ask again.
    pub dropped: AtomicU64,
    /// Subscriptions that the broker did not grant.
    pub denied: AtomicU64,
    /// Sessions of nodes that are gone, emptied and ended.
    pub adopted: AtomicU64,
}

impl BrokerState {
    /// Before the first attempt, for the session `client_id` at `url`.
    #[must_use]
    pub fn new(url: String, client_id: String) -> Self {
        let seen = BrokerView { url, client_id, ..BrokerView::default() };
        BrokerState { seen: Mutex::new(seen), counts: Counts::default() }
    }

    /// How it stands now.
    #[must_use]
    pub fn view(&self) -> BrokerView {
        self.lock().clone()
    }

    pub(super) fn connected(&self, url: String, protocol: Protocol, shared: bool) {
        self.counts.connects.fetch_add(1, Relaxed);
        let mut seen = self.lock();
        seen.connected = true;
        seen.url = url;
        seen.protocol = protocol.word().to_owned();
        seen.shared_subscriptions = shared;
        seen.last_error = None;
    }

    pub(super) fn lost(&self, url: String, why: String) {
        let mut seen = self.lock();
        seen.url = url;
        let counter =
            if seen.connected { &self.counts.losses } else { &self.counts.connects_failed };
        counter.fetch_add(1, Relaxed);
        seen.connected = false;
        seen.slots = 0;
        seen.last_error = Some(why);
    }

    pub(super) fn holds(&self, slots: &Slots) {
        self.lock().slots = slots.len();
    }

    pub(super) fn complain(&self, why: String) {
        self.lock().last_error = Some(why);
    }

    fn lock(&self) -> MutexGuard<'_, BrokerView> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for BrokerState {
    fn samples(&self) -> Vec<Sample> {
        let (connected, slots) = {
            let seen = self.lock();
            (u64::from(seen.connected), seen.slots as u64)
        };
        let counts = &self.counts;
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let sample = |name, help, value: u64| Sample::new(name, help, value as f64);
        let messages = "Messages between node and broker, by direction.";
        vec![
            sample("starling_broker_connected", "Whether the broker is reached.", connected),
            sample("starling_broker_slots", "Slots that are subscribed to at the broker.", slots),
            sample(
                "starling_broker_connects_total",
                "Connections that the broker accepted.",
                read(&counts.connects),
            ),
            sample(
                "starling_broker_connects_failed_total",
                "Attempts to connect to the broker that failed.",
                read(&counts.connects_failed),
            ),
            sample(
                "starling_broker_losses_total",
                "Connections to the broker that were lost.",
                read(&counts.losses),
            ),
            sample("starling_broker_messages_total", messages, read(&counts.received))
                .label("direction", "in"),
            sample("starling_broker_messages_total", messages, read(&counts.published))
                .label("direction", "out"),
            sample(
                "starling_broker_acknowledged_total",
                "Players' messages acknowledged to the broker.",
                read(&counts.acknowledged),
            ),
            sample(
                "starling_broker_left_total",
                "Players' messages left for the broker to bring again.",
                read(&counts.left),
            ),
            sample(
                "starling_broker_publishes_refused_total",
                "Messages that the broker did not take.",
                read(&counts.refused),
            ),
            sample(
                "starling_broker_dropped_total",
                "Messages for players dropped because too many waited; players ask again.",
                read(&counts.dropped),
            ),
            sample(
                "starling_broker_subscriptions_denied_total",
                "Subscriptions that the broker did not grant.",
                read(&counts.denied),
            ),
            sample(
                "starling_broker_sessions_adopted_total",
                "Sessions of nodes that are gone, emptied and ended.",
                read(&counts.adopted),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_fails_is_not_a_connection_that_is_lost() {
        let state = BrokerState::new("mqtt://b:1".into(), "n".into());
        state.lost("mqtt://b:1".into(), "refused".into());
        state.connected("mqtt://b:1".into(), Protocol::V5, true);
        state.holds(&Slots::ALL);
        assert_eq!((state.view().connected, state.view().slots), (true, 256));
        state.lost("mqtt://b:1".into(), "gone".into());
        let (counts, view) = (&state.counts, state.view());
        let counted = [&counts.connects_failed, &counts.connects, &counts.losses];
        assert_eq!(counted.map(|counter| counter.load(Relaxed)), [1, 1, 1]);
        assert_eq!((view.connected, view.slots, view.last_error), (false, 0, Some("gone".into())));
    }
}
