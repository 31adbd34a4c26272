//! The audit trail: who did what, where and when, for every command and every step of the show.
//!
//! A note travels in the same entry as the change that it tells of, so that neither is anywhere without
//! the other. A trail only grows; when it is full, the oldest notes stay and hosts' commands are refused,
//! so that nothing can be done unseen by filling it.

use super::bounded::Bounded;
use crate::caps::{self, NOTES_MAX};
use crate::id::{Lamport, Origin};
use crate::lattice::Min;
use crate::stage::Stage;
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Note {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// The writer's calendar in milliseconds since 1970: for display, it orders nothing.
    pub wall_ms: u64,
    /// Who: `host`, a co-host's name, `director`.
    pub by: String,
    /// What was done, in the word of the command.
    pub act: String,
    /// To what or whom, and with which values; may be empty.
    pub of: String,
    /// Where the show stands after it.
    pub stage: Stage,
}

impl Note {
    /// Whether it is within the caps.
    pub(super) fn is_within_caps(&self) -> bool {
        let texts = [&self.by, &self.act, &self.of];
        texts.iter().all(|text| text.len() <= caps::VALUE_BYTES_MAX) && !self.act.is_empty()
    }
}

/// All notes, by order hint and writer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trail(Bounded<(Lamport, Origin), Min<Note>, NOTES_MAX>);

impl Trail {
    /// Takes in a note that `origin` wrote. It uses an order hint once; of two the smaller note stays.
    pub fn take(&mut self, origin: Origin, note: Note) {
        if let Some(held) = self.0.at((note.lamport, origin)) {
            held.observe(note);
        }
    }

    /// Every note with its writer, in the order of the hints: what was known when something was done
    /// comes before it.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &Note)> {
        self.0.iter().filter_map(|((_, origin), note)| Some((*origin, note.0.as_ref()?)))
    }

    /// How many notes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has been done yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many notes were not kept for want of room.
    pub(super) fn beyond(&self) -> u64 {
        self.0.beyond()
    }

    /// Whether hosts do nothing more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }
}

impl CvRDT for Trail {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}
