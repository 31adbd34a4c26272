//! What replicas say to each other, and how it is written.
//!
//! A message is one byte of protocol version and one postcard enum, whose variants are only ever
//! appended. Reading bounds everything before it is believed: the frame, the number of entries,
//! lanes and parts, every length and every sequence number. Entries inside are opaque.

use bytes::Bytes;
use crdt_state::{Heads, Lane, LaneId};
use serde::{Deserialize, Serialize};

/// The version of this vocabulary, first byte of every message.
pub const PROTOCOL: u8 = 1;
/// The largest encoded message, in bytes. One full reply to a pull, one more entry, and room.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The largest entry, in bytes: no state reads a larger one.
pub const ENTRY_BYTES_MAX: usize = crdt_state::caps::ENTRY_BYTES_MAX;
/// The most entries in one message.
pub const ENTRIES_MAX: usize = 8192;
/// The most lanes of one event: two for each of 4,096 origins.
pub const LANES_MAX: usize = 8192;
/// The largest part of a snapshot, in bytes: a block of rows with the longest names fits.
pub const PART_BYTES_MAX: usize = 272 << 10;
/// The most parts of a snapshot. Most are far from full.
pub const PARTS_MAX: u32 = 65_536;
/// The most bytes of all parts of a snapshot: 1 GiB, a hundred times that of a million players.
pub(super) const SNAPSHOT_BYTES_MAX: usize = 1 << 30;
/// The largest sequence number, so that sums of them cannot overflow.
pub const SEQ_MAX: u64 = 1 << 62;
/// The most bytes of entries that answer one pull, unless its first entry alone is larger.
pub(super) const PULL_BYTES_MAX: usize = 256 << 10;

/// What a peer has of one lane: everything up to `head`, as entries those after `base`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The lane.
    pub id: LaneId,
    /// Entries up to here are no longer kept one by one.
    pub base: u64,
    /// The newest entry applied. At least 1 and at least `base`.
    pub head: u64,
}

/// What one replica says to another. Append variants, never change one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// What the sender has. Repairs the loss of any other message.
    Heads {
        /// One span for each lane of which the sender has anything, ordered by lane.
        lanes: Vec<Span>,
        /// The size of all entries the sender keeps, in bytes.
        tail_bytes: u64,
        /// The sender's digest at exactly these heads, when it is time to compare.
        digest: Option<u64>,
    },
    /// Consecutive entries of one lane, pushed by their origin or pulled from any holder.
    Entries {
        /// Their lane.
        id: LaneId,
        /// The number of the first one.
        first: u64,
        /// How long ago each was written, in milliseconds; a single value speaks for all.
        /// `u32::MAX` means unknown.
        ages_ms: Vec<u32>,
        /// The origin's own bytes.
        entries: Vec<Bytes>,
    },
    /// The sender has applied the receiver's own lane up to here. The receiver counts it once it has
    /// applied all that the sender had written by then: the sender may have said there what it does
    /// not stand behind.
    Ack {
        /// Which of the receiver's lanes.
        lane: Lane,
        /// The newest entry applied.
        head: u64,
        /// The head of the sender's own control lane.
        said: u64,
    },
    /// Send entries of this lane.
    Pull {
        /// The lane.
        id: LaneId,
        /// The first entry wanted.
        from: u64,
        /// How many bytes of entries may come, at least one entry.
        bytes_max: u32,
    },
    /// The pulled entries are no longer kept one by one.
    Gone {
        /// The lane.
        id: LaneId,
        /// Entries up to here are not kept.
        base: u64,
    },
    /// Cut a snapshot for the sender.
    SnapshotRequest {
        /// The sender's number for this attempt.
        session: u64,
    },
    /// A snapshot was cut; its parts may be asked for.
    SnapshotHead {
        /// The receiver's number for this attempt.
        session: u64,
        /// How many parts there are.
        parts: u32,
        /// The vector of the cut.
        heads: Heads,
    },
    /// The sender is ready for this part; for the number of parts: it has them all.
    SnapshotNext {
        /// The sender's number for this attempt.
        session: u64,
        /// The part wanted.
        index: u32,
    },
    /// One part of a snapshot.
    SnapshotPart {
        /// The receiver's number for this attempt.
        session: u64,
        /// Which part.
        index: u32,
        /// How long ago the cut was taken, in milliseconds.
        age_ms: u32,
        /// The part.
        bytes: Bytes,
    },
    /// No snapshot now: too many are being served, or this one was let go.
    SnapshotRefused {
        /// The receiver's number for this attempt.
        session: u64,
    },
    /// Tell what the receiver's clock knows of its content.
    AgesRequest,
    /// What the sender's clock knows of its content, as its state writes it; empty if nothing.
    Ages {
        /// How long ago that was so, in milliseconds.
        age_ms: u32,
        /// Opaque here.
        bytes: Bytes,
    },
}

