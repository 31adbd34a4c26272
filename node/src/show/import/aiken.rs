//! Aiken: a line with the question, lines `A. option`, a line `ANSWER: A`.

use super::super::report::{Report, quote};
use super::Follow;
use super::draft::{Correct, Draft, Words};

/// The questions of a file.
pub(super) fn read<'t>(text: &'t str, follow: Follow<'_>, report: &mut Report) -> Vec<Draft<'t>> {
    let mut drafts = Vec::new();
    let mut current: Option<Draft<'t>> = None;
    for line in lines(text) {
        follow(line.at);
        if let Some(letter) = answer_of(&line.text) {
            match current.take() {
                Some(draft) => drafts.push(answered(draft, line.at, letter, report)),
                None => report.add(line.at, "", "an ANSWER without a question before it"),
            }
        } else if let Some(draft) = &mut current {
            continue_question(draft, &line, report);
        } else {
            let at = line.at;
            current =
                Some(Draft { at, text: Some(line), options: Some(vec![]), ..Draft::default() });
        }
    }
    if let Some(draft) = current {
        report.add(draft.at, "", "this question has no line ANSWER: with its letter");
    }
    if drafts.is_empty() && report.is_empty() {
        report.add(0, "", "the file has no questions");
    }
    drafts
}

/// Every line that is not empty, trimmed, with its place.
fn lines(text: &str) -> impl Iterator<Item = Words<'_>> {
    let mut at = 0;
    let lines = text.split_inclusive('\n').map(move |line| {
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        Words::new(start, line.trim())
    });
    lines.filter(|line| !line.text.is_empty())
}

fn continue_question<'t>(draft: &mut Draft<'t>, line: &Words<'t>, report: &mut Report) {
    let options = draft.options.get_or_insert_default();
    let Some((letter, option)) = option_of(line) else {
        let message = match options.is_empty() {
            true => "expected an option such as \"A. Lima\": a question is one line",
            false => "expected another option or ANSWER:",
        };
        return report.add(line.at, "", message);
    };
    let expected = char::from(b'A' + (options.len() % 26) as u8);
    if letter != expected {
        report.add(line.at, "", format!("option {letter} stands here, expected {expected}"));
    }
    options.push(option);
}

/// The letter and the words of a line such as `A. Lima` or `A) Lima`.
fn option_of<'t>(line: &Words<'t>) -> Option<(char, Words<'t>)> {
    let letter = line.text.chars().next().filter(char::is_ascii_uppercase)?;
    let rest = line.text[1..].strip_prefix(['.', ')'])?;
    let words = rest.trim_start();
    if words.len() == rest.len() && !rest.is_empty() {
        return None;
    }
    let at = line.at + line.text.len() - words.len();
    Some((letter, Words::new(at, words.to_owned()).on_one_line()))
}

/// What follows `ANSWER:`, if the line is one.
pub(super) fn answer_of(line: &str) -> Option<&str> {
    let (word, letter) = line.trim().split_once(':')?;
    word.trim_end().eq_ignore_ascii_case("answer").then(|| letter.trim())
}

fn answered<'t>(mut draft: Draft<'t>, at: usize, letter: &str, report: &mut Report) -> Draft<'t> {
    let count = draft.options.as_ref().map_or(0, Vec::len);
    match letter.as_bytes() {
        [letter] if letter.is_ascii_uppercase() && usize::from(letter - b'A') < count => {
            draft.correct = vec![(at, Correct::Option(usize::from(letter - b'A')))];
        }
        _ => {
            report.add(
                at,
                "",
                format!("ANSWER: {} is none of the options' letters", quote(letter)),
            );
        }
    }
    draft
}
