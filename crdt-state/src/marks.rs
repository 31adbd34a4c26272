//! Marks in the code: what must happen in some run.
//!
//! A mark costs nothing in what ships: without the feature `marks` [`LIVE`] is false and the compiler
//! drops it. The simulator counts how often each was reached; seeds that never reach a [`sometimes!`]
//! were too kind to mean anything, and what [`always!`] holds is asserted wherever it is passed.
//!
//! [`always!`]: crate::always
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
    /// A node fenced off what an unreachable one had taken.
    FencePutUp,
    /// A receipt reached its level by nodes that do not stand behind it.
    ReceiptFencedOff,
    /// Digests were compared at equal heads.
    Audited,
    /// A host was told that somebody had made the same step.
    StepTwice,
    /// An entry that was applied is the head of its lane.
    AppliedIsHead,
    /// A step of the show leads forward.
    StepForward,
    /// A node dropped an event that nobody wanted there.
    EventLetGo,
    /// An event was wanted or needed again before it was dropped.
    EventCarriedOn,
    /// A node came back to an event that it had let go of.
    EventBegunAgain,
}

/// What a mark claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whatever is claimed here holds each time, and the place is reached.
    Always,
    /// This happens in some run.
    Sometimes,
    /// This place is reached in some run.
    Reachable,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 23] = [
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
        Mark::FencePutUp,
        Mark::ReceiptFencedOff,
        Mark::Audited,
        Mark::StepTwice,
        Mark::AppliedIsHead,
        Mark::StepForward,
        Mark::EventLetGo,
        Mark::EventCarriedOn,
        Mark::EventBegunAgain,
    ];

    /// What it claims. The macros do not compile where a mark of another kind is used.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Mark::AppliedIsHead | Mark::StepForward => Kind::Always,
            Mark::RoundClosed | Mark::Audited => Kind::Reachable,
            _ => Kind::Sometimes,
        }
    }
}

/// How often each mark was reached, in the order of [`Mark::ALL`].
pub type Counts = [u64; Mark::ALL.len()];

/// Whether marks are counted in this build.
pub const LIVE: bool = cfg!(feature = "marks");

#[cfg(feature = "marks")]
thread_local! {
    static REACHED: std::cell::Cell<Counts> =
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
pub fn take_reached() -> Counts {
    REACHED.replace([0; Mark::ALL.len()])
}

/// Marks what must happen in some run of a sweep, whenever the code gets here, or whenever something
/// holds here.
#[macro_export]
macro_rules! sometimes {
    ($mark:ident) => {{
        $crate::mark_is!($mark, Sometimes);
        $crate::marks::reach($crate::marks::Mark::$mark);
    }};
    ($mark:ident, $holds:expr) => {{
        $crate::mark_is!($mark, Sometimes);
        if $crate::marks::LIVE && $holds {
            $crate::marks::reach($crate::marks::Mark::$mark);
        }
    }};
}

/// Marks a place that a sweep must get to at all.
#[macro_export]
macro_rules! reachable {
    ($mark:ident) => {{
        $crate::mark_is!($mark, Reachable);
        $crate::marks::reach($crate::marks::Mark::$mark);
    }};
}

/// Marks what must hold each time that the code gets here; a sweep must get here at all.
///
/// # Panics
/// If it does not hold, where marks are counted. What ships does not look.
#[macro_export]
macro_rules! always {
    ($mark:ident, $holds:expr) => {{
        $crate::mark_is!($mark, Always);
        if $crate::marks::LIVE {
            $crate::marks::reach($crate::marks::Mark::$mark);
            assert!($holds, concat!("always ", stringify!($mark), ": ", stringify!($holds)));
        }
    }};
}

/// Refuses to compile a mark that claims something else.
#[doc(hidden)]
#[macro_export]
macro_rules! mark_is {
    ($mark:ident, $kind:ident) => {
        const {
            assert!(
                matches!($crate::marks::Mark::$mark.kind(), $crate::marks::Kind::$kind),
                "this mark is of another kind"
            );
        }
    };
}

#[cfg(all(test, feature = "marks"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_counted_once_and_taken() {
        let _ = take_reached();
        crate::sometimes!(AnswerLate);
        crate::sometimes!(AnswerLate, false);
        crate::always!(StepForward, true);
        let reached = take_reached();
        assert_eq!(reached[Mark::AnswerLate as usize], 1);
        assert_eq!(reached[Mark::StepForward as usize], 1);
        assert_eq!(take_reached(), [0; Mark::ALL.len()]);
    }

    #[test]
    #[should_panic(expected = "always AppliedIsHead")]
    fn what_always_holds_is_asserted() {
        crate::always!(AppliedIsHead, std::hint::black_box(false));
    }
}
