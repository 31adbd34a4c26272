//! The rating: a step on a scale, shown as counts and their mean.

use super::file::{Object, Report, Table, Value, text};
use super::script::caps;
use super::{Draw, Facts, Gave, Given, Invalid, Kind, PATH_WITHOUT_KEY, Question, Taken, bits};
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rating asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rating {
    /// How many steps the scale has.
    pub steps: u8,
    /// What the first step means.
    pub low: Option<String>,
    /// What the last step means.
    pub high: Option<String>,
}

/// What players see of a rating.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatingView {
    /// How many steps the scale has; they count from 0 in answers, from 1 for people.
    pub steps: u8,
    /// What the first step means.
    pub low: Option<String>,
    /// What the last step means.
    pub high: Option<String>,
}

/// What a rating comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatingResults {
    /// The mean, counted from 1; nothing without answers.
    pub mean: Option<f64>,
}

impl Kind for Rating {
    const NAME: &'static str = "rating";
    const FIELDS: &'static [&'static str] = &["steps", "low", "high"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    type View = RatingView;
    type Results = RatingResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        let label = |value: &Value, path: &str, report: &mut Report| {
            text(value, path, caps::OPTION_BYTES_MAX, report)
        };
        let steps = entry.whole("steps", 2..=11, report).unwrap_or(5) as u8;
        let low = entry.optional("low", report, label);
        let high = entry.optional("high", report, label);
        Some(Rating { steps, low, high })
    }

    fn write(&self, out: &mut Table) {
        out.put("steps", u32::from(self.steps));
        for (name, label) in [("low", &self.low), ("high", &self.high)] {
            if let Some(label) = label {
                out.put(name, label.clone());
            }
        }
    }

    fn view(&self, _: bool) -> RatingView {
        RatingView { steps: self.steps, low: self.low.clone(), high: self.high.clone() }
    }

    fn guess(view: &RatingView, _: Option<&RatingResults>, draw: Draw<'_>) -> Given {
        Given::guessed(usize::from(view.steps), false, draw)
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        Ok(Taken::value(1 << given.one_of(usize::from(self.steps))?))
    }

    fn given(&self, value: u32, _: Option<&str>) -> Gave {
        let (choices, steps) = (bits(value), self.steps);
        let words = choices.first().map(|step| format!("{} of {steps}", step + 1));
        Gave { choices, words: words.unwrap_or_default(), ..Gave::default() }
    }

    fn rule(&self, _: &Question) -> Option<String> {
        None
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        facts.count_bits(usize::from(self.steps))
    }

    fn results(&self, facts: &Facts<'_>) -> RatingResults {
        RatingResults { mean: mean(&self.counts(facts)) }
    }
}

/// The mean of steps counted from 1.
fn mean(counts: &[u64]) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    let sum: u64 = counts.iter().zip(1..).map(|(count, step)| count * step).sum();
    (all > 0).then(|| sum as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_counts_from_one() {
        assert_eq!(mean(&[1, 0, 0, 0, 1]), Some(3.0));
        assert_eq!(mean(&[0, 0]), None);
    }

    #[test]
    fn a_step_beyond_the_scale_is_refused() {
        let rating = Rating { steps: 5, low: None, high: None };
        assert_eq!(rating.take(&Given::choices(&[4])), Ok(Taken::value(0b1_0000)));
        assert!(rating.take(&Given::choices(&[5])).is_err());
    }
}
