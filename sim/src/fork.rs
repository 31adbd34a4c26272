//! Forks: the same past, other futures. How often a run fails whose history is kept up to a moment
//! and whose dice, and faults still to come, are drawn anew from there says when the damage was
//! done: before the cause few futures fail, after it nearly all do, long before the symptom.
//!
//! Nothing is copied: a future runs the whole past again, which the seed makes the same to the byte, and rolls other
//! dice from the moment on. Nodes that are alive keep what they have drawn for themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::failure::Failure;
use crate::run::Options;
use crate::schedule::{Fault, Planned, Schedule, Wanted};
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

/// Which futures of a schedule are tried, and how.
#[derive(Clone, Copy, Debug)]
pub struct Forks<'a> {
    /// What is run.
    pub schedule: &'a Schedule,
    /// How much of a node is real.
    pub fidelity: Fidelity,
    /// How many are tried from each moment.
    pub tried: u32,
    /// How many run at once.
    pub jobs: usize,
    /// The real time that each may take.
    pub real_limit: Duration,
}

impl Forks<'_> {
    /// Tries the futures of a moment.
    pub fn at(&self, at: Duration) -> Futures {
        let rules = Mutex::new(BTreeMap::new());
        let next = AtomicU32::new(0);
        let work = || {
            loop {
                let future = next.fetch_add(1, Ordering::Relaxed);
                if future >= self.tried {
                    return;
                }
                if let Some(failure) = self.future(at, future) {
                    let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
                    *rules.entry(failure.rule).or_insert(0) += 1;
                }
            }
        };
        // One thread is this one, so that whatever belongs to it holds in its futures.
        std::thread::scope(|scope| {
            (1..self.jobs).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let rules = rules.into_inner().unwrap_or_else(PoisonError::into_inner);
        Futures { at, tried: self.tried, failed: rules.values().sum(), rules }
    }

    fn future(&self, at: Duration, future: u32) -> Option<Failure> {
        let fork = Some(Fork { at, future: u64::from(future) + 1 });
        let options = Options { fork, real_limit: self.real_limit, ..Options::default() };
        Failure::of(&judge_in(self.fidelity, self.schedule.clone(), options))
    }
}

/// What goes wrong from a moment on in place of what a schedule has: what has not begun to go wrong does not, other
/// things do.
pub(crate) struct Other {
    /// What is drawn for the questions to come.
    pub(crate) new: Vec<Planned>,
    /// The schedule with that, and without what does not begin.
    pub(crate) plan: Schedule,
}

impl Other {
    /// Draws by this chance; the questions up to `asked` have been opened.
    pub(crate) fn draw(
        schedule: &Schedule,
        chance: u64,
        asked: u32,
        begun: impl Fn(usize) -> bool,
    ) -> Self {
        let faults = schedule.faults.iter().enumerate();
        let kept = faults.filter_map(|(place, planned)| begun(place).then_some(planned));
        let kept: Vec<Planned> = kept.cloned().collect();
        let is_upgrade = |planned: &Planned| matches!(planned.fault, Fault::Upgrade { .. });
        let is_upgraded = kept.iter().any(is_upgrade);
        let wanted = Wanted { nodes: Some(schedule.nodes), players: Some(1), ..Wanted::default() };
        let mut new = Schedule::draw(chance, wanted).faults;
        // Nobody has prepared a place for who would join.
        new.retain(|planned| {
            let known = planned.fault.nodes().iter().all(|node| *node <= schedule.nodes_ever());
            let asked = asked.saturating_add(1)..=schedule.questions.len() as u32;
            let joins = matches!(planned.fault, Fault::Join { .. });
            known
                && asked.contains(&planned.instance)
                && !joins
                && !(is_upgraded && is_upgrade(planned))
        });
        let faults = kept.into_iter().chain(new.iter().cloned()).collect();
        let plan = Schedule { faults, ..schedule.clone() };
        Self { new, plan }
    }
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
