//! Letting go of events that others carry as well.
//!
//! An event is spare here while the best [`CARRIERS`] by the rendezvous hash are others and all of them carry it. Once
//! nobody here has wanted it for long, which the world says, the node leaves it in order and drops it, in memory and on
//! disk: as one event less that it carries, and as one node less that its results wait for. Until others hold all of it
//! the event is *going*: it is carried and served on, and out of the reach of whoever comes.
//!
//! What is dropped is gone, the node's own lanes with it. So no lane is ever written on: a node that begins again does so
//! in its next [`Period`], as a newcomer under another origin. Peers tell each other their periods with their lists, and
//! what comes out of a period that is over, or was meant for one, is a stranger's.
//!
//! Where the event is wanted again while it is going, or a carrier has died, or nobody has confirmed it in time, nothing
//! is dropped: the node carries on what it holds in its next period, as one that has left and is back.

use super::{CARRIERS, EVERYBODY, Interest, Turn};
use crate::engine::director::rendezvous;
use crdt_state::{EventId, Mono, NodeId, Origin, Period};
use std::collections::BTreeSet;

impl Interest {
    /// The events of which this node may let go once nobody here wants them; none while its view of the members may
    /// still fill, or when it leaves all of them anyway.
    pub fn spare(&self, now: Mono) -> impl Iterator<Item = EventId> {
        let may = !self.leaves && !self.is_unsettled(now);
        self.spare.iter().copied().filter(move |event| may && !self.going.contains(event))
    }

    /// The period in which this node carries an event, or would.
    #[must_use]
    pub fn period(&self, event: EventId) -> Period {
        self.list.period(event)
    }

    /// The period in which a connected peer carries an event, if it does.
    #[must_use]
    pub fn peer_period(&self, peer: Origin, event: EventId) -> Option<Period> {
        self.peers.get(&peer)?.carried.get(&event).copied()
    }

    /// What both this node and a connected peer carry, with the peer's periods.
    pub fn carried_by(&self, peer: Origin) -> impl Iterator<Item = (EventId, Period)> {
        let carried = self.peers.get(&peer).into_iter().flat_map(|peer| &peer.carried);
        let shared = carried.filter(|(event, _)| self.carries(**event));
        shared.map(|(event, period)| (*event, *period))
    }

    pub(super) fn judge_spare(&mut self, event: EventId) {
        if self.is_spare(event) {
            self.spare.insert(event);
        } else {
            self.spare.remove(&event);
        }
    }

    pub(super) fn is_spare(&self, event: EventId) -> bool {
        if self.all || self.living.len() < EVERYBODY || !self.carries(event) {
            return false;
        }
        let carriers = self.carriers(event).filter_map(|peer| Some(self.peers.get(&peer)?.node));
        let carriers: BTreeSet<NodeId> = carriers.collect();
        carriers.len() >= CARRIERS
            && self.best(event).is_some_and(|best| {
                best.iter().all(|node| *node != self.me && carriers.contains(node))
            })
    }

    /// The nodes that carry an event whoever comes for it, if there are as many.
    fn best(&self, event: EventId) -> Option<[NodeId; CARRIERS]> {
        let mut best = [(u64::MAX, NodeId(u64::MAX)); CARRIERS];
        for node in &self.staying {
            let weight = (rendezvous(event.0, 0, *node), *node);
            let at = best.partition_point(|better| *better < weight);
            if at < CARRIERS {
                best[at..].rotate_right(1);
                best[at] = weight;
            }
        }
        (self.staying.len() >= CARRIERS).then(|| best.map(|(_, node)| node))
    }

    pub(super) fn on_wanted(&mut self, now: Mono, event: EventId) {
        if self.going.contains(&event) && !self.leaves {
            return self.renew(now, event);
        }
        self.begin(now, [event]);
    }

    pub(super) fn on_let_go(&mut self, now: Mono, event: EventId) {
        if self.spare(now).any(|spare| spare == event) {
            self.going.insert(event);
            self.turns.push_back(Turn::LetGo { event });
        }
    }

    pub(super) fn on_left(&mut self, now: Mono, event: EventId, period: Period) {
        if !self.is_going(event, period) {
            return;
        }
        crdt_state::sometimes!(EventLetGo);
        self.list.next_period(event);
        self.cease(event);
        self.judge(event);
        self.turns.push_back(Turn::End { event });
        self.tell_news(now);
    }

    pub(super) fn on_unheard(&mut self, now: Mono, event: EventId, period: Period) {
        if self.is_going(event, period) {
            self.renew(now, event);
        }
    }

    /// What came of a period that is over by now is no news.
    fn is_going(&self, event: EventId, period: Period) -> bool {
        self.going.contains(&event) && self.period(event) == period
    }

    /// Carries on what is going and has become this node's affair again.
    pub(super) fn renew_needed(&mut self, now: Mono) {
        if self.going.is_empty() {
            return;
        }
        let needed: Vec<EventId> = self.going.difference(&self.spare).copied().collect();
        needed.into_iter().for_each(|event| self.renew(now, event));
    }

    fn renew(&mut self, now: Mono, event: EventId) {
        crdt_state::sometimes!(EventCarriedOn);
        self.going.remove(&event);
        self.list.next_period(event);
        self.turns.push_back(Turn::Renew { event });
        self.tell_news(now);
        self.meet(event);
    }
}
