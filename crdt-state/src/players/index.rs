//! An index of rows by something that hashes: derived, never replicated, never walked in its own order.
//!
//! It is cut into shards behind shared pointers, so that a clone costs a few hundred pointers, a write
//! after it copies one shard, and no write ever waits for the whole to grow. Four to nine bytes an entry
//! at the usual loads.

use hashbrown::HashTable;
use std::sync::Arc;

/// At a million entries a shard fits a core's own cache and is about four fifths full.
const SHARDS: usize = 320;

/// Entries of type `E` by their hashes, which the caller knows how to compute.
#[derive(Clone)]
pub(super) struct Index<E> {
    shards: Vec<Arc<HashTable<E>>>,
}

impl<E> Default for Index<E> {
    fn default() -> Self {
        Index { shards: Vec::new() }
    }
}

/// Of the bits in between: the table itself uses the lowest and the highest.
fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl<E: Copy + PartialEq> Index<E> {
    /// The entry with this hash for which `is` holds.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(E) -> bool) -> Option<E> {
        self.shards.get(shard(hash))?.find(hash, |entry| is(*entry)).copied()
    }

    /// All entries that may have this hash; the caller checks.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = E> + '_ {
        let shard = self.shards.get(shard(hash));
        shard.into_iter().flat_map(move |shard| shard.iter_hash(hash).copied())
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, hash: u64, entry: E, hash_of: impl Fn(&E) -> u64) {
        if self.shards.is_empty() {
            self.shards = vec![Arc::default(); SHARDS];
        }
        let shard = Arc::make_mut(&mut self.shards[shard(hash)]);
        shard.insert_unique(hash, entry, hash_of);
    }

    /// Makes room for so many more entries.
    pub(super) fn reserve(&mut self, more: usize, hash_of: impl Fn(&E) -> u64) {
        if self.shards.is_empty() {
            self.shards = vec![Arc::default(); SHARDS];
        }
        for shard in &mut self.shards {
            Arc::make_mut(shard).reserve(more / SHARDS, &hash_of);
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, hash: u64, entry: E) {
        let Some(shard) = self.shards.get_mut(shard(hash)) else { return };
        if let Ok(found) = Arc::make_mut(shard).find_entry(hash, |held| *held == entry) {
            found.remove();
        }
    }

    /// Bytes that its entries take.
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.allocation_size()).sum()
    }
}
