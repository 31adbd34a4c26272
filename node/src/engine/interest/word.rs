//! What one node tells another of what it carries.
//!
//! A node numbers the changes of its list, one after the other. A word brings those from one number to another, as
//! they stand now, so that whoever has the list of any number in between may take it in: a word that is lost, doubled
//! or overtaken changes nothing but the time that it takes.

use crdt_state::{EventId, Period};
use serde::{Deserialize, Serialize};

/// Changes in one word: 16,384, a sixth of what a frame holds. The rest follows once they are heard.
pub(super) const CHANGES_MAX: usize = 1 << 14;
/// Events in one word in which the receiver is awaited; those beyond are told when it carries these.
pub(super) const AWAITED_MAX: usize = 1 << 13;

/// What one node tells another of what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The number of the sender's list, so far as this word tells it.
    pub revision: u64,
    /// The number of the newest list of the receiver's that the sender has; 0 if none.
    pub heard: u64,
    /// What is new; nothing in a mere confirmation.
    pub news: Option<News>,
}

/// What is new at the sender of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The number of the list that this changes.
    pub since: u64,
    /// The events that it carries since then.
    pub begun: Vec<EventId>,
    /// Those that it carries in another period than its first, and which that is.
    pub again: Vec<(EventId, Period)>,
    /// Those that it carries no longer.
    pub ended: Vec<EventId>,
    /// Events in which others wait for the receiver's node.
    pub awaited: Vec<EventId>,
    /// Whether fewer than `EVERYBODY` nodes live in the sender's view, the receiver counted.
    pub few: bool,
}

/// The version of the vocabulary: 3, since 1 brought whole lists and 2 no periods.
pub(super) const PROTOCOL: u8 = 3;

impl Word {
    /// The word as bytes for the wire.
    ///
    /// # Panics
    /// Never: serialising plain values into a growing buffer cannot fail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![PROTOCOL]).expect("plain values always serialise")
    }

    /// Reads a word, believing nothing; `None` if it is none of this version and within its bounds.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<Word> {
        let (&PROTOCOL, body) = frame.split_first()? else { return None };
        // An id takes at least a byte: nothing is allocated for a list that is not there.
        let (word, rest) = postcard::take_from_bytes::<Word>(body).ok()?;
        let is_sound = |news: &News| {
            let changes = news.begun.len() + news.again.len() + news.ended.len();
            changes <= CHANGES_MAX && news.awaited.len() <= AWAITED_MAX
        };
        let is_sound = rest.is_empty() && word.news.as_ref().is_none_or(is_sound);
        (is_sound && word.revision > 0).then_some(word)
    }
}
