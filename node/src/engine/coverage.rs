//! How complete a result is, whose word is missing, and who was given up.
//!
//! `final`: every origin that takes part has sealed, all that was sealed is here, and so are the rows of
//! all who have answered, which may come in other lanes than their answers; it never changes
//! again but by a rescoring. `forgotten`: the same but for nodes that an operator gave up. `settled`: every
//! firm receipt is certainly counted all the same, those included that become firm while this is said: a
//! receipt that comes too late for that stays provisional until all hold its answer (see the module
//! `vouch`). `partial`: one may not be. Two sides of a partition
//! can never both say `final`, since each waits for the other. A node that comes, or
//! comes back, calls nothing settled until it has all that some other node has: receipts may have become firm
//! because it held their answers, too, and its disk may be older. A node that has left is waited for by nobody: it
//! calls nothing more than `partial` until a majority knows that it is back.

use super::core::EventCore;
use crate::service::view::{CoverageView, ForgottenNode, MissingNode, ResultView};
use crdt_state::{LaneId, Mono, NodeId, Origin};
use gossip::replication::AckLevel;
use std::collections::{BTreeMap, BTreeSet};

impl EventCore {
    /// How complete the answers of an instance are here.
    pub(super) fn result_view(&self, now: Mono, instance: u32) -> ResultView {
        let unsealed = self.unsealed(instance);
        let missing = unsealed.iter().filter(|(origin, _)| !self.state().is_forgotten(**origin));
        let missing = missing.map(|(origin, _)| *origin).chain(self.self_outside());
        let missing = missing.map(|origin| self.missing_node(now, origin)).collect();
        ResultView {
            status: self.status_of(instance).to_owned(),
            missing,
            forgotten: self.forgotten_nodes(instance),
            late: self.late.entries,
            revision: self.state().revision_of(instance),
            board_revision: self.state().board_revision(),
        }
    }

    /// How complete an instance's result is, in words that are the same on all nodes that have seen the same.
    pub(super) fn coverage(&self, instance: u32) -> CoverageView {
        let (status, missing) = (self.status_of(instance).to_owned(), self.missing(instance));
        CoverageView { status, missing }
    }

    /// The names of the nodes whose seal of an instance is missing and still waited for, each once.
    pub(super) fn missing(&self, instance: u32) -> Vec<String> {
        let awaited = self.unsealed(instance).into_keys();
        let awaited = awaited.filter(|origin| !self.state().is_forgotten(*origin));
        let awaited = awaited.chain(self.self_outside());
        let names: BTreeSet<String> = awaited.map(|origin| self.node_name(origin)).collect();
        names.into_iter().collect()
    }

