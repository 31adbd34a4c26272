//! Which events this node carries, and which of its peers carry them too, as a state machine without IO.
//!
//! One invariant makes interest safe: **who carries an event takes part in it, and nobody else does.** A node that
//! does not carry an event knows it from the catalogue alone; it hears no heads, batches or snapshots of it,
//! acknowledges nothing, and is no part of any majority. To begin is to be a newcomer: the node enrols, and its
//! word counts once a majority knows it, as if it had just joined the cluster. So the rules of seals, fences and
//! receipts need not know that there is such a thing as interest, and nodes may differ in whom they think best.
//!
//! A node begins to carry an event
//! - while fewer than [`EVERYBODY`] nodes live: every event that a peer carries;
//! - if it is behind a broker ([`Interest::carry_all`]): every event;
//! - if a peer carries it, and it is one of the best [`CARRIERS`] by a rendezvous hash over the nodes that live
//!   and do not drain (Thaler and Ravishankar, 1998), so that the copies are restored when a carrier dies;
//! - once somebody comes to it for the event: a player, a host, a screen;
//! - from its start on, if its store has anything of the event;
//! - if others wait for it: a carrier tells whoever has lost its store that a former life of it took part. Who has let
//!   go of the event in this life has left it in order, and is waited for only where that is not known yet.
//!
//! What no peer in reach carries is not begun for the members' sake: there would be nothing to fetch. So who is cut
//! off, or has just started, does not take all events for its own because it sees nobody else.
//!
//! Which nodes an operator gave up the catalogue tells, and each node says so in the events that it carries, when it
//! hears of it and whenever another of these turns out to wait for such a node: nobody else has to be asked, and who was
//! away then does not bring the waiting back.
//!
//! A node that leaves the cluster begins nothing any more: nobody would hear its goodbye.
//!
//! It carries the event until that is archived, or until nobody here has wanted it for long and the best [`CARRIERS`]
//! are others who carry it: then it lets go, see [`Interest::spare`]. An event that cannot be kept up ends for this life
//! of the node, as if it had crashed in this event alone: the others see that it is not there, and its store waits for
//! the next life.
//!
//! Peers tell each other what has changed in what they carry, see [`Word`]: one word is under way to a peer at a time,
//! and repeated until it is heard; whatever changes meanwhile goes with the next. What a peer says of an event of which
//! this node has not heard yet that the peer carries it is a stranger's, and said again.
//!
//! Work and bytes are those of what has changed, not of all that there is ([`Interest::work`]): who carries an event and
//! which events wait for a choice is kept, not sought.

mod facts;
mod list;
mod peer;
mod spare;
mod word;

pub use facts::{Heed, Turn, WhyNot};
pub use word::{News, Word};

use super::director::rendezvous;
use crdt_state::{EventId, Mono, NodeId, Origin, Period};
use list::List;
use peer::Peer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use word::AWAITED_MAX;

/// Nodes that carry an event whoever comes for it: 3, so that two may be lost at once.
pub const CARRIERS: usize = 3;
/// From so many nodes on not every node carries every event.
pub const EVERYBODY: usize = CARRIERS + 1;
/// Events that one node carries at most: 65,536. Arbitrary: what a peer can make us remember is some MiB, and a node
/// runs out of memory for owners long before.
pub const CARRIED_MAX: usize = 1 << 16;
/// A word that was not confirmed is told again after this: 250 ms, as often as heads are exchanged.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a node is young: its view of the members still fills. Arbitrary, far above what that takes.
const YOUNG: Duration = Duration::from_secs(5);
/// A young node chooses once its view has not changed for so long, or a peer says that they are few: 750 ms, three
/// rounds of gossip.
const SETTLED: Duration = Duration::from_millis(750);

