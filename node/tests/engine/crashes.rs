//! Cores that die, and come back as somebody new.

use crate::world::{Weather, World};
use crdt_state::{LaneId, Phase, PlayerId, Stage};
use gossip::replication::Config;
use node::engine::{Input, Reply};
use node::service::view::Command;
use std::time::Duration;

/// A weather in which whoever lacks much takes a snapshot.
pub fn snapshots() -> Weather {
    let replication = Config { snapshot_above_bytes: 1, ..Config::default() };
    Weather { replication, ..Weather::default() }
}

/// A weather in which a crash loses everything of the last minute.
fn forgetful() -> Weather {
    Weather { disk_lag: Duration::from_secs(60), ..Weather::default() }
}

#[test]
fn every_firm_receipt_survives_the_crash_of_any_one_core_and_scores_once() {
    for victim in 0..3 {
        let mut world = World::lobby_in(40 + victim as u64, 3, 10_000, forgetful());
        let claims: Vec<_> = (0..30).map(|n| world.join(n as usize % 3, n)).collect();
        world.run_ms(300);
        let instance = world.open(0);
        for (n, claim) in claims.iter().enumerate() {
            assert!(world.answer((n + 1) % 3, claim, instance, 0).unwrap().firm);
        }
        world.crash(victim);
        let at = (victim + 1) % 3;
        world.finish_round(at);
        world.all_equal();
        assert_eq!(world.core(at).state().tally(instance), [30, 0, 0, 0], "without {victim}");
        let core = world.core(at);
        let points = core.scoreboard().top(core.state(), usize::MAX);
        assert_eq!(points.len(), 30);
        assert!(points.iter().all(|standing| (500..=1_000).contains(&standing.points)));
    }
}

#[test]
fn a_result_is_settled_without_one_core_and_final_again_after_its_return() {
    let mut world = World::lobby(50, 3, 10_000);
    let claim = world.join(2, 7);
    let instance = world.open(0);
    assert!(world.answer(2, &claim, instance, 0).unwrap().firm);
    world.crash(2);
    world.finish_round(0);
    world.all_call_it("settled");
    let missing = world.view(0).live.result.unwrap().missing;
    assert_eq!(missing.iter().map(|m| m.node.as_str()).collect::<Vec<_>>(), ["node-2"]);
    assert_eq!(world.core(0).state().tally(instance), [1, 0, 0, 0]);
    world.start(2);
    world.relink();
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.core(2).state().enrolled().count(), 4, "it came back as somebody new");
}

#[test]
fn a_core_that_lost_its_store_seals_for_its_former_origins_too() {
    let mut world = World::lobby(51, 3, 10_000);
    let claim = world.join(2, 7);
    let instance = world.open(0);
    assert!(world.answer(2, &claim, instance, 0).unwrap().firm);
    world.crash(2);
    world.wipe(2);
    world.finish_round(0);
    world.all_call_it("settled");
    world.start(2);
    world.relink();
    world.all_call_it("final");
    assert_eq!(world.core(2).state().tally(instance), [1, 0, 0, 0]);
}

#[test]
fn what_was_final_never_changes() {
    let mut world = World::lobby_in(52, 3, 20_000, forgetful());
    let claim = world.join(0, 7);
    let instance = world.open(0);
    world.cut(0, 2);
    world.cut(1, 2);
    let receipt = world.answer(0, &claim, instance, 0).unwrap();
    assert!(receipt.firm, "node 1 holds it: {receipt:?}");
    // Node 1 alone holds the answer once its taker has forgotten it.
    world.crash(0);
    world.press(1, Command::Close);
    world.run_ms(500);
    world.heal();
    world.run_ms(2);
    world.isolate(1);
    world.start(0);
    world.relink();
    world.run_ms(3_000);
    for at in [0, 2] {
        let counted = world.core(at).state().answered(instance);
        assert!(world.status(at) != "final" || counted == 1, "{at} says final without it");
    }
    world.heal();
    world.all_call_it("final");
    assert_eq!(world.core(0).state().answered(instance), 1);
}

/// It died before it heard of the close, so that it shows a round in which it must take nothing.
#[test]
fn a_core_that_missed_the_close_takes_nothing_for_a_round_that_is_closed() {
    let weather = Weather { disk_lag: Duration::from_millis(500), ..Weather::default() };
    let mut world = World::lobby_in(58, 3, 30_000, weather);
    let claim = world.join(1, 7);
    let instance = world.open(0);
    world.run_ms(1_000);
    world.crash(1);
    world.press(0, Command::Close);
    world.all_call_it("settled");
    world.start(1);
    assert!(world.core(1).state().is_open(instance), "it does not know");
    assert_eq!(world.answer(1, &claim, instance, 0).unwrap_err().code, "overloaded");
    let ticket = world.ask_command(1, Command::Extend, Some(5_000));
    assert!(matches!(world.reply(ticket), Reply::Refused(refusal) if refusal.code == "overloaded"));
    world.relink();
    for _ in 0..20 {
        assert!(world.answer(1, &claim, instance, 0).is_err());
        world.run_ms(1);
    }
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.core(0).state().open_ms(instance), 30_000);
}

