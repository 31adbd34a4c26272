//! Which marks of the production code a sweep reached.
//!
//! A mark that no seed reaches says that the draw is too kind, or that the code is dead: in both
//! cases the seeds that passed prove less than they seem to. The same of queues: one that nothing was put into was
//! not seen to keep its bound.

use std::fmt;

use crdt_state::marks::{Counts, Kind, Mark};
use crdt_state::queues::{Fill, Fullest, Queue};

/// How often marks were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    times: Counts,
    runs: Counts,
    fullest: Fullest,
}

/// A mark and how often it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The mark.
    pub mark: Mark,
    /// How often, over all runs.
    pub times: u64,
    /// In how many runs.
    pub runs: u64,
}

impl Coverage {
    /// Adds a run.
    pub fn add(&mut self, reached: &Counts) {
        for (mark, count) in reached.iter().enumerate() {
            self.times[mark] += count;
            self.runs[mark] += u64::from(*count > 0);
        }
    }

    /// Adds how full queues were in a run.
    pub fn fill(&mut self, fullest: &Fullest) {
        for (known, fill) in self.fullest.iter_mut().zip(fullest) {
            let is_fuller = |known: &Fill| fill.is_some_and(|fill| fill.is_fuller_than(*known));
            if known.as_ref().is_none_or(is_fuller) {
                *known = *fill;
            }
        }
    }

    /// Every queue, and how full it was when it was fullest, if anything was put into it.
    pub fn queues(&self) -> impl Iterator<Item = (Queue, Option<Fill>)> {
        Queue::ALL.into_iter().zip(self.fullest)
    }

    /// Every mark.
    pub fn marks(&self) -> impl Iterator<Item = Covered> {
        let of = |mark: Mark| (self.times[mark as usize], self.runs[mark as usize]);
        Mark::ALL.into_iter().map(move |mark| {
            let (times, runs) = of(mark);
            Covered { mark, times, runs }
        })
    }

    /// The marks that no run reached.
    pub fn missed(&self) -> Vec<Mark> {
        self.marks().filter(|covered| covered.times == 0).map(|covered| covered.mark).collect()
    }
}

/// The macro that a mark stands in.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Always => "always",
        Kind::Sometimes => "sometimes",
        Kind::Reachable => "reachable",
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missed = self.missed().len();
        write!(f, "marks: {} of {} reached", Mark::ALL.len() - missed, Mark::ALL.len())?;
        for Covered { mark, times, runs } in self.marks() {
            let (kind, name) = (kind_name(mark.kind()), format!("{mark:?}"));
            write!(f, "\n  {kind:<9}  {name:<18}  {times:>9} times in {runs:>6} runs")?;
            if times == 0 {
                write!(f, "  NEVER REACHED")?;
            }
        }
        let filled = self.queues().filter(|(_, fill)| fill.is_some()).count();
        write!(f, "\nqueues: {filled} of {} filled", Queue::ALL.len())?;
        for (queue, fill) in self.queues() {
            match fill {
                Some(Fill { held, most }) => write!(f, "\n  {held:>8} of {most:>10}  {queue}")?,
                None => write!(f, "\n         - of          -  {queue}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_nobody_reached_is_missed_and_named() {
        let mut coverage = Coverage::default();
        let mut reached = [1; Mark::ALL.len()];
        reached[Mark::AnswerLate as usize] = 0;
        coverage.add(&reached);
        coverage.add(&reached);
        assert_eq!(coverage.missed(), [Mark::AnswerLate]);
        let text = coverage.to_string();
        assert!(
            text.contains("AnswerLate                  0 times in      0 runs  NEVER"),
            "{text}"
        );
        assert!(
            text.contains("StepForward                 2 times in      2 runs\n")
                || text.ends_with("2 times in      2 runs"),
            "{text}"
        );
    }

    #[test]
    fn of_all_runs_that_counts_in_which_a_queue_was_fullest() {
        let mut coverage = Coverage::default();
        for held in [2, 3, 1] {
            let mut fullest = Fullest::default();
            fullest[Queue::Pulls as usize] = Some(Fill { held, most: 4 });
            coverage.fill(&fullest);
            coverage.fill(&Fullest::default());
        }
        let text = coverage.to_string();
        assert!(text.contains("queues: 1 of "), "{text}");
        assert!(text.contains("       3 of          4  pulls under way"), "{text}");
        assert!(text.contains("         - of          -  cuts"), "{text}");
    }
}
