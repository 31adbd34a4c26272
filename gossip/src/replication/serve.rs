//! Serving those who lack: ranges out of the tail, snapshots out of the state.
//!
//! Every reply is one message, so the asker sets the pace. A cut is held for the asker until it
//! has the last part, falls silent or goes down; how many are held at once is bounded. A part is
//! written when it is asked for, so that between two of them everybody else is served.

use super::config::Config;
use super::message::{Message, PART_BYTES_MAX, PARTS_MAX, PULL_BYTES_MAX};
use super::push::entries;
use super::replica::Replica;
use super::replicated::{Cut, Replicated};
use super::tail::Born;
use crdt_state::{Heads, Lane, LaneId, Mono, Origin};
use std::collections::BTreeMap;
use std::time::Duration;

/// A cut held for one peer.
#[derive(Debug)]
struct Held {
    session: u64,
    heads: Heads,
    /// What is sent, written when it is asked for.
    content: Box<dyn Cut>,
    cut: Born,
    used_at: Mono,
}

impl Held {
    fn head(&self) -> Message {
        let parts = u32::try_from(self.content.parts()).unwrap_or(u32::MAX);
        Message::SnapshotHead { session: self.session, parts, heads: self.heads.clone() }
    }
}

/// The cuts held for peers.
#[derive(Debug, Default)]
pub(super) struct Serving {
    held: BTreeMap<Origin, Held>,
}

impl Serving {
    pub(super) fn forget(&mut self, peer: Origin) {
        self.held.remove(&peer);
    }

    pub(super) fn expire(&mut self, now: Mono, config: &Config) {
        self.held.retain(|_, held| held.used_at + config.snapshot_idle > now);
    }

    pub(super) fn due(&self, config: &Config) -> Option<Mono> {
        self.held.values().map(|held| held.used_at + config.snapshot_idle).min()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

/// The vector that a cut is sent with: what it holds.
fn claimed(heads: &Heads) -> Heads {
    let mut heads = heads.clone();
    if crdt_state::planted!(SnapshotClaimsTooMuch)
        && let Some(bulk) = heads.dots.keys().copied().rfind(|id| id.lane == Lane::Bulk)
    {
        let _ = heads.dots.entry(bulk).and_modify(|head| *head += 1);
    }
    heads
}

impl Replica {
    pub(super) fn on_pull(
        &mut self,
        now: Mono,
        from: Origin,
        id: LaneId,
        seq: u64,
        bytes_max: u32,
    ) {
        let (Some(peer), Some(tail)) = (self.peers.get(&from), self.tails.get(id)) else { return };
        if seq <= tail.base() {
            let base = tail.base();
            return self.send(from, id.lane, Message::Gone { id, base });
        }
        if seq > tail.head() {
            return; // nothing yet; our next heads will not claim it either
        }
        let bytes_max = (bytes_max as usize).min(PULL_BYTES_MAX);
        let (_, _, message) = entries(id, tail, seq - 1, bytes_max, now, peer.rtt);
        self.stats.pulls_served += 1;
        self.send(from, id.lane, message);
    }

    pub(super) fn on_snapshot_request(
        &mut self,
        now: Mono,
        from: Origin,
        session: u64,
        state: &impl Replicated,
    ) {
        if self.serving.held.get(&from).is_some_and(|held| held.session != session) {
            self.serving.forget(from);
        }
        let room = self.serving.held.len() < self.config.snapshots_served_max;
        if !room && !self.serving.held.contains_key(&from) {
            return self.send(from, Lane::Control, Message::SnapshotRefused { session });
        }
        let heads = &self.heads;
        let held = self.serving.held.entry(from).or_insert_with(|| Held {
            session,
            heads: claimed(heads),
            content: cut(now, state),
            cut: Born::ago(now, Duration::ZERO),
            used_at: now,
        });
        held.used_at = now;
        let head = held.head();
        crdt_state::bounded!(Cuts, self.serving.len(), self.config.snapshots_served_max);
        self.send(from, Lane::Control, head);
    }

    pub(super) fn on_snapshot_next(&mut self, now: Mono, from: Origin, session: u64, index: u32) {
        let rtt = self.peers.get(&from).map_or(Duration::ZERO, |peer| peer.rtt);
        let held = self.serving.held.get_mut(&from).filter(|held| held.session == session);
        let Some(held) = held else {
            return self.send(from, Lane::Control, Message::SnapshotRefused { session });
        };
        held.used_at = now;
        let age_ms = held.cut.age_ms(now, rtt);
        match held.content.part(index as usize) {
            Some(bytes) => {
                assert!(bytes.len() <= PART_BYTES_MAX, "a part of {} bytes", bytes.len());
                let part = Message::SnapshotPart { session, index, age_ms, bytes };
                self.send(from, Lane::Bulk, part);
            }
            None => {
                self.stats.snapshots_served += 1;
                crdt_state::sometimes!(SnapshotServed);
                self.serving.forget(from);
            }
        }
    }
}

/// # Panics
/// If the state breaks its promise about parts: the owner's bug.
fn cut(now: Mono, state: &impl Replicated) -> Box<dyn Cut> {
    let cut = state.cut(now);
    let parts = cut.parts();
    assert!((1..=PARTS_MAX as usize).contains(&parts), "a cut of {parts} parts");
    cut
}
