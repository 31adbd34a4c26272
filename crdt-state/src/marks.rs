//! Marks in the code: what must happen in some run.
//!
//! A mark costs nothing in what ships: without the feature `marks` [`LIVE`] is false and the compiler
//! drops it. The simulator's test counts how often each was reached; seeds that never reach a
//! [`sometimes!`] were too kind to mean anything, and the test fails.
//!
//! [`sometimes!`]: crate::sometimes

/// A place that the simulator must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// An entry came before its turn and waits.
    EntryStashed,
    /// A range was asked for because it did not come by itself.
    RangePulled,
    /// A snapshot was joined.
    SnapshotJoined,
    /// A cut was served.
    SnapshotServed,
    /// An age that a restart forgot was learnt from a peer.
    AgeLearnt,
    /// A receipt left as provisional.
    ReceiptProvisional,
    /// A provisional receipt was upgraded.
    ReceiptUpgraded,
    /// A receipt was overruled by an earlier answer from elsewhere.
    ReceiptSuperseded,
    /// An answer came after its deadline.
    AnswerLate,
    /// An answer was repeated.
    AnswerRepeated,
    /// A join was written down again because its row was unknown here.
    JoinAdmitted,
    /// A node refused an answer because it had just come back.
    AnswerFenced,
    /// A director closed a round.
    RoundClosed,
    /// A former incarnation was sealed.
    FormerSealed,
    /// Digests were compared at equal heads.
    Audited,
    /// A host was told that somebody had made the same step.
    StepTwice,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 16] = [
        Mark::EntryStashed,
        Mark::RangePulled,
        Mark::SnapshotJoined,
        Mark::SnapshotServed,
        Mark::AgeLearnt,
        Mark::ReceiptProvisional,
        Mark::ReceiptUpgraded,
        Mark::ReceiptSuperseded,
        Mark::AnswerLate,
        Mark::AnswerRepeated,
        Mark::JoinAdmitted,
        Mark::AnswerFenced,
        Mark::RoundClosed,
        Mark::FormerSealed,
        Mark::Audited,
        Mark::StepTwice,
    ];
}

/// Whether marks are counted in this build.
pub const LIVE: bool = cfg!(feature = "marks");

#[cfg(feature = "marks")]
thread_local! {
    static REACHED: std::cell::Cell<[u64; Mark::ALL.len()]> =
        const { std::cell::Cell::new([0; Mark::ALL.len()]) };
}

/// Counts a mark.
#[cfg(feature = "marks")]
pub fn reach(mark: Mark) {
    let mut reached = REACHED.get();
    reached[mark as usize] += 1;
    REACHED.set(reached);
}

/// Counts a mark: nothing, without the feature.
#[cfg(not(feature = "marks"))]
#[inline]
pub const fn reach(_: Mark) {}

/// How often each mark was reached in this thread since this was last asked.
#[cfg(feature = "marks")]
#[must_use]
pub fn take_reached() -> [u64; Mark::ALL.len()] {
    REACHED.replace([0; Mark::ALL.len()])
}

/// Marks what must happen in some run of a sweep, whenever the code gets here, or whenever something
/// holds here.
#[macro_export]
macro_rules! sometimes {
    ($mark:ident) => {
        $crate::marks::reach($crate::marks::Mark::$mark)
    };
    ($mark:ident, $holds:expr) => {
        if $crate::marks::LIVE && $holds {
            $crate::marks::reach($crate::marks::Mark::$mark);
        }
    };
}

/// Marks a place that a sweep must get to at all.
#[macro_export]
macro_rules! reachable {
    ($mark:ident) => {
        $crate::sometimes!($mark)
    };
}
