//! The reactions meter: players tap signs, and everybody sees how many.
//!
//! Reactions are counted, per node and in all, and not kept by player: a tap that is sent again to another
//! node may count twice, which an applause can bear.

use super::file::{Object, Report, Table};
use super::{Draw, Facts, Given, Invalid, Kind, Nothing, PATH_WITHOUT_KEY, Question, Taken};
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be tapped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reactions {
    /// The signs.
    pub options: Vec<String>,
}

/// What players see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReactionsView {
    /// The signs.
    pub options: Vec<String>,
}

/// Taps that one message may bring; a page gathers those of a second.
pub const TAPS_MAX: u32 = 20;

impl Kind for Reactions {
    const NAME: &'static str = "reactions";
    const FIELDS: &'static [&'static str] = &["options"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    const LIVE: bool = true;
    const ONE_ANSWER: bool = false;
    const REACTION: bool = true;
    type View = ReactionsView;
    type Results = Nothing;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        entry.options("options", &(1..=8), report).map(|options| Reactions { options })
    }

    fn write(&self, out: &mut Table) {
        out.put("options", self.options.as_slice());
    }

    fn view(&self, _: bool) -> ReactionsView {
        ReactionsView { options: self.options.clone() }
    }

    fn guess(view: &ReactionsView, _: Option<&Nothing>, draw: Draw<'_>) -> Given {
        let given = Given::guessed(view.options.len(), false, draw);
        Given { count: Some(1 + draw(TAPS_MAX)), ..given }
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        Ok(Taken::Count { option: given.one_of(self.options.len())?, by: taps(given)? })
    }

    fn options(&self) -> &[String] {
        &self.options
    }

    fn rule(&self, _: &Question) -> Option<String> {
        None
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        (0..self.options.len()).map(|option| facts.counter(option)).collect()
    }

    fn results(&self, _: &Facts<'_>) -> Nothing {
        Nothing {}
    }
}

/// How many taps a message brings.
pub(super) fn taps(given: &Given) -> Result<u32, Invalid> {
    match given.count.unwrap_or(1) {
        count @ 1..=TAPS_MAX => Ok(count),
        count => Err(Invalid(format!("{count} taps at once, expected 1 to {TAPS_MAX}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_counted_within_their_cap() {
        let reactions = Reactions { options: vec!["👏".into(), "🎉".into()] };
        let given = |count| Given { count: Some(count), ..Given::choices(&[1]) };
        assert_eq!(reactions.take(&given(3)), Ok(Taken::Count { option: 1, by: 3 }));
        assert!(reactions.take(&given(0)).is_err());
        assert!(reactions.take(&given(TAPS_MAX + 1)).is_err());
        assert!(reactions.take(&Given::choices(&[2])).is_err());
    }
}
