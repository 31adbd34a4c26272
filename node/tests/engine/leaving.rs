//! Nodes that leave in order, what the others make of it, and what happens when they come back.

use crate::world::{Weather, World};
use crdt_state::{EventState, LaneId, NodeId, PlayerId};
use node::engine::{Input, Reply};
use node::service::view::Command;

impl World {
    /// Has a node leave, and waits until so many others hold all that it holds.
    fn retire(&mut self, at: usize, copies: usize) -> Reply {
        let ticket = self.ask_to_leave(at, copies, &[]);
        self.reply(ticket)
    }

    /// Asks a node to leave, while others are about to go too.
    fn ask_to_leave(&mut self, at: usize, copies: usize, going: &[usize]) -> u64 {
        let going = going.iter().map(|at| NodeId(0x100 + *at as u64)).collect();
        self.ask(at, |ticket| Input::Retire { ticket, copies, going })
    }

    /// Has a node leave, and ends it.
    fn leave(&mut self, at: usize) {
        assert_eq!(self.retire(at, 1), Reply::Retired);
        self.crash(at);
    }

    fn counted(&self, at: usize) -> usize {
        let state: &EventState = self.core(at).state();
        state.enrolled().filter(|(origin, ..)| !state.is_retired(*origin)).count()
    }
}

fn code(reply: Reply) -> String {
    match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_is_final_without_the_node_that_left_and_with_what_it_took() {
    let mut world = World::lobby(90, 3, 10_000);
    let claims = [world.join(2, 7), world.join(1, 8)];
    world.run_ms(300);
    let instance = world.open(0);
    assert!(world.answer(2, &claims[0], instance, 2).unwrap().firm);
    world.leave(2);
    assert!(world.answer(1, &claims[1], instance, 1).unwrap().firm, "two are enough");
    world.finish_round(0);
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.held(0, PlayerId(7), instance), Some(2));
    assert_eq!(world.counted(0), 2);
    world.open(1);
    world.finish_round(1);
    world.all_call_it("final");
}

