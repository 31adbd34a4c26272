//! A connected peer as this replica knows it: what it has, and what is on its way to it.
//!
//! All of it is forgotten when the peer goes down: what a peer without a link still holds is not
//! known, so it counts for nobody's receipt.

use super::config::Config;
use super::message::{LANES_MAX, Span};
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId};
use crdts::CmRDT;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A peer's word of how far it has a lane of ours, and how much it had written itself by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) head: u64,
    pub(super) said: u64,
}

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) rtt: Duration,
    pub(super) heads: Heads,
    bases: BTreeMap<LaneId, u64>,
    /// How far its word about our lanes counts, and what it has said of them since.
    counted: [u64; Lane::ALL.len()],
    claimed: [Option<Claim>; Lane::ALL.len()],
    pub(super) tail_bytes: u64,
    /// By its last heads, a snapshot is the shorter way to what it has.
    pub(super) outweighs: bool,
    control: Push,
    bulk: Push,
}

impl Peer {
    /// A peer just connected. Pushing starts after what exists now: the rest is the peer's to ask
    /// for.
    pub(super) fn new(node: NodeId, rtt: Duration, head: impl Fn(Lane) -> u64) -> Self {
        Peer {
            node,
            rtt,
            heads: Heads::new(),
            bases: BTreeMap::new(),
            counted: Default::default(),
            claimed: Default::default(),
            tail_bytes: 0,
            outweighs: false,
            control: Push { sent: head(Lane::Control), ..Push::default() },
            bulk: Push { sent: head(Lane::Bulk), ..Push::default() },
        }
    }

    pub(super) fn push(&mut self, lane: Lane) -> &mut Push {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Bulk => &mut self.bulk,
        }
    }

    pub(super) fn pushes(&self) -> [(Lane, &Push); 2] {
        [(Lane::Control, &self.control), (Lane::Bulk, &self.bulk)]
    }

    /// The peer has a lane up to `head`. Heads only grow, so an old message changes nothing.
    pub(super) fn learn_head(&mut self, id: LaneId, head: u64) {
        if self.heads.dots.len() < LANES_MAX || self.heads.get(&id) > 0 {
            self.heads.apply(Dot::new(id, head));
            crdt_state::bounded!(PeerLanes, self.heads.dots.len(), LANES_MAX);
        }
    }

    /// The peer says how far it has a lane of ours. Of two words that wait the larger parts wait on.
    pub(super) fn claim(&mut self, lane: Lane, claim: Claim) {
        let waiting = self.claimed[lane as usize].get_or_insert(claim);
        waiting.head = claim.head.max(waiting.head);
        waiting.said = claim.said.max(waiting.said);
    }

    /// Its own control lane is here up to `applied`: what it said by then counts.
    pub(super) fn count(&mut self, applied: u64) {
        for (counted, claimed) in self.counted.iter_mut().zip(&mut self.claimed) {
            if let Some(claim) = claimed.take_if(|claim| claim.said <= applied) {
                *counted = claim.head.max(*counted);
            }
        }
    }

    /// How far its word about a lane of ours counts.
    pub(super) fn counted(&self, lane: Lane) -> u64 {
        self.counted[lane as usize]
    }

    pub(super) fn learn_base(&mut self, id: LaneId, base: u64) {
        if base > 0 && self.heads.get(&id) > 0 {
            let known = self.bases.entry(id).or_default();
            *known = base.max(*known);
        }
    }

    pub(super) fn learn(&mut self, span: &Span) {
        self.learn_head(span.id, span.head);
        self.learn_base(span.id, span.base);
    }

    /// Whether the peer keeps entry `seq` one by one.
    pub(super) fn serves(&self, id: LaneId, seq: u64) -> bool {
        self.heads.get(&id) >= seq && self.bases.get(&id).is_none_or(|base| *base < seq)
    }
}

