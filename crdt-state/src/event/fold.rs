//! Folds over everybody's answers: what each player holds in an instance, aliases read as one.
//!
//! A fold walks blocks of rows beside blocks of cells, without a lookup per player: a few nanoseconds
//! each. The few players with several rows come last, one by one.

use super::{EventState, Round, Sheet};
use crate::column::Cell;
use crate::engagement::Facts;
use crate::id::{Origin, Row};
use crate::players::{Handle, PlayersBlock};

impl EventState {
    /// The answer held for one player, whose rows these are, in an instance: that of the question shown,
    /// or else the earliest of those given to another question on the far side of a partition.
    #[must_use]
    pub fn held(&self, instance: u32, rows: impl IntoIterator<Item = Row>) -> Option<(u16, Cell)> {
        let sheets = self.sheets_of(instance);
        sheets.best(rows.into_iter().filter_map(|row| sheets.held(row)))
    }

    /// How many gave each answer in an instance, as its kind counts them, aliases counted once.
    #[must_use]
    pub fn tally(&self, instance: u32) -> Vec<u64> {
        let facts = Facts::of(self, instance);
        facts.map(|facts| facts.question.task.counts(&facts)).unwrap_or_default()
    }

    /// How many players have answered in an instance, aliases counted once.
    #[must_use]
    pub fn answered(&self, instance: u32) -> u64 {
        let mut answered = 0;
        self.each_held(instance, |_, _, _| answered += 1);
        answered
    }

    /// Calls `each` with what every player who counts and has answered holds in an instance: the handle of
    /// the row that speaks for the player, the question, the cell.
    pub(crate) fn each_held(&self, instance: u32, mut each: impl FnMut(Handle, u16, Cell)) {
        let out = self.kicked_handles();
        self.each_kept(instance, |handle, question, cell| {
            if out.is_empty() || out.binary_search(&handle).is_err() {
                each(handle, question, cell);
            }
        });
    }

    /// The same of every player who has answered, also of those who do not count.
    pub(crate) fn each_kept(&self, instance: u32, mut each: impl FnMut(Handle, u16, Cell)) {
        let sheets = self.sheets_of(instance);
        if sheets.all.is_empty() {
            return;
        }
        for block in self.players.blocks() {
            sheets.each_alone(&block, |at, question, cell| {
                each(block.first + at as Handle, question, cell);
            });
        }
        for rows in self.players.aliased() {
            let held = rows.iter().filter_map(|row| sheets.held(self.players.row_at(*row)));
            if let Some((question, cell)) = sheets.best(held) {
                each(rows[0], question, cell);
            }
        }
    }

    /// The answers of an instance.
    pub(crate) fn sheets_of(&self, instance: u32) -> Sheets<'_> {
        let all = self.sheets.0.range((instance, 0)..=(instance, u16::MAX));
        Sheets {
            shown: self.rounds.get(instance).and_then(Round::question),
            all: all.map(|((_, question), sheet)| (*question, sheet)).collect(),
        }
    }
}

/// The answers of an instance, by question: of one only, unless a partition had two.
pub(crate) struct Sheets<'a> {
    shown: Option<u16>,
    all: Vec<(u16, &'a Sheet)>,
}

impl<'a> Sheets<'a> {
    /// The question that is shown.
    pub(crate) fn shown(&self) -> Option<u16> {
        self.shown
    }

    /// Every question to which there is an answer.
    pub(crate) fn questions(&self) -> impl Iterator<Item = u16> {
        self.all.iter().map(|(question, _)| *question)
    }

    /// A number for what is held beside a block of rows, for each question: another after every change.
    pub(crate) fn editions(&self, origin: Origin, block: usize) -> impl Iterator<Item = u64> {
        let edition = move |sheet: &Sheet| Some(sheet.0.get(&origin)?.block_edition(block));
        self.all.iter().map(move |(_, sheet)| edition(sheet).unwrap_or(0))
    }

    /// What is held for one row.
    pub(crate) fn held(&self, row: Row) -> Option<(u16, Cell)> {
        let cell = |sheet: &Sheet| Some(sheet.0.get(&row.origin)?.get(row.number));
        self.best(
            self.all.iter().map(|(question, sheet)| (*question, cell(sheet).unwrap_or_default())),
        )
    }

    /// Of several answers that to the question shown, or else the earliest.
    pub(crate) fn best(&self, held: impl Iterator<Item = (u16, Cell)>) -> Option<(u16, Cell)> {
        held.filter(|(_, cell)| !cell.is_empty())
            .min_by_key(|(question, cell)| (Some(*question) != self.shown, *cell))
    }

    /// Every question to which there are answers beside a block of rows, with the cells.
    fn beside(&self, block: &PlayersBlock<'_>) -> impl Iterator<Item = (u16, &'a [Cell])> {
        let (origin, number) = (block.origin(), block.number());
        let cells = move |sheet: &'a Sheet| Some(sheet.0.get(&origin)?.block(number));
        self.all.iter().filter_map(move |(question, sheet)| Some((*question, cells(sheet)?)))
    }

    /// The cells beside a block of rows, place by place, where all are of one question.
    pub(crate) fn only(&self, block: &PlayersBlock<'_>) -> Option<(u16, &'a [Cell])> {
        let mut beside = self.beside(block);
        beside.next().filter(|_| beside.next().is_none())
    }

    /// Calls `each` with what every player of a block holds who has no other row.
    pub(crate) fn each_alone(
        &self,
        block: &PlayersBlock<'_>,
        mut each: impl FnMut(usize, u16, Cell),
    ) {
        let cells: Vec<(u16, &[Cell])> = self.beside(block).collect();
        if let [(question, cells)] = cells[..] {
            for range in block.alone() {
                let range = range.start.min(cells.len())..range.end.min(cells.len());
                let present = block.present(range.clone());
                for ((at, cell), present) in range.clone().zip(&cells[range]).zip(present) {
                    if !cell.is_empty() && present {
                        each(at, question, *cell);
                    }
                }
            }
            return;
        }
        for at in block.alone().flatten().filter(|at| block.is_present(*at)) {
            let cell = |cells: &[Cell]| cells.get(at).copied().unwrap_or_default();
            let held = self.best(cells.iter().map(|(question, cells)| (*question, cell(cells))));
            if let Some((question, cell)) = held {
                each(at, question, cell);
            }
        }
    }
}
