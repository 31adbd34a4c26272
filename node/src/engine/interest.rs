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
//! - if others wait for it: a carrier tells whoever has lost its store that a former life of it took part.
//!
//! What no peer in reach carries is not begun for the members' sake: there would be nothing to fetch. So who is cut
//! off, or has just started, does not take all events for its own because it sees nobody else.
//!
//! A node that leaves the cluster begins nothing any more: nobody would hear its goodbye.
//!
//! It carries the event until that is archived: others may count on what it holds, and only it knows what that is.
//!
//! Peers tell each other what they carry in whole lists, which are numbered and repeated until they are heard. A word
//! that is lost, doubled or overtaken changes nothing but the time that it takes. A node's list leaves before its
//! first heads of a new event, on the same stream.

use super::director::rendezvous;
use crdt_state::{EventId, Mono, NodeId, Origin};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Nodes that carry an event whoever comes for it: 3, so that two may be lost at once.
pub const CARRIERS: usize = 3;
/// From so many nodes on not every node carries every event.
pub const EVERYBODY: usize = CARRIERS + 1;
/// A list that was not confirmed is told again after this: 250 ms, as often as heads are exchanged.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a node is young: its view of the members still fills. Arbitrary, far above what that takes.
const YOUNG: Duration = Duration::from_secs(5);
/// A young node chooses once its view has not changed for so long, or a peer says that they are few: 750 ms, three
/// rounds of gossip.
const SETTLED: Duration = Duration::from_millis(750);
/// Events in one list: 32,768, which fit a frame. Beyond it a node is known to carry those with the lowest ids only.
const LISTED_MAX: usize = 1 << 15;

/// What one node tells another of what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The number of the sender's list.
    pub revision: u64,
    /// The number of the newest list of the receiver's that the sender has; 0 if none.
    pub heard: u64,
    /// The list; nothing in a mere confirmation.
    pub events: Option<Vec<EventId>>,
    /// Events in which others wait for the receiver's node.
    pub awaited: Vec<EventId>,
    /// Whether fewer than `EVERYBODY` nodes live in the sender's view, the receiver counted.
    pub few: bool,
}

/// The version of the vocabulary.
const PROTOCOL: u8 = 1;

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
        let events = word.events.as_deref().unwrap_or_default();
        let longest = events.len().max(word.awaited.len());
        let is_sound = rest.is_empty() && word.revision > 0 && longest <= LISTED_MAX;
        is_sound.then_some(word)
    }
}

/// What the world tells the interest of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heed {
    /// The events of the catalogue for which players may come, and those whose state is gone for good.
    Listed {
        /// The former.
        live: BTreeSet<EventId>,
        /// The latter.
        archived: BTreeSet<EventId>,
    },
    /// The nodes that live, this one included.
    Seen {
        /// All of them.
        living: BTreeSet<NodeId>,
        /// Those that take players.
        staying: BTreeSet<NodeId>,
    },
    /// Somebody has come for an event.
    Wanted {
        /// Which.
        event: EventId,
    },
    /// The nodes for which an event that is carried here waits.
    Awaited {
        /// Which event.
        event: EventId,
        /// The nodes that take part in it.
        nodes: BTreeSet<NodeId>,
    },
    /// A peer is connected; if it already was, over a new link.
    PeerUp {
        /// The peer.
        peer: Origin,
        /// The node that it is an incarnation of.
        node: NodeId,
    },
    /// A peer is no longer connected.
    PeerDown {
        /// The peer.
        peer: Origin,
    },
    /// A peer said something.
    Word {
        /// The peer, as its link proved it.
        from: Origin,
        /// What it said.
        word: Word,
    },
    /// This node leaves the cluster: nobody is to wait for it in one event more.
    Leaving,
    /// The time of [`Interest::poll_timeout`] has come.
    Timeout,
}

/// What the interest of a node tells the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Carry this event from now on.
    Begin {
        /// Which.
        event: EventId,
    },
    /// Drop this event as one.
    End {
        /// Which.
        event: EventId,
    },
    /// A connected peer carries an event that this node carries too; if it already did, over a new link.
    Up {
        /// Which.
        event: EventId,
        /// The peer.
        peer: Origin,
    },
    /// A peer is no longer connected, or no longer carries the event.
    Down {
        /// Which.
        event: EventId,
        /// The peer.
        peer: Origin,
    },
    /// Tell a peer; it may be lost.
    Tell {
        /// Whom.
        to: Origin,
        /// What.
        word: Word,
    },
}

