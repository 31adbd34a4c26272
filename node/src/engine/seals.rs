//! Seals: this node's word that it has given all its answers of a round.
//!
//! Once a round is closed in this node's view, an entry of the control lane names the bulk head beyond
//! which this origin holds no answer for it, and every origin that is known to take part and was not named in
//! this lane before. It is on this node's disk before anybody hears it, so that no crash lets the node
//! take answers for a round that others call final. A former incarnation is sealed once and for good,
//! after all that any node holds of it has arrived.
//!
//! That another lane names an origin is no reason to leave it out. Whoever waits for this node's seal reads
//! this lane up to there, but of the other lane it may never have heard: it may be the newcomer's own.

use super::core::EventCore;
use super::io::Output;
use crdt_state::delta::{Delta, Seal};
use crdt_state::{Lane, LaneId, Mono, NodeId, Origin};

impl EventCore {
    /// Seals whatever this node can and has not.
    pub(super) fn seal_when_due(&mut self, now: Mono) {
        let instance = self.newest_closed();
        if instance == 0 {
            return;
        }
        self.commit_bulk(now);
        if !self.keeps_promises {
            return;
        }
        let mut seals = Vec::from_iter(self.missing_seal(self.identity.origin, instance));
        let formers = Vec::from_iter(self.unsealed_formers());
        if !formers.is_empty() && self.has_compared_formers() {
            let for_good = |former| self.missing_seal(former, Seal::FOR_GOOD);
            crdt_state::sometimes!(FormerSealed);
            seals.extend(formers.into_iter().filter_map(for_good));
        }
        if let Some(first) = seals.first_mut() {
            first.knows = self.unnamed().collect();
            self.named.extend(&first.knows);
        }
        let fences = self.missing_fences(instance);
        if seals.is_empty() && fences.is_empty() {
            return;
        }
        if !fences.is_empty() {
            crdt_state::sometimes!(FencePutUp);
            self.remember_fenced(instance);
        }
        let seals = seals.into_iter().map(Delta::Seal);
        self.write_control(now, seals.chain(fences.into_iter().map(Delta::Fence)).collect());
        self.outputs.push_back(Output::Flush);
    }

    /// Enrolled origins that this life's lane has not named yet.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = Origin> {
        let others = self.carried.state.enrolled().map(|(origin, ..)| origin);
        others.filter(|origin| *origin != self.identity.origin && !self.named.contains(origin))
    }

    pub(super) fn missing_seal(&self, origin: Origin, instance: u32) -> Option<Seal> {
        let known = self.carried.state.is_enrolled(origin);
        let sealed = self.carried.state.sealed(origin, instance).is_some();
        let heads = self.carried.heads();
        let (head, control) =
            (heads.get(&LaneId::bulk(origin)), heads.get(&LaneId::control(origin)));
        let seal = Seal { origin, instance, head, control, knows: Vec::new() };
        (known && !sealed).then_some(seal)
    }

    /// Former incarnations of this node that may have more to give. One that is connected is no former
    /// one: somebody runs a copy of this node, and it speaks for itself.
    pub(super) fn unsealed_formers(&self) -> impl Iterator<Item = Origin> {
        let formers = self.formers.iter().copied();
        formers.filter(|former| {
            !self.carried.state.is_retired(*former) && !self.connected.contains_key(former)
        })
    }

    /// Whether all that any node holds of this node's former incarnations has arrived. What is neither
    /// stored here nor held by any node was never acknowledged; what only an unreachable node holds
    /// may have been, so no former incarnation is sealed while one is unreachable, unless it was given
    /// up. Who takes part is known only once all is here that peers have told of: a former's own lane may come first, and
    /// tells of nobody else.
    pub(super) fn has_compared_formers(&self) -> bool {
        let state = &self.carried.state;
        let knows_all = self.others().all(|(peer, _)| self.has_compared_with(*peer))
            && state.hearsay().all(|origin| state.is_forgotten(origin));
        if !knows_all {
            return false;
        }
        let awaited = state.enrolled().filter(|(origin, ..)| !state.is_forgotten(*origin));
        let staying = self.counted_nodes();
        let mut nodes = awaited.map(|(_, node, _)| node).filter(|node| staying.contains(node));
        nodes.all(|node| self.is_here(node))
            && self.formers.iter().all(|former| self.has_last_words(self.identity.node, *former))
    }

    /// Whether a peer has told what it has of the former incarnations, and all that is here, and every
    /// enrolment that it knows. That it has a former's control lane it tells only by its heads.
    fn has_compared_with(&self, peer: Origin) -> bool {
        let (mine, Some(theirs)) = (self.carried.heads(), self.replica.peer_heads(peer)) else {
            return false;
        };
        let has_told = |former: &Origin| theirs.get(&LaneId::control(*former)) > 0;
        let is_here = |id: &LaneId, head: u64| head <= mine.get(id);
        let matters = |id: &LaneId| id.lane == Lane::Control || self.formers.contains(&id.origin);
        self.formers.iter().all(has_told)
            && theirs.dots.iter().filter(|(id, _)| matters(id)).all(|(id, head)| is_here(id, *head))
    }

    /// Whether all that some other node has is here. Who has told nothing of a former life of this node, which only
    /// heads tell, has not told what it has.
    pub(super) fn has_all_of_another(&self) -> bool {
        let (mine, mut others) = (self.carried.heads(), self.others().map(|(peer, _)| *peer));
        others.any(|peer| {
            self.has_compared_with(peer)
                && self
                    .replica
                    .peer_heads(peer)
                    .is_some_and(|theirs| theirs <= mine && theirs.get(&LaneId::control(peer)) > 0)
        })
    }

    /// Whether a reachable origin that takes part has not sealed `instance`.
    pub(super) fn reachable_unsealed(&self, instance: u32) -> bool {
        let mut unsealed = self.carried.state.unsealed(instance, self.carried.heads());
        unsealed.any(|(origin, _)| self.is_reachable(origin))
    }

    /// The connected peers that are no lives of this node.
    pub(super) fn others(&self) -> impl Iterator<Item = (&Origin, &NodeId)> {
        self.connected.iter().filter(|(_, node)| **node != self.identity.node)
    }

    /// Whether a node is this one or that of a connected peer.
    pub(super) fn is_here(&self, node: NodeId) -> bool {
        node == self.identity.node || self.connected.values().any(|of| *of == node)
    }

    /// Whether an origin is this life or a connected peer.
    pub(super) fn is_reachable(&self, origin: Origin) -> bool {
        origin == self.identity.origin || self.connected.contains_key(&origin)
    }
}
