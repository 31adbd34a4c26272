//! What can be asked of a replica, and what must always hold of it.

use super::replica::Replica;
use super::replicated::Replicated;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use std::time::Duration;

/// Counts since this replica began; each only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Remote entries applied.
    pub applied: u64,
    /// Entries received that had been applied before.
    pub duplicates: u64,
    /// Entries ahead of their turn that found no room and will be pulled.
    pub stash_full: u64,
    /// Ranges asked for.
    pub pulls: u64,
    /// Ranges asked for and not received in time.
    pub pulls_late: u64,
    /// Ranges given.
    pub pulls_served: u64,
    /// Snapshots asked for.
    pub snapshots_asked: u64,
    /// Snapshots joined.
    pub snapshots_joined: u64,
    /// Snapshots given up.
    pub snapshots_failed: u64,
    /// Snapshots refused because they hold more of a quarantined lane than was taken here.
    pub snapshots_barred: u64,
    /// Snapshots given to their end.
    pub snapshots_served: u64,
    /// Digests compared at equal heads.
    pub audits: u64,
    /// Alarms raised.
    pub alarms: u64,
    /// Receipts that found no room to wait.
    pub receipts_full: u64,
    /// Messages whose values were out of bounds.
    pub malformed: u64,
    /// Messages from whoever is not a connected peer.
    pub strangers: u64,
}

impl Stats {
    /// How many of them [`Stats::named`] names.
    pub const NAMED: usize = 15;

    /// All of them by name; alarms aside, which tell their own kinds.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); Stats::NAMED] {
        // Whole, so that a new count is not left out.
        let Stats {
            applied,
            duplicates,
            stash_full,
            pulls,
            pulls_late,
            pulls_served,
            snapshots_asked,
            snapshots_joined,
            snapshots_failed,
            snapshots_barred,
            snapshots_served,
            audits,
            alarms: _,
            receipts_full,
            malformed,
            strangers,
        } = *self;
        [
            ("applied", applied),
            ("duplicates", duplicates),
            ("stash_full", stash_full),
            ("pulls", pulls),
            ("pulls_late", pulls_late),
            ("pulls_served", pulls_served),
            ("snapshots_asked", snapshots_asked),
            ("snapshots_joined", snapshots_joined),
            ("snapshots_failed", snapshots_failed),
            ("snapshots_barred", snapshots_barred),
            ("snapshots_served", snapshots_served),
            ("audits", audits),
            ("receipts_full", receipts_full),
            ("malformed", malformed),
            ("strangers", strangers),
        ]
    }
}

/// How far a connected peer and this replica are apart, in entries over all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The peer.
    pub peer: Origin,
    /// The node that it is an incarnation of.
    pub node: NodeId,
    /// The link's round trip.
    pub rtt: Duration,
    /// What the peer is not known to have of ours.
    pub behind: u64,
    /// What the peer has and we lack.
    pub ahead: u64,
}

impl Replica {
    /// Who we write as.
    #[must_use]
    pub fn me(&self) -> Origin {
        self.me
    }

    /// What is here: exactly what the state's content is.
    #[must_use]
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Counts since this replica began.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether something newer than this program was met, so that nothing more is applied.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// The lanes from which nothing more is applied.
    pub fn quarantined(&self) -> impl Iterator<Item = LaneId> {
        self.quarantined.iter().copied()
    }

    /// The connected peers, each with the node that it is an incarnation of.
    pub fn peers(&self) -> impl Iterator<Item = (Origin, NodeId)> {
        self.peers.iter().map(|(origin, peer)| (*origin, peer.node))
    }

    /// What a connected peer is known to have.
    #[must_use]
    pub fn peer_heads(&self, peer: Origin) -> Option<&Heads> {
        self.peers.get(&peer).map(|peer| &peer.heads)
    }

    /// How far a connected peer's word about a lane of ours counts: all that it had said by then is here.
    #[must_use]
    pub fn counted_head(&self, peer: Origin, lane: Lane) -> u64 {
        self.peers.get(&peer).map_or(0, |peer| peer.counted(lane))
    }