/// See the module.
#[derive(Debug)]
pub struct Interest {
    me: NodeId,
    /// Whether this node carries every event.
    all: bool,
    live: BTreeSet<EventId>,
    /// Those that are never begun again.
    archived: BTreeSet<EventId>,
    /// Those that could not be kept up.
    broken: BTreeSet<EventId>,
    living: BTreeSet<NodeId>,
    staying: BTreeSet<NodeId>,
    /// When the set of living nodes last changed.
    seen_at: Mono,
    /// What is carried here.
    list: List,
    /// What is live and not carried here.
    lacking: BTreeSet<EventId>,
    /// Of these, what the members make this node's affair.
    chosen: BTreeSet<EventId>,
    /// What is carried here and need not be for the members' sake.
    spare: BTreeSet<EventId>,
    /// What this node is leaving, and carries until others hold all of it.
    going: BTreeSet<EventId>,
    /// When these are begun, if the view of the members may still fill.
    choice_due: Option<Mono>,
    /// For which nodes each carried event waits.
    awaited: BTreeMap<EventId, BTreeSet<NodeId>>,
    /// The nodes that an operator gave up.
    given_up: BTreeSet<NodeId>,
    peers: BTreeMap<Origin, Peer>,
    /// The peers that carry each event.
    carriers: BTreeMap<EventId, BTreeSet<Origin>>,
    /// Whether it comes back to a cluster, with events in its store: how few it sees at first says nothing.
    returned: bool,
    /// Whether it leaves, and begins nothing any more.
    leaves: bool,
    turns: VecDeque<Turn>,
    work: u64,
}

impl Interest {
    /// Of a node that carries what its store has.
    #[must_use]
    pub fn new(me: NodeId, kept: impl IntoIterator<Item = EventId>) -> Self {
        let list = List::new(kept);
        Interest {
            me,
            all: false,
            live: BTreeSet::new(),
            archived: BTreeSet::new(),
            broken: BTreeSet::new(),
            living: BTreeSet::from([me]),
            staying: BTreeSet::from([me]),
            seen_at: Mono::ZERO,
            returned: !list.carried().is_empty(),
            list,
            lacking: BTreeSet::new(),
            chosen: BTreeSet::new(),
            spare: BTreeSet::new(),
            going: BTreeSet::new(),
            choice_due: None,
            awaited: BTreeMap::new(),
            given_up: BTreeSet::new(),
            peers: BTreeMap::new(),
            carriers: BTreeMap::new(),
            leaves: false,
            turns: VecDeque::new(),
            work: 0,
        }
    }

    /// Carries every event from here on, however many nodes live: behind a broker players of every show come to
    /// every node, each to those who hold its slot, and the one who holds slot 0 speaks for all shows.
    pub fn carry_all(&mut self) {
        self.all = true;
        self.judge_all();
    }

    /// Takes in one fact; what follows waits in [`Interest::poll_turn`].
    pub fn handle(&mut self, now: Mono, heed: Heed) {
        match heed {
            Heed::Listed { live, archived } => self.on_listed(now, live, archived),
            Heed::Seen { living, staying } => self.on_seen(now, living, staying),
            Heed::Wanted { event } => self.on_wanted(now, event),
            Heed::Awaited { event, nodes } => self.on_awaited(event, nodes),
            Heed::Broken { event } => self.on_broken(now, event),
            Heed::GivenUp { nodes } => self.on_given_up(nodes),
            Heed::PeerUp { peer, node } => self.on_peer_up(now, peer, node),
            Heed::PeerDown { peer } => self.on_peer_down(peer),
            Heed::Word { from, word } => self.on_word(now, from, word),
            Heed::LetGo { event } => self.on_let_go(now, event),
            Heed::Left { event, period } => self.on_left(now, event, period),
            Heed::Unheard { event, period } => self.on_unheard(now, event, period),
            Heed::Leaving => self.leaves = true,
            Heed::Timeout => {}
        }
        self.renew_needed(now);
        self.choose(now);
        self.tell_again(now);
    }

    /// The next thing to be done outside, in order; `None` when all is done.
    pub fn poll_turn(&mut self) -> Option<Turn> {
        self.turns.pop_front()
    }

