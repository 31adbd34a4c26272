//! What a sweep came to, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::End;
use crate::coverage::Coverage;
use crate::failure::{Failure, Signature};

/// What a sweep came to.
#[derive(Debug)]
pub struct Swept {
    /// What came of each seed.
    pub ends: BTreeMap<u64, End>,
    /// Which marks were reached.
    pub coverage: Coverage,
    /// Real time passed.
    pub took: Duration,
}

/// Failures with one signature.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What they have in common.
    pub signature: Signature,
    /// The seeds, in order.
    pub seeds: Vec<u64>,
    /// The first of them.
    pub first: &'a Failure,
}

impl Swept {
    /// The seeds that failed.
    pub fn failed(&self) -> impl Iterator<Item = (u64, &Failure)> {
        self.ends.values().filter_map(|end| Some((end.seed, end.failure.as_ref()?)))
    }

    /// The seeds whose two runs differ.
    pub fn differing(&self) -> impl Iterator<Item = &End> {
        self.ends.values().filter(|end| end.difference.is_some())
    }

    /// Whether every seed kept every promise, and repeated itself where it was asked to.
    pub fn is_good(&self) -> bool {
        self.failed().next().is_none() && self.differing().next().is_none()
    }

    /// The failures by what they have in common, the most frequent first.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: BTreeMap<Signature, Group<'_>> = BTreeMap::new();
        for (seed, failure) in self.failed() {
            let signature = failure.signature();
            let empty =
                || Group { signature: signature.clone(), seeds: Vec::new(), first: failure };
            groups.entry(signature.clone()).or_insert_with(empty).seeds.push(seed);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.seeds.len()));
        groups
    }

    /// How many different traces there were.
    pub fn traces(&self) -> usize {
        let hashes = self.ends.values().filter_map(|end| end.trace_hash);
        hashes.collect::<BTreeSet<u64>>().len()
    }

    /// In how many runs the merge laws were tried on anything.
    pub fn laws_tried(&self) -> usize {
        self.ends.values().filter(|end| end.laws_tried > 0).count()
    }

    /// Seeds per second of real time.
    pub fn seeds_per_s(&self) -> f64 {
        self.ends.len() as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Virtual time of all seeds.
    pub fn virtual_time(&self) -> Duration {
        self.ends.values().map(|end| end.virtual_time).sum()
    }

    /// Virtual seconds per second of real time.
    pub fn virtual_s_per_s(&self) -> f64 {
        self.virtual_time().as_secs_f64() / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// How many seeds of a group are named.
const NAMED: usize = 8;

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, failed) = (self.ends.len(), self.failed().count());
        write!(
            f,
            "{} of {count} seeds passed, {} different traces, {:.2} seeds/s, {:.1} virtual s/s",
            count - failed,
            self.traces(),
            self.seeds_per_s(),
            self.virtual_s_per_s()
        )?;
        write!(f, "\nmerge laws: tried in {} of {count} runs", self.laws_tried())?;
        let checked = self.ends.values().filter(|end| end.checked).count();
        if checked > 0 {
            let differing = self.differing().count();
            write!(f, "\nchecked: {checked} seeds were run twice, {differing} differ")?;
        }
        for end in self.differing() {
            let Some(difference) = &end.difference else { continue };
            write!(f, "\nseed {}: {}", end.seed, difference.to_string().trim_end())?;
        }
        self.groups().iter().try_for_each(|group| write!(f, "\n{group}"))
    }
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.seeds.iter().take(NAMED).map(u64::to_string).collect();
        let more = if self.seeds.len() > NAMED { ", ..." } else { "" };
        writeln!(f, "{}x {}", self.seeds.len(), self.signature)?;
        write!(f, "  seeds {}{more}; the first says: {}", named.join(", "), self.first.what)
    }
}
