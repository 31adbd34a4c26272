//! Members that gossip hears of although no direct link reaches them.
//!
//! All pairs are meant to be linked: gossip carries liveness and nothing else, so that two nodes without a link give
//! each other nothing of a show, however healthy both look to everybody else.

use super::membership::Member;
use crdt_state::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a link may be missing before it is told: 10 s, two of the longest waits between two dials.
const PATIENCE: Duration = Duration::from_secs(10);

/// A living member without a direct link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlinked {
    /// The node.
    pub node: NodeId,
    /// For people.
    pub name: String,
    /// For how long the link has been missing.
    pub since: Duration,
}

/// Since when which living member is without a link.
#[derive(Debug, Default)]
pub(super) struct LinkWatch(BTreeMap<NodeId, (String, Instant)>);

impl LinkWatch {
    /// Compares the members with who is linked.
    pub(super) fn observe(
        &mut self,
        own: NodeId,
        members: &[Member],
        linked: impl Fn(&Member) -> bool,
        now: Instant,
    ) {
        let lacking = |member: &&Member| member.live && member.node != own && !linked(member);
        let lacking = members.iter().filter(lacking).map(|member| {
            let since = self.0.get(&member.node).map_or(now, |(_, since)| *since);
            (member.node, (member.name.clone(), since))
        });
        self.0 = lacking.collect();
    }

    /// Those who have been without one for too long, in the order of node ids.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Unlinked> {
        let overdue = self.0.iter().filter(|(_, (_, since))| now - *since >= PATIENCE);
        let describe = |(node, (name, since)): (&NodeId, &(String, Instant))| Unlinked {
            node: *node,
            name: name.clone(),
            since: now - *since,
        };
        overdue.map(describe).collect()
    }
}
