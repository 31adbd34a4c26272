//! What hosts rule after a result was shown: the result says that it was revised, the same on every node.

use crate::world::{Weather, World};
use crdt_state::engagement::prediction::Prediction;
use crdt_state::engagement::raffle::Raffle;
use crdt_state::engagement::script::Salt;
use crdt_state::engagement::{Given, Key};
use crdt_state::engagement::{Question, Script, Task};
use crdt_state::{Phase, PlayerId, Stage};
use node::engine::{Input, Reply, stage_view};
use node::service::view::{Command, CommandRequest, InboxMessage, RoundLine};
use std::time::Duration;

/// Has a host rule on a run.
fn rule(world: &mut World, at: usize, command: Command, fill: impl FnOnce(&mut CommandRequest)) {
    let expected = stage_view(world.core(at).state().stage());
    let mut request = CommandRequest::new(command, expected);
    fill(&mut request);
    let request = Box::new(request);
    let ticket = world.ask(at, |ticket| Input::Command { ticket, request });
    let reply = world.reply(ticket);
    assert!(matches!(reply, Reply::Commanded(_)), "{command:?}: {reply:?}");
}

/// The revision of the shown round's result, and of the board, on every node.
fn revisions(world: &World) -> Vec<(u64, u64)> {
    let shown = |at: &usize| {
        let result = world.view(*at).live.result.expect("a round is closed");
        (result.revision, result.board_revision)
    };
    world.alive().iter().map(shown).collect()
}

fn result_of(world: &World, at: usize, player: PlayerId) -> Option<(u32, i64, u64)> {
    match world.core(at).result_of(player)? {
        InboxMessage::Result { instance, points, revision, .. } => {
            Some((instance, points.expect("a quiz gives points"), revision))
        }
        other => panic!("not a result: {other:?}"),
    }
}

#[test]
fn every_node_says_how_often_a_result_was_revised() {
    let mut world = World::lobby(401, 3, 20_000);
    let ada = world.join(0, 1);
    let instance = world.open(0);
    world.answer(0, &ada, instance, 2).unwrap();
    world.finish_round(0);
    world.all_equal();
    assert_eq!(revisions(&world), [(0, 0); 3]);
    // Hosts rule on three nodes, one right after the other.
    rule(&mut world, 1, Command::Rescore, |wish| wish.key = Some(Key::Choices(vec![2])));
    rule(&mut world, 2, Command::Rescore, |wish| wish.key = Some(Key::Choices(vec![3])));
    rule(&mut world, 0, Command::Award, |wish| {
        (wish.player, wish.points) = (Some(ada.player), Some(50));
        (wish.text, wish.id) = (Some("a song".into()), Some("1".into()));
    });
    world.all_equal();
    let (run, board) = revisions(&world)[0];
    assert_eq!(revisions(&world), [(run, board); 3]);
    assert_eq!((run, board), (2, 3), "two rulings, and an award beside them");
    let told: Vec<_> = (0..3).map(|at| result_of(&world, at, ada.player)).collect();
    assert!(told.iter().all(|one| one.is_some_and(|(.., revision)| revision == 2)), "{told:?}");
    let export = String::from_utf8(world.core(1).export("123456").into()).unwrap();
    let line = |kind: &str| {
        let found = export.lines().find(|line| line.contains(&format!("\"type\":\"{kind}\"")));
        serde_json::from_str::<serde_json::Value>(found.expect("there is one")).unwrap()
    };
    assert_eq!(line("event")["revision"], 3);
    assert_eq!(line("question")["revision"], 2);
    assert_eq!(line("tally")["revision"], 2);
    let explained = world.core(2).explain(&ada.player.to_string(), instance).unwrap();
    assert_eq!(explained.revision, 2);
}

/// Whoever stood at the first attempt when the host went back is told nothing of it: neither that it was wrong,
/// as if it had been revealed, nor what is right.
#[test]
fn an_attempt_that_was_left_before_its_reveal_is_told_to_nobody() {
    let mut world = World::lobby(402, 2, 20_000);
    let ada = world.join(0, 1);
    let instance = world.open(0);
    world.answer(0, &ada, instance, 0).unwrap();
    world.step(0, Command::Close);
    world.all_equal();
    world.step(0, Command::Back);
    world.all_equal();
    assert!((0..2).all(|at| result_of(&world, at, ada.player).is_none()));
    let again = world.open(1);
    world.answer(0, &ada, again, 0).unwrap();
    world.finish_round(0);
    world.all_equal();
    let (told, points, _) = result_of(&world, 1, ada.player).expect("it is revealed");
    assert_eq!(told, again);
    assert!(points > 0);
    // An attempt that everybody saw revealed stays told, as one that gives nothing.
    world.step(0, Command::Back);
    world.all_equal();
    let (told, points, revision) = result_of(&world, 0, ada.player).expect("it was revealed");
    assert_eq!((told, points, revision), (again, 0, 1));
}

