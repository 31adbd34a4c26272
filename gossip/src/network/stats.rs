//! Plain counters of the network, for metrics and tests.

use super::lock;
use super::reason::Reason;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What it is that was refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    /// A dial of this node's that gave no link.
    Dial,
    /// A caller that got no link.
    Call,
    /// A link that stood.
    Link,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(super) fn count(&self) {
        self.add(1);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the network has counted since its start, at one moment.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct NetworkStats {
            $($(#[$doc])* pub $name: u64,)*
            /// Links now.
            pub links: u64,
            /// Addresses that are dialled whenever no link covers them.
            pub addresses: u64,
            /// Addresses that are being dialled now.
            pub dialling: u64,
            /// QUIC connections that are held: links, dials, handshakes, and those that wind down.
            pub connections: u64,
            /// Incarnations of nodes that gossip holds, dead ones until their grace is over.
            pub incarnations: u64,
            /// The most of them that there may be; an alarm is raised at four fifths.
            pub incarnations_max: u64,
            /// Connections refused or ended, by what they were and by reason, whichever side said so.
            pub ended: BTreeMap<(Attempt, Reason), u64>,
        }

        /// The counters behind [`NetworkStats`].
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
            ended: Mutex<BTreeMap<(Attempt, Reason), u64>>,
        }

        impl Counters {
            /// What has been counted so far; links and addresses are the caller's to fill in.
            pub(super) fn snapshot(&self) -> NetworkStats {
                NetworkStats {
                    $($name: self.$name.0.load(Relaxed),)*
                    links: 0,
                    addresses: 0,
                    dialling: 0,
                    connections: 0,
                    incarnations: 0,
                    incarnations_max: 0,
                    ended: lock(&self.ended).clone(),
                }
            }
        }
    };
}

counters! {
    /// Connections tried.
    dials,
    /// Connections that came in.
    accepted,
    /// Callers that were asked to prove their address first, because places for handshakes were scarce.
    retries,
    /// Links made.
    links_made,
    /// Of those, how many took the place of a former life of the node that was heard a moment before.
    lives_replaced,
    /// Frames handed to QUIC.
    frames_sent,
    /// Their payload.
    frame_bytes_sent,
    /// Frames handed to the owner.
    frames_received,
    /// Their payload.
    frame_bytes_received,
    /// Frames refused because the queue of their peer and lane was full.
    frames_refused,
    /// Gossip messages sent as datagrams.
    gossip_datagrams,
    /// Gossip messages sent as streams.
    gossip_streams,
    /// Gossip messages taken in.
    gossip_received,
    /// Gossip messages that could not be read.
    gossip_malformed,
    /// Gossip messages dropped, going out: no link to the address.
    gossip_unlinked,
    /// Gossip messages dropped, going out: the peer's queue was full, or its stream too slow.
    gossip_overflow,
    /// Gossip messages dropped, coming in: chitchat was too slow.
    gossip_inbox_overflow,
    /// Times that chitchat's loop ended and was started again.
    gossip_restarts,
    /// Of those, how often because others knew this node by more than it had ever said.
    gossip_slandered,
    /// Gossip messages dropped, coming in: their peer sent more than anybody needs to.
    gossip_flooded,
    /// Gossip messages dropped, coming in: they name more members than there may be.
    gossip_crowded,
    /// What peers told of other nodes and was not taken in: more than a node may announce, or of this very node.
    gossip_hearsay,
    /// Times that a task of the network panicked and was started again.
    task_restarts,
    /// Notices of peers taken in.
    notices_received,
    /// Member events that a reader of [`Network::member_events`](super::Network::member_events)
    /// could have heard.
    member_events,
    /// Addresses not remembered because the book was full.
    addresses_refused,
}

impl Counters {
    /// Counts a connection that was refused or ended.
    pub(super) fn count_end(&self, attempt: Attempt, reason: Reason) {
        *lock(&self.ended).entry((attempt, reason)).or_default() += 1;
    }
}

impl NetworkStats {
    /// How many connections were refused or ended for `reason`.
    #[must_use]
    pub fn ended_for(&self, reason: Reason) -> u64 {
        self.ended.iter().filter(|((_, why), _)| *why == reason).map(|(_, count)| count).sum()
    }
}
