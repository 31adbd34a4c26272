//! A hunt: seeds one after the other, until one fails.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Draws;
use crate::run::Options;
use crate::verdict::{Fidelity, judge_in};

/// Where a hunt for a failure ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// The families of checkers that found something, or `panic`.
    pub rules: BTreeSet<String>,
    /// The first thing that was found.
    pub what: String,
}

/// Runs seeds in message fidelity until one fails; on the wire, if a bug is planted that only whole nodes have.
pub fn hunt(mut seeds: RangeInclusive<u64>, draw: Draws) -> Option<Found> {
    let fidelity = fidelity();
    seeds.find_map(|seed| match judge_in(fidelity, draw.schedule(seed), Options::default()) {
        Err(why) => {
            let rules = BTreeSet::from(["panic".to_owned()]);
            Some(Found { seed, rules, what: why.to_string() })
        }
        Ok(verdict) => {
            let first = verdict.violations.first()?;
            let rules = verdict.violations.iter().map(|found| found.rule.to_owned());
            Some(Found { seed, rules: rules.collect(), what: first.to_string() })
        }
    })
}

#[cfg(feature = "planted")]
fn fidelity() -> Fidelity {
    match crdt_state::planted::planted().is_some_and(crdt_state::planted::Bug::is_of_whole_nodes) {
        true => Fidelity::Wire,
        false => Fidelity::Message,
    }
}

#[cfg(not(feature = "planted"))]
fn fidelity() -> Fidelity {
    Fidelity::Message
}
