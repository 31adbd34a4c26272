//! The votes for posts, as many as an event may have.
//!
//! Of more than that the smallest stay, by run, post and row: as [`Bounded`](crate::named::Bounded) keys do, and
//! with the same reason that this is a join. A post that has votes weighs [`POST_WEIGHT`] beside them, for the
//! memory that its set takes; what is kept is the longest beginning of all votes in their order that is not too heavy.

use crate::engagement::PostId;
use crate::id::Row;
use crate::named::bounded::Beyond;
use crdts::CvRDT;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// A post, by its run and its id.
pub(super) type Of = (u32, PostId);

/// What the set of a post's votes weighs, in votes.
const POST_WEIGHT: usize = 8;

/// Votes of at most a weight of `N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Votes<const N: usize> {
    by_post: BTreeMap<Of, BTreeSet<Row>>,
    weight: usize,
    beyond: Beyond,
}

impl<const N: usize> Default for Votes<N> {
    fn default() -> Self {
        Votes { by_post: BTreeMap::new(), weight: 0, beyond: Beyond::default() }
    }
}

impl<const N: usize> Votes<N> {
    /// Takes in a vote; it is not kept if it is beyond the bound.
    pub(super) fn insert(&mut self, of: Of, row: Row) {
        let votes = self.by_post.entry(of).or_insert_with(|| {
            self.weight += POST_WEIGHT;
            BTreeSet::new()
        });
        self.weight += usize::from(votes.insert(row));
        self.trim();
    }

    /// Takes in the votes for a post.
    pub(super) fn extend(&mut self, of: Of, rows: BTreeSet<Row>) {
        if rows.is_empty() {
            return;
        }
        if self.by_post.contains_key(&of) || self.weight + POST_WEIGHT + rows.len() > N {
            rows.into_iter().for_each(|row| self.insert(of, row));
        } else {
            self.weight += POST_WEIGHT + rows.len();
            self.by_post.insert(of, rows);
        }
    }

    /// The votes for a post, if it has any.
    pub(super) fn of(&self, of: Of) -> Option<&BTreeSet<Row>> {
        self.by_post.get(&of)
    }

    /// All votes, by post.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Of, &BTreeSet<Row>)> {
        self.by_post.iter()
    }

    /// Whether honest nodes take no more: at half of the bound.
    pub(super) fn is_full(&self) -> bool {
        self.weight >= N / 2
    }

    /// How many were not kept for want of room.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond.0
    }

    fn trim(&mut self) {
        while self.weight > N {
            let mut last = self.by_post.last_entry().expect("what weighs something is there");
            last.get_mut().pop_last();
            self.beyond.0 += 1;
            self.weight -= 1;
            if last.get().is_empty() {
                last.remove();
                self.weight -= POST_WEIGHT;
            }
        }
    }
}

impl<const N: usize> CvRDT for Votes<N> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (of, rows) in other.by_post {
            self.extend(of, rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Origin;
    use proptest::prelude::*;

    type Few = Votes<40>;

    fn votes(cast: &[(u8, u8)]) -> Few {
        let mut votes = Few::default();
        for (post, row) in cast {
            votes.insert((1, u64::from(*post)), Row { origin: Origin(1), number: (*row).into() });
        }
        votes
    }

    fn joined(mut a: Few, b: &Few) -> Few {
        a.merge(b.clone());
        a
    }

    fn cast() -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((0..6u8, 0..9u8), 0..40)
    }

    proptest! {
        #[test]
        fn votes_beyond_the_bound_are_the_same_ones_everywhere(a in cast(), b in cast(), c in cast()) {
            let all = [&a[..], &b, &c].concat();
            let [a, b, c] = [a, b, c].map(|cast| votes(&cast));
            let wanted = votes(&all);
            prop_assert_eq!(&joined(joined(a.clone(), &b), &c), &wanted);
            prop_assert_eq!(&joined(c.clone(), &joined(b, &a)), &wanted);
            prop_assert_eq!(&joined(wanted.clone(), &a), &wanted);
            let backwards: Vec<_> = all.into_iter().rev().collect();
            prop_assert_eq!(&votes(&backwards), &wanted);
            let weight: usize = wanted.iter().map(|(_, rows)| POST_WEIGHT + rows.len()).sum();
            prop_assert!(weight == wanted.weight && weight <= 40);
        }
    }
}
