//! Answers as they lie in an entry: checked in one pass, applied in a second, never copied.
//!
//! A payload is what postcard makes of instance, question, the rows' origin, a count, and so many rows: the
//! distance from the row before, the elapsed milliseconds, the value. Rows are written in order, which makes
//! distances small and has a reader walk the column's blocks one after the other. Reading the varints by
//! hand halves what an answer costs, since nothing is collected between the two passes.

use super::{Answers, DecodeError, is_possible_answer, malformed};
use crate::caps;
use crate::column::BLOCK;
use crate::id::Origin;

/// A checked frame of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswersFrame<'a> {
    /// See [`Answers::instance`].
    pub instance: u32,
    /// See [`Answers::question`].
    pub question: u16,
    /// See [`Answers::rows_of`].
    pub rows_of: Origin,
    count: usize,
    /// The number of the last row, which is the largest.
    last: u32,
    rows: &'a [u8],
}

impl<'a> AnswersFrame<'a> {
    /// Reads a payload whole, or not at all.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let head = postcard::take_from_bytes::<(u32, u16, Origin, u32)>(payload);
        let Ok(((instance, question, rows_of, count), rows)) = head else {
            return Err(malformed("a payload does not decode"));
        };
        let count = count as usize;
        if instance > caps::INSTANCES_MAX || count > caps::DELTA_ROWS_MAX {
            return Err(malformed("a value is beyond its cap"));
        }
        let (mut rest, mut last) = (rows, 0);
        for _ in 0..count {
            let row = row(&mut rest, last).ok_or(malformed("a payload does not decode"))?;
            if !is_possible_answer(&row) {
                return Err(malformed("a value is beyond its cap"));
            }
            last = row.0;
        }
        if !rest.is_empty() {
            return Err(malformed("a payload is longer than its content"));
        }
        Ok(AnswersFrame { instance, question, rows_of, count, last, rows })
    }

    /// How many answers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In how many blocks of a column they can lie.
    pub(crate) fn blocks_at_most(&self) -> usize {
        self.count.min(self.last as usize / BLOCK + 1)
    }

    /// Row number, elapsed milliseconds and value of each, within what a cell holds; by row number.
    pub fn rows(&self) -> impl Iterator<Item = (u32, u32, u32)> + use<'a> {
        let (mut rest, mut last, count) = (self.rows, 0, self.count);
        (0..count).map(move |_| {
            let row = row(&mut rest, last).expect("it was read before");
            last = row.0;
            row
        })
    }

    pub(super) fn to_answers(&self) -> Answers {
        let AnswersFrame { instance, question, rows_of, .. } = *self;
        Answers { instance, question, rows_of, rows: self.rows().collect() }
    }
}

/// Writes a payload; the order of the rows is not kept.
pub(super) fn write(answers: &Answers) -> Vec<u8> {
    let Answers { instance, question, rows_of, rows } = answers;
    let head = (instance, question, rows_of, rows.len() as u32);
    let mut out = postcard::to_stdvec(&head).expect("our own types always encode into memory");
    out.reserve(rows.len() * 6);
    let sorted = rows.is_sorted_by_key(|row| row.0);
    let mut ordered = Vec::new();
    let rows = if sorted {
        rows
    } else {
        ordered.clone_from(rows);
        ordered.sort_unstable();
        &ordered
    };
    let mut last = 0;
    for (row, elapsed_ms, value) in rows {
        [row - last, *elapsed_ms, *value].into_iter().for_each(|number| put(&mut out, number));
        last = *row;
    }
    out
}

fn put(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
fn row(bytes: &mut &[u8], last: u32) -> Option<(u32, u32, u32)> {
    Some((last.checked_add(varint(bytes)?)?, varint(bytes)?, varint(bytes)?))
}

/// A varint of 32 bits, as postcard writes it.
#[inline]
fn varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return (at < 4 || *byte <= 0x0f).then_some(value);
        }
    }
    None
}

/// A varint and what follows it.
#[cfg(test)]
pub(super) fn varint_of(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    varint(&mut bytes).map(|value| (value, bytes))
}
