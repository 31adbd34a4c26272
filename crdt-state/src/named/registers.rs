//! Three registers that differ in what two concurrent writes become.

use super::causal::{Causal, CausalOp};
use crate::id::{Lamport, Origin};
use crate::lattice::Min;
use crdts::{CmRDT, CvRDT, LWWReg};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// What orders writes: larger than all that its writer had seen; no origin uses one twice.
pub type Mark = (Lamport, Origin);

/// Holds the write with the larger mark: the `crdts` crate's register, which can also be unwritten.
///
/// `LWWReg` keeps what it has when marks are equal, so that replicas differ for good where a mark was
/// used twice. Here the larger value holds then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastWrite<V>(Option<LWWReg<V, Mark>>);

/// A register of text.
pub type Register = LastWrite<String>;

impl<V> Default for LastWrite<V> {
    fn default() -> Self {
        LastWrite(None)
    }
}

impl<V: Ord> LastWrite<V> {
    /// Takes in a write.
    pub fn write(&mut self, value: V, mark: Mark) {
        match &mut self.0 {
            Some(held) if held.marker == mark => {
                if held.val < value {
                    held.val = value;
                }
            }
            Some(held) => held.update(value, mark),
            None => self.0 = Some(LWWReg { val: value, marker: mark }),
        }
    }

    /// What it holds.
    #[must_use]
    pub fn get(&self) -> Option<&V> {
        self.0.as_ref().map(|held| &held.val)
    }
}

impl Register {
    /// The text that it holds.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.get().map(String::as_str)
    }
}

impl<V: Ord> CmRDT for LastWrite<V> {
    type Op = (V, Mark);
    type Validation = Infallible;

    fn validate_op(&self, _: &Self::Op) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, (value, mark): (V, Mark)) {
        self.write(value, mark);
    }
}

impl<V: Ord> CvRDT for LastWrite<V> {
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

/// Holds the write with the smaller mark, for good once all have met: a minimum.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FirstWrite<V>(Min<(Mark, V)>);

impl<V> Default for FirstWrite<V> {
    fn default() -> Self {
        FirstWrite(Min(None))
    }
}

impl<V: Ord> FirstWrite<V> {
    /// What it holds.
    #[must_use]
    pub fn get(&self) -> Option<&V> {
        self.0.0.as_ref().map(|(_, value)| value)
    }
}

impl<V: Ord> CmRDT for FirstWrite<V> {
    type Op = (V, Mark);
    type Validation = Infallible;

    fn validate_op(&self, _: &Self::Op) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, (value, mark): (V, Mark)) {
        self.0.observe((mark, value));
    }
}

impl<V: Ord> CvRDT for FirstWrite<V> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

/// Holds every write that no later writer had seen: two who write at once make a conflict that people
/// see, and that the next write resolves.
pub type MultiValue = Causal<String>;

/// One write of a [`MultiValue`].
pub type MultiValueOp = CausalOp<String>;
