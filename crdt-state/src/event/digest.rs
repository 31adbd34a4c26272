//! A canonical digest of an event's state: equal states give equal digests on every node.
//!
//! Bulk state is hashed by blocks, and a block keeps its digest until it changes, so that an audit costs
//! what is new. The state is walked in its own order and no encoding is ever hashed. All that is named
//! stands in ordered maps, so that equal states hash equal; an `Orswot` of the `crdts` crate would not,
//! since it keeps its members in hash maps.

use super::EventState;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

impl EventState {
    /// The digest; 64 bits of xxh3, good against accidents, not against forgery by a peer.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        self.hash_program(&mut hash);
        self.named.hash(&mut hash);
        for block in self.players.digests() {
            block.hash(&mut hash);
        }
        self.hash_answers(&mut hash);
        self.sides.hash(&mut hash);
        for ruling in self.rulings.iter() {
            ruling.hash(&mut hash);
        }
        hash.finish()
    }

    fn hash_program(&self, hash: &mut Xxh3) {
        if let Some((lamport, origin, script)) = &self.script.0 {
            (lamport, origin, script).hash(hash);
        }
        for draft in self.drafts.iter() {
            draft.hash(hash);
        }
        (self.stage.0, self.lamport.0).hash(hash);
        for (instance, round) in self.rounds.iter() {
            (instance, round.question(), round.open_ms.0, round.reached()).hash(hash);
        }
        for seal in self.rounds.seals() {
            seal.hash(hash);
        }
        for origin in self.rounds.known() {
            origin.hash(hash);
        }
        self.enrolled.hash(hash);
        self.vouching.hash(hash);
        self.fences().hash(hash);
        for forgotten in self.forgotten.iter() {
            forgotten.hash(hash);
        }
    }

    fn hash_answers(&self, hash: &mut Xxh3) {
        for (key, sheet) in &self.sheets.0 {
            for (origin, column) in &sheet.0 {
                (key, origin).hash(hash);
                for block in column.digests() {
                    block.hash(hash);
                }
            }
        }
    }
}
