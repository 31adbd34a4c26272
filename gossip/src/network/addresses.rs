//! The address book: where nodes were ever seen, and when to dial them next.
//!
//! An address at which a node was ever found stays until its member left, was forgotten, or moved;
//! seeds stay for ever; what was only ever heard of stays for as long as somebody goes on naming
//! it. Whatever no link covers is dialled, with a wait that doubles from failure to failure, so that
//! a partition of any length heals by itself. A full book makes room by dropping who was named
//! longest ago. A pure state machine: time and jitter are arguments.
//!
//! A dial holds a QUIC connection until it has failed, so there are never many at once. Addresses
//! where nobody has answered for a while, and of whose nodes gossip does not hear either, share the
//! least part of them and take turns: nodes that will never come back cost the same however many
//! they are. The few of them that were named last are spared that, so that a partition heals as
//! fast beside a thousand dead as beside none.
//!
//! It is looked at when a dial has ended, when somebody was named, and when the time of an address has come for whose
//! dial there is room: where there is none nothing but a dial's end can change that.

use crdt_state::{NodeId, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Addresses remembered at most. Arbitrary: thirty times the nodes that replicate one event.
const ADDRESSES_MAX: usize = 1_024;

/// An address where nobody ever answered is dropped so long after it was last named: 10 minutes,
/// longer than any node takes to start.
const CANDIDATE_PATIENCE: Duration = Duration::from_secs(600);

/// Dials in progress at once. Twice the nodes that replicate one event.
pub(super) const DIALS_MAX: usize = 64;

/// Of those, how many may be to addresses that are lost. With all of the book lost and a dial
/// taking its full 3 s, each has its turn within seven minutes.
pub(super) const LOST_DIALS_MAX: usize = 8;

/// So many addresses without a link, those that were named last, do not count as lost. Arbitrary:
/// the far side of a partition of a large cluster needs one of its nodes found, which tells of all.
const HOPEFUL: usize = 8;

/// Whoever was named within a minute is never dropped to make room.
const RECENT: Duration = Duration::from_secs(60);

/// What is known of one address.
#[derive(Debug)]
struct Address {
    /// Seeds are never dropped.
    seed: bool,
    /// A node was found here once, in this life or a former one.
    kept: bool,
    /// When somebody last named it: configuration, discovery, gossip or the node itself.
    named: Instant,
    /// The member that advertises it.
    node: Option<NodeId>,
    /// Who answered there last, whatever address that node advertises.
    answered: Option<Origin>,
    /// Ours: never dialled.
    own: bool,
    /// Gossip hears of the member that advertises it.
    alive: bool,
    dialling: Option<Turn>,
    due: Instant,
    wait: Duration,
}

/// Which part of the dials one counts towards; the dearer one comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Hopeful,
    Lost,
}

impl Address {
    /// Whether nobody has answered for a while, and there is no reason to expect it.
    fn is_lost(&self, wait_max: Duration) -> bool {
        self.wait >= wait_max && !self.alive && !self.seed
    }

    /// Waits, and will wait twice as long the next time.
    fn put_off(&mut self, now: Instant, jitter: f64, wait_max: Duration) {
        self.due = now + self.wait.mul_f64(1.0 - jitter / 4.0);
        self.wait = (self.wait * 2).min(wait_max);
    }
}

/// A link that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct LostLink {
    /// What its peer advertises.
    pub(super) address: SocketAddr,
    pub(super) origin: Origin,
    pub(super) lived: Duration,
}

/// All addresses that might be a node's.
#[derive(Debug)]
pub(super) struct AddressBook {
    own: SocketAddr,
    wait_min: Duration,
    wait_max: Duration,
    addresses: BTreeMap<SocketAddr, Address>,
    /// Those that were named last, when the book was looked at last: of them somebody may come back at any moment.
    hopeful: BTreeSet<SocketAddr>,
}

impl AddressBook {
    /// An empty book of the node that advertises `own`.
    pub(super) fn new(own: SocketAddr, wait_min: Duration, wait_max: Duration) -> Self {
        let (addresses, hopeful) = (BTreeMap::new(), BTreeSet::new());
        AddressBook { own, wait_min, wait_max, addresses, hopeful }
    }

    /// Adds an address to be tried for ever; `false` when the book is full.
    pub(super) fn add_seed(&mut self, address: SocketAddr, now: Instant) -> bool {
        let entry = self.entry(address, now);
        entry.map(|entry| entry.seed = true).is_some() || address == self.own
    }

