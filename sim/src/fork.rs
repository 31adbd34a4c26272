//! Forks: the same past, other futures. How often a run fails whose history is kept up to a moment
//! and whose dice, and faults still to come, are drawn anew from there says when the damage was
//! done: before the cause few futures fail, after it nearly all do, long before the symptom.
//!
//! Message fidelity only: there every roll of dice has a name that a future can be added to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::failure::Failure;
use crate::run::Options;
use crate::schedule::Schedule;
use crate::verdict::{Fidelity, judge_in};

/// Where a run leaves its past, and for which future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Up to then all is as it was.
    pub at: Duration,
    /// Names the dice from then on.
    pub future: u64,
}

/// What became of the futures of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Futures {
    /// The moment.
    pub at: Duration,
    /// How many futures were tried.
    pub tried: u32,
    /// How many failed.
    pub failed: u32,
    /// How many failed by each checker.
    pub rules: BTreeMap<String, u32>,
}

impl Futures {
    /// The share that failed.
    pub fn probability(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.tried.max(1))
    }
}

/// Tries futures of a schedule from a moment on, on so many threads.
pub fn futures(schedule: &Schedule, at: Duration, tried: u32, jobs: usize) -> Futures {
    let rules = Mutex::new(BTreeMap::new());
    let next = AtomicU32::new(0);
    let work = || {
        loop {
            let future = next.fetch_add(1, Ordering::Relaxed);
            if future >= tried {
                return;
            }
            if let Some(failure) = future_of(schedule, at, future) {
                let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
                *rules.entry(failure.rule).or_insert(0) += 1;
            }
        }
    };
    // One thread is this one, so that whatever belongs to it holds in its futures.
    std::thread::scope(|scope| {
        (1..jobs).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let rules = rules.into_inner().unwrap_or_else(PoisonError::into_inner);
    Futures { at, tried, failed: rules.values().sum(), rules }
}

fn future_of(schedule: &Schedule, at: Duration, future: u32) -> Option<Failure> {
    let fork = Some(Fork { at, future: u64::from(future) + 1 });
    let options = Options { fork, ..Options::default() };
    Failure::of(&judge_in(Fidelity::Message, schedule.clone(), options))
}

/// The width of a bar of certainty.
const BAR: usize = 40;

impl fmt::Display for Futures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = (self.probability() * BAR as f64).round() as usize;
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled));
        let Self { at, tried, failed, rules } = self;
        write!(f, "{:>8.2} s  {bar}  {failed}/{tried}", at.as_secs_f64())?;
        let rules: Vec<_> = rules.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
        if rules.is_empty() { Ok(()) } else { write!(f, "  {}", rules.join(", ")) }
    }
}
