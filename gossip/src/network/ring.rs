//! The ring of cluster keys: which are believed, and which one is in use.
//!
//! A new key is *installed* everywhere, then *used* everywhere, then the old one is *removed*: at no
//! moment do two nodes meet without a key that both believe, and no connection is dropped for it.
//! The ring is a lattice that nodes merge: per key the higher version counts, and of equal ones the
//! removal; of two words about the key in use the one with the higher number. **Invariant: it is
//! never empty**: the key in use is held even if somebody else removed it at the same time.

use super::identity::ClusterKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keys up to which a ring takes another one. Rings that merge may hold more for a while: sides that were apart
/// have each installed their own.
pub const KEYS_MAX: usize = 8;

/// Keys that a ring knows of, removed ones included. The longest removed are forgotten first.
const KNOWN_MAX: usize = 32;

/// Keys that a ring of ours can know of: those of eight sides that were apart, each with a full ring. They fit
/// into a notice.
const SOUND_MAX: usize = 8 * KEYS_MAX;

/// The public id of a key.
type KeyId = [u8; 8];

/// What is known of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Grows with every installation and removal.
    version: u64,
    removed: bool,
    /// The key itself; gone once it is removed and not in use.
    secret: Option<Secret>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The cluster's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRing {
    entries: BTreeMap<KeyId, Entry>,
    /// The number of the last word about it, and the key in use.
    in_use: (u64, KeyId),
}

/// A change of the ring that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The ring has no such key.
    #[error("there is no key {fingerprint} in the ring")]
    Unknown {
        /// What was asked for.
        fingerprint: String,
    },
    /// The key in use cannot be removed.
    #[error("the key {fingerprint} is in use")]
    InUse {
        /// What was asked for.
        fingerprint: String,
    },
    /// There are as many keys as there may be.
    #[error("the ring holds {KEYS_MAX} keys already")]
    Full,
}

impl KeyRing {
    /// A ring of one key.
    #[must_use]
    pub fn new(key: &ClusterKey) -> Self {
        let id = key.cluster();
        let entry = Entry { version: 0, removed: false, secret: Some(Secret(key.bytes())) };
        KeyRing { entries: BTreeMap::from([(id, entry)]), in_use: (0, id) }
    }

    /// The ring of a node's former life, with the key that it is configured with now. One that the
    /// ring does not know was given out anew and is used from the start; one that it knows, removed
    /// or not, is an older word than the ring.
    #[must_use]
    pub fn resumed(mut kept: KeyRing, configured: &ClusterKey) -> Self {
        if !kept.is_sound() {
            return KeyRing::new(configured);
        }
        let id = configured.cluster();
        if !kept.entries.contains_key(&id) && kept.install(configured).is_ok() {
            kept.in_use = (kept.in_use.0, id);
        }
        kept
    }

    /// Has a key believed, beside those that are.
    ///
    /// # Errors
    /// [`RingError::Full`].
    pub fn install(&mut self, key: &ClusterKey) -> Result<(), RingError> {
        let id = key.cluster();
        if self.holds(&id) {
            return Ok(());
        }
        if self.keys().len() >= KEYS_MAX {
            return Err(RingError::Full);
        }
        let version = self.entries.get(&id).map_or(0, |entry| entry.version.saturating_add(1));
        let secret = Some(Secret(key.bytes()));
        self.entries.insert(id, Entry { version, removed: false, secret });
        self.forget_oldest();
        Ok(())
    }

    /// Has a key of the ring used from now on.
    ///
    /// # Errors
    /// [`RingError::Unknown`].
    pub fn use_key(&mut self, fingerprint: &str) -> Result<(), RingError> {
        let id = self.find(fingerprint)?;
        if self.in_use.1 != id {
            self.in_use = (self.in_use.0.saturating_add(1), id);
            self.drop_secrets();
        }
        Ok(())
    }

