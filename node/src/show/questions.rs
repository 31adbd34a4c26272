//! The questions of a show file.
//!
//! `correct` counts from 0, like the choices that players send and like the export; an author who
//! would rather not count writes the option's own words.

use super::fields::{Object, flag, milliseconds, text, whole, wrong_type};
use super::report::{Report, quote};
use crdt_state::engagement::quiz::script::{Question, caps};
use jsonc_parser::ast::Value;
use std::collections::BTreeMap;

/// Reads the list of questions.
pub(super) fn read(show: &Object<'_, '_>, report: &mut Report) -> Option<Vec<Question>> {
    let lengths = 1..=caps::QUESTIONS_MAX;
    let (list, path) = show.list("questions", &lengths, "questions", report)?;
    let read = |(index, value)| read_question(value, &format!("{path}[{index}]"), report);
    let questions: Vec<_> = list.iter().enumerate().map(read).collect();
    questions.into_iter().collect()
}

fn read_question(value: &Value<'_>, path: &str, report: &mut Report) -> Option<Question> {
    let question = Object::read(value, path, &KNOWN, report)?;
    let text = question.text("text", report);
    let options = read_options(&question, report);
    let multiple = question.optional("multiple", report, flag).unwrap_or(false);
    let correct = read_correct(&question, options.as_deref(), multiple, report);
    let open_ms = question.optional("seconds", report, |value, path, report| {
        milliseconds(value, path, &caps::OPEN_MS, report)
    });
    let points = question.optional("points", report, |value, path, report| {
        whole(value, path, &(0..=caps::POINTS_MAX), report)
    });
    let explanation = question.optional("explanation", report, |value, path, report| {
        super::fields::text(value, path, caps::TEXT_BYTES_MAX, report)
    });
    Some(Question {
        text: text?,
        options: options?,
        correct: correct?,
        open_ms: open_ms.unwrap_or(OPEN_MS_DEFAULT),
        points: points.unwrap_or(POINTS_DEFAULT),
        explanation,
        multiple,
    })
}

/// The options; one that is no text is empty here, so that the others keep their numbers.
fn read_options(question: &Object<'_, '_>, report: &mut Report) -> Option<Vec<String>> {
    let lengths = caps::OPTIONS_MIN..=caps::OPTIONS_MAX;
    let (list, path) = question.list("options", &lengths, "options", report)?;
    let mut options = Vec::with_capacity(list.len());
    let mut seen = BTreeMap::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let option = text(value, &path, caps::OPTION_BYTES_MAX, report).unwrap_or_default();
        if let Some(first) = seen.insert(option.trim().to_owned(), index)
            && !option.is_empty()
        {
            report.at(value, &path, format!("{} is already option {first}", quote(&option)));
        }
        options.push(option);
    }
    Some(options)
}

/// The mask of correct options; `options` is absent when it could not be read at all.
fn read_correct(
    question: &Object<'_, '_>,
    options: Option<&[String]>,
    multiple: bool,
    report: &mut Report,
) -> Option<u16> {
    let (value, path) = question.required("correct", report)?;
    let options = options?;
    let Value::Array(list) = value else {
        return read_choice(value, &path, options, report).map(|choice| 1 << choice);
    };
    let mut mask = 0;
    for (index, value) in list.elements.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(choice) = read_choice(value, &path, options, report) else { continue };
        if mask & (1 << choice) != 0 {
            report.at(value, &path, format!("option {choice} is named a second time"));
        }
        mask |= 1 << choice;
    }
    check_count(value, &path, list.elements.len(), multiple, report);
    Some(mask)
}

fn check_count(value: &Value<'_>, path: &str, count: usize, multiple: bool, report: &mut Report) {
    if count == 0 {
        report.at(value, path, "no option is correct, expected at least one");
    }
    if count > 1 && !multiple {
        let advice = "add \"multiple\": true to let players choose several";
        report.at(value, path, format!("{count} options are correct: {advice}"));
    }
}

/// One correct option, by its number or by its words.
fn read_choice(
    value: &Value<'_>,
    path: &str,
    options: &[String],
    report: &mut Report,
) -> Option<usize> {
    // Beyond the cap the list itself has been reported, and a mask has no bit for the choice.
    let count = options.len().min(caps::OPTIONS_MAX);
    match value {
        Value::NumberLit(_) => numbered(value, path, count, report),
        Value::StringLit(words) => {
            let choice = options[..count].iter().position(|option| *option == words.value);
            if choice.is_none() {
                report.at(value, path, format!("{} is none of the options", quote(&words.value)));
            }
            choice
        }
        _ => {
            wrong_type(value, path, "an option's number or its words", report);
            None
        }
    }
}

fn numbered(value: &Value<'_>, path: &str, count: usize, report: &mut Report) -> Option<usize> {
    let Value::NumberLit(number) = value else { return None };
    let choice = number.value.parse().ok().filter(|choice: &usize| *choice < count);
    if choice.is_none() {
        let found = quote(number.value).replace('"', "");
        let wanted = match count {
            0 => "there are none".to_owned(),
            _ => format!("they count from 0 to {}", count - 1),
        };
        report.at(value, path, format!("{found} is no option: {wanted}"));
    }
    choice
}

/// How long a question is open unless it says otherwise, in milliseconds. Arbitrary: time to read
/// four options aloud.
pub const OPEN_MS_DEFAULT: u32 = 20_000;

/// What a question gives unless it says otherwise. Arbitrary: what players know from other quizzes.
pub const POINTS_DEFAULT: u32 = 1_000;

/// The names of a question's fields.
const KNOWN: [&str; 7] =
    ["text", "options", "correct", "seconds", "points", "explanation", "multiple"];
