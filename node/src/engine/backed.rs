//! Who stands behind answers that this life of the node did not take, and the receipts that wait for it.
//!
//! How far its own lane is held each peer acknowledges. Of an answer in another lane a node knows that whoever took
//! it had it, and that it has it itself: enough where two copies are promised, unless the taker is a former life of its
//! own, is out of reach, stands behind nothing yet, or was fenced off. Else it takes the word of others: their heads,
//! together with all that they had said by then, so that a fence of theirs is known here.
//!
//! What is not firm when a player is told of it becomes firm later, and the player is told then.

use super::core::EventCore;
use super::owed;
use crdt_state::{Cell, Dot, Heads, Lane, LaneId, NodeId, Origin, PlayerId};
use crdts::CmRDT;
use std::collections::{BTreeSet, VecDeque};

/// What must be held before a receipt is firm.
#[derive(Debug, Clone, PartialEq)]
pub enum Behind {
    /// So much of this node's own lane, by every node: some who have it do not stand behind it.
    Own(Heads),
    /// So much of all lanes, by as many nodes that stand behind it as are promised, or by every node.
    Others {
        /// The run that the answers are to.
        instance: u32,
        /// The bulk lanes.
        heads: Heads,
    },
}

/// Receipts that wait for others to stand behind them, in the order in which they came: what a later one waits for
/// is no less.
#[derive(Debug, Default)]
pub struct Waiting {
    /// What waits for its own lane, and what waits for those of others.
    queues: [VecDeque<(Behind, Vec<u64>)>; 2],
    tickets: BTreeSet<u64>,
    /// How many of them nobody has asked for but this node itself.
    told: u64,
}

/// Where the tickets begin that this node gives itself; those of requests count from 1.
const OWN_TICKETS: u64 = 1 << 63;

impl Waiting {
    pub(super) fn has(&self, ticket: u64) -> bool {
        self.tickets.contains(&ticket)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    pub(super) fn push(&mut self, ticket: u64, behind: Behind) {
        self.tickets.insert(ticket);
        let queue = &mut self.queues[usize::from(!matches!(behind, Behind::Own(_)))];
        match queue.back_mut().filter(|(last, _)| *last == behind) {
            Some((_, tickets)) => tickets.push(ticket),
            None => queue.push_back((behind, vec![ticket])),
        }
    }

    fn own_ticket(&mut self) -> u64 {
        self.told += 1;
        OWN_TICKETS + self.told
    }

    fn take_first(&mut self, of: usize) -> Vec<u64> {
        let tickets = self.queues[of].pop_front().map_or_else(Vec::new, |(_, tickets)| tickets);
        tickets.iter().for_each(|ticket| _ = self.tickets.remove(ticket));
        tickets
    }
}

impl EventCore {
    /// Makes receipts firm behind whose answers enough nodes stand by now.
    pub(super) fn settle_fenced(&mut self) {
        if self.standing.waiting.is_empty() || crdt_state::planted!(UpgradeForgotten) {
            return;
        }
        for of in 0..self.standing.waiting.queues.len() {
            while let Some((behind, _)) = self.standing.waiting.queues[of].front()
                && self.is_kept(behind)
            {
                for ticket in self.standing.waiting.take_first(of) {
                    self.on_firm_receipt(ticket);
                }
            }
        }
    }

    /// Whether what is held of a player here is firm, whoever took it.
    pub(super) fn is_within(&self, instance: u32, player: PlayerId) -> bool {
        if !self.stands_behind(instance, player) {
            return false;
        }
        if self.copies_now() > 2 {
            return self.is_backed(true, instance, &self.heads_of(Lane::Bulk));
        }
        self.takers_in_doubt(instance, player).into_iter().all(|taker| {
            let lane = LaneId::bulk(taker);
            self.is_backed(true, instance, &Heads::from(Dot::new(lane, self.heads().get(&lane))))
        })
    }

    /// The same, of what a player is told without having asked: if it is not firm the player is told once it is.
    pub(super) fn is_within_or_will_be(
        &mut self,
        (instance, player): (u32, PlayerId),
        status: &'static str,
        cell: Cell,
    ) -> bool {
        if self.is_firm_by_now(instance, player, cell) {
            return true;
        }
        let ticket = self.standing.waiting.own_ticket();
        self.held.told(ticket, owed::Waiting::Answer { player, instance, cell, status });
        let heads = self.heads_of(Lane::Bulk);
        self.standing.waiting.push(ticket, Behind::Others { instance, heads });
        false
    }

