//! Many seeds, as many at once as asked for, and what came of them: failures by their signature,
//! marks that were reached, runs that did not repeat themselves.

mod hunt;
mod swept;
mod write;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crdt_state::marks::Counts;
use crdt_state::queues::Fullest;

use crate::coverage::Coverage;
use crate::failure::Failure;
use crate::mix::Draw;
use crate::run::Options;
use crate::schedule::{Kinds, Schedule, Wanted};
use crate::trace::{Difference, Lines, first_difference};
use crate::verdict::{Fidelity, Unjudged, Verdict, judge_in};

pub use self::hunt::{Found, hunt};
pub use self::swept::{Group, Swept};

/// How a seed becomes a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// [`Schedule::classic`].
    Classic,
    /// [`Schedule::draw`].
    Swarm(Wanted),
    /// [`Schedule::draw_of`].
    Chosen(Wanted, Kinds),
}

impl Draws {
    /// The schedule of a seed.
    pub fn schedule(self, seed: u64) -> Schedule {
        match self {
            Self::Classic => Schedule::classic(seed),
            Self::Swarm(wanted) => Schedule::draw(seed, wanted),
            Self::Chosen(wanted, kinds) => Schedule::draw_of(seed, wanted, kinds),
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
    /// No seed is begun after this much real time.
    pub time: Option<Duration>,
    /// No seed is begun once this is set; what runs is run to its end.
    pub enough: Arc<AtomicBool>,
    /// The share of seeds that are run twice and compared, 0.0..=1.0; unless it is 0 the first
    /// seed is one of them.
    pub check: f64,
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct End {
    /// The seed.
    pub seed: u64,
    /// The trace's hash, if the run was judged.
    pub trace_hash: Option<u64>,
    /// Virtual time passed.
    pub virtual_time: Duration,
    /// Real time passed, of one run.
    pub real_time: Duration,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How many states the merge laws were tried on.
    pub laws_tried: usize,
    /// Whether it was run twice.
    pub checked: bool,
    /// Where the two runs part.
    pub difference: Option<Difference>,
}

impl Sweep {
    /// Runs the seeds; `tell` hears of each as it ends.
    pub fn run(&self, tell: impl Fn(&End) + Sync) -> Swept {
        let began = Instant::now();
        let next = AtomicU64::new(*self.seeds.start());
        let gathered = Mutex::new((BTreeMap::new(), Coverage::default()));
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !self.seeds.contains(&seed) {
                    return;
                }
                let (end, covered) = self.one(seed);
                tell(&end);
                let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((reached, fullest)) = covered {
                    gathered.1.add(&reached);
                    gathered.1.fill(&fullest);
                }
                gathered.0.insert(seed, end);
                drop(gathered);
                // Each job runs one seed at least: a sweep of none would pass.
                let is_late = self.time.is_some_and(|time| began.elapsed() >= time);
                if is_late || self.enough.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let (ends, coverage) = gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
        Swept { ends, coverage, took: began.elapsed() }
    }

    /// Whether a seed is one of those that are run twice.
    fn is_checked(&self, seed: u64) -> bool {
        let dice = Draw::new(seed, &[u64::from_be_bytes(*b"checked?")]);
        self.check > 0.0 && (seed == *self.seeds.start() || dice.unit(0) < self.check)
    }

    fn one(&self, seed: u64) -> (End, Option<(Counts, Fullest)>) {
        let checked = self.is_checked(seed);
        let (judged, difference) = match checked {
            true => self.judge_twice(seed),
            false => (self.judge(seed, Options::default()), None),
        };
        let outcome = judged.as_ref().ok().map(|verdict| &verdict.outcome);
        let end = End {
            seed,
            trace_hash: outcome.map(|outcome| outcome.trace_hash),
            virtual_time: outcome.map_or(Duration::ZERO, |outcome| outcome.virtual_time),
            real_time: outcome.map_or(Duration::ZERO, |outcome| outcome.real_time),
            failure: Failure::of(&judged),
            laws_tried: judged.as_ref().map_or(0, |verdict| verdict.laws_tried),
            checked,
            difference,
        };
        (end, outcome.map(|outcome| (outcome.reached, outcome.fullest)))
    }

    fn judge(&self, seed: u64, options: Options) -> Result<Verdict, Unjudged> {
        let options = Options { real_limit: self.real_limit, ..options };
        judge_in(self.fidelity, self.draw.schedule(seed), options)
    }

    /// Compares line by line and not by the hash alone: a difference has to be shown.
    fn judge_twice(&self, seed: u64) -> (Result<Verdict, Unjudged>, Option<Difference>) {
        let (first, second) = (Lines::default(), Lines::default());
        let judged = self.judge(seed, Options { sink: Some(first.sink()), ..Options::default() });
        let again = Options { sink: Some(second.sink()), ..Options::default() };
        // What came of it is in its lines, too.
        drop(self.judge(seed, again));
        (judged, first_difference(&first.text(), &second.text()))
    }
}
