//! Repair: whoever lacks a range asks one peer that has it.
//!
//! A lack is noticed in two ways: somebody's heads are ahead of ours, or an entry came before its
//! turn. What its origin is probably pushing right now gets a moment; all else is asked for at
//! once, control before bulk, under a byte budget, and asked of somebody else when no answer
//! comes. Only when nobody keeps the range one by one is a snapshot needed.

use super::config::Config;
use super::message::Message;
use super::replica::Replica;
use super::snapshot::Fetch;
use crdt_state::{Lane, LaneId, Mono, Origin};
use std::collections::BTreeMap;

/// A lane of which somebody has more.
#[derive(Debug, Default)]
struct Want {
    /// Until then the origin's own push may still fill it; `None` if there is nothing to wait for.
    ready_at: Option<Mono>,
    /// Who did not answer the last pull.
    avoid: Option<Origin>,
}

/// A pull without an answer so far.
#[derive(Debug)]
struct Pull {
    peer: Origin,
    from: u64,
    sent_at: Mono,
}

/// Everything that is being asked for.
#[derive(Debug, Default)]
pub(super) struct Repair {
    wants: BTreeMap<LaneId, Want>,
    pulls: BTreeMap<LaneId, Pull>,
    pub(super) fetch: Option<Fetch>,
    pub(super) sessions: u64,
    /// Who failed to give a snapshot, and until when others are preferred.
    pub(super) shunned: BTreeMap<Origin, Mono>,
    /// A peer whose digest differed: its snapshot is joined.
    pub(super) distrusted: Option<Origin>,
}

impl Repair {
    pub(super) fn distrust(&mut self, peer: Origin) {
        self.distrusted = Some(peer);
    }

    /// An entry came before its turn: nothing but a pull will fill the gap.
    pub(super) fn on_gap(&mut self, id: LaneId) {
        self.wants.entry(id).or_default().ready_at = None;
    }

    /// Entries of a lane arrived. What its origin still pushes may fill the rest by `ready_at`.
    pub(super) fn on_entries(
        &mut self,
        from: Origin,
        id: LaneId,
        first: u64,
        ready_at: Option<Mono>,
    ) {
        let answers = |pull: &Pull| pull.peer == from && first <= pull.from;
        if self.pulls.get(&id).is_some_and(answers) {
            self.pulls.remove(&id);
        } else if let Some(want) = self.wants.get_mut(&id).filter(|want| want.ready_at.is_some()) {
            want.ready_at = ready_at; // the push is alive: leave it its moment
        }
    }

    pub(super) fn on_peer_down(&mut self, peer: Origin) {
        self.pulls.retain(|_, pull| pull.peer != peer);
        for (_, want) in self.wants.iter_mut().filter(|(id, _)| id.origin == peer) {
            want.ready_at = None;
        }
        self.fetch.take_if(|fetch| fetch.source == peer);
        self.distrusted.take_if(|distrusted| *distrusted == peer);
        self.shunned.remove(&peer);
    }

    pub(super) fn forget(&mut self, id: LaneId) {
        self.wants.remove(&id);
        self.pulls.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        *self = Repair { sessions: self.sessions, ..Repair::default() };
    }

    pub(super) fn due(&self, config: &Config) -> Option<Mono> {
        let wants = self.wants.values().filter_map(|want| want.ready_at);
        let pulls = self.pulls.values().map(|pull| pull.sent_at + config.pull_timeout);
        let fetch = self.fetch.as_ref().map(|fetch| fetch.asked_at + config.snapshot_timeout);
        wants.chain(pulls).chain(fetch).min()
    }

    /// Lanes that may be asked for now, of one kind.
    fn ready(&self, lane: Lane) -> Vec<LaneId> {
        let ready = |(id, want): &(&LaneId, &Want)| {
            id.lane == lane && want.ready_at.is_none() && !self.pulls.contains_key(id)
        };
        self.wants.iter().filter(ready).map(|(id, _)| *id).collect()
    }

    fn in_flight(&self, lane: Lane) -> usize {
        self.pulls.keys().filter(|id| id.lane == lane).count()
    }

    fn load(&self, peer: Origin) -> usize {
        self.pulls.values().filter(|pull| pull.peer == peer).count()
    }

    fn on_time(&mut self, now: Mono, config: &Config) -> u64 {
        for want in self.wants.values_mut() {
            want.ready_at.take_if(|at| *at <= now);
        }
        let mut late = 0;
        let wants = &mut self.wants;
        self.pulls.retain(|id, pull| {
            let keep = pull.sent_at + config.pull_timeout > now;
            if !keep && let Some(want) = wants.get_mut(id) {
                want.avoid = Some(pull.peer);
                late += 1;
            }
            keep
        });
        self.shunned.retain(|_, until| *until > now);
        late
    }