/// One of our lanes on its way to one peer.
///
/// The batch rule: at once when nothing is in flight and the last push is a little while ago,
/// else when enough bytes wait or the oldest has waited long enough; never beyond the window. A
/// slow peer has no buffer to lose: there is only this cursor into the tail.
#[derive(Debug, Default)]
pub(super) struct Push {
    /// The newest entry sent or known to be there.
    pub(super) sent: u64,
    flight: VecDeque<Batch>,
    flight_bytes: usize,
    flushed: Option<Mono>,
    waiting_since: Option<Mono>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Batch {
    last: u64,
    bytes: usize,
}

impl Push {
    /// A new entry waits.
    pub(super) fn on_commit(&mut self, now: Mono, bytes: usize) {
        self.waiting_since.get_or_insert(now);
        self.waiting_bytes += bytes;
    }

    /// A batch up to `last` was sent; more may wait.
    pub(super) fn on_sent(&mut self, now: Mono, last: u64, bytes: usize, head: u64) {
        self.sent = last;
        self.flight.push_back(Batch { last, bytes });
        self.flight_bytes += bytes;
        self.flushed = Some(now);
        self.on_progress(now, bytes, head);
    }

    /// The peer has everything up to `acked`.
    pub(super) fn on_ack(&mut self, now: Mono, acked: u64, head: u64) {
        while let Some(batch) = self.flight.pop_front_if(|batch| batch.last <= acked) {
            self.flight_bytes -= batch.bytes;
        }
        if acked > self.sent {
            self.sent = acked;
            self.on_progress(now, 0, head);
        }
    }

    /// What is older than `base` cannot be pushed any more.
    pub(super) fn skip_to(&mut self, base: u64) {
        self.sent = self.sent.max(base);
    }

    fn on_progress(&mut self, now: Mono, bytes: usize, head: u64) {
        if self.sent >= head {
            self.waiting_since = None;
            self.waiting_bytes = 0;
        } else {
            self.waiting_since = Some(now);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        }
    }

    /// What is on its way and not acknowledged.
    pub(super) fn flight_bytes(&self) -> usize {
        self.flight_bytes
    }

    /// When the next batch should leave; `None` while nothing waits or the window is full.
    pub(super) fn due(&self, config: &Config, head: u64) -> Option<Mono> {
        if self.sent >= head || self.flight_bytes >= config.window_bytes {
            return None;
        }
        if self.flight.is_empty() {
            return Some(self.flushed.map_or(Mono::ZERO, |at| at + config.flush_gap));
        }
        if self.waiting_bytes >= config.flush_bytes {
            return Some(Mono::ZERO);
        }
        Some(self.waiting_since.unwrap_or_default() + config.flush_delay)
    }

    /// # Panics
    /// If the flight is out of order or miscounted.
    pub(super) fn check(&self, head: u64) {
        let bytes: usize = self.flight.iter().map(|batch| batch.bytes).sum();
        assert!(bytes == self.flight_bytes, "a push knows how much is in flight");
        let lasts = self.flight.iter().map(|batch| batch.last);
        assert!(lasts.is_sorted(), "batches leave in order");
        assert!(self.sent <= head, "nothing is sent before it exists");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn committed(push: &mut Push, at: Mono, bytes: usize) -> Option<Mono> {
        push.on_commit(at, bytes);
        push.due(&Config::default(), push.sent + 1)
    }

    #[test]
    fn the_first_batch_leaves_at_once_and_the_next_keeps_its_distance() {
        let mut push = Push::default();
        assert_eq!(committed(&mut push, 10 * MS, 8), Some(Mono::ZERO));
        push.on_sent(10 * MS, 1, 8, 1);
        push.on_ack(10 * MS, 1, 1);
        assert_eq!(committed(&mut push, 10 * MS, 8), Some(11 * MS));
    }

    #[test]
    fn with_a_batch_in_flight_time_or_size_lets_the_next_one_go() {
        let mut push = Push::default();
        push.on_sent(10 * MS, 1, 8, 1);
        assert_eq!(committed(&mut push, 12 * MS, 8), Some(17 * MS));
        assert_eq!(committed(&mut push, 13 * MS, 64 << 10), Some(Mono::ZERO));
    }

    #[test]
    fn a_peer_that_does_not_acknowledge_gets_no_more_than_the_window() {
        let mut push = Push::default();
        push.on_sent(10 * MS, 1, 1 << 20, 2);
        assert_eq!(committed(&mut push, 12 * MS, 8), None);
        push.on_ack(20 * MS, 1, 2);
        assert_eq!(push.due(&Config::default(), 2), Some(11 * MS));
    }
}
