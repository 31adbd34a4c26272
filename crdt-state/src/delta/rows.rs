//! Answers as they lie in an entry: checked in one pass, applied in a second, never copied.
//!
//! The bytes are what postcard makes of [`Answers`]; reading its varints by hand halves what an answer
//! costs, since nothing is collected between the two passes.

use super::{Answers, DecodeError, is_possible_answer, malformed};
use crate::caps;
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
        let mut rest = rows;
        for _ in 0..count {
            let row = row(&mut rest).ok_or(malformed("a payload does not decode"))?;
            if !is_possible_answer(&row) {
                return Err(malformed("a value is beyond its cap"));
            }
        }
        if !rest.is_empty() {
            return Err(malformed("a payload is longer than its content"));
        }
        Ok(AnswersFrame { instance, question, rows_of, count, rows })
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

    /// Row number, elapsed milliseconds and value of each, within what a cell holds.
    pub fn rows(&self) -> impl Iterator<Item = (u32, u32, u32)> + use<'a> {
        let (mut rest, count) = (self.rows, self.count);
        (0..count).map(move |_| row(&mut rest).expect("it was read before"))
    }

    pub(super) fn to_answers(&self) -> Answers {
        let AnswersFrame { instance, question, rows_of, .. } = *self;
        Answers { instance, question, rows_of, rows: self.rows().collect() }
    }
}

#[inline]
fn row(bytes: &mut &[u8]) -> Option<(u32, u32, u32)> {
    Some((varint(bytes)?, varint(bytes)?, varint(bytes)?))
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
