//! What every node knows of every event, so that any of them knows what a PIN means.
//!
//! A small lattice of its own: event ids with their PINs and titles, how far each event is and who may come
//! in, whom the whole cluster turns away, and which nodes are gone for good. It is replicated by the same protocol as an event, under the
//! reserved id [`CATALOGUE`].

use crate::caps;
use crate::delta::DecodeError;
use crate::engagement::script::Entry;
use crate::event::Beyond;
use crate::id::{EventId, Lamport, NodeId, Origin, PlayerId, TokenId};
use crate::lattice::{Max, Pointwise};
use crate::named::{Bounded, LastWrite, Register};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// The id under which the catalogue itself is replicated; no event ever has it.
pub const CATALOGUE: EventId = EventId(0);

/// The id under which peers tell each other which events they carry; no event ever has it.
pub const CARRIERS: EventId = EventId(u64::MAX);

/// How far an event is, as far as the catalogue cares. It only grows.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Class {
    /// Known by hearsay only.
    #[default]
    Unknown,
    /// Players may come.
    Live,
    /// Its state is gone; its id stays for good, so that it is never taken up again.
    Archived,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// What players type; a later write holds.
    pub pin: Register,
    /// Shown in lists.
    pub title: Register,
    /// How far it is.
    pub class: Max<Class>,
    /// Who may come in; it is never opened again once it was closed.
    pub entry: Max<Entry>,
}

impl CvRDT for Listing {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.pin.merge(other.pin);
        self.title.merge(other.title);
        self.class.merge(other.class);
        self.entry.merge(other.entry);
    }
}

/// One change of an event's listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// Which event; never [`CATALOGUE`].
    pub event: EventId,
    /// Its PIN.
    pub pin: String,
    /// Its title.
    pub title: String,
    /// How far it is.
    pub class: Class,
    /// Who may come in.
    pub entry: Entry,
}

/// Whom or what the whole cluster turns away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Suspect {
    /// A player, whatever proves it.
    Player(PlayerId),
    /// One token, whoever it proves.
    Token(TokenId),
}

/// Whether somebody is turned away.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Ban {
    /// No longer.
    #[default]
    Lifted,
    /// Yes.
    Holds,
}

/// Turns somebody away, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// Whom or what.
    pub suspect: Suspect,
    /// From now on.
    pub ban: Ban,
}

/// What has become of a node.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Fate {
    /// It is here, or will be: by its own word, if an operator had given it up.
    #[default]
    Awaited,
    /// An operator has given it up: no event is to wait for it.
    Gone,
}

/// Gives a node up, in all events; or says that it is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUp {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// Which node.
    pub node: NodeId,
    /// From now on.
    pub fate: Fate,
}

/// One change of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Of an event.
    List(List),
    /// Of somebody who is turned away.
    Revoke(Revoke),
    /// Of a node that is gone for good, or back.
    GiveUp(GiveUp),
}

impl From<List> for Notice {
    fn from(list: List) -> Self {
        Notice::List(list)
    }
}

impl From<Revoke> for Notice {
    fn from(revoke: Revoke) -> Self {
        Notice::Revoke(revoke)
    }
}

impl From<GiveUp> for Notice {
    fn from(word: GiveUp) -> Self {
        Notice::GiveUp(word)
    }
}

impl Notice {
    /// Gives it an order hint.
    pub fn set_lamport(&mut self, to: Lamport) {
        match self {
            Notice::List(list) => list.lamport = to,
            Notice::Revoke(revoke) => revoke.lamport = to,
            Notice::GiveUp(word) => word.lamport = to,
        }
    }
}

/// Every event that this cluster knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Catalogue {
    listings: Pointwise<EventId, Listing>,
    /// Who bears which PIN, derived: players ask for one far more often than it changes.
    #[serde(skip)]
    by_pin: BTreeMap<String, BTreeSet<EventId>>,
    /// A later word holds. Grows with everybody who was ever turned away.
    bans: Bounded<Suspect, LastWrite<Ban>, { caps::REVOKED_MAX }>,
    /// A later word holds.
    fates: Bounded<NodeId, LastWrite<Fate>, { caps::GIVEN_UP_MAX }>,
    lamport: Max<Lamport>,
}