#[test]
fn a_node_that_leaves_takes_nothing_more_and_serves_what_it_has() {
    let mut world = World::lobby(91, 4, 10_000);
    let claim = world.join(3, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.cut(3, 2);
    world.answer(3, &claim, instance, 1).unwrap();
    let ticket = world.ask_to_leave(3, 3, &[]);
    assert_eq!(world.answer(3, &claim, instance, 2).unwrap_err().code, "overloaded");
    let heads = world.core(3).heads().clone();
    world.join(0, 8);
    world.run_ms(1_000);
    assert_eq!(*world.core(3).heads(), heads, "what others take is not its affair any more");
    assert_eq!(world.take_reply(ticket), None, "two other nodes hold all, three are wanted");
    world.heal_between(3, 2);
    assert_eq!(world.reply(ticket), Reply::Retired);
    world.crash(3);
    world.finish_round(0);
    world.all_call_it("final");
    assert_eq!(world.held(2, PlayerId(7), instance), Some(1), "the first answer counts");
}

#[test]
fn who_comes_back_is_a_newcomer_who_takes_nothing_before_a_majority_knows() {
    let mut world = World::lobby(92, 3, 20_000);
    let claim = world.join(2, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.leave(2);
    world.isolate(2);
    world.start(2);
    world.run_ms(7_000);
    let refused = world.answer(2, &claim, instance, 0).unwrap_err();
    assert_eq!(refused.code, "overloaded", "nobody would wait for what it takes: {refused:?}");
    world.heal();
    world.run_ms(1_000);
    assert!(world.answer(2, &claim, instance, 1).unwrap().firm);
    assert_eq!(world.counted(0), 3);
    world.crash(2);
    world.finish_round(0);
    world.run_ms(1_000);
    assert_ne!(world.status(0), "final", "it is waited for again");
    world.start(2);
    world.relink();
    world.all_call_it("final");
    world.all_equal();
}

/// Others may go on and count what it never heard of: its store was complete when it left, and says nothing of
/// what came since.
#[test]
fn who_has_left_calls_nothing_complete_until_a_majority_knows_that_it_is_back() {
    let mut world = World::lobby(104, 4, 20_000);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    assert!(world.answer(0, &claim, instance, 1).unwrap().firm);
    world.finish_round(0);
    world.all_call_it("final");
    world.leave(3);
    world.isolate(3);
    world.start(3);
    world.run_ms(7_000);
    assert_eq!(world.status(3), "partial");
    let missing = world.view(3).live.result.unwrap().missing;
    assert_eq!(missing[0].node, "node-3", "it names itself");
    world.heal();
    world.all_call_it("final");
    world.all_equal();
}

#[test]
fn a_firm_receipt_keeps_two_holders_when_one_of_them_leaves() {
    let mut world = World::lobby(105, 4, 10_000);
    let claim = world.join(3, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.cut(3, 2);
    let ticket = {
        assert!(world.answer(3, &claim, instance, 1).unwrap().firm);
        let ticket = world.ask_to_leave(3, 1, &[]);
        world.cut(3, 1);
        ticket
    };
    world.run_ms(1_000);
    assert_eq!(world.take_reply(ticket), None, "only one of those who stay holds all");
    world.heal_between(3, 1);
    assert_eq!(world.reply(ticket), Reply::Retired);
}

/// Two leave at once: that each of them holds what the other took keeps nothing.
#[test]
fn who_is_about_to_go_too_keeps_nothing_for_whoever_leaves() {
    let mut world = World::lobby(106, 4, 10_000);
    let claim = world.join(3, 7);
    world.run_ms(300);
    let instance = world.open(0);
    assert!(world.answer(3, &claim, instance, 1).unwrap().firm);
    let ticket = world.ask_to_leave(3, 1, &[2]);
    world.cut(3, 1);
    world.run_ms(1_000);
    assert_eq!(world.take_reply(ticket), None, "of those who hold all only one stays");
    world.heal_between(3, 1);
    assert_eq!(world.reply(ticket), Reply::Retired);
    let ticket = world.ask_to_leave(2, 1, &[1, 3]);
    assert_eq!(code(world.reply(ticket)), "not_possible", "only one would stay");
}

#[test]
fn a_node_whose_leaving_would_leave_too_few_goes_without_a_goodbye() {
    let mut world = World::lobby(93, 3, 10_000);
    world.leave(2);
    assert_eq!(code(world.retire(1, 1)), "not_possible");
    let claim = world.join(1, 7);
    let instance = world.open(0);
    assert!(world.answer(1, &claim, instance, 0).unwrap().firm, "it stays as it was");
}

/// All say their last word before any of them is heard: who comes back cannot know who else has left.
#[test]
fn where_all_leave_at_once_the_others_are_waited_for() {
    let mut world = World::lobby(94, 3, 20_000);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let tickets: Vec<u64> = (0..3).map(|at| world.ask_to_leave(at, 1, &[])).collect();
    world.run_ms(2_000);
    assert!(tickets.iter().all(|ticket| world.take_reply(*ticket) != Some(Reply::Retired)));
    for at in 0..3 {
        world.crash(at);
    }
    world.start(0);
    world.run_ms(8_000);
    world.start(1);
    world.link(0, 1);
    world.run_ms(1_000);
    let ticket = world.ask_command(0, Command::Open, None);
    assert_eq!(code(world.reply(ticket)), "overloaded", "the third may play on with others");
    world.start(2);
    world.relink();
    world.run_ms(1_000);
    let instance = world.open(0);
    assert!(world.answer(1, &claim, instance, 1).unwrap().firm);
    world.finish_round(0);
    world.all_call_it("final");
    world.all_equal();
}

/// A node that came back may not know behind what it stood, so others still wait for it.
#[test]
fn a_node_that_may_have_forgotten_something_does_not_leave_in_an_unsealed_round() {
    let mut world = World::lobby(95, 4, 20_000);
    let instance = world.open(0);
    world.crash(3);
    world.start(3);
    world.relink();
    world.run_ms(2_000);
    assert_eq!(code(world.retire(3, 1)), "not_possible");
    world.finish_round(0);
    world.all_call_it("final");
    assert_eq!(world.retire(3, 3), Reply::Retired, "all have sealed run {instance}");
}

/// What the node that left had acknowledged is with one other node only, which the judge does not reach.
#[test]
fn nothing_is_settled_without_what_a_node_that_left_stood_behind() {
    let mut world = World::lobby_in(96, 4, 4_000, Weather::default());
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    // Node 3 alone hears what node 0 takes; then it reaches node 2 only, but for its last word.
    world.cut(0, 1);
    world.cut(0, 2);
    world.cut(3, 1);
    world.cut(3, 2);
    world.run_ms(300);
    assert!(world.answer(0, &claim, instance, 2).unwrap().firm);
    world.cut(0, 3);
    world.run_ms(300);
    world.heal_between(3, 1);
    world.heal_between(3, 2);
    assert_eq!(world.retire(3, 2), Reply::Retired);
    world.crash(3);
    world.run_ms(4_000);
    for at in [1, 2] {
        assert_eq!(world.status(at), "settled", "node {at}");
        assert_eq!(world.held(at, PlayerId(7), instance), Some(2), "node {at}");
        let last: Vec<_> = world.core(at).state().fences().last_words(NodeId(0x100)).collect();
        assert_eq!(last.len(), 1, "node 3 said how far it stood behind node 0");
    }
}

/// That a lane is sealed for good may be all that a judge has not heard.
#[test]
fn last_words_name_the_lanes_of_those_who_left_before() {
    let mut world = World::lobby(97, 5, 10_000);
    let claim = world.join(2, 7);
    world.run_ms(300);
    let instance = world.open(0);
    assert!(world.answer(2, &claim, instance, 2).unwrap().firm);
    let (_, left) = world.lives[2];
    world.leave(2);
    world.run_ms(1_000);
    world.leave(3);
    world.run_ms(1_000);
    let state = world.core(0).state();
    let head = world.core(0).heads().get(&LaneId::bulk(left));
    assert!(head > 0 && state.is_retired(left));
    let by = world.lives[3].1;
    let words: Vec<_> = state.fences().last_words(NodeId(0x102)).collect();
    assert!(words.iter().any(|(of, lanes)| *of == by && lanes.get(&left) == Some(&head)));
}

#[test]
fn who_crashed_before_leaves_with_all_its_lives() {
    let mut world = World::lobby(98, 4, 20_000);
    world.crash(3);
    world.start(3);
    world.relink();
    world.run_ms(2_000);
    world.leave(3);
    world.open(0);
    world.finish_round(0);
    world.all_call_it("final");
    assert_eq!(world.counted(0), 3);
}

#[test]
fn who_cannot_ask_all_for_more_of_a_former_life_goes_without_a_goodbye() {
    let mut world = World::lobby(99, 4, 20_000);
    world.crash(3);
    world.start(3);
    world.cut(2, 3);
    world.relink();
    world.run_ms(2_000);
    assert_eq!(code(world.retire(3, 1)), "not_possible");
    world.heal_between(2, 3);
    world.run_ms(1_000);
    assert_eq!(world.retire(3, 1), Reply::Retired);
}

#[test]
fn who_is_told_to_leave_before_the_event_arrives_never_takes_part() {
    let mut world = World::lobby(100, 3, 10_000);
    let late = world.add();
    assert_eq!(code(world.retire(late, 1)), "not_possible");
    world.relink();
    world.run_ms(2_000);
    assert_eq!(world.counted(0), 3, "nobody would hear its goodbye");
    world.crash(late);
    world.open(0);
    world.finish_round(0);
    world.all_call_it("final");
}

/// It has said goodbye, and is back before it let go: nothing is dropped, and its next period is a newcomer's.
#[test]
fn who_is_wanted_while_it_leaves_carries_on_over_what_it_has() {
    let mut world = World::lobby(71, 4, 10_000);
    let claim = world.join(3, 7);
    let instance = world.open(0);
    assert!(world.answer(3, &claim, instance, 2).unwrap().firm);
    let ticket = world.ask_to_leave(3, 3, &[]);
    world.isolate(3);
    world.run_ms(300);
    assert_eq!(world.take_reply(ticket), None, "nobody has confirmed it");
    let before = world.core(3).heads().clone();
    world.renew(3);
    assert_eq!(*world.core(3).heads(), before, "it has what it had");
    assert_eq!(world.held(3, claim.player, instance), Some(2));
    world.heal();
    world.until("its being known again", 5_000, |world| {
        world.answer(3, &claim, instance, 0).ok().filter(|receipt| receipt.firm)
    });
    assert_eq!(world.held(0, claim.player, instance), Some(2), "a duplicate of what is held");
    world.finish_round(0);
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.core(0).state().enrolled().count(), 5);
}
