//! Flags, counters, sets, registers, maxima and minima by name, and the marks of single players.
//!
//! | kind | type | what wins when | carries | encoded B | heap B | not for |
//! |---|---|---|---|---|---|---|
//! | flag, enable wins | [`EnableWins`] | on and off at once: on | lobby lock, kicked players | 68 | 384 | what is dangerous when on |
//! | flag, disable wins | [`DisableWins`] | on and off at once: off | reactions and sound allowed | 68 | 384 | what is dangerous when off |
//! | flag, toggle | [`Toggle`] | the longer history; two who switch it the same way make one step | curtain, muted players | 2 | 0 | where one of two opposite presses must hold |
//! | counter, grow-only | `crdts::GCounter` | all count | reactions by kind | 37 | 192 | scores, which are folds; anything per player |
//! | counter, both ways | `crdts::PNCounter` | all count | mood: thumbs up less thumbs down | 38 | 192 | limits: it can pass any bound |
//! | set, grow-only | [`GrowOnly`] | every addition, for good | awards | 82 | 559 | what must be taken back |
//! | set, observed-remove | [`Bounded`] of [`EnableWins`] | an addition that the removal had not seen | co-hosts | 75 | 1197 | anything large or fast: a removed member leaves its vector |
//! | register, last write | [`LastWrite`] | the larger (Lamport, origin) | settings, names, extra time | 20 | 5 | what must not be lost: the other write is gone unseen |
//! | register, first write | [`FirstWrite`] | the smaller (Lamport, origin) | the show's owner | 20 | 5 | before all have met: an earlier write may still come |
//! | register, multi-value | [`MultiValue`] | nobody: both stay until a third write | the announcement | 86 | 663 | what a program must decide alone |
//! | maximum | [`Max`] | the larger | most players at once | 2 | 0 | what may fall |
//! | minimum | [`Min`] | the smaller | when the show began | 3 | 0 | what may rise |
//! | map | [`Names`], [`Bounded`] | as its values, key by key | all of the above | 9 | 373 | keys that come and go: none is ever removed |
//!
//! Encoded is one value that three origins have written, in a snapshot; heap is what it takes in memory
//! beyond its own place. Both are without its name, and texts are five letters; `tests/costs.rs` measures
//! them and holds this table to it.
//!
//! Counters and vectors are the `crdts` crate's; flags, sets and the multi-value register stand on one
//! kernel of ours, [`Causal`], which says why. Operations are applied only in strict lane order: on a gap
//! `crdts` silently loses the skipped operation.

pub(crate) mod bounded;
mod causal;
mod change;
mod flags;
mod people;
mod registers;
mod trail;

pub use bounded::{Bounded, GrowOnly};
pub use causal::{Causal, CausalOp};
pub use change::{
    AwardChange, Change, CountChange, FlagChange, MultiChange, NumberChange, RegisterChange,
    SetChange, ToggleChange,
};
pub use flags::{DisableWins, EnableWins, FlagOp, Toggle};
pub use people::{People, PlayerChange, PlayerMark};
pub use registers::{FirstWrite, LastWrite, Mark, MultiValue, MultiValueOp, Register};
pub use trail::{Note, Trail};

use crate::caps::{self, KEYS_MAX, MEMBERS_MAX};
use crate::id::{Origin, PlayerId};
use crate::lattice::{Max, Min};
use crdts::{CvRDT, Dot, GCounter, PNCounter, pncounter};
use people::apply;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Lattices by name.
pub type Names<V> = Bounded<String, V, KEYS_MAX>;

/// A set with removal: each member is a flag of its own.
pub type Members = Bounded<String, EnableWins, MEMBERS_MAX>;

/// Points that a host gave or took, beyond those of answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Award {
    /// Made up by whoever awards: an award that is sent again is the same award.
    pub id: String,
    /// To whom.
    pub player: PlayerId,
    /// How many; below zero takes.
    pub points: i32,
}

fn caps_hold(award: &Award) -> bool {
    let range = -caps::AWARD_POINTS_MAX..=caps::AWARD_POINTS_MAX;
    !award.id.is_empty() && award.id.len() <= caps::KEY_BYTES_MAX && range.contains(&award.points)
}