    /// The status of an instance's result for a message that every player gets: looked up once while nothing
    /// changes.
    pub(super) fn told_status(&self, instance: u32) -> &'static str {
        if self.self_outside().is_some() {
            return "partial";
        }
        let at = (instance, self.revision());
        let known = self.statuses.get().filter(|(known, _)| *known == at);
        let (_, status) = known.unwrap_or_else(|| (at, self.status_of(instance)));
        self.statuses.set(Some((at, status)));
        status
    }

    /// Whom a result is still waited for by that every player gets; nobody to ask for where it is complete.
    pub(super) fn told_missing(&self, instance: u32) -> Vec<String> {
        match self.told_status(instance) {
            "final" | "forgotten" => Vec::new(),
            _ => self.missing(instance),
        }
    }

    /// The status of an instance's result, in this node's view.
    pub(super) fn status_of(&self, instance: u32) -> &'static str {
        if self.self_outside().is_some() {
            return "partial";
        }
        let unsealed = self.unsealed(instance);
        match self.complete_status(instance) {
            Some(status) => status,
            None if self.has_orphans(instance) || !self.has_caught_up => "partial",
            None if self.is_settled(instance, &unsealed)
                || crdt_state::planted!(SettledByMinority) =>
            {
                "settled"
            }
            None => "partial",
        }
    }

    /// Whether an answer is here of which nobody knows whose it is. Looked up once while nothing changes.
    fn has_orphans(&self, instance: u32) -> bool {
        let at = (instance, self.revision());
        let known = self.orphans.get().filter(|(known, _)| *known == at);
        let (_, has) = known.unwrap_or_else(|| (at, self.state().has_orphans(instance)));
        self.orphans.set(Some((at, has)));
        has
    }

    /// This node, if the others go on without it: it has left, and no majority knows that it is back. What it would
    /// call complete may have been overtaken.
    fn self_outside(&self) -> Option<Origin> {
        (self.leaving.is_some() || self.is_unknown).then_some(self.identity.origin)
    }

    /// The status of a result for which nobody waits: it depends on the state alone, where that is all there is.
    pub(super) fn complete_status(&self, instance: u32) -> Option<&'static str> {
        if self.self_outside().is_some() {
            return None;
        }
        let unsealed = self.unsealed(instance);
        let awaited = unsealed.keys().any(|origin| !self.state().is_forgotten(*origin));
        match (awaited, unsealed.is_empty()) {
            (_, true) => (!self.has_orphans(instance)).then_some("final"),
            (false, false) => Some("forgotten"),
            (true, false) => None,
        }
    }

    fn unsealed(&self, instance: u32) -> BTreeMap<Origin, Option<NodeId>> {
        self.state().unsealed(instance, self.heads()).collect()
    }

    /// Whether every receipt that is firm, and every one that will be while this is said, is counted: each
    /// unsealed lane is fenced off by a majority, and by so many that those who did not cannot make a
    /// receipt firm; and what is within the fences is here, the last ones of nodes that left included. All
    /// this is in the state, so that it stays true whatever is heard or lost.
    fn is_settled(&self, instance: u32, unsealed: &BTreeMap<Origin, Option<NodeId>>) -> bool {
        let nodes = self.counted_nodes();
        unsealed.iter().all(|(origin, node)| {
            let Some(away) = *node else { return false };
            let others = nodes.iter().filter(|node| **node != away);
            let fenced =
                others.clone().filter(|node| self.is_fenced(**node, instance, away, *origin));
            let (others, fenced) = (others.count(), fenced.count());
            fenced * 2 > nodes.len()
                && others - fenced + 1 < self.copies(nodes.len())
                && self.has_last_words(away, *origin)
        })
    }

    /// Whether a node has fenced off a lane, and all within is here.
    fn is_fenced(&self, by: NodeId, instance: u32, away: NodeId, origin: Origin) -> bool {
        let state = self.state();
        let here = self.heads().get(&LaneId::bulk(origin));
        let fences = state.fences().around(instance, away);
        let by_node = fences.filter(|(writer, _)| state.node_of(*writer) == Some(by));
        let heads: Vec<u64> =
            by_node.filter_map(|(_, lanes)| lanes.get(&origin).copied()).collect();
        !heads.is_empty() && heads.iter().all(|head| *head <= here)
    }

    /// How many nodes hold an answer whose receipt is firm.
    pub(super) fn copies(&self, nodes: usize) -> usize {
        match self.rules.ack {
            AckLevel::Local => 1,
            AckLevel::Peer => 2,
            AckLevel::Majority => nodes / 2 + 1,
        }
    }

    /// How many copies of what is firm were promised, of the nodes that count now. At a level that does not depend on
    /// them nobody counts them.
    pub(super) fn copies_now(&self) -> usize {
        match self.rules.ack {
            AckLevel::Majority => self.copies(self.counted_nodes().len()),
            AckLevel::Local | AckLevel::Peer => self.copies(0),
        }
    }

    /// A number that grows whenever [`EventCore::awaited_nodes`] may have changed.
    #[must_use]
    pub fn awaited_revision(&self) -> u64 {
        let words = self.state().forgotten().iter().map(|(_, known)| u64::from(known.length));
        self.carried.parties_revision() + words.sum::<u64>()
    }

    /// The nodes for whose word results wait.
    #[must_use]
    pub fn awaited_nodes(&self) -> BTreeSet<NodeId> {
        let state = self.state();
        let awaited = state.enrolled().filter(|(origin, ..)| state.is_awaited(*origin));
        awaited.map(|(_, node, _)| node).collect()
    }

    /// The nodes that take part and have not left for good.
    pub(super) fn counted_nodes(&self) -> BTreeSet<NodeId> {
        let state = self.state();
        let counted = state.enrolled().filter(|(origin, ..)| !state.is_retired(*origin));
        counted.map(|(_, node, _)| node).collect()
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
        // Who has just come back has not enrolled yet.
        let own = || (origin == self.identity.origin).then(|| self.identity.name.clone());
        let name = name.or_else(own);
        name.unwrap_or_else(|| origin.to_string())
    }

    /// For how long an origin has been out of reach: as far as this life of the node knows, 0 while it is
    /// connected.
    fn unreachable_ms(&self, now: Mono, origin: Origin) -> u64 {
        if self.is_reachable(origin) {
            return 0;
        }
        now.saturating_sub(self.gone.since(origin)).as_millis() as u64
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