    /// Adds an address to be tried for as long as it goes on being named; `false` when full.
    pub(super) fn add_candidate(&mut self, address: SocketAddr, now: Instant) -> bool {
        self.entry(address, now).is_some() || address == self.own
    }

    /// Adds an address where a node was in a former life; `false` when the book is full.
    pub(super) fn add_remembered(&mut self, address: SocketAddr, now: Instant) -> bool {
        let entry = self.entry(address, now);
        entry.map(|entry| entry.kept = true).is_some() || address == self.own
    }

    /// Learns where a member is; its former address is dropped. `false` when the book is full.
    pub(super) fn learn(&mut self, address: SocketAddr, node: NodeId, now: Instant) -> bool {
        self.drop_where(|held, entry| entry.node == Some(node) && *held != address);
        let entry = self.entry(address, now);
        let known = entry.map(|entry| (entry.node, entry.kept) = (Some(node), true));
        known.is_some() || address == self.own
    }

    /// Stops dialling a node that left or was forgotten, where it is said to be and wherever else it answered.
    pub(super) fn forget(&mut self, node: NodeId, origin: Option<Origin>) {
        let answered = |entry: &Address| origin.is_some() && entry.answered == origin;
        self.drop_where(|_, entry| entry.node == Some(node) || answered(entry));
    }

    /// Learns of whose members gossip hears now: wherever else nobody answers may be lost.
    pub(super) fn note_alive(&mut self, alive: &BTreeSet<SocketAddr>) {
        for (address, entry) in &mut self.addresses {
            entry.alive = alive.contains(address);
        }
    }

