//! Every sum is done again: what is said of points has to come out at the points that were given.

use super::*;
use crate::delta::{Answers, Delta, RulingChange};
use crate::engagement::coin::Coin;
use crate::engagement::elimination::Elimination;
use crate::engagement::poll::Poll;
use crate::engagement::prediction::Prediction;
use crate::engagement::qa::Qa;
use crate::engagement::quiz::{Estimate, Quiz};
use crate::engagement::raffle::Raffle;
use crate::engagement::rating::Rating;
use crate::engagement::reactions::Reactions;
use crate::engagement::scoring::{Partial, Scoring};
use crate::engagement::survey::{Item, Survey};
use crate::engagement::testing::{ME, Player, asked, counted, typed};
use crate::engagement::tug::Tug;
use crate::engagement::word_cloud::WordCloud;
use crate::engagement::{Given, KINDS, Key, Task, TaskView, counter_name};
use crate::event::Rule;
use crate::named::{Change, NumberChange, PlayerChange, PlayerMark};
use std::collections::BTreeSet;

/// An exact fraction, its divisor above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fraction(i128, i128);

impl Fraction {
    fn of(over: i128, under: i128) -> Self {
        assert!(under != 0, "nobody divides by nothing");
        if under < 0 { Fraction(-over, -under) } else { Fraction(over, under) }
    }

    fn is(self, other: Fraction) -> bool {
        self.0 * other.1 == other.0 * self.1
    }

    fn floor(self) -> Self {
        Fraction(self.0.div_euclid(self.1), 1)
    }
}

/// Somebody with a pencil: reads a sum from left to right.
struct Pencil<'a>(&'a str);

impl Pencil<'_> {
    fn take(&mut self, sign: char) -> bool {
        let rest = self.0.trim_start();
        let stripped = rest.strip_prefix(sign);
        self.0 = stripped.unwrap_or(rest);
        stripped.is_some()
    }

    fn sum(&mut self) -> Fraction {
        let mut sum = self.product();
        loop {
            let sign = if self.take('+') {
                1
            } else if self.take('-') {
                -1
            } else {
                return sum;
            };
            let Fraction(over, under) = self.product();
            sum = Fraction::of(sum.0 * under + sign * over * sum.1, sum.1 * under);
        }
    }

    fn product(&mut self) -> Fraction {
        let mut product = self.number();
        loop {
            if self.take('*') {
                let by = self.number();
                product = Fraction::of(product.0 * by.0, product.1 * by.1);
            } else if self.take('/') {
                let by = self.number();
                product = Fraction::of(product.0 * by.1, product.1 * by.0);
            } else {
                return product;
            }
        }
    }

    fn number(&mut self) -> Fraction {
        if self.take('(') {
            let inner = self.sum();
            assert!(self.take(')'), "a bracket is not closed before {:?}", self.0);
            return inner;
        }
        let sign = if self.take('-') { -1 } else { 1 };
        let rest = self.0.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, rest) = rest.split_at(end);
        self.0 = rest;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits: i128 =
            format!("{whole}{part}").parse().unwrap_or_else(|_| panic!("{number:?}"));
        Fraction::of(sign * digits, 10_i128.pow(part.len() as u32))
    }
}

/// Does every step of a sum again; the number that it ends with.
fn redone(arithmetic: &str) -> i64 {
    let mut last = None;
    for step in arithmetic.split("; ") {
        let (words, told) =
            step.rsplit_once(" = ").or_else(|| step.rsplit_once(": ")).unwrap_or((step, ""));
        let value = || {
            let mut pencil = Pencil(told);
            let value = pencil.sum();
            assert_eq!(pencil.0, "", "{step:?} ends with more than a number");
            value
        };
        last = None;
        if step.contains(" = ") {
            let (sum, is_floored) = match words.strip_suffix(", rounded down") {
                Some(sum) => (sum, true),
                None => (words, false),
            };
            let mut pencil = Pencil(sum.rsplit_once(": ").map_or(sum, |(_, sum)| sum));
            let sum = pencil.sum();
            assert_eq!(pencil.0.trim(), "", "{step:?} is no sum");
            let sum = if is_floored { sum.floor() } else { sum };
            assert!(sum.is(value()), "{step:?}: it is {sum:?}");
            last = Some(sum);
        } else if !told.is_empty() {
            last = Some(value());
        }
    }
    let Fraction(over, under) =
        last.unwrap_or_else(|| panic!("{arithmetic:?} ends with no number"));
    assert_eq!(over % under, 0, "{arithmetic}");
    (over / under) as i64
}

