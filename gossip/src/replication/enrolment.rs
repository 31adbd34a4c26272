//! Whose word counts: the enrolled nodes, and how far they hold our lanes.
//!
//! A replica's receipts are firm only once a majority of the enrolled nodes knows that its origin
//! exists: nobody may hold firm receipts of which the rest has never heard. Nodes are counted,
//! not origins: a node that came back as another origin is still one.

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
    /// Nothing: the event's creator, or a node in place of its own former origin.
    Exempt,
    /// That a majority of the enrolled nodes holds this entry of our control lane.
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

    fn node_of(&self, origin: Origin) -> Option<NodeId> {
        self.nodes.iter().find(|(_, origins)| origins.contains(&origin)).map(|(node, _)| *node)
    }
}

impl Replica {
    /// Whether our enrolment lets receipts be firm.
    pub(super) fn may_be_firm(&mut self) -> bool {
        match self.enrolment.state {
            EnrolmentState::Missing => false,
            EnrolmentState::Exempt => true,
            EnrolmentState::Needs { seq } => {
                self.enrolment.held |= self.majority_head(Lane::Control) >= seq;
                self.enrolment.held
            }
        }
    }

    /// How far a lane of ours has reached a level.
    pub(super) fn reached(&self, level: AckLevel, lane: Lane) -> u64 {
        match level {
            AckLevel::Local => self.heads.get(&LaneId { origin: self.me, lane }),
            AckLevel::Peer if crdt_state::planted!(EarlyReceipt) => {
                self.heads.get(&LaneId { origin: self.me, lane })
            }
            AckLevel::Peer => self.peer_head(lane),
            AckLevel::Majority => self.majority_head(lane),
        }
    }

    /// The furthest that another node holds a lane of ours.
    fn peer_head(&self, lane: Lane) -> u64 {
        let id = LaneId { origin: self.me, lane };
        let home = self.enrolment.node_of(self.me);
        let others = self.peers.values().filter(|peer| Some(peer.node) != home);
        others.map(|peer| peer.heads.get(&id)).max().unwrap_or(0)
    }

    /// The furthest that a majority of the enrolled nodes, this one counted, holds a lane of ours.
    fn majority_head(&self, lane: Lane) -> u64 {
        let id = LaneId { origin: self.me, lane };
        let mine = self.heads.get(&id);
        let mut heads: Vec<u64> = Vec::with_capacity(self.enrolment.nodes.len() + 1);
        if self.enrolment.node_of(self.me).is_none() {
            heads.push(mine);
        }
        for (node, origins) in &self.enrolment.nodes {
            if origins.contains(&self.me) {
                heads.push(mine);
                continue;
            }
            let counts =
                |(origin, peer): &(&Origin, &Peer)| peer.node == *node || origins.contains(origin);
            let holds = self.peers.iter().filter(counts).map(|(_, peer)| peer.heads.get(&id));
            heads.push(holds.max().unwrap_or(0));
        }
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads[heads.len() / 2]
    }
}
