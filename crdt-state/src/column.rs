//! Dense columns: one cell per row, in copy-on-write blocks.
//!
//! Bulk state (players, answers) lives here rather than in a map of CRDT objects: 8 bytes a cell
//! against some 400. A column's join is the minimum of every cell on its whole value, so it does not
//! matter in which order, how often or in what groups cells arrive. Cloning a column copies one
//! pointer per block: that is what makes an exact cut cheap. Blocks start small and double. The digest
//! of a block is kept until the block changes, so that an audit reads only what is new.

mod pack;

use crate::caps;
use crate::id::Origin;
use crdts::CvRDT;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use xxhash_rust::xxh3::Xxh3;

/// Cells that are fetched from memory side by side.
const AT_ONCE: usize = 64;

/// Cells of a full block.
pub(crate) const BLOCK: usize = 4096;

/// What a column takes beside its blocks, and a block beside its cells, in cells: their places in what holds them.
pub(crate) const COLUMN_CELLS: usize = 64;
pub(crate) const BLOCK_CELLS: usize = 16;

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
        let tag = (accepted_by.0 >> 48) as u16;
        Self::pack(elapsed_ms.min(Self::ELAPSED_MS_MAX), tag, value)
    }

    /// Packs fields that are known to fit.
    pub(crate) fn pack(elapsed_ms: u32, tag: u16, value: u32) -> Self {
        Cell(u64::from(elapsed_ms) << 40 | u64::from(tag) << 24 | u64::from(value))
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

    /// The same answer, given at another time.
    #[must_use]
    pub fn at(self, elapsed_ms: u32) -> Self {
        Self::pack(elapsed_ms.min(Self::ELAPSED_MS_MAX), self.tag(), self.value())
    }

    /// The first bits of the origin that accepted the answer.
    #[must_use]
    pub fn tag(self) -> u16 {
        (self.0 >> 24) as u16
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
        write!(f, "{:#x}@{}ms/{:04x}", self.value(), self.elapsed_ms(), self.tag())
    }
}

/// Some thousand cells; those beyond its length are empty.
#[derive(Clone, Default)]
struct Block {
    cells: Vec<Cell>,
    seen: Seen,
}

/// Stands for every block of which no row was written yet: a column may be large and hold little.
static NONE: LazyLock<Arc<Block>> = LazyLock::new(Arc::default);

/// What was worked out of a block's cells as they are; unset by every change.
#[derive(Clone, Default)]
struct Seen {
    digest: OnceLock<u64>,
    edition: OnceLock<u64>,
}

impl Block {
    /// Its cells up to the last answer, however far it has grown.
    fn filled(&self) -> &[Cell] {
        let last = self.cells.iter().rposition(|cell| !cell.is_empty());
        &self.cells[..last.map_or(0, |at| at + 1)]
    }

    fn set(&mut self, at: usize, cell: Cell) {
        if at >= self.cells.len() {
            self.grow(at + 1);
        }
        self.cells[at] = cell;
        self.seen = Seen::default();
    }

    fn grow(&mut self, to: usize) {
        let grown = grown(to);
        self.cells.reserve_exact(grown - self.cells.len());
        self.cells.resize(grown, Cell::EMPTY);
    }

    fn merge(&mut self, other: &[Cell]) {
        if other.len() > self.cells.len() {
            self.grow(other.len());
        }
        fall_to(&mut self.cells, other);
        self.seen = Seen::default();
    }

    fn digest(&self) -> u64 {
        *self.seen.digest.get_or_init(|| {
            let mut hash = Xxh3::new();
            let mut bytes = [0; 256 * 8];
            for cells in self.filled().chunks(256) {
                for (place, cell) in bytes.chunks_exact_mut(8).zip(cells) {
                    place.copy_from_slice(&cell.0.to_le_bytes());
                }
                hash.update(&bytes[..cells.len() * 8]);
            }
            hash.digest()
        })
    }

    fn edition(&self) -> u64 {
        // Nothing but whether two of them are equal is ever looked at.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        *self.seen.edition.get_or_init(|| NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// How large a block is that has room for so many cells.
fn grown(to: usize) -> usize {
    to.next_power_of_two().clamp(16, BLOCK)
}

/// Lets every cell fall to the other one beside it, where that is smaller.
fn fall_to(cells: &mut [Cell], others: &[Cell]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { fall_to_by_four(cells, others) };
    }
    fall_to_one_by_one(cells, others);
}

/// The same for processors that compare four cells at once, which saves a quarter: what every one of this architecture
/// can do compares none, and is slower than memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fall_to_by_four(cells: &mut [Cell], others: &[Cell]) {
    fall_to_one_by_one(cells, others);
}

