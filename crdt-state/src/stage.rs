//! Where an event stands: a pair that only grows, so that concurrent drivers make one step.
//!
//! A stage is (instance, phase), ordered by instance first. An instance is one run of one question;
//! a replay is a new instance, never a step back. The two ends are above every instance, and abort
//! is the top: it absorbs whatever meets it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a run is. The order of the variants is the order of the show.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Phase {
    /// Imported, not yet open for joining.
    #[default]
    Draft,
    /// Players join.
    Lobby,
    /// The question is announced.
    Intro,
    /// Answers are taken.
    Open,
    /// No more answers are taken.
    Closed,
    /// The tallies are shown.
    Tallies,
    /// The correct answer is shown.
    Reveal,
    /// The leaderboard is shown.
    Board,
    /// The show is over.
    Ended,
    /// The show was broken off.
    Aborted,
}

/// The pair (instance, phase).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stage {
    /// Counted from 1; 0 before the first question, [`Stage::LAST`] at either end.
    pub instance: u32,
    /// How far that instance is.
    pub phase: Phase,
}

impl Stage {
    /// The instance of both ends.
    pub const LAST: u32 = u32::MAX;
    /// The regular end.
    pub const ENDED: Stage = Stage { instance: Self::LAST, phase: Phase::Ended };
    /// The top, which absorbs everything.
    pub const ABORTED: Stage = Stage { instance: Self::LAST, phase: Phase::Aborted };
    /// Players join.
    pub const LOBBY: Stage = Stage { instance: 0, phase: Phase::Lobby };

    /// A stage of a run.
    #[must_use]
    pub fn new(instance: u32, phase: Phase) -> Self {
        Stage { instance, phase }
    }

    /// Whether the pair can occur at all: lobby phases belong to instance 0, ends to the last.
    #[must_use]
    pub fn is_valid(self) -> bool {
        match self.phase {
            Phase::Draft | Phase::Lobby => self.instance == 0,
            Phase::Ended | Phase::Aborted => self.instance == Self::LAST,
            _ => self.instance > 0 && self.instance < Self::LAST,
        }
    }

    /// Whether the show is over, either way.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.instance == Self::LAST
    }

    /// Whether `instance` has been revealed at this stage, so that it counts in what players see.
    #[must_use]
    pub fn has_revealed(self, instance: u32) -> bool {
        self >= Stage::new(instance, Phase::Reveal)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            Self::LAST => write!(f, "{:?}", self.phase),
            instance => write!(f, "{instance}:{:?}", self.phase),
        }
    }
}
