//! The state taken apart, so that a copy of it can be written bit by bit.
//!
//! A lattice is the join of whatever covers it. Nearly all of a large event is rows of players and cells of
//! answers, which lie in blocks that copies share until one of them writes. So a frozen copy costs next to
//! nothing, is cut into slices of some blocks each, and a slice is written when it is asked for; all the
//! rest is one more part, small beside them.
//!
//! **Invariant: [`EventState::without_blocks`] joined with the pieces of all slices is the state.**

use super::{EventState, Sheet};
use crate::column::Column;
use crate::delta::DecodeError;
use crate::id::Origin;
use crate::lattice::Pointwise;
use crate::players::{Players, RowBlocks};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The most that a piece takes when it is written: a full block of the longest names, and room.
pub const PIECE_BYTES_MAX: usize = 272 << 10;

/// Bytes of a piece beside its blocks, at most: lengths, and keys of as many columns as fit.
const ROOM_BYTES: usize = 4 << 10;

/// Bytes that the key of one column takes when it is written, at most.
const KEY_BYTES: usize = 24;

/// Which blocks of a state go together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    rows: Vec<u32>,
    cells: Vec<((u32, u16), Origin, Range<usize>)>,
}

/// The blocks of a slice: what is written, and joined where it is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Piece {
    rows: RowBlocks,
    cells: Vec<((u32, u16), Origin, Column)>,
}

/// Slices in the making: as many blocks in each as may be.
#[derive(Default)]
struct Packing {
    done: Vec<Slice>,
    open: Slice,
    bytes: usize,
}

impl Packing {
    /// Makes room for what takes so many bytes at most.
    fn room(&mut self, bytes: usize) -> &mut Slice {
        if self.bytes + bytes > PIECE_BYTES_MAX - ROOM_BYTES {
            self.done.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
        self.bytes += bytes;
        &mut self.open
    }

    fn end(mut self) -> Vec<Slice> {
        if self.bytes > 0 {
            self.done.push(self.open);
        }
        self.done
    }
}

impl EventState {
    /// Slices that cover all blocks, each of which makes a piece of at most [`PIECE_BYTES_MAX`] bytes.
    #[must_use]
    pub fn slices(&self) -> Vec<Slice> {
        let mut packing = Packing::default();
        for (block, bytes) in self.players.written() {
            packing.room(bytes).rows.push(block);
        }
        for (key, sheet) in &self.sheets.0 {
            for (origin, column) in &sheet.0 {
                for (block, bytes) in column.written() {
                    let cells = &mut packing.room(bytes + KEY_BYTES).cells;
                    match cells.last_mut() {
                        Some((k, o, run)) if (*k, *o, run.end) == (*key, *origin, block) => {
                            run.end += 1;
                        }
                        _ => cells.push((*key, *origin, block..block + 1)),
                    }
                }
            }
        }
        packing.end()
    }

    /// The blocks of a slice of this state.
    #[must_use]
    pub fn piece(&self, slice: &Slice) -> Piece {
        let column = |(key, origin, run): &((u32, u16), Origin, Range<usize>)| {
            let column = self.sheets.0.get(key)?.0.get(origin)?.only(run.clone());
            Some((*key, *origin, column))
        };
        let cells = slice.cells.iter().filter_map(column).collect();
        Piece { rows: self.players.row_blocks(&slice.rows), cells }
    }

    /// Everything else, with the columns empty.
    #[must_use]
    pub fn without_blocks(&self) -> EventState {
        let empty = |sheet: &Sheet| {
            Pointwise(sheet.0.keys().map(|origin| (*origin, Column::default())).collect())
        };
        let sheets = self.sheets.0.iter().map(|(key, sheet)| (*key, empty(sheet)));
        let sheets = Pointwise(sheets.collect());
        EventState { players: Players::default(), sheets, ..self.clone() }
    }

    /// Joins a piece of another state.
    ///
    /// # Errors
    /// If the event would hold more than it may; the state is then unchanged.
    pub fn join_piece(&mut self, piece: Piece) -> Result<(), DecodeError> {
        let cells = piece.cells.iter().map(|(.., column)| column.held()).sum();
        self.make_room_for_piece(piece.rows.len(), cells)?;
        self.players.join_blocks(&piece.rows);
        for (key, origin, column) in piece.cells {
            self.sheets.at(key).at(origin).merge(column);
        }
        Ok(())
    }

    /// Whether its texts are such as an entry may bring: of a state that was read, nobody knows who wrote it.
    #[must_use]
    pub fn has_possible_texts(&self) -> bool {
        self.sides.all_texts().all(crate::delta::is_possible_text)
    }
}
