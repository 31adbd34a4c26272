//! The named flags, counters, sets and settings of an event.
//!
//! | kind | type | what wins | carries | not for |
//! |---|---|---|---|---|
//! | flag | [`Flag`] | a concurrent enable | the lobby lock | per-player bulk |
//! | counter | `PNCounter` | all increments count | reactions | scores, which are folds |
//! | set | `Orswot` | a concurrent add | co-hosts | anything large: some 200 bytes a member |
//! | setting | `LWWReg` | the larger (Lamport, origin) | host's settings | what must not be lost |
//!
//! All are the `crdts` crate's own types in grow-only maps ([`Pointwise`]). Their operations are applied
//! only in strict lane order: on a gap `crdts` would silently lose the skipped operation.

use crate::id::{Lamport, Origin};
use crate::lattice::Pointwise;
use crdts::{CmRDT, CvRDT, Dot, LWWReg, Orswot, PNCounter, orswot, pncounter};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// A flag that is on while any enabling is not covered by a disabling: enable wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag(Orswot<(), Origin>);

/// One change of a [`Flag`].
pub type FlagOp = orswot::Op<(), Origin>;

impl Flag {
    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.contains(&()).val
    }

    /// The change that turns it on, as written by `origin`.
    #[must_use]
    pub fn enable(&self, origin: Origin) -> FlagOp {
        self.0.add((), self.0.read_ctx().derive_add_ctx(origin))
    }

    /// The change that turns off what is on here; an enabling elsewhere that is unknown here stays.
    #[must_use]
    pub fn disable(&self) -> FlagOp {
        self.0.rm((), self.0.contains(&()).derive_rm_ctx())
    }

    /// Takes in a change.
    pub fn apply(&mut self, op: FlagOp) {
        self.0.apply(op);
    }
}

impl CvRDT for Flag {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

/// A setting with the unique mark that decides which write is the last.
pub type Setting = LWWReg<String, (Lamport, Origin)>;

/// A setting that can start unwritten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register(pub Option<Setting>);

impl Register {
    /// Takes in a write; the larger mark wins. Marks are never used twice.
    pub fn write(&mut self, value: String, mark: (Lamport, Origin)) {
        match &mut self.0 {
            Some(held) => held.update(value, mark),
            None => self.0 = Some(LWWReg { val: value, marker: mark }),
        }
    }

    /// What it holds.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.0.as_ref().map(|held| held.val.as_str())
    }
}

impl CvRDT for Register {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        if let Some(LWWReg { val, marker }) = other.0 {
            self.write(val, marker);
        }
    }
}

/// All that an event names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Switches, such as the lobby lock.
    pub flags: Pointwise<String, Flag>,
    /// Totals, such as reactions.
    pub counters: Pointwise<String, PNCounter<Origin>>,
    /// Small sets, such as co-hosts.
    pub sets: Pointwise<String, Orswot<String, Origin>>,
    /// Registers.
    pub settings: Pointwise<String, Register>,
}

/// The flag that keeps new players out.
pub const LOBBY_LOCK: &str = "lobby_lock";

impl Named {
    /// Whether the flag is on; a flag that nobody ever touched is off.
    #[must_use]
    pub fn is_on(&self, flag: &str) -> bool {
        self.flags.0.get(flag).is_some_and(Flag::is_on)
    }

    /// Takes in a change of a counter: the running total of `origin` in one direction.
    pub fn count(&mut self, name: String, origin: Origin, total: u64, up: bool) {
        let dir = if up { pncounter::Dir::Pos } else { pncounter::Dir::Neg };
        self.counters.at(name).apply(pncounter::Op { dot: Dot::new(origin, total), dir });
    }

    /// Takes in a change of a set.
    pub fn change_set(&mut self, name: String, op: orswot::Op<String, Origin>) {
        self.sets.at(name).apply(op);
    }
}

impl CvRDT for Named {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.flags.merge(other.flags);
        self.counters.merge(other.counters);
        self.sets.merge(other.sets);
        self.settings.merge(other.settings);
    }
}