/// Why bytes are not a message. The sender is at fault; nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than any message may be.
    #[error("a message of {bytes} bytes is longer than {MESSAGE_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Written in another version of the vocabulary.
    #[error("protocol version {version:?}, not {PROTOCOL}")]
    Protocol {
        /// Its version, if there is a byte at all.
        version: Option<u8>,
    },
    /// Not a message of this version.
    #[error("not a message: {0}")]
    Shape(#[from] postcard::Error),
    /// Bytes are left over.
    #[error("{bytes} bytes after the end of the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Well formed, but a value is out of its bounds.
    #[error("{field} is out of bounds")]
    OutOfBounds {
        /// Which value.
        field: &'static str,
    },
}

impl Message {
    /// The message as bytes for the wire.
    ///
    /// # Panics
    /// Never: serialising plain values into a growing buffer cannot fail.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let buffer = postcard::to_extend(self, vec![PROTOCOL]);
        buffer.expect("plain values always serialise").into()
    }

    /// Reads a message, believing nothing.
    ///
    /// # Errors
    /// If the bytes are not exactly one message of this version within its bounds.
    pub fn decode(frame: &[u8]) -> Result<Message, DecodeError> {
        if frame.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong { bytes: frame.len() });
        }
        let Some((&PROTOCOL, body)) = frame.split_first() else {
            return Err(DecodeError::Protocol { version: frame.first().copied() });
        };
        let (message, rest) = postcard::take_from_bytes::<Message>(body)?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing { bytes: rest.len() });
        }
        message.check_bounds()?;
        Ok(message)
    }

    /// Whether every value is within the bounds that this module names.
    ///
    /// # Errors
    /// Names the first value that is not.
    pub fn check_bounds(&self) -> Result<(), DecodeError> {
        match self {
            Message::Heads { lanes, .. } => check_lanes(lanes),
            Message::Entries { first, ages_ms, entries, .. } => {
                check_entries(*first, ages_ms, entries)
            }
            Message::Ack { head, said, .. } => {
                bound((1..=SEQ_MAX).contains(head), "head")?;
                bound(*said <= SEQ_MAX, "said")
            }
            Message::Pull { from, .. } => bound((1..=SEQ_MAX).contains(from), "from"),
            Message::Gone { base, .. } => bound((1..=SEQ_MAX).contains(base), "base"),
            Message::SnapshotHead { parts, heads, .. } => {
                bound((1..=PARTS_MAX).contains(parts), "parts")?;
                bound(heads.dots.len() <= LANES_MAX, "heads")?;
                bound(heads.dots.values().all(|seq| (1..=SEQ_MAX).contains(seq)), "heads")
            }
            Message::SnapshotNext { index, .. } => bound(*index <= PARTS_MAX, "index"),
            Message::SnapshotPart { index, bytes, .. } => {
                bound(*index < PARTS_MAX, "index")?;
                bound(bytes.len() <= PART_BYTES_MAX, "bytes")
            }
            Message::Ages { bytes, .. } => bound(bytes.len() <= PART_BYTES_MAX, "bytes"),
            Message::SnapshotRequest { .. }
            | Message::SnapshotRefused { .. }
            | Message::AgesRequest => Ok(()),
        }
    }
}

fn check_lanes(lanes: &[Span]) -> Result<(), DecodeError> {
    bound(lanes.len() <= LANES_MAX, "lanes")?;
    let spans = |s: &Span| s.head >= 1 && s.head <= SEQ_MAX && s.base <= s.head;
    bound(lanes.iter().all(spans), "lanes")?;
    bound(lanes.windows(2).all(|pair| pair[0].id < pair[1].id), "order of lanes")
}

fn check_entries(first: u64, ages_ms: &[u32], entries: &[Bytes]) -> Result<(), DecodeError> {
    bound((1..=SEQ_MAX).contains(&first), "first")?;
    bound((1..=ENTRIES_MAX).contains(&entries.len()), "entries")?;
    bound(ages_ms.len() == 1 || ages_ms.len() == entries.len(), "ages_ms")?;
    bound(entries.iter().all(|entry| entry.len() <= ENTRY_BYTES_MAX), "entry")
}

fn bound(holds: bool, field: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::OutOfBounds { field }) }
}
