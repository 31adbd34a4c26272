//! Many seeds, each on threads of its own, and a word about each that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::Options;
use crate::schedule::{Schedule, Wanted};
use crate::verdict::{Fidelity, judge_in};

/// What a sweep came to.
#[derive(Debug)]
pub struct Swept {
    /// The trace's hash of every seed that passed.
    pub passed: BTreeMap<u64, u64>,
    /// Why the others failed.
    pub failed: BTreeMap<u64, String>,
    /// Real time passed.
    pub took: Duration,
}

/// How a seed becomes a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// [`Schedule::classic`].
    Classic,
    /// [`Schedule::draw`].
    Swarm(Wanted),
}

impl Draws {
    /// The schedule of a seed.
    pub fn schedule(self, seed: u64) -> Schedule {
        match self {
            Self::Classic => Schedule::classic(seed),
            Self::Swarm(wanted) => Schedule::draw(seed, wanted),
        }
    }
}

/// How a sweep is run.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The seeds.
    pub seeds: RangeInclusive<u64>,
    /// How each draws its schedule.
    pub draw: Draws,
    /// How much of a node is real.
    pub fidelity: Fidelity,
    /// How many run at once.
    pub jobs: usize,
    /// The real time that each may take.
    pub real_limit: Duration,
}

impl Sweep {
    /// Runs every seed; `tell` hears of each as it ends: the seed, and why it failed if it did.
    pub fn run(&self, tell: impl Fn(u64, Option<&str>) + Sync) -> Swept {
        let began = Instant::now();
        let next = AtomicU64::new(*self.seeds.start());
        let ends = Mutex::new(BTreeMap::new());
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !self.seeds.contains(&seed) {
                    return;
                }
                let end = self.one(seed);
                tell(seed, end.as_ref().err().map(String::as_str));
                ends.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, end);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut swept =
            Swept { passed: BTreeMap::new(), failed: BTreeMap::new(), took: began.elapsed() };
        for (seed, end) in ends {
            match end {
                Ok(hash) => drop(swept.passed.insert(seed, hash)),
                Err(why) => drop(swept.failed.insert(seed, why)),
            }
        }
        swept
    }

    fn one(&self, seed: u64) -> Result<u64, String> {
        let options = Options { real_limit: self.real_limit, ..Options::default() };
        let verdict = judge_in(self.fidelity, self.draw.schedule(seed), options);
        let verdict = verdict.map_err(|why| why.to_string())?;
        match verdict.violations.first() {
            None => Ok(verdict.outcome.trace_hash),
            Some(first) => Err(format!("{} violations, first {first}", verdict.violations.len())),
        }
    }
}

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

/// Runs seeds in message fidelity, in this thread, until one fails.
pub fn hunt(mut seeds: RangeInclusive<u64>, draw: Draws) -> Option<Found> {
    seeds.find_map(|seed| {
        match judge_in(Fidelity::Message, draw.schedule(seed), Options::default()) {
            Err(why) => {
                let rules = BTreeSet::from(["panic".to_owned()]);
                Some(Found { seed, rules, what: why.to_string() })
            }
            Ok(verdict) => {
                let first = verdict.violations.first()?;
                let rules = verdict.violations.iter().map(|found| found.rule.to_owned());
                Some(Found { seed, rules: rules.collect(), what: first.to_string() })
            }
        }
    })
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.passed.len() + self.failed.len();
        let mut hashes: Vec<u64> = self.passed.values().copied().collect();
        hashes.sort_unstable();
        hashes.dedup();
        for (seed, why) in &self.failed {
            writeln!(f, "seed {seed} failed: {why}")?;
        }
        write!(
            f,
            "{} of {count} seeds passed, {} different traces, {:.2} seeds/s",
            self.passed.len(),
            hashes.len(),
            count as f64 / self.took.as_secs_f64().max(f64::EPSILON)
        )
    }
}
