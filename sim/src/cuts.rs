//! The paths between nodes on which nothing passes, for clusters that have no datagrams.

use std::collections::BTreeMap;

/// How many cuts are on each path, from and to: it heals with the last of them.
#[derive(Default)]
pub(crate) struct Cuts(BTreeMap<(u8, u8), u32>);

impl Cuts {
    /// One cut begins on a path, or is over.
    pub(crate) fn set(&mut self, path: (u8, u8), apart: bool) {
        let cuts = self.0.entry(path).or_default();
        *cuts = if apart { *cuts + 1 } else { cuts.saturating_sub(1) };
    }

    /// Whether nothing passes.
    pub(crate) fn is_cut(&self, from: u8, to: u8) -> bool {
        self.0.get(&(from, to)).is_some_and(|cuts| *cuts > 0)
    }
}
