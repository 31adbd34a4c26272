//! For which nodes events wait, for whoever tells those nodes.

use crdt_state::{EventId, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The nodes for whose word the results of events wait, where that has changed since it was last looked at: a set for
/// each event that is carried, at most.
#[derive(Debug, Default)]
pub struct Awaiting(Mutex<BTreeMap<EventId, BTreeSet<NodeId>>>);

impl Awaiting {
    /// An event waits for other nodes than before.
    pub fn tell(&self, event: EventId, nodes: BTreeSet<NodeId>) {
        self.lock().insert(event, nodes);
    }

    /// One event of which that was told since it was last asked.
    pub fn pop(&self) -> Option<(EventId, BTreeSet<NodeId>)> {
        self.lock().pop_first()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EventId, BTreeSet<NodeId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
