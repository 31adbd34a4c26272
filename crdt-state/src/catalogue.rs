//! What every node knows of every event, so that any of them knows what a PIN means.
//!
//! A small lattice of its own: event ids with their PINs and titles, and how far each event is. It is
//! replicated by the same protocol as an event, under the reserved id [`CATALOGUE`].

use crate::caps;
use crate::delta::DecodeError;
use crate::id::{EventId, Lamport, Origin};
use crate::lattice::{Max, Pointwise};
use crate::named::Register;
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// The id under which the catalogue itself is replicated; no event ever has it.
pub const CATALOGUE: EventId = EventId(0);

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
    }
}

/// One change of the catalogue.
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
}

/// Every event that this cluster knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    listings: Pointwise<EventId, Listing>,
    lamport: Max<Lamport>,
}

/// The frame kind of a [`List`]; the catalogue has no other yet.
const LIST: (u32, u32) = (128, 1);

impl Catalogue {
    /// Takes in one entry.
    ///
    /// # Errors
    /// When it cannot be read; nothing has changed then.
    pub fn apply(&mut self, origin: Origin, entry: &[u8]) -> Result<List, DecodeError> {
        let list = decode(entry)?;
        self.take(origin, list.clone());
        Ok(list)
    }

    /// Takes in one change.
    pub fn take(&mut self, origin: Origin, list: List) {
        self.lamport.observe(list.lamport);
        let listing = self.listings.at(list.event);
        let mark = (list.lamport, origin);
        listing.pin.write(list.pin, mark);
        listing.title.write(list.title, mark);
        listing.class.observe(list.class);
    }

    /// An order hint larger than everything seen.
    #[must_use]
    pub fn next_lamport(&self) -> Lamport {
        self.lamport.0 + 1
    }

    /// The event behind a PIN: of several that bear it, the one with the lower id.
    #[must_use]
    pub fn find(&self, pin: &str) -> Option<EventId> {
        let bears = |(_, listing): &(&EventId, &Listing)| {
            listing.pin.value() == Some(pin) && listing.class.0 == Class::Live
        };
        self.listings.0.iter().find(bears).map(|(event, _)| *event)
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
            (event, words, listing.class.0).hash(&mut hash);
        }
        hash.finish()
    }
}

/// Writes an entry of the catalogue.
///
/// # Panics
/// Never: our own type always encodes into memory.
#[must_use]
pub fn encode(list: &List) -> Vec<u8> {
    postcard::to_stdvec(&(LIST, list)).expect("our own types always encode into memory")
}

fn decode(entry: &[u8]) -> Result<List, DecodeError> {
    let malformed = |what| DecodeError::Malformed { what };
    let ((kind, version), rest): ((u32, u32), &[u8]) = postcard::take_from_bytes(entry)
        .map_err(|_| malformed("a catalogue entry's head is cut short"))?;
    if (kind, version) != LIST {
        return Err(DecodeError::Unsupported { kind, version });
    }
    let list: List =
        postcard::from_bytes(rest).map_err(|_| malformed("a catalogue entry does not decode"))?;
    let fits = list.pin.len() <= caps::KEY_BYTES_MAX && list.title.len() <= 1_000;
    if !fits || list.event == CATALOGUE {
        return Err(malformed("a catalogue entry is beyond its caps"));
    }
    Ok(list)
}

impl CvRDT for Catalogue {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.listings.merge(other.listings);
        self.lamport.merge(other.lamport);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(event: u64, pin: &str, lamport: Lamport) -> List {
        let (pin, title) = (pin.to_owned(), "Show".to_owned());
        List { lamport, event: EventId(event), pin, title, class: Class::Live }
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

    #[test]
    fn an_entry_survives_its_bytes_and_a_foreign_one_is_named() {
        let mut catalogue = Catalogue::default();
        let entry = encode(&list(7, "111111", 5));
        assert_eq!(catalogue.apply(Origin(1), &entry), Ok(list(7, "111111", 5)));
        assert_eq!(catalogue.next_lamport(), 6);
        let unknown = catalogue.apply(Origin(1), &[9, 1]);
        assert_eq!(unknown, Err(DecodeError::Unsupported { kind: 9, version: 1 }));
    }
}
