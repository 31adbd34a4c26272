//! The worked example of `node/docs/kinds.md`, compiled from what the guide says and played.

use super::coin::Coin;
use super::file::{Field, Report, Value, What};
use super::testing::{ME, Player, started};
use super::{Amendment, Case, Given, KINDS, Key, Outcome, Reason, Script, Task, commitment, fold};
use crate::delta::{Delta, RulingChange};
use crate::event::{EventState, Rule};
use crate::id::PlayerId;

const GUIDE: &str = include_str!("../../../node/docs/kinds.md");

/// The blocks of the guide in one language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let parts = GUIDE.split("```").skip(1).step_by(2);
    parts.filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

#[test]
fn the_guide_shows_what_is_compiled_here() {
    let code = include_str!("coin/mod.rs");
    assert!(blocks("rust").any(|block| block == code), "the guide shows another coin");
    assert!(blocks("text").any(|block| block == "coin Coin ($crate::engagement::coin::Coin),\n"));
    assert!(GUIDE.contains(r#"{ "kind": "coin", "text": "Heads or tails?", "tails": true }"#));
    assert!(
        KINDS.contains(&"coin") && KINDS.len() == 12,
        "it is a kind like the others: {KINDS:?}"
    );
}

/// The show that the guide ends with, as an author's file says it.
fn script() -> Script {
    let value = |what| Value::new(0, what);
    let field = |name: &str, what| Field { at: 0, name: name.to_owned(), value: value(what) };
    let text = |text: &str| What::Text(text.to_owned());
    let question = vec![
        field("kind", text("coin")),
        field("text", text("Heads or tails?")),
        field("tails", What::Flag(true)),
    ];
    let questions = What::List(vec![value(What::Table(question))]);
    let format = field("format", text(super::script::FORMAT));
    let show = What::Table(vec![format, field("title", text("T")), field("questions", questions)]);
    let mut report = Report::default();
    let script = Script::read(&value(show), &mut report);
    assert!(report.is_empty(), "{:?}", report.into_found());
    script.expect("a show without problems is one")
}

fn outcomes(state: &EventState) -> Vec<(PlayerId, Outcome)> {
    let mut all = Vec::new();
    fold(state, |_| true, |_, round| all = round.to_vec());
    all
}

#[test]
fn the_guides_coin_is_read_played_explained_and_ruled_on() {
    let script = script();
    let task = script.questions[0].task.clone();
    assert_eq!(task, Task::Coin(Coin { tails: true }));
    assert!(commitment(&script.questions[0], 1).is_some(), "its key is bound at the opening");
    let players = [
        Player::gives(Given::choices(&[1])),
        Player::gives(Given::choices(&[0])),
        Player::silent(),
    ];
    let mut state = started(std::slice::from_ref(&task), &players);
    let points =
        |state: &EventState| outcomes(state).iter().map(|(_, o)| o.points).collect::<Vec<_>>();
    assert_eq!((state.tally(1), points(&state)), (vec![1, 1], vec![100, 0, 0]));
    let all = outcomes(&state);
    let explained = |player| {
        let case = Case::of(&state, 1, PlayerId(player), &all).expect("there is a run");
        task.explain(&case)
    };
    let arithmetic = "a right guess gives 100 points, at whatever time: 100".to_owned();
    let right = Reason { arithmetic, verdict: "the answer is correct".to_owned() };
    assert_eq!(explained(0), Some(right));
    assert_eq!(explained(1).expect("it was answered").verdict, "the answer is not the correct one");
    assert_eq!(explained(2), None);
    assert_eq!(task.amendments(), [Amendment::Rescore]);
    assert!(task.check_key(&Key::Choices(vec![0, 1])).is_err());
    let rule = Rule::Key(Key::Choices(vec![0]));
    state.take(ME, Delta::Ruling(RulingChange { lamport: 100, instance: 1, rule }));
    assert_eq!(points(&state), [0, 100, 0]);
}

#[test]
fn a_rehearsals_crowd_knows_how_to_guess_a_coin() {
    let task = Task::Coin(Coin { tails: false });
    let mut draws = 0..;
    let mut draw = |below: u32| draws.next().expect("it is endless") % below;
    for _ in 0..4 {
        let given = task.view(false).guess(None, &mut draw);
        task.take(&given).expect("a guess is an answer");
    }
}
