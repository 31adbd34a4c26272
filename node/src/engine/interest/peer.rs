//! A connected peer, as far as it matters who carries what.

use super::word::News;
use super::{AGAIN, CARRIED_MAX};
use crdt_state::{EventId, Mono, NodeId, Period};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two words to a peer that does not begin what it is awaited in, at most: 5 s. It may never be able to.
const AWAITED_AGAIN: Duration = Duration::from_secs(5);

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// What it carries, in which of its periods.
    pub(super) carried: BTreeMap<EventId, Period>,
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
            carried: BTreeMap::new(),
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
        if !awaited || self.carried.contains_key(&event) {
            self.unmet.remove(&event);
        } else if self.unmet.insert(event) {
            self.wait = AGAIN;
        }
    }

    /// Takes in what has changed in its list; what it carries since, and what no longer: what it let go of and came back
    /// to since it was last heard is in both.
    pub(super) fn take_in(&mut self, revision: u64, news: &News) -> (Vec<EventId>, Periods) {
        self.few = news.few;
        if revision <= self.said || news.since > self.said {
            return (Vec::new(), Vec::new());
        }
        self.said = revision;
        let (mut begun, mut ended) = (Vec::new(), Periods::new());
        for event in &news.ended {
            ended.extend(self.carried.remove(event).map(|period| (*event, period)));
        }
        let first = news.begun.iter().map(|event| (*event, 0));
        for (event, period) in first.chain(news.again.iter().copied()) {
            match self.carried.get(&event) {
                Some(of) if *of == period => continue,
                Some(of) => ended.push((event, *of)),
                None if self.carried.len() >= CARRIED_MAX => continue,
                None => {}
            }
            self.carried.insert(event, period);
            self.unmet.remove(&event);
            begun.push(event);
        }
        (begun, ended)
    }
}

/// Events, each with one of its peer's periods.
pub(super) type Periods = Vec<(EventId, Period)>;
