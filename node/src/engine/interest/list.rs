//! What this node carries, with a number for each change.

use super::super::changes::Changes;
use super::word::{CHANGES_MAX, News};
use crdt_state::{EventId, Period};
use std::collections::{BTreeMap, BTreeSet};

/// What this node carries. Of what it ever carried the newest changes are remembered: as many as the catalogue has
/// events at most.
#[derive(Debug, Default)]
pub(super) struct List {
    carried: BTreeSet<EventId>,
    /// How often this life has let go of each event, where it has.
    periods: BTreeMap<EventId, Period>,
    changes: Changes<EventId>,
}

impl List {
    pub(super) fn new(kept: impl IntoIterator<Item = EventId>) -> Self {
        let mut list = List::default();
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

    /// What is carried of it from now on, or when it is begun again, is that of another period.
    pub(super) fn next_period(&mut self, event: EventId) {
        let period = self.periods.entry(event).or_default();
        *period = period.saturating_add(1);
        self.changes.note(event);
    }

    /// It is never begun again.
    pub(super) fn forget_periods(&mut self, event: EventId) {
        self.periods.remove(&event);
    }

    /// In which period it is carried, or will be.
    pub(super) fn period(&self, event: EventId) -> Period {
        self.periods.get(&event).copied().unwrap_or_default()
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
            match self.period(event) {
                _ if !self.contains(event) => news.ended.push(event),
                0 => news.begun.push(event),
                period => news.again.push((event, period)),
            }
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
