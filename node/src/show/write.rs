//! A script as the show file that reads back to it.

use super::FORMAT;
use crdt_state::engagement::quiz::script::{Question, Script};
use serde::Serialize;

/// The show file of a script: `parse(&to_json(script))` is the script again, as long as it keeps
/// the caps.
#[must_use]
pub fn to_json(script: &Script) -> String {
    let show = Show {
        format: FORMAT,
        title: &script.title,
        autopilot_seconds: script.autopilot_ms.map(seconds),
        questions: script.questions.iter().map(Entry::from).collect(),
    };
    let mut json = serde_json::to_string_pretty(&show).expect("no map keys but strings");
    json.push('\n');
    json
}

#[derive(Serialize)]
struct Show<'a> {
    format: &'static str,
    title: &'a str,
    autopilot_seconds: Option<serde_json::Number>,
    questions: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    text: &'a str,
    options: &'a [String],
    correct: Correct,
    seconds: serde_json::Number,
    points: u32,
    explanation: Option<&'a str>,
    multiple: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Correct {
    One(u32),
    Several(Vec<u32>),
}

impl<'a> From<&'a Question> for Entry<'a> {
    fn from(question: &'a Question) -> Self {
        Entry {
            text: &question.text,
            options: &question.options,
            correct: correct(question.correct),
            seconds: seconds(question.open_ms),
            points: question.points,
            explanation: question.explanation.as_deref(),
            multiple: question.multiple,
        }
    }
}

fn correct(mask: u16) -> Correct {
    match mask.count_ones() {
        1 => Correct::One(mask.trailing_zeros()),
        _ => Correct::Several((0..u16::BITS).filter(|bit| mask & (1 << bit) != 0).collect()),
    }
}

/// Whole seconds without a decimal point, as an author would write them.
fn seconds(ms: u32) -> serde_json::Number {
    if ms.is_multiple_of(1_000) {
        return (ms / 1_000).into();
    }
    serde_json::Number::from_f64(f64::from(ms) / 1_000.0).expect("a quotient of integers is finite")
}
