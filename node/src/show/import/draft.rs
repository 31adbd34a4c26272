//! A question on its way from a foreign format to the tree that the reader of shows walks.

use super::super::FORMAT;
use crdt_state::Cell;
use crdt_state::engagement::file::{Field, Value, What};
use std::borrow::Cow;

/// Words of the source, and the byte at which they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words<'t> {
    pub at: usize,
    pub text: Cow<'t, str>,
}

impl<'t> Words<'t> {
    pub(super) fn new(at: usize, text: impl Into<Cow<'t, str>>) -> Self {
        Words { at, text: text.into() }
    }

    /// The same words on one line: what a show cannot hold is white space of any other kind.
    pub(super) fn on_one_line(self) -> Self {
        let clean = |text: &str| {
            let mut words = text.split(' ');
            !text.chars().any(|c| c.is_whitespace() && c != ' ')
                && words.all(|word| !word.is_empty())
        };
        if clean(&self.text) {
            return self;
        }
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        Words { at: self.at, text: text.into() }
    }
}

/// A correct option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Correct<'t> {
    /// By its place among the options, from 0.
    Option(usize),
    /// By its words.
    Words(Cow<'t, str>),
}

/// A question as its file has it. What is absent is absent: the reader of shows knows the defaults, and
/// reports what must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Draft<'t> {
    pub at: usize,
    pub text: Option<Words<'t>>,
    pub options: Option<Vec<Words<'t>>>,
    pub correct: Vec<(usize, Correct<'t>)>,
    /// What may be typed, where the question is typed.
    pub accepted: Option<Vec<Words<'t>>>,
    /// The number that is sought, where the question is an estimate.
    pub estimate: Option<(usize, Scale)>,
    pub seconds: Option<(usize, &'t str)>,
    pub points: Option<(usize, &'t str)>,
    pub explanation: Option<Words<'t>>,
    /// What each correct option gives by itself, where it does.
    pub each: Option<u32>,
    /// Whether players choose several; several correct options always mean that.
    pub multiple: bool,
}

/// A number that is sought, and what may be answered, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub correct: i64,
    /// How far off an answer may be and still score.
    pub within: i64,
    pub step: i64,
    pub min: i64,
    pub max: i64,
}

impl Scale {
    /// The scale of a number that stands in its file without one, if it stands there alone. It tells how large the
    /// number is, as far as the next power of ten, and how many decimals it has, and no more: were it laid around
    /// the number, its middle would be the answer.
    pub(super) fn around(correct: i64, off: i64) -> Self {
        let steps = [1_000, 100, 10, 1];
        let fits = |step: &i64| correct % step == 0 && off % step == 0;
        let step = steps.into_iter().find(fits).unwrap_or(1);
        let within = off.saturating_add(step);
        let mut max: i64 = 10_000;
        while max <= correct.saturating_abs().saturating_add(within) && max < i64::MAX / 20 {
            max *= 10;
        }
        Scale { correct, within, step, min: if correct < 0 { -max } else { 0 }, max }
    }

    fn fields(&self, at: usize) -> impl Iterator<Item = Field> {
        let Scale { correct, within, step, min, max } = *self;
        let all =
            [("min", min), ("max", max), ("step", step), ("correct", correct), ("within", within)];
        let number = |thousandths: i64| What::Number((thousandths as f64 / 1_000.0).to_string());
        all.into_iter().map(move |(name, value)| field(at, name, number(value)))
    }
}

/// Lays all numbers of a file on one scale, which tells of each no more than that it is among them, unless they are
/// so different that it would have too many steps.
pub(super) fn share_scale(drafts: &mut [Draft<'_>]) {
    let scales = || drafts.iter().filter_map(|draft| draft.estimate.map(|(_, scale)| scale));
    let Some(step) = scales().map(|scale| scale.step).min() else { return };
    let min = scales().map(|scale| scale.min).min().unwrap_or_default();
    let max = scales().map(|scale| scale.max).max().unwrap_or_default();
    // If any is below 0, each may be.
    let min = if min < 0 { -max } else { 0 };
    if (max - min) / step > i64::from(Cell::VALUE_MAX) {
        return;
    }
    for (_, scale) in drafts.iter_mut().filter_map(|draft| draft.estimate.as_mut()) {
        let within = scale.within - scale.step + step;
        *scale = Scale { within, step, min, max, ..*scale };
    }
}

/// Options of a file that gives them no places, each with whether it is correct, in an order that hangs on
/// their words only: True before False, numbers by their value and before words, words as they are spelt.
/// The place of the correct one therefore tells nothing, and whoever imports the file gets the same show.
/// A hash would not do: what players are sent they can hash too.
pub(super) fn in_key_blind_order<'t>(
    mut options: Vec<(Words<'t>, bool)>,
) -> (Vec<Words<'t>>, Vec<(usize, Correct<'t>)>) {
    let number = |text: &str| text.parse().ok().filter(|it: &f64| it.is_finite());
    let value = |words: &Words<'_>| number(&words.text).unwrap_or(f64::INFINITY);
    options.sort_by(|(one, _), (other, _)| {
        value(one).total_cmp(&value(other)).then_with(|| one.text.cmp(&other.text))
    });
    if options.iter().all(|(words, _)| words.text == "True" || words.text == "False") {
        options.reverse();
    }
    let correct = options.iter().enumerate().filter(|(_, (_, is_correct))| *is_correct);
    let correct = correct.map(|(index, (words, _))| (words.at, Correct::Option(index))).collect();
    (options.into_iter().map(|(words, _)| words).collect(), correct)
}

/// The show of these questions.
pub(super) fn show(title: &str, drafts: Vec<Draft<'_>>) -> Value {
    let questions = drafts.into_iter().map(question).collect();
    let fields = vec![
        field(0, "format", What::Text(FORMAT.to_owned())),
        field(0, "title", What::Text(title.to_owned())),
        field(0, "questions", What::List(questions)),
    ];
    Value::new(0, What::Table(fields))
}

fn question(draft: Draft<'_>) -> Value {
    let at = draft.at;
    let mut fields = Vec::with_capacity(7);
    fields.extend(draft.text.map(|words| field(words.at, "text", text(words.text))));
    if let Some(options) = draft.options {
        let start = options.first().map_or(at, |option| option.at);
        let options = options.into_iter().map(|it| Value::new(it.at, text(it.text))).collect();
        fields.push(field(start, "options", What::List(options)));
    }
    if let Some(accepted) = draft.accepted {
        let start = accepted.first().map_or(at, |text| text.at);
        let accepted = accepted.into_iter().map(|it| Value::new(it.at, text(it.text))).collect();
        fields.push(field(start, "accepted", What::List(accepted)));
    }
    if let Some((at, scale)) = draft.estimate {
        fields.extend(scale.fields(at));
    }
    let multiple = draft.multiple || draft.correct.len() > 1;
    if let Some((start, _)) = draft.correct.first() {
        let start = *start;
        let correct = draft.correct.into_iter().map(|(at, it)| Value::new(at, it.into())).collect();
        fields.push(field(start, "correct", What::List(correct)));
    }
    let number = |digits: &str| What::Number(digits.to_owned());
    fields.extend(draft.seconds.map(|(at, it)| field(at, "seconds", number(it))));
    fields.extend(draft.points.map(|(at, it)| field(at, "points", number(it))));
    fields.extend(draft.each.map(|each| {
        let partial = field(at, "partial", What::Number(each.to_string()));
        field(at, "scoring", What::Table(vec![partial]))
    }));
    fields.extend(draft.explanation.map(|it| field(it.at, "explanation", text(it.text))));
    if multiple {
        fields.push(field(at, "multiple", What::Flag(true)));
    }
    Value::new(at, What::Table(fields))
}

impl From<Correct<'_>> for What {
    fn from(correct: Correct<'_>) -> Self {
        match correct {
            Correct::Option(index) => What::Number(index.to_string()),
            Correct::Words(words) => text(words),
        }
    }
}

fn field(at: usize, name: &str, what: What) -> Field {
    Field { at, name: name.to_owned(), value: Value::new(at, what) }
}

fn text(words: Cow<'_, str>) -> What {
    What::Text(words.into_owned())
}
