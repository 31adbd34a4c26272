//! Every kind of the sample show, played to its end by a crowd that guesses: a guess is taken, and what is
//! said of the points of every player in every round is what the board and the export say of them.

use crate::world::{Weather, World};
use crdt_state::delta::{Answers, Delta, Join};
use crdt_state::engagement::scoring::Partial;
use crdt_state::engagement::{Given, Key, Script, TEAM_INSTANCE, Task, fold};
use crdt_state::{Phase, PlayerId, Row};
use node::service::view::Command;
use serde_json::Value;
use std::collections::BTreeMap;

const PLAYERS: u128 = 7;
/// Who joins and never does anything.
const SILENT: u128 = 6;

/// The sample show, with lives enough that even who is silent has some left in the end.
fn script() -> Script {
    let text = include_str!("../../shows/kinds.json");
    let mut script = node::show::parse(text).expect("the sample is a show");
    for question in &mut script.questions {
        if let Task::Elimination(round) = &mut question.task {
            round.lives = 3;
        }
    }
    script
}

impl World {
    /// What a player gives who knows no more than the page.
    fn guess(&mut self, at: usize) -> Given {
        let live = self.view(at).live;
        let question = live.question.expect("a question is shown");
        let mut draw = |below: u32| self.roll(u64::from(below)) as u32;
        question.task.guess(live.results.as_ref(), &mut draw)
    }

    /// Goes on until the next question can be opened, or the show is over.
    fn conclude(&mut self) {
        use Command::{Close, Leaderboard, Reveal, Tallies};
        for command in [Close, Tallies, Reveal, Leaderboard] {
            if self.view(0).next.contains(&command) {
                self.step(0, command);
            }
        }
    }
}

/// The whole show; who gives something else than an answer gives it twice.
fn play(world: &mut World, script: &Script) {
    let claims: Vec<_> =
        (0..PLAYERS).map(|player| world.join(player as usize % 2, player)).collect();
    world.all_equal();
    for question in &script.questions {
        let instance = world.open(0);
        for claim in claims.iter().filter(|claim| claim.player.0 != SILENT) {
            let at = claim.player.0 as usize % 2;
            let given = world.guess(at);
            let kind = question.task.name();
            world.give(at, claim, instance, given).unwrap_or_else(|no| panic!("{kind}: {no:?}"));
            world.run_ms(150);
        }
        world.all_equal();
        world.conclude();
    }
    let bet = |question: &_| matches!(question, Task::Prediction(_));
    let at =
        script.questions.iter().position(|question| bet(&question.task)).expect("there is one");
    let resolve = world.say(1, Command::Resolve, |request| {
        request.instance = Some(at as u32 + 1);
        request.key = Some(Key::Choices(vec![0]));
    });
    assert_eq!(resolve.expect("a host says what came true").outcome, "applied");
    world.step(0, Command::End);
    world.all_equal();
}

/// What each player had after each run: the board is a sum, and a run's share of it a difference.
fn boards(world: &World) -> Vec<BTreeMap<PlayerId, i64>> {
    let state = world.core(0).state();
    let until = |last| fold(state, |instance| instance <= last, |_, _| {});
    let points = |last| until(last).into_iter().map(|(id, so_far)| (id, so_far.points)).collect();
    (0..=state.instances().count() as u32).map(points).collect()
}

#[test]
fn what_is_said_of_points_is_what_the_board_says_for_every_kind_player_and_round() {
    let script = script();
    let mut world = World::lobby_of(900, 2, script.clone(), Weather::default());
    play(&mut world, &script);
    let (boards, export) = (boards(&world), exported(&world));
    let (mut won_silently, mut told) = (0, BTreeMap::new());
    for (at, question) in script.questions.iter().enumerate() {
        let round = at as u32 + 1;
        for player in (0..PLAYERS).map(PlayerId) {
            let view = world.core(1).explain(&player.to_string(), round).expect("it is known");
            let wanted = boards[at + 1][&player] - boards[at][&player];
            let what = format!("{} of {}: {view:#?}", question.task.name(), player.0);
            assert_eq!(view.points, Some(wanted), "{what}");
            let line = export.get(&(u64::from(round), player.to_string()));
            let points = line.map_or(0, |line| line["points"].as_i64().expect("it has some"));
            assert_eq!(points, wanted, "{what}");
            if let Some(held) = &view.receipt {
                let line = line.expect("what is held has its line");
                let told =
                    [held.gave.words.as_str(), line["words"].as_str().expect("it has words")];
                assert!(told[0] == told[1] && !told[0].is_empty(), "{told:?}: {what}");
                assert_eq!(line["text"].as_str(), held.gave.text.as_deref(), "{what}");
            }
            if view.receipt.is_some() || wanted != 0 {
                let sum = view.arithmetic.as_ref().unwrap_or_else(|| panic!("no sum: {what}"));
                assert!(sum.ends_with(&format!(" {wanted}")), "{what}");
                assert!(view.verdict.starts_with(&format!("{wanted} points: ")), "{what}");
            }
            won_silently += u32::from(view.receipt.is_none() && wanted > 0);
            *told.entry(question.task.name()).or_insert(0) += i64::from(wanted != 0);
        }
    }
    assert_eq!(won_silently, 0, "who has taken no part has won nothing, whatever lives are left");
    for kind in ["quiz", "prediction", "elimination", "tug"] {
        assert!(told[kind] > 0, "nobody has points of a {kind}: {told:?}");
    }
    let total = &boards[script.questions.len()];
    for standing in world.core(0).scoreboard().top(world.core(0).state(), usize::MAX) {
        assert_eq!(standing.points as i64, total[&standing.player].max(0), "the board is the sum");
    }
}

