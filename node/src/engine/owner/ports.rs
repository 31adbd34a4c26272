//! What an owner needs of its node, and what it and the catalogue ask of the world through that.

use crate::engine::alarms::{Alarms, LATE};
use crate::engine::awaiting::Awaiting;
use crate::engine::envelope::{Way, envelope, plain_envelope};
use crate::engine::inboxes::Inboxes;
use crate::engine::interest::Word;
use crate::engine::io::Output;
use crate::engine::publisher::Present;
use crate::engine::traffic::{Kind, Traffic};
use crate::store::{StoreHandle, StoreOp};
use bytes::Bytes;
use crdt_state::catalogue::CARRIERS;
use crdt_state::{EventId, Mono, Origin};
use gossip::network::{Network, SendError};
use gossip::replication::Message;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, trace, warn};

/// What an owner needs of its node.
#[derive(Clone)]
pub struct Ports {
    /// Where frames for peers go.
    pub network: Network,
    /// Where entries are kept.
    pub store: StoreHandle,
    /// Where players' messages go.
    pub inboxes: Arc<Inboxes>,
    /// Where alarms are counted.
    pub alarms: Arc<Alarms>,
    /// Where it is counted what changes cost.
    pub traffic: Arc<Traffic>,
    /// How many players are there, by event.
    pub present: watch::Receiver<Arc<Present>>,
    /// Where it is told for which nodes events wait.
    pub awaiting: Arc<Awaiting>,
    /// When the node started: the zero of its monotonic clock.
    pub started: Instant,
}

impl Ports {
    /// The time on the node's monotonic clock.
    #[must_use]
    pub fn now(&self) -> Mono {
        self.started.elapsed()
    }

    /// Does what an event, or the catalogue, asks of the world; gives back what only its task can do. Only the catalogue
    /// sends by this: an event knows the ways to its peers.
    pub async fn carry_out(&self, event: EventId, output: Output) -> Option<Output> {
        match output {
            Output::Send { to, lane, message } => {
                let frame = plain_envelope(event, &message.encode());
                self.send_frame(event, to, lane, (Kind::Catalogue, frame));
            }
            Output::Persist { id, seq, entry } => {
                self.store.put(StoreOp::Entry { event, id, seq, entry }).await;
            }
            Output::PersistCut { heads, parts } => {
                self.store.put(StoreOp::Cut { event, heads, parts }).await;
            }
            Output::PersistQuarantine { id } => {
                self.store.put(StoreOp::Quarantine { event, id }).await;
            }
            Output::Late { node, entries } => {
                self.alarms.count(LATE);
                warn!(%event, node, entries, "answers came after a result was shown without them");
            }
            Output::Superseded => self.alarms.count_superseded(),
            Output::Alarm(alarm) => {
                self.alarms.count(alarm.kind());
                error!(%event, %alarm, "replication alarm");
            }
            Output::Flush
            | Output::Reply { .. }
            | Output::Inbox { .. }
            | Output::Applied { .. } => return Some(output),
        }
        None
    }

    /// Tells a peer what this node carries. A full queue drops it: it is told again until it is heard.
    pub fn tell_word(&self, to: Origin, word: &Word) {
        let frame = plain_envelope(CARRIERS, &word.encode());
        let bytes = frame.len();
        match self.network.send(to, crdt_state::Lane::Control, frame) {
            Ok(()) => self.traffic.count_sent(Kind::Carriers, bytes),
            Err(error) => trace!(%error, "a peer is not told what is carried here"),
        }
    }

    /// Sends a replication message of `event`. A full queue drops it: the peer will pull.
    pub fn send(&self, event: EventId, way: &Way, lane: crdt_state::Lane, message: &Message) {
        let frame = envelope(event, way, message);
        self.send_frame(event, way.link, lane, (Kind::of(message), frame));
    }

    fn send_frame(
        &self,
        event: EventId,
        to: Origin,
        lane: crdt_state::Lane,
        (kind, frame): (Kind, Bytes),
    ) {
        let bytes = frame.len();
        match self.network.send(to, lane, frame) {
            Ok(()) => self.traffic.count_sent(kind, bytes),
            Err(SendError::TooBig { bytes }) => {
                error!(%event, bytes, "a message is beyond the cap");
            }
            Err(error) => trace!(%event, %error, "a message is dropped"),
        }
    }
}
