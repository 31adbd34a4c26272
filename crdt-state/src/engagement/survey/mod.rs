//! The survey: several small questions on one page, and a comment.
//!
//! All choices of a player are one number in mixed radix, so that a survey is one answer like any other.

use super::file::{Object, Report, Table, Value, What};
use super::{Draw, Facts, Gave, Given, Invalid, Kind, PATH_WITHOUT_KEY, Question, Taken};
use crate::Cell;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a survey asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Survey {
    /// Its questions, none of which must be answered.
    pub items: Vec<Item>,
    /// Whether a player may add a comment.
    pub comment: bool,
}

/// A question of a survey.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Item {
    /// What is asked.
    pub text: String,
    /// What can be chosen.
    pub options: Vec<String>,
}

/// What players see of a survey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SurveyView {
    /// Its questions; none during the intro.
    pub items: Vec<Item>,
    /// Whether a player may add a comment.
    pub comment: bool,
}

/// What a survey comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SurveyResults {
    /// How many chose each option, by question.
    pub items: Vec<Vec<u64>>,
    /// The comments that came most often.
    pub comments: Vec<super::word_cloud::Word>,
}

/// The choice that stands for no answer.
pub const SKIPPED: u8 = u8::MAX;

impl Kind for Survey {
    const NAME: &'static str = "survey";
    const FIELDS: &'static [&'static str] = &["items", "comment"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    type View = SurveyView;
    type Results = SurveyResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        let comment = entry.flag("comment", report);
        let (list, path) = entry.list("items", &(1..=10), "items", report)?;
        let read = |(index, value): (usize, &Value)| {
            let item =
                Object::read(value, &format!("{path}[{index}]"), &["text", "options"], report)?;
            let text = item.text("text", report);
            let options = item.options("options", &(2..=11), report);
            Some(Item { text: text?, options: options? })
        };
        let items: Vec<_> = list.iter().enumerate().map(read).collect();
        let items = items.into_iter().collect::<Option<Vec<_>>>()?;
        let survey = Survey { items, comment };
        if survey.values() > u64::from(Cell::VALUE_MAX) + 1 {
            entry.report("items", "too many questions with too many options for one page", report);
        }
        Some(survey)
    }

    fn write(&self, out: &mut Table) {
        let item = |item: &Item| {
            let mut table = Table::default();
            table.put("text", item.text.clone());
            table.put("options", item.options.as_slice());
            Value::new(0, table.done())
        };
        out.put("items", What::List(self.items.iter().map(item).collect()));
        out.put_unless("comment", self.comment, &false);
    }

    fn view(&self, announced: bool) -> SurveyView {
        let items = if announced { Vec::new() } else { self.items.clone() };
        SurveyView { items, comment: self.comment }
    }

    /// One choice for each question, or none.
    fn guess(view: &SurveyView, _: Option<&SurveyResults>, draw: Draw<'_>) -> Given {
        let mut choice = |item: &Item| {
            let (options, drawn) = (item.options.len() as u32, draw(item.options.len() as u32 + 1));
            if drawn < options { drawn as u8 } else { SKIPPED }
        };
        let choices = view.items.iter().map(&mut choice).collect();
        let has_comment = view.comment && draw(4) == 0;
        let text = has_comment.then(|| format!("comment {}", draw(10) + 1));
        Given { choices, text, ..Given::default() }
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        if given.choices.len() != self.items.len() {
            let (found, wanted) = (given.choices.len(), self.items.len());
            return Err(Invalid(format!("{found} choices, expected {wanted}, {SKIPPED} for none")));
        }
        let has_comment = given.text.as_deref().is_some_and(|text| !text.trim().is_empty());
        let comment = (self.comment && has_comment).then(|| given.typed()).transpose()?;
        Ok(Taken::Answer { value: self.pack(&given.choices)?, text: comment })
    }

    fn given(&self, value: u32, text: Option<&str>) -> Gave {
        let choices = self.unpack(value);
        let said = |(item, choice): (&Item, &u8)| {
            let chosen = item.options.get(usize::from(*choice)).map_or("no answer", String::as_str);
            format!("{}: {chosen}", item.text)
        };
        let mut words: Vec<String> = self.items.iter().zip(&choices).map(said).collect();
        words.extend(text.map(|text| format!("{text:?}")));
        let (text, words) = (text.map(str::to_owned), words.join("; "));
        Gave { choices, text, words, ..Gave::default() }
    }

    fn rule(&self, _: &Question) -> Option<String> {
        None
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        vec![facts.answered()]
    }

    fn results(&self, facts: &Facts<'_>) -> SurveyResults {
        let mut items: Vec<Vec<u64>> =
            self.items.iter().map(|item| vec![0; item.options.len()]).collect();
        for (_, cell, _) in facts.answers() {
            for (counts, choice) in items.iter_mut().zip(self.unpack(cell.value())) {
                if let Some(count) = counts.get_mut(usize::from(choice)) {
                    *count += 1;
                }
            }
        }
        let comments = facts.answers().filter_map(|(_, _, text)| text);
        SurveyResults { items, comments: super::word_cloud::count(comments, 50) }
    }
}

impl Survey {
    /// How many different answers there are.
    fn values(&self) -> u64 {
        let bases = self.items.iter().map(|item| item.options.len() as u64 + 1);
        bases.fold(1, u64::saturating_mul)
    }

    /// The choices that a held value stands for, one for each question.
    fn unpack(&self, mut value: u32) -> Vec<u8> {
        let mut choices = Vec::with_capacity(self.items.len());
        for item in self.items.iter().rev() {
            let base = item.options.len() as u32 + 1;
            choices.push((value % base).checked_sub(1).map_or(SKIPPED, |choice| choice as u8));
            value /= base;
        }
        choices.reverse();
        choices
    }

    fn pack(&self, choices: &[u8]) -> Result<u32, Invalid> {
        let mut value = 0;
        for (item, choice) in self.items.iter().zip(choices) {
            let place = match *choice {
                SKIPPED => 0,
                choice if usize::from(choice) < item.options.len() => u32::from(choice) + 1,
                beyond => return Err(Invalid(format!("there is no option {beyond}"))),
            };
            value = value * (item.options.len() as u32 + 1) + place;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        let item = |options: usize| Item {
            text: "?".into(),
            options: (0..options).map(|n| n.to_string()).collect(),
        };
        Survey { items: vec![item(2), item(5), item(3)], comment: true }
    }

    #[test]
    fn all_choices_survive_their_number() {
        for choices in [[0, 4, 2], [1, 0, 0], [SKIPPED, 3, SKIPPED], [SKIPPED; 3]] {
            let value = survey().pack(&choices).expect("the choices are there");
            assert_eq!(survey().unpack(value), choices);
        }
        assert_eq!(survey().values(), 72);
    }

    #[test]
    fn what_does_not_fit_the_questions_is_refused() {
        assert!(survey().take(&Given::choices(&[0, 0])).is_err());
        assert!(survey().take(&Given::choices(&[2, 0, 0])).is_err());
        let comment = Given { text: Some(" fine ".into()), ..Given::choices(&[0, 0, 0]) };
        let Ok(Taken::Answer { text, .. }) = survey().take(&comment) else { panic!("taken") };
        assert_eq!(text.as_deref(), Some("fine"));
    }
}
