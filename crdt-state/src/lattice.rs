//! The small lattices that everything else is made of, in the traits of the `crdts` crate.
//!
//! `crdts` 7.3.2 has no minimum and no maximum; both are here. Our types implement its [`CvRDT`], so
//! that one set of laws tests theirs and ours. A merge cannot fail: `Validation` is [`Infallible`].
//! `validate_merge` of the crate's own types is quadratic and is never called.

use crdts::{CmRDT, CvRDT};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Only grows: the larger value wins.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Max<T>(pub T);

impl<T: Ord> Max<T> {
    /// Takes in one value; tells whether it was larger.
    pub fn observe(&mut self, value: T) -> bool {
        let grows = value > self.0;
        if grows {
            self.0 = value;
        }
        grows
    }
}

impl<T: Ord> CmRDT for Max<T> {
    type Op = T;
    type Validation = Infallible;

    fn validate_op(&self, _: &T) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, value: T) {
        self.observe(value);
    }
}

impl<T: Ord> CvRDT for Max<T> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.observe(other.0);
    }
}

/// The smallest value that was ever offered; nothing is the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Min<T>(pub Option<T>);

impl<T> Default for Min<T> {
    fn default() -> Self {
        Min(None)
    }
}

impl<T: Ord> Min<T> {
    /// Takes in one value; tells whether it is the smallest so far.
    pub fn observe(&mut self, value: T) -> bool {
        let wins = self.0.as_ref().is_none_or(|held| value < *held);
        if wins {
            self.0 = Some(value);
        }
        wins
    }
}

impl<T: Ord> CmRDT for Min<T> {
    type Op = T;
    type Validation = Infallible;

    fn validate_op(&self, _: &T) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, value: T) {
        self.observe(value);
    }
}

impl<T: Ord> CvRDT for Min<T> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        if let Some(value) = other.0 {
            self.observe(value);
        }
    }
}

/// A grow-only map of lattices, joined pointwise: the only kind of map that the event's state uses.
///
/// `crdts::Map` is not: with counters or registers inside it diverges for good once keys are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "K: Serialize, V: Serialize"))]
#[serde(bound(deserialize = "K: Deserialize<'de> + Ord, V: Deserialize<'de>"))]
pub struct Pointwise<K, V>(pub BTreeMap<K, V>);

impl<K, V> Default for Pointwise<K, V> {
    fn default() -> Self {
        Pointwise(BTreeMap::new())
    }
}

impl<K: Ord, V: Default> Pointwise<K, V> {
    /// The value under `key`, which is created at its bottom if it is new.
    pub fn at(&mut self, key: K) -> &mut V {
        self.0.entry(key).or_default()
    }
}

impl<K: Ord, V: CvRDT> CvRDT for Pointwise<K, V> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (key, value) in other.0 {
            match self.0.entry(key) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(value);
                }
                std::collections::btree_map::Entry::Occupied(place) => {
                    place.into_mut().merge(value);
                }
            }
        }
    }
}
