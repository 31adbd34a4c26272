//! What each form of a quiz's question takes and gives.

use super::*;
use crate::engagement::file::Value;
use crate::engagement::testing::{Player, started};
use crate::engagement::{Question, Task};
use crate::event::EventState;

fn judged(quiz: &Quiz, given: &Given, elapsed_ms: u32) -> (bool, i64) {
    judged_for(1_000, quiz, given, elapsed_ms)
}

fn judged_for(points: u32, quiz: &Quiz, given: &Given, elapsed_ms: u32) -> (bool, i64) {
    let Taken::Answer { value, text } = quiz.take(given).expect("the answer is one") else {
        panic!("a quiz takes answers")
    };
    let key = quiz.key().expect("a quiz has a key");
    let mut question = Question::new("?", Task::Quiz(quiz.clone()));
    question.points = points;
    let state = EventState::default();
    let facts = Facts { state: &state, instance: 1, number: 0, question: &question };
    let cell = Cell::new(elapsed_ms, crate::Origin(1), value);
    quiz.judge(&facts, &key, cell, text.as_deref())
}

fn typed(text: &str) -> Given {
    Given { text: Some(text.into()), ..Given::default() }
}

fn number(number: f64) -> Given {
    Given { number: Some(number), ..Given::default() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_typed_answer_is_accepted_in_any_case_and_with_so_many_slips() {
    let quiz = Quiz::Typed { accepted: words(&["Lima", "Ciudad de los Reyes"]), typos: 1 };
    for (text, is_right) in
        [(" lima. ", true), ("LIMMA", true), ("ciudad  de los reyes", true), ("Limerick", false)]
    {
        assert_eq!(judged(&quiz, &typed(text), 0).0, is_right, "{text}");
    }
    assert!(quiz.take(&typed("  ")).is_err());
    assert!(quiz.take(&typed(&"x".repeat(201))).is_err());
    assert!(quiz.take(&Given::choices(&[0])).is_err());
}

/// Whoever types sees the same on the screen afterwards.
#[test]
fn what_keyboards_write_in_several_ways_is_one_answer() {
    for (accepted, text) in [
        ("Bogotá", "Bogota\u{301}"),
        ("Bogota\u{301}", "BOGOTÁ"),
        ("O'Neill", "O’Neill"),
        ("O’Neill", "o`neill"),
        ("5", "５"),
        ("-5", "−5"),
        ("semi-final", "Semi–Final"),
        ("Straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("Ωμέγας", "ΩΜΈΓΑΣ"),
    ] {
        let quiz = Quiz::Typed { accepted: words(&[accepted]), typos: 0 };
        assert!(judged(&quiz, &typed(text), 0).0, "{text} for {accepted}");
    }
    let quiz = Quiz::Typed { accepted: words(&["Bogotá"]), typos: 0 };
    assert!(!judged(&quiz, &typed("Bogota"), 0).0, "that is another letter");
}

#[test]
fn a_slip_makes_no_other_number() {
    let quiz = Quiz::Typed { accepted: words(&["1969", "Apollo 11"]), typos: 1 };
    for (text, is_right) in [
        ("1969", true),
        ("1968", false),
        ("19690", false),
        ("Apolo 11", true),
        ("Apollo 12", false),
        ("Apollo 1", false),
    ] {
        assert_eq!(judged(&quiz, &typed(text), 0).0, is_right, "{text}");
    }
}

#[test]
fn only_the_marks_of_a_sentence_are_passed_over_in_a_typed_answer() {
    for (accepted, text, is_right) in [
        ("-5", "5", false),
        ("-5", "-5.", true),
        ("5", ".5", false),
        ("5", "...5", false),
        ("3.14", "(3.14)", true),
        ("=", "+", false),
        ("=", " = ", true),
        ("?", "!", false),
        ("C++", "C#", false),
        ("C++", "c++!", true),
        ("C", "C#", false),
        ("Lima", "„Lima“!", true),
        ("¿Qué?", "qué", true),
    ] {
        let quiz = Quiz::Typed { accepted: words(&[accepted]), typos: 0 };
        assert_eq!(judged(&quiz, &typed(text), 0).0, is_right, "{text} for {accepted}");
    }
}

#[test]
fn an_estimate_gives_by_its_closeness() {
    let scale =
        Estimate { min: 0, max: 100_000, step: 1_000, correct: 40_000, within: 10_000, unit: None };
    let of = |guess| judged(&Quiz::Estimate(scale.clone()), &number(guess), 0);
    assert_eq!(of(40.0), (true, 1_000));
    assert_eq!(of(45.0), (true, 500));
    assert_eq!(of(35.4), (true, 500));
    assert_eq!(of(50.0), (false, 0));
    let narrow = Quiz::Estimate(Estimate { within: 2_000_000, ..scale.clone() });
    assert_eq!(judged_for(10, &narrow, &number(100.0), 0), (true, 9));
    let far = Quiz::Estimate(Estimate { max: 9_000_000, within: 2_000_000, ..scale.clone() });
    assert_eq!(judged(&far, &number(2_039.0), 0), (false, 0), "nothing is left of it");
    assert_eq!(judged_for(0, &far, &number(2_039.0), 0), (true, 0), "of nothing nothing can be");
    assert!(Quiz::Estimate(scale.clone()).take(&number(100.5)).is_err());
    assert!(Quiz::Estimate(scale).take(&number(f64::NAN)).is_err());
}

/// From 0 to a million million, in thousandths.
fn star_scale() -> Estimate {
    let (max, step) = (1_000_000_000_000_000, 100_000_000);
    Estimate { min: 0, max, step, correct: max / 2, within: max, unit: None }
}

#[test]
fn the_mean_of_large_estimates_is_right_however_many_there_are() {
    let quiz = Quiz::Estimate(star_scale());
    let players: Vec<_> = (0..10_000).map(|_| Player::gives(number(1e12))).collect();
    let state = started(&[Task::Quiz(quiz.clone())], &players);
    let facts = Facts::of(&state, 1).expect("it has opened");
    assert_eq!(quiz.results(&facts).mean, Some(1e12));
}

#[test]
fn an_estimate_for_which_all_get_something_gives_in_a_line_too() {
    let scale = Estimate { within: 2_000_000_000_000_000, ..star_scale() };
    let given = number(1e12);
    assert_eq!(judged_for(100_000, &Quiz::Estimate(scale), &given, 0), (true, 75_000));
}

/// What is wrong with a question of a quiz as its author writes it.
fn problems(quiz: &Quiz) -> Vec<String> {
    let (mut out, mut report) = (Table::default(), Report::default());
    quiz.write(&mut out);
    let value = Value::new(0, out.done());
    let entry = Object::read(&value, "", Quiz::FIELDS, &mut report).expect("it is an object");
    let read = Quiz::read(&entry, &mut report);
    assert_eq!(read.as_ref(), Some(quiz), "it is read back as it is");
    report.into_found().0.into_iter().map(|found| found.field).collect()
}

#[test]
fn every_number_of_a_scale_can_be_held() {
    let of = |max| Estimate { min: 0, max, step: 1_000, correct: 0, within: 1, unit: None };
    let last = i64::from(Cell::VALUE_MAX) * 1_000;
    assert!(problems(&Quiz::Estimate(of(last))).is_empty());
    assert!(problems(&Quiz::Estimate(of(last + 499))).is_empty());
    assert_eq!(problems(&Quiz::Estimate(of(last + 500))), ["step"]);
    let far = Estimate { within: 100_000_000_000_000_000, ..of(last) };
    assert_eq!(problems(&Quiz::Estimate(far)), ["within"]);
    let taken = Quiz::Estimate(of(last + 499)).take(&number((last + 499) as f64 / 1e3));
    assert_eq!(taken, Ok(Taken::value(Cell::VALUE_MAX)));
}

#[test]
fn an_order_is_right_as_a_whole() {
    let quiz = Quiz::Order { options: words(&["b", "a", "c"]), correct: vec![1, 0, 2] };
    assert_eq!(judged(&quiz, &Given::choices(&[1, 0, 2]), 0), (true, 1_000));
    assert_eq!(judged(&quiz, &Given::choices(&[0, 1, 2]), 0), (false, 0));
    assert!(quiz.take(&Given::choices(&[0, 0, 1])).is_err());
    assert_eq!(quiz.given(rank_of(&[2, 0, 1], 3).unwrap(), None).choices, [2, 0, 1]);
}

#[test]
fn a_choice_takes_what_it_says() {
    let of = |multiple| Quiz::Choice { options: words(&["a", "b", "c"]), correct: 0b11, multiple };
    assert_eq!(of(true).take(&Given::choices(&[1, 0, 1])), Ok(Taken::value(0b11)));
    assert!(of(false).take(&Given::choices(&[0, 1])).is_err());
    assert!(of(false).take(&Given::choices(&[3])).is_err());
    assert!(of(false).take(&Given::choices(&[])).is_err());
}

#[test]
fn no_view_of_a_question_knows_its_key() {
    let options = words(&["a", "b"]);
    let pairs = [
        [1, 2].map(|correct| Quiz::Choice { options: options.clone(), correct, multiple: false }),
        ["x", "y"].map(|text| Quiz::Typed { accepted: words(&[text]), typos: 0 }),
        [vec![0, 1], vec![1, 0]].map(|correct| Quiz::Order { options: options.clone(), correct }),
    ];
    for [one, other] in pairs {
        assert_eq!(one.view(false), other.view(false));
        assert_ne!(one.key(), other.key());
    }
}
