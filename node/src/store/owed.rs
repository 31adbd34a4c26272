//! What the writer owes its disk: every write that was taken and is not there yet, in order.
//!
//! While the disk fails this is all that is left of them here, so it is bounded: beyond the bound the
//! event that owes the most loses its writes as one, and nothing more is taken of it until a snapshot
//! comes, since what lies beyond a gap is never read.

use super::StoreOp;
use bytes::Bytes;
use crdt_state::EventId;
use std::collections::{BTreeMap, BTreeSet};

/// What is owed at most while the disk fails: 64 MiB, minutes of a large show and little beside its state.
const BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// What a write costs beside its content. A guess.
const OVERHEAD: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) ops: Vec<StoreOp>,
    bytes: usize,
    /// Events of which writes were given up.
    lost: BTreeSet<EventId>,
}

impl Owed {
    /// Takes in a write.
    pub(super) fn push(&mut self, op: StoreOp) {
        match &op {
            StoreOp::Entry { event, .. } | StoreOp::Quarantine { event, .. }
                if self.lost.contains(event) =>
            {
                return;
            }
            StoreOp::Cut { event, .. } | StoreOp::Drop { event } => {
                self.lost.remove(event);
            }
            _ => {}
        }
        self.bytes += cost(&op);
        self.ops.push(op);
    }

    /// Keeps within the bound while the disk fails; how many writes were given up.
    pub(super) fn shed(&mut self) -> usize {
        let before = self.ops.len();
        if self.bytes > BYTES_MAX {
            self.fold();
        }
        while self.bytes > BYTES_MAX {
            let Some(event) = self.heaviest() else { break };
            self.ops.retain(|op| event_of(op) != Some(event));
            self.lost.insert(event);
            self.count();
        }
        if self.bytes > BYTES_MAX { 0 } else { before - self.ops.len() }
    }

    /// Drops what later writes make needless: all but the newest of what the node remembers.
    fn fold(&mut self) {
        let mut newer = BTreeSet::new();
        let mut kept: Vec<StoreOp> = std::mem::take(&mut self.ops);
        kept.reverse();
        kept.retain(|op| match op {
            StoreOp::Remember { name, .. } => newer.insert(*name),
            _ => true,
        });
        kept.reverse();
        self.ops = kept;
        self.count();
    }

    fn heaviest(&self) -> Option<EventId> {
        let mut bytes: BTreeMap<EventId, usize> = BTreeMap::new();
        for op in &self.ops {
            if let Some(event) = event_of(op) {
                *bytes.entry(event).or_default() += cost(op);
            }
        }
        bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(event, _)| event)
    }

    fn count(&mut self) {
        self.bytes = self.ops.iter().map(cost).sum();
    }

    /// All is on disk.
    pub(super) fn settle(&mut self) {
        self.ops.clear();
        self.bytes = 0;
    }

    /// Events of which writes were given up.
    pub(super) fn lost(&self) -> &BTreeSet<EventId> {
        &self.lost
    }
}

/// What is given up with its event. That an event goes is small, and is kept.
fn event_of(op: &StoreOp) -> Option<EventId> {
    match op {
        StoreOp::Entry { event, .. }
        | StoreOp::Cut { event, .. }
        | StoreOp::Quarantine { event, .. } => Some(*event),
        _ => None,
    }
}

fn cost(op: &StoreOp) -> usize {
    OVERHEAD
        + match op {
            StoreOp::Entry { entry, .. } => entry.len(),
            StoreOp::Cut { parts, .. } => parts.iter().map(Bytes::len).sum(),
            StoreOp::Remember { value, .. } => value.len(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::{Heads, LaneId, Origin};

    fn entry(event: u64, seq: u64, bytes: usize) -> StoreOp {
        let (id, entry) = (LaneId::bulk(Origin(1)), Bytes::from(vec![0; bytes]));
        StoreOp::Entry { event: EventId(event), id, seq, entry }
    }

    #[test]
    fn beyond_the_bound_the_heaviest_event_goes_as_one_until_a_snapshot_comes() {
        let mut owed = Owed::default();
        owed.push(entry(1, 1, 10));
        owed.push(entry(2, 1, 10));
        assert_eq!(owed.shed(), 0);
        owed.push(entry(2, 2, BYTES_MAX));
        assert_eq!(owed.shed(), 2);
        owed.push(entry(2, 3, 10));
        assert_eq!(owed.ops.len(), 1, "nothing is taken beyond a gap");
        assert_eq!(*owed.lost(), BTreeSet::from([EventId(2)]));
        owed.push(StoreOp::Cut { event: EventId(2), heads: Heads::new(), parts: Vec::new() });
        owed.push(entry(2, 4, 10));
        assert_eq!((owed.ops.len(), owed.lost().len()), (3, 0));
    }
}
