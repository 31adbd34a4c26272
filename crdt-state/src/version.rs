//! The versions of what nodes say to each other and keep: one number for the peer plane, the kinds of deltas
//! and snapshots.
//!
//! A program speaks every version from its oldest to its newest. Two nodes that have one in common are
//! linked; others refuse each other by name. A kind of delta that came with a version is written only once
//! all who take part read it ([`EventState::all_read`](crate::EventState::all_read)): so a cluster whose
//! nodes are replaced one by one goes on with what the oldest of them knows. A node that meets such a
//! kind all the same, because it came later and is older, stops replicating that event and says which
//! version it needs.
//!
//! | version | what it brought |
//! |---|---|
//! | 1 | the first, with last words ([`Fence::FOR_GOOD`](crate::delta::Fence::FOR_GOOD)) and lists of what nodes carry |
//! | 2 | what hosts rule on runs ([`Delta::Ruling`](crate::delta::Delta::Ruling)) |

/// The versions that a program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

impl Versions {
    /// What this program speaks.
    pub const THIS: Versions = Versions { oldest: 1, newest: 2 };
    /// What a program of the first version spoke.
    pub const FIRST: Versions = Versions { oldest: 1, newest: 1 };

    /// The newest version that both speak.
    #[must_use]
    pub fn meet(self, other: Versions) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl Default for Versions {
    fn default() -> Self {
        Versions::THIS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_speak_the_newest_that_both_know_or_do_not_speak() {
        let versions = |oldest, newest| Versions { oldest, newest };
        assert_eq!(versions(1, 3).meet(versions(2, 5)), Some(3));
        assert_eq!(versions(1, 2).meet(versions(1, 1)), Some(1));
        assert_eq!(versions(3, 4).meet(versions(1, 2)), None);
        assert_eq!(versions(5, 4).meet(versions(1, 9)), None, "no version at all");
    }
}