/// A catalogue as it is written.
#[derive(Deserialize)]
struct Stored {
    listings: Pointwise<EventId, Listing>,
    bans: Bounded<Suspect, LastWrite<Ban>, { caps::REVOKED_MAX }>,
    fates: Bounded<NodeId, LastWrite<Fate>, { caps::GIVEN_UP_MAX }>,
    lamport: Max<Lamport>,
}

impl From<Stored> for Catalogue {
    fn from(stored: Stored) -> Self {
        let Stored { listings, bans, fates, lamport } = stored;
        let by_pin = by_pin(&listings);
        Catalogue { listings, by_pin, bans, fates, lamport }
    }
}

/// The index of a list: for each PIN that an event bears now, those that bear it.
fn by_pin(listings: &Pointwise<EventId, Listing>) -> BTreeMap<String, BTreeSet<EventId>> {
    let mut by_pin: BTreeMap<String, BTreeSet<EventId>> = BTreeMap::new();
    for (event, listing) in &listings.0 {
        if let Some(pin) = listing.pin.value() {
            by_pin.entry(pin.to_owned()).or_default().insert(*event);
        }
    }
    by_pin
}

/// The frame kind of a [`List`].
const LIST: (u32, u32) = (128, 2);
/// The frame kind of a [`Revoke`].
const REVOKE: (u32, u32) = (129, 1);
/// The frame kind of a [`GiveUp`].
const GIVE_UP: (u32, u32) = (130, 1);

impl Catalogue {
    /// Takes in one entry.
    ///
    /// # Errors
    /// When it cannot be read; nothing has changed then.
    pub fn apply(&mut self, origin: Origin, entry: &[u8]) -> Result<Notice, DecodeError> {
        let notice = decode(entry)?;
        self.take(origin, notice.clone());
        Ok(notice)
    }

    /// Takes in one change.
    pub fn take(&mut self, origin: Origin, notice: Notice) {
        match notice {
            Notice::List(list) => self.take_list(origin, list),
            Notice::Revoke(Revoke { lamport, suspect, ban }) => {
                self.lamport.observe(lamport);
                if let Some(held) = self.bans.at(suspect) {
                    held.write(ban, (lamport, origin));
                }
            }
            Notice::GiveUp(GiveUp { lamport, node, fate }) => {
                self.lamport.observe(lamport);
                if let Some(held) = self.fates.at(node) {
                    held.write(fate, (lamport, origin));
                }
            }
        }
    }

    fn take_list(&mut self, origin: Origin, list: List) {
        self.lamport.observe(list.lamport);
        let listing = self.listings.at(list.event);
        let mark = (list.lamport, origin);
        let before = listing.pin.value().map(str::to_owned);
        listing.pin.write(list.pin, mark);
        if let Some(pin) = listing.pin.value().filter(|pin| before.as_deref() != Some(*pin)) {
            self.by_pin.entry(pin.to_owned()).or_default().insert(list.event);
            if let Some(before) = before {
                drop_bearer(&mut self.by_pin, before, list.event);
            }
        }
        listing.title.write(list.title, mark);
        listing.class.observe(list.class);
        listing.entry.observe(list.entry);
    }

    /// Whether somebody or something is turned away.
    #[must_use]
    pub fn is_banned(&self, suspect: Suspect) -> bool {
        self.bans.get(&suspect).and_then(LastWrite::get) == Some(&Ban::Holds)
    }

    /// Everybody and everything that is turned away, in order.
    pub fn banned(&self) -> impl Iterator<Item = Suspect> {
        let holds = |(_, ban): &(&Suspect, &LastWrite<Ban>)| ban.get() == Some(&Ban::Holds);
        self.bans.iter().filter(holds).map(|(suspect, _)| *suspect)
    }

    /// The nodes that are given up, in order.
    pub fn given_up(&self) -> impl Iterator<Item = NodeId> {
        let is_gone = |(_, fate): &(&NodeId, &LastWrite<Fate>)| fate.get() == Some(&Fate::Gone);
        self.fates.iter().filter(is_gone).map(|(node, _)| *node)
    }

