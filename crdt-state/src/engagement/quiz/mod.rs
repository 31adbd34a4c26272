//! The quiz: questions with a key, scored by correctness and speed.
//!
//! Five forms: one option of several (true or false among them), several options, a typed answer with
//! accepted variants, an estimate scored by its closeness, an order.

pub(super) mod form;
mod how;
mod order;
mod worth;

pub(super) use how::How;
pub use order::{ORDER_MAX, rank_of, unrank};

use super::file::{Object, Report, Table, What, text};
use super::reason::{Timed, rule_of_key};
use super::scoring::{Partial, thousandths};
use super::script::{caps, read_choice, read_correct};
use super::{
    Alone, Amendment, Case, Draw, Entry, Facts, Gave, Given, Invalid, Key, Kind, PATH, Question,
    Reason, Scoring, Script, Taken, Thousandths, bits, key, mask,
};
use crate::Cell;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a question of a quiz asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quiz {
    /// One option, or several.
    Choice {
        /// What can be chosen.
        options: Vec<String>,
        /// The correct options as a mask, bit `i` for option `i`; never zero.
        correct: u32,
        /// Whether a player chooses several options.
        multiple: bool,
    },
    /// A text.
    Typed {
        /// Every text that is accepted.
        accepted: Vec<String>,
        /// How many typing errors are forgiven.
        typos: u8,
    },
    /// A number.
    Estimate(Estimate),
    /// All options, in their order.
    Order {
        /// What is to be put in order, as players first see it.
        options: Vec<String>,
        /// The correct order, as indexes of options.
        correct: Vec<u8>,
    },
}

/// A number on a scale. All numbers are in thousandths, so that they are whole and equal everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Estimate {
    /// The smallest that can be answered.
    pub min: i64,
    /// The largest.
    pub max: i64,
    /// Between two numbers that can be answered.
    pub step: i64,
    /// What is right.
    pub correct: i64,
    /// How far off a guess may be to give anything; in between points fall in a line.
    pub within: i64,
    /// What the number counts.
    pub unit: Option<String>,
}

impl Estimate {
    /// The step on the scale that is nearest to a number in thousandths.
    fn step_of(&self, number: i64) -> u32 {
        let (number, step) = (number.clamp(self.min, self.max) - self.min, self.step.max(1));
        ((number + step / 2) / step) as u32
    }

    /// The last step on the scale.
    fn last(&self) -> u32 {
        self.step_of(self.max)
    }

    /// The number of a step, in thousandths. What the last step has beyond the largest number nobody can give.
    #[must_use]
    pub fn number(&self, step: u32) -> i64 {
        (self.min + i64::from(step) * self.step).min(self.max)
    }

    /// The number of a step with what it counts.
    fn in_words(&self, step: u32) -> String {
        self.said(self.number(step))
    }

    /// A number in thousandths with what it counts.
    fn said(&self, number: i64) -> String {
        let unit = self.unit.as_deref().unwrap_or_default();
        format!("{} {unit}", Thousandths(number)).trim_end().to_owned()
    }
}

/// What players see of a question of a quiz.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuizView {
    /// `choice`, `typed`, `estimate` or `order`.
    pub form: String,
    /// What can be chosen or put in order; empty during the intro.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether several may be chosen.
    #[serde(default)]
    pub multiple: bool,
    /// Whether every right option gives the question's points: how many are right is part of the key.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub per_option: bool,
    /// The scale of an estimate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scale: Option<Scale>,
}

/// The scale of an estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scale {
    /// The smallest that can be answered.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Between two numbers that can be answered.
    pub step: f64,
    /// What the number counts.
    pub unit: Option<String>,
}

/// What answers without options come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuizResults {
    /// The texts that were typed most often.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub words: Vec<super::word_cloud::Word>,
    /// The mean of the estimates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mean: Option<f64>,
}

/// Bars of an estimate's histogram.
const BARS: usize = 20;

impl Quiz {
    /// What a part of what is right gives. A choice of one has no parts, and of nothing a part is nothing.
    fn partial(&self, question: &Question) -> Partial {
        match self {
            Quiz::Choice { multiple: false, .. } => Partial::Exact,
            _ if question.points == 0 => Partial::Exact,
            _ => question.scoring.partial,
        }
    }

    /// What every right option gives, where they give points one by one.
    fn each(&self, question: &Question) -> Option<u32> {
        match (self, self.partial(question)) {
            (Quiz::Choice { .. }, Partial::PerOption(each)) => Some(each),
            _ => None,
        }
    }
}