    /// When [`Heed::Timeout`] is wanted, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let unheard = self.peers.values().filter_map(|peer| peer.due(self.list.revision()));
        unheard.chain(self.choice_due).min()
    }

    /// Whether this node carries an event.
    #[must_use]
    pub fn carries(&self, event: EventId) -> bool {
        self.list.contains(event)
    }

    /// What this node carries.
    #[must_use]
    pub fn carried(&self) -> &BTreeSet<EventId> {
        self.list.carried()
    }

    /// The connected peers that are known to carry an event.
    pub fn carriers(&self, event: EventId) -> impl Iterator<Item = Origin> {
        self.carriers.get(&event).into_iter().flatten().copied()
    }

    /// Why this node would not begin an event, if so.
    #[must_use]
    pub fn why_not(&self, event: EventId) -> Option<WhyNot> {
        if self.leaves {
            Some(WhyNot::Leaving)
        } else if self.archived.contains(&event) {
            Some(WhyNot::Archived)
        } else if self.broken.contains(&event) {
            Some(WhyNot::Broken)
        } else if self.is_full() {
            Some(WhyNot::Full)
        } else {
            None
        }
    }

    /// How many events and nodes were looked at so far: what has changed is looked at, and nothing else.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Everything that must hold between any two inputs.
    ///
    /// # Panics
    /// If it does not: a bug of this module.
    pub fn check_invariants(&self) {
        self.list.check();
        let bounded = |peer: &Peer| peer.carried.len() <= CARRIED_MAX;
        assert!(self.peers.values().all(bounded), "what a peer can make us keep is bounded");
        let known = |peer: &Peer| peer.heard <= self.list.revision();
        assert!(self.peers.values().all(known), "no peer has heard what was not said");
        let carried =
            self.peers.iter().flat_map(|(of, peer)| peer.carried.keys().map(|it| (*it, *of)));
        let carried: BTreeSet<_> = carried.collect();
        let index = self.carriers.iter().flat_map(|(event, of)| of.iter().map(|of| (*event, *of)));
        assert!(carried.into_iter().eq(index), "who carries what is found by event and by peer");
        let lacking: BTreeSet<_> = self.live.difference(self.carried()).copied().collect();
        assert!(lacking == self.lacking, "what is lacking is what is live and not carried");
        let chosen = lacking.into_iter().filter(|event| self.is_chosen(*event));
        assert!(chosen.eq(self.chosen.iter().copied()), "what was chosen is what would be");
        let spare = self.carried().iter().copied().filter(|event| self.is_spare(*event));
        assert!(spare.eq(self.spare.iter().copied()), "what is spare is what would be");
        assert!(self.going.is_subset(&self.spare), "only what is spare is left");
    }

    fn on_listed(&mut self, now: Mono, live: BTreeSet<EventId>, archived: BTreeSet<EventId>) {
        self.end(now, archived);
        for event in live {
            if !self.archived.contains(&event) && self.live.insert(event) && !self.carries(event) {
                self.lacking.insert(event);
                self.judge(event);
            }
        }
    }

    fn on_seen(&mut self, now: Mono, living: BTreeSet<NodeId>, staying: BTreeSet<NodeId>) {
        if living != self.living {
            self.seen_at = now;
        } else if staying == self.staying {
            return;
        }
        (self.living, self.staying) = (living, staying);
        self.judge_all();
    }

    fn on_awaited(&mut self, event: EventId, nodes: BTreeSet<NodeId>) {
        if !self.carries(event) || self.awaited.get(&event) == Some(&nodes) {
            return;
        }
        for peer in self.peers.values_mut() {
            self.work += 1;
            peer.is_awaited(event, nodes.contains(&peer.node));
        }
        let given_up = nodes.intersection(&self.given_up);
        self.turns.extend(given_up.map(|node| Turn::Forget { event, node: *node }));
        self.awaited.insert(event, nodes);
    }

    fn on_given_up(&mut self, nodes: BTreeSet<NodeId>) {
        let before = std::mem::replace(&mut self.given_up, nodes);
        let fresh: Vec<NodeId> = self.given_up.difference(&before).copied().collect();
        fresh.into_iter().for_each(|node| self.forget(node));
    }

    /// Forgets a node in whatever waits for it.
    fn forget(&mut self, node: NodeId) {
        self.work += self.awaited.len() as u64;
        let waiting = self.awaited.iter().filter(|(_, nodes)| nodes.contains(&node));
        self.turns.extend(waiting.map(|(event, _)| Turn::Forget { event: *event, node }));
    }

    fn on_peer_up(&mut self, now: Mono, peer: Origin, node: NodeId) {
        let known = self.peers.entry(peer).or_insert_with(|| Peer::new(node, now));
        known.forget_told();
        let awaited = self.awaited.iter().filter(|(_, nodes)| nodes.contains(&node));
        awaited.for_each(|(event, _)| known.is_awaited(*event, true));
        let shared = known.carried.iter().filter(|(event, _)| self.list.contains(**event));
        let up = shared.map(|(event, period)| Turn::Up { event: *event, peer, period: *period });
        self.turns.extend(up);
        self.work += (self.awaited.len() + self.list.carried().len()) as u64;
        self.tell(now, peer);
    }

    fn on_peer_down(&mut self, peer: Origin) {
        let Some(gone) = self.peers.remove(&peer) else { return };
        self.lose(peer, gone.carried);
        // While it was here it could not be given up.
        if self.given_up.contains(&gone.node) {
            self.forget(gone.node);
        }
    }

    fn on_word(&mut self, now: Mono, from: Origin, word: Word) {
        let (revision, Some(peer)) = (self.list.revision(), self.peers.get_mut(&from)) else {
            return;
        };
        peer.hears(word.heard.min(revision));
        let Some(news) = word.news else { return self.tell_if_free(now, from) };
        let (begun, ended) = peer.take_in(word.revision, &news);
        let heard = peer.said;
        for (event, _) in &ended {
            let awaited = self.awaited.get(event).is_some_and(|nodes| nodes.contains(&peer.node));
            peer.is_awaited(*event, awaited);
        }
        self.lose(from, ended);
        self.gain(from, begun);
        // Of what this life has let go nothing is lacking: who still waits for it has not heard the goodbye.
        let lacks = |event: &EventId| self.live.contains(event) && self.period(*event) == 0;
        let awaited: Vec<EventId> = news.awaited.into_iter().filter(lacks).collect();
        self.begin(now, awaited);
        let word = Word { revision: self.list.revision(), heard, news: None };
        self.turns.push_back(Turn::Tell { to: from, word });
        self.tell_if_free(now, from);
    }

    /// A peer carries events.
    fn gain(&mut self, peer: Origin, begun: Vec<EventId>) {
        for event in begun {
            self.carriers.entry(event).or_default().insert(peer);
            self.judge(event);
            if self.carries(event) {
                self.turns.extend(self.up(event, peer));
            }
        }
    }

    /// A peer carries events no longer, or is not there to.
    fn lose(&mut self, peer: Origin, ended: impl IntoIterator<Item = (EventId, Period)>) {
        for (event, period) in ended {
            if let Some(carriers) = self.carriers.get_mut(&event) {
                carriers.remove(&peer);
                if carriers.is_empty() {
                    self.carriers.remove(&event);
                }
            }
            self.judge(event);
            if self.carries(event) {
                self.turns.push_back(Turn::Down { event, peer, period });
            }
        }
    }

    fn is_full(&self) -> bool {
        self.carried().len() >= CARRIED_MAX
    }

    /// A peer that carries an event.
    fn up(&self, event: EventId, peer: Origin) -> Option<Turn> {
        let period = self.peer_period(peer, event)?;
        Some(Turn::Up { event, peer, period })
    }

    /// Looks anew whether an event is this node's affair.
    fn judge(&mut self, event: EventId) {
        self.work += 1;
        self.judge_spare(event);
        if self.lacking.contains(&event) && self.is_chosen(event) {
            self.chosen.insert(event);
        } else {
            self.chosen.remove(&event);
        }
    }

    /// The members have changed.
    fn judge_all(&mut self) {
        self.work += (self.lacking.len() + self.carried().len()) as u64;
        let chosen = self.lacking.iter().copied().filter(|event| self.is_chosen(*event));
        self.chosen = chosen.collect();
        let spare = self.carried().iter().copied().filter(|event| self.is_spare(*event));
        self.spare = spare.collect();
    }

    /// Begins what the members make this node's affair.
    fn choose(&mut self, now: Mono) {
        self.choice_due = None;
        if self.chosen.is_empty() || self.leaves || self.is_full() {
            return;
        }
        let are_few = !self.returned && self.peers.values().any(|peer| peer.few);
        if self.is_unsettled(now) && !self.all && !are_few {
            self.choice_due = Some((self.seen_at + SETTLED).min(YOUNG));
            return;
        }
        self.begin(now, self.chosen.clone());
    }

    /// Whether this node's view of the members may still fill.
    fn is_unsettled(&self, now: Mono) -> bool {
        now < YOUNG && now < self.seen_at + SETTLED
    }

    /// Whether an event is this node's affair whoever comes for it.
    fn is_chosen(&self, event: EventId) -> bool {
        if self.broken.contains(&event) {
            return false;
        }
        if self.all {
            return true;
        }
        if !self.carriers.contains_key(&event) {
            return false;
        }
        if self.living.len() < EVERYBODY {
            return true;
        }
        let weight = |node: NodeId| (rendezvous(event.0, 0, node), node);
        let mine = weight(self.me);
        let better = self.staying.iter().filter(|node| weight(**node) < mine);
        self.staying.contains(&self.me) && better.take(CARRIERS).count() < CARRIERS
    }

    fn begin(&mut self, now: Mono, events: impl IntoIterator<Item = EventId>) {
        let mut fresh = Vec::new();
        for event in events {
            self.work += 1;
            if !self.carries(event) && self.why_not(event).is_none() {
                crdt_state::sometimes!(EventBegunAgain, self.list.period(event) > 0);
                self.list.begin(event);
                self.lacking.remove(&event);
                self.chosen.remove(&event);
                self.judge_spare(event);
                fresh.push(event);
            }
        }
        self.turns.extend(fresh.iter().map(|event| Turn::Begin { event: *event }));
        self.tell_news(now);
        fresh.into_iter().for_each(|event| self.meet(event));
    }

    /// What carries an event here from now on hears of the peers that do.
    fn meet(&mut self, event: EventId) {
        let up: Vec<Turn> = self.carriers(event).filter_map(|peer| self.up(event, peer)).collect();
        self.turns.extend(up);
    }

    fn end(&mut self, now: Mono, archived: BTreeSet<EventId>) {
        for event in archived {
            self.work += 1;
            self.archived.insert(event);
            self.live.remove(&event);
            self.lacking.remove(&event);
            self.chosen.remove(&event);
            if self.carries(event) {
                self.cease(event);
                self.turns.push_back(Turn::End { event });
            }
            self.list.forget_periods(event);
        }
        self.tell_news(now);
    }

    fn on_broken(&mut self, now: Mono, event: EventId) {
        if !self.carries(event) {
            return;
        }
        self.cease(event);
        self.broken.insert(event);
        self.turns.push_back(Turn::Abandon { event });
        self.tell_news(now);
    }

    fn cease(&mut self, event: EventId) {
        self.list.end(event);
        self.spare.remove(&event);
        self.going.remove(&event);
        if self.live.contains(&event) {
            self.lacking.insert(event);
        }
        self.awaited.remove(&event);
        self.peers.values_mut().for_each(|peer| peer.is_awaited(event, false));
    }

    /// The list may have changed: whoever has heard all that it was told hears it.
    fn tell_news(&mut self, now: Mono) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_if_free(now, peer);
        }
    }

    fn tell_if_free(&mut self, now: Mono, to: Origin) {
        let Some(peer) = self.peers.get(&to) else { return };
        if peer.is_free() && peer.heard < self.list.revision() {
            self.tell(now, to);
        }
    }

    fn tell_again(&mut self, now: Mono) {
        let revision = self.list.revision();
        let is_late = |peer: &Peer| peer.due(revision).is_some_and(|due| due <= now);
        let late = self.peers.iter().filter(|(_, peer)| is_late(peer));
        for peer in late.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.tell(now, peer);
        }
    }

    /// Whether fewer than `EVERYBODY` nodes live, a peer counted, as far as this node can say.
    fn are_few(&self, now: Mono, peer: NodeId) -> bool {
        let living = self.living.len() + usize::from(!self.living.contains(&peer));
        living < EVERYBODY && !(self.returned && self.is_unsettled(now))
    }

    fn tell(&mut self, now: Mono, to: Origin) {
        let Some(peer) = self.peers.get(&to) else { return };
        let (revision, mut news) = self.list.since(peer.heard);
        news.awaited = peer.unmet.iter().take(AWAITED_MAX).copied().collect();
        news.few = self.are_few(now, peer.node);
        let changes = news.begun.len() + news.again.len() + news.ended.len();
        self.work += (changes + news.awaited.len()) as u64;
        let word = Word { revision, heard: peer.said, news: Some(news) };
        self.turns.push_back(Turn::Tell { to, word });
        let newest = self.list.revision();
        self.peers.entry(to).and_modify(|peer| peer.is_told(now, revision, newest));
    }
}

#[cfg(test)]
mod tests;
