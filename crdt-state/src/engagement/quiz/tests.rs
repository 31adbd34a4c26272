//! What each form of a quiz's question takes and gives.

use super::*;
use crate::engagement::{Question, Task};
use crate::event::EventState;

fn judged(quiz: &Quiz, given: &Given, elapsed_ms: u32) -> (bool, i64) {
    let Taken::Answer { value, text } = quiz.take(given).expect("the answer is one") else {
        panic!("a quiz takes answers")
    };
    let key = quiz.key().expect("a quiz has a key");
    let question = Question::new("?", Task::Quiz(quiz.clone()));
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
    assert!(Quiz::Estimate(scale.clone()).take(&number(100.5)).is_err());
    assert!(Quiz::Estimate(scale).take(&number(f64::NAN)).is_err());
}

#[test]
fn an_order_is_right_as_a_whole() {
    let quiz = Quiz::Order { options: words(&["b", "a", "c"]), correct: vec![1, 0, 2] };
    assert_eq!(judged(&quiz, &Given::choices(&[1, 0, 2]), 0), (true, 1_000));
    assert_eq!(judged(&quiz, &Given::choices(&[0, 1, 2]), 0), (false, 0));
    assert!(quiz.take(&Given::choices(&[0, 0, 1])).is_err());
    assert_eq!(quiz.choices(rank_of(&[2, 0, 1], 3).unwrap()), [2, 0, 1]);
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
