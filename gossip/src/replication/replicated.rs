//! The port to what is replicated: a state to which entries apply.
//!
//! The core moves bytes and numbers; only the state knows what they mean. Whatever the state
//! does, it does as a whole or not at all, so that heads and content never part.

use bytes::Bytes;
use crdt_state::{Heads, LaneId, Mono};
use std::fmt;
use std::time::Duration;

/// The age of an entry of which nobody knows when it was written: it was read from a store, and
/// no peer has told its age yet. Every known age is smaller.
pub const AGE_UNKNOWN: Duration = Duration::from_millis(u32::MAX as u64);

/// Why the state refused an entry or a snapshot. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Written by a newer program. Never skipped: replication of the event stops here.
    #[error("kind {kind} in version {version} is not known to this program")]
    Unsupported {
        /// Which kind of entry.
        kind: u16,
        /// The version of that kind which a program must read to go on.
        version: u16,
    },
    /// Not what its writer can have meant.
    #[error("malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
}

/// An exact copy of content as it was at one instant. It is asked for its parts one by one, as their
/// taker takes them, so that a large one need not be written at once.
pub trait Cut: fmt::Debug + Send + Sync {
    /// How many parts there are: at least one, at most [`PARTS_MAX`](super::PARTS_MAX).
    fn parts(&self) -> usize;

    /// A part, of at most [`PART_BYTES_MAX`](super::PART_BYTES_MAX) bytes; the same whenever it is asked
    /// for. `None` beyond the last.
    fn part(&self, index: usize) -> Option<Bytes>;

    /// All parts.
    fn whole(&self) -> Vec<Bytes> {
        (0..self.parts()).filter_map(|index| self.part(index)).collect()
    }
}

/// A cut that was written at once.
impl Cut for Vec<Bytes> {
    fn parts(&self) -> usize {
        self.len()
    }

    fn part(&self, index: usize) -> Option<Bytes> {
        self.get(index).cloned()
    }
}

/// What is replicated: a state to which entries apply strictly in order per lane.
pub trait Replicated {
    /// Applies entry `seq` of lane `from`, the first one not applied yet. `age` is how long ago
    /// its origin wrote it by the envelopes on its way, at most [`AGE_UNKNOWN`].
    ///
    /// # Errors
    /// If the entry cannot be read. Nothing is changed then.
    fn apply(
        &mut self,
        from: LaneId,
        seq: u64,
        age: Duration,
        now: Mono,
        entry: &[u8],
    ) -> Result<(), ApplyError>;

    /// An exact copy of the content at this instant.
    fn cut(&self, now: Mono) -> Box<dyn Cut>;

    /// Joins a whole snapshot that was cut `age` ago, and was announced as having just what `claimed`
    /// says; `None` where nobody announced it.
    ///
    /// # Errors
    /// If the parts cannot be read, or say of themselves that they are another vector's. Nothing is
    /// changed then.
    fn restore(
        &mut self,
        now: Mono,
        age: Duration,
        claimed: Option<&Heads>,
        parts: &[Bytes],
    ) -> Result<(), ApplyError>;

    /// A canonical digest: equal for equal content, however it was reached.
    fn digest(&self) -> u64;

    /// A peer told the age of an entry that was applied with [`AGE_UNKNOWN`]. For a state in
    /// which no age matters there is nothing to do.
    fn aged(&mut self, from: LaneId, seq: u64, age: Duration, now: Mono) {
        let _ = (from, seq, age, now);
    }

    /// Whether there is content whose age matters and is not known: it was restored from a store's
    /// snapshot, which nobody can say how long ago was cut. Peers are asked as long as this is so.
    fn lacks_ages(&self) -> bool {
        false
    }

    /// What this node's clock knows of its content, in at most
    /// [`PART_BYTES_MAX`](super::PART_BYTES_MAX) bytes; empty if nothing.
    fn ages(&self, now: Mono) -> Bytes {
        let _ = now;
        Bytes::new()
    }

    /// A peer told what its clock knew `age` ago.
    ///
    /// # Errors
    /// If it cannot be read. Nothing is changed then.
    fn learn_ages(&mut self, now: Mono, age: Duration, ages: &Bytes) -> Result<(), ApplyError> {
        let _ = (now, age, ages);
        Ok(())
    }

    /// The vector of what was applied, by the state's own account; `None` if it keeps none.
    /// [`Replica::check_invariants`](super::Replica::check_invariants) holds it against the heads.
    fn content(&self) -> Option<Heads> {
        None
    }

    /// The newest entry of one lane that was applied, as [`Replicated::content`] has it. Asked after
    /// every step.
    fn applied(&self, id: LaneId) -> Option<u64> {
        self.content().map(|content| content.get(&id))
    }
}
