//! Creations on their way in parts.
//!
//! A large script does not fit one entry. Its creation is written as consecutive entries of the control
//! lane, each a part; the event exists once all are here. A draft only grows: from no part to all of
//! them, and then it is whole, which absorbs: the parts are not needed any more.

use crate::delta::{Create, CreatePart, Delta};
use crate::id::{Lamport, Origin};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which creation, and of how many parts it is.
type Key = (Lamport, Origin, u16);

/// What a draft or a part of it takes beside the part's bytes.
pub(super) const DRAFT_BYTES: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Draft {
    Parts(BTreeMap<u16, Vec<u8>>),
    Whole,
}

/// The creations of which parts have come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drafts(BTreeMap<Key, Draft>);

impl Drafts {
    /// Takes in a part; the creation, if it is whole by that.
    pub(super) fn take(&mut self, origin: Origin, part: CreatePart) -> Option<(Origin, Create)> {
        let CreatePart { lamport, index, of, bytes } = part;
        self.put((lamport, origin, of), index, bytes)
    }

    /// Joins others' drafts; the creations that are whole by that.
    pub(super) fn merge(&mut self, other: Drafts) -> Vec<(Origin, Create)> {
        let mut whole = Vec::new();
        for (key, draft) in other.0 {
            match draft {
                Draft::Whole => {
                    self.0.insert(key, Draft::Whole);
                }
                Draft::Parts(parts) => {
                    let put = |(index, bytes)| self.put(key, index, bytes);
                    whole.extend(parts.into_iter().filter_map(put));
                }
            }
        }
        whole
    }

    /// Every draft and the parts of it that are here; none of a whole one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, Vec<u16>)> {
        self.0.iter().map(|(key, draft)| match draft {
            Draft::Parts(parts) => (key, parts.keys().copied().collect()),
            Draft::Whole => (key, Vec::new()),
        })
    }

    /// Bytes of the parts that are here, and of a place for each draft.
    pub(super) fn bytes(&self) -> usize {
        let parts = |draft: &Draft| match draft {
            Draft::Parts(parts) => parts.values().map(|part| DRAFT_BYTES + part.len()).sum(),
            Draft::Whole => 0,
        };
        self.0.values().map(|draft| DRAFT_BYTES + parts(draft)).sum()
    }

    fn put(&mut self, key: Key, index: u16, bytes: Vec<u8>) -> Option<(Origin, Create)> {
        let draft = self.0.entry(key).or_insert_with(|| Draft::Parts(BTreeMap::new()));
        let Draft::Parts(parts) = draft else { return None };
        parts.entry(index).or_insert(bytes);
        let (_, origin, of) = key;
        if parts.len() < usize::from(of) {
            return None;
        }
        let whole: Vec<u8> = parts.values().flatten().copied().collect();
        *draft = Draft::Whole;
        Delta::read_create(&whole).map(|create| (origin, create))
    }
}
