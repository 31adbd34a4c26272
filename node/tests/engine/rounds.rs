//! Shows on cores that all reach each other.

use crate::asks::receipt_in;
use crate::world::{Weather, World};
use crdt_state::engagement::Given;
use crdt_state::{Phase, PlayerId, Stage};
use node::engine::{Input, Reply, stage_view};
use node::service::view::{Command, CommandRequest, PhaseView};

#[test]
fn a_whole_show_runs_on_three_cores() {
    let mut world = World::lobby(1, 3, 5_000);
    let players: Vec<_> = (0..6).map(|n| world.join(n as usize % 3, n)).collect();
    for round in 0..3u8 {
        let at = usize::from(round);
        let instance = world.open(at);
        for (n, claim) in players.iter().enumerate() {
            world.run_ms(200);
            let choice = if n < 3 { round % 4 } else { 3 - round % 4 };
            let receipt = world.answer((n + at) % 3, claim, instance, choice).unwrap();
            assert_eq!((receipt.status.as_str(), receipt.firm), ("accepted", true));
        }
        world.finish_round((at + 1) % 3);
        world.all_call_it("final");
        assert_eq!(world.core(at).state().answered(instance), 6);
    }
    world.step(2, Command::End);
    world.all_equal();
    assert_eq!(world.applied, 3 * 6 * 2, "each answer is applied once on the two other cores");
    let core = world.core(0);
    let standings = core.scoreboard().top(core.state(), usize::MAX);
    let ids: Vec<u128> = standings.iter().map(|standing| standing.player.0).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5], "the earlier answer gives more, wrong ones nothing");
    assert!(standings[2].points > 0 && standings[3].points == 0, "{standings:?}");
    assert_eq!(standings[5].rank, 4, "those without points share a rank");
}

#[test]
fn two_hosts_pressing_one_button_at_once_make_one_step() {
    let mut world = World::lobby(2, 3, 5_000);
    let tickets = [0, 1].map(|at| world.ask_command(at, Command::Open, None));
    let replies = tickets.map(|ticket| world.reply(ticket));
    assert!(replies.iter().all(|reply| matches!(reply, Reply::Commanded(_))), "{replies:?}");
    world.all_at(Stage::new(1, Phase::Open));
    world.finish_round(2);
    let tickets = [1, 2].map(|at| world.ask_command(at, Command::Next, None));
    for ticket in tickets {
        world.reply(ticket);
    }
    world.all_at(Stage::new(2, Phase::Intro));
    assert_eq!(world.core(0).state().instances().count(), 2);
}

#[test]
fn a_round_closes_on_time_on_all_cores_though_its_opener_died() {
    let mut world = World::lobby(3, 3, 2_000);
    world.open(0);
    world.crash(0);
    world.run_ms(2_000 + 300 - 50);
    assert!(world.is_at(Stage::new(1, Phase::Open)), "an answer on zero still has its grace");
    world.run_ms(50 + 3 * 20 + 20);
    assert!(world.is_at(Stage::new(1, Phase::Closed)));
}

#[test]
fn an_answer_to_a_closed_round_is_refused_as_late() {
    let mut world = World::lobby(4, 3, 2_000);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    world.run_ms(2_500);
    for at in 0..3 {
        let refusal = world.answer(at, &claim, instance, 0).unwrap_err();
        assert_eq!(refusal.code, "late");
    }
    assert_eq!(world.answer(0, &claim, instance + 1, 0).unwrap_err().code, "instance_unknown");
    assert_eq!(world.core(1).state().answered(instance), 0);
}

#[test]
fn a_repeated_answer_is_told_what_is_held() {
    let mut world = World::lobby(5, 3, 5_000);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    let first = world.answer(0, &claim, instance, 2).unwrap();
    world.run_ms(500);
    for at in 0..3 {
        let again = world.answer(at, &claim, instance, 1).unwrap();
        assert_eq!((again.status.as_str(), again.choice), ("duplicate", 2), "at {at}");
        assert_eq!(again.elapsed_ms, first.elapsed_ms);
        assert!(again.firm);
    }
    assert_eq!(world.core(2).state().answered(instance), 1);
}

#[test]
fn an_extension_raises_the_deadline_on_every_core() {
    let mut world = World::lobby(6, 3, 2_000);
    let claim = world.join(2, 7);
    let instance = world.open(0);
    let ticket = world.ask_command(1, Command::Extend, Some(3_000));
    assert!(matches!(world.reply(ticket), Reply::Commanded(_)));
    world.run_ms(4_500);
    assert!(world.is_at(Stage::new(instance, Phase::Open)));
    let receipt = world.answer(2, &claim, instance, 0).unwrap();
    assert!(receipt.elapsed_ms > 4_000, "{receipt:?}");
    world.run_ms(1_000);
    assert!(world.is_at(Stage::new(instance, Phase::Closed)));
}

