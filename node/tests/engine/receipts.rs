//! Receipts that wait: however often a player repeats, and where there is no room to wait.

use crate::asks::{Receipt, receipt_in, script};
use crate::world::{Weather, World};
use crdt_state::engagement::qa::Qa;
use crdt_state::engagement::{Given, Task};
use gossip::replication::{AckLevel, Config};
use node::engine::{Bulk, BulkAnswer, Claim, Input, Reply, Rules, stage_view};
use node::service::view::{Command, CommandRequest};

fn firm(told: &[(usize, Receipt)]) -> usize {
    told.iter().filter(|(_, receipt)| receipt.firm).count()
}

#[test]
fn a_player_who_repeats_waits_once_with_those_who_wait_already() {
    let mut world = World::lobby(101, 3, 60_000);
    let claims: Vec<Claim> = (0..2).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    world.run_ms(300);
    world.isolate(0);
    let mut waiting = Vec::new();
    for _ in 0..30 {
        for claim in &claims {
            let receipt = world.answer(0, claim, instance, 1).unwrap();
            assert!(!receipt.firm, "nobody else has it");
            let Reply::Joined { firm, .. } = world.resume(0, claim) else { panic!("let in") };
            assert!(!firm, "nobody else has what was written last");
        }
        waiting.push(world.core(0).replica().receipts_waiting());
    }
    let most = *waiting.last().unwrap();
    assert!(
        most <= 4 * 2 * claims.len(),
        "as many wait for one player as for one who repeats: {waiting:?}"
    );
    assert_eq!(waiting[29], waiting[10], "more and more wait: {waiting:?}");
    world.heal();
    world.run_ms(2_000);
    for claim in &claims {
        assert!(firm(&world.receipts(claim.player, instance)) > 0, "its player hears of it");
        assert!(world.answer(0, claim, instance, 1).unwrap().firm);
    }
    assert_eq!(world.core(0).replica().receipts_waiting(), 0);
}

#[test]
fn where_there_is_no_room_to_wait_a_receipt_is_firm_once_all_have_the_answer() {
    let replication = Config { receipts_max: 2, ..Config::default() };
    let weather = Weather { replication, ..Weather::default() };
    let mut world = World::lobby_in(102, 3, 60_000, weather);
    let claims: Vec<Claim> = (0..6).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    world.run_ms(300);
    world.isolate(0);
    for claim in &claims {
        assert!(!world.answer(0, claim, instance, 1).unwrap().firm);
    }
    assert_eq!(world.core(0).replica().receipts_waiting(), 2);
    world.run_ms(1_000);
    for claim in &claims {
        assert_eq!(firm(&world.receipts(claim.player, instance)), 0, "nobody else has it");
    }
    world.heal();
    world.run_ms(2_000);
    for claim in &claims {
        assert_eq!(firm(&world.receipts(claim.player, instance)), 1, "told once, when all have it");
    }
}

/// Of a crowd that types at once more comes in one turn than an entry may hold.
#[test]
fn many_long_texts_in_one_turn_are_all_kept() {
    let mut script = script(1, 60_000);
    script.questions[0].task = Task::Qa(Qa { moderated: false, posts: 1 });
    let mut world = World::lobby_of(103, 2, script, Weather::default());
    let claims: Vec<Claim> = (0..1_500).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    let requests = claims.iter().map(|claim| {
        let text = Some(format!("{} {:?}", claim.name, [1; 60]));
        let (claim, given) = (claim.clone(), Given { text, ..Given::default() });
        move |ticket| Input::Answer { ticket, claim, instance, given }
    });
    for ticket in world.ask_at_once(0, requests) {
        let reply = world.reply(ticket);
        assert!(matches!(reply, Reply::Answered(_)), "{reply:?}");
    }
    world.all_equal();
    assert_eq!(world.core(1).state().sides.posts(instance).count(), claims.len());
}

/// A word is worth as much of a player as of an answer.
#[test]
fn a_join_that_another_node_took_is_as_firm_as_was_promised() {
    let rules = Rules { ack: AckLevel::Majority, ..Rules::default() };
    let mut world = World::lobby_in(104, 5, 60_000, Weather { rules, ..Weather::default() });
    world.run_ms(1_000);
    for dead in 2..5 {
        world.crash(dead);
    }
    let firm = |reply: Reply| match reply {
        Reply::Joined { firm, .. } => firm,
        other => panic!("not let in: {other:?}"),
    };
    let claim = world.join(0, 1);
    world.run_ms(1_000);
    for _ in 0..2 {
        assert!(!firm(world.resume(0, &claim)), "two of five have it, says who took it");
        assert!(!firm(world.resume(1, &claim)), "and so says the other");
    }
    // With an own entry before it, too.
    let other = world.join(1, 2);
    world.run_ms(1_000);
    assert!(!firm(world.resume(1, &claim)) && !firm(world.resume(0, &other)));
    world.start(2);
    world.heal();
    world.run_ms(3_000);
    for at in 0..2 {
        assert!(firm(world.resume(at, &claim)), "three of five have it, on node {at}");
    }
}

