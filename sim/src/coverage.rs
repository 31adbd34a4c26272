//! Which marks of the production code a sweep reached.
//!
//! A mark that no seed reaches says that the draw is too kind, or that the code is dead: in both
//! cases the seeds that passed prove less than they seem to.

use std::fmt;

use crdt_state::marks::{Counts, Kind, Mark};

/// How often marks were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    times: Counts,
    runs: Counts,
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
}
