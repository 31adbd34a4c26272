//! The state machine itself: its doors, and what each input sets in motion.

use super::alarm::Alarm;
use super::config::Config;
use super::enrolment::Enrolment;
use super::entries::Arrival;
use super::heads::Audit;
use super::message::{LANES_MAX, Message};
use super::peer::{Claim, Peer};
use super::pull::Repair;
use super::receipt::Receipts;
use super::replicated::Replicated;
use super::serve::Serving;
use super::stash::Stash;
use super::status::Stats;
use super::tail::{Born, Kept, Tails};
use super::unaged::Unaged;
use bytes::Bytes;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use crdts::CmRDT;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What the world tells a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A peer that carries the event is connected; if it already was, over a new link.
    PeerUp {
        /// The peer.
        peer: Origin,
        /// The node that it is an incarnation of.
        node: NodeId,
        /// The link's round trip.
        rtt: Duration,
    },
    /// The link's round trip was measured anew.
    Rtt {
        /// The peer.
        peer: Origin,
        /// The link's round trip.
        rtt: Duration,
    },
    /// A peer is no longer connected, or no longer carries the event.
    PeerDown {
        /// The peer.
        peer: Origin,
    },
    /// A peer said something.
    Message {
        /// The peer, as its link proved it.
        from: Origin,
        /// What it said.
        message: Message,
    },
    /// The time of [`Replica::poll_timeout`] has come.
    Timeout,
}

/// What a replica tells the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this; it may be dropped when the way is full.
    Send {
        /// To whom.
        to: Origin,
        /// On the stream of which kind of lane, so that bulk never delays control.
        lane: Lane,
        /// What to say.
        message: Message,
    },
    /// A remote entry was applied: the store keeps it, in this order.
    Applied {
        /// Its lane.
        id: LaneId,
        /// Its number.
        seq: u64,
        /// The origin's own bytes.
        entry: Bytes,
    },
    /// A snapshot was joined. Entries up to these heads may be missing one by one from now on, so
    /// the store keeps a cut of what is here now: it may hold more than the peer's did.
    Restored {
        /// The vector of the cut that was joined.
        heads: Heads,
    },
    /// A lane has two histories: the store remembers that nothing more is taken from it, for
    /// [`Replica::keep_quarantined`] in the next life.
    Quarantined {
        /// The lane.
        id: LaneId,
    },
    /// A receipt has reached its level, or waited too long for it. After one that is not firm a
    /// firm one follows when the level is reached.
    Receipt {
        /// The number under which it was awaited.
        ticket: u64,
        /// Whether the level is reached.
        firm: bool,
    },
    /// A fact that an operator has to know.
    Alarm(Alarm),
}

/// One event, replicated among the peers that carry it.
#[derive(Debug)]
pub struct Replica {
    pub(super) me: Origin,
    pub(super) config: Config,
    pub(super) heads: Heads,
    pub(super) tails: Tails,
    pub(super) stash: Stash,
    pub(super) peers: BTreeMap<Origin, Peer>,
    pub(super) repair: Repair,
    pub(super) unaged: Unaged,
    pub(super) serving: Serving,
    pub(super) enrolment: Enrolment,
    pub(super) receipts: Receipts,
    pub(super) audit: Audit,
    pub(super) quarantined: BTreeSet<LaneId>,
    pub(super) halted: bool,
    lanes_full: bool,
    pub(super) stats: Stats,
    pub(super) outputs: VecDeque<Output>,
}

impl Replica {
    /// A replica that has nothing yet and writes as `me`.
    ///
    /// # Panics
    /// If `config` does not pass [`Config::check`].
    #[must_use]
    pub fn new(me: Origin, config: Config) -> Self {
        Replica::resume(me, config, Heads::new(), [])
    }

    /// A replica over a state that was read back from a store. `me` is new as always: what the
    /// node wrote before is a former origin's, served like anyone's. Each log is a lane, the
    /// number of its first entry and the entries up to its head; a lane without one is held only
    /// as content.
    ///
    /// # Panics
    /// If `config` does not pass [`Config::check`], or if a log does not end at its head, or if
    /// `me` has written before.
    #[must_use]
    pub fn resume(
        me: Origin,
        config: Config,
        heads: Heads,
        logs: impl IntoIterator<Item = (LaneId, u64, Vec<Bytes>)>,
    ) -> Self {
        config.check().expect("the owner validated its configuration");
        assert!(heads.dots.keys().all(|id| id.origin != me), "an origin is never used again");
        Replica::revive(me, config, heads, logs)
    }