/// A connected peer.
#[derive(Debug)]
struct Peer {
    node: NodeId,
    carried: BTreeSet<EventId>,
    /// The number of the list that this is.
    said: u64,
    /// The number of our list that it has.
    heard: u64,
    told_at: Mono,
    /// As it says.
    few: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Interest {
    me: NodeId,
    /// Whether this node carries every event.
    all: bool,
    live: BTreeSet<EventId>,
    living: BTreeSet<NodeId>,
    staying: BTreeSet<NodeId>,
    /// When the set of living nodes last changed.
    seen_at: Mono,
    carried: BTreeSet<EventId>,
    /// For which nodes each of these waits.
    awaited: BTreeMap<EventId, BTreeSet<NodeId>>,
    /// The number of the list of these.
    revision: u64,
    peers: BTreeMap<Origin, Peer>,
    /// Whether it comes back to a cluster, with events in its store: how few it sees at first says nothing.
    returned: bool,
    /// Whether it leaves, and begins nothing any more.
    leaves: bool,
    turns: VecDeque<Turn>,
}

impl Interest {
    /// Of a node that carries what its store has.
    #[must_use]
    pub fn new(me: NodeId, kept: impl IntoIterator<Item = EventId>) -> Self {
        let carried: BTreeSet<EventId> = kept.into_iter().collect();
        Interest {
            me,
            all: false,
            live: BTreeSet::new(),
            living: BTreeSet::from([me]),
            staying: BTreeSet::from([me]),
            seen_at: Mono::ZERO,
            returned: !carried.is_empty(),
            carried,
            awaited: BTreeMap::new(),
            revision: 1,
            peers: BTreeMap::new(),
            leaves: false,
            turns: VecDeque::new(),
        }
    }

    /// Carries every event from here on, however many nodes live: behind a broker players of every show come to
    /// every node, each to those who hold its slot, and the one who holds slot 0 speaks for all shows.
    pub fn carry_all(&mut self) {
        self.all = true;
    }

    /// Takes in one fact; what follows waits in [`Interest::poll_turn`].
    pub fn handle(&mut self, now: Mono, heed: Heed) {
        match heed {
            Heed::Listed { live, archived } => {
                self.live = live;
                self.end(now, &archived);
            }
            Heed::Seen { living, staying } => {
                if living != self.living {
                    self.seen_at = now;
                }
                (self.living, self.staying) = (living, staying);
            }
            Heed::Wanted { event } => self.begin(now, &BTreeSet::from([event])),
            Heed::Awaited { event, nodes } => {
                let known = self.awaited.get(&event);
                if !self.carried.contains(&event) || known == Some(&nodes) {
                    return;
                }
                self.awaited.insert(event, nodes);
                // It is no reason to choose anew: this is told of every event, each second.
                return self.tell_again(now);
            }
            Heed::PeerUp { peer, node } => self.on_peer_up(now, peer, node),
            Heed::PeerDown { peer } => self.on_peer_down(peer),
            Heed::Word { from, word } => self.on_word(now, from, word),
            Heed::Leaving => self.leaves = true,
            Heed::Timeout => {}
        }
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
        let unheard = self.peers.values().filter(|peer| self.has_to_be_told(peer));
        let settled = self.waits_to_choose().then(|| (self.seen_at + SETTLED).min(YOUNG));
        unheard.map(|peer| peer.told_at + AGAIN).chain(settled).min()
    }

    /// Whether this node carries an event.
    #[must_use]
    pub fn carries(&self, event: EventId) -> bool {
        self.carried.contains(&event)
    }

    /// What this node carries.
    #[must_use]
    pub fn carried(&self) -> &BTreeSet<EventId> {
        &self.carried
    }

    /// The connected peers that are known to carry an event.
    pub fn carriers(&self, event: EventId) -> impl Iterator<Item = Origin> {
        let carriers = self.peers.iter().filter(move |(_, peer)| peer.carried.contains(&event));
        carriers.map(|(peer, _)| *peer)
    }

    /// Everything that must hold between any two inputs.
    ///
    /// # Panics
    /// If it does not: a bug of this module.
    pub fn check_invariants(&self) {
        let bounded = |peer: &Peer| peer.carried.len() <= LISTED_MAX;
        assert!(self.peers.values().all(bounded), "what a peer can make us keep is bounded");
        let known = |peer: &Peer| peer.heard <= self.revision;
        assert!(self.peers.values().all(known), "no peer has heard what was not said");
    }

    fn on_peer_up(&mut self, now: Mono, peer: Origin, node: NodeId) {
        let carried = BTreeSet::new();
        let fresh = Peer { node, carried, said: 0, heard: 0, told_at: now, few: false };
        let known = self.peers.entry(peer).or_insert(fresh);
        known.heard = 0;
        let shared: Vec<EventId> = known.carried.intersection(&self.carried).copied().collect();
        self.tell(now, peer);
        self.turns.extend(shared.into_iter().map(|event| Turn::Up { event, peer }));
    }

    fn on_peer_down(&mut self, peer: Origin) {
        let Some(gone) = self.peers.remove(&peer) else { return };
        let shared = gone.carried.intersection(&self.carried);
        self.turns.extend(shared.map(|event| Turn::Down { event: *event, peer }));
    }