    /// What was not kept for want of room, in the order of [`BEYOND`](crate::event::BEYOND).
    #[must_use]
    pub fn beyond(&self) -> Beyond {
        [0, 0, 0, 0, 0, self.bans.beyond(), self.fates.beyond()]
    }

    /// Whether no other node can be given up.
    #[must_use]
    pub fn is_full_of_fates(&self) -> bool {
        self.fates.is_full()
    }

    /// Whether nobody else can be turned away.
    #[must_use]
    pub fn is_full_of_bans(&self) -> bool {
        self.bans.is_full()
    }

    /// An order hint larger than everything seen.
    #[must_use]
    pub fn next_lamport(&self) -> Lamport {
        self.lamport.0.saturating_add(1).min(caps::LAMPORT_MAX)
    }

    /// The event behind a PIN: of several that bear it, the one with the lower id.
    #[must_use]
    pub fn find(&self, pin: &str) -> Option<EventId> {
        let is_live = |event: &&EventId| {
            self.get(**event).is_some_and(|listing| listing.class.0 == Class::Live)
        };
        self.by_pin.get(pin)?.iter().find(is_live).copied()
    }

    /// One event.
    #[must_use]
    pub fn get(&self, event: EventId) -> Option<&Listing> {
        self.listings.0.get(&event)
    }

    /// Every event, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (EventId, &Listing)> {
        self.listings.0.iter().map(|(event, listing)| (*event, listing))
    }

    /// The canonical digest.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        self.lamport.0.hash(&mut hash);
        for (event, listing) in self.iter() {
            let words = (listing.pin.value(), listing.title.value());
            (event, words, listing.class.0, listing.entry.0).hash(&mut hash);
        }
        self.bans.hash(&mut hash);
        self.fates.hash(&mut hash);
        hash.finish()
    }
}

/// An event bears a PIN no more.
fn drop_bearer(by_pin: &mut BTreeMap<String, BTreeSet<EventId>>, pin: String, event: EventId) {
    if let Place::Occupied(mut bearers) = by_pin.entry(pin) {
        bearers.get_mut().remove(&event);
        if bearers.get().is_empty() {
            bearers.remove();
        }
    }
}

/// Writes an entry of the catalogue.
///
/// # Panics
/// Never: our own type always encodes into memory.
#[must_use]
pub fn encode(notice: &Notice) -> Vec<u8> {
    let bytes = match notice {
        Notice::List(list) => postcard::to_stdvec(&(LIST, list)),
        Notice::Revoke(revoke) => postcard::to_stdvec(&(REVOKE, revoke)),
        Notice::GiveUp(word) => postcard::to_stdvec(&(GIVE_UP, word)),
    };
    bytes.expect("our own types always encode into memory")
}

fn decode(entry: &[u8]) -> Result<Notice, DecodeError> {
    let malformed = |what| DecodeError::Malformed { what };
    let (head, rest): ((u32, u32), &[u8]) = postcard::take_from_bytes(entry)
        .map_err(|_| malformed("a catalogue entry's head is cut short"))?;
    let garbled = |_| malformed("a catalogue entry does not decode");
    let (notice, fits) = match head {
        LIST => {
            let list: List = postcard::from_bytes(rest).map_err(garbled)?;
            let fits = list.pin.len() <= caps::KEY_BYTES_MAX && list.title.len() <= 1_000;
            let fits = fits && list.event != CATALOGUE && list.event != CARRIERS;
            let fits = fits && list.lamport <= caps::LAMPORT_MAX;
            (Notice::List(list), fits)
        }
        REVOKE => {
            let revoke: Revoke = postcard::from_bytes(rest).map_err(garbled)?;
            let fits = revoke.lamport <= caps::LAMPORT_MAX;
            (Notice::Revoke(revoke), fits)
        }
        GIVE_UP => {
            let word: GiveUp = postcard::from_bytes(rest).map_err(garbled)?;
            let fits = word.lamport <= caps::LAMPORT_MAX;
            (Notice::GiveUp(word), fits)
        }
        (kind, version) => return Err(DecodeError::Unsupported { kind, version }),
    };
    if fits { Ok(notice) } else { Err(malformed("a catalogue entry is beyond its caps")) }
}