    /// Whether a connected peer is known to hold an entry.
    #[must_use]
    pub fn peer_holds(&self, peer: Origin, dot: &Dot) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.heads.get(&dot.actor) >= dot.counter)
    }

    /// The connected peers known to hold an entry.
    pub fn holders(&self, dot: &Dot) -> impl Iterator<Item = Origin> {
        self.peers.keys().copied().filter(|peer| self.peer_holds(*peer, dot))
    }

    /// How far each connected peer and this replica are apart.
    pub fn lags(&self) -> impl Iterator<Item = Lag> {
        self.peers.iter().map(|(&origin, peer)| Lag {
            peer: origin,
            node: peer.node,
            rtt: peer.rtt,
            behind: beyond(&self.heads, &peer.heads),
            ahead: beyond(&peer.heads, &self.heads),
        })
    }

    /// The bytes of entries kept for others.
    #[must_use]
    pub fn tail_bytes(&self) -> usize {
        self.tails.bytes()
    }

    /// The bytes of entries that came before their turn.
    #[must_use]
    pub fn stash_bytes(&self) -> usize {
        self.stash.bytes()
    }

    /// The receipts that wait for their level or their upgrade.
    #[must_use]
    pub fn receipts_waiting(&self) -> usize {
        self.receipts.count()
    }

    /// The invariant where it was just touched, cheap enough for every step: one lane's content is
    /// exactly what its head says.
    pub(super) fn check_applied(&self, id: LaneId, state: &impl Replicated) {
        let (head, applied) = (self.heads.get(&id), state.applied(id));
        assert!(
            applied.is_none_or(|applied| applied == head),
            "content is exactly what the heads say: {applied:?} of {id:?} under {head}"
        );
    }

    /// The same for what the owner has written.
    pub(super) fn check_own(&self, state: &impl Replicated) {
        for lane in Lane::ALL {
            self.check_applied(LaneId { origin: self.me, lane }, state);
        }
    }

    /// The invariant over all lanes: asserted whenever a snapshot was joined and whenever heads are
    /// told.
    pub(super) fn check_content(&self, state: &impl Replicated) {
        if let Some(content) = state.content() {
            assert!(
                content == self.heads,
                "content is exactly what the heads say: {content:?} under {:?}",
                self.heads
            );
        }
    }

    /// Everything that must hold between any two inputs, the costly parts too.
    ///
    /// # Panics
    /// If it does not: a bug of this crate or of the state.
    pub fn check_invariants(&self, state: &impl Replicated) {
        self.check_content(state);
        assert!(self.heads.dots.len() == self.tails.len(), "each lane has a head and a tail");
        for (id, tail) in self.tails.iter() {
            assert!(tail.head() == self.heads.get(&id), "the tail of {id:?} ends at its head");
        }
        for (id, first) in self.stash.lanes() {
            assert!(first > self.heads.get(&id) + 1, "nothing waits in {id:?} that has its turn");
        }
        for peer in self.peers.values() {
            for (lane, push) in peer.pushes() {
                let head = self.heads.get(&LaneId { origin: self.me, lane });
                push.check(head);
                let theirs = peer.heads.get(&LaneId { origin: self.me, lane });
                assert!(theirs <= head, "no peer has more of our lane than we wrote");
            }
        }
        assert!(self.serving.len() <= self.config.snapshots_served_max, "cuts held are bounded");
        self.tails.check();
        self.stash.check();
        self.receipts.check();
        self.repair.check(&self.config);
    }

    /// # Panics
    /// If a timeout would come at once again: the replica would spin.
    pub fn check_rests(&self, now: Mono) {
        let at = self.poll_timeout();
        assert!(at.is_none_or(|at| at > now), "woken at {now:?} and again at {at:?}");
    }
}

/// How many entries `a` has that `b` lacks.
pub(super) fn beyond(a: &Heads, b: &Heads) -> u64 {
    let lacks = |(id, head): (&LaneId, &u64)| head.saturating_sub(b.get(id));
    a.dots.iter().map(lacks).fold(0, u64::saturating_add)
}
