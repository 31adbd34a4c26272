//! Entries that came before their turn.
//!
//! They are not content until the gap before them is filled. The stash is bounded over all lanes;
//! what does not fit is dropped, and the pull that fills the gap fetches it again.

use super::tail::Kept;
use crdt_state::LaneId;
use std::collections::BTreeMap;

/// Whether an entry found its place in the stash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stashed {
    /// It waits there now, or did already.
    Kept,
    /// There was no room.
    Dropped,
    /// Another entry waits under the same number.
    Conflict,
}

/// Entries ahead of their lane's head, by lane and number.
#[derive(Debug)]
pub(super) struct Stash {
    lanes: BTreeMap<LaneId, BTreeMap<u64, Kept>>,
    bytes: usize,
    bytes_max: usize,
}

impl Stash {
    pub(super) fn new(bytes_max: usize) -> Self {
        Stash { lanes: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn put(&mut self, id: LaneId, seq: u64, kept: Kept) -> Stashed {
        if let Some(held) = self.lanes.get(&id).and_then(|lane| lane.get(&seq)) {
            return if held.bytes == kept.bytes { Stashed::Kept } else { Stashed::Conflict };
        }
        if self.bytes + kept.cost() > self.bytes_max {
            return Stashed::Dropped;
        }
        self.bytes += kept.cost();
        self.lanes.entry(id).or_default().insert(seq, kept);
        Stashed::Kept
    }

    /// Takes entry `seq` of a lane, and drops what came before it.
    pub(super) fn take(&mut self, id: LaneId, seq: u64) -> Option<Kept> {
        let lane = self.lanes.get_mut(&id)?;
        let mut taken = None;
        while let Some(first) = lane.first_entry().filter(|first| *first.key() <= seq) {
            let (at, kept) = first.remove_entry();
            self.bytes -= kept.cost();
            taken = (at == seq).then_some(kept);
        }
        if lane.is_empty() {
            self.lanes.remove(&id);
        }
        taken
    }

    /// Drops all that waits for a lane.
    pub(super) fn forget(&mut self, id: LaneId) {
        for kept in self.lanes.remove(&id).unwrap_or_default().values() {
            self.bytes -= kept.cost();
        }
    }

    pub(super) fn clear(&mut self) {
        self.lanes.clear();
        self.bytes = 0;
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = (LaneId, u64)> {
        let first = |(id, lane): (&LaneId, &BTreeMap<u64, Kept>)| Some((*id, *lane.keys().next()?));
        self.lanes.iter().filter_map(first)
    }

    /// # Panics
    /// If a count is wrong or the bound is broken.
    pub(super) fn check(&self) {
        let sum: usize = self.lanes.values().flat_map(BTreeMap::values).map(Kept::cost).sum();
        assert!(self.bytes == sum, "the stash knows its size: {} counted as {}", sum, self.bytes);
        assert!(self.bytes <= self.bytes_max, "{} stashed bytes break the bound", self.bytes);
    }
}