impl CvRDT for Catalogue {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.listings.merge(other.listings);
        self.by_pin = by_pin(&self.listings);
        self.bans.merge(other.bans);
        self.fates.merge(other.fates);
        self.lamport.merge(other.lamport);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(event: u64, pin: &str, lamport: Lamport) -> Notice {
        let (pin, title, entry) = (pin.to_owned(), "Show".to_owned(), Entry::Open);
        let event = EventId(event);
        Notice::List(List { lamport, event, pin, title, class: Class::Live, entry })
    }

    fn ban(suspect: Suspect, lamport: Lamport, ban: Ban) -> Notice {
        Notice::Revoke(Revoke { lamport, suspect, ban })
    }

    #[test]
    fn a_pin_taken_twice_stays_with_the_lower_event_until_the_other_moves() {
        let mut catalogue = Catalogue::default();
        catalogue.take(Origin(2), list(9, "123456", 1));
        catalogue.take(Origin(1), list(3, "123456", 1));
        assert_eq!(catalogue.find("123456"), Some(EventId(3)));
        catalogue.take(Origin(2), list(9, "654321", 2));
        assert_eq!(catalogue.find("654321"), Some(EventId(9)));
    }

    proptest! {
        #[test]
        fn a_pin_is_found_as_if_every_event_were_asked(
            lists in prop::collection::vec((1u64..4, 0u8..4, 1u64..9, any::<bool>()), 0..20),
            split in any::<prop::sample::Index>(),
        ) {
            let (mut one, mut other) = (Catalogue::default(), Catalogue::default());
            let at = split.index(lists.len() + 1);
            for (index, (event, pin, lamport, archived)) in lists.iter().enumerate() {
                let Notice::List(list) = list(*event, &pin.to_string(), *lamport) else { unreachable!() };
                let class = if *archived { Class::Archived } else { Class::Live };
                let half = if index < at { &mut one } else { &mut other };
                half.take(Origin(u64::from(*pin)), Notice::List(List { class, ..list }));
            }
            one.merge(other);
            let read: Catalogue = postcard::from_bytes(&postcard::to_stdvec(&one).unwrap()).unwrap();
            prop_assert_eq!(&read, &one);
            for pin in (0u8..4).map(|pin| pin.to_string()) {
                let bears = |(_, listing): &(EventId, &Listing)| {
                    listing.pin.value() == Some(&*pin) && listing.class.0 == Class::Live
                };
                let walked = one.iter().find(bears).map(|(event, _)| event);
                prop_assert_eq!(one.find(&pin), walked);
            }
        }
    }

    #[test]
    fn an_entry_survives_its_bytes_and_a_foreign_one_is_named() {
        let mut catalogue = Catalogue::default();
        let entry = encode(&list(7, "111111", 5));
        assert_eq!(catalogue.apply(Origin(1), &entry), Ok(list(7, "111111", 5)));
        assert_eq!(catalogue.next_lamport(), 6);
        let unknown = catalogue.apply(Origin(1), &[9, 1]);
        assert_eq!(unknown, Err(DecodeError::Unsupported { kind: 9, version: 1 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_entry_or_not_and_never_a_panic(
            kind in 0..5u32,
            version in 1..3u32,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut catalogue = Catalogue::default();
            let mut entry = postcard::to_stdvec(&(kind, version)).unwrap();
            entry.extend(&bytes);
            if let Ok(notice) = catalogue.apply(Origin(1), &entry) {
                prop_assert!(catalogue.next_lamport() <= caps::LAMPORT_MAX);
                let mut other = Catalogue::default();
                prop_assert_eq!(other.apply(Origin(1), &encode(&notice)), Ok(notice));
                prop_assert_eq!(other.digest(), catalogue.digest());
            }
            if let Ok(read) = postcard::from_bytes::<Catalogue>(&bytes) {
                catalogue.merge(read);
                catalogue.iter().for_each(drop);
                prop_assert!(catalogue.next_lamport() <= caps::LAMPORT_MAX);
            }
        }
    }

    proptest! {
        #[test]
        fn a_damaged_entry_or_catalogue_never_panics(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let damaged = |mut bytes: Vec<u8>| {
                for (at, with) in &damage {
                    let at = at.index(bytes.len());
                    bytes[at] = *with;
                }
                bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len() + 1)));
                bytes
            };
            let fate = GiveUp { lamport: 4, node: NodeId(3), fate: Fate::Gone };
            let words = [
                list(7, "111111", 2),
                ban(Suspect::Player(PlayerId(1)), 3, Ban::Holds),
                ban(Suspect::Token(TokenId(1)), 3, Ban::Lifted),
                Notice::GiveUp(fate),
            ];
            let mut whole = Catalogue::default();
            for word in words {
                let entry = encode(&word);
                whole.apply(Origin(1), &entry).unwrap();
                let mut other = whole.clone();
                if other.apply(Origin(2), &damaged(entry)).is_err() {
                    prop_assert_eq!(other.digest(), whole.digest());
                }
                prop_assert!(other.next_lamport() <= caps::LAMPORT_MAX);
            }
            if let Ok(read) = postcard::from_bytes::<Catalogue>(&damaged(postcard::to_stdvec(&whole).unwrap())) {
                whole.merge(read);
                let _ = (whole.digest(), whole.banned().count(), whole.given_up().count());
                let _ = whole.find("111111");
                prop_assert!(whole.next_lamport() <= caps::LAMPORT_MAX);
            }
        }
    }