/// All that an event names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Named {
    /// Flags that are off at first: [`LOBBY_LOCK`].
    pub flags: Names<EnableWins>,
    /// Flags that are on at first: [`REACTIONS`], [`SOUND`].
    pub permits: Names<DisableWins>,
    /// Flags that are switched to and fro: [`CURTAIN`].
    pub toggles: Names<Toggle>,
    /// Counters that only grow: reactions by kind.
    pub totals: Names<GCounter<Origin>>,
    /// Counters that go both ways: [`MOOD`].
    pub counts: Names<PNCounter<Origin>>,
    /// Sets that only grow: awards by what they were for.
    pub awards: Names<GrowOnly<Award, MEMBERS_MAX>>,
    /// Sets with removal: [`CO_HOSTS`].
    pub sets: Names<Members>,
    /// Registers that the last write holds: [`TITLE`], [`SHOW_NAMES`], [`NAME_FILTER`],
    /// [`PLAYERS_MAX`], and [`OWNER`] once the show was taken over.
    pub settings: Names<Register>,
    /// Registers that the first write holds: [`OWNER`].
    pub firsts: Names<FirstWrite<String>>,
    /// Registers that keep conflicts: [`ANNOUNCEMENT`].
    pub multis: Names<MultiValue>,
    /// Maxima: [`PLAYERS_PEAK`].
    pub most: Names<Max<u64>>,
    /// Minima: [`BEGAN_MS`].
    pub least: Names<Min<u64>>,
    /// Marks of single players.
    pub people: People,
    /// The audit trail.
    pub trail: Trail,
}

/// The flag that keeps new players out.
pub const LOBBY_LOCK: &str = "lobby_lock";
/// The flag that lets players send reactions.
pub const REACTIONS: &str = "reactions";
/// The flag that lets the show's pages make sounds.
pub const SOUND: &str = "sound";
/// The toggle that hides the big screen.
pub const CURTAIN: &str = "curtain";
/// The counter of thumbs up less thumbs down.
pub const MOOD: &str = "mood";
/// The set of co-hosts.
pub const CO_HOSTS: &str = "co_hosts";
/// The setting that overrides the script's title.
pub const TITLE: &str = "title";
/// The setting whether players' names are on the big screen.
pub const SHOW_NAMES: &str = "show_names";
/// The setting whether bad words are kept out of names.
pub const NAME_FILTER: &str = "name_filter";
/// The setting that bounds how many players a node lets in.
pub const PLAYERS_MAX: &str = "players_max";
/// The registers of the show's owner: the first who said so, and the last who took it over.
pub const OWNER: &str = "owner";
/// The register of what hosts tell everybody.
pub const ANNOUNCEMENT: &str = "announcement";
/// The maximum of players who were in at once.
pub const PLAYERS_PEAK: &str = "players_peak";
/// The minimum of the calendars at which the lobby was opened: for display.
pub const BEGAN_MS: &str = "began_ms";

impl Named {
    /// Takes in a change that `origin` wrote.
    pub fn take(&mut self, origin: Origin, change: Change) {
        match change {
            Change::Flag(FlagChange { name, op }) => apply(self.flags.at(name), op),
            Change::Permit(FlagChange { name, op }) => apply(self.permits.at(name), op),
            Change::Toggle(change) => apply(self.toggles.at(change.name), change.length),
            Change::Total(NumberChange { name, value }) => {
                apply(self.totals.at(name), Dot::new(origin, value));
            }
            Change::Count(change) => {
                apply(self.counts.at(change.name.clone()), op_of(origin, &change));
            }
            Change::Award(AwardChange { name, award }) => apply(self.awards.at(name), award),
            Change::Member(SetChange { name, member, op }) => {
                apply(self.sets.at(name).and_then(|set| set.at(member)), op);
            }
            Change::Setting(RegisterChange { lamport, name, value }) => {
                apply(self.settings.at(name), (value, (lamport, origin)));
            }
            Change::First(RegisterChange { lamport, name, value }) => {
                apply(self.firsts.at(name), (value, (lamport, origin)));
            }
            Change::Multi(MultiChange { name, op }) => apply(self.multis.at(name), op),
            Change::Most(NumberChange { name, value }) => apply(self.most.at(name), value),
            Change::Least(NumberChange { name, value }) => apply(self.least.at(name), value),
            Change::Player(change) => self.people.take(origin, change),
            Change::Note(note) => self.trail.take(origin, note),
        }
    }

