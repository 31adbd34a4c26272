//! What an answer to a question of a quiz is worth: how much of it is right, before time takes its share.

use super::{Quiz, unrank};
use crate::Cell;
use crate::engagement::scoring::Partial;
use crate::engagement::{Facts, Key, Question, mask};
use unicode_normalization::UnicodeNormalization;

impl Quiz {
    /// Whether an answer is correct, and what it gives.
    pub(in crate::engagement) fn judge(
        &self,
        facts: &Facts<'_>,
        key: &Key,
        cell: Cell,
        text: Option<&str>,
    ) -> (bool, i64) {
        let worth = self.worth(facts.question, key, cell, text);
        facts.question.scoring.given(worth, (facts.open_ms(), cell.elapsed_ms()))
    }

    /// Whether an answer is correct, and what it is worth.
    pub(in crate::engagement) fn worth(
        &self,
        question: &Question,
        key: &Key,
        cell: Cell,
        text: Option<&str>,
    ) -> (bool, u32) {
        let (partial, full) = (self.partial(question), question.points);
        let all_or_nothing = |is_right: bool| (is_right, if is_right { full } else { 0 });
        match (self, key) {
            (Quiz::Choice { .. }, Key::Choices(choices)) => {
                partial.worth(full, cell.value(), mask(choices))
            }
            (Quiz::Typed { typos, .. }, Key::Texts(accepted)) => all_or_nothing(
                text.is_some_and(|text| accepted_as(text, accepted, *typos).is_some()),
            ),
            (Quiz::Estimate(scale), Key::Number(step)) => {
                let off = (scale.number(cell.value()) - scale.number(*step)).unsigned_abs();
                let within = scale.within.unsigned_abs().max(1);
                if off >= within && off > 0 {
                    return all_or_nothing(false);
                }
                let near = u128::from(full) * u128::from(within - off) / u128::from(within);
                // What is so far off that nothing is left of it is as wrong as what is further off.
                (off == 0 || full == 0 || near > 0, near as u32)
            }
            (Quiz::Order { options, .. }, Key::Order(order)) => {
                let (given, all) = (unrank(cell.value(), options.len()), options.len() as u64);
                let right = given.iter().zip(order).filter(|(a, b)| a == b).count() as u64;
                if right == all || partial == Partial::Exact {
                    return all_or_nothing(right == all);
                }
                (false, (u64::from(full) * right / all.max(1)) as u32)
            }
            _ => (false, 0),
        }
    }
}

/// What a typed text is accepted as: one of those accepted, apart from case, space, the marks of a sentence around
/// it and so many typing errors.
pub(super) fn accepted_as<'a>(text: &str, accepted: &'a [String], typos: u8) -> Option<&'a String> {
    let text = plain(text);
    let is_near = |wanted: &&String| {
        let wanted = plain(wanted);
        wanted == text
            || (typos > 0
                && wanted.chars().count() > 3
                && numbers(&wanted).eq(numbers(&text))
                && strsim::osa_distance(&wanted, &text) <= usize::from(typos))
    };
    accepted.iter().find(is_near)
}

/// The numbers in a text: another one is no slip of the finger.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_numeric()).filter(|number| !number.is_empty())
}

/// One spelling for what keyboards write in several ways: composed letters, full-width ones, typographic apostrophes
/// and hyphens, capitals, also those without a small letter of their own.
fn folded(text: &str) -> String {
    let text = text.chars().map(|c| match c {
        '’' | '‘' | 'ʼ' | '`' | '´' | '′' => '\'',
        '‐' | '‑' | '‒' | '–' | '—' | '−' => '-',
        _ => c,
    });
    let text: String = text.collect();
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let composed: String = text.nfkc().collect();
    let folded: String = composed.to_uppercase().to_lowercase().nfkc().collect();
    folded.replace("i\u{307}", "i")
}

/// One spelling for all that a person would call the same answer: in lower case, without the marks of a
/// sentence around it. Signs stay, since they may be the answer or a part of it: `-5`, `.5`, `=`, `C#`.
fn plain(text: &str) -> String {
    let words = folded(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let before_end = words.trim_end_matches(is_mark);
    let bare = before_end.trim_start_matches(is_mark);
    let (start, rest) = before_end.split_at(before_end.len() - bare.len());
    let is_fraction = rest.starts_with(|c: char| c.is_ascii_digit());
    match start.chars().next_back().filter(|c| is_fraction && ".,".contains(*c)) {
        _ if rest.is_empty() => words,
        Some(point) => format!("{point}{rest}"),
        None => rest.to_owned(),
    }
}

/// Whether a character is one that people put around what they say.
fn is_mark(c: char) -> bool {
    c.is_whitespace() || ".,;:!?…¡¿\"'()[]«»‹›“”„‘’‚".contains(c)
}