    #[test]
    fn nobody_uses_all_order_hints_up() {
        let mut catalogue = Catalogue::default();
        let list = |lamport| encode(&list(7, "111111", lamport));
        let refused = catalogue.apply(Origin(1), &list(caps::LAMPORT_MAX + 1));
        assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "{refused:?}");
        assert_eq!(catalogue.next_lamport(), 1);
        catalogue.apply(Origin(1), &list(caps::LAMPORT_MAX)).unwrap();
        let next = list(catalogue.next_lamport());
        catalogue.apply(Origin(2), &next).expect("what comes next can be said");
    }

    #[test]
    fn a_show_that_was_closed_is_never_open_again() {
        let mut catalogue = Catalogue::default();
        let Notice::List(open) = list(7, "111111", 2) else { unreachable!() };
        let closed = List { lamport: 1, entry: Entry::Closed, ..open.clone() };
        catalogue.take(Origin(1), closed.into());
        catalogue.take(Origin(1), open.into());
        assert_eq!(catalogue.get(EventId(7)).map(|it| it.entry.0), Some(Entry::Closed));
    }

    #[test]
    fn a_node_is_given_up_until_it_says_that_it_is_back() {
        let word = |lamport, fate| Notice::GiveUp(GiveUp { lamport, node: NodeId(3), fate });
        let (mut one, mut other) = (Catalogue::default(), Catalogue::default());
        one.apply(Origin(1), &encode(&word(4, Fate::Gone))).unwrap();
        assert_eq!(one.given_up().collect::<Vec<_>>(), [NodeId(3)]);
        other.apply(Origin(2), &encode(&word(one.next_lamport(), Fate::Awaited))).unwrap();
        other.merge(one.clone());
        one.apply(Origin(2), &encode(&word(5, Fate::Awaited))).unwrap();
        assert_eq!((&one, one.digest()), (&other, other.digest()));
        assert_eq!(one.given_up().count(), 0, "whoever hears of it later does not give it up");
    }

    #[test]
    fn bans_meet_in_any_order_and_the_later_word_holds() {
        let (ada, token) = (Suspect::Player(PlayerId(1)), Suspect::Token(TokenId(1)));
        let words = [
            (Origin(1), ban(ada, 1, Ban::Holds)),
            (Origin(2), ban(ada, 2, Ban::Lifted)),
            (Origin(3), ban(token, 2, Ban::Holds)),
        ];
        let (mut one, mut other) = (Catalogue::default(), Catalogue::default());
        for (origin, word) in words.clone() {
            one.apply(origin, &encode(&word)).unwrap();
        }
        for (origin, word) in words.into_iter().rev() {
            let mut part = Catalogue::default();
            part.take(origin, word);
            other.merge(part);
        }
        assert_eq!((&one, one.digest()), (&other, other.digest()));
        assert!(!one.is_banned(ada) && one.is_banned(token));
        assert_eq!(one.banned().collect::<Vec<_>>(), [token]);
    }
}