#[inline(always)]
fn fall_to_one_by_one(cells: &mut [Cell], others: &[Cell]) {
    for (cell, other) in cells.iter_mut().zip(others) {
        cell.0 = cell.0.min(other.0);
    }
}

/// A column of answers, indexed by row number.
#[derive(Clone, Default)]
pub struct Column {
    blocks: Vec<Arc<Block>>,
}

impl Column {
    /// The cell of `row`; empty where nothing was ever written.
    #[must_use]
    pub fn get(&self, row: u32) -> Cell {
        let (block, at) = (row as usize / BLOCK, row as usize % BLOCK);
        self.blocks.get(block).and_then(|b| b.cells.get(at)).copied().unwrap_or_default()
    }

    /// Joins one cell and returns what was held before.
    ///
    /// # Panics
    /// If `row` is beyond [`caps::ROWS_MAX`]: decoding refuses such rows before they get here.
    pub fn join(&mut self, row: u32, cell: Cell) -> Cell {
        assert!(row < caps::ROWS_MAX, "row {row} is within the cap that decoding enforces");
        let (block, at) = (row as usize / BLOCK, row as usize % BLOCK);
        if block >= self.blocks.len() {
            self.blocks.resize(block + 1, Arc::clone(&NONE));
        }
        let block = &mut self.blocks[block];
        let held = block.cells.get(at).copied().unwrap_or_default();
        if cell < held {
            Arc::make_mut(block).set(at, cell);
        }
        held
    }

    /// Joins many cells; calls `replaced` with every row whose cell was not empty and is another now. Rows
    /// of one block that follow each other cost one look at the block.
    ///
    /// # Panics
    /// As [`Column::join`].
    pub fn join_all(
        &mut self,
        mut cells: impl Iterator<Item = (u32, Cell)>,
        mut replaced: impl FnMut(u32),
    ) {
        let mut some = [(0, Cell::EMPTY); AT_ONCE];
        loop {
            let taken = some.iter_mut().zip(&mut cells).map(|(place, cell)| *place = cell).count();
            let some = &some[..taken];
            // A million rows do not fit into a core's own cache. Reading all of them first, with nothing
            // in between, has the memory fetch them side by side: that halves what an answer costs.
            black_box(some.iter().fold(0, |sum, (row, _)| sum ^ self.get(*row).0));
            for run in some.chunk_by(|(a, _), (b, _)| *a as usize / BLOCK == *b as usize / BLOCK) {
                self.join_run(run, &mut replaced);
            }
            if taken < AT_ONCE {
                return;
            }
        }
    }

    /// Joins cells of one block.
    fn join_run(&mut self, run: &[(u32, Cell)], replaced: &mut impl FnMut(u32)) {
        let Some((first, _)) = run.first() else { return };
        assert!(*first < caps::ROWS_MAX, "row {first} is within the cap that decoding enforces");
        let number = *first as usize / BLOCK;
        if number >= self.blocks.len() {
            self.blocks.resize(number + 1, Arc::clone(&NONE));
        }
        let block = Arc::make_mut(&mut self.blocks[number]);
        block.seen = Seen::default();
        for (row, cell) in run {
            let at = *row as usize % BLOCK;
            if at >= block.cells.len() {
                block.grow(at + 1);
            }
            let held = std::mem::replace(&mut block.cells[at], *cell);
            if !held.is_empty() {
                block.cells[at] = held.min(*cell);
                if *cell < held {
                    replaced(*row);
                }
            }
        }
    }

    /// Writes one cell in place of what was held: for tables that are not replicated, since it is no join.
    ///
    /// # Panics
    /// As [`Column::join`].
    pub fn put(&mut self, row: u32, cell: Cell) {
        self.join(row, cell);
        if self.get(row) != cell {
            Arc::make_mut(&mut self.blocks[row as usize / BLOCK]).set(row as usize % BLOCK, cell);
        }
    }