/// What a show of two nodes that is at its raffle's opening publishes.
fn raffle(seed: u64) -> World {
    let raffle = Question::new("Who wins?", Task::Raffle(Raffle { winners: 1 })).open_ms(20_000);
    let mut script = Script::new("a raffle", vec![raffle]);
    script.questions[0].salt = Salt([7; 16]);
    let mut world = World::lobby_of(seed, 2, script, Weather::default());
    world.join(0, 1);
    world
}

fn commitment(world: &World) -> String {
    world.view(0).live.question.and_then(|shown| shown.commitment).expect("it is open")
}

#[test]
fn a_raffle_that_is_left_before_its_reveal_keeps_its_salt() {
    let mut world = raffle(403);
    let instance = world.open(0);
    world.step(0, Command::Close);
    world.all_equal();
    world.step(0, Command::Back);
    world.all_at(Stage::new(instance + 1, Phase::Intro));
    assert!(world.cores().all(|core| core.entrants(instance).is_none()));
    world.open(0);
    world.finish_round(0);
    assert!(world.core(0).entrants(instance + 1).is_some());
    assert!(world.core(0).entrants(instance).is_none());
}

/// Who knew the salt of the second attempt from the reveal of the first would enter last, under an id that wins.
#[test]
fn a_raffle_that_is_asked_again_has_another_salt() {
    let mut world = raffle(404);
    let (mut commitments, mut salts) = (Vec::new(), Vec::new());
    for attempt in 1..=3 {
        let instance = world.open(0);
        assert_eq!(instance, attempt);
        commitments.push(commitment(&world));
        world.finish_round(0);
        world.all_equal();
        let reveal = world.view(1).live.reveal.expect("it is revealed");
        let (salt, key) = (reveal.salt.expect("it hid a key"), reveal.key.expect("it was hidden"));
        salts.push(format!("{salt}:{key}"));
        let record = world.core(1).entrants(instance).expect("it is revealed").record();
        assert_eq!(
            (record.commitment, record.salt),
            (commitments[attempt as usize - 1].clone(), salt)
        );
        if attempt < 3 {
            world.step(0, Command::Back);
        }
    }
    for (run, commitment) in commitments.iter().enumerate() {
        for (of, hidden) in salts.iter().enumerate() {
            assert_eq!(sha256(hidden) == *commitment, run == of, "salt {of} opens run {run}");
        }
    }
}

fn sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The state tells the salts of every run, to a host too, who can enter last.
#[test]
fn no_state_is_given_out_before_a_raffle_is_over() {
    let mut world = raffle(405);
    let proof = |world: &World| world.core(0).proof(Duration::from_secs(60), "123456");
    let refused = |world: &World| proof(world).expect_err("it holds the salt").code;
    assert_eq!(refused(&world), "not_over", "in the lobby");
    world.open(0);
    assert_eq!(refused(&world), "not_over", "while it is open");
    world.finish_round(0);
    assert_eq!(refused(&world), "not_over", "while it can be asked again");
    world.step(0, Command::End);
    world.all_equal();
    assert!(proof(&world).is_ok());
}

#[test]
fn no_state_is_given_out_between_the_opening_of_a_key_and_its_reveal() {
    let mut world = World::lobby(406, 2, 20_000);
    let is_given = |world: &World| world.core(0).proof(Duration::from_secs(60), "1").is_ok();
    assert!(is_given(&world));
    world.open(0);
    assert!(!is_given(&world));
    world.step(0, Command::Close);
    world.all_equal();
    assert!(!is_given(&world));
    world.step(0, Command::Tallies);
    world.all_equal();
    world.step(0, Command::Reveal);
    assert!(is_given(&world));
}

/// The match ends when the show is some questions further.
/// A host says what came true where everybody waits for it, before the next question is asked.
#[test]
fn a_prediction_that_is_resolved_at_its_tallies_is_told_at_once() {
    let options = ["home", "away"].map(str::to_owned).to_vec();
    let bet = Prediction { options, stake_max: 500, credit: 100 };
    let script = Script::new("a show", vec![Question::new("Who wins?", Task::Prediction(bet))]);
    let mut world = World::lobby_of(412, 2, script, Weather::default());
    let claims = [(0, 1), (1, 2)].map(|(at, player)| world.join(at, player));
    world.all_equal();
    let stakes = world.open(0);
    for (at, claim, option) in [(0, &claims[0], 0), (1, &claims[1], 1)] {
        let given = Given { stake: Some(100), ..Given::choices(&[option]) };
        world.give(at, claim, stakes, given).unwrap();
    }
    let resolved = |world: &World| match world.core(1).resolved_for(PlayerId(1)) {
        Some(InboxMessage::Result { points, total, rank, .. }) => Some((points?, total, rank)),
        _ => None,
    };
    world.step(0, Command::Close);
    world.step(0, Command::Tallies);
    assert_eq!(resolved(&world), None, "nobody knows yet");
    rule(&mut world, 1, Command::Resolve, |wish| {
        (wish.instance, wish.key) = (Some(stakes), Some(Key::Choices(vec![0])));
    });
    world.all_equal();
    assert_eq!(resolved(&world), Some((100, 100, 1)));
}

