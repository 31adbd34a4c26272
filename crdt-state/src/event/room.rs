//! How large an event can become: no peer makes a node hold more than its caps, however far out the rows lie that it
//! names.
//!
//! What an entry takes at most is told by its frames, without a look at what is held. Only when all that was told since
//! the last count would be too much is there another count, and only if there is no room then is it worked out what the
//! entry adds to what is held.

use super::EventState;
use crate::caps;
use crate::column::{BLOCK, Column};
use crate::delta::{DecodeError, Delta, Frame};
use crate::id::Origin;

/// Cells that are held, at most, and as many as there may be before they are counted. Of what two states differ in it
/// says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells(usize);

impl Default for Cells {
    fn default() -> Self {
        Cells(caps::CELLS_MAX)
    }
}

impl PartialEq for Cells {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Cells {}

/// Blocks of a column, at most.
const ROW_BLOCKS: usize = caps::ROWS_MAX as usize / BLOCK;

const TOO_MANY_ROWS: DecodeError =
    DecodeError::Malformed { what: "the event has as many rows as it may" };

impl EventState {
    /// Makes room for an entry.
    pub(super) fn make_room(&mut self, frames: &[Frame<'_>]) -> Result<(), DecodeError> {
        self.make_room_within(frames, caps::CELLS_MAX, caps::ROW_BLOCKS_MAX)
    }

    fn make_room_within(
        &mut self,
        frames: &[Frame<'_>],
        cells_max: usize,
        row_blocks_max: usize,
    ) -> Result<(), DecodeError> {
        let joins = frames.iter().filter_map(|frame| match frame {
            Frame::Delta(Delta::Joins(joins)) => Some(joins),
            _ => None,
        });
        let rows = || joins.clone().flatten().map(|join| join.row);
        let held = self.players.row_blocks_held();
        if held + rows().count() > row_blocks_max
            && held + self.players.new_blocks(rows()) > row_blocks_max
        {
            return Err(TOO_MANY_ROWS);
        }
        let at_most = frames.iter().map(cells_at_most).sum();
        self.make_room_for_cells(at_most, cells_max).or_else(|_| {
            let new = frames.iter().map(|frame| self.new_cells(frame)).sum();
            self.make_room_for_cells(new, cells_max)
        })
    }

    /// Makes room for a piece of another state.
    pub(super) fn make_room_for_piece(
        &mut self,
        row_blocks: usize,
        cells: usize,
    ) -> Result<(), DecodeError> {
        if self.players.row_blocks_held() + row_blocks > caps::ROW_BLOCKS_MAX {
            return Err(TOO_MANY_ROWS);
        }
        self.make_room_for_cells(cells, caps::CELLS_MAX)
    }

    fn make_room_for_cells(&mut self, cells: usize, max: usize) -> Result<(), DecodeError> {
        if self.held_cells.0 + cells > max {
            self.held_cells.0 = self.cells();
        }
        if self.held_cells.0 + cells > max {
            return Err(DecodeError::Malformed { what: "the event has as many answers as it may" });
        }
        self.held_cells.0 += cells;
        Ok(())
    }

    /// Has them counted before anything is taken in again.
    pub(super) fn forget_count(&mut self) {
        self.held_cells = Cells::default();
    }

    /// What a frame adds to the columns, in cells.
    fn new_cells(&self, frame: &Frame<'_>) -> usize {
        match frame {
            Frame::Answers(answers) => {
                let of = (answers.instance, answers.question, answers.rows_of);
                self.new_cells_of(of, answers.rows().map(|(row, ..)| row))
            }
            Frame::Delta(Delta::Texts(texts)) => {
                let of = (texts.instance, texts.question, texts.rows_of);
                self.new_cells_of(of, texts.rows.iter().map(|(row, ..)| *row))
            }
            Frame::Delta(_) => 0,
        }
    }

    fn new_cells_of(
        &self,
        (instance, question, rows_of): (u32, u16, Origin),
        rows: impl Iterator<Item = u32>,
    ) -> usize {
        let sheet = self.sheets.0.get(&(instance, question));
        match sheet.and_then(|sheet| sheet.0.get(&rows_of)) {
            Some(column) => column.new_cells(rows),
            None => Column::default().new_cells(rows),
        }
    }

    /// What all columns take, in cells.
    fn cells(&self) -> usize {
        let columns = self.sheets.0.values().flat_map(|sheet| sheet.0.values());
        columns.map(Column::held).sum()
    }
}

/// What a frame can add to the columns, in cells: whole blocks, and a place for each before them.
fn cells_at_most(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Answers(answers) => answers.blocks_at_most() * BLOCK + ROW_BLOCKS,
        Frame::Delta(Delta::Texts(texts)) => texts.rows.len() * BLOCK + ROW_BLOCKS,
        Frame::Delta(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{self, Answers, Join, encode};
    use crate::id::{LaneId, PlayerId, Row};

    fn answers(rows_of: u64, rows: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let rows = rows.into_iter().map(|row| (row, 1, 1)).collect();
        let rows_of = Origin(rows_of);
        encode(&[Delta::Answers(Answers { instance: 1, question: 0, rows_of, rows })])
    }

    fn joins(rows: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let join = |number| Join {
            row: Row { origin: Origin(1), number },
            player: PlayerId(number.into()),
            name: "Ada".into(),
        };
        encode(&[Delta::Joins(rows.into_iter().map(join).collect())])
    }

    fn take(state: &mut EventState, entry: &[u8], cells_max: usize, blocks_max: usize) -> bool {
        let frames = delta::frames(entry).unwrap();
        let is_room = state.make_room_within(&frames, cells_max, blocks_max).is_ok();
        if is_room {
            state.apply(LaneId::bulk(Origin(9)), entry).unwrap();
        }
        is_room
    }

    #[test]
    fn rows_far_out_take_no_more_than_an_event_may() {
        let (mut state, most) = (EventState::default(), 40 * BLOCK);
        let far = |origin| answers(origin, [caps::ROWS_MAX - 1]);
        let taken = (0..2_000).filter(|origin| take(&mut state, &far(*origin), most, 9)).count();
        assert!((20..40).contains(&taken), "{taken}");
        assert!(state.cells() <= most, "{} cells", state.cells());
        let before = state.clone();
        assert!(!take(&mut state, &answers(5_000, (0..50).map(|n| n * BLOCK as u32)), most, 9));
        assert!(state == before, "an entry is taken whole or not at all");
    }

    #[test]
    fn a_crowd_that_answers_again_and_again_is_counted_once() {
        let mut state = EventState::default();
        for _ in 0..100 {
            assert!(take(&mut state, &answers(1, 0..10_000), 4 * BLOCK, 9));
        }
        assert!(take(&mut state, &joins(0..3 * BLOCK as u32), 4 * BLOCK, 3));
        assert!(take(&mut state, &joins(0..3 * BLOCK as u32), 4 * BLOCK, 3));
        assert!(!take(&mut state, &joins([3 * BLOCK as u32]), 4 * BLOCK, 3));
    }
}