impl Kind for Quiz {
    const NAME: &'static str = "quiz";
    const FIELDS: &'static [&'static str] = &[
        "options", "correct", "multiple", "accepted", "typos", "order", "min", "max", "step",
        "within", "unit", "form",
    ];
    const PHASES: &'static [Phase] = PATH;
    const JUDGES_WORDS: bool = true;
    type View = QuizView;
    type Results = QuizResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        form::read(entry, report)
    }

    fn write(&self, out: &mut Table) {
        form::write(self, out);
    }

    fn view(&self, announced: bool) -> QuizView {
        let shown = |options: &[String]| if announced { Vec::new() } else { options.to_vec() };
        let of = |form: &str, options, multiple, scale| QuizView {
            form: form.to_owned(),
            options,
            multiple,
            per_option: false,
            scale,
        };
        match self {
            Quiz::Choice { options, multiple, .. } => of("choice", shown(options), *multiple, None),
            Quiz::Typed { .. } => of("typed", Vec::new(), false, None),
            Quiz::Order { options, .. } => of("order", shown(options), false, None),
            Quiz::Estimate(scale) => {
                let real = |number: i64| number as f64 / 1_000.0;
                let (min, max, step) = (real(scale.min), real(scale.max), real(scale.step));
                of(
                    "estimate",
                    Vec::new(),
                    false,
                    Some(Scale { min, max, step, unit: scale.unit.clone() }),
                )
            }
        }
    }

    fn view_in(&self, script: &Script, number: u16, announced: bool) -> QuizView {
        let question = script.questions.get(usize::from(number));
        let per_option = question.is_some_and(|question| self.each(question).is_some());
        QuizView { per_option, ..self.view(announced) }
    }

    fn offered(view: &QuizView) -> &[String] {
        &view.options
    }

    fn takes_several(view: &QuizView) -> bool {
        view.multiple
    }

    fn guess(view: &QuizView, _: Option<&QuizResults>, draw: Draw<'_>) -> Given {
        form::guess(view, draw)
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        match self {
            Quiz::Choice { options, multiple, .. } => {
                let most = if *multiple { options.len() } else { 1 };
                Ok(Taken::value(mask(&given.some_of(options.len(), most)?)))
            }
            Quiz::Typed { .. } => {
                let text = given.typed()?;
                Ok(Taken::Answer { value: text_value(&text), text: Some(text) })
            }
            Quiz::Estimate(scale) => {
                let number = given.number.filter(|number| number.is_finite());
                let number = number.ok_or_else(|| Invalid("no number is given".to_owned()))?;
                let (min, max) = (scale.min as f64 / 1e3, scale.max as f64 / 1e3);
                if !(min..=max).contains(&number) {
                    return Err(Invalid(format!("{number} is not between {min} and {max}")));
                }
                Ok(Taken::value(scale.step_of((number * 1e3).round() as i64)))
            }
            Quiz::Order { options, .. } => rank_of(&given.choices, options.len())
                .map(Taken::value)
                .ok_or_else(|| Invalid("put every option in order, each once".to_owned())),
        }
    }

    fn given(&self, value: u32, text: Option<&str>) -> Gave {
        match self {
            Quiz::Choice { options, .. } => Gave::choices(bits(value), options),
            Quiz::Typed { .. } => Gave::text(text),
            Quiz::Estimate(scale) => {
                let number = Some(Thousandths(scale.number(value)));
                Gave { number, words: scale.in_words(value), ..Gave::default() }
            }
            Quiz::Order { options, .. } => {
                let choices = unrank(value, options.len());
                let words = key::in_words(&Key::Order(choices.clone()), options);
                Gave { choices, words, ..Gave::default() }
            }
        }
    }

    fn key(&self) -> Option<Key> {
        Some(match self {
            Quiz::Choice { correct, .. } => Key::Choices(bits(*correct)),
            Quiz::Typed { accepted, .. } => Key::Texts(accepted.clone()),
            Quiz::Estimate(scale) => Key::Number(scale.step_of(scale.correct)),
            Quiz::Order { correct, .. } => Key::Order(correct.clone()),
        })
    }

    fn check_key(&self, key: &Key) -> Result<(), Invalid> {
        let fits = match (self, key) {
            (Quiz::Choice { options, multiple, .. }, Key::Choices(choices)) => {
                let beyond = choices.iter().any(|choice| usize::from(*choice) >= options.len());
                !choices.is_empty() && !beyond && (*multiple || choices.len() == 1)
            }
            (Quiz::Typed { .. }, Key::Texts(texts)) => !texts.is_empty(),
            (Quiz::Estimate(scale), Key::Number(step)) => *step <= scale.last(),
            (Quiz::Order { options, .. }, Key::Order(order)) => {
                rank_of(order, options.len()).is_some()
            }
            _ => false,
        };
        let wrong = || Invalid(format!("{} is no key of this question", super::key_text(key)));
        fits.then_some(()).ok_or_else(wrong)
    }

    fn key_in_words(&self, key: &Key) -> String {
        match (self, key) {
            (Quiz::Estimate(scale), Key::Number(step)) => scale.in_words(*step),
            _ => key::in_words(key, self.options()),
        }
    }

    fn is_accepted(&self, key: &Key, text: &str) -> bool {
        match (self, key) {
            (Quiz::Typed { typos, .. }, Key::Texts(accepted)) => {
                worth::accepted_as(text, accepted, *typos).is_some()
            }
            _ => false,
        }
    }

    fn amendments(&self) -> &'static [Amendment] {
        match self {
            Quiz::Typed { .. } => &[Amendment::Rescore, Amendment::Accept],
            _ => &[Amendment::Rescore],
        }
    }

    fn options(&self) -> &[String] {
        match self {
            Quiz::Choice { options, .. } | Quiz::Order { options, .. } => options,
            Quiz::Typed { .. } | Quiz::Estimate(_) => &[],
        }
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        match self {
            Quiz::Choice { options, .. } => facts.count_bits(options.len()),
            Quiz::Typed { .. } => Vec::new(),
            Quiz::Estimate(scale) => {
                let (last, mut bars) = (u64::from(scale.last().max(1)), vec![0; BARS]);
                for (_, cell, _) in facts.answers() {
                    let at = u64::from(cell.value()) * BARS as u64 / (last + 1);
                    bars[(at as usize).min(BARS - 1)] += 1;
                }
                bars
            }
            Quiz::Order { options, .. } => {
                let mut first = vec![0; options.len()];
                for (_, cell, _) in facts.answers() {
                    if let Some(option) = unrank(cell.value(), options.len()).first() {
                        first[usize::from(*option)] += 1;
                    }
                }
                first
            }
        }
    }

    fn results(&self, facts: &Facts<'_>) -> QuizResults {
        match self {
            Quiz::Typed { .. } => {
                let texts = facts.answers().filter_map(|(_, _, text)| text);
                QuizResults { words: super::word_cloud::count(texts, 20), mean: None }
            }
            Quiz::Estimate(scale) => {
                let all = facts.answers().map(|(_, cell, _)| scale.number(cell.value()));
                let add = |(sum, count), number| (sum + i128::from(number), count + 1);
                let (sum, count) = all.fold((0_i128, 0_i128), add);
                let mean = (count > 0).then(|| (sum / count.max(1)) as f64 / 1e3);
                QuizResults { words: Vec::new(), mean }
            }
            _ => QuizResults::default(),
        }
    }

    fn sift(results: &mut QuizResults, is_shown: &dyn Fn(&str) -> bool) {
        results.words.retain(|word| is_shown(&word.text));
    }

    fn alone(&self, facts: &Facts<'_>) -> Option<Alone> {
        let Quiz::Choice { .. } = self else { return None };
        let question = facts.question;
        let scoring = Scoring { partial: self.partial(question), ..question.scoring.clone() };
        Alone::new(&scoring, question.points, facts.open_ms(), facts.mask())
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        let Some(key) = facts.key() else { return };
        let (question, open_ms) = (facts.question, facts.open_ms());
        // A crowd types few different things, and to read one of them is dear.
        let mut read: BTreeMap<&str, (bool, u32)> = BTreeMap::new();
        for entry in entries {
            let text = entry.text.filter(|_| matches!(self, Quiz::Typed { .. }));
            let judged = entry.answer.map_or((false, 0), |cell| {
                let worth = || self.worth(question, &key, cell, entry.text);
                let worth = text.map_or_else(worth, |text| *read.entry(text).or_insert_with(worth));
                question.scoring.given(worth, (open_ms, cell.elapsed_ms()))
            });
            entry.judge(question, judged);
        }
    }

    fn full_points(&self, question: &Question) -> Option<u32> {
        Some(self.each(question).unwrap_or(question.points))
    }

    fn rule(&self, question: &Question) -> Option<String> {
        Some(rule_of_key(&self.worth_in_words(question), question))
    }

    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        let key = case.facts.key()?;
        let how = |cell| self.how(case.facts.question, &key, cell, case.text);
        Some(Timed::of(case, how)?.reason(case.outcome.points, case.outcome.bonus))
    }
}

/// What a cell holds beside a typed text: a hash that tells two texts apart.
pub(super) fn text_value(text: &str) -> u32 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as u32 & Cell::VALUE_MAX
}

#[cfg(test)]
mod tests;
