//! Taking a snapshot: for who lacks everything, or what nobody keeps one by one any more.
//!
//! A snapshot is an exact cut and the vector of that cut. Its parts are asked for one by one,
//! staged, and joined as a whole; until then nothing of it is content. Entries that arrive
//! meanwhile are applied or stashed as always. If the source fails, the staged parts are worth
//! nothing (another cut is another vector) and another source is asked.
//!
//! Content cannot be taken in part, so a snapshot that holds more of a quarantined lane than was taken
//! here is not taken at all: not asked for where the peer's heads tell so, and refused and counted where
//! its vector does.

use super::alarm::Alarm;
use super::entries::Arrival;
use super::message::{LANES_MAX, Message, SNAPSHOT_BYTES_MAX};
use super::peer::Peer;
use super::replica::{Output, Replica};
use super::replicated::{ApplyError, Replicated};
use super::status::beyond;
use super::tail::Born;
use bytes::Bytes;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, Origin};
use crdts::CmRDT;

/// Who has less than one in so many of a peer's entries takes its snapshot, not its tail.
const NEWCOMER_SHARE: u64 = 8;

/// A snapshot on its way here.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) source: Origin,
    pub(super) asked_at: Mono,
    session: u64,
    tries: u32,
    /// How many parts there are, and the vector of the cut, once the source has said so.
    head: Option<(u32, Heads)>,
    parts: Vec<Bytes>,
    bytes: usize,
    cut: Born,
}

impl Fetch {
    /// Whether the snapshot will bring entry `from`, as far as is known.
    pub(super) fn covers(&self, id: LaneId, from: u64) -> bool {
        self.head.as_ref().is_none_or(|(_, heads)| heads.get(&id) >= from)
    }

    fn is(&self, source: Origin, session: u64) -> bool {
        self.source == source && self.session == session
    }

    /// What is asked for next.
    fn next(&self) -> Message {
        let (session, index) = (self.session, u32::try_from(self.parts.len()).unwrap_or(u32::MAX));
        match self.head {
            None => Message::SnapshotRequest { session },
            Some(_) => Message::SnapshotNext { session, index },
        }
    }
}

impl Replica {
    /// Starts to fetch a snapshot if one is needed and somebody can give it.
    pub(super) fn start_snapshot(&mut self, now: Mono) {
        if self.repair.fetch.is_some() {
            return;
        }
        let Some(source) = self.repair.distrusted.take().or_else(|| self.snapshot_source()) else {
            return;
        };
        self.repair.sessions += 1;
        self.stats.snapshots_asked += 1;
        let fetch = Fetch {
            source,
            asked_at: now,
            session: self.repair.sessions,
            tries: 1,
            head: None,
            parts: Vec::new(),
            bytes: 0,
            cut: Born::UNKNOWN,
        };
        self.send(source, Lane::Control, fetch.next());
        self.repair.fetch = Some(fetch);
    }

    /// The peer with the most that we lack, if it takes a snapshot to get it.
    fn snapshot_source(&self) -> Option<Origin> {
        let trimmed = self.lacking_trimmed();
        let willing = |(origin, peer): &(&Origin, &Peer)| {
            let has = |id: &LaneId| peer.heads.get(id) > self.heads.get(id);
            let newcomer = peer.outweighs && self.is_newcomer_to(peer);
            let needed = newcomer || trimmed.iter().any(has);
            let shunned = self.repair.shunned.contains_key(origin);
            needed && !shunned && !self.passes_quarantine(&peer.heads)
        };
        let rank = |(origin, peer): &(&Origin, &Peer)| {
            (beyond(&peer.heads, &self.heads), std::cmp::Reverse((peer.rtt, **origin)))
        };
        self.peers.iter().filter(willing).max_by_key(rank).map(|(origin, _)| *origin)
    }

    /// Whether we lack nearly all of what a peer has, and that is a lot.
    pub(super) fn is_newcomer_to(&self, peer: &Peer) -> bool {
        let all = beyond(&peer.heads, &Heads::new());
        let shared = all - beyond(&peer.heads, &self.heads);
        peer.tail_bytes > self.config.snapshot_above_bytes && shared < all.div_ceil(NEWCOMER_SHARE)
    }