#[test]
fn a_step_that_another_node_made_is_as_firm_as_was_promised() {
    let rules = Rules { ack: AckLevel::Majority, ..Rules::default() };
    let mut world = World::lobby_in(105, 5, 60_000, Weather { rules, ..Weather::default() });
    world.run_ms(1_000);
    let before = world.core(0).state().stage();
    for dead in 2..5 {
        world.crash(dead);
    }
    assert_eq!(world.press(0, Command::Open).level, "provisional", "two of five have it");
    world.run_ms(1_000);
    let again = |world: &mut World| {
        let request = Box::new(CommandRequest::new(Command::Open, stage_view(before)));
        let ticket = world.ask(1, |ticket| Input::Command { ticket, request });
        match world.reply(ticket) {
            Reply::Commanded(reply) => (reply.outcome, reply.level),
            other => panic!("not a reply to a command: {other:?}"),
        }
    };
    assert_eq!(again(&mut world), ("already".to_owned(), "provisional".to_owned()));
    world.start(2);
    world.heal();
    world.run_ms(3_000);
    assert_eq!(
        again(&mut world),
        ("already".to_owned(), "firm".to_owned()),
        "three of five have it"
    );
}

/// What this node has taken since and nobody else has yet takes nothing back.
#[test]
fn what_was_promised_is_said_again_at_once_whatever_was_taken_since() {
    let mut world = World::lobby(106, 3, 60_000);
    let claims: Vec<Claim> = (0..3).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    world.run_ms(300);
    let first = world.answer(0, &claims[0], instance, 1).unwrap();
    assert!(first.firm);
    world.isolate(0);
    assert!(!world.answer(0, &claims[1], instance, 2).unwrap().firm);
    let (claim, given) = (claims[0].clone(), Given::choices(&[3]));
    let ticket = world.ask(0, |ticket| Input::Answer { ticket, claim, instance, given });
    let again = match world.take_reply(ticket) {
        Some(Reply::Answered(message)) => receipt_in(&message, instance).unwrap(),
        other => panic!("it is not said at once: {other:?}"),
    };
    assert_eq!(again, Receipt { status: "duplicate".to_owned(), ..first.clone() });
    // A player who comes back sees what there is.
    world.ask(0, |_| Input::Project { player: claims[0].player });
    let (at, shown) = world.receipts(claims[0].player, instance).pop().unwrap();
    assert_eq!((at, shown), (0, first));
    assert!(!world.answer(0, &claims[1], instance, 2).unwrap().firm, "that was not promised");
}

#[test]
fn what_was_promised_of_a_batch_is_said_again_at_once() {
    let mut world = World::lobby(107, 3, 60_000);
    let claims: Vec<Claim> = (0..70).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    world.run_ms(300);
    let mut take = |claims: &[Claim]| {
        let answer = |claim: &Claim| BulkAnswer {
            player: claim.player,
            row: claim.row,
            value: 0b10,
            credit_ms: 0,
        };
        let answers = claims.iter().map(answer).collect();
        let bulk = Bulk { instance, question: 0, answers };
        let ticket = world.ask(0, |ticket| Input::AnswerAll { ticket, bulk });
        let reply = world.reply(ticket);
        world.isolate(0);
        matches!(reply, Reply::AnsweredAll { firm: true, .. })
    };
    assert!(take(&claims[..69]) && !take(&claims[69..]));
    for (nth, claim) in claims.iter().enumerate() {
        let again = world.answer(0, claim, instance, 3).unwrap();
        assert_eq!((&*again.status, again.firm), ("duplicate", nth < 69), "player {nth}");
    }
}

/// More of them than wait for their level; the player hears of the first one before.
#[test]
fn what_is_repeated_in_the_turn_in_which_it_is_promised_is_promised_too() {
    let rules = Rules { ack: AckLevel::Local, ..Rules::default() };
    let mut world = World::lobby_in(108, 2, 60_000, Weather { rules, ..Weather::default() });
    let claim = world.join(0, 1);
    let instance = world.open(0);
    world.run_ms(300);
    let requests = (0..12).map(|_| {
        let (claim, given) = (claim.clone(), Given::choices(&[1]));
        move |ticket| Input::Answer { ticket, claim, instance, given }
    });
    for ticket in world.ask_at_once(0, requests) {
        let Reply::Answered(message) = world.reply(ticket) else { panic!("not answered") };
        assert!(receipt_in(&message, instance).unwrap().firm);
    }
    assert_eq!(firm(&world.receipts(claim.player, instance)), 12);
}