/// The lines of the export that say what each run gave, by run and player.
fn exported(world: &World) -> BTreeMap<(u64, String), Value> {
    let text = String::from_utf8(world.core(0).export("123456").to_vec()).expect("it is text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    let answers = lines
        .filter(|line| ["answer", "given"].contains(&line["type"].as_str().unwrap_or_default()))
        .map(|line| {
            let player = line["player"].as_str().expect("it has one").to_owned();
            ((line["instance"].as_u64().expect("it has one"), player), line)
        });
    answers.collect()
}

/// A page shows what it is told: it has no list of kinds, and a number that means nothing would be shown as well.
#[test]
fn a_page_is_told_what_a_question_is_worth_where_anybody_knows() {
    let script = script();
    let mut world = World::lobby_of(902, 2, script.clone(), Weather::default());
    let claim = world.join(0, 1);
    let worthless = ["poll", "rating", "word_cloud", "qa", "reactions", "survey", "prediction"];
    for question in &script.questions {
        world.open(0);
        let kind = question.task.name();
        let shown = world.view(1).live.question.expect("it is open");
        let is_worth = !worthless.contains(&kind);
        let points = match question.scoring.partial {
            Partial::PerOption(each) => each,
            _ => question.points,
        };
        assert_eq!(shown.points, is_worth.then_some(points), "{kind}");
        let json = serde_json::to_value(&shown).expect("it is JSON");
        assert_eq!(json.get("points").is_some(), is_worth, "{kind}");
        world.conclude();
        if let Some(told) = world.core(1).result_of(claim.player) {
            let told = serde_json::to_value(&told).expect("it is JSON");
            assert!(told["points"].is_i64(), "only rounds with points are told of: {told}");
        }
    }
}

#[test]
fn a_round_that_gives_nothing_says_so_and_one_set_aside_says_that() {
    let script = script();
    let mut world = World::lobby_of(901, 2, script, Weather::default());
    let claim = world.join(0, 1);
    let instance = world.open(0);
    world.give(0, &claim, instance, Given::choices(&[1])).expect("a poll takes it");
    world.conclude();
    world.all_equal();
    let verdict = |world: &World, round| world.core(1).explain("player 1", round).unwrap().verdict;
    assert_eq!(verdict(&world, 1), "0 points: a round of the kind poll gives no points");
    for (words, is_known) in [("PLAYER 1", true), ("  Player  1 ", true), ("player 2", false)] {
        assert_eq!(world.core(1).explain(words, 1).is_ok(), is_known, "{words:?}");
    }
    let by_id = world.core(1).explain(&PlayerId(1).to_string(), 1).expect("it is known");
    assert_eq!(by_id.player, PlayerId(1));
    let instance = world.open(0);
    world.give(0, &claim, instance, Given::choices(&[0])).expect("true or false");
    world.step(0, Command::Close);
    assert_eq!(world.core(0).state().stage().phase, Phase::Closed);
    world.press(0, Command::Void);
    world.all_equal();
    assert_eq!(verdict(&world, 2), "0 points: a host has set the round aside");
    world.say(0, Command::Kick, |request| request.player = Some(PlayerId(1))).unwrap();
    world.press(0, Command::Restore);
    world.all_equal();
    assert_eq!(verdict(&world, 2), "0 points: a host has taken the player out");
}

/// What is final changes by what hosts rule and by nothing else: who comes later, or changes teams, takes nothing from
/// anybody, and has nothing of what was over.
#[test]
fn who_comes_when_a_round_is_over_changes_nothing_that_it_gave() {
    let script = script();
    let mut world = World::lobby_of(901, 2, script.clone(), Weather::default());
    play(&mut world, &script);
    let outcomes = |world: &World| {
        let mut all = Vec::new();
        fold(
            world.core(0).state(),
            |_| true,
            |run, round| {
                all.extend(round.iter().map(|(player, outcome)| ((run, *player), *outcome)));
            },
        );
        all.into_iter().collect::<BTreeMap<_, _>>()
    };
    let before = outcomes(&world);
    let origin = world.lives[0].1;
    let mut state = world.core(0).state().clone();
    let known = state.players.next_number(origin);
    let join = |number: u32| Join {
        row: Row { origin, number },
        player: PlayerId(1_000 + u128::from(number)),
        name: format!("late {number}"),
    };
    state.take(origin, Delta::Joins((known..known + 50).map(join).collect()));
    let teams = script.teams.names.len().max(2) as u32;
    let choose = |number: u32| (number, 15, number % teams);
    let (instance, question) = (TEAM_INSTANCE, 0);
    let rows = (0..known + 50).map(choose).collect();
    state.take(origin, Delta::Answers(Answers { instance, question, rows_of: origin, rows }));
    let mut late = 0;
    fold(
        &state,
        |_| true,
        |run, round| {
            for (player, outcome) in round {
                match before.get(&(run, *player)) {
                    Some(had) => assert_eq!(outcome, had, "{player:?} in run {run}"),
                    None => {
                        late += 1;
                        assert_eq!((outcome.points, outcome.correct), (0, false), "run {run}");
                    }
                }
            }
        },
    );
    assert!(late > 0);
}