    /// Has a key believed no more.
    ///
    /// # Errors
    /// [`RingError::Unknown`], [`RingError::InUse`].
    pub fn remove(&mut self, fingerprint: &str) -> Result<(), RingError> {
        let id = self.find(fingerprint)?;
        if self.in_use.1 == id {
            return Err(RingError::InUse { fingerprint: fingerprint.to_owned() });
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.version, entry.removed) = (entry.version.saturating_add(1), true);
        }
        self.drop_secrets();
        Ok(())
    }

    /// Takes in another node's ring.
    pub(super) fn merge(&mut self, theirs: &KeyRing) {
        for (id, entry) in &theirs.entries {
            let own = self.entries.entry(*id).or_insert(*entry);
            let secret = own.secret.or(entry.secret);
            if (entry.version, entry.removed) > (own.version, own.removed) {
                *own = *entry;
            }
            own.secret = secret;
        }
        self.in_use = self.in_use.max(theirs.in_use);
        self.drop_secrets();
        self.forget_oldest();
    }

    /// Whether it is one that nodes of ours can have made: not empty, not too large, every secret
    /// under its own id, the key in use held.
    pub(super) fn is_sound(&self) -> bool {
        let genuine = |(id, entry): (&KeyId, &Entry)| {
            entry.secret.is_none_or(|secret| ClusterKey::from_bytes(secret.0).cluster() == *id)
        };
        self.entries.len() <= SOUND_MAX
            && self.holds(&self.in_use.1)
            && self.entries.iter().all(genuine)
    }

    /// The keys that are believed, the one in use first.
    #[must_use]
    pub fn keys(&self) -> Vec<ClusterKey> {
        let others = self.entries.keys().filter(|id| **id != self.in_use.1);
        let ids = std::iter::once(&self.in_use.1).chain(others.filter(|id| self.holds(id)));
        let secret = |id| Some(ClusterKey::from_bytes(self.entries.get(id)?.secret?.0));
        ids.filter_map(secret).collect()
    }

    /// Their fingerprints, joined by `+`, the one in use first: what a node announces.
    #[must_use]
    pub fn describe(&self) -> String {
        let keys: Vec<_> = self.keys().iter().map(ClusterKey::fingerprint).collect();
        keys.join("+")
    }

    fn holds(&self, id: &KeyId) -> bool {
        let entry = self.entries.get(id);
        entry
            .is_some_and(|entry| entry.secret.is_some() && (!entry.removed || *id == self.in_use.1))
    }

    fn find(&self, fingerprint: &str) -> Result<KeyId, RingError> {
        let keys = self.keys();
        let key = keys.iter().find(|key| key.fingerprint() == fingerprint);
        let unknown = || RingError::Unknown { fingerprint: fingerprint.to_owned() };
        key.map(ClusterKey::cluster).ok_or_else(unknown)
    }

    fn drop_secrets(&mut self) {
        for (id, entry) in &mut self.entries {
            if entry.removed && *id != self.in_use.1 {
                entry.secret = None;
            }
        }
    }

    fn forget_oldest(&mut self) {
        while self.entries.len() > KNOWN_MAX {
            let removed = self.entries.iter().filter(|(id, _)| !self.holds(id));
            let Some(oldest) = removed.min_by_key(|(_, entry)| entry.version) else { return };
            let oldest = *oldest.0;
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::{NOTICE_BYTES_MAX, Notice};
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> ClusterKey {
        ClusterKey::from_bytes([byte; 32])
    }

    fn merged(one: &KeyRing, other: &KeyRing) -> KeyRing {
        let mut merged = one.clone();
        merged.merge(other);
        merged
    }

    #[test]
    fn a_key_is_installed_used_and_the_old_one_removed() {
        let mut ring = KeyRing::new(&key(1));
        ring.install(&key(2)).unwrap();
        assert_eq!(ring.keys(), [key(1), key(2)]);
        let (old, new) = (key(1).fingerprint(), key(2).fingerprint());
        assert_eq!(ring.remove(&old), Err(RingError::InUse { fingerprint: old.clone() }));
        ring.use_key(&new).unwrap();
        assert_eq!(ring.describe(), format!("{new}+{old}"));
        ring.remove(&old).unwrap();
        assert_eq!(ring.keys(), [key(2)]);
        assert_eq!(ring.use_key(&old), Err(RingError::Unknown { fingerprint: old }));
        assert!(!format!("{:?}", ring.entries).contains("1, 1, 1"), "no secret is left or printed");
        ring.install(&key(1)).unwrap();
        assert_eq!(ring.keys(), [key(2), key(1)], "it may come back");
    }

    #[test]
    fn removals_that_cross_leave_the_key_in_use() {
        let mut one = KeyRing::new(&key(1));
        one.install(&key(2)).unwrap();
        let mut other = one.clone();
        one.use_key(&key(2).fingerprint()).unwrap();
        one.remove(&key(1).fingerprint()).unwrap();
        other.remove(&key(2).fingerprint()).unwrap();
        let both = merged(&one, &other);
        assert_eq!(both, merged(&other, &one));
        assert_eq!(both.keys(), [key(2)]);
        assert!(both.is_sound());
    }

    #[test]
    fn a_ring_is_bounded() {
        let mut ring = KeyRing::new(&key(0));
        for byte in 1..KEYS_MAX as u8 {
            ring.install(&key(byte)).unwrap();
        }
        assert_eq!(ring.install(&key(99)), Err(RingError::Full));
        for byte in 1..200 {
            let _ = ring.install(&key(byte));
            ring.remove(&key(byte).fingerprint()).unwrap();
        }
        assert!(ring.entries.len() <= KNOWN_MAX && ring.is_sound());
    }

    /// Sides that were apart have each installed keys up to their bound: what they make of it together is as
    /// good as any, survives a restart, and takes no key more until there is room.
    #[test]
    fn full_rings_of_sides_that_were_apart_become_one() {
        let full = |side: u8| {
            let mut ring = KeyRing::new(&key(0));
            for byte in 1..KEYS_MAX as u8 {
                ring.install(&key(side * 10 + byte)).unwrap();
            }
            ring
        };
        let mut all = (1..9).map(full).reduce(|one, other| merged(&one, &other)).unwrap();
        assert_eq!(all.keys().len(), 1 + 8 * (KEYS_MAX - 1));
        assert!(all.is_sound());
        assert!(Notice::Keys(all.clone()).encode().len() <= NOTICE_BYTES_MAX);
        assert_eq!(KeyRing::resumed(all.clone(), &key(0)), all);
        assert_eq!(all.install(&key(99)), Err(RingError::Full));
        for spare in all.keys().split_off(KEYS_MAX - 1) {
            all.remove(&spare.fingerprint()).unwrap();
        }
        all.install(&key(99)).unwrap();
        assert!(all.describe().len() < 256, "it can be announced");
    }

    #[test]
    fn a_restart_keeps_the_ring_and_takes_a_key_that_it_never_saw() {
        let mut kept = KeyRing::new(&key(1));
        kept.install(&key(2)).unwrap();
        kept.use_key(&key(2).fingerprint()).unwrap();
        assert_eq!(KeyRing::resumed(kept.clone(), &key(1)).keys(), [key(2), key(1)]);
        kept.remove(&key(1).fingerprint()).unwrap();
        assert_eq!(KeyRing::resumed(kept.clone(), &key(1)).keys(), [key(2)], "an old file");
        assert_eq!(KeyRing::resumed(kept, &key(3)).keys(), [key(3), key(2)], "a new one");
    }

    #[derive(Debug, Clone)]
    enum Change {
        Install(u8),
        Use(u8),
        Remove(u8),
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            (0u8..5).prop_map(Change::Install),
            (0u8..5).prop_map(Change::Use),
            (0u8..5).prop_map(Change::Remove),
        ];
        prop::collection::vec(change, 0..12)
    }

    fn ring(changes: &[Change]) -> KeyRing {
        let mut ring = KeyRing::new(&key(0));
        for change in changes {
            let _ = match change {
                Change::Install(byte) => ring.install(&key(*byte)),
                Change::Use(byte) => ring.use_key(&key(*byte).fingerprint()),
                Change::Remove(byte) => ring.remove(&key(*byte).fingerprint()),
            };
        }
        ring
    }

    proptest! {
        #[test]
        fn rings_agree_whatever_the_order_and_are_never_empty(
            one in changes(), two in changes(), three in changes(),
        ) {
            let [one, two, three] = [ring(&one), ring(&two), ring(&three)];
            let believed = |ring: &KeyRing| ring.describe();
            prop_assert_eq!(merged(&one, &one), one.clone());
            prop_assert_eq!(believed(&merged(&one, &two)), believed(&merged(&two, &one)));
            prop_assert!(!merged(&one, &two).keys().is_empty());
            let left = merged(&merged(&one, &two), &three);
            let right = merged(&three, &merged(&two, &one));
            prop_assert_eq!(left.keys().is_empty(), right.keys().is_empty());
        }

        #[test]
        fn arbitrary_bytes_are_a_ring_or_not_and_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(ring) = postcard::from_bytes::<KeyRing>(&bytes) {
                let _ = (ring.is_sound(), ring.describe());
            }
        }
    }
}