    fn on_word(&mut self, now: Mono, from: Origin, word: Word) {
        let (revision, Some(peer)) = (self.revision, self.peers.get_mut(&from)) else { return };
        let awaited = word.awaited.into_iter().filter(|event| self.live.contains(event)).collect();
        // Less than was known is the word of one who has forgotten us, or an old one: it costs a repetition.
        peer.heard = word.heard.min(revision);
        let Some(events) = word.events else { return };
        self.begin(now, &awaited);
        let (revision, Some(peer)) = (self.revision, self.peers.get_mut(&from)) else { return };
        peer.few = word.few;
        if word.revision > peer.said {
            peer.said = word.revision;
            let said: BTreeSet<EventId> = events.into_iter().take(LISTED_MAX).collect();
            let before = std::mem::replace(&mut peer.carried, said);
            let shared = |events: &BTreeSet<EventId>, but: &BTreeSet<EventId>| {
                let fresh = events.difference(but).copied();
                fresh.filter(|event| self.carried.contains(event)).collect::<Vec<_>>()
            };
            let (ended, begun) = (shared(&before, &peer.carried), shared(&peer.carried, &before));
            self.turns.extend(ended.into_iter().map(|event| Turn::Down { event, peer: from }));
            self.turns.extend(begun.into_iter().map(|event| Turn::Up { event, peer: from }));
        }
        let heard = peer.said;
        let word = Word { revision, heard, events: None, awaited: Vec::new(), few: false };
        self.turns.push_back(Turn::Tell { to: from, word });
    }

    /// Begins what the members make this node's affair.
    fn choose(&mut self, now: Mono) {
        let are_few = !self.returned && self.peers.values().any(|peer| peer.few);
        if self.is_unsettled(now) && !self.all && !are_few {
            return;
        }
        let lacking = self.live.difference(&self.carried).copied();
        let chosen: BTreeSet<EventId> = lacking.filter(|event| self.is_chosen(*event)).collect();
        self.begin(now, &chosen);
    }

    /// Whether this node's view of the members may still fill.
    fn is_unsettled(&self, now: Mono) -> bool {
        now < YOUNG && now < self.seen_at + SETTLED
    }

    /// Whether a choice waits for this node's view of the members.
    fn waits_to_choose(&self) -> bool {
        let mut lacking = self.live.difference(&self.carried);
        !self.leaves && lacking.any(|event| self.is_chosen(*event))
    }

    /// Whether an event is this node's affair whoever comes for it.
    fn is_chosen(&self, event: EventId) -> bool {
        if self.all {
            return true;
        }
        if self.carriers(event).next().is_none() {
            return false;
        }
        if self.living.len() < EVERYBODY {
            return true;
        }
        let weight = |node: NodeId| (rendezvous(event.0, 0, node), node);
        let better = self.staying.iter().filter(|node| weight(**node) < weight(self.me));
        self.staying.contains(&self.me) && better.count() < CARRIERS
    }

    fn begin(&mut self, now: Mono, events: &BTreeSet<EventId>) {
        if self.leaves {
            return;
        }
        let fresh: Vec<EventId> = events.difference(&self.carried).copied().collect();
        if fresh.is_empty() {
            return;
        }
        self.turns.extend(fresh.iter().map(|event| Turn::Begin { event: *event }));
        self.carried.extend(&fresh);
        self.tell_all(now);
        for event in fresh {
            let carriers: Vec<Origin> = self.carriers(event).collect();
            self.turns.extend(carriers.into_iter().map(|peer| Turn::Up { event, peer }));
        }
    }

    fn end(&mut self, now: Mono, archived: &BTreeSet<EventId>) {
        let over: Vec<EventId> = self.carried.intersection(archived).copied().collect();
        if over.is_empty() {
            return;
        }
        self.carried.retain(|event| !archived.contains(event));
        self.awaited.retain(|event, _| !archived.contains(event));
        self.turns.extend(over.into_iter().map(|event| Turn::End { event }));
        self.tell_all(now);
    }

    /// The list has changed: everybody hears it.
    fn tell_all(&mut self, now: Mono) {
        self.revision += 1;
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell(now, peer);
        }
    }

    fn tell_again(&mut self, now: Mono) {
        let is_late = |peer: &Peer| self.has_to_be_told(peer) && peer.told_at + AGAIN <= now;
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

    /// Whether a peer lacks our newest list, or does not carry what it is awaited in.
    fn has_to_be_told(&self, peer: &Peer) -> bool {
        peer.heard < self.revision || self.awaits(peer).next().is_some()
    }

    fn awaits(&self, peer: &Peer) -> impl Iterator<Item = EventId> {
        let of_node = self.awaited.iter().filter(|(_, nodes)| nodes.contains(&peer.node));
        of_node.map(|(event, _)| *event).filter(|event| !peer.carried.contains(event))
    }

    fn tell(&mut self, now: Mono, to: Origin) {
        let Some(peer) = self.peers.get(&to) else { return };
        let word = Word {
            revision: self.revision,
            heard: peer.said,
            events: Some(self.carried.iter().take(LISTED_MAX).copied().collect()),
            awaited: self.awaits(peer).take(LISTED_MAX / 4).collect(),
            few: self.are_few(now, peer.node),
        };
        self.turns.push_back(Turn::Tell { to, word });
        self.peers.entry(to).and_modify(|peer| peer.told_at = now);
    }
}

#[cfg(test)]
mod tests;
