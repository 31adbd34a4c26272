//! What others believe of this very life of the node's gossip that it never said.
//!
//! chitchat takes whoever tells of a member at its word, and of two words the higher number holds. So a peer that lies of
//! a third node with high numbers is believed, and passed on, and what that node says itself is not: it would seem dead,
//! or gone, to everybody, for good. **But only the node itself counts up its numbers: who sees itself named beyond them
//! knows that it was slandered**, and begins gossip anew, as a next generation, of which nothing was told yet and which
//! everybody believes before the last one.

use super::told::Numbers;
use chitchat::NodeState;
use std::sync::Mutex;

/// The highest numbers under which others name this life.
#[derive(Debug, Default)]
pub(super) struct Slander(Mutex<Numbers>);

impl Slander {
    /// Others name this life like this.
    pub(super) fn note(&self, named: Numbers) {
        let mut highest = super::lock(&self.0);
        *highest = highest.max(named);
    }

    /// A new life has begun: what was said of the one before does not concern it.
    pub(super) fn forget(&self) {
        *super::lock(&self.0) = Numbers::default();
    }

    /// Whether this life was named beyond what it has ever said.
    pub(super) fn is_beyond(&self, own: &NodeState) -> bool {
        let named = *super::lock(&self.0);
        named.is_beyond(Numbers {
            heartbeat: own.heartbeat().into(),
            collected: own.last_gc_version(),
            newest: own.max_version(),
        })
    }
}
