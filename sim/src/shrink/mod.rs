//! Shrinking: from a schedule that fails to a small one that fails in the same way.
//!
//! Faults first, by delta debugging (Zeller and Hildebrandt, "Simplifying and isolating
//! failure-inducing input", 2002), since each fault taken away makes all that follows faster and
//! clearer; then nodes, players, questions, weather and habits, then the strength of what is left;
//! again from the beginning until nothing more can go. Invariant: whatever is kept has been run and
//! failed by the same checker. That works because dice are named and not counted: to take one
//! thing away does not roll the others anew. In wire fidelity that holds less well, as TLS and
//! gossip draw from one stream of entropy.

mod smaller;

use std::fmt;
use std::time::Duration;

use crate::failure::Failure;
use crate::kept::Kept;
use crate::run::Options;
use crate::schedule::{Planned, Schedule};
use crate::verdict::{Fidelity, judge_in};

/// How to shrink.
#[derive(Clone, Copy, Debug)]
pub struct Shrink {
    /// How much of a node is real.
    pub fidelity: Fidelity,
    /// No more runs than this.
    pub runs_max: u32,
    /// The real time that a run may take.
    pub real_limit: Duration,
}

impl Default for Shrink {
    /// Three hundred runs (arbitrary: most schedules stop shrinking before a hundred).
    fn default() -> Self {
        let real_limit = Options::default().real_limit;
        Self { fidelity: Fidelity::Message, runs_max: 300, real_limit }
    }
}

/// A schedule that cannot be made smaller in any way that is known here.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The schedule.
    pub schedule: Schedule,
    /// How it fails.
    pub failure: Failure,
    /// How many runs it took.
    pub runs: u32,
    /// In which fidelity.
    pub fidelity: Fidelity,
}

/// Something smaller that still fails.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What was made smaller.
    pub pass: &'static str,
    /// How many runs it took so far.
    pub runs: u32,
    /// The smallest that is known to fail.
    pub schedule: &'a Schedule,
}

impl Shrink {
    /// Shrinks a schedule; nothing if it does not fail. `tell` hears of every step.
    pub fn shrink(&self, schedule: Schedule, tell: impl FnMut(Step<'_>)) -> Option<Shrunk> {
        let failure = self.failure(&schedule)?;
        let mut search = Search { shrink: *self, schedule, failure, runs: 1, tell };
        loop {
            let before = search.schedule.clone();
            search.faults();
            for (pass, smaller) in smaller::PASSES {
                search.greedily(pass, *smaller);
            }
            if search.schedule == before || search.is_spent() {
                break;
            }
        }
        let Search { schedule, failure, runs, .. } = search;
        Some(Shrunk { schedule, failure, runs, fidelity: self.fidelity })
    }

    fn failure(&self, schedule: &Schedule) -> Option<Failure> {
        let options = Options { real_limit: self.real_limit, ..Options::default() };
        Failure::of(&judge_in(self.fidelity, schedule.clone(), options))
    }
}

struct Search<T> {
    shrink: Shrink,
    schedule: Schedule,
    failure: Failure,
    runs: u32,
    tell: T,
}

impl<T: FnMut(Step<'_>)> Search<T> {
    fn is_spent(&self) -> bool {
        self.runs >= self.shrink.runs_max
    }

    /// Takes a schedule in place of the one that is known, if it fails by the same checker.
    fn take(&mut self, pass: &'static str, schedule: Schedule) -> bool {
        if self.is_spent() || schedule == self.schedule || schedule.check().is_err() {
            return false;
        }
        self.runs += 1;
        let failure = self.shrink.failure(&schedule);
        let Some(failure) = failure.filter(|found| found.rule == self.failure.rule) else {
            return false;
        };
        (self.schedule, self.failure) = (schedule, failure);
        (self.tell)(Step { pass, runs: self.runs, schedule: &self.schedule });
        true
    }

    /// Delta debugging: all but a part, with parts that become smaller and smaller.
    fn faults(&mut self) {
        let mut parts = 2;
        if !self.schedule.faults.is_empty() {
            self.take("faults", Schedule { faults: Vec::new(), ..self.schedule.clone() });
        }
        while self.schedule.faults.len() > 1 && !self.is_spent() {
            let size = self.schedule.faults.len().div_ceil(parts);
            let starts = (0..self.schedule.faults.len()).step_by(size);
            let rests: Vec<Vec<Planned>> =
                starts.map(|from| without(&self.schedule.faults, from, size)).collect();
            let smaller = rests
                .into_iter()
                .any(|faults| self.take("faults", Schedule { faults, ..self.schedule.clone() }));
            match smaller {
                true => parts = 2.max(parts - 1),
                false if size == 1 => return,
                false => parts = (parts * 2).min(self.schedule.faults.len()),
            }
        }
    }

    /// Takes the first smaller schedule that fails, again and again.
    fn greedily(&mut self, pass: &'static str, smaller: smaller::Smaller) {
        while !self.is_spent() {
            let candidates = smaller(&self.schedule);
            if !candidates.into_iter().any(|schedule| self.take(pass, schedule)) {
                return;
            }
        }
    }
}

/// All but `size` faults from number `from` on.
fn without(faults: &[Planned], from: usize, size: usize) -> Vec<Planned> {
    let (before, after) = (&faults[..from], faults.get(from + size..).unwrap_or_default());
    [before, after].concat()
}

impl Shrunk {
    /// The schedule as a file.
    pub fn kept(&self) -> Kept {
        Kept::failed(self.schedule.clone(), self.fidelity, &self.failure)
    }

    /// A test that fails as the schedule does, ready to be pasted.
    pub fn to_test(&self) -> String {
        let Self { failure, fidelity, schedule, .. } = self;
        let name: String = failure.rule.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let what: String =
            failure.what.lines().next().unwrap_or_default().chars().take(88).collect();
        format!(
            "/// {}: {}\n#[test]\nfn {name}_of_seed_{}() {{\n    let schedule = r##\"{}\"##;\n    \
             sim::simulation::Simulation::of_json(schedule)\n        \
             .fidelity(sim::verdict::Fidelity::{fidelity:?})\n        .run();\n}}\n",
            failure.rule,
            what.trim_end(),
            schedule.seed,
            schedule.to_json()
        )
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "after {} runs: {}", self.runs, self.failure)?;
        write!(f, "{}", self.schedule)
    }
}