    /// The addresses to dial now: due, not covered by a link to whoever is there, and not more than
    /// may be dialled at once; who has been due for longest comes first. Each counts as being
    /// dialled until [`answered`](Self::answered) or [`failed`](Self::failed) says more.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        covered: impl Fn(SocketAddr, Option<Origin>) -> bool,
    ) -> Vec<SocketAddr> {
        self.addresses.retain(|_, entry| {
            entry.seed || entry.kept || entry.own || entry.named + CANDIDATE_PATIENCE > now
        });
        if self.dialling() >= DIALS_MAX {
            return Vec::new();
        }
        let open = |address: &SocketAddr, entry: &Address| {
            !entry.own && !covered(*address, entry.answered)
        };
        self.hopeful = self.named_last(open);
        let waiting = self.addresses.iter().filter(|(address, entry)| {
            entry.dialling.is_none() && entry.due <= now && open(address, entry)
        });
        let waiting =
            waiting.map(|(address, entry)| (self.turn(address, entry), entry.due, *address));
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort();
        self.begin(waiting)
    }

    /// Begins as many dials as there is room for.
    fn begin(&mut self, waiting: Vec<(Turn, Instant, SocketAddr)>) -> Vec<SocketAddr> {
        let mut lost = LOST_DIALS_MAX.saturating_sub(self.lost_dials());
        let mut all = DIALS_MAX.saturating_sub(self.dialling());
        let mut due = Vec::new();
        for (turn, _, address) in waiting {
            let room = if turn == Turn::Lost { lost.min(all) } else { all };
            if room == 0 {
                break;
            }
            (all, lost) = (all - 1, lost - usize::from(turn == Turn::Lost));
            self.addresses.entry(address).and_modify(|entry| entry.dialling = Some(turn));
            due.push(address);
        }
        crdt_state::bounded!(Dials, self.dialling(), DIALS_MAX);
        due
    }

    fn turn(&self, address: &SocketAddr, entry: &Address) -> Turn {
        let is_lost = entry.is_lost(self.wait_max) && !self.hopeful.contains(address);
        if is_lost { Turn::Lost } else { Turn::Hopeful }
    }

    fn named_last(&self, open: impl Fn(&SocketAddr, &Address) -> bool) -> BTreeSet<SocketAddr> {
        let open = self.addresses.iter().filter(|(address, entry)| open(address, entry));
        let mut named: Vec<_> = open.map(|(address, entry)| (entry.named, *address)).collect();
        named.sort_unstable_by(|one, other| other.cmp(one));
        named.into_iter().take(HOPEFUL).map(|(_, address)| address).collect()
    }

    fn lost_dials(&self) -> usize {
        self.addresses.values().filter(|entry| entry.dialling == Some(Turn::Lost)).count()
    }

    /// When to look again, if no dial and no link ends before: the earliest future due time of an address for which
    /// there is room.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.dialling() >= DIALS_MAX {
            return None;
        }
        let has_room = self.lost_dials() < LOST_DIALS_MAX;
        let waits = |(address, entry): &(&SocketAddr, &Address)| {
            let is_idle = !entry.own && entry.dialling.is_none() && entry.due > now;
            is_idle && (has_room || self.turn(address, entry) == Turn::Hopeful)
        };
        self.addresses.iter().filter(waits).map(|(_, entry)| entry.due).min()
    }

    /// A node answered at `address`. The waits start anew only once a link has lasted.
    pub(super) fn answered(&mut self, address: SocketAddr, origin: Origin, now: Instant) {
        if let Some(entry) = self.addresses.get_mut(&address) {
            (entry.answered, entry.dialling) = (Some(origin), None);
            (entry.kept, entry.named) = (true, now);
            entry.due = now + self.wait_min;
        }
    }

    /// It was this node itself that answered at `address`.
    pub(super) fn is_own(&mut self, address: SocketAddr) {
        if let Some(entry) = self.addresses.get_mut(&address) {
            (entry.own, entry.dialling) = (true, None);
        }
    }

    /// Nobody answered at `address`, or somebody unwanted. `jitter` in 0..1 spreads the redials
    /// of all nodes over a quarter of the wait.
    pub(super) fn failed(&mut self, address: SocketAddr, now: Instant, jitter: f64) {
        let wait_max = self.wait_max;
        if let Some(entry) = self.addresses.get_mut(&address) {
            entry.dialling = None;
            entry.put_off(now, jitter, wait_max);
        }
    }

    /// A link ended: whatever led to it is dialled soon if the link had lasted, and like a failed
    /// dial if it had not, so that two nodes that cannot get along do not do so ever faster.
    /// `jitter` in 0..1 keeps the two ends from dialling each other at the same instant.
    pub(super) fn lost(&mut self, link: LostLink, now: Instant, jitter: f64) {
        let lasted = link.lived >= self.wait_max;
        for (held, entry) in &mut self.addresses {
            if *held != link.address && entry.answered != Some(link.origin) {
                continue;
            }
            if lasted {
                (entry.wait, entry.due) = (self.wait_min, now + self.wait_min.mul_f64(jitter));
            } else {
                entry.put_off(now, jitter, self.wait_max);
            }
        }
    }

    /// Every address in the book, but one's own.
    pub(super) fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().filter(|(_, entry)| !entry.own).map(|(address, _)| *address)
    }

    /// How many are being dialled.
    pub(super) fn dialling(&self) -> usize {
        self.addresses.values().filter(|entry| entry.dialling.is_some()).count()
    }

    /// Those where a node was found.
    pub(super) fn kept(&self) -> impl Iterator<Item = SocketAddr> {
        let kept = self.addresses.iter().filter(|(_, entry)| entry.kept && !entry.own);
        kept.map(|(address, _)| *address)
    }

    fn entry(&mut self, address: SocketAddr, now: Instant) -> Option<&mut Address> {
        if address == self.own {
            return None;
        }
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.make_room(now)?;
        }
        crdt_state::bounded!(Addresses, self.addresses.len(), ADDRESSES_MAX);
        let wait = self.wait_min;
        let entry = self.addresses.entry(address).or_insert_with(|| Address {
            seed: false,
            kept: false,
            named: now,
            node: None,
            answered: None,
            own: false,
            alive: false,
            dialling: None,
            due: now,
            wait,
        });
        entry.named = now;
        Some(entry)
    }

    /// Drops who was named longest ago, strangers before nodes; `None` if all are of today.
    fn make_room(&mut self, now: Instant) -> Option<()> {
        let old = self.addresses.iter().filter(|(_, entry)| {
            !entry.seed && !entry.own && entry.dialling.is_none() && entry.named + RECENT <= now
        });
        let oldest = old.min_by_key(|(_, entry)| (entry.kept, entry.named));
        let oldest = oldest.map(|(address, _)| *address)?;
        self.addresses.remove(&oldest).map(drop)
    }

    fn drop_where(&mut self, unwanted: impl Fn(&SocketAddr, &Address) -> bool) {
        for (address, entry) in &mut self.addresses {
            if entry.seed && unwanted(address, entry) {
                entry.node = None;
            }
        }
        self.addresses.retain(|address, entry| !unwanted(address, entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(250);
    const MAX: Duration = Duration::from_secs(5);

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn book() -> (AddressBook, Instant) {
        (AddressBook::new(at(1), MIN, MAX), Instant::now())
    }

    fn due(book: &mut AddressBook, now: Instant) -> Vec<SocketAddr> {
        book.take_due(now, |_, _| false)
    }

    #[test]
    fn an_address_is_dialled_once_at_a_time_and_ever_less_often() {
        let (mut book, mut now) = book();
        assert!(book.add_seed(at(2), now));
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(due(&mut book, now), [at(2)]);
            assert_eq!(due(&mut book, now + MAX), [], "a dial is in progress");
            book.failed(at(2), now, 0.0);
            let next = book.next_due(now).unwrap();
            waits.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    }

    #[test]
    fn a_covered_address_rests_until_its_link_is_lost() {
        let (mut book, now) = book();
        book.add_seed(at(2), now);
        assert_eq!(due(&mut book, now), [at(2)]);
        book.answered(at(2), Origin(7), now);
        let later = now + MAX;
        assert_eq!(book.take_due(later, |_, origin| origin == Some(Origin(7))), []);
        book.lost(lost(MAX), later, 0.5);
        assert_eq!(due(&mut book, later), []);
        assert_eq!(due(&mut book, later + MIN / 2), [at(2)]);
    }

    fn lost(lived: Duration) -> LostLink {
        LostLink { address: at(20), origin: Origin(7), lived }
    }

    #[test]
    fn links_that_break_at_once_are_tried_ever_less_often() {
        let (mut book, mut now) = book();
        book.add_seed(at(2), now);
        let mut waits = Vec::new();
        for lived in [MIN, MIN, MIN, MAX, MIN] {
            assert_eq!(due(&mut book, now), [at(2)]);
            book.answered(at(2), Origin(7), now);
            book.lost(lost(lived), now, 0.0);
            let wait = book.next_due(now).map_or(Duration::ZERO, |next| next - now);
            waits.push(wait.as_millis());
            now += wait;
        }
        assert_eq!(waits, [250, 500, 1_000, 0, 250]);
    }

    #[test]
    fn the_own_address_is_never_dialled() {
        let (mut book, now) = book();
        assert!(book.add_seed(at(1), now));
        book.add_seed(at(2), now);
        assert_eq!(due(&mut book, now), [at(2)]);
        book.is_own(at(2));
        assert_eq!(due(&mut book, now + MAX), []);
        assert_eq!(book.iter().count(), 0);
    }

    #[test]
    fn a_member_that_left_or_moved_is_dropped_and_a_seed_never_is() {
        let (mut book, now) = book();
        book.learn(at(2), NodeId(2), now);
        book.learn(at(3), NodeId(2), now);
        assert_eq!(book.iter().collect::<Vec<_>>(), [at(3)]);
        book.add_seed(at(4), now);
        book.learn(at(4), NodeId(4), now);
        book.add_candidate(at(5), now);
        book.answered(at(5), Origin(2), now);
        book.forget(NodeId(2), None);
        book.forget(NodeId(4), Some(Origin(4)));
        assert_eq!(book.iter().collect::<Vec<_>>(), [at(4), at(5)]);
        book.forget(NodeId(2), Some(Origin(2)));
        assert_eq!(book.iter().collect::<Vec<_>>(), [at(4)], "nor is it dialled where it answered");
    }

    #[test]
    fn an_address_that_nobody_names_or_answers_at_is_dropped_and_a_nodes_is_not() {
        let (mut book, now) = book();
        book.add_candidate(at(2), now);
        book.add_candidate(at(3), now);
        book.add_remembered(at(4), now);
        assert_eq!(due(&mut book, now), [at(2), at(3), at(4)]);
        book.answered(at(3), Origin(7), now);
        [at(2), at(4)].iter().for_each(|address| book.failed(*address, now, 0.0));
        assert_eq!(book.kept().collect::<Vec<_>>(), [at(3), at(4)]);
        assert_eq!(due(&mut book, now + CANDIDATE_PATIENCE), [at(3), at(4)]);
        assert_eq!(book.iter().count(), 2);
    }

    /// A book whose addresses were all tried in vain until they waited as long as they may.
    fn lost_book(ports: std::ops::Range<u16>) -> (AddressBook, Instant) {
        let (mut book, mut now) = book();
        for port in ports.clone() {
            now += Duration::from_millis(1);
            assert!(book.add_remembered(at(port), now));
        }
        for _ in ports.clone().chain(ports) {
            for address in due(&mut book, now) {
                book.failed(address, now, 0.0);
            }
            now += MAX;
        }
        (book, now)
    }

    #[test]
    fn lost_addresses_share_a_few_dials_and_each_has_its_turn() {
        let (mut book, mut now) = lost_book(2..102);
        let hopeful: Vec<_> = (94..102).map(at).collect();
        let mut rounds = BTreeMap::new();
        for _ in 0..24 {
            let dialled = due(&mut book, now);
            assert_eq!(dialled.len(), HOPEFUL + LOST_DIALS_MAX);
            assert_eq!(due(&mut book, now), [], "no more while these are under way");
            assert!(hopeful.iter().all(|address| dialled.contains(address)));
            now += MAX;
            for address in dialled {
                *rounds.entry(address).or_insert(0) += 1;
                book.failed(address, now, 0.0);
            }
            now += MAX;
        }
        let lost = rounds.iter().filter(|(address, _)| !hopeful.contains(address));
        let turns: Vec<_> = lost.map(|(_, rounds)| *rounds).collect();
        assert_eq!(turns.len(), 92);
        assert!(turns.iter().all(|turns| (2..=3).contains(turns)), "{turns:?}");
    }

    /// A dial takes 3 s; whoever looks after the book does when one ends, or when the book says.
    #[test]
    fn beside_a_thousand_dead_the_book_is_looked_at_for_a_dial_and_for_nothing_else() {
        let (mut book, mut now) = lost_book(2..1_002);
        let (end, taking) = (now + Duration::from_secs(300), Duration::from_secs(3));
        let (mut looks, mut dials) = (0, 0);
        let mut ending: BTreeMap<Instant, Vec<SocketAddr>> = BTreeMap::new();
        while now < end {
            looks += 1;
            let dialled = due(&mut book, now);
            dials += dialled.len();
            if !dialled.is_empty() {
                ending.entry(now + taking).or_default().extend(dialled);
            }
            let next = book.next_due(now).into_iter().chain(ending.keys().next().copied()).min();
            now = next.unwrap_or(end).max(now + Duration::from_millis(1));
            let later = ending.split_off(&(now + Duration::from_nanos(1)));
            for address in std::mem::replace(&mut ending, later).into_values().flatten() {
                let spread = f64::from(address.port() % 100) / 100.0;
                book.failed(address, now, spread);
            }
        }
        assert!(dials >= 800, "{dials} dials");
        assert!(looks <= 2 * dials, "{looks} looks for {dials} dials");
    }

    #[test]
    fn whoever_gossip_hears_of_waits_for_no_turn() {
        let (mut book, now) = lost_book(2..102);
        book.note_alive(&(2..32).map(at).collect());
        let dialled = due(&mut book, now);
        assert!((2..32).all(|port| dialled.contains(&at(port))), "{dialled:?}");
        assert_eq!(dialled.len(), 30 + HOPEFUL + LOST_DIALS_MAX);
    }

    #[test]
    fn there_are_never_more_dials_than_may_be() {
        let (mut book, now) = book();
        for port in 2..202 {
            assert!(book.add_seed(at(port), now));
        }
        let first = due(&mut book, now);
        assert_eq!((first.len(), book.dialling()), (DIALS_MAX, DIALS_MAX));
        book.failed(first[0], now, 0.0);
        let next = due(&mut book, now);
        assert_eq!(next.len(), 1);
        assert!(!first.contains(&next[0]), "whoever has not been tried comes first");
    }

    #[test]
    fn a_full_book_makes_room_for_news_by_dropping_who_was_named_longest_ago() {
        let (mut book, now) = book();
        for port in 2..2 + ADDRESSES_MAX as u16 {
            assert!(book.add_remembered(at(port), now));
        }
        let later = now + RECENT;
        book.learn(at(2), NodeId(2), later);
        assert!(book.learn(at(60_000), NodeId(1), later));
        let held: Vec<_> = book.iter().collect();
        assert_eq!(held.len(), ADDRESSES_MAX);
        assert!(held.contains(&at(2)) && held.contains(&at(60_000)) && !held.contains(&at(3)));
    }

    #[test]
    fn a_full_book_refuses_strangers_and_keeps_what_it_knows() {
        let (mut book, now) = book();
        for port in 2..2 + ADDRESSES_MAX as u16 {
            assert!(book.add_seed(at(port), now));
        }
        assert!(!book.learn(at(60_000), NodeId(1), now));
        assert!(book.add_seed(at(2), now));
    }
}
