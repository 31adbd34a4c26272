//! Receipts: who waits for which entry to be held by how many.
//!
//! A receipt is firm when its level is reached, provisional when it has waited too long; a
//! provisional one is upgraded once. Levels are reached in the order of a lane, so each reach
//! settles a prefix. Bounded: see [`Config::receipts_max`].

use super::config::Config;
use super::enrolment::EnrolmentState;
use super::replica::{Output, Replica};
use crdt_state::{Lane, LaneId, Mono, NodeId, Origin};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many must hold an entry before its receipt is firm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AckLevel {
    /// This node.
    Local,
    /// One other node.
    Peer,
    /// A majority of all enrolled, unretired nodes, this one and dead ones counted.
    Majority,
}

impl AckLevel {
    /// All levels, weakest first.
    pub const ALL: [AckLevel; 3] = [AckLevel::Local, AckLevel::Peer, AckLevel::Majority];
}

#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Mono,
    level: AckLevel,
    lane: Lane,
    seq: u64,
    ticket: u64,
}

/// The receipts that wait for their level, firm ones forgotten.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: BTreeMap<(AckLevel, Lane), BTreeSet<(u64, u64)>>,
    deadlines: VecDeque<Deadline>,
    count: usize,
}

impl Receipts {
    /// Takes in a receipt, or refuses it because there is no room.
    fn wait(&mut self, config: &Config, deadline: Deadline) -> bool {
        let full = self.count.max(self.deadlines.len()) >= config.receipts_max;
        if !full {
            let Deadline { level, lane, seq, ticket, .. } = deadline;
            let added = self.waiting.entry((level, lane)).or_default().insert((seq, ticket));
            self.count += usize::from(added);
            self.deadlines.push_back(deadline);
            crdt_state::bounded!(Deadlines, self.deadlines.len(), config.receipts_max);
        }
        !full
    }

    /// The tickets whose level is reached by `seq`.
    fn reach(&mut self, level: AckLevel, lane: Lane, seq: u64) -> Vec<u64> {
        let Some(waiting) = self.waiting.get_mut(&(level, lane)) else { return Vec::new() };
        let beyond = if crdt_state::planted!(ReceiptOfEntryBefore) { 2 } else { 1 };
        let later = waiting.split_off(&(seq + beyond, 0));
        let reached = std::mem::replace(waiting, later);
        self.count -= reached.len();
        self.forget_settled();
        reached.into_iter().map(|(_, ticket)| ticket).collect()
    }

    /// Drops the first deadlines for as long as nobody waits for them any more: no timer is set for what is
    /// settled.
    fn forget_settled(&mut self) {
        let Receipts { waiting, deadlines, .. } = self;
        let waits = |d: &Deadline| {
            let waiting = waiting.get(&(d.level, d.lane));
            waiting.is_some_and(|waiting| waiting.contains(&(d.seq, d.ticket)))
        };
        while deadlines.pop_front_if(|deadline| !waits(deadline)).is_some() {}
    }

    fn awaited(&self, level: AckLevel, lane: Lane) -> bool {
        self.waiting.get(&(level, lane)).is_some_and(|waiting| !waiting.is_empty())
    }

    /// The tickets that have waited too long just now.
    pub(super) fn expire(&mut self, now: Mono) -> Vec<u64> {
        let mut late = Vec::new();
        while let Some(d) = self.deadlines.pop_front_if(|deadline| deadline.at <= now) {
            let waiting = self.waiting.get(&(d.level, d.lane));
            if waiting.is_some_and(|waiting| waiting.contains(&(d.seq, d.ticket))) {
                late.push(d.ticket);
            }
        }
        late
    }

    pub(super) fn due(&self) -> Option<Mono> {
        self.deadlines.front().map(|deadline| deadline.at)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// # Panics
    /// If the count is wrong.
    pub(super) fn check(&self) {
        let sum: usize = self.waiting.values().map(BTreeSet::len).sum();
        assert!(sum == self.count, "receipts know how many wait: {sum} counted as {}", self.count);
    }
}

impl Replica {
    /// Asks for [`Output::Receipt`] when our entry `seq` of `lane` has reached `level`, or has
    /// waited [`Config::receipt_patience`] for it. Tickets are the owner's; a ticket is awaited
    /// once. Tells whether there is room to wait: if not, nothing is said of the ticket.
    ///
    /// # Panics
    /// If the entry was not committed yet.
    #[must_use]
    pub fn await_receipt(
        &mut self,
        now: Mono,
        ticket: u64,
        lane: Lane,
        seq: u64,
        level: AckLevel,
    ) -> bool {
        self.await_receipts(now, [ticket], (lane, seq), level).is_empty()
    }

    /// The same for all who wait for one entry, who may be a thousand: whose level is reached is looked at
    /// once for all. Returns those for whom there is no room.
    ///
    /// # Panics
    /// If the entry was not committed yet.
    pub fn await_receipts(
        &mut self,
        now: Mono,
        tickets: impl IntoIterator<Item = u64>,
        (lane, seq): (Lane, u64),
        level: AckLevel,
    ) -> Vec<u64> {
        let head = self.heads.get(&LaneId { origin: self.me, lane });
        assert!((1..=head).contains(&seq), "receipt for entry {seq} of {head}");
        let at = now + self.config.receipt_patience;
        let mut refused = Vec::new();
        for ticket in tickets {
            if !self.receipts.wait(&self.config, Deadline { at, level, lane, seq, ticket }) {
                refused.push(ticket);
            }
        }
        self.stats.receipts_full += refused.len() as u64;
        self.settle_receipts();
        refused
    }

    /// Says which nodes are enrolled and not retired, each with its origins, and what our own
    /// firm receipts need.
    pub fn set_enrolled(
        &mut self,
        nodes: BTreeMap<NodeId, BTreeSet<Origin>>,
        firm: EnrolmentState,
    ) {
        self.enrolment.set(nodes, firm);
        self.settle_receipts();
    }

    /// Says whose word makes our receipts firm, and which nodes stood behind receipts before us, of which
    /// more than half must know that we take part unless we are exempt. Until it is said, every peer's word
    /// does, and nobody's knowledge is needed.
    pub fn set_vouching(&mut self, vouching: BTreeSet<Origin>, elders: BTreeSet<NodeId>) {
        self.enrolment.vouching = Some(vouching);
        self.enrolment.elders = elders;
        self.settle_receipts();
    }

    /// Firm receipts for whatever has reached its level.
    pub(super) fn settle_receipts(&mut self) {
        for (origin, peer) in &mut self.peers {
            peer.count(self.heads.get(&LaneId::control(*origin)));
        }
        if self.receipts.count() == 0 || !self.may_be_firm() {
            return;
        }
        for level in AckLevel::ALL {
            for lane in Lane::ALL {
                let id = LaneId { origin: self.me, lane };
                // What others hold of a lane with two histories may be the other one.
                if !self.receipts.awaited(level, lane) || self.quarantined.contains(&id) {
                    continue;
                }
                let seq = self.reached(level, lane);
                for ticket in self.receipts.reach(level, lane, seq) {
                    self.outputs.push_back(Output::Receipt { ticket, firm: true });
                }
            }
        }
    }
}
