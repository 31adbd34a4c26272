//! What this node carries, with a number for each change.

use super::super::changes::Changes;
use super::word::{CHANGES_MAX, News};
use crdt_state::EventId;
use std::collections::BTreeSet;

/// What this node carries. Of what it ever carried the newest changes are remembered: as many as the catalogue has
/// events at most.
#[derive(Debug)]
pub(super) struct List {
    carried: BTreeSet<EventId>,
    changes: Changes<EventId>,
}

impl List {
    pub(super) fn new(kept: impl IntoIterator<Item = EventId>) -> Self {
        let mut list = List { carried: BTreeSet::new(), changes: Changes::default() };
        kept.into_iter().for_each(|event| list.begin(event));
        list
    }

    pub(super) fn begin(&mut self, event: EventId) {
        self.carried.insert(event);
        self.changes.note(event);
    }

    pub(super) fn end(&mut self, event: EventId) {
        self.carried.remove(&event);
        self.changes.note(event);
    }

    pub(super) fn carried(&self) -> &BTreeSet<EventId> {
        &self.carried
    }

    pub(super) fn contains(&self, event: EventId) -> bool {
        self.carried.contains(&event)
    }

    /// The number of this list: 1 for one that has not changed yet, since 0 is that of none at all.
    pub(super) fn revision(&self) -> u64 {
        self.changes.newest() + 1
    }

    /// What has changed since a number, as much as fits a word, and up to which number that is.
    pub(super) fn since(&self, since: u64) -> (u64, News) {
        let mut news = News { since, ..News::default() };
        let mut changes = self.changes.since(since.saturating_sub(1));
        let mut upto = since;
        for (number, event) in changes.by_ref().take(CHANGES_MAX) {
            upto = number + 1;
            let to = if self.contains(event) { &mut news.begun } else { &mut news.ended };
            to.push(event);
        }
        let is_all = changes.next().is_none();
        (if is_all { self.revision() } else { upto }, news)
    }

    /// # Panics
    /// If the numbers are wrong.
    pub(super) fn check(&self) {
        self.changes.check();
    }
}