    /// A replica in place of one that was lost within the life of its node, over all that the lost one
    /// had handed to the store before it sent anything of it: `me` goes on where it has stopped, and no
    /// number of its lanes is given twice.
    ///
    /// # Panics
    /// If a log does not end at its head, or `config` does not pass [`Config::check`].
    #[must_use]
    pub fn revive(
        me: Origin,
        config: Config,
        heads: Heads,
        logs: impl IntoIterator<Item = (LaneId, u64, Vec<Bytes>)>,
    ) -> Self {
        config.check().expect("the owner validated its configuration");
        let mut replica = Replica {
            me,
            heads,
            tails: Tails::new(config.tail_bytes_max, config.tail_stable_bytes),
            stash: Stash::new(config.stash_bytes_max),
            peers: BTreeMap::new(),
            repair: Repair::default(),
            unaged: Unaged::default(),
            serving: Serving::default(),
            enrolment: Enrolment::default(),
            receipts: Receipts::default(),
            audit: Audit::default(),
            quarantined: BTreeSet::new(),
            halted: false,
            lanes_full: false,
            stats: Stats::default(),
            outputs: VecDeque::new(),
            config,
        };
        replica.load(logs);
        replica
    }

    /// Takes nothing more from lanes of which the store remembers that they have two histories. A lane that was left
    /// for an entry that could not be read is not among them: the next program may read it. Nor is one of which
    /// nothing is here: either history may be taken then.
    pub fn keep_quarantined(&mut self, lanes: impl IntoIterator<Item = LaneId>) {
        let held = lanes.into_iter().filter(|id| self.heads.get(id) > 0);
        self.quarantined.extend(held);
    }

    /// Takes in one fact and reacts to it; the reactions wait in [`Replica::poll_output`].
    pub fn handle_input(&mut self, now: Mono, input: Input, state: &mut impl Replicated) {
        self.take_in(now, input, state);
        self.on_time(now, state);
    }