#[test]
fn a_pencil_finds_what_is_wrong() {
    assert_eq!(
        redone("what: (1000 * (100 * 30 - 50 * 2) + 50 * 30) / (100 * 30), rounded down = 967"),
        967
    );
    assert_eq!(
        redone("off: 330 - 320.5 = 9.5; so: 1000 * (100 - 9.5) / 100, rounded down = 905"),
        905
    );
    assert_eq!(redone("off: (-2) - (-5) = 3; nothing: -50"), -50);
    for wrong in ["a: 1 + 1 = 3", "a: 7 / 2 = 3", "no number", "a: 1; b"] {
        assert!(std::panic::catch_unwind(|| redone(wrong)).is_err(), "{wrong}");
    }
}

/// Times of answers to a question of ten seconds: on the plateau, at its end, on the way, in the grace, in time that was
/// granted to one player alone.
const TIMES: [u32; 7] = [0, 499, 500, 3_333, 10_000, 10_100, 12_000];

fn options() -> Vec<String> {
    ["red", "blue", "green", "grey"].map(str::to_owned).to_vec()
}

fn of(choices: &[u8]) -> Given {
    Given::choices(choices)
}

fn bet(option: u8, stake: u32) -> Given {
    Given { stake: Some(stake), ..of(&[option]) }
}

/// Rules of every shape.
fn rules() -> Vec<Scoring> {
    let usual = Scoring::default();
    let mut all = Vec::new();
    for partial in [Partial::Exact, Partial::Proportional, Partial::PerOption(333)] {
        all.push(Scoring { partial, ..usual.clone() });
        all.push(Scoring { partial, wrong: 50, late: Late::Nothing, ..usual.clone() });
        let streak = vec![100, 200];
        all.push(Scoring { partial, min_percent: 100, full_ms: 0, streak, ..usual.clone() });
        all.push(Scoring { partial, min_percent: 0, wrong: 7, ..usual.clone() });
    }
    all
}

/// Every form of a question with a key, and what players give to it.
fn keyed() -> Vec<(Task, Vec<Given>)> {
    let choice = |correct, multiple| Quiz::Choice { options: options(), correct, multiple };
    let order = Quiz::Order { options: options(), correct: vec![3, 1, 0, 2] };
    let words = Quiz::Typed { accepted: vec!["Lima".to_owned(), "Quito".to_owned()], typos: 1 };
    let scale = |min, step, correct, within| {
        Quiz::Estimate(Estimate {
            min,
            max: 9_000_000,
            step,
            correct,
            within,
            unit: Some("m".into()),
        })
    };
    let singles = [0, 1].map(|option| of(&[option])).to_vec();
    let several = [&[0, 1][..], &[0], &[0, 2], &[2], &[0, 1, 2], &[0, 2, 3], &[0, 1, 2, 3]];
    let life =
        Elimination { options: options(), correct: 0b1, lives: 2, revivals: 1, prize: 1_000 };
    vec![
        (Task::Quiz(choice(0b1, false)), singles.clone()),
        (Task::Quiz(choice(0b11, true)), several.map(of).to_vec()),
        (Task::Quiz(words), ["lima.", "Limma", "Cusco"].map(typed).to_vec()),
        (
            Task::Quiz(scale(0, 500, 330_000, 100_000)),
            [330.0, 320.5, 231.0, 230.0, 9.0].map(counted).to_vec(),
        ),
        (Task::Quiz(scale(-5_000, 1_000, -2_000, 7_001)), [-5.0, -2.0, 3.0].map(counted).to_vec()),
        (Task::Quiz(order), [&[3, 1, 0, 2][..], &[1, 3, 0, 2], &[0, 3, 2, 1]].map(of).to_vec()),
        (Task::Elimination(life), singles.clone()),
        (Task::Coin(Coin { tails: false }), singles),
    ]
}

/// Asks twice, every answer given at every time, by players who give the same twice and by players who do not.
fn ask(task: &Task, given: &[Given], scoring: &Scoring) -> EventState {
    let question = Question { scoring: scoring.clone(), ..Question::new("?", task.clone()) };
    let twice =
        |(first, second): (&Given, &Given)| Player(vec![Some(first.clone()), Some(second.clone())]);
    let pairs: Vec<Player> = given.iter().zip(given.iter().cycle().skip(1)).map(twice).collect();
    let same = given.iter().map(|given| twice((given, given)));
    let players: Vec<Player> = same
        .chain(pairs)
        .flat_map(|player| TIMES.map(|_| Player(player.0.clone())))
        .chain([Player::silent()])
        .collect();
    let mut state =
        asked(vec![question.clone(), question], &players, |number| TIMES[number % TIMES.len()]);
    for player in (0..players.len()).filter(|number| TIMES[number % TIMES.len()] == 12_000) {
        let player = PlayerId(player as u128);
        let mark = PlayerMark::ExtraMs(1, 5_000);
        state.take(ME, Delta::Named(Change::Player(PlayerChange { player, mark })));
    }
    state
}

