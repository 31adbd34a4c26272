//! Three flags that differ in what a concurrent on and off become.

use super::causal::{Causal, CausalOp};
use crate::id::Origin;
use crate::lattice::Max;
use crdts::{CmRDT, CvRDT};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// One change of an [`EnableWins`] or a [`DisableWins`].
pub type FlagOp = CausalOp<()>;

/// A flag that is off at first. Switched on and off at once, it is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnableWins(Causal<()>);

impl EnableWins {
    /// Whether it is on: somebody switched it on, and nobody who knew of that switched it off.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// How often it was switched, as far as that can be told: on and off at once may count as one.
    #[must_use]
    pub fn changes(&self) -> u64 {
        // Nobody switches it more often: what a peer claims beyond that is not counted, and sums of many stay numbers.
        let writes = self.0.writes().min(u64::from(u32::MAX));
        (2 * writes).saturating_sub(u64::from(self.is_on()))
    }

    /// The change that makes it so, as written by `origin`; nothing if it is so.
    #[must_use]
    pub fn set(&self, origin: Origin, on: bool) -> Option<FlagOp> {
        let op = || if on { self.0.write(origin, ()) } else { self.0.erase() };
        (self.is_on() != on).then(op)
    }
}

/// A flag that is on at first. Switched on and off at once, it is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DisableWins(EnableWins);

impl DisableWins {
    /// Whether it is on: nobody switched it off, or somebody who knew of that switched it on again.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.is_on()
    }

    /// The change that makes it so, as written by `origin`; nothing if it is so.
    #[must_use]
    pub fn set(&self, origin: Origin, on: bool) -> Option<FlagOp> {
        self.0.set(origin, !on)
    }
}

/// A flag that counts how often it was switched: odd is on (a causal length, Yu and Rostad 2020).
///
/// Whoever switches it at the same length makes the same step; of two histories the longer holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Toggle(Max<u32>);

impl Toggle {
    /// Whether it is on.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.0.0 % 2 == 1
    }

    /// How often it was switched.
    #[must_use]
    pub fn length(self) -> u32 {
        self.0.0
    }

    /// The change that makes it so; nothing if it is so, or if it was switched as often as can be.
    #[must_use]
    pub fn set(self, on: bool) -> Option<u32> {
        if self.is_on() == on { None } else { self.0.0.checked_add(1) }
    }
}

macro_rules! wrapped {
    ($type:ty, $op:ty) => {
        impl CmRDT for $type {
            type Op = $op;
            type Validation = Infallible;

            fn validate_op(&self, _: &$op) -> Result<(), Infallible> {
                Ok(())
            }

            fn apply(&mut self, op: $op) {
                self.0.apply(op);
            }
        }

        impl CvRDT for $type {
            type Validation = Infallible;

            fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
                Ok(())
            }

            fn merge(&mut self, other: Self) {
                self.0.merge(other.0);
            }
        }
    };
}

wrapped!(EnableWins, FlagOp);
wrapped!(DisableWins, FlagOp);
wrapped!(Toggle, u32);