    /// The same for one of many facts in a turn that ends with [`Input::Timeout`]: whatever is due by now waits
    /// for that.
    pub fn take_in(&mut self, now: Mono, input: Input, state: &mut impl Replicated) {
        match input {
            Input::PeerUp { peer, node, rtt } => self.on_peer_up(now, peer, node, rtt),
            Input::Rtt { peer, rtt } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.rtt = rtt;
                }
            }
            Input::PeerDown { peer } => self.on_peer_down(peer),
            Input::Message { from, message } => self.on_message(now, from, message, state),
            Input::Timeout => {}
        }
    }

    /// The next thing to be done outside, in order; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is wanted, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        [
            self.flush_due(),
            self.heads_due(),
            self.receipts.due(),
            self.repair.due(&self.config),
            self.unaged.due(&self.config),
            self.serving.due(&self.config),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn on_peer_up(&mut self, now: Mono, peer: Origin, node: NodeId, rtt: Duration) {
        if peer == self.me {
            self.stats.strangers += 1;
            return;
        }
        self.on_peer_down(peer); // a new link starts from nothing
        if self.peers.is_empty() {
            self.audit.start(now, &self.config);
        }
        let head = |lane| self.heads.get(&LaneId { origin: self.me, lane });
        self.peers.insert(peer, Peer::new(node, rtt, head));
        self.send_heads(peer, None);
    }

    fn on_peer_down(&mut self, peer: Origin) {
        self.peers.remove(&peer);
        self.repair.on_peer_down(peer);
        self.unaged.on_peer_down(peer);
        self.serving.forget(peer);
    }

    fn on_message(
        &mut self,
        now: Mono,
        from: Origin,
        message: Message,
        state: &mut impl Replicated,
    ) {
        if !self.peers.contains_key(&from) {
            self.stats.strangers += 1;
            return;
        }
        if message.check_bounds().is_err() {
            self.stats.malformed += 1;
            return;
        }
        match message {
            Message::Heads { lanes, tail_bytes, digest } => {
                self.on_heads(now, from, &lanes, tail_bytes, digest, state);
            }
            Message::Entries { id, first, ages_ms, entries } => {
                self.on_entries(Arrival { now, from, id }, first, &ages_ms, entries, state);
            }
            Message::Ack { lane, head, said } => self.on_ack(now, from, lane, Claim { head, said }),
            Message::Pull { id, from: seq, bytes_max } => {
                self.on_pull(now, from, id, seq, bytes_max);
            }
            Message::Gone { id, base } => self.on_gone(from, id, base),
            Message::AgesRequest => self.on_ages_request(now, from, state),
            Message::Ages { age_ms, bytes } => self.on_ages(now, from, age_ms, &bytes, state),
            snapshot => self.on_snapshot_message(now, from, snapshot, state),
        }
    }

    fn on_snapshot_message(
        &mut self,
        now: Mono,
        from: Origin,
        message: Message,
        state: &mut impl Replicated,
    ) {
        match message {
            Message::SnapshotRequest { session } => {
                self.on_snapshot_request(now, from, session, state);
            }
            Message::SnapshotNext { session, index } => {
                self.on_snapshot_next(now, from, session, index);
            }
            Message::SnapshotHead { session, parts, heads } => {
                self.on_snapshot_head(now, from, session, parts, heads);
            }
            Message::SnapshotPart { session, index, age_ms, bytes } => {
                self.on_snapshot_part(now, from, (session, index), age_ms, bytes, state);
            }
            Message::SnapshotRefused { session } => self.on_snapshot_refused(now, from, session),
            _ => unreachable!("the other messages have their own arms"),
        }
    }

    /// Whatever is due by now.
    fn on_time(&mut self, now: Mono, state: &mut impl Replicated) {
        for ticket in self.receipts.expire(now) {
            self.outputs.push_back(Output::Receipt { ticket, firm: false });
        }
        self.serving.expire(now, &self.config);
        self.flush(now);
        self.tell_heads(now, state);
        self.fetch_lacking(now);
        self.ask_ages(now, state);
        self.check_own(state);
    }

    /// Adds the next entry of a lane to heads and tail, which only ever grow together.
    pub(super) fn append(&mut self, id: LaneId, kept: Kept) -> u64 {
        let seq = self.tails.append(id, kept);
        self.heads.apply(Dot::new(id, seq));
        crdt_state::bounded!(Lanes, self.tails.len(), LANES_MAX);
        self.audit.forget_digest();
        seq
    }

    pub(super) fn trim(&mut self) {
        let (peers, enrolment, me) = (&self.peers, &self.enrolment, self.me);
        let own = |id: LaneId| self.heads.get(&id);
        let held = |id| peers.values().map(|peer| peer.heads.get(&id)).min();
        self.tails.trim_stable(|id| {
            let everybody = enrolment.held_by_all(me, peers, id);
            held(id).unwrap_or(own(id)).min(everybody.unwrap_or(own(id)))
        });
        self.tails.trim(|id| held(id).unwrap_or(0));
    }

    /// Nothing more is taken from a lane that has two histories.
    pub(super) fn quarantine(&mut self, id: LaneId, seq: u64, peer: Origin) {
        if self.quarantined.insert(id) {
            self.outputs.push_back(Output::Quarantined { id });
            self.alarm(Alarm::Equivocation { id, seq, peer });
            self.forget_lane(id);
        }
    }

    pub(super) fn forget_lane(&mut self, id: LaneId) {
        self.stash.forget(id);
        self.repair.forget(id);
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        self.stats.alarms += 1;
        self.outputs.push_back(Output::Alarm(alarm));
    }

    pub(super) fn send(&mut self, to: Origin, lane: Lane, message: Message) {
        self.outputs.push_back(Output::Send { to, lane, message });
    }

    /// Whether a lane of which nothing is known yet may be taken in.
    pub(super) fn admits(&mut self, id: LaneId) -> bool {
        if self.has_room() || self.heads.get(&id) > 0 {
            return true;
        }
        if !self.lanes_full {
            self.lanes_full = true;
            self.alarm(Alarm::LanesFull { id });
        }
        false
    }

    /// Whether another lane can come; ours have their place.
    pub(super) fn has_room(&self) -> bool {
        self.tails.len() < LANES_MAX - Lane::ALL.len()
    }

    fn load(&mut self, logs: impl IntoIterator<Item = (LaneId, u64, Vec<Bytes>)>) {
        for (id, head) in &self.heads.dots {
            self.tails.reset(*id, *head);
        }
        for (id, first, entries) in logs {
            let head = self.heads.get(&id);
            let last = first.checked_add(entries.len() as u64);
            assert!(last == Some(head + 1), "the log of {id:?} from {first} ends at its head");
            self.tails.reset(id, first - 1);
            for bytes in entries {
                self.tails.append(id, Kept { bytes, born: Born::UNKNOWN });
            }
            self.unaged.expect(id, first, head);
        }
        self.trim();
    }
}