    /// Asks again for what did not come, or gives the source up.
    pub(super) fn continue_snapshot(&mut self, now: Mono) {
        let Some(fetch) = &mut self.repair.fetch else { return };
        if now < fetch.asked_at + self.config.snapshot_timeout {
            return;
        }
        if fetch.tries >= self.config.snapshot_tries {
            return self.give_up(now);
        }
        fetch.tries += 1;
        fetch.asked_at = now;
        let (source, message) = (fetch.source, fetch.next());
        self.send(source, Lane::Control, message);
    }

    /// The source failed: the next attempt prefers another.
    fn give_up(&mut self, now: Mono) {
        if let Some(fetch) = self.repair.fetch.take() {
            self.stats.snapshots_failed += 1;
            let until = now + self.config.snapshot_timeout;
            self.repair.shunned.insert(fetch.source, until);
        }
    }

    pub(super) fn on_snapshot_refused(&mut self, now: Mono, from: Origin, session: u64) {
        if self.repair.fetch.as_ref().is_some_and(|fetch| fetch.is(from, session)) {
            self.give_up(now);
        }
    }

    pub(super) fn on_snapshot_head(
        &mut self,
        now: Mono,
        from: Origin,
        session: u64,
        parts: u32,
        heads: Heads,
    ) {
        let expected = |fetch: &Fetch| fetch.is(from, session) && fetch.head.is_none();
        if !self.repair.fetch.as_ref().is_some_and(expected) {
            return;
        }
        if self.passes_quarantine(&heads) {
            self.stats.snapshots_barred += 1;
            return self.give_up(now);
        }
        if let Some((id, seq)) = self.claimed(&heads) {
            self.quarantine(id, seq, from);
            return self.give_up(now);
        }
        if let Err(refusal) = self.check_room(&heads) {
            self.alarm(refusal);
            return self.give_up(now);
        }
        if let Some(fetch) = &mut self.repair.fetch {
            fetch.head = Some((parts, heads));
        }
        self.ask_next(now);
    }

    /// Whether a vector holds more of a quarantined lane than was taken here.
    fn passes_quarantine(&self, heads: &Heads) -> bool {
        self.quarantined.iter().any(|id| heads.get(id) > self.heads.get(id))
    }

    /// A lane of our own of which a cut has more than we wrote, and how far.
    fn claimed(&self, cut: &Heads) -> Option<(LaneId, u64)> {
        let own = Lane::ALL.map(|lane| LaneId { origin: self.me, lane });
        let mut told = own.into_iter().map(|id| (id, cut.get(&id)));
        told.find(|(id, seq)| *seq > self.heads.get(id))
    }

    /// A cut must not bring more lanes than there may be.
    fn check_room(&self, heads: &Heads) -> Result<(), Alarm> {
        let mut unknown = heads.dots.keys().filter(|id| self.heads.get(id) == 0);
        // Ours have their place, whether or not we have written yet.
        let own = Lane::ALL.map(|lane| LaneId { origin: self.me, lane });
        let own = own.iter().filter(|id| self.heads.get(id) == 0).count();
        match unknown.nth(LANES_MAX.saturating_sub(self.heads.dots.len() + own)) {
            Some(id) => Err(Alarm::LanesFull { id: *id }),
            None => Ok(()),
        }
    }

    fn ask_next(&mut self, now: Mono) {
        let Some(fetch) = &mut self.repair.fetch else { return };
        fetch.tries = 1;
        fetch.asked_at = now;
        let (source, message) = (fetch.source, fetch.next());
        self.send(source, Lane::Control, message);
    }

