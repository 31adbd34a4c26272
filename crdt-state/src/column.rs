//! Dense columns: one cell per row, in copy-on-write blocks.
//!
//! Bulk state (players, answers) lives here rather than in a map of CRDT objects: 8 bytes a cell
//! against some 400. A column's join is the minimum of every cell on its whole value, so it does not
//! matter in which order, how often or in what groups cells arrive. Cloning a column copies one
//! pointer per block: that is what makes an exact cut cheap.

use crate::caps;
use crate::id::Origin;
use crdts::CvRDT;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

/// Cells of a full block.
const BLOCK: usize = 4096;

/// A packed answer: elapsed milliseconds (24 bits), then the accepting origin's tag (16 bits), then the
/// value (24 bits).
///
/// Cells compare by that order as plain integers, so the earliest answer is the smallest cell and no
/// tie is left undefined. The empty cell is the largest. What the value means is the engagement kind's
/// business: a mask of options, an index into interned texts, a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell(u64);

impl Cell {
    /// No answer.
    pub const EMPTY: Cell = Cell(u64::MAX);
    /// The longest elapsed time that a cell can hold, in milliseconds: some 4.6 hours, above the hour
    /// to which a round can be extended.
    pub const ELAPSED_MS_MAX: u32 = (1 << 24) - 2;
    /// The largest value that a cell can hold.
    pub const VALUE_MAX: u32 = (1 << 24) - 1;

    /// Packs an answer; `elapsed_ms` beyond [`Cell::ELAPSED_MS_MAX`] is held as that.
    ///
    /// # Panics
    /// If `value` is beyond [`Cell::VALUE_MAX`]: decoding and intake refuse it before it gets here.
    #[must_use]
    pub fn new(elapsed_ms: u32, accepted_by: Origin, value: u32) -> Self {
        assert!(value <= Self::VALUE_MAX, "value {value} is within the cap that decoding enforces");
        let elapsed = u64::from(elapsed_ms.min(Self::ELAPSED_MS_MAX));
        let tag = accepted_by.0 >> 48;
        Cell(elapsed << 40 | tag << 24 | u64::from(value))
    }

    /// Whether there is no answer.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// When the answer was given, in milliseconds since the round opened.
    #[must_use]
    pub fn elapsed_ms(self) -> u32 {
        (self.0 >> 40) as u32
    }

    /// What was answered.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0 as u32 & Self::VALUE_MAX
    }

    /// The value of a choice: bit `i` for option `i`.
    #[must_use]
    pub fn choice(self) -> u16 {
        self.0 as u16
    }

    /// The packed integer, for digests.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl Default for Cell {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        write!(f, "{:#x}@{}ms/{:04x}", self.value(), self.elapsed_ms(), self.0 >> 24 & 0xffff)
    }
}

/// A column of answers, indexed by row number.
#[derive(Clone, Default)]
pub struct Column {
    blocks: Vec<Arc<Vec<Cell>>>,
}

impl Column {
    /// The cell of `row`; empty where nothing was ever written.
    #[must_use]
    pub fn get(&self, row: u32) -> Cell {
        let (block, at) = (row as usize / BLOCK, row as usize % BLOCK);
        self.blocks.get(block).and_then(|b| b.get(at)).copied().unwrap_or_default()
    }

    /// Joins one cell and returns what is held afterwards.
    ///
    /// # Panics
    /// If `row` is beyond [`caps::ROWS_MAX`]: decoding refuses such rows before they get here.
    pub fn join(&mut self, row: u32, cell: Cell) -> Cell {
        assert!(row < caps::ROWS_MAX, "row {row} is within the cap that decoding enforces");
        let (block, at) = (row as usize / BLOCK, row as usize % BLOCK);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, Arc::default);
        }
        let cells = Arc::make_mut(&mut self.blocks[block]);
        if at >= cells.len() {
            let grown = (at + 1).next_power_of_two().clamp(16, BLOCK);
            cells.resize(grown, Cell::EMPTY);
        }
        cells[at] = cells[at].min(cell);
        cells[at]
    }

    /// Every answer with its row number, in row order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Cell)> + '_ {
        self.blocks
            .iter()
            .enumerate()
            .flat_map(|(block, cells)| {
                cells.iter().enumerate().map(move |(at, cell)| ((block * BLOCK + at) as u32, *cell))
            })
            .filter(|(_, cell)| !cell.is_empty())
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Column {}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl CvRDT for Column {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (row, cell) in other.iter() {
            self.join(row, cell);
        }
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(|(row, cell)| (row, cell.0)).collect::<Vec<_>>())
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut column = Column::default();
        for (row, bits) in Vec::<(u32, u64)>::deserialize(from)? {
            if row >= caps::ROWS_MAX {
                return Err(serde::de::Error::custom(format_args!(
                    "row {row} is beyond the cap of {}",
                    caps::ROWS_MAX
                )));
            }
            column.join(row, Cell(bits));
        }
        Ok(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_answer_wins_whatever_the_order() {
        let (early, late) = (Cell::new(900, Origin(7), 1), Cell::new(901, Origin(1), 2));
        for (first, second) in [(early, late), (late, early)] {
            let mut column = Column::default();
            column.join(5, first);
            assert_eq!(column.join(5, second), early);
        }
    }

    #[test]
    fn a_clone_is_a_cut() {
        let mut column = Column::default();
        column.join(5000, Cell::new(1, Origin(1), 1));
        let cut = column.clone();
        column.join(5001, Cell::new(2, Origin(1), 1));
        assert_eq!(cut.iter().count(), 1);
        assert_eq!(column.iter().count(), 2);
        assert_ne!(cut, column);
    }

    #[test]
    fn a_cell_holds_what_it_was_given() {
        let cell = Cell::new(61_234, Origin(0xabcd_0000_0000_0001), 0b101);
        assert_eq!((cell.elapsed_ms(), cell.choice(), cell.value()), (61_234, 0b101, 0b101));
        assert_eq!(format!("{cell:?}"), "0x5@61234ms/abcd");
        let largest = Cell::new(u32::MAX, Origin(u64::MAX), Cell::VALUE_MAX);
        assert_eq!(
            (largest.elapsed_ms(), largest.value()),
            (Cell::ELAPSED_MS_MAX, Cell::VALUE_MAX)
        );
        assert!(cell < largest && largest < Cell::EMPTY);
    }
}