    /// Every answer with its row number, in row order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Cell)> + '_ {
        self.blocks
            .iter()
            .enumerate()
            .flat_map(|(block, held)| {
                let row = move |at| (block * BLOCK + at) as u32;
                held.cells.iter().enumerate().map(move |(at, cell)| (row(at), *cell))
            })
            .filter(|(_, cell)| !cell.is_empty())
    }

    /// The cells of the rows from `block * BLOCK`, as far as they go.
    pub(crate) fn block(&self, block: usize) -> &[Cell] {
        self.blocks.get(block).map_or(&[], |block| &block.cells)
    }

    /// A number that only unchanged cells share, in this process and for as long as it runs: it costs no look
    /// at them. Cells that came here in two ways have two, so digests are what nodes compare.
    pub(crate) fn block_edition(&self, block: usize) -> u64 {
        self.blocks.get(block).map_or(0, |block| block.edition())
    }

    /// Every block in which there is an answer, with its digest.
    pub(crate) fn digests(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let filled = |(_, block): &(usize, &Arc<Block>)| !block.filled().is_empty();
        self.blocks.iter().enumerate().filter(filled).map(|(at, block)| (at, block.digest()))
    }

    /// Every block in which there is an answer, with the most bytes that it takes in a snapshot.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let blocks = self.blocks.iter().map(|block| block.filled().len()).enumerate();
        blocks.filter(|(_, cells)| *cells > 0).map(|(at, cells)| (at, 2 + pack::bytes_max(cells)))
    }

    /// What it takes in memory, in cells.
    pub(crate) fn held(&self) -> usize {
        let block = |block: &Arc<Block>| match block.cells.len() {
            0 => 1,
            cells => 1 + BLOCK_CELLS + cells,
        };
        COLUMN_CELLS + self.blocks.iter().map(block).sum::<usize>()
    }

    /// How much more it would take with these rows.
    pub(crate) fn new_cells(&self, rows: impl Iterator<Item = u32>) -> usize {
        let mut furthest: BTreeMap<usize, usize> = BTreeMap::new();
        for row in rows.map(|row| row as usize) {
            let at = furthest.entry(row / BLOCK).or_default();
            *at = (row % BLOCK + 1).max(*at);
        }
        let blocks = furthest.last_key_value().map_or(0, |(last, _)| last + 1);
        let more = |(number, to): (&usize, &usize)| match self.block(*number).len() {
            0 => BLOCK_CELLS + grown(*to),
            held if *to > held => grown(*to) - held,
            _ => 0,
        };
        let column = if self.blocks.is_empty() { COLUMN_CELLS } else { 0 };
        let places = blocks.saturating_sub(self.blocks.len());
        column + places + furthest.iter().map(more).sum::<usize>()
    }

    /// Some of its blocks, shared with it, and nothing of the others.
    pub(crate) fn only(&self, blocks: Range<usize>) -> Column {
        let mut some = vec![Arc::clone(&NONE); blocks.start];
        some.extend(self.blocks.get(blocks).unwrap_or_default().iter().map(Arc::clone));
        Column { blocks: some }
    }

    /// Bytes for a snapshot: the number of every block that has answers, and the block, packed.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            let cells = block.filled();
            if !cells.is_empty() {
                out.extend((number as u16).to_le_bytes());
                pack::write(cells, &mut out);
            }
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut column = Column::default();
        while !bytes.is_empty() {
            let number = bytes.split_off(..2).ok_or("a column is cut short")?;
            let number = usize::from(u16::from_le_bytes([number[0], number[1]]));
            if number < column.blocks.len() || number * BLOCK >= caps::ROWS_MAX as usize {
                return Err("a block is out of place");
            }
            let cells = pack::read(&mut bytes).ok_or("a block cannot be read")?;
            column.blocks.resize(number, Arc::clone(&NONE));
            column.blocks.push(Arc::new(Block { cells, seen: Seen::default() }));
        }
        Ok(column)
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        let blocks = self.blocks.len().max(other.blocks.len());
        let filled = |column: &Column, at: usize| column.blocks.get(at).map(Arc::clone);
        (0..blocks).all(|at| match (filled(self, at), filled(other, at)) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b) || a.filled() == b.filled(),
            (one, none) => one.or(none).is_none_or(|block| block.filled().is_empty()),
        })
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
        if other.blocks.len() > self.blocks.len() {
            self.blocks.resize(other.blocks.len(), Arc::clone(&NONE));
        }
        for (block, theirs) in self.blocks.iter_mut().zip(other.blocks) {
            if block.cells.is_empty() {
                *block = theirs;
            } else if !Arc::ptr_eq(block, &theirs) && !theirs.cells.is_empty() {
                Arc::make_mut(block).merge(&theirs.cells);
            }
        }
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        Column::decode(bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_earliest_answer_wins_whatever_the_order() {
        let (early, late) = (Cell::new(900, Origin(7), 1), Cell::new(901, Origin(1), 2));
        for (first, second) in [(early, late), (late, early)] {
            let mut column = Column::default();
            assert_eq!(column.join(5, first), Cell::EMPTY);
            assert_eq!(column.join(5, second), first);
            assert_eq!(column.get(5), early);
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

    fn column(cells: &[(u32, u32, u8)]) -> Column {
        let mut column = Column::default();
        for (row, elapsed, value) in cells {
            column.join(*row, Cell::new(*elapsed, Origin(1), u32::from(*value)));
        }
        column
    }

    #[test]
    fn blocks_join_alike_whatever_the_processor_can_do() {
        // Beyond the first half as unsigned numbers go, and lengths that four do not divide.
        let cell = |at: u64| Cell(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for length in 0..70 {
            let ours: Vec<Cell> = (0..length).map(cell).collect();
            let theirs: Vec<Cell> = (0..length + length % 3).map(|at| cell(at + 1_000)).collect();
            let (mut fast, mut plain) = (ours.clone(), ours);
            fall_to(&mut fast, &theirs);
            fall_to_one_by_one(&mut plain, &theirs);
            assert_eq!(fast, plain);
        }
    }

    fn cells() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
        proptest::collection::vec((0..9_000u32, 0..50u32, any::<u8>()), 0..60)
    }

    fn joined(mut a: Column, b: &Column) -> Column {
        a.merge(b.clone());
        a
    }

    proptest! {
        #[test]
        fn a_column_is_a_lattice(a in cells(), b in cells(), c in cells()) {
            let [a, b, c] = [a, b, c].map(|cells| column(&cells));
            prop_assert_eq!(joined(a.clone(), &b), joined(b.clone(), &a));
            prop_assert_eq!(
                joined(joined(a.clone(), &b), &c),
                joined(a.clone(), &joined(b.clone(), &c))
            );
            prop_assert_eq!(joined(a.clone(), &a), a.clone());
            let both = joined(a.clone(), &b);
            prop_assert!(a.iter().all(|(row, cell)| both.get(row) <= cell), "it only falls");
            prop_assert_eq!(joined(both.clone(), &a), both);
        }

        #[test]
        fn many_cells_join_as_one_by_one(a in cells(), b in cells()) {
            let (mut many, mut wanted, mut replaced) = (column(&a), column(&a), Vec::new());
            let cell = |(row, elapsed, value): &(u32, u32, u8)| {
                (*row, Cell::new(*elapsed, Origin(1), u32::from(*value)))
            };
            many.join_all(b.iter().map(cell), |row| replaced.push(row));
            let replaces = |(row, cell): &(u32, Cell)| {
                let held = wanted.join(*row, *cell);
                !held.is_empty() && *cell < held
            };
            let wanted_rows: Vec<_> = b.iter().map(cell).filter(replaces).map(|(row, _)| row).collect();
            prop_assert_eq!(replaced, wanted_rows);
            prop_assert_eq!(many, wanted);
        }

        #[test]
        fn a_digest_knows_content_only(mut cells in cells(), more in cells(), turn in 0..60usize) {
            let straight = column(&cells);
            let middle = turn % (cells.len() + 1);
            cells.rotate_left(middle);
            let mut other = column(&more);
            let _ = other.digests().count(); // computed and then outdated
            other.merge(column(&cells));
            other.merge(straight.clone());
            let mut wanted = straight.clone();
            wanted.merge(column(&more));
            let digests = |column: &Column| column.digests().collect::<Vec<_>>();
            prop_assert_eq!(digests(&other), digests(&wanted));
            prop_assert_eq!(digests(&column(&cells)), digests(&straight));
        }

        #[test]
        fn a_column_survives_its_bytes(cells in cells()) {
            let column = column(&cells);
            prop_assert_eq!(Column::decode(&column.encode()), Ok(column));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Column::decode(&bytes);
        }
    }
}
