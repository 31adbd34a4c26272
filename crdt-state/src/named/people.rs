//! What hosts say of single players: the player flag column, sparse and by player id.
//!
//! Few players are ever marked, so this is no column of cells but a map that holds only those. A mark
//! changes how a player's rows are read, never the rows: who is kicked keeps every answer and has all of
//! it back when the kick is taken back.

use super::bounded::Bounded;
use super::flags::{EnableWins, FlagOp, Toggle};
use super::registers::{LastWrite, Mark, Register};
use crate::caps::{self, MARKED_MAX};
use crate::id::{Lamport, Origin, PlayerId};
use crdts::{CmRDT, CvRDT};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::convert::Infallible;

/// The marks of all players who have any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct People {
    kicked: Bounded<PlayerId, EnableWins, MARKED_MAX>,
    muted: Bounded<PlayerId, Toggle, MARKED_MAX>,
    extra_ms: Bounded<PlayerId, LastWrite<u32>, MARKED_MAX>,
    names: Bounded<PlayerId, Register, MARKED_MAX>,
}

/// What a host says of one player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerChange {
    /// Of whom.
    pub player: PlayerId,
    /// What.
    pub mark: PlayerMark,
}

/// See [`PlayerChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlayerMark {
    /// Out, or in again; a kick that met its taking back holds.
    Kicked(FlagOp),
    /// May not send reactions, or may again: how often it was switched.
    Muted(u32),
    /// Has so many milliseconds more than the others to answer; the later write holds.
    ExtraMs(Lamport, u32),
    /// Is called so; the later write holds.
    Name(Lamport, String),
}

impl PlayerMark {
    /// The order hint that it brings, if any.
    #[must_use]
    pub fn lamport(&self) -> Option<Lamport> {
        match self {
            PlayerMark::ExtraMs(lamport, _) | PlayerMark::Name(lamport, _) => Some(*lamport),
            PlayerMark::Kicked(_) | PlayerMark::Muted(_) => None,
        }
    }

    /// Whether it is within the caps.
    pub(super) fn is_within_caps(&self) -> bool {
        match self {
            PlayerMark::Kicked(_) | PlayerMark::Muted(_) => true,
            PlayerMark::ExtraMs(_, ms) => *ms <= caps::EXTRA_MS_MAX,
            PlayerMark::Name(_, name) => !name.is_empty() && name.len() <= caps::NAME_BYTES_MAX,
        }
    }
}

impl People {
    /// Takes in what a host said on `origin`.
    pub fn take(&mut self, origin: Origin, change: PlayerChange) {
        let PlayerChange { player, mark } = change;
        match mark {
            PlayerMark::Kicked(op) => apply(self.kicked.at(player), op),
            PlayerMark::Muted(length) => apply(self.muted.at(player), length),
            PlayerMark::ExtraMs(lamport, ms) => {
                apply(self.extra_ms.at(player), (ms, (lamport, origin)));
            }
            PlayerMark::Name(lamport, name) => {
                let mark: Mark = (lamport, origin);
                apply(self.names.at(player), (name, mark));
            }
        }
    }

    /// How many marks were not kept for want of room.
    pub(super) fn beyond(&self) -> u64 {
        let [kicked, muted] = [self.kicked.beyond(), self.muted.beyond()];
        kicked + muted + self.extra_ms.beyond() + self.names.beyond()
    }

    /// Whether a player is out.
    #[must_use]
    pub fn is_kicked(&self, player: PlayerId) -> bool {
        self.kicked.get(&player).is_some_and(EnableWins::is_on)
    }

    /// Everybody who is out, in order.
    pub fn kicked(&self) -> impl Iterator<Item = PlayerId> {
        self.kicked.iter().filter(|(_, flag)| flag.is_on()).map(|(player, _)| *player)
    }

    /// Whether a player may not send reactions.
    #[must_use]
    pub fn is_muted(&self, player: PlayerId) -> bool {
        self.muted.get(&player).is_some_and(|toggle| toggle.is_on())
    }

    /// Everybody who may not send reactions, in order.
    pub fn muted(&self) -> impl Iterator<Item = PlayerId> {
        self.muted.iter().filter(|(_, toggle)| toggle.is_on()).map(|(player, _)| *player)
    }

    /// How much longer than the others a player has to answer, in milliseconds.
    #[must_use]
    pub fn extra_ms(&self, player: PlayerId) -> u32 {
        self.extra_ms.get(&player).and_then(LastWrite::get).copied().unwrap_or(0)
    }

    /// Everybody who has longer than the others, in order.
    pub fn extras(&self) -> impl Iterator<Item = (PlayerId, u32)> {
        let extra = |(player, register): (&PlayerId, &LastWrite<u32>)| {
            Some((*player, register.get().copied().filter(|ms| *ms > 0)?))
        };
        self.extra_ms.iter().filter_map(extra)
    }

    /// What a host calls a player.
    #[must_use]
    pub fn name(&self, player: PlayerId) -> Option<&str> {
        self.names.get(&player)?.value()
    }

    /// Everybody whom a host has renamed, in order.
    pub fn names(&self) -> impl Iterator<Item = (PlayerId, &str)> {
        self.names.iter().filter_map(|(player, register)| Some((*player, register.value()?)))
    }

    /// Whether anything was ever said of a player.
    #[must_use]
    pub fn is_marked(&self, player: PlayerId) -> bool {
        self.kicked.get(&player).is_some()
            || self.muted.get(&player).is_some()
            || self.extra_ms.get(&player).is_some()
            || self.names.get(&player).is_some()
    }

    /// Everybody of whom anything was ever said, in order.
    #[must_use]
    pub fn ever_marked(&self) -> BTreeSet<PlayerId> {
        let kicked = self.kicked.iter().map(|(player, _)| *player);
        let muted = self.muted.iter().map(|(player, _)| *player);
        let extra = self.extra_ms.iter().map(|(player, _)| *player);
        let named = self.names.iter().map(|(player, _)| *player);
        kicked.chain(muted).chain(extra).chain(named).collect()
    }

    /// How often hosts have put a player out or let one in again, and whether they gave time.
    #[must_use]
    pub fn changes(&self, player: PlayerId) -> u64 {
        let kicks = self.kicked.get(&player).map_or(0, EnableWins::changes);
        kicks + u64::from(self.extra_ms(player) > 0)
    }

    /// The change that kicks a player or takes it back; nothing if it is so.
    #[must_use]
    pub fn kick(&self, origin: Origin, player: PlayerId, out: bool) -> Option<PlayerMark> {
        let none = EnableWins::default();
        let flag = self.kicked.get(&player).unwrap_or(&none);
        flag.set(origin, out).map(PlayerMark::Kicked)
    }

    /// The change that mutes a player or takes it back; nothing if it is so.
    #[must_use]
    pub fn mute(&self, player: PlayerId, muted: bool) -> Option<PlayerMark> {
        let toggle = self.muted.get(&player).copied().unwrap_or_default();
        toggle.set(muted).map(PlayerMark::Muted)
    }

    /// Whether no host marks any more players in one of the ways.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kicked.is_full()
            || self.muted.is_full()
            || self.extra_ms.is_full()
            || self.names.is_full()
    }
}

/// Applies to what is there; a key beyond its bound is nowhere.
pub(super) fn apply<T: CmRDT>(to: Option<&mut T>, op: T::Op) {
    if let Some(to) = to {
        to.apply(op);
    }
}

impl CvRDT for People {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.kicked.merge(other.kicked);
        self.muted.merge(other.muted);
        self.extra_ms.merge(other.extra_ms);
        self.names.merge(other.names);
    }
}
