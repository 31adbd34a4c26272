//! The poll: options without a right one. Counts are shown once it is closed.

use super::file::{Object, Report, Table};
use super::script::caps;
use super::{Draw, Facts, Given, Invalid, Kind, Nothing, PATH_WITHOUT_KEY, Question, Taken, mask};
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a poll asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Poll {
    /// What can be chosen.
    pub options: Vec<String>,
    /// Whether several may be.
    pub multiple: bool,
}

/// What players see of a poll.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PollView {
    /// What can be chosen; empty during the intro.
    pub options: Vec<String>,
    /// Whether several may be.
    pub multiple: bool,
}

impl Kind for Poll {
    const NAME: &'static str = "poll";
    const FIELDS: &'static [&'static str] = &["options", "multiple"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    type View = PollView;
    type Results = Nothing;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        let options = entry.options("options", &(caps::OPTIONS_MIN..=caps::OPTIONS_MAX), report);
        let multiple = entry.flag("multiple", report);
        Some(Poll { options: options?, multiple })
    }

    fn write(&self, out: &mut Table) {
        out.put("options", self.options.as_slice());
        out.put_unless("multiple", self.multiple, &false);
    }

    fn view(&self, announced: bool) -> PollView {
        let options = if announced { Vec::new() } else { self.options.clone() };
        PollView { options, multiple: self.multiple }
    }

    fn offered(view: &PollView) -> &[String] {
        &view.options
    }

    fn takes_several(view: &PollView) -> bool {
        view.multiple
    }

    fn guess(view: &PollView, _: Option<&Nothing>, draw: Draw<'_>) -> Given {
        Given::guessed(view.options.len(), view.multiple, draw)
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        let most = if self.multiple { self.options.len() } else { 1 };
        Ok(Taken::value(mask(&given.some_of(self.options.len(), most)?)))
    }

    fn options(&self) -> &[String] {
        &self.options
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        facts.count_bits(self.options.len())
    }

    fn results(&self, _: &Facts<'_>) -> Nothing {
        Nothing {}
    }

    fn rule(&self, _: &Question) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_takes_one_option_or_several() {
        let options = ["a", "b", "c"].map(str::to_owned).to_vec();
        let (one, some) =
            (Poll { options: options.clone(), multiple: false }, Poll { options, multiple: true });
        assert_eq!(one.take(&Given::choices(&[2])), Ok(Taken::value(0b100)));
        assert!(one.take(&Given::choices(&[0, 1])).is_err());
        assert_eq!(some.take(&Given::choices(&[2, 0])), Ok(Taken::value(0b101)));
        assert!(some.view(true).options.is_empty());
    }
}
