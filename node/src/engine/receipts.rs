//! The answers that this node has given receipts for, as long as another node's may overrule them, and which of them it
//! has promised.
//!
//! Dense, as answers are: a million receipts must cost no more than the answers themselves, and a promise a bit.

use crdt_state::column::Column;
use crdt_state::{Cell, Origin, Row};
use std::collections::BTreeMap;

/// Receipted cells, by instance and by the row that the answer was given for.
#[derive(Debug, Default)]
pub(super) struct Receipts(BTreeMap<u32, BTreeMap<Origin, Told>>);

/// What the players of an origin's rows were told.
#[derive(Debug, Default)]
struct Told {
    cells: Column,
    /// A bit for each row whose newest receipt was firm.
    firm: Vec<u64>,
}

impl Told {
    fn is_firm(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.firm.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

/// Whether two cells say the same to a player: which node took it no receipt tells, and one that came back writes
/// down again what its disk holds.
pub(super) fn is_same(one: Cell, other: Cell) -> bool {
    (one.elapsed_ms(), one.value()) == (other.elapsed_ms(), other.value())
}

/// Which word holds the bit of a row, and the bit.
fn place(number: u32) -> (usize, u64) {
    ((number / u64::BITS) as usize, 1 << (number % u64::BITS))
}

impl Receipts {
    /// Notes what a receipt says, in place of what an earlier one said. That it is the same leaves a promise as it is.
    pub(super) fn put(&mut self, instance: u32, row: Row, cell: Cell) {
        let told = self.0.entry(instance).or_default().entry(row.origin).or_default();
        let (word, bit) = place(row.number);
        if let Some(bits) = told.firm.get_mut(word).filter(|bits| **bits & bit != 0)
            && !is_same(told.cells.get(row.number), cell)
        {
            *bits &= !bit;
        }
        told.cells.put(row.number, cell);
    }

    /// Notes that the receipt for a row is firm.
    pub(super) fn promise(&mut self, instance: u32, row: Row) {
        let told = self.0.get_mut(&instance).and_then(|columns| columns.get_mut(&row.origin));
        let Some(told) = told.filter(|told| !told.cells.get(row.number).is_empty()) else { return };
        let (word, bit) = place(row.number);
        if word >= told.firm.len() {
            told.firm.resize(word + 1, 0);
        }
        told.firm[word] |= bit;
    }

    /// Whether just this was promised in the receipt for a row.
    pub(super) fn has_promised(&self, instance: u32, row: Row, cell: Cell) -> bool {
        let told = self.0.get(&instance).and_then(|columns| columns.get(&row.origin));
        told.is_some_and(|told| {
            told.is_firm(row.number) && is_same(told.cells.get(row.number), cell)
        })
    }

    /// What the receipt for a row said.
    pub(super) fn get(&self, instance: u32, row: Row) -> Option<Cell> {
        let cell = self.0.get(&instance)?.get(&row.origin)?.cells.get(row.number);
        (!cell.is_empty()).then_some(cell)
    }

    /// The instances for which there are any.
    pub(super) fn instances(&self) -> impl Iterator<Item = u32> + use<> {
        self.0.keys().copied().collect::<Vec<_>>().into_iter()
    }

    /// Every receipt's instance and row.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, Row)> {
        self.0.iter().flat_map(|(instance, columns)| {
            columns.iter().flat_map(move |(origin, told)| {
                let row = |number| Row { origin: *origin, number };
                told.cells.iter().map(move |(number, _)| (*instance, row(number)))
            })
        })
    }

    /// Forgets those of all instances but these.
    pub(super) fn keep(&mut self, keeps: impl Fn(u32) -> bool) {
        self.0.retain(|instance, _| keeps(*instance));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_is_remembered_until_something_else_is_held_or_its_round_is_forgotten() {
        let row = |number| Row { origin: Origin(7), number };
        let cell = |elapsed_ms| Cell::new(elapsed_ms, Origin(7), 1);
        let mut receipts = Receipts::default();
        receipts.promise(1, row(70));
        assert!(!receipts.has_promised(1, row(70), Cell::EMPTY), "nothing was told");
        for number in [70, 71] {
            receipts.put(1, row(number), cell(900));
        }
        receipts.promise(1, row(70));
        receipts.put(1, row(70), cell(900));
        assert!(receipts.has_promised(1, row(70), cell(900)), "the same was told again");
        receipts.put(1, row(70), Cell::new(900, Origin(9 << 48), 1));
        assert!(receipts.has_promised(1, row(70), cell(900)), "whoever took it");
        assert!(!receipts.has_promised(1, row(71), cell(900)), "its neighbour's was not firm");
        assert!(!receipts.has_promised(2, row(70), cell(900)));
        receipts.put(1, row(70), cell(800));
        assert!(!receipts.has_promised(1, row(70), cell(800)), "an earlier one was not promised");
        receipts.promise(1, row(70));
        receipts.keep(|instance| instance != 1);
        assert!(!receipts.has_promised(1, row(70), cell(800)));
    }
}
