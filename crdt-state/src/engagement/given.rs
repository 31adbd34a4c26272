//! What a player gave, told again: as it was sent, and in words.

use super::Given;
use super::key::named;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// What the state holds of a player's answer, in the fields in which players send it and in words: whoever gives
/// that once more gives the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gave {
    /// Chosen options, in the order in which they count.
    #[serde(default)]
    pub choices: Vec<u8>,
    /// What was typed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// A number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<Thousandths>,
    /// What is staked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stake: Option<u32>,
    /// All of it, as a person would say it.
    #[serde(default)]
    pub words: String,
}

impl Gave {
    /// Options of those that can be chosen.
    #[must_use]
    pub fn choices(choices: Vec<u8>, options: &[String]) -> Self {
        let words = named(&choices, options).join(", ");
        Gave { choices, words, ..Gave::default() }
    }

    /// A text and nothing else.
    #[must_use]
    pub fn text(text: Option<&str>) -> Self {
        let text = text.map(str::to_owned);
        Gave { words: text.clone().unwrap_or_default(), text, ..Gave::default() }
    }

    /// The same, to be given again.
    #[must_use]
    pub fn again(&self) -> Given {
        let (choices, text, stake) = (self.choices.clone(), self.text.clone(), self.stake);
        Given {
            choices,
            text,
            stake,
            number: self.number.map(Thousandths::real),
            ..Given::default()
        }
    }
}

/// A number in thousandths, so that it is whole and equal everywhere. In JSON it is a number like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thousandths(pub i64);

impl Thousandths {
    /// The number itself.
    #[must_use]
    pub fn real(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.real())
    }
}

impl Serialize for Thousandths {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 % 1_000 {
            0 => to.serialize_i64(self.0 / 1_000),
            _ => to.serialize_f64(self.real()),
        }
    }
}

impl<'de> Deserialize<'de> for Thousandths {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        f64::deserialize(from).map(|real| Thousandths((real * 1e3).round() as i64))
    }
}

impl JsonSchema for Thousandths {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        f64::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        f64::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engagement::elimination::Elimination;
    use crate::engagement::poll::Poll;
    use crate::engagement::prediction::Prediction;
    use crate::engagement::quiz::{Estimate, Quiz};
    use crate::engagement::raffle::Raffle;
    use crate::engagement::rating::Rating;
    use crate::engagement::survey::{Item, SKIPPED, Survey};
    use crate::engagement::testing::{counted, typed};
    use crate::engagement::word_cloud::WordCloud;
    use crate::engagement::{Taken, Task};

    fn options() -> Vec<String> {
        ["red", "blue", "green"].map(str::to_owned).to_vec()
    }

    fn of(choices: &[u8]) -> Given {
        Given::choices(choices)
    }

    /// A task of every form that takes one answer, what somebody gives, and what is said of it afterwards.
    fn cases() -> Vec<(Task, Given, &'static str)> {
        let options = options();
        let choice = |multiple| {
            Task::Quiz(Quiz::Choice { options: options.clone(), correct: 0b1, multiple })
        };
        let order = Task::Quiz(Quiz::Order { options: options.clone(), correct: vec![0, 1, 2] });
        let words = Task::Quiz(Quiz::Typed { accepted: options.clone(), typos: 0 });
        let (min, max, step, unit) = (-2_000, 9_000, 500, Some("m".to_owned()));
        let scale = Estimate { min, max, step, correct: 0, within: 1_000, unit };
        let estimate = Task::Quiz(Quiz::Estimate(scale));
        let poll = Task::Poll(Poll { options: options.clone(), multiple: true });
        let (stake_max, credit) = (500, 100);
        let bet = Task::Prediction(Prediction { options: options.clone(), stake_max, credit });
        let (lives, revivals, prize) = (1, 0, 0);
        let (correct, of_it) = (0b1, options.clone());
        let life = Elimination { options: of_it, correct, lives, revivals, prize };
        let item = |text: &str| Item { text: text.to_owned(), options: options.clone() };
        let survey = Survey { items: vec![item("Sky?"), item("Sea?")], comment: true };
        let said = Given { text: Some("fine".to_owned()), ..of(&[1, SKIPPED]) };
        vec![
            (choice(false), of(&[2]), "green"),
            (choice(true), of(&[2, 0]), "red, green"),
            (order, of(&[2, 0, 1]), "green → red → blue"),
            (words, typed("  Sky  blue "), "Sky blue"),
            (estimate.clone(), counted(3.5), "3.5 m"),
            (estimate, counted(-2.0), "-2 m"),
            (poll, of(&[1]), "blue"),
            (bet.clone(), Given { stake: Some(60), ..of(&[1]) }, "60 on blue"),
            (bet, of(&[0]), "100 on red"),
            (Task::Elimination(life), of(&[1]), "blue"),
            (Task::Rating(Rating { steps: 5, low: None, high: None }), of(&[3]), "4 of 5"),
            (Task::WordCloud(WordCloud { words: 3 }), typed("Big Sky,rain"), "big sky, rain"),
            (Task::Survey(survey.clone()), said, "Sky?: blue; Sea?: no answer; \"fine\""),
            (Task::Survey(survey), of(&[0, 2]), "Sky?: red; Sea?: green"),
            (Task::Raffle(Raffle { winners: 1 }), Given::default(), "a ticket"),
        ]
    }

    #[test]
    fn what_was_given_is_told_in_words_and_given_again_is_the_same() {
        for (task, given, words) in cases() {
            let Ok(taken @ Taken::Answer { value, .. }) = &task.take(&given) else {
                panic!("{task:?} takes no {given:?}")
            };
            let Taken::Answer { text, .. } = taken else { unreachable!("it is an answer") };
            let gave = task.given(*value, text.as_deref());
            assert_eq!(gave.words, words, "{task:?}");
            assert_eq!(&task.take(&gave.again()), &Ok(taken.clone()), "{task:?}: {gave:?}");
        }
    }

    /// So that nobody forgets a kind above.
    #[test]
    fn every_kind_that_takes_one_answer_tells_what_was_given() {
        let told: Vec<&str> = cases().iter().map(|(task, ..)| task.name()).collect();
        for kind in crate::engagement::KINDS {
            let is_aside = ["qa", "reactions", "tug", "coin"].contains(kind);
            assert!(told.contains(kind) != is_aside, "{kind}");
        }
    }

    #[test]
    fn the_last_number_of_a_scale_is_its_largest() {
        let (min, max, step) = (0, 10_000, 4_000);
        let scale = Estimate { min, max, step, correct: max, within: 1_000, unit: None };
        let task = Task::Quiz(Quiz::Estimate(scale));
        let Ok(Taken::Answer { value, .. }) = task.take(&counted(10.0)) else { panic!("a number") };
        assert_eq!(task.given(value, None).number, Some(Thousandths(10_000)));
        assert_eq!(task.key_in_words(&task.key().expect("it has one")), "10");
    }
}