/// A reply that was lost, a second click, another host at the same moment: one extension.
#[test]
fn a_wish_for_more_time_that_is_sent_again_extends_once() {
    let mut world = World::lobby(28, 3, 2_000);
    let instance = world.open(0);
    let expected = stage_view(Stage::new(instance, Phase::Open));
    let extend = |world: &mut World, at, (open_ms, ms)| {
        let wish = CommandRequest { ms, open_ms, ..CommandRequest::new(Command::Extend, expected) };
        let request = Box::new(wish);
        let ticket = world.ask(at, |ticket| Input::Command { ticket, request });
        match world.reply(ticket) {
            Reply::Commanded(reply) => reply.outcome,
            Reply::Refused(refusal) => refusal.code,
            other => panic!("not a reply to a command: {other:?}"),
        }
    };
    let wish = (Some(2_000), Some(3_000));
    assert_eq!(extend(&mut world, 0, wish), "applied");
    assert_eq!(extend(&mut world, 0, wish), "already");
    world.all_equal();
    assert_eq!(extend(&mut world, 2, wish), "already");
    assert_eq!(extend(&mut world, 1, (Some(2_000), Some(1_000))), "already", "it is longer by now");
    assert_eq!(extend(&mut world, 1, (None, Some(1_000))), "value_missing");
    assert_eq!(world.core(2).state().open_ms(instance), 5_000);
    assert_eq!(extend(&mut world, 1, (Some(5_000), Some(1_000))), "applied");
    world.all_equal();
    assert_eq!(world.core(0).state().open_ms(instance), 6_000);
    let lines = world.core(0).log();
    let told: Vec<&str> =
        lines.iter().filter(|l| l.act == "extend").map(|l| l.of.as_str()).collect();
    assert_eq!(told, ["round 1, question 1 to 5000 ms", "round 1, question 1 to 6000 ms"]);
}

#[test]
fn a_locked_lobby_lets_in_only_who_was_there() {
    let mut world = World::lobby(7, 3, 5_000);
    let claim = world.join(0, 1);
    world.press(1, Command::Lock);
    world.run_ms(100);
    for at in 0..3 {
        assert_eq!(world.try_join(at, 2, "late").unwrap_err().code, "locked");
        assert!(matches!(world.resume(at, &claim), Reply::Joined { .. }));
    }
    world.press(2, Command::Unlock);
    world.run_ms(100);
    world.join(0, 2);
}

#[test]
fn a_player_who_comes_back_is_told_what_is_held() {
    let mut world = World::lobby(8, 3, 5_000);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    world.answer(0, &claim, instance, 0).unwrap();
    world.finish_round(0);
    world.inbox.clear();
    world.ask(2, |_| Input::Project { player: claim.player });
    let [(_, receipt)] = &world.receipts(PlayerId(7), instance)[..] else { panic!("a receipt") };
    assert_eq!(receipt.choice, 0);
    assert_eq!(world.inbox.len(), 2, "the result follows the receipt");
}

#[test]
fn tallies_wait_for_the_seals_of_reachable_cores() {
    let mut world = World::lobby(9, 3, 5_000);
    let claim = world.join(2, 7);
    let instance = world.open(0);
    world.answer(2, &claim, instance, 1).unwrap();
    world.press(0, Command::Close);
    let ticket = world.ask_command(0, Command::Tallies, None);
    assert!(world.take_reply(ticket).is_none(), "the other two have not sealed yet");
    world.reply(ticket);
    assert_eq!(world.status(0), "final");
    assert_eq!(world.core(0).state().tally(instance), [0, 1, 0, 0]);
}

/// A host who is told of a step that nobody has made yet, and makes none after it, waits for it in vain.
#[test]
fn hosts_who_wait_for_the_same_seals_are_told_of_the_step_once_it_is_made() {
    let mut world = World::lobby(10, 3, 5_000);
    world.open(0);
    world.stop(2);
    world.press(0, Command::Close);
    let tickets = [0; 3].map(|at| world.ask_command(at, Command::Tallies, None));
    world.run_ms(300);
    assert_eq!(world.core(0).state().stage(), Stage::new(1, Phase::Closed), "it waits for a seal");
    assert!(tickets.iter().all(|ticket| world.take_reply(*ticket).is_none()));
    world.go_on(2, 0);
    let told = tickets.map(|ticket| match world.reply(ticket) {
        Reply::Commanded(told) => (told.outcome, told.stage.phase, told.level),
        other => panic!("{other:?}"),
    });
    let told = told.each_ref().map(|(outcome, phase, level)| (&**outcome, *phase, &**level));
    let tallies = |outcome| (outcome, PhaseView::Tallies, "firm");
    assert_eq!(told, [tallies("applied"), tallies("already"), tallies("already")]);
}

