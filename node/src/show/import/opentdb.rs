//! A reply of the Open Trivia Database: `{"response_code": 0, "results": [...]}`, or the bare list.
//!
//! Its texts are HTML unless other encodings were asked for; entities are resolved. It lists the correct
//! answer apart from the wrong ones, so that the options have no order: they get one that knows nothing
//! of which is correct.

use super::Follow;
use super::draft::{Draft, Words, in_key_blind_order};
use crdt_state::engagement::file::{Object, Report, Value, What, quote, string, whole, wrong_type};
use std::borrow::Cow;

/// The questions of a reply.
pub(super) fn read(root: &Value, follow: Follow<'_>, report: &mut Report) -> Vec<Draft<'static>> {
    let (results, path) = match &root.what {
        What::List(list) => (&list[..], String::new()),
        _ => match read_results(root, report) {
            Some(found) => found,
            None => return Vec::new(),
        },
    };
    let read = |(index, value): (usize, &Value)| {
        follow(value.at);
        read_question(value, &format!("{path}[{index}]"), report)
    };
    results.iter().enumerate().filter_map(read).collect()
}

fn read_results<'a>(root: &'a Value, report: &mut Report) -> Option<(&'a [Value], String)> {
    let reply = Object::read(root, "", &["response_code", "results"], report)?;
    check_code(&reply, report);
    let (value, path) = reply.required("results", report)?;
    let What::List(list) = &value.what else {
        wrong_type(value, &path, "a list", report);
        return None;
    };
    Some((list, path))
}

/// A reply without questions says why.
fn check_code(reply: &Object<'_>, report: &mut Report) {
    let reasons = [
        (1, "the database has not that many questions of this kind"),
        (2, "the request was not understood"),
        (3, "its session's token is unknown"),
        (4, "its session has had all questions"),
        (5, "too many requests: one in five seconds is answered"),
    ];
    reply.optional("response_code", report, |value, path, report| {
        let code = whole(value, path, &(0..=u32::MAX), report)?;
        let reason = reasons.iter().find(|(known, _)| *known == code);
        if code > 0 {
            let reason = reason.map_or("it failed", |(_, reason)| *reason);
            report.at(value, path, format!("the Open Trivia Database says {code}: {reason}"));
        }
        Some(())
    });
}

fn read_question(value: &Value, path: &str, report: &mut Report) -> Option<Draft<'static>> {
    let question = Object::read(value, path, &KNOWN, report)?;
    read_type(&question, report);
    let text = text_of(&question, "question", report);
    let correct = text_of(&question, "correct_answer", report)?;
    let wrong = read_wrong(&question, report)?.into_iter().map(|words| (words, false));
    let (options, correct) = in_key_blind_order(wrong.chain([(correct, true)]).collect());
    Some(Draft { at: value.at, text, options: Some(options), correct, ..Draft::default() })
}

fn read_type(question: &Object<'_>, report: &mut Report) {
    let known = ["multiple", "boolean"];
    question.optional("type", report, |value, path, report| {
        let kind = string(value, path, report)?;
        if !known.contains(&kind) {
            report.at(
                value,
                path,
                format!("{} is no type, known are {}", quote(kind), known.join(", ")),
            );
        }
        Some(())
    });
}

fn read_wrong(question: &Object<'_>, report: &mut Report) -> Option<Vec<Words<'static>>> {
    let (value, path) = question.required("incorrect_answers", report)?;
    let What::List(list) = &value.what else {
        wrong_type(value, &path, "a list", report);
        return None;
    };
    let read = |(index, value): (usize, &Value)| {
        let words = string(value, &format!("{path}[{index}]"), report)?;
        Some(Words::new(value.at, resolve(words)).on_one_line())
    };
    Some(list.iter().enumerate().filter_map(read).collect())
}

fn text_of(question: &Object<'_>, name: &str, report: &mut Report) -> Option<Words<'static>> {
    let (value, path) = question.required(name, report)?;
    let words = string(value, &path, report)?;
    Some(Words::new(value.at, resolve(words)).on_one_line())
}

fn resolve(words: &str) -> Cow<'static, str> {
    html_escape::decode_html_entities(words).into_owned().into()
}

/// The names of a question's fields; category and difficulty have no place in a show.
const KNOWN: [&str; 6] =
    ["type", "difficulty", "category", "question", "correct_answer", "incorrect_answers"];
