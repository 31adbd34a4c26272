//! Ages that a restart forgot.
//!
//! An entry read from a store has no age: nobody knows how long the node was away. For control
//! entries that matters (an open round counts from its age), so they are pulled once more from a
//! peer that was there; the bytes are known already, the age is what is wanted. A peer that does
//! not know either is not asked for them again. What a store kept as a snapshot is not there entry by entry;
//! then the state says that it lacks ages, and peers tell what their clocks know as a whole. So it does of a
//! moment whose age may have been told too small.

use super::config::Config;
use super::message::Message;
use super::replica::Replica;
use super::replicated::Replicated;
use super::tail::Born;
use bytes::Bytes;
use crdt_state::{Lane, LaneId, Mono, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// A control lane with entries of unknown age.
#[derive(Debug)]
struct Lacking {
    next: u64,
    until: u64,
    /// Who does not know, or did not answer.
    asked: BTreeSet<Origin>,
    asking: Option<(Origin, Mono)>,
}

/// The control lanes with entries of unknown age.
#[derive(Debug, Default)]
pub(super) struct Unaged {
    lanes: BTreeMap<LaneId, Lacking>,
    /// The same for all content at once, where the state restored a snapshot from a store.
    whole: Whole,
}

/// Content whose age nobody here knows, and that is not kept entry by entry.
#[derive(Debug, Default)]
struct Whole {
    lacking: bool,
    /// Who does not know, or did not answer.
    asked: BTreeSet<Origin>,
    asking: Option<(Origin, Mono)>,
}

impl Unaged {
    /// The entries of a lane up to `head` were read from a store.
    pub(super) fn expect(&mut self, id: LaneId, first: u64, head: u64) {
        if id.lane == Lane::Control && first <= head {
            let asked = BTreeSet::new();
            self.lanes.insert(id, Lacking { next: first, until: head, asked, asking: None });
        }
    }

    /// Entries came, with their ages or without.
    pub(super) fn on_entries(&mut self, from: Origin, id: LaneId, seqs: Range<u64>, aged: bool) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if !seqs.contains(&lane.next) {
            return;
        }
        lane.asking.take_if(|(peer, _)| *peer == from);
        if aged {
            lane.next = seqs.end;
        } else {
            lane.asked.insert(from);
        }
        if lane.next > lane.until {
            self.lanes.remove(&id);
        }
    }

    /// A peer does not keep these entries one by one.
    pub(super) fn on_gone(&mut self, from: Origin, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.asking.take_if(|(peer, _)| *peer == from).is_some() {
            lane.asked.insert(from);
        }
    }

    pub(super) fn on_peer_down(&mut self, peer: Origin) {
        for lane in self.lanes.values_mut() {
            lane.asking.take_if(|(asked, _)| *asked == peer);
            lane.asked.remove(&peer);
        }
        self.whole.asking.take_if(|(asked, _)| *asked == peer);
        self.whole.asked.remove(&peer);
    }

    pub(super) fn due(&self, config: &Config) -> Option<Mono> {
        let asking = self.lanes.values().filter_map(|lane| lane.asking).chain(self.whole.asking);
        asking.map(|(_, at)| at + config.pull_timeout).min()
    }

    fn expire(&mut self, now: Mono, config: &Config) {
        for lane in self.lanes.values_mut() {
            let late = lane.asking.take_if(|(_, at)| *at + config.pull_timeout <= now);
            lane.asked.extend(late.map(|(peer, _)| peer));
        }
        let late = self.whole.asking.take_if(|(_, at)| *at + config.pull_timeout <= now);
        self.whole.asked.extend(late.map(|(peer, _)| peer));
    }
}

impl Replica {
    /// Whether entries of some lane have no age here, and no connected peer could tell it. Not true
    /// while nobody is connected: whoever comes may know.
    #[must_use]
    pub fn is_age_lost(&self) -> bool {
        let lost = |lane: &Lacking| self.peers.keys().all(|peer| lane.asked.contains(peer));
        let whole = &self.unaged.whole;
        let whole_lost = whole.lacking && self.peers.keys().all(|p| whole.asked.contains(p));
        !self.peers.is_empty() && (whole_lost || self.unaged.lanes.values().any(lost))
    }

    /// Asks the nearest peer that has not been asked for what its clock knows, while the state lacks it.
    pub(super) fn ask_ages(&mut self, now: Mono, state: &impl Replicated) {
        self.unaged.whole.lacking = state.lacks_ages();
        let whole = &mut self.unaged.whole;
        if !whole.lacking {
            // Who did not know of this may know of what is lacking next.
            whole.asked.clear();
        }
        if !whole.lacking || whole.asking.is_some() {
            return;
        }
        let fresh = self.peers.iter().filter(|(origin, _)| !whole.asked.contains(origin));
        if let Some((&peer, _)) = fresh.min_by_key(|(origin, peer)| (peer.rtt, **origin)) {
            whole.asking = Some((peer, now));
            self.send(peer, Lane::Control, Message::AgesRequest);
        }
    }

    pub(super) fn on_ages_request(&mut self, now: Mono, from: Origin, state: &impl Replicated) {
        let Some(peer) = self.peers.get(&from) else { return };
        let age_ms = Born::ago(now, Duration::ZERO).age_ms(now, peer.rtt);
        self.send(from, Lane::Control, Message::Ages { age_ms, bytes: state.ages(now) });
    }

    pub(super) fn on_ages(
        &mut self,
        now: Mono,
        from: Origin,
        age_ms: u32,
        bytes: &Bytes,
        state: &mut impl Replicated,
    ) {
        let asked = self.unaged.whole.asking.take_if(|(peer, _)| *peer == from);
        if asked.is_none() {
            return; // nobody asked, or too long ago
        }
        let age = Duration::from_millis(age_ms.into());
        if !bytes.is_empty() && state.learn_ages(now, age, bytes).is_err() {
            self.stats.malformed += 1;
        }
        self.unaged.whole.asked.insert(from);
    }

    /// Asks for ages that are not known, a few lanes at a time.
    pub(super) fn pull_ages(&mut self, now: Mono) {
        self.unaged.expire(now, &self.config);
        let mut asking = self.unaged.lanes.values().filter(|lane| lane.asking.is_some()).count();
        let mut pulls = Vec::new();
        for (id, lane) in self.unaged.lanes.iter_mut().filter(|(_, lane)| lane.asking.is_none()) {
            if asking >= self.config.pulls_max {
                break;
            }
            let knows = |(origin, peer): &(&Origin, &super::peer::Peer)| {
                peer.serves(*id, lane.next) && !lane.asked.contains(origin)
            };
            let nearest = self.peers.iter().filter(knows).min_by_key(|(o, peer)| (peer.rtt, **o));
            if let Some((&peer, _)) = nearest {
                lane.asking = Some((peer, now));
                pulls.push((peer, *id, lane.next));
                asking += 1;
                crdt_state::bounded!(AgePulls, asking, self.config.pulls_max);
            }
        }
        for (peer, id, from) in pulls {
            self.send_pull(peer, id, from);
        }
    }
}