    pub(super) fn on_snapshot_part(
        &mut self,
        now: Mono,
        from: Origin,
        (session, index): (u64, u32),
        age_ms: u32,
        bytes: Bytes,
        state: &mut impl Replicated,
    ) {
        let Some(fetch) = self.repair.fetch.as_mut().filter(|fetch| fetch.is(from, session)) else {
            return;
        };
        let Some((total, _)) = fetch.head else { return };
        if index as usize != fetch.parts.len() {
            return; // a part asked for twice came twice
        }
        fetch.bytes += bytes.len();
        if fetch.bytes > SNAPSHOT_BYTES_MAX {
            let reason = format!("more than {SNAPSHOT_BYTES_MAX} bytes");
            self.alarm(Alarm::MalformedSnapshot { peer: from, reason });
            return self.give_up(now);
        }
        fetch.parts.push(bytes);
        crdt_state::bounded!(Staged, fetch.bytes, SNAPSHOT_BYTES_MAX);
        fetch.cut = Born::ago_ms(now, age_ms);
        let whole = fetch.parts.len() == total as usize;
        self.ask_next(now); // of a whole snapshot it says so, and the source lets go
        if whole && let Some(fetch) = self.repair.fetch.take() {
            self.restore(now, fetch, state);
        }
    }

    /// Joins a whole snapshot: content and heads move as one.
    fn restore(&mut self, now: Mono, fetch: Fetch, state: &mut impl Replicated) {
        let Fetch { source, parts, cut, head, .. } = fetch;
        let Some((_, heads)) = head else { return };
        if self.passes_quarantine(&heads) {
            // The lane was quarantined while the parts came.
            self.stats.snapshots_barred += 1;
            self.repair.shunned.insert(source, now + self.config.snapshot_timeout);
            return;
        }
        match state.restore(now, cut.age(now), Some(&heads), &parts) {
            Ok(()) => {
                self.stats.snapshots_joined += 1;
                crdt_state::sometimes!(SnapshotJoined);
                self.adopt(&heads);
                self.check_content(state);
                self.outputs.push_back(Output::Restored { heads });
                self.drain_all(now, source, state);
            }
            Err(ApplyError::Unsupported { kind, version }) => self.halt(kind, version, source),
            Err(ApplyError::Malformed { reason }) => {
                self.alarm(Alarm::MalformedSnapshot { peer: source, reason });
                self.stats.snapshots_failed += 1;
                self.repair.shunned.insert(source, now + self.config.snapshot_timeout);
            }
        }
    }

    /// Raises our heads to those of a cut whose content was just joined.
    fn adopt(&mut self, cut: &Heads) {
        for (id, head) in &cut.dots {
            if *head > self.heads.get(id) {
                self.heads.apply(Dot::new(*id, *head));
                self.tails.reset(*id, *head);
                if self.peers.contains_key(&id.origin) {
                    self.send_ack(*id, *head);
                }
            }
        }
        self.audit.forget_digest();
        self.settle_receipts();
    }

    fn drain_all(&mut self, now: Mono, from: Origin, state: &mut impl Replicated) {
        for id in self.stash.lanes().map(|(id, _)| id).collect::<Vec<_>>() {
            self.drain(Arrival { now, from, id }, state);
        }
        self.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    /// A vector of so many lanes of strangers.
    fn cut(lanes: u64) -> Heads {
        let mut heads = Heads::new();
        (1..=lanes).for_each(|n| heads.apply(Dot::new(LaneId::bulk(Origin(n)), 1)));
        heads
    }

    #[test]
    fn whoever_joins_the_fullest_cut_can_still_say_its_heads() {
        let (me, peer) = (Origin(1 << 40), Origin(1 << 41));
        let most = LANES_MAX as u64;
        let mut replica = Replica::new(me, Config::default());
        for lanes in [most - 1, most] {
            let refusal = replica.check_room(&cut(lanes));
            assert!(matches!(refusal, Err(Alarm::LanesFull { .. })), "{refusal:?}");
        }
        let fullest = cut(most - Lane::ALL.len() as u64);
        assert_eq!(replica.check_room(&fullest), Ok(()));
        replica.adopt(&fullest);
        for lane in Lane::ALL {
            replica.commit(Mono::from_millis(1), lane, Bytes::from_static(b"mine"));
        }
        assert_eq!(replica.check_room(&fullest), Ok(()), "what is known takes no room");
        replica.send_heads(peer, None);
        let heads = std::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
            Output::Send { message: heads @ Message::Heads { .. }, .. } => Some(heads),
            _ => None,
        });
        let heads = heads.expect("they were to be sent");
        assert_eq!(Message::decode(&heads.encode()), Ok(heads), "its peers can read them");
    }
}