#[test]
fn who_staked_is_told_what_it_gave_once_the_prediction_is_resolved() {
    let options = ["home", "away"].map(str::to_owned).to_vec();
    let bet = Prediction { options: options.clone(), stake_max: 500, credit: 100 };
    let questions = vec![
        Question::new("Who wins?", Task::Prediction(bet)),
        Question::choice("?", options, 1),
        Question::choice("?", vec!["a".into(), "b".into()], 1),
    ];
    let script = Script::new("a show", questions);
    let mut world = World::lobby_of(411, 2, script, Weather::default());
    let claims = [(0, 1), (1, 2), (1, 3)].map(|(at, player)| world.join(at, player));
    world.all_equal();
    let stakes = world.open(0);
    for (at, claim, option) in [(0, &claims[0], 0), (1, &claims[1], 1)] {
        let given = Given { stake: Some(100), ..Given::choices(&[option]) };
        world.give(at, claim, stakes, given).unwrap();
    }
    world.step(0, Command::Close);
    world.step(0, Command::Tallies);
    let second = world.open(0);
    world.answer(0, &claims[0], second, 1).unwrap();
    world.finish_round(0);
    world.all_equal();
    let told = |world: &World, player: u128| {
        let core = world.core(1);
        let both = [core.resolved_for(PlayerId(player)), core.result_of(PlayerId(player))];
        both.map(|message| match message? {
            InboxMessage::Result { instance, points, stake, .. } => {
                Some((instance, points?, stake))
            }
            other => panic!("not a result: {other:?}"),
        })
    };
    assert_eq!(told(&world, 2), [None, Some((second, 0, None))], "nobody knows yet");
    rule(&mut world, 1, Command::Resolve, |wish| {
        (wish.instance, wish.key) = (Some(stakes), Some(Key::Choices(vec![0])));
    });
    world.all_equal();
    assert_eq!(told(&world, 1)[0], Some((stakes, 100, Some(100))));
    assert_eq!(told(&world, 2), [Some((stakes, 0, Some(100))), Some((second, 0, None))]);
    assert_eq!(told(&world, 3)[0], None, "who has staked nothing is told nothing of it");
    world.ask(1, |ticket| Input::Resume { ticket, claim: claims[1].clone() });
    world.ask(1, |_| Input::Project { player: PlayerId(2) });
    let results = world.inbox.iter().filter_map(|(_, player, message)| match message {
        InboxMessage::Result { instance, .. } if player.0 == 2 => Some(*instance),
        _ => None,
    });
    assert_eq!(results.collect::<Vec<_>>(), [stakes, second], "what is on comes last");
}

/// That a key was wrong is found out when the show is some questions further, or over.
#[test]
fn a_host_finds_the_runs_of_a_question_and_rules_on_them_rounds_later() {
    let mut world = World::lobby(412, 2, 20_000);
    let ada = world.join(0, 1);
    let first = world.open(0);
    world.answer(0, &ada, first, 2).unwrap();
    world.finish_round(0);
    let second = world.open(1);
    world.all_equal();
    let runs = |world: &World, question| world.core(1).rounds_of(question);
    let run = |world: &World| runs(world, 1).unwrap().pop().expect("it was asked");
    assert_eq!((run(&world).answered, run(&world).correct), (1, vec![0]));
    assert_eq!(run(&world).tallies, Some(vec![0, 0, 1, 0]));
    assert_eq!(run(&world).can, [Command::Void, Command::Rescore]);
    assert!(runs(&world, 2).unwrap()[0].can.is_empty(), "it is open");
    assert_eq!(runs(&world, 2).unwrap()[0].tallies, None);
    assert_eq!(runs(&world, 3), Ok(Vec::new()));
    assert_eq!(runs(&world, 4).unwrap_err().code, "question_unknown");
    rule(&mut world, 1, Command::Rescore, |wish| {
        (wish.instance, wish.key) = (Some(first), Some(Key::Choices(vec![2])));
    });
    rule(&mut world, 0, Command::Void, |wish| wish.instance = Some(first));
    world.all_equal();
    assert_eq!(run(&world).correct, [2]);
    assert_eq!(run(&world).can, [Command::Restore, Command::Rescore]);
    let line = |instance, number, (voided, revision)| RoundLine {
        instance,
        number,
        voided,
        resolved: None,
        revision,
    };
    let told = vec![line(second, 2, (false, 0)), line(first, 1, (true, 2))];
    assert_eq!(world.view(0).rounds, Some(told));
    world.finish_round(1);
    world.step(0, Command::End);
    assert_eq!(run(&world).can, [Command::Restore, Command::Rescore], "also when it is over");
}