/// Does the sum of every player in every run again; what was said, and how often points were given.
fn redo_all(state: &EventState, what: &str) -> (BTreeSet<String>, usize) {
    let (mut runs, mut verdicts, mut paid) = (Vec::new(), BTreeSet::new(), 0);
    fold(state, |_| true, |instance, all| runs.push((instance, all.to_vec())));
    assert!(!runs.is_empty(), "{what}: nothing was asked");
    for (instance, all) in &runs {
        for (player, outcome) in all {
            let case = Case::of(state, *instance, *player, all).expect("there is a run");
            let points = outcome.points;
            match case.facts.question.task.explain(&case) {
                Some(Reason { arithmetic, verdict }) => {
                    assert_eq!(
                        redone(&arithmetic),
                        points,
                        "{what}, {player} of run {instance}: {arithmetic}"
                    );
                    assert!(!verdict.is_empty(), "{what}");
                    verdicts.insert(verdict);
                }
                None => {
                    assert!(case.cell.is_none() && points == 0, "{what}: {points} without a word");
                }
            }
            paid += usize::from(points != 0);
        }
    }
    (verdicts, paid)
}

#[test]
fn the_sum_of_every_form_under_every_rule_comes_out_at_what_was_given() {
    for (task, given) in keyed() {
        for scoring in rules() {
            let what = format!("{task:?} under {scoring:?}");
            let (_, paid) = redo_all(&ask(&task, &given, &scoring), &what);
            assert!(paid > 0, "{what}: nobody has points");
            let question = Question { scoring, ..Question::new("?", task.clone()) };
            let rule = task.rule(&question);
            let worth = if matches!(task, Task::Coin(_)) { 100 } else { question.points };
            let per_option = matches!(question.scoring.partial, Partial::PerOption(_));
            assert!(per_option || rule.contains(&worth.to_string()), "{what}: {rule}");
        }
    }
}

/// What pages say beforehand is what comes of it, of a warm-up question too.
#[test]
fn a_right_answer_at_once_gives_what_players_were_told() {
    for (task, _) in keyed() {
        for (scoring, points) in rules().into_iter().flat_map(|it| [(it.clone(), 1_000), (it, 0)]) {
            let what = format!("{task:?} for {points} under {scoring:?}");
            let question = Question { scoring, points, ..Question::new("?", task.clone()) };
            let given = match task.key().expect("it has one") {
                Key::Choices(choices) | Key::Order(choices) => of(&choices),
                Key::Texts(texts) => typed(&texts[0]),
                Key::Number(step) => task.given(step, None).again(),
            };
            let state = asked(vec![question.clone()], &[Player::gives(given)], |_| 0);
            let mut gave = None;
            fold(&state, |_| true, |_, all| gave = Some(all[0].1));
            let Outcome { points, bonus, .. } = gave.expect("it was asked");
            let view = state.script().and_then(|script| script.view(0, false));
            let each = matches!(view, Some(TaskView::Quiz(view)) if view.per_option);
            let rights = if each { 2 } else { 1 };
            let prize = if matches!(task, Task::Elimination(_)) { 1_000 } else { 0 };
            let told = task.full_points(&question).expect("it gives points");
            assert_eq!(points, i64::from(told) * rights + prize, "{what}");
            assert_eq!(bonus, prize, "{what}");
            assert_eq!(each, told == 333, "{what}: only where several may be chosen");
        }
    }
}

#[test]
fn what_is_partly_right_is_told_as_it_is() {
    let quiz = Task::Quiz(Quiz::Choice { options: options(), correct: 0b11, multiple: true });
    let said = |partial, choices: &[u8]| {
        let scoring = Scoring { partial, ..Scoring::default() };
        let (verdicts, _) = redo_all(&ask(&quiz, &[of(choices)], &scoring), "a choice of several");
        verdicts.into_iter().next().expect("something is said")
    };
    let cancelled = "what is wrong of it takes all that the correct part would give";
    for partial in [Partial::Proportional, Partial::PerOption(500)] {
        assert_eq!(said(partial, &[0, 2]), cancelled);
        assert_eq!(said(partial, &[2]), WRONG);
        assert!(said(partial, &[0]).starts_with("a part of it is correct, after 0 of"));
    }
    let lacking = "it lacks a part of what is correct, and a part gives nothing";
    assert_eq!(said(Partial::Exact, &[0]), lacking);
}

