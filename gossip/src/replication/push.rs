//! Push: a replica's own entries go straight to every connected peer.
//!
//! Only own lanes are pushed. Others' entries are never relayed unasked; who lacks them learns so
//! from heads and pulls.

use super::config::Config;
use super::message::Message;
use super::peer::Claim;
use super::replica::{Output, Replica};
use super::tail::{Born, Kept, Tail};
use bytes::Bytes;
use crdt_state::{Lane, LaneId, Mono, Origin};
use std::time::Duration;

impl Replica {
    /// Appends an entry of ours, which the state has already applied, and starts it on its way.
    /// Returns its number.
    ///
    /// # Panics
    /// If the entry is longer than [`ENTRY_BYTES_MAX`](super::ENTRY_BYTES_MAX): the owner's bug.
    pub fn commit(&mut self, now: Mono, lane: Lane, entry: Bytes) -> u64 {
        assert!(entry.len() <= super::ENTRY_BYTES_MAX, "an entry of {} bytes", entry.len());
        let bytes = entry.len();
        let id = LaneId { origin: self.me, lane };
        let seq = self.append(id, Kept { bytes: entry, born: Born::ago(now, Duration::ZERO) });
        for peer in self.peers.values_mut() {
            peer.push(lane).on_commit(now, bytes);
        }
        self.flush(now);
        self.trim();
        seq
    }

    /// Sends every batch that is due.
    pub(super) fn flush(&mut self, now: Mono) {
        for (&to, peer) in &mut self.peers {
            for lane in Lane::ALL {
                let id = LaneId { origin: self.me, lane };
                let Some(tail) = self.tails.get(id) else { continue };
                let rtt = peer.rtt;
                let push = peer.push(lane);
                push.skip_to(tail.base());
                while push.due(&self.config, tail.head()).is_some_and(|at| at <= now) {
                    let (last, bytes, message) =
                        entries(id, tail, push.sent, self.config.flush_bytes, now, rtt);
                    push.on_sent(now, last, bytes, tail.head());
                    crdt_state::bounded!(Pushed, push.flight_bytes(), pushed_max(&self.config));
                    self.outputs.push_back(Output::Send { to, lane, message });
                }
            }
        }
    }

    /// When the next batch is due.
    pub(super) fn flush_due(&self) -> Option<Mono> {
        let pushes = self.peers.values().flat_map(super::peer::Peer::pushes);
        let due = |(lane, push): (Lane, &super::peer::Push)| {
            push.due(&self.config, self.heads.get(&LaneId { origin: self.me, lane }))
        };
        pushes.filter_map(due).min()
    }

    pub(super) fn on_ack(&mut self, now: Mono, from: Origin, lane: Lane, claim: Claim) {
        let head = claim.head;
        let id = LaneId { origin: self.me, lane };
        let mine = self.heads.get(&id);
        if head > mine {
            return self.quarantine(id, head, from);
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.learn_head(id, head);
        peer.push(lane).on_ack(now, head, mine);
        peer.claim(lane, claim);
        // What may leave now leaves at the end of the turn, with whatever else came in it.
        self.settle_receipts();
    }
}

/// What may be on its way to a peer on one lane: a batch leaves whole, as long as the window is not full.
fn pushed_max(config: &Config) -> usize {
    config.window_bytes + config.flush_bytes.max(super::ENTRY_BYTES_MAX)
}

/// The entries after `seq` as a message, with the number of its last entry and its size.
pub(super) fn entries(
    id: LaneId,
    tail: &Tail,
    seq: u64,
    bytes_max: usize,
    now: Mono,
    rtt: Duration,
) -> (u64, usize, Message) {
    let first = seq.max(tail.base()) + 1;
    let batch: Vec<&Kept> = tail.batch(seq, bytes_max).collect();
    let entries: Vec<Bytes> = batch.iter().map(|kept| kept.bytes.clone()).collect();
    let bytes = entries.iter().map(Bytes::len).sum();
    let mut ages_ms: Vec<u32> = batch.iter().map(|kept| kept.born.age_ms(now, rtt)).collect();
    if id.lane == Lane::Bulk || ages_ms.iter().all(|age| *age == ages_ms[0]) {
        ages_ms.truncate(1); // of bulk only the order of magnitude matters
    }
    let last = seq.max(tail.base()) + entries.len() as u64;
    (last, bytes, Message::Entries { id, first, ages_ms, entries })
}
