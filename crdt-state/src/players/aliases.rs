//! Which rows are aliases: several rows of one player, given by nodes that had not met.
//!
//! Few players have any, so this is a sparse side table: whoever is not in it speaks for itself.

use super::Handle;
use std::collections::BTreeMap;
use std::ops::Range;

/// The players with several rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Aliases {
    /// Of each, the row that speaks and all of them, smallest first.
    groups: BTreeMap<Handle, Vec<Handle>>,
    /// The row that speaks, by each of them.
    speakers: BTreeMap<Handle, Handle>,
}

impl Aliases {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn is_aliased(&self, handle: Handle) -> bool {
        self.speakers.contains_key(&handle)
    }

    /// The smallest row of the same player.
    pub(super) fn speaker(&self, handle: Handle) -> Handle {
        self.speakers.get(&handle).copied().unwrap_or(handle)
    }

    /// All rows of the player for whom `first` speaks.
    pub(super) fn rows_of(&self, first: Handle) -> Vec<Handle> {
        self.groups.get(&first).cloned().unwrap_or_else(|| vec![first])
    }

    /// Has a player, for whom `first` spoke, have these rows.
    pub(super) fn set(&mut self, first: Handle, rows: Vec<Handle>) {
        for row in self.groups.remove(&first).unwrap_or_default() {
            self.speakers.remove(&row);
        }
        if let [speaker, _, ..] = rows[..] {
            self.speakers.extend(rows.iter().map(|row| (*row, speaker)));
            self.groups.insert(speaker, rows);
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &[Handle]> {
        self.groups.values().map(Vec::as_slice)
    }

    /// The rows that are aliases within a range of handles, in their order.
    pub(super) fn within(&self, handles: Range<Handle>) -> impl Iterator<Item = Handle> {
        self.speakers.range(handles).map(|(handle, _)| *handle)
    }
}