/// What gives points by other rules than a key and a time, or none.
fn others() -> Vec<(&'static str, EventState)> {
    let ask = |tasks: Vec<Task>, players: Vec<Vec<Given>>| {
        let questions = tasks.into_iter().map(|task| Question::new("?", task)).collect();
        let player = |given: Vec<Given>| Player(given.into_iter().map(Some).collect());
        let players: Vec<Player> =
            players.into_iter().map(player).chain([Player::silent()]).collect();
        asked(questions, &players, |_| 600)
    };
    let alone = |task: Task, given: &[Given]| {
        ask(vec![task], given.iter().map(|it| vec![it.clone()]).collect())
    };
    let ruled = |mut state: EventState, instance, key| {
        let rule = Rule::Key(Key::Choices(key));
        state.take(ME, Delta::Ruling(RulingChange { lamport: 99, instance, rule }));
        state
    };
    let first = Task::Quiz(Quiz::Choice { options: options(), correct: 0b1, multiple: false });
    let (stake_max, credit) = (900, 100);
    let prediction = Task::Prediction(Prediction { options: options(), stake_max, credit });
    let bets = || {
        let players = [(0, 0, 900), (1, 0, 900), (1, 1, 60), (0, 1, 901), (0, 1, 77)];
        let bets =
            players.map(|(choice, option, stake)| vec![of(&[choice]), bet(option, stake.min(900))]);
        ask(vec![first.clone(), prediction.clone()], bets.to_vec())
    };
    let item = Item { text: "Well?".to_owned(), options: options() };
    let survey = Task::Survey(Survey { items: vec![item], comment: true });
    let tug = Task::Tug(Tug { sides: vec!["left".into(), "right".into()] });
    let sides = ask(vec![tug], vec![vec![], vec![], vec![], vec![]]);
    let mut pulled = sides.clone();
    let rows = vec![(0, 500, 0), (1, 500, 1), (2, 700, 0)];
    let pulls = Answers { instance: 1, question: 0, rows_of: ME, rows };
    pulled.take(ME, Delta::Answers(pulls));
    for (side, value) in [(0, 7), (1, 10)] {
        let change = NumberChange { name: counter_name(1, side), value };
        pulled.take(ME, Delta::Named(Change::Total(change)));
    }
    vec![
        ("a prediction that is open", bets()),
        ("a prediction that is cancelled", ruled(bets(), 2, vec![])),
        ("a prediction that nobody made", ruled(bets(), 2, vec![3])),
        ("a prediction", ruled(bets(), 2, vec![0])),
        ("a prediction the other way", ruled(bets(), 2, vec![1])),
        ("a poll", alone(Task::Poll(Poll { options: options(), multiple: true }), &[of(&[0])])),
        ("a rating", alone(Task::Rating(Rating { steps: 5, low: None, high: None }), &[of(&[0])])),
        ("a survey", alone(survey, &[of(&[1])])),
        ("a word cloud", alone(Task::WordCloud(WordCloud { words: 3 }), &[typed("sky")])),
        ("a raffle", alone(Task::Raffle(Raffle { winners: 2 }), &[of(&[]), of(&[]), of(&[])])),
        ("questions", ask(vec![Task::Qa(Qa { moderated: false, posts: 3 })], vec![vec![]])),
        ("applause", ask(vec![Task::Reactions(Reactions { options: options() })], vec![vec![]])),
        ("a rope that nobody pulls", sides),
        ("a tug of war", pulled),
    ]
}

#[test]
fn the_sum_of_every_other_kind_comes_out_at_what_was_given() {
    let mut kinds: BTreeSet<&str> = keyed().iter().map(|(task, _)| task.name()).collect();
    for (what, state) in others() {
        let (verdicts, paid) = redo_all(&state, what);
        let (_, question) = state.question_of(state.stage().instance).expect("it is shown");
        kinds.insert(question.task.name());
        let pays = ["a prediction", "a prediction the other way", "a raffle", "a tug of war"];
        let before = if what.contains("prediction") { 3 } else { 0 };
        assert_eq!(paid > before, pays.contains(&what), "{what}: {verdicts:?}");
    }
    for kind in KINDS {
        assert!(kinds.contains(kind), "nobody explains a {kind}");
    }
}

#[test]
fn places_in_a_row_are_called_as_people_call_them() {
    let called = [2, 3, 4, 11, 12, 13, 21, 22, 103, 111, 113, 1_001].map(ordinal);
    let names = "2nd 3rd 4th 11th 12th 13th 21st 22nd 103rd 111th 113th 1001st";
    assert_eq!(called.join(" "), names);
}
