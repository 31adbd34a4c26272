//! How an answer to a question of a quiz comes to what it is worth, told so that anybody can do the sum again.

use super::worth::accepted_as;
use super::{Estimate, Quiz, Thousandths, unrank};
use crate::Cell;
use crate::engagement::reason::WRONG;
use crate::engagement::scoring::Partial;
use crate::engagement::{Key, Question, mask};

/// How an answer comes to what it is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engagement) struct How {
    /// Whether it is correct.
    pub is_right: bool,
    /// What it is worth, before time takes its share.
    pub worth: u32,
    /// The sum that ends with that.
    pub sum: String,
    /// Why it is worth nothing, of one that is not.
    pub flaw: &'static str,
}

impl Quiz {
    /// What an answer is worth to a question, in words.
    pub(super) fn worth_in_words(&self, question: &Question) -> String {
        let full = question.points;
        match (self, self.partial(question)) {
            (Quiz::Typed { typos, .. }, _) => {
                let slips = match typos {
                    0 => String::new(),
                    1 => ", up to one typing error".to_owned(),
                    typos => format!(", up to {typos} typing errors"),
                };
                format!(
                    "a text that is accepted gives {full} points, whatever its case and marks{slips}"
                )
            }
            (Quiz::Estimate(scale), _) => format!(
                "the right number gives {full} points, others less in a line with how far they are off, and from \
                 {} off on nothing",
                scale.said(scale.within.max(1))
            ),
            (Quiz::Order { .. }, Partial::Exact) => format!("the right order gives {full} points"),
            (Quiz::Order { .. }, _) => {
                format!("each option in its place gives its share of {full} points, rounded down")
            }
            (Quiz::Choice { .. }, Partial::Exact) => {
                format!("exactly the correct answer gives {full} points")
            }
            (Quiz::Choice { .. }, Partial::Proportional) => format!(
                "the correct options that are chosen give their share of {full} points, rounded down, and each wrong \
                 one takes the share of one away"
            ),
            (Quiz::Choice { .. }, Partial::PerOption(each)) => {
                format!("each correct option gives {each} points, and with a wrong one none does")
            }
        }
    }

    /// How an answer comes to what it is worth.
    pub(in crate::engagement) fn how(
        &self,
        question: &Question,
        key: &Key,
        cell: Cell,
        text: Option<&str>,
    ) -> How {
        let (is_right, worth) = self.worth(question, key, cell, text);
        let (partial, full) = (self.partial(question), question.points);
        let (sum, flaw) = match (self, key) {
            (Quiz::Choice { .. }, Key::Choices(choices)) => {
                how_chosen((partial, full), cell.value(), mask(choices), worth)
            }
            (Quiz::Typed { typos, .. }, Key::Texts(accepted)) => {
                let known = text.and_then(|text| accepted_as(text, accepted, *typos));
                let sum = match known {
                    Some(known) => format!("accepted as {known:?}: {worth}"),
                    None => format!("none of what is accepted: {worth}"),
                };
                (sum, "it is none of the texts that are accepted")
            }
            (Quiz::Estimate(scale), Key::Number(step)) => {
                let sum =
                    scale.how_near(full, scale.number(cell.value()), scale.number(*step), worth);
                (sum, "it is further off than gives anything")
            }
            (Quiz::Order { options, .. }, Key::Order(order)) => {
                how_ordered((partial, full), &unrank(cell.value(), options.len()), order, worth)
            }
            _ => (format!("the key is of another kind: {worth}"), WRONG),
        };
        How { is_right, worth, sum, flaw }
    }
}

/// A choice's way to its worth, and its flaw if it is worth nothing.
fn how_chosen(
    (partial, full): (Partial, u32),
    mask: u32,
    key: u32,
    worth: u32,
) -> (String, &'static str) {
    let (hits, misses) = ((mask & key).count_ones(), (mask & !key).count_ones());
    let (all, of_it) = (key.count_ones(), if hits == 1 { "one" } else { "ones" });
    let told = match misses {
        0 => format!("{hits} of {all} correct, no wrong one"),
        misses => format!("{hits} of {all} correct, {misses} wrong"),
    };
    let sum = match partial {
        Partial::PerOption(each) if misses == 0 => {
            format!("{hits} correct {of_it}, none wrong: {each} * {hits} = {worth}")
        }
        Partial::Proportional if hits >= misses => {
            format!("{told}: {full} * ({hits} - {misses}) / {all}, rounded down = {worth}")
        }
        _ if mask == key => format!("exactly the correct answer: {worth}"),
        _ => format!("{told}: {worth}"),
    };
    let flaw = match (hits, misses) {
        (0, _) => WRONG,
        (_, 0) => "it lacks a part of what is correct, and a part gives nothing",
        _ => "what is wrong of it takes all that the correct part would give",
    };
    (sum, flaw)
}

fn how_ordered(
    (partial, full): (Partial, u32),
    given: &[u8],
    order: &[u8],
    worth: u32,
) -> (String, &'static str) {
    let all = order.len();
    let right = given.iter().zip(order).filter(|(given, right)| given == right).count();
    let told = format!("{right} of {all} in their places");
    let sum = match partial {
        _ if right == all => format!("the right order: {worth}"),
        Partial::Exact => format!("{told}: {worth}"),
        _ => format!("{told}: {full} * {right} / {all}, rounded down = {worth}"),
    };
    let flaw = match right {
        0 => "no option is in its place",
        _ => "it is not the right order, and a part of it gives nothing",
    };
    (sum, flaw)
}

impl Estimate {
    /// A number's way to its worth where another one is right.
    fn how_near(&self, full: u32, given: i64, right: i64, worth: u32) -> String {
        let (most, least) = (given.max(right), given.min(right));
        let (off, within) = (most - least, self.within.max(1));
        let far = format!("{} - {} = {}", bare(most), bare(least), bare(off));
        let (off_by, within_by) = (bare(off), bare(within));
        if off >= within {
            return format!("how far off: {far}; not below {within_by}: {worth}");
        }
        format!(
            "how far off: {far}; what that leaves: {full} * ({within_by} - {off_by}) / {within_by}, rounded down = \
             {worth}"
        )
    }
}

/// A number within a sum.
fn bare(number: i64) -> String {
    let told = Thousandths(number).to_string();
    if number < 0 { format!("({told})") } else { told }
}
