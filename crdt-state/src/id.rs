//! Names of things: nodes, origins, lanes, events, players, rows.
//!
//! Every identifier that a node makes up is random and never reused; order among identifiers is
//! used only as the last tie-break, never as a meaning.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Elapsed time on one node's own monotonic clock, counted from that node's start.
///
/// Never compared across nodes. Resolution is at least a millisecond.
pub type Mono = Duration;

/// What has been seen: the newest sequence number of every lane (a version vector).
pub type Heads = crdts::VClock<LaneId>;

/// One entry's name: its lane and its number, contiguous from 1.
pub type Dot = crdts::Dot<LaneId>;

/// The text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}: expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
    /// The kind of identifier that was expected.
    pub wanted: &'static str,
    /// How many hexadecimal digits it has.
    pub digits: usize,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $digits:literal, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $repr);

        impl $name {
            /// How many hexadecimal digits its text has.
            pub const DIGITS: usize = $digits;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Names are written for each player's message; formatting a number takes several times as long.
                let mut digits = [0; $digits];
                for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
                    pair[0] = HEX[usize::from(byte >> 4)];
                    pair[1] = HEX[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": concat!($wanted, ": ", $digits, " hexadecimal digits"),
                    "type": "string",
                    "pattern": concat!("^[0-9a-f]{", $digits, "}$"),
                })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = || ParseIdError { text: text.into(), wanted: $wanted, digits: $digits };
                if text.len() != $digits || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                <$repr>::from_str_radix(text, 16).map(Self).map_err(|_| wrong())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
                } else {
                    <$repr>::deserialize(from).map(Self)
                }
            }
        }
    };
}

hex_id!(
    /// A node: one data directory, however often its process is started.
    NodeId, u64, 16, "a node id"
);
hex_id!(
    /// One incarnation of a node: a single writer. Random, new on every start without exception,
    /// so that no dot is ever used twice.
    Origin, u64, 16, "an origin"
);
/// Which of its times of carrying an event this is in a node's life, from 0: who lets go of an event and comes
/// back to it has nothing of it any more, and writes as somebody new.
pub type Period = u32;

impl Origin {
    /// The origin under which a life of a node writes in a period: its own in the first. Two are one in one case of
    /// 2^64, like any other two.
    #[must_use]
    pub fn in_period(self, period: Period) -> Origin {
        if period == 0 {
            return self;
        }
        // Steele, Lea, Flood, "Fast splittable pseudorandom number generators": one draw of SplitMix64.
        let mut z = self.0.wrapping_add(u64::from(period).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Origin(z ^ (z >> 31))
    }
}

hex_id!(
    /// A live show.
    EventId, u64, 16, "an event id"
);
hex_id!(
    /// A player. In an open show it is the client's own random number, which nobody can guess;
    /// it therefore also names the player's private inbox.
    PlayerId, u128, 32, "a player id"
);

hex_id!(
    /// A token that somebody else's platform issued: a hash of its issuer and its own id.
    TokenId, u128, 32, "a token id"
);

/// How many slots the players of an event are spread over.
pub const SLOTS: u16 = 256;
/// FNV-1a's, of 32 bits.
const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// The last four bytes of every player id that stands for somebody whom a platform vouches for. Ids that
/// clients make up never end so, which is why nobody can take such a player's id by knowing it.
const VOUCHED: u32 = 0xc105_ed1d;

impl PlayerId {
    /// The id of somebody whom a platform vouches for, from a hash of who that is.
    #[must_use]
    pub fn vouched(hash: u128) -> Self {
        PlayerId(hash >> 32 << 32 | u128::from(VOUCHED))
    }

    /// Whether only who proves to be this player may act as it.
    #[must_use]
    pub fn is_vouched(self) -> bool {
        self.0 as u32 == VOUCHED
    }

