//! In how many blocks the rows of an entry lie.
//!
//! A row or a cell far from all others has a whole block made for it: 80 KiB of rows, 32 KiB of cells. So that no
//! entry makes more than [`ENTRY_BLOCKS_MAX`](caps::ENTRY_BLOCKS_MAX), nobody reads one whose rows lie in more, whatever
//! is held already: on this all nodes agree. Writers begin another entry instead.

use super::{DecodeError, Delta, Frame, malformed};
use crate::caps;
use crate::column::BLOCK;
use crate::id::Origin;
use std::collections::BTreeSet;

/// Where a row lies.
type Place = (Origin, usize);

fn rows_of(delta: &Delta) -> Box<dyn Iterator<Item = Place> + '_> {
    let block = |row: u32| row as usize / BLOCK;
    match delta {
        Delta::Joins(joins) => {
            Box::new(joins.iter().map(move |join| (join.row.origin, block(join.row.number))))
        }
        Delta::Answers(answers) => {
            Box::new(answers.rows.iter().map(move |(row, ..)| (answers.rows_of, block(*row))))
        }
        Delta::Texts(texts) => {
            Box::new(texts.rows.iter().map(move |(row, ..)| (texts.rows_of, block(*row))))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// In how many blocks rows lie that were written in no order.
fn distinct(rows: impl Iterator<Item = Place>) -> usize {
    let mut last = None;
    let mut places = BTreeSet::new();
    for place in rows {
        if last.replace(place) != Some(place) {
            places.insert(place);
        }
    }
    places.len()
}

/// In how many blocks the rows of a change lie.
pub(super) fn blocks(delta: &Delta) -> usize {
    distinct(rows_of(delta))
}

/// Checks the frames of an entry.
pub(super) fn check(frames: &[Frame<'_>]) -> Result<(), DecodeError> {
    let at_most = |frame: &Frame<'_>| match frame {
        Frame::Answers(answers) => answers.blocks_at_most(),
        Frame::Delta(delta) => rows_of(delta).count(),
    };
    let most = caps::ENTRY_BLOCKS_MAX;
    if frames.iter().map(at_most).sum::<usize>() <= most {
        return Ok(());
    }
    let exact = |frame: &Frame<'_>| match frame {
        Frame::Answers(answers) => {
            distinct(answers.rows().map(|(row, ..)| (answers.rows_of, row as usize / BLOCK)))
        }
        Frame::Delta(delta) => blocks(delta),
    };
    match frames.iter().map(exact).sum::<usize>() <= most {
        true => Ok(()),
        false => Err(malformed("the rows of an entry lie in more blocks than may be")),
    }
}