    /// How many names, marks of players and notes were not kept for want of room.
    pub(crate) fn beyond(&self) -> [u64; 3] {
        let named = [
            self.flags.beyond(),
            self.permits.beyond(),
            self.toggles.beyond(),
            self.totals.beyond(),
            self.counts.beyond(),
            self.awards.beyond(),
            self.sets.beyond(),
            self.settings.beyond(),
            self.firsts.beyond(),
            self.multis.beyond(),
            self.most.beyond(),
            self.least.beyond(),
        ];
        [named.iter().sum(), self.people.beyond(), self.trail.beyond()]
    }

    /// Whether a flag is on that is off at first.
    #[must_use]
    pub fn is_on(&self, flag: &str) -> bool {
        self.flags.get(flag).is_some_and(EnableWins::is_on)
    }

    /// Whether a flag is on that is on at first.
    #[must_use]
    pub fn permits(&self, flag: &str) -> bool {
        self.permits.get(flag).is_none_or(DisableWins::is_on)
    }

    /// Whether a toggle is on.
    #[must_use]
    pub fn is_toggled(&self, toggle: &str) -> bool {
        self.toggles.get(toggle).is_some_and(|toggle| toggle.is_on())
    }

    /// What a counter stands at that only grows; the largest number if it is beyond.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        self.totals.get(name).map_or(0, |counter| counter.read().try_into().unwrap_or(u64::MAX))
    }

    /// What a counter stands at that goes both ways; the nearest number if it is beyond.
    #[must_use]
    pub fn count(&self, name: &str) -> i64 {
        let Some(counter) = self.counts.get(name) else { return 0 };
        let value = counter.read();
        let beyond = if value < 0.into() { i64::MIN } else { i64::MAX };
        value.try_into().unwrap_or(beyond)
    }

    /// The members of a set with removal, in order.
    pub fn members(&self, set: &str) -> impl Iterator<Item = &str> {
        let members = self.sets.get(set).into_iter().flat_map(Bounded::iter);
        members.filter(|(_, flag)| flag.is_on()).map(|(member, _)| member.as_str())
    }

    /// What a setting says.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name)?.value()
    }

    /// The texts that stand side by side in a register that keeps conflicts.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.multis.get(name).into_iter().flat_map(Causal::values).map(String::as_str)
    }

    /// The points that were awarded to each player who was awarded any, in all. What was said at once at several nodes
    /// under one id is one award: that of the most points, and among these the last in the order of texts and players.
    #[must_use]
    pub fn awarded(&self) -> BTreeMap<PlayerId, i64> {
        let mut by_id: BTreeMap<&str, (i32, &str, PlayerId)> = BTreeMap::new();
        for (text, awards) in self.awards.iter() {
            for award in awards.iter() {
                let said = (award.points, text.as_str(), award.player);
                let one = by_id.entry(&award.id).or_insert(said);
                *one = said.max(*one);
            }
        }
        let mut points = BTreeMap::new();
        for (given, _, player) in by_id.into_values() {
            *points.entry(player).or_default() += i64::from(given);
        }
        points
    }
}

fn op_of(origin: Origin, change: &CountChange) -> pncounter::Op<Origin> {
    let dir = if change.up { pncounter::Dir::Pos } else { pncounter::Dir::Neg };
    pncounter::Op { dot: Dot::new(origin, change.total), dir }
}

impl CvRDT for Named {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.flags.merge(other.flags);
        self.permits.merge(other.permits);
        self.toggles.merge(other.toggles);
        self.totals.merge(other.totals);
        self.counts.merge(other.counts);
        self.awards.merge(other.awards);
        self.sets.merge(other.sets);
        self.settings.merge(other.settings);
        self.firsts.merge(other.firsts);
        self.multis.merge(other.multis);
        self.most.merge(other.most);
        self.least.merge(other.least);
        self.people.merge(other.people);
        self.trail.merge(other.trail);
    }
}
