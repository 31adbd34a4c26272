//! Bugs on purpose, which the simulator must find.
//!
//! A simulator that finds nothing proves nothing. Each bug is one line where a rule is kept, dormant
//! unless its thread has planted it. The feature `planted` belongs to tests; without it
//! [`is_planted`] is a constant `false` and nothing of this is in what ships.

/// A bug that can be planted, each a mistake that somebody could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Entries beyond a gap are acknowledged as if they had been applied.
    AckPastGap,
    /// A receipt is firm as soon as its own node holds the answer.
    EarlyReceipt,
    /// A receipt is firm when the entry before its own has its level.
    ReceiptOfEntryBefore,
    /// A snapshot's vector names one more entry than the snapshot holds.
    SnapshotClaimsTooMuch,
    /// What a peer holds is still counted on after it is gone.
    PeerNeverGone,
    /// What is lacking is not asked for.
    RepairForgotten,
    /// Entries are applied before those that come before them.
    GapApplied,
    /// A stage is what was written last, not the largest.
    StageOverwritten,
    /// A round's length is the smallest that anybody wants.
    DeadlineByMinimum,
    /// A seal holds before the answers that it names have arrived.
    SealWithoutAnswers,
    /// A result is final when one origin has sealed it.
    FinalByOne,
    /// A result is settled whoever is missing.
    SettledByMinority,
    /// Answers after the deadline are taken.
    LateAccepted,
    /// A repeated answer is acknowledged as it was sent and not as it is held.
    DuplicateAsSent,
    /// Equals get different ranks.
    TiesNotShared,
    /// The faster of two with equal points is not ahead.
    TieBreakForgotten,
    /// Points are rounded down.
    PointsRoundedDown,
    /// The correct answer is shown with the close.
    EarlyReveal,
    /// Players see a running count.
    RunningCount,
    /// A receipt is firm although whoever holds its answer has fenced it off.
    FenceIgnored,
    /// Players stake what they do not have.
    StakeBeyondPoints,
    /// A text that a host accepts beside the key gives nothing.
    AcceptedForgotten,
    /// A node that comes back writes under the origin that it had before, so that a dot names two entries.
    ReusedDot,
    /// What a run gives is added to the score again when a host has ruled on it.
    ScoreIncrements,
    /// After the last question comes another one.
    QuestionTooMany,
    /// What is kept for others grows without bound.
    TailsUnbounded,
    /// A round is closed at its deadline, before the grace is over.
    GraceForgotten,
    /// What was told firmly is judged anew when it is repeated.
    PromiseForgotten,
    /// Who was told provisionally because somebody did not stand behind an answer is told nothing more.
    UpgradeForgotten,
    /// An answer that is repeated waits once more, however often it waits already.
    RepeatsUnbounded,
    /// The players' edge looks at what a client sends next, however much it has asked already.
    QuestionsUnbounded,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 31] = [
        Bug::AckPastGap,
        Bug::EarlyReceipt,
        Bug::ReceiptOfEntryBefore,
        Bug::SnapshotClaimsTooMuch,
        Bug::PeerNeverGone,
        Bug::RepairForgotten,
        Bug::GapApplied,
        Bug::StageOverwritten,
        Bug::DeadlineByMinimum,
        Bug::SealWithoutAnswers,
        Bug::FinalByOne,
        Bug::SettledByMinority,
        Bug::LateAccepted,
        Bug::DuplicateAsSent,
        Bug::TiesNotShared,
        Bug::TieBreakForgotten,
        Bug::PointsRoundedDown,
        Bug::EarlyReveal,
        Bug::RunningCount,
        Bug::FenceIgnored,
        Bug::StakeBeyondPoints,
        Bug::AcceptedForgotten,
        Bug::ReusedDot,
        Bug::ScoreIncrements,
        Bug::QuestionTooMany,
        Bug::TailsUnbounded,
        Bug::GraceForgotten,
        Bug::PromiseForgotten,
        Bug::UpgradeForgotten,
        Bug::RepeatsUnbounded,
        Bug::QuestionsUnbounded,
    ];

    /// Whether it is in a part of a node that only whole nodes have, and not its cores.
    #[must_use]
    pub const fn is_of_whole_nodes(self) -> bool {
        matches!(self, Bug::QuestionsUnbounded)
    }
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether this thread runs with that bug, by its name alone.
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}

/// Plants a bug in this thread, or pulls it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// The bug that this thread runs with.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted() -> Option<Bug> {
    PLANTED.get()
}

/// Whether this thread runs with that bug.
#[cfg(feature = "planted")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this thread runs with that bug: never, without the feature.
#[cfg(not(feature = "planted"))]
#[inline]
#[must_use]
pub const fn is_planted(_: Bug) -> bool {
    false
}
