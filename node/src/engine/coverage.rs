//! How complete a result is, whose word is missing, and who was given up.
//!
//! `final`: every origin that takes part has sealed and all that was sealed is here; it never changes
//! again but by a rescoring. `forgotten`: the same but for nodes that an operator gave up. `settled`: every
//! firm receipt is certainly counted all the same. `partial`: one may not be. Two sides of a partition
//! can never both say `final`, since each waits for the other.

use super::core::EventCore;
use crate::service::view::{ForgottenNode, MissingNode, ResultView};
use crdt_state::{LaneId, Mono, NodeId, Origin};
use gossip::replication::AckLevel;
use std::collections::{BTreeMap, BTreeSet};

impl EventCore {
    /// How complete the answers of an instance are here.
    pub(super) fn result_view(&self, now: Mono, instance: u32) -> ResultView {
        let unsealed = self.unsealed(instance);
        let missing = unsealed.iter().filter(|(origin, _)| !self.state().is_forgotten(**origin));
        let missing = missing.map(|(origin, _)| self.missing_node(now, *origin)).collect();
        ResultView {
            status: self.status_of(instance).to_owned(),
            missing,
            forgotten: self.forgotten_nodes(instance),
            late: self.late.entries,
        }
    }

    /// The status of an instance's result, in this node's view.
    pub(super) fn status_of(&self, instance: u32) -> &'static str {
        let unsealed = self.unsealed(instance);
        match self.complete_status(instance) {
            Some(status) => status,
            None if self.is_settled(&unsealed) || crdt_state::planted!(SettledByMinority) => {
                "settled"
            }
            None => "partial",
        }
    }

    /// The status of a result for which nobody waits: it depends on the state alone.
    pub(super) fn complete_status(&self, instance: u32) -> Option<&'static str> {
        let unsealed = self.unsealed(instance);
        let awaited = unsealed.keys().any(|origin| !self.state().is_forgotten(*origin));
        match (awaited, unsealed.is_empty()) {
            (_, true) => Some("final"),
            (false, false) => Some("forgotten"),
            (true, false) => None,
        }
    }

    fn unsealed(&self, instance: u32) -> BTreeMap<Origin, Option<NodeId>> {
        self.state().unsealed(instance, self.heads()).collect()
    }

    /// Whether every firm receipt is counted, whatever the unreachable hold: a majority is reachable and
    /// has sealed, fewer nodes are unreachable than copies stand behind a receipt, and nobody here is
    /// known to hold more of their lanes.
    fn is_settled(&self, unsealed: &BTreeMap<Origin, Option<NodeId>>) -> bool {
        let reachable = |origin: &&Origin| self.is_reachable(**origin);
        if unsealed.values().any(Option::is_none) || unsealed.keys().any(|o| reachable(&o)) {
            return false;
        }
        let nodes: BTreeSet<NodeId> = self.counted_nodes().collect();
        let gone: BTreeSet<NodeId> = unsealed.values().copied().flatten().collect();
        let here = nodes.len() - nodes.intersection(&gone).count();
        here * 2 > nodes.len()
            && gone.len() < self.copies(nodes.len())
            && unsealed.keys().all(|origin| self.has_all_of(*origin))
    }

    /// How many nodes hold an answer whose receipt is firm.
    fn copies(&self, nodes: usize) -> usize {
        match self.rules.ack {
            AckLevel::Local => 1,
            AckLevel::Peer => 2,
            AckLevel::Majority => nodes / 2 + 1,
        }
    }

    /// Whether every connected peer has told what it holds, and none holds more of an origin's answers.
    fn has_all_of(&self, origin: Origin) -> bool {
        let id = LaneId::bulk(origin);
        let mine = self.heads().get(&id);
        let has_told = |peer: &Origin| {
            let heads = self.replica.peer_heads(*peer)?;
            (heads.get(&LaneId::control(*peer)) > 0).then_some(heads.get(&id))
        };
        self.connected.keys().all(|peer| has_told(peer).is_some_and(|head| head <= mine))
    }

    /// The nodes that take part and have not left for good.
    fn counted_nodes(&self) -> impl Iterator<Item = NodeId> {
        let state = self.state();
        state.enrolled().filter(|(origin, ..)| !state.is_retired(*origin)).map(|(_, node, _)| node)
    }

    fn missing_node(&self, now: Mono, origin: Origin) -> MissingNode {
        MissingNode {
            node: self.node_name(origin),
            origin,
            since_ms: self.unreachable_ms(now, origin),
            head: self.heads().get(&LaneId::bulk(origin)),
        }
    }

    /// The name of the node that an origin is an incarnation of, or the origin where it is unknown.
    fn node_name(&self, origin: Origin) -> String {
        let mut enrolled = self.state().enrolled();
        let name = enrolled.find(|(of, ..)| *of == origin).map(|(_, _, name)| name.to_owned());
        name.unwrap_or_else(|| origin.to_string())
    }

    /// For how long an origin has been out of reach: as far as this life of the node knows, 0 while it is
    /// connected.
    fn unreachable_ms(&self, now: Mono, origin: Origin) -> u64 {
        if self.is_reachable(origin) {
            return 0;
        }
        let since = self.gone_since.get(&origin).copied().unwrap_or_default();
        now.saturating_sub(since).as_millis() as u64
    }

    fn forgotten_nodes(&self, instance: u32) -> Vec<ForgottenNode> {
        let view = |(origin, forgotten): (Origin, &crdt_state::event::Forgotten)| ForgottenNode {
            node: self.node_name(origin),
            origin,
            head: forgotten.head,
            returned: !forgotten.is_given_up(),
            sealed: self.state().is_sealed(origin, instance, self.heads()),
        };
        self.state().forgotten().iter().map(view).collect()
    }
}
