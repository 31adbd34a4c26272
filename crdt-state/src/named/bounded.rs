//! A grow-only map and a grow-only set that stay small whatever anybody writes.
//!
//! Both keep the smallest keys that were ever written, at most `N`. That is a join like any other: a key
//! that is among the `N` smallest of all is among the `N` smallest of every part that has it, so no
//! replica ever drops it, whatever the order. What is beyond is dropped by everybody. Commands are refused
//! long before ([`Bounded::is_full`]); the bound itself only stops a peer that does not ask, and what it stops is counted
//! ([`Bounded::beyond`]), beside the content and no part of it.

use crdts::{CmRDT, CvRDT};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::ops::RangeBounds;

/// Lattices by key, joined pointwise; at most `N`, the smallest keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Bounded<K, V, const N: usize> {
    map: BTreeMap<K, V>,
    #[serde(skip)]
    beyond: Beyond,
}

/// How much was not kept for want of room. Nodes that hold the same may have met different amounts of it: it is equal
/// to any other.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beyond(pub(crate) u64);

impl PartialEq for Beyond {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Beyond {}

impl Hash for Beyond {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<K, V, const N: usize> Default for Bounded<K, V, N> {
    fn default() -> Self {
        Bounded { map: BTreeMap::new(), beyond: Beyond::default() }
    }
}

impl<K: Ord, V: Default, const N: usize> Bounded<K, V, N> {
    /// The value under `key`, created at its bottom if it is new; nothing if the key is beyond the bound.
    pub fn at(&mut self, key: K) -> Option<&mut V> {
        if !self.makes_room(&key) {
            return None;
        }
        Some(self.map.entry(key).or_default())
    }
}

impl<K: Ord, V, const N: usize> Bounded<K, V, N> {
    /// Whether `key` belongs here; if it is new and the map is full, the largest key makes room.
    fn makes_room(&mut self, key: &K) -> bool {
        if self.map.len() < N || self.map.contains_key(key) {
            return true;
        }
        let belongs = self.map.last_key_value().is_some_and(|(last, _)| key < last);
        if belongs {
            self.map.pop_last();
        }
        self.beyond.0 += 1;
        belongs
    }

    /// How many keys were met for which there was no room, or that made room: each as often as it came.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond.0
    }

    /// The value under a key.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get(key)
    }

    /// Everything in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter()
    }

    /// What is there between two keys, in their order.
    pub fn range(&self, keys: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        self.map.range(keys)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Whether honest writers stop adding keys: at half of the bound, so that several who do not know
    /// of each other yet do not meet it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.map.len() >= N.div_ceil(2)
    }
}

impl<K: Ord, V: CvRDT, const N: usize> CvRDT for Bounded<K, V, N> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        let mut left = other.map.len() as u64;
        for (key, value) in other.map {
            left -= 1;
            if !self.makes_room(&key) {
                self.beyond.0 += left;
                return;
            }
            match self.map.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(place) => place.into_mut().merge(value),
            }
        }
    }
}

impl<'de, K, V, const N: usize> Deserialize<'de> for Bounded<K, V, N>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let map = BTreeMap::deserialize(from)?;
        match map.len() {
            len if len > N => Err(Error::custom(format_args!("{len} keys, at most {N} can be"))),
            _ => Ok(Bounded { map, beyond: Beyond::default() }),
        }
    }
}

/// A set that only grows; at most `N` members, the smallest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct GrowOnly<T, const N: usize>(BTreeSet<T>);

impl<T, const N: usize> Default for GrowOnly<T, N> {
    fn default() -> Self {
        GrowOnly(BTreeSet::new())
    }
}

impl<T: Ord, const N: usize> GrowOnly<T, N> {
    /// Takes in a member for good; tells whether it is new.
    pub fn insert(&mut self, member: T) -> bool {
        let is_full = self.0.len() >= N;
        if is_full && self.0.last().is_none_or(|last| member >= *last) {
            return false;
        }
        let is_new = self.0.insert(member);
        if self.0.len() > N {
            self.0.pop_last();
        }
        is_new
    }

    /// Whether it has a member.
    #[must_use]
    pub fn contains(&self, member: &T) -> bool {
        self.0.contains(member)
    }

    /// Every member in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As [`Bounded::is_full`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= N.div_ceil(2)
    }
}

impl<T: Ord, const N: usize> CvRDT for GrowOnly<T, N> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for member in other.0 {
            self.insert(member);
        }
    }
}

impl<T: Ord, const N: usize> CmRDT for GrowOnly<T, N> {
    type Op = T;
    type Validation = Infallible;

    fn validate_op(&self, _: &T) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, member: T) {
        self.insert(member);
    }
}

impl<'de, T: Deserialize<'de> + Ord, const N: usize> Deserialize<'de> for GrowOnly<T, N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let set = BTreeSet::deserialize(from)?;
        match set.len() {
            len if len > N => Err(Error::custom(format_args!("{len} members, at most {N} can be"))),
            _ => Ok(GrowOnly(set)),
        }
    }
}
