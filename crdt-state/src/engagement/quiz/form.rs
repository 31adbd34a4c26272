//! How an author writes a question of a quiz. The form follows from the fields: `accepted` makes it typed,
//! `min` and `max` an estimate, `order` an order; `"options"` a choice, and `"form": "true_false"` one
//! whose options are already known.

use super::*;
use crate::engagement::file::Value;

pub(super) fn read(entry: &Object<'_>, report: &mut Report) -> Option<Quiz> {
    let is_there = |name| entry.field(name).is_some();
    let forms = [("choice", false), ("true_false", true)];
    if is_there("accepted") {
        read_typed(entry, report)
    } else if is_there("min") || is_there("max") {
        read_estimate(entry, report).map(Quiz::Estimate)
    } else if is_there("order") {
        read_order(entry, report)
    } else {
        let before = report.len();
        let is_true_false = entry.word("form", &forms, report);
        // What else is missing depends on what was meant.
        if report.len() > before {
            return None;
        }
        if is_true_false { read_true_false(entry, report) } else { read_options(entry, report) }
    }
}

fn read_options(entry: &Object<'_>, report: &mut Report) -> Option<Quiz> {
    let options = entry.options("options", &(caps::OPTIONS_MIN..=caps::OPTIONS_MAX), report);
    let multiple = entry.flag("multiple", report);
    let correct = read_correct(entry, options.as_deref(), multiple, report);
    Some(Quiz::Choice { options: options?, correct: correct?, multiple })
}

fn read_true_false(entry: &Object<'_>, report: &mut Report) -> Option<Quiz> {
    let options = ["True", "False"].map(str::to_owned).to_vec();
    let (value, path) = entry.required("correct", report)?;
    let correct = match &value.what {
        What::Flag(is_true) => Some(usize::from(!is_true)),
        _ => read_choice(value, &path, &options, report),
    };
    Some(Quiz::Choice { options, correct: 1 << correct?, multiple: false })
}

fn read_typed(entry: &Object<'_>, report: &mut Report) -> Option<Quiz> {
    let accepted = entry.options("accepted", &(1..=50), report);
    let typos = entry.whole("typos", 0..=3, report).unwrap_or(0) as u8;
    Some(Quiz::Typed { accepted: accepted?, typos })
}

fn read_order(entry: &Object<'_>, report: &mut Report) -> Option<Quiz> {
    let options = entry.options("options", &(caps::OPTIONS_MIN..=ORDER_MAX), report)?;
    let (list, path) = entry.list("order", &(options.len()..=options.len()), "places", report)?;
    let mut correct = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let choice = read_choice(value, &path, &options, report)? as u8;
        if correct.contains(&choice) {
            report.at(value, &path, format!("option {choice} is named a second time"));
            return None;
        }
        correct.push(choice);
    }
    Some(Quiz::Order { options, correct })
}

fn read_estimate(entry: &Object<'_>, report: &mut Report) -> Option<Estimate> {
    let mut number = |name: &str, fallback: Option<i64>| match entry.field(name) {
        Some(value) => thousandths(value, &entry.path_to(name), report),
        None if fallback.is_some() => fallback,
        None => entry.required(name, report).and(None),
    };
    let (min, max) = (number("min", None), number("max", None));
    let correct = number("correct", None);
    let step = number("step", Some(1_000));
    let (min, max, correct, step) = (min?, max?, correct?, step?);
    let within = number("within", Some((max.saturating_sub(min) / 10).max(1)))?;
    let read_unit = |value: &Value, path: &str, report: &mut Report| {
        text(value, path, caps::OPTION_BYTES_MAX, report)
    };
    let unit = entry.optional("unit", report, read_unit);
    let scale = Estimate { min, max, step, correct, within, unit };
    check_scale(entry, &scale, report);
    Some(scale)
}

fn check_scale(entry: &Object<'_>, scale: &Estimate, report: &mut Report) {
    const FAR: i64 = 1_000_000_000_000_000;
    let Estimate { min, max, step, correct, within, .. } = *scale;
    // The last number that can be answered is the nearest to the largest, perhaps beyond it.
    let last = |min: i64, max: i64| (max - min + step / 2) / step;
    if min >= max || min < -FAR || max > FAR {
        entry.report("max", "the largest number is not above the smallest, or too far", report);
    } else if step <= 0 || last(min, max) > i64::from(Cell::VALUE_MAX) {
        entry.report("step", "the step makes none or too many numbers", report);
    }
    if !(min..=max).contains(&correct) {
        entry.report("correct", "the correct number is not on the scale", report);
    } else if step > 0 && scale.number(scale.step_of(correct)) != correct {
        let below = correct - (correct - min) % step;
        let (right, below, above) =
            (Thousandths(correct), Thousandths(below), Thousandths(below + step));
        let message =
            format!("nobody can answer {right}: the steps next to it are {below} and {above}");
        entry.report("correct", message, report);
    }
    if !(1..=2 * FAR).contains(&within) {
        entry.report("within", "expected a number above zero, and not too far", report);
    }
}

pub(super) fn write(quiz: &Quiz, out: &mut Table) {
    let number = |number: i64| What::from(number as f64 / 1_000.0);
    match quiz {
        Quiz::Choice { options, correct, multiple } => {
            out.put("options", options.as_slice());
            out.put("correct", written(*correct));
            out.put("multiple", *multiple);
        }
        Quiz::Typed { accepted, typos } => {
            out.put("accepted", accepted.as_slice());
            out.put_unless("typos", u32::from(*typos), &0);
        }
        Quiz::Order { options, correct } => {
            let correct: Vec<u32> = correct.iter().copied().map(u32::from).collect();
            out.put("options", options.as_slice());
            out.put("order", correct.as_slice());
        }
        Quiz::Estimate(scale) => {
            let fields = [("min", scale.min), ("max", scale.max), ("step", scale.step)];
            let more = [("correct", scale.correct), ("within", scale.within)];
            for (name, value) in fields.into_iter().chain(more) {
                out.put(name, number(value));
            }
            if let Some(unit) = &scale.unit {
                out.put("unit", unit.clone());
            }
        }
    }
}

/// What somebody gives who knows nothing.
pub(super) fn guess(view: &QuizView, draw: Draw<'_>) -> Given {
    let mut given = Given::default();
    match (&*view.form, &view.scale) {
        ("typed", _) => given.text = Some(format!("word {}", draw(5) + 1)),
        ("estimate", Some(scale)) => {
            let steps =
                ((scale.max - scale.min) / scale.step).clamp(0.0, f64::from(Cell::VALUE_MAX));
            given.number = Some(scale.min + scale.step * f64::from(draw(steps as u32 + 1)));
        }
        ("order", _) => {
            let mut left: Vec<u8> = (0..view.options.len() as u8).collect();
            while !left.is_empty() {
                given.choices.push(left.remove(draw(left.len() as u32) as usize));
            }
        }
        _ => return Given::guessed(view.options.len(), view.multiple, draw),
    }
    given
}

/// One correct option as its number, several as a list.
pub(in crate::engagement) fn written(mask: u32) -> What {
    match mask.count_ones() {
        1 => mask.trailing_zeros().into(),
        _ => bits(mask).into_iter().map(u32::from).collect::<Vec<_>>().as_slice().into(),
    }
}
