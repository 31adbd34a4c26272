//! The answers that this node has given receipts for, as long as another node's may overrule them.
//!
//! Dense, as answers are: a million receipts must cost no more than the answers themselves.

use crdt_state::column::Column;
use crdt_state::{Cell, Origin, Row};
use std::collections::BTreeMap;

/// Receipted cells, by instance and by the row that the answer was given for.
#[derive(Debug, Default)]
pub(super) struct Receipts(BTreeMap<u32, BTreeMap<Origin, Column>>);

impl Receipts {
    /// Notes what a receipt says, in place of what an earlier one said.
    pub(super) fn put(&mut self, instance: u32, row: Row, cell: Cell) {
        let columns = self.0.entry(instance).or_default();
        columns.entry(row.origin).or_default().put(row.number, cell);
    }

    /// What the receipt for a row said.
    pub(super) fn get(&self, instance: u32, row: Row) -> Option<Cell> {
        let cell = self.0.get(&instance)?.get(&row.origin)?.get(row.number);
        (!cell.is_empty()).then_some(cell)
    }

    /// The instances for which there are any.
    pub(super) fn instances(&self) -> impl Iterator<Item = u32> + use<> {
        self.0.keys().copied().collect::<Vec<_>>().into_iter()
    }

    /// Every receipt's instance and row.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, Row)> {
        self.0.iter().flat_map(|(instance, columns)| {
            columns.iter().flat_map(move |(origin, column)| {
                let row = |number| Row { origin: *origin, number };
                column.iter().map(move |(number, _)| (*instance, row(number)))
            })
        })
    }

    /// Forgets those of all instances but these.
    pub(super) fn keep(&mut self, keeps: impl Fn(u32) -> bool) {
        self.0.retain(|instance, _| keeps(*instance));
    }
}
