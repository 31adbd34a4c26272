//! Whose word counts: the enrolled nodes, and how far they hold our lanes.
//!
//! A replica's receipts are firm only once a majority of the enrolled nodes knows that its origin
//! exists: nobody may hold firm receipts of which the rest has never heard. Nodes are counted,
//! not origins: a node that came back as another origin is still one. And a majority of those that
//! stand behind what others take must be among them: many that join at once, on one side of a
//! partition, are not the rest.

use super::peer::Peer;
use super::receipt::AckLevel;
use super::replica::Replica;
use crdt_state::{Lane, LaneId, NodeId, Origin};
use std::collections::{BTreeMap, BTreeSet};

/// What our receipts need, besides their level, to be firm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EnrolmentState {
    /// Not enrolled: no receipt is firm.
    #[default]
    Missing,
    /// That whoever acknowledges anything holds this entry of our control lane: the event's creator, or
    /// a node in place of its own former origin.
    Exempt {
        /// Our enrolment entry.
        seq: u64,
    },
    /// The same, and that a majority of the enrolled nodes holds the entry.
    Needs {
        /// Our enrolment entry.
        seq: u64,
    },
}

/// The enrolled, unretired nodes, and whether ours is known to enough of them.
#[derive(Debug, Default)]
pub(super) struct Enrolment {
    nodes: BTreeMap<NodeId, BTreeSet<Origin>>,
    state: EnrolmentState,
    /// A majority was seen to hold our enrolment. A fact, whoever goes down later.
    held: bool,
    /// Whose word makes receipts firm; `None`: everybody's.
    pub(super) vouching: Option<BTreeSet<Origin>>,
    /// Of which nodes more than half must know that we take part.
    pub(super) elders: BTreeSet<NodeId>,
}

impl Enrolment {
    pub(super) fn set(&mut self, nodes: BTreeMap<NodeId, BTreeSet<Origin>>, state: EnrolmentState) {
        self.held &= self.state == state;
        self.nodes = nodes;
        self.state = state;
    }

    /// How far every enrolled node but ours holds a lane, by the word of a connected incarnation; `None`
    /// if there is no other.
    pub(super) fn held_by_all(
        &self,
        me: Origin,
        peers: &BTreeMap<Origin, Peer>,
        id: LaneId,
    ) -> Option<u64> {
        let others = self.nodes.iter().filter(|(_, origins)| !origins.contains(&me));
        let held = |(node, origins): (&NodeId, &BTreeSet<Origin>)| {
            let of_node =
                |(origin, peer): &(&Origin, &Peer)| peer.node == *node || origins.contains(origin);
            let heads = peers.iter().filter(of_node).map(|(_, peer)| peer.heads.get(&id));
            heads.max().unwrap_or(0)
        };
        others.map(held).min()
    }

    /// Whether a peer's word makes receipts firm: it may stand behind them, and knows that we take part,
    /// so that it names us to whoever asks later what there may be.
    fn counts(&self, origin: Origin, peer: &Peer) -> bool {
        let seq = match self.state {
            EnrolmentState::Missing => 0,
            EnrolmentState::Exempt { seq } | EnrolmentState::Needs { seq } => seq,
        };
        let vouches = self.vouching.as_ref().is_none_or(|vouching| vouching.contains(&origin));
        vouches && peer.counted(Lane::Control) >= seq
    }

    fn node_of(&self, origin: Origin) -> Option<NodeId> {
        self.nodes.iter().find(|(_, origins)| origins.contains(&origin)).map(|(node, _)| *node)
    }
}

impl Replica {
    /// Whether our enrolment lets receipts be firm.
    pub fn may_be_firm(&mut self) -> bool {
        match self.enrolment.state {
            EnrolmentState::Missing => false,
            EnrolmentState::Exempt { .. } => true,
            EnrolmentState::Needs { .. } if self.enrolment.held => true,
            EnrolmentState::Needs { seq } => {
                self.enrolment.held = self.majority_head(Lane::Control, |_, _| true) >= seq
                    && self.is_known_to_old_majority(seq);
                self.enrolment.held
            }
        }
    }

    /// Whether more than half of the nodes that stood behind receipts before us know our enrolment. A node
    /// that was one of them in a former life knows it.
    fn is_known_to_old_majority(&self, seq: u64) -> bool {
        let home = self.enrolment.node_of(self.me);
        let knows = |node: &NodeId| {
            let mut peers = self.peers.values().filter(|peer| peer.node == *node);
            Some(*node) == home || peers.any(|peer| peer.counted(Lane::Control) >= seq)
        };
        let elders = &self.enrolment.elders;
        elders.is_empty() || elders.iter().filter(|node| knows(node)).count() * 2 > elders.len()
    }

    /// The connected peers whose word makes an entry's receipt firm: those known to hold it, who had said
    /// nothing by then that is not here.
    pub fn vouchers(&self, lane: Lane, seq: u64) -> impl Iterator<Item = Origin> {
        let counts = move |(origin, peer): &(&Origin, &Peer)| {
            peer.counted(lane) >= seq && self.enrolment.counts(**origin, peer)
        };
        self.peers.iter().filter(counts).map(|(origin, _)| *origin)
    }

    /// How far a lane of ours has reached a level.
    pub(super) fn reached(&self, level: AckLevel, lane: Lane) -> u64 {
        match level {
            AckLevel::Local => self.heads.get(&LaneId { origin: self.me, lane }),
            AckLevel::Peer if crdt_state::planted!(EarlyReceipt) => {
                self.heads.get(&LaneId { origin: self.me, lane })
            }
            AckLevel::Peer => self.peer_head(lane),
            AckLevel::Majority => {
                self.majority_head(lane, |origin, peer| self.enrolment.counts(origin, peer))
            }
        }
    }

    /// The furthest that another node holds a lane of ours.
    fn peer_head(&self, lane: Lane) -> u64 {
        let home = self.enrolment.node_of(self.me);
        let others = self.peers.iter().filter(|(origin, peer)| {
            Some(peer.node) != home && self.enrolment.counts(**origin, peer)
        });
        others.map(|(_, peer)| peer.counted(lane)).max().unwrap_or(0)
    }

    /// The furthest that a majority of the enrolled nodes, this one counted, holds a lane of ours by the
    /// word of peers that count.
    fn majority_head(&self, lane: Lane, counts: impl Fn(Origin, &Peer) -> bool) -> u64 {
        let mine = self.heads.get(&LaneId { origin: self.me, lane });
        let mut heads: Vec<u64> = Vec::with_capacity(self.enrolment.nodes.len() + 1);
        if self.enrolment.node_of(self.me).is_none() {
            heads.push(mine);
        }
        for (node, origins) in &self.enrolment.nodes {
            if origins.contains(&self.me) {
                heads.push(mine);
                continue;
            }
            let of_node =
                |(origin, peer): &(&Origin, &Peer)| peer.node == *node || origins.contains(origin);
            let words = self.peers.iter().filter(of_node);
            let words = words.filter(|(origin, peer)| counts(**origin, peer));
            heads.push(words.map(|(_, peer)| peer.counted(lane)).max().unwrap_or(0));
        }
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads[heads.len() / 2]
    }
}
