//! A connected peer, as far as it matters who carries what.

use super::word::News;
use super::{AGAIN, CARRIED_MAX};
use crdt_state::{EventId, Mono, NodeId};
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two words to a peer that does not begin what it is awaited in, at most: 5 s. It may never be able to.
const AWAITED_AGAIN: Duration = Duration::from_secs(5);

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) carried: BTreeSet<EventId>,
    /// The number of its list that this is.
    pub(super) said: u64,
    /// The number of our list that it has.
    pub(super) heard: u64,
    /// The number of our list that was told it last.
    told: u64,
    told_at: Mono,
    /// How long it has for an answer, and to begin what it is awaited in.
    wait: Duration,
    /// The events in which it is awaited and that it does not carry.
    pub(super) unmet: BTreeSet<EventId>,
    /// As it says.
    pub(super) few: bool,
}

impl Peer {
    pub(super) fn new(node: NodeId, now: Mono) -> Self {
        Peer {
            node,
            carried: BTreeSet::new(),
            said: 0,
            heard: 0,
            told: 0,
            told_at: now,
            wait: AGAIN,
            unmet: BTreeSet::new(),
            few: false,
        }
    }

    /// Over a new link nobody knows what it has heard.
    pub(super) fn forget_told(&mut self) {
        (self.heard, self.told) = (0, 0);
    }

    /// It has our list of a number. Less than was known is the word of one who has forgotten us, or an old one: it costs
    /// a repetition.
    pub(super) fn hears(&mut self, number: u64) {
        self.heard = number;
    }

    /// It was told our list up to a number.
    pub(super) fn is_told(&mut self, now: Mono, upto: u64, revision: u64) {
        let is_news = self.heard < revision;
        self.wait = if is_news { AGAIN } else { (self.wait * 2).min(AWAITED_AGAIN) };
        (self.told, self.told_at) = (upto, now);
    }

    /// Whether it may be told of a change at once: it has heard all that it was told.
    pub(super) fn is_free(&self) -> bool {
        self.told <= self.heard
    }

    /// When to tell it again, if it lacks our newest list or does not carry what it is awaited in.
    pub(super) fn due(&self, revision: u64) -> Option<Mono> {
        let lacks = self.heard < revision || !self.unmet.is_empty();
        lacks.then(|| self.told_at + if self.heard < revision { AGAIN } else { self.wait })
    }

    /// It is awaited in an event, or no longer.
    pub(super) fn is_awaited(&mut self, event: EventId, awaited: bool) {
        if !awaited || self.carried.contains(&event) {
            self.unmet.remove(&event);
        } else if self.unmet.insert(event) {
            self.wait = AGAIN;
        }
    }

    /// Takes in what has changed in its list; what it carries since, and what no longer.
    pub(super) fn take_in(&mut self, revision: u64, news: &News) -> (Vec<EventId>, Vec<EventId>) {
        self.few = news.few;
        if revision <= self.said || news.since > self.said {
            return (Vec::new(), Vec::new());
        }
        self.said = revision;
        let carried = &mut self.carried;
        let ended = news.ended.iter().copied().filter(|event| carried.remove(event)).collect();
        let room = CARRIED_MAX.saturating_sub(carried.len());
        let begun = news.begun.iter().copied().take(room);
        let begun: Vec<EventId> = begun.filter(|event| carried.insert(*event)).collect();
        for event in &begun {
            self.unmet.remove(event);
        }
        (begun, ended)
    }
}
