//! What each node stands behind of the answers of a node that it cannot reach.
//!
//! Once a round is closed, a node that misses another's seal and does not reach it says how far it has that
//! node's lanes, and that it will make no receipt of that round firm beyond: it puts up a fence. A node
//! whose round was fenced off reads the fence before it counts any later acknowledgement of its writer.
//! So a result is settled when fences stand around all that is missing and what is within them is here, and
//! stays so whatever is heard or lost afterwards: no clock and nobody's silence is trusted.
//!
//! A node that leaves in order has no more to say once it is gone. Its last words ([`Fence::FOR_GOOD`]) say how
//! far it may have stood behind each lane: whoever judges a result has that much.
//!
//! A fence is never taken down. Of two of one writer around one lane the first one, and so the smaller,
//! holds: the later one can only repeat it.

use crate::delta::Fence;
use crate::id::{NodeId, Origin};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// By writer: how far it has each incarnation's lane.
type Writers = BTreeMap<Origin, BTreeMap<Origin, u64>>;

/// All fences of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fences(BTreeMap<(u32, NodeId), Writers>);

impl Fences {
    /// Takes in a fence that `writer` put up.
    pub(super) fn take(&mut self, writer: Origin, fence: &Fence) {
        let writers = self.0.entry((fence.instance, fence.node)).or_default();
        let head = writers.entry(writer).or_default().entry(fence.origin).or_insert(fence.head);
        *head = fence.head.min(*head);
    }

    /// Whether anybody fenced anything of a run off.
    #[must_use]
    pub fn has(&self, instance: u32) -> bool {
        self.of(instance).next().is_some()
    }

    /// Who was fenced off in a run, and by whom.
    pub fn of(&self, instance: u32) -> impl Iterator<Item = (NodeId, Origin)> {
        let of = self.0.range((instance, NodeId(0))..=(instance, NodeId(u64::MAX)));
        of.flat_map(|((_, node), writers)| writers.keys().map(move |writer| (*node, *writer)))
    }

    /// The fences around what a node took in a run: by writer, how far it has each incarnation's lane.
    pub fn around(
        &self,
        instance: u32,
        node: NodeId,
    ) -> impl Iterator<Item = (Origin, &BTreeMap<Origin, u64>)> {
        let writers = self.0.get(&(instance, node));
        writers.into_iter().flatten().map(|(writer, lanes)| (*writer, lanes))
    }

    /// The last words about what a node took, as [`Fences::around`].
    pub fn last_words(
        &self,
        node: NodeId,
    ) -> impl Iterator<Item = (Origin, &BTreeMap<Origin, u64>)> {
        self.around(Fence::FOR_GOOD, node)
    }

    /// Every fence, with its writer.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, Fence)> {
        self.0.iter().flat_map(|((instance, node), writers)| {
            writers.iter().flat_map(|(writer, lanes)| {
                let fence = |(origin, head): (&Origin, &u64)| Fence {
                    instance: *instance,
                    node: *node,
                    origin: *origin,
                    head: *head,
                };
                lanes.iter().map(move |lane| (*writer, fence(lane)))
            })
        })
    }
}

impl CvRDT for Fences {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (writer, fence) in other.iter() {
            self.take(writer, &fence);
        }
    }
}