    /// The slot of this player: `hash(player id) mod SLOTS`, written as two hexadecimal digits in topics.
    ///
    /// The hash is FNV-1a of 32 bits over the id's text (draft-eastlake-fnv), with its second byte folded into its
    /// first as its authors advise for so few bits: three lines in any language, so that any client can name its own
    /// topics. It spreads ids that are not random as well, such as those that begin with the time.
    #[must_use]
    pub fn slot(self) -> u16 {
        let digit = |place: u32| b"0123456789abcdef"[(self.0 >> (4 * place)) as usize & 15];
        let add = |hash: u32, place| (hash ^ u32::from(digit(place))).wrapping_mul(FNV_PRIME);
        let hash = (0..32).rev().fold(FNV_BASIS, add);
        (hash >> 8 ^ hash) as u16 % SLOTS
    }
}

/// An order hint: larger than everything its writer had seen. Ties are broken by origin.
pub type Lamport = u64;

/// The two lanes that every origin writes per event. Neither needs the other to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Stages, flags, host commands, seals, enrolment.
    Control,
    /// Joins and answers.
    Bulk,
}

impl Lane {
    /// Both lanes, in the order in which they are sent.
    pub const ALL: [Lane; 2] = [Lane::Control, Lane::Bulk];
}

/// A lane of one origin: the unit of strict order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// Its only writer.
    pub origin: Origin,
    /// Which of the two.
    pub lane: Lane,
}

impl LaneId {
    /// The control lane of `origin`.
    #[must_use]
    pub fn control(origin: Origin) -> Self {
        LaneId { origin, lane: Lane::Control }
    }

    /// The bulk lane of `origin`.
    #[must_use]
    pub fn bulk(origin: Origin) -> Self {
        LaneId { origin, lane: Lane::Bulk }
    }
}

impl fmt::Debug for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = match self.lane {
            Lane::Control => "control",
            Lane::Bulk => "bulk",
        };
        write!(f, "{}/{lane}", self.origin)
    }
}

/// A player's dense place: given by the origin that first took the player.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The origin that numbered it.
    pub origin: Origin,
    /// Its index among that origin's rows, contiguous from 0.
    pub number: u32,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = PlayerId(0x2a00_0000_0000_0000_0000_0000_0000_0001);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 32);
    }

    /// What the documents' snippets and the pages say too.
    #[test]
    fn a_slot_is_the_hash_that_is_documented() {
        let slots = [
            ("00000000000000000000000000000000", 0x21),
            ("2a000000000000000000000000000001", 0xad),
            ("0123456789abcdef0123456789abcdef", 0xf8),
        ];
        for (text, slot) in slots {
            assert_eq!(text.parse::<PlayerId>().map(PlayerId::slot), Ok(slot), "{text}");
        }
    }

    #[test]
    fn players_are_spread_over_slots_however_their_ids_are_made() {
        let time: u128 = 0x0199_0000_0000_7000_8000 << 48;
        type Make = fn(u128) -> u128;
        let made: [(&str, Make); 4] = [
            ("counted", |n| n),
            ("counted in front", |n| n << 96),
            ("counted twice", |n| n << 64 | n),
            ("stands for a subject", |n| PlayerId::vouched(n << 77).0),
        ];
        let timed = (0..25_600).map(|n| time + ((n / 100) << 80) + n * 0x9e37_79b9);
        let all = made.into_iter().map(|(how, id)| (how, (0..25_600).map(id).collect()));
        let all: Vec<(_, Vec<u128>)> =
            all.chain([("begins with the time", timed.collect())]).collect();
        for (how, ids) in all {
            let mut counts = [0; SLOTS as usize];
            ids.into_iter().for_each(|id| counts[usize::from(PlayerId(id).slot())] += 1);
            assert!(counts.iter().all(|count| (50..150).contains(count)), "{how}: {counts:?}");
        }
    }

    #[test]
    fn a_life_writes_as_somebody_else_in_each_period_and_first_as_itself() {
        let lives = [Origin(1), Origin(2), Origin(u64::MAX)];
        let origins = lives.iter().flat_map(|life| (0..1_000).map(|period| life.in_period(period)));
        assert_eq!(origins.collect::<std::collections::BTreeSet<_>>().len(), 3_000);
        assert!(lives.iter().all(|life| life.in_period(0) == *life));
    }

    #[test]
    fn a_malformed_id_is_refused_with_what_was_expected() {
        let error = "12zz".parse::<EventId>().unwrap_err();
        assert!(error.to_string().contains("16 hexadecimal digits"), "{error}");
        assert!("+123456789abcdef".parse::<EventId>().is_err());
    }
}
