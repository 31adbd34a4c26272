//! What becomes of other members, for whoever wants to hear it: streams, the hook, metrics.

use crate::api::metrics::{Sample, Source};
use crate::service::view::MemberEventView;
use gossip::network::{MemberChange, MemberEvent, Network};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Events that a slow reader may be behind. Beyond them it loses the oldest and is told how many.
const EVENTS: usize = 256;

/// The events of members, and how many there were of each kind.
#[derive(Debug)]
pub struct MemberEvents {
    feed: broadcast::Sender<Arc<MemberEventView>>,
    counts: [AtomicU64; MemberChange::ALL.len()],
}

impl Default for MemberEvents {
    fn default() -> Self {
        MemberEvents { feed: broadcast::Sender::new(EVENTS), counts: Default::default() }
    }
}

impl MemberEvents {
    /// Every event from now on.
    #[must_use]
    pub fn feed(&self) -> broadcast::Receiver<Arc<MemberEventView>> {
        self.feed.subscribe()
    }

    /// Passes on what the network tells, until the node leaves.
    pub(super) async fn follow(
        self: Arc<Self>,
        network: Network,
        mut events: broadcast::Receiver<MemberEvent>,
    ) {
        loop {
            let event = tokio::select! {
                biased;
                () = network.leaving() => return,
                event = events.recv() => event,
            };
            match event {
                Ok(event) => self.tell(&event),
                // Counted by the network; the list of members tells how things stand.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn tell(&self, event: &MemberEvent) {
        self.counts[event.change as usize].fetch_add(1, Relaxed);
        let view = MemberEventView {
            event: event.change.word().to_owned(),
            node: event.node,
            origin: event.origin,
            name: event.name.clone(),
            addr: event.addr.to_string(),
        };
        // Without a reader it has been logged and counted.
        let _ = self.feed.send(Arc::new(view));
    }
}

impl Source for MemberEvents {
    fn samples(&self) -> Vec<Sample> {
        let help = "What became of other members";
        let sample = |change: MemberChange| {
            let count = self.counts[change as usize].load(Relaxed) as f64;
            Sample::new("starling_member_events_total", help, count).label("event", change.word())
        };
        MemberChange::ALL.map(sample).into()
    }
}