/// Eight hundred questions of a kilobyte each do not fit one entry.
#[test]
fn a_large_show_arrives_in_parts_and_as_a_whole() {
    let mut script = crate::asks::script(800, 2_000);
    for (number, question) in script.questions.iter_mut().enumerate() {
        question.text = format!("{number} {}", "x".repeat(1_000));
    }
    let weather = Weather { loss: 10, doubled: 10, ..Weather::default() };
    let mut world = World::new(18, 3, weather);
    let wanted = script.clone();
    let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
    assert!(matches!(world.reply(ticket), Reply::Created { firm: true }));
    world.until("the show is everywhere", 5_000, |world| {
        world.cores().all(|core| core.state().script().is_some()).then_some(())
    });
    assert!(world.cores().all(|core| **core.state().script().unwrap() == wanted));
    let late = world.add();
    world.relink();
    world.all_equal();
    assert_eq!(world.core(late).state().question_of(1), None);
    world.press(0, Command::Lobby);
    world.all_at(Stage::LOBBY);
    world.open(late);
}

/// What the question and the answer spend on a player's own line, as the node has measured it, is not the
/// player's time; but only so much of it, and an answer is not in time because its line is slow.
#[test]
fn a_slow_line_is_taken_off_an_answers_time_up_to_a_bound() {
    let mut world = World::lobby(29, 2, 2_000);
    let claims: Vec<_> = (0..4).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    world.run_ms(1_000);
    let answer = |world: &mut World, at: usize, credit_ms| {
        let (claim, given) = (claims[at].clone(), Given { credit_ms, ..Given::choices(&[1]) });
        let ticket = world.ask(0, |ticket| Input::Answer { ticket, claim, instance, given });
        match world.reply(ticket) {
            Reply::Answered(message) => Ok(receipt_in(&message, instance).unwrap().elapsed_ms),
            Reply::Refused(refusal) => Err(refusal.code),
            other => panic!("not a reply to an answer: {other:?}"),
        }
    };
    let plain = answer(&mut world, 0, 0).unwrap();
    let credited = answer(&mut world, 1, 100).unwrap();
    let bounded = answer(&mut world, 2, 60_000).unwrap();
    assert!((1_000..1_100).contains(&plain), "{plain}");
    assert!((900..1_000).contains(&credited), "{credited}");
    assert!((750..850).contains(&bounded), "250 ms at most: {bounded}");
    let explained = world.core(1).explain("player 2", instance).unwrap();
    assert_eq!((explained.credit_max_ms, explained.receipt.unwrap().elapsed_ms), (250, bounded));
    world.run_ms(1_450);
    assert_eq!(answer(&mut world, 3, 60_000).unwrap_err(), "late");
}

/// The answer to a command may be lost: who sends it again from where it was pressed skips no second question.
#[test]
fn a_skip_and_a_way_back_that_are_sent_again_are_done_once() {
    let mut world = World::lobby(29, 2, 20_000);
    let first = Stage::new(world.open(0), Phase::Open);
    let leave = |world: &mut World, at, command, (from, question)| {
        let request = CommandRequest { question, ..CommandRequest::new(command, stage_view(from)) };
        let request = Box::new(request);
        let ticket = world.ask(at, |ticket| Input::Command { ticket, request });
        match world.reply(ticket) {
            Reply::Commanded(reply) => reply.outcome,
            Reply::Refused(refusal) => refusal.code,
            other => panic!("not a reply to a command: {other:?}"),
        }
    };
    assert_eq!(leave(&mut world, 0, Command::Skip, (first, None)), "applied");
    assert_eq!(leave(&mut world, 0, Command::Skip, (first, None)), "already");
    world.all_equal();
    assert_eq!(leave(&mut world, 1, Command::Skip, (first, None)), "already");
    assert_eq!(leave(&mut world, 1, Command::Back, (first, None)), "stage_moved");
    world.all_at(Stage::new(2, Phase::Intro));
    world.open(0);
    world.step(0, Command::Close);
    world.all_equal();
    let second = Stage::new(2, Phase::Closed);
    assert_eq!(leave(&mut world, 0, Command::Back, (second, Some(1))), "applied");
    assert_eq!(leave(&mut world, 0, Command::Back, (second, Some(1))), "already");
    assert_eq!(leave(&mut world, 0, Command::Back, (second, None)), "stage_moved", "another one");
    world.all_equal();
    assert_eq!(leave(&mut world, 1, Command::Back, (second, Some(1))), "already");
    assert_eq!(leave(&mut world, 1, Command::Skip, (second, None)), "stage_moved");
    world.all_at(Stage::new(3, Phase::Intro));
}
