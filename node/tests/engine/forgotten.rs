//! Nodes that are gone for good, what results say without them, and what happens when they return.

use crate::world::{Weather, World};
use crdt_state::{NodeId, PlayerId};
use node::engine::{Input, Reply};
use node::service::view::{Command, ForgottenNode};
use std::time::Duration;

impl World {
    /// Has an operator give a node up.
    fn forget(&mut self, at: usize, gone: usize) -> Reply {
        let node = NodeId(0x100 + gone as u64);
        let ticket = self.ask(at, |ticket| Input::Forget { ticket, node });
        self.reply(ticket)
    }

    fn forgotten(&self, at: usize) -> Vec<ForgottenNode> {
        self.view(at).live.result.unwrap().forgotten
    }

    fn missing(&self, at: usize) -> Vec<String> {
        let missing = self.view(at).live.result.unwrap().missing;
        missing.into_iter().map(|node| node.node).collect()
    }
}

#[test]
fn of_a_forgotten_node_no_result_waits_and_every_result_speaks() {
    let mut world = World::lobby(70, 3, 10_000);
    let claim = world.join(2, 7);
    let instance = world.open(0);
    assert!(world.answer(2, &claim, instance, 0).unwrap().firm);
    world.crash(2);
    world.finish_round(0);
    world.all_call_it("settled");
    assert_eq!(world.missing(0), ["node-2"]);
    assert_eq!(world.forget(1, 2), Reply::Forgot { origins: 1, firm: true });
    world.all_call_it("forgotten");
    assert!(world.missing(0).is_empty());
    let forgotten = world.forgotten(0);
    let [ForgottenNode { node, head: 2, returned: false, sealed: false, .. }] = &forgotten[..]
    else {
        panic!("it is named, with what is known of it: {forgotten:?}");
    };
    assert_eq!(node, "node-2");
    world.open(0);
    world.finish_round(1);
    world.all_call_it("forgotten");
    world.all_equal();
    assert_eq!(world.forget(1, 2), Reply::Forgot { origins: 0, firm: true }, "once is enough");
}

#[test]
fn a_node_that_is_here_or_that_nobody_knows_is_not_forgotten() {
    let mut world = World::lobby(71, 3, 10_000);
    let code = |reply| match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(world.forget(0, 1)), "node_alive");
    assert_eq!(code(world.forget(0, 0)), "node_alive");
    assert_eq!(code(world.forget(0, 9)), "node_unknown");
}

/// What it had taken and nobody had heard is counted after all, and everybody is told.
#[test]
fn a_forgotten_node_that_returns_gives_its_late_answers_and_counts_again() {
    let mut world = World::lobby(72, 3, 10_000);
    let claim = world.join(2, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(2);
    let receipt = world.answer(2, &claim, instance, 0).unwrap();
    assert!(!receipt.firm, "nobody else has it: {receipt:?}");
    world.crash(2);
    world.finish_round(0);
    world.forget(0, 2);
    world.run_ms(500);
    assert_eq!(world.status(1), "forgotten");
    assert_eq!(world.core(0).state().answered(instance), 0);
    world.start(2);
    world.heal();
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.core(0).state().answered(instance), 1);
    let told = world.late.iter().filter(|(at, node, _)| *at < 2 && node == "node-2").count();
    assert_eq!(told, 2, "both announce it once: {:?}", world.late);
    for at in 0..3 {
        let [ForgottenNode { returned: true, sealed: true, .. }] = world.forgotten(at)[..] else {
            panic!("it stays on record: {:?}", world.forgotten(at));
        };
    }
    world.open(0);
    world.crash(2);
    world.finish_round(0);
    world.run_ms(1_000);
    assert_eq!(world.status(0), "settled", "it is waited for again");
}

/// A partition that somebody took for a death: the node never stopped, and is the same life.
#[test]
fn a_node_that_was_forgotten_while_it_lived_counts_again() {
    let mut world = World::lobby(73, 3, 3_000);
    let claim = world.join(2, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(2);
    world.answer(2, &claim, instance, 1).unwrap();
    world.forget(0, 2);
    world.run_ms(4_000);
    assert_eq!(world.status(0), "forgotten");
    world.heal();
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.held(0, PlayerId(7), instance), Some(1));
    world.finish_round(0);
    let next = world.open(0);
    world.cut(0, 2);
    world.cut(1, 2);
    world.press(0, Command::Close);
    world.run_ms(500);
    assert_eq!((world.status(0).as_str(), next), ("settled", 2), "nobody does without it unasked");
}

#[test]
fn two_sides_that_forget_each_other_never_both_say_final() {
    let mut world = World::lobby(74, 4, 2_000);
    world.open(0);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.cut(a, b);
    }
    for (at, gone) in [(0, 2), (0, 3), (2, 0), (2, 1)] {
        assert!(matches!(world.forget(at, gone), Reply::Forgot { origins: 1, .. }));
    }
    world.run_ms(3_500);
    for at in 0..4 {
        assert_eq!(world.status(at), "forgotten", "node {at}");
    }
    world.heal();
    world.all_call_it("final");
    world.all_equal();
}

#[test]
fn a_result_is_settled_only_while_fewer_are_gone_than_copies() {
    let mut world = World::lobby(75, 5, 5_000);
    world.open(0);
    world.crash(4);
    world.press(0, Command::Close);
    world.all_call_it("settled");
    world.crash(3);
    world.finish_round(0);
    world.open(0);
    world.press(0, Command::Close);
    world.run_ms(500);
    assert_eq!(world.status(0), "partial", "two may hold both copies of an answer");
    assert_eq!(world.missing(0), ["node-3", "node-4"]);
}

/// Right after the close the others have not sealed yet, and may still take answers.
#[test]
fn a_result_without_the_seal_of_a_connected_node_is_partial() {
    let slow = Weather { delay_us: 40_000..50_000, ..Weather::default() };
    let mut world = World::lobby(76, 3, 5_000);
    world.open(0);
    world.weather = slow;
    world.run_ms(100);
    world.ask_command(0, Command::Close, None);
    assert_eq!(world.status(0), "partial");
    world.all_call_it("final");
}

#[test]
fn no_crash_takes_a_seal_back() {
    let forgetful = Weather { disk_lag: Duration::from_secs(60), ..Weather::default() };
    let mut world = World::lobby_in(77, 3, 30_000, forgetful);
    let claim = world.join(1, 7);
    let instance = world.open(0);
    world.press(0, Command::Close);
    world.all_call_it("final");
    world.crash(1);
    world.start(1);
    assert!(!world.core(1).state().is_open(instance), "its seal was on disk before it was said");
    assert_eq!(world.answer(1, &claim, instance, 0).unwrap_err().code, "late");
}