#[test]
fn a_core_alone_with_a_former_origin_rests() {
    let mut world = World::lobby(53, 3, 5_000);
    let claim = world.join(1, 7);
    let instance = world.open(0);
    world.answer(1, &claim, instance, 0).unwrap();
    world.crash(1);
    world.press(0, Command::Close);
    world.start(1);
    world.cut(1, 2);
    world.relink();
    world.run_ms(50);
    assert!(world.is_at(Stage::new(instance, Phase::Closed)));
    assert_eq!(world.status(1), "settled", "its former origin is compared with all, then sealed");
    world.isolate(1);
    world.run_ms(5_000);
    world.heal();
    world.all_call_it("final");
}

#[test]
fn a_newcomer_says_nothing_of_an_answer_before_it_knows_what_was_asked() {
    let mut world = World::lobby(57, 3, 10_000);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    assert!(world.answer(0, &claim, instance, 2).unwrap().firm);
    world.all_equal();
    let (_, creator) = world.lives[0];
    world.withheld.insert(LaneId::control(creator));
    let newcomer = world.add();
    world.relink();
    world.until("the answer at the newcomer", 5_000, |world| {
        world.held(newcomer, claim.player, instance)
    });
    assert!(world.core(newcomer).state().script().is_none(), "it has come by the other lane");
    world.inbox.clear();
    let refusal = world.answer(newcomer, &claim, instance, 2).unwrap_err();
    assert_eq!(refusal.code, "overloaded");
    assert!(matches!(world.resume(newcomer, &claim), Reply::Joined { .. }));
    world.ask(newcomer, |_| Input::Project { player: claim.player });
    world.run_ms(300);
    assert!(world.inbox.is_empty(), "{:?}", world.inbox);
    world.withheld.clear();
    world.until("what was asked at the newcomer", 5_000, |world| {
        world.core(newcomer).state().question_of(instance).map(drop)
    });
    let again = world.answer(newcomer, &claim, instance, 0).unwrap();
    assert_eq!((again.status.as_str(), again.choice), ("duplicate", 2));
}

#[test]
fn a_restarted_core_takes_the_zero_of_an_open_round_from_a_peer() {
    let mut world = World::lobby(54, 3, 4_000);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    world.run_ms(500);
    world.crash(1);
    world.run_ms(1_000);
    world.start(1);
    world.relink();
    world.run_ms(1_000);
    let receipt = world.answer(1, &claim, instance, 0).unwrap();
    assert!((2_500..2_600).contains(&receipt.elapsed_ms), "{receipt:?}");
    world.run_ms(4_000 + 300 - 2_500 - 100);
    assert!(world.is_at(Stage::new(instance, Phase::Open)));
    world.run_ms(250);
    assert!(world.is_at(Stage::new(instance, Phase::Closed)));
}

#[test]
fn a_restarted_core_that_finds_its_peers_late_does_not_close_their_round() {
    let mut world = World::lobby(55, 3, 8_000);
    let instance = world.open(0);
    world.run_ms(500);
    world.crash(1);
    world.start(1);
    world.run_ms(2_500);
    world.relink();
    world.run_ms(3_000);
    assert!(world.is_at(Stage::new(instance, Phase::Open)));
    world.run_ms(2_500);
    assert!(world.is_at(Stage::new(instance, Phase::Closed)));
}

#[test]
fn a_core_restarted_over_a_snapshot_does_not_close_an_open_round() {
    let mut world = World::lobby_in(56, 3, 8_000, snapshots());
    let instance = world.open(0);
    let new = world.add();
    world.relink();
    world.run_ms(1_000);
    assert!(world.core(new).state().is_open(instance));
    world.crash(new);
    world.start(new);
    world.relink();
    world.run_ms(500);
    let claim = world.join(new, 7);
    let receipt = world.answer(new, &claim, instance, 0).unwrap();
    assert!((1_500..1_700).contains(&receipt.elapsed_ms), "a peer told the time: {receipt:?}");
    world.run_ms(3_400);
    assert!(world.is_at(Stage::new(instance, Phase::Open)));
    world.run_ms(3_500);
    assert!(world.is_at(Stage::new(instance, Phase::Closed)));
}

#[test]
fn a_show_whose_cores_all_restart_goes_on() {
    let mut world = World::lobby(57, 3, 4_000);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    world.answer(0, &claim, instance, 0).unwrap();
    world.run_ms(500);
    (0..3).for_each(|at| world.crash(at));
    (0..3).for_each(|at| world.start(at));
    world.relink();
    world.all_at(Stage::new(instance, Phase::Closed));
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.held(2, PlayerId(7), instance), Some(0));
    world.finish_round(2);
    let next = world.open(1);
    world.answer(1, &claim, next, 1).unwrap();
}

/// In the same turn: a node asks to be woken only for what is to come.
#[test]
fn a_round_is_closed_in_the_turn_in_which_nobody_turns_out_to_know_when_it_opened() {
    let patience = Duration::from_millis(1_500);
    let replication = Config { pull_timeout: patience, ..Config::default() };
    let weather = Weather { replication, ..Weather::default() };
    let mut world = World::lobby_in(69, 2, 60_000, weather);
    world.open(0);
    world.run_ms(300);
    world.crash(1);
    world.start(1);
    // Whom it asks for what it has forgotten does not answer.
    world.weather.loss = 100;
    world.relink();
    let phase = |world: &World| world.core(1).state().stage().phase;
    world.run(patience - Duration::from_millis(100));
    assert_eq!(phase(&world), Phase::Open);
    world.run_ms(200);
    assert_eq!(phase(&world), Phase::Closed);
}
