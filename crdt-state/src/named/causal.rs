//! The kernel of everything that can be overwritten: values, and what their writers had seen.
//!
//! A write names what it overwrites: all that its writer had seen. What was written elsewhere at the same
//! time is not overwritten and stays beside it. Nothing is left behind by what is gone but a vector of
//! one number per writer (an optimized OR-set without tombstones, Bieniusa et al. 2012, for one member).
//!
//! Operations of one writer come in order; between writers in any order. That is sound because a context
//! claims only what its operation itself settles: everything in it is overwritten by it, so a write that
//! arrives after the one that overwrote it is known to be gone. An `Orswot` of the `crdts` crate keeps such
//! an early removal in a list without a bound instead, and an `MVReg` panics when it is compared.

use crate::caps;
use crate::id::Origin;
use crdts::{CmRDT, CvRDT, Dot, VClock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// The values that no writer has overwritten: at most one per writer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Causal<V> {
    seen: VClock<Origin>,
    live: BTreeMap<Origin, (u64, V)>,
}

/// One write, or one erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CausalOp<V> {
    /// All that its writer had seen, and overwrites.
    pub over: VClock<Origin>,
    /// What it puts in place, and the write's own name; nothing if it only erases.
    pub put: Option<(Dot<Origin>, V)>,
}

impl<V> Default for Causal<V> {
    fn default() -> Self {
        Causal { seen: VClock::new(), live: BTreeMap::new() }
    }
}

impl<V> Causal<V> {
    /// The write of `value` by `origin`, over all that is seen here.
    #[must_use]
    pub fn write(&self, origin: Origin, value: V) -> CausalOp<V> {
        CausalOp { over: self.seen.clone(), put: Some((self.seen.inc(origin), value)) }
    }

    /// The erasure of all that is seen here.
    #[must_use]
    pub fn erase(&self) -> CausalOp<V> {
        CausalOp { over: self.seen.clone(), put: None }
    }

    /// The values that stand side by side, in the order of their writers.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.live.values().map(|(_, value)| value)
    }

    /// How many writes are seen, those included that were overwritten.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.seen.dots.values().fold(0, |sum, writes| sum.saturating_add(*writes))
    }

    /// Whether nothing is written, or all of it was erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    fn is_news(&self, origin: Origin, number: u64) -> bool {
        number > self.seen.get(&origin)
    }
}

impl<V> CausalOp<V> {
    /// Whether it could be `origin`'s own and is within the caps.
    #[must_use]
    pub fn is_possible(&self, origin: Origin) -> bool {
        let is_own = self.put.as_ref().is_none_or(|(dot, _)| dot.actor == origin);
        is_own && self.over.dots.len() <= caps::WRITERS_MAX
    }
}

impl<V> CmRDT for Causal<V> {
    type Op = CausalOp<V>;
    type Validation = Infallible;

    fn validate_op(&self, _: &Self::Op) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, op: CausalOp<V>) {
        self.live.retain(|origin, (number, _)| *number > op.over.get(origin));
        if let Some((dot, value)) = op.put
            && self.is_news(dot.actor, dot.counter)
        {
            self.live.insert(dot.actor, (dot.counter, value));
            self.seen.apply(dot);
        }
        self.seen.merge(op.over);
    }
}

impl<V: Ord> CvRDT for Causal<V> {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        let of_other = |origin: &Origin| other.live.get(origin).map_or(0, |(number, _)| *number);
        self.live.retain(|origin, (number, _)| {
            *number > other.seen.get(origin) || *number == of_other(origin)
        });
        for (origin, (number, value)) in other.live {
            if self.is_news(origin, number) {
                self.live.insert(origin, (number, value));
            }
        }
        self.seen.merge(other.seen);
    }
}
