//! A cut of an event: frozen at one instant, written part by part as whoever takes it asks.
//!
//! First comes what a state of a million players has little of, with the vector and the ages of rounds, cut by
//! size; then a part for every slice of players and answers. Freezing shares all blocks with the state,
//! which copies those that it goes on to write; so the owner of a large event never stands still to write
//! all of it for one newcomer.

use super::carried::Zero;
use bytes::Bytes;
use crdt_state::event::{PIECE_BYTES_MAX, Piece, Slice};
use crdt_state::{EventState, Heads};
use gossip::replication::{ApplyError, Cut, PART_BYTES_MAX};
use std::fmt;

const _: () = assert!(PIECE_BYTES_MAX <= PART_BYTES_MAX, "a piece is a part");

/// Bytes of the number at the front of the first part: how many parts come before the slices.
const COUNT_BYTES: usize = 4;

/// What a snapshot starts with: everything that the state does not hold itself. The ages of rounds and
/// pauses are in milliseconds.
pub(super) type Envelope = (Heads, Vec<(u32, u64)>, Vec<((u32, u32), u64)>);

/// The age of what happened at `zero` for an envelope.
pub(super) fn age_ms(now: i64, zero: Zero) -> u64 {
    (now - zero).max(0) as u64
}

/// A frozen event.
pub(super) struct EventCut {
    front: Vec<Bytes>,
    state: EventState,
    slices: Vec<Slice>,
}

impl EventCut {
    /// Freezes a state.
    pub(super) fn of(envelope: &Envelope, state: &EventState) -> Self {
        let rest = postcard::to_stdvec(&(envelope, state.without_blocks()))
            .expect("our own types always encode into memory");
        let count = (COUNT_BYTES + rest.len()).div_ceil(PART_BYTES_MAX) as u32;
        let front = Bytes::from([&count.to_le_bytes()[..], &rest].concat());
        let part = |at: usize| front.slice(at..front.len().min(at + PART_BYTES_MAX));
        EventCut {
            front: (0..front.len()).step_by(PART_BYTES_MAX).map(part).collect(),
            state: state.clone(),
            slices: state.slices(),
        }
    }
}

impl fmt::Debug for EventCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a cut of {} parts", self.parts())
    }
}

impl Cut for EventCut {
    fn parts(&self) -> usize {
        self.front.len() + self.slices.len()
    }

    fn part(&self, index: usize) -> Option<Bytes> {
        if let Some(part) = self.front.get(index) {
            return Some(part.clone());
        }
        let slice = self.slices.get(index - self.front.len())?;
        let piece = postcard::to_stdvec(&self.state.piece(slice));
        Some(piece.expect("our own types always encode into memory").into())
    }
}

/// Reads all parts of a cut.
///
/// # Errors
/// If they are none, or not the one that was announced.
pub(super) fn read_cut(
    claimed: Option<&Heads>,
    parts: &[Bytes],
) -> Result<(Envelope, EventState), ApplyError> {
    let malformed =
        |reason: String| ApplyError::Malformed { reason: format!("a snapshot: {reason}") };
    let (front, slices) = split(parts).ok_or_else(|| malformed("its front is cut short".into()))?;
    let (envelope, mut state): (Envelope, EventState) =
        postcard::from_bytes(&front).map_err(|error| malformed(error.to_string()))?;
    check_claim(claimed, &envelope.0)?;
    for part in slices {
        let piece: Piece =
            postcard::from_bytes(part).map_err(|error| malformed(error.to_string()))?;
        state.join_piece(piece).map_err(|error| malformed(error.to_string()))?;
    }
    if !state.has_possible_texts() {
        return Err(malformed("a text that is empty or too long".into()));
    }
    Ok((envelope, state))
}

/// Whether a cut is the one that was announced: whoever took it for more than it is would never ask for
/// what it lacks.
pub(super) fn check_claim(claimed: Option<&Heads>, heads: &Heads) -> Result<(), ApplyError> {
    match claimed {
        Some(claimed) if claimed != heads => Err(ApplyError::Malformed {
            reason: "a snapshot: it was announced with another vector".into(),
        }),
        _ => Ok(()),
    }
}

/// The bytes before the slices, and the slices' parts.
fn split(parts: &[Bytes]) -> Option<(Vec<u8>, &[Bytes])> {
    let count = parts.first()?.first_chunk::<COUNT_BYTES>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (front, slices) = parts.split_at_checked(count)?;
    let front = front.concat();
    Some((front.get(COUNT_BYTES..)?.to_vec(), slices))
}