    /// How far this node has all lanes of a kind.
    pub(super) fn heads_of(&self, lane: Lane) -> Heads {
        let mut heads = Heads::new();
        let of_kind = self.heads().dots.iter().filter(|(id, _)| id.lane == lane);
        of_kind.for_each(|(id, head)| heads.apply(Dot::new(*id, *head)));
        heads
    }

    fn is_kept(&self, behind: &Behind) -> bool {
        match behind {
            Behind::Own(heads) => self.is_everywhere(heads),
            Behind::Others { instance, heads } => {
                let vouches = self.state().is_vouching(self.identity.origin);
                self.is_backed(vouches && !self.has_fenced(*instance), *instance, heads)
            }
        }
    }

    /// Who may have taken what is held of a player and is no second node that holds it for certain: a former life of this
    /// node, one that does not stand behind answers yet, so that others need not know of it, and one that cannot be asked:
    /// it may have gone down and forgotten it.
    fn takers_in_doubt(&self, instance: u32, player: PlayerId) -> Vec<Origin> {
        let state = self.state();
        let Some((_, cell)) = state.held(instance, state.players.rows_of(player)) else {
            return Vec::new();
        };
        let me = self.identity.origin;
        let is_second = |origin: Origin| {
            state.is_vouching(origin)
                && self.connected.get(&origin).is_some_and(|node| *node != self.identity.node)
        };
        let tag = |origin: Origin| Cell::new(0, origin, 0).tag();
        let others = state.enrolled().map(|(origin, ..)| origin).filter(|origin| *origin != me);
        let takers = others.filter(|origin| tag(*origin) == cell.tag());
        takers.filter(|origin| !is_second(*origin)).collect()
    }

    /// Whether enough nodes stand behind all this in a round, this one counted if it does, or every node has it.
    pub(super) fn is_backed(&self, by_this: bool, instance: u32, heads: &Heads) -> bool {
        let (copies, by_this) = (self.copies_now(), usize::from(by_this));
        // Whom nobody has to ask is not asked: this is looked at in every turn while a receipt waits.
        by_this >= copies
            || self.others().count() + by_this >= copies
                && self.backing(instance, heads) + by_this >= copies
            || self.is_everywhere(heads)
    }

    /// How many other nodes stand behind all this in a round, by what they had said of themselves when they were
    /// known to have it.
    fn backing(&self, instance: u32, heads: &Heads) -> usize {
        let stands = |(peer, node): &(&Origin, &NodeId)| {
            let Some(theirs) = self.replica.peer_heads(**peer) else { return false };
            let said = theirs.get(&LaneId::control(**peer));
            let is_read = said > 0 && said <= self.heads().get(&LaneId::control(**peer));
            let is_read = is_read && self.state().is_vouching(**peer);
            is_read && self.stands_behind_lanes(**node, instance, theirs, heads)
        };
        self.others().filter(stands).map(|(_, node)| *node).collect::<BTreeSet<NodeId>>().len()
    }

    /// Whether a node that has so much has all this, and has fenced off none of it in a round.
    fn stands_behind_lanes(
        &self,
        node: NodeId,
        instance: u32,
        theirs: &Heads,
        heads: &Heads,
    ) -> bool {
        heads.dots.iter().all(|(id, head)| {
            let taker = self.state().node_of(id.origin);
            theirs.get(id) >= *head
                && !taker.is_some_and(|taker| {
                    self.is_fenced_off_by(node, instance, (taker, id.origin), *head)
                })
        })
    }

    /// Whether all who may call a result settled are known here: nobody takes part by hearsay, and all
    /// that connected peers have in their control lanes has arrived.
    fn knows_everyone(&self) -> bool {
        self.state().hearsay().next().is_none() && self.has_control_of_peers()
    }

    /// Whether every node that takes part and was not given up is known to hold all this, and all of them are known.
    fn is_everywhere(&self, heads: &Heads) -> bool {
        let state = self.state();
        let awaited = state.enrolled().filter(|(origin, ..)| state.is_awaited(*origin));
        let holds = |node: NodeId| {
            let peers = self.connected.iter().filter(|(_, of)| **of == node);
            let theirs = peers.filter_map(|(peer, _)| self.replica.peer_heads(*peer));
            theirs
                .into_iter()
                .any(|theirs| heads.dots.iter().all(|(id, head)| theirs.get(id) >= *head))
        };
        let mut others =
            awaited.map(|(_, node, _)| node).filter(|node| *node != self.identity.node);
        // In every turn while a receipt waits, mostly for somebody who does not hold it yet.
        others.all(holds) && self.knows_everyone()
    }
}