    /// # Panics
    /// If more is asked for than the budget allows, or what nobody wants.
    pub(super) fn check(&self, config: &Config) {
        for lane in Lane::ALL {
            assert!(self.in_flight(lane) <= config.pulls_max, "pulls keep to their budget");
        }
        let wanted = self.pulls.keys().all(|id| self.wants.contains_key(id));
        assert!(wanted, "only what is lacking is pulled");
    }
}

impl Replica {
    /// Somebody has more of a lane than we do.
    pub(super) fn on_lack(&mut self, now: Mono, id: LaneId) {
        if !self.takes(id) {
            return;
        }
        let ready_at = self.push_expected(now, id);
        self.repair.wants.entry(id).or_insert(Want { ready_at, avoid: None });
    }

    /// Until when the origin's own push may fill a lack; `None` if it is not connected.
    pub(super) fn push_expected(&self, now: Mono, id: LaneId) -> Option<Mono> {
        let origin = self.peers.get(&id.origin)?;
        Some(now + self.config.pull_patience + origin.rtt)
    }

    pub(super) fn on_gone(&mut self, from: Origin, id: LaneId, base: u64) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.learn_base(id, base);
        }
        if self.repair.pulls.get(&id).is_some_and(|pull| pull.peer == from) {
            self.repair.pulls.remove(&id);
        }
        self.unaged.on_gone(from, id);
    }

    /// Asks for whatever is lacking and may be asked for now.
    pub(super) fn fetch_lacking(&mut self, now: Mono) {
        if self.halted || crdt_state::planted!(RepairForgotten) {
            return;
        }
        self.stats.pulls_late += self.repair.on_time(now, &self.config);
        self.forget_filled();
        self.continue_snapshot(now);
        self.start_snapshot(now);
        for lane in Lane::ALL {
            for id in self.repair.ready(lane) {
                if self.repair.in_flight(lane) < self.config.pulls_max {
                    self.pull(now, id);
                }
            }
        }
        self.pull_ages(now);
    }

    /// Drops the wants of which nobody connected has more, and those for which no room is left.
    fn forget_filled(&mut self) {
        let has_room = self.has_room();
        let Replica { peers, heads, repair, .. } = self;
        repair.wants.retain(|id, _| {
            let head = heads.get(id);
            (has_room || head > 0) && peers.values().any(|peer| peer.heads.get(id) > head)
        });
        repair.pulls.retain(|id, _| repair.wants.contains_key(id));
    }

    fn pull(&mut self, now: Mono, id: LaneId) {
        let from = self.heads.get(&id) + 1;
        if self.repair.fetch.as_ref().is_some_and(|fetch| fetch.covers(id, from)) {
            return;
        }
        let avoid = self.repair.wants.get(&id).and_then(|want| want.avoid);
        let Some(peer) = self.source(id, from, avoid) else { return };
        self.repair.pulls.insert(id, Pull { peer, from, sent_at: now });
        crdt_state::bounded!(Pulls, self.repair.in_flight(id.lane), self.config.pulls_max);
        self.send_pull(peer, id, from);
    }

    pub(super) fn send_pull(&mut self, peer: Origin, id: LaneId, from: u64) {
        self.stats.pulls += 1;
        crdt_state::sometimes!(RangePulled);
        let bytes_max = u32::try_from(self.config.pull_bytes).unwrap_or(u32::MAX);
        self.send(peer, id.lane, Message::Pull { id, from, bytes_max });
    }

    /// Who should be asked for entry `from`: its origin, else the least busy and nearest holder.
    fn source(&self, id: LaneId, from: u64, avoid: Option<Origin>) -> Option<Origin> {
        let holders = self.peers.iter().filter(|(_, peer)| peer.serves(id, from));
        let rank = |(origin, peer): &(&Origin, &super::peer::Peer)| {
            let origin = **origin;
            (avoid == Some(origin), origin != id.origin, self.repair.load(origin), peer.rtt, origin)
        };
        holders.min_by_key(rank).map(|(origin, _)| *origin)
    }

    /// What is lacking and kept one by one by no connected peer.
    pub(super) fn lacking_trimmed(&self) -> Vec<LaneId> {
        let trimmed = |id: &&LaneId| {
            let from = self.heads.get(id) + 1;
            !self.peers.values().any(|peer| peer.serves(**id, from))
        };
        self.repair.wants.keys().filter(trimmed).copied().collect()
    }
}
