//! Entries arrive: duplicates are dropped, the next one is applied, a gap is never applied over.

use super::alarm::Alarm;
use super::message::Message;
use super::replica::{Output, Replica};
use super::replicated::{ApplyError, Replicated};
use super::stash::Stashed;
use super::tail::{Born, Kept};
use bytes::Bytes;
use crdt_state::{Lane, LaneId, Mono, Origin};

/// When something arrived, who brought it, and for which lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) now: Mono,
    pub(super) from: Origin,
    pub(super) id: LaneId,
}

/// What an entry is to a lane with a given head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Applied already.
    Duplicate,
    /// The one to be applied now.
    Next,
    /// Others are missing before it.
    Ahead,
}

fn place(seq: u64, head: u64) -> Place {
    match seq {
        _ if seq <= head => Place::Duplicate,
        _ if seq == head + 1 || crdt_state::planted!(GapApplied) => Place::Next,
        _ => Place::Ahead,
    }
}

impl Replica {
    pub(super) fn on_entries(
        &mut self,
        at: Arrival,
        first: u64,
        ages_ms: &[u32],
        entries: Vec<Bytes>,
        state: &mut impl Replicated,
    ) {
        let Arrival { now, from, id } = at;
        let before = self.heads.get(&id);
        let next = first + entries.len() as u64;
        if let Some(peer) = self.peers.get_mut(&from).filter(|_| id.origin != self.me) {
            peer.learn_head(id, next - 1);
        }
        let ages = ages_ms.iter().chain(std::iter::repeat(&ages_ms[0]));
        for ((seq, bytes), age_ms) in (first..).zip(entries).zip(ages) {
            if !self.takes(id) {
                break;
            }
            let kept = Kept { bytes, born: Born::ago_ms(now, *age_ms) };
            self.on_entry(at, seq, kept, state);
        }
        self.drain(at, state);
        let ready_at = self.push_expected(now, id);
        self.repair.on_entries(from, id, first, ready_at);
        self.unaged.on_entries(from, id, first..next, !ages_ms.contains(&u32::MAX));
        self.acknowledge(at, before);
        if id.lane == Lane::Control {
            self.settle_receipts();
        }
        self.trim();
    }

    /// Whether anything more is taken from a lane.
    pub(super) fn takes(&mut self, id: LaneId) -> bool {
        !self.halted && !self.quarantined.contains(&id) && self.admits(id)
    }

    fn on_entry(&mut self, at: Arrival, seq: u64, kept: Kept, state: &mut impl Replicated) {
        match place(seq, self.heads.get(&at.id)) {
            Place::Duplicate => self.on_duplicate(at, seq, &kept, state),
            _ if at.id.origin == self.me => self.quarantine(at.id, seq, at.from),
            Place::Next => self.apply(at, kept, state),
            Place::Ahead => match self.stash.put(at.id, seq, kept) {
                Stashed::Conflict => self.quarantine(at.id, seq, at.from),
                Stashed::Kept => {
                    crdt_state::sometimes!(EntryStashed);
                    self.repair.on_gap(at.id);
                }
                Stashed::Dropped => {
                    self.stats.stash_full += 1;
                    self.repair.on_gap(at.id);
                }
            },
        }
    }

    /// Applied before. If the bytes are still kept they must be the same.
    fn on_duplicate(&mut self, at: Arrival, seq: u64, kept: &Kept, state: &mut impl Replicated) {
        self.stats.duplicates += 1;
        let tail = self.tails.get_mut(at.id);
        let Some(held) = tail.and_then(|tail| tail.at_mut(seq)) else { return };
        if held.bytes != kept.bytes {
            return self.quarantine(at.id, seq, at.from);
        }
        if held.born == Born::UNKNOWN && kept.born != Born::UNKNOWN {
            held.born = kept.born;
            crdt_state::sometimes!(AgeLearnt);
            state.aged(at.id, seq, kept.born.age(at.now), at.now);
        }
    }

    /// Applies the next entry of a lane: content, heads and tail move as one.
    fn apply(&mut self, at: Arrival, kept: Kept, state: &mut impl Replicated) {
        let Arrival { now, from, id } = at;
        let seq = self.heads.get(&id) + 1;
        match state.apply(id, seq, kept.born.age(now), now, &kept.bytes) {
            Ok(()) => {
                self.stats.applied += 1;
                self.outputs.push_back(Output::Applied { id, seq, entry: kept.bytes.clone() });
                self.append(id, kept);
                crdt_state::always!(AppliedIsHead, self.heads.get(&id) == seq);
                self.check_applied(id, state);
            }
            Err(ApplyError::Unsupported { kind, version }) => self.halt(kind, version, from),
            Err(ApplyError::Malformed { reason }) => {
                self.quarantined.insert(id);
                self.alarm(Alarm::MalformedEntry { id, seq, peer: from, reason });
                self.forget_lane(id);
            }
        }
    }

    /// Applies what waited for its turn.
    pub(super) fn drain(&mut self, at: Arrival, state: &mut impl Replicated) {
        while self.takes(at.id) {
            let Some(kept) = self.stash.take(at.id, self.heads.get(&at.id) + 1) else { return };
            self.apply(at, kept, state);
        }
    }

    /// Something newer than this program: nothing more is applied, and nothing skipped.
    pub(super) fn halt(&mut self, kind: u16, version: u16, peer: Origin) {
        self.halted = true;
        self.alarm(Alarm::Unsupported { kind, version, peer });
        self.stash.clear();
        self.repair.clear();
    }

    pub(super) fn send_ack(&mut self, id: LaneId, head: u64) {
        let said = self.heads.get(&LaneId::control(self.me));
        self.send(id.origin, Lane::Control, Message::Ack { lane: id.lane, head, said });
    }

    /// Tells a lane's origin how far it was applied, once per message.
    fn acknowledge(&mut self, at: Arrival, before: u64) {
        let Arrival { from, id, .. } = at;
        let mut head = self.heads.get(&id);
        if crdt_state::planted!(AckPastGap) {
            let beyond = self.stash.lanes().find(|(waiting, _)| *waiting == id);
            head = beyond.map_or(head, |(_, first)| first);
        }
        let news = head > before || from == id.origin;
        if head > 0 && news && self.peers.contains_key(&id.origin) {
            self.send_ack(id, head);
        }
    }
}
