//! Cores that are kept apart for a while.

use crate::world::{Weather, World};
use crdt_state::engagement::tug::Tug;
use crdt_state::engagement::{Given, Question, Script, Task, standings};
use crdt_state::{LaneId, Phase, PlayerId, Stage};
use gossip::replication::Config;
use node::engine::{Input, Reply};
use node::service::view::Command;

#[test]
fn of_two_choices_taken_apart_the_earliest_counts_and_the_other_is_told() {
    let mut world = World::lobby(20, 3, 10_000);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(1);
    world.run_ms(500);
    world.answer(0, &claim, instance, 0).unwrap();
    world.run_ms(500);
    let overruled = world.answer(1, &claim, instance, 3).unwrap();
    assert_eq!((overruled.status.as_str(), overruled.firm), ("accepted", false));
    world.heal();
    world.run_ms(2_000);
    let superseded: Vec<_> = world.receipts(PlayerId(7), instance);
    let superseded: Vec<_> = superseded.iter().filter(|(_, r)| r.status == "superseded").collect();
    let [(1, told)] = superseded[..] else { panic!("node 1 tells once: {superseded:?}") };
    assert_eq!(told.choice, 0);
    world.all_equal();
    for at in 0..3 {
        assert_eq!(world.held(at, PlayerId(7), instance), Some(0));
    }
    assert_eq!(world.core(2).state().answered(instance), 1);
    assert_eq!(world.superseded, 1, "it is counted");
    world.finish_round(0);
    world.all_equal();
    for at in 0..3 {
        let export = String::from_utf8(world.core(at).export("123456").to_vec()).unwrap();
        let question = export.lines().find(|line| line.starts_with("{\"type\":\"question\""));
        assert!(question.unwrap().contains("\"superseded\":1,"), "node {at}: {export}");
    }
}

/// Whoever told the receipt is not whom the player is connected to when the other answer comes.
#[test]
fn a_player_who_has_moved_is_told_by_the_new_node_that_a_receipt_is_superseded() {
    let mut world = World::lobby(21, 3, 10_000);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(1);
    world.run_ms(500);
    let (lone, given) = (claim.clone(), Given::choices(&[3]));
    world.ask(1, |ticket| Input::Answer { ticket, claim: lone, instance, given });
    world.run_ms(10);
    let receipt = world.answer(0, &claim, instance, 0).unwrap();
    assert_eq!((receipt.status.as_str(), receipt.firm), ("accepted", true));
    world.ask(2, |_| Input::Project { player: PlayerId(7) });
    let shown = world.receipts(PlayerId(7), instance).pop();
    assert!(shown.is_some_and(|(at, receipt)| at == 2 && receipt.choice == 0));
    world.heal();
    world.run_ms(2_000);
    let told = world.receipts(PlayerId(7), instance);
    for node in [0, 2] {
        let told = told.iter().filter(|(at, r)| *at == node && r.status == "superseded");
        let choices: Vec<u8> = told.map(|(_, receipt)| receipt.choice).collect();
        assert_eq!(choices, [3], "node {node} tells once");
    }
}

/// The answer is on two nodes, but whoever calls the result settled does not know the second.
#[test]
fn a_newcomer_whose_word_does_not_count_yet_promises_nothing() {
    let mut world = World::lobby(22, 3, 20_000);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    let newcomer = world.add();
    for (a, b) in [(0, 1), (0, 2), (newcomer, 1), (newcomer, 2)] {
        world.cut(a, b);
    }
    world.link(0, newcomer);
    world.run_ms(1_000);
    let taken = world.answer(0, &claim, instance, 2).unwrap();
    assert!(!taken.firm, "{taken:?}");
    world.run_ms(500);
    world.ask(newcomer, |_| Input::Project { player: PlayerId(7) });
    let (at, shown) = world.receipts(PlayerId(7), instance).pop().unwrap();
    assert_eq!((at, shown.choice, shown.firm), (newcomer, 2, false));
    let again = world.answer(newcomer, &claim, instance, 1).unwrap();
    assert_eq!((again.status.as_str(), again.choice, again.firm), ("duplicate", 2, false));
    world.heal();
    world.until("the newcomer promises once all hold it", 5_000, |world| {
        let told = world.receipts(PlayerId(7), instance);
        told.iter().any(|(at, receipt)| *at == newcomer && receipt.firm).then_some(())
    });
}

/// Another holds by now what it took before it went down, but not behind it: whoever is out of reach may have counted
/// on that other's word, and call settled what lacks the answer.
#[test]
fn what_a_former_life_took_beyond_the_fences_is_promised_to_nobody_before_all_have_it() {
    let mut world = World::lobby(25, 3, 20_000);
    let claim = world.join(2, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(2);
    assert!(!world.answer(2, &claim, instance, 1).unwrap().firm);
    world.press(0, Command::Close);
    world.run_ms(1_000);
    world.crash(2);
    world.heal_between(0, 2);
    world.start(2);
    world.relink();
    world.run_ms(2_000);
    assert_eq!(world.held(0, PlayerId(7), instance), Some(1), "one more has it");
    assert_eq!(world.view(1).live.result.unwrap().status, "settled", "and the third has not");
    let told = |world: &mut World| {
        world.ask(2, |_| Input::Project { player: PlayerId(7) });
        let (at, shown) = world.receipts(PlayerId(7), instance).pop().unwrap();
        (at, shown.choice, shown.firm)
    };
    assert_eq!(told(&mut world), (2, 1, false));
    world.heal();
    world.run_ms(2_000);
    world.all_call_it("final");
    assert_eq!(told(&mut world), (2, 1, true));
}

/// A result may be final without a node of which nobody knew, and then nothing may come of its round any more.
#[test]
fn a_newcomer_takes_no_answer_before_somebody_reckons_with_it() {
    for seed in 0..40 {
        let mut world = World::lobby(2_400 + seed, 3, 20_000);
        let claim = world.join(0, 7);
        world.run_ms(300);
        let instance = world.open(0);
        // What it says of itself may be lost, and more than once.
        world.weather.loss = 30;
        let newcomer = world.add();
        world.relink();
        let &(_, origin) = world.lives.last().unwrap();
        let taken = |world: &mut World| {
            let (claim, given) = (claim.clone(), Given::choices(&[1]));
            let answer = |ticket| Input::Answer { ticket, claim, instance, given };
            let ticket = world.ask(newcomer, answer);
            let reply = world.take_reply(ticket);
            (!matches!(reply, Some(Reply::Refused(_)))).then_some(())
        };
        world.until("the newcomer takes an answer", 15_000, taken);
        let knows = |at: usize| world.core(at).state().is_enrolled(origin);
        assert!((0..3).any(knows), "nobody reckons with it in the show of seed {seed}");
        world.weather.loss = 0;
        world.finish_round(0);
        world.all_call_it("final");
    }
}

/// Who is cut off may overrule a receipt after the show's end.
#[test]
fn an_answer_that_is_overruled_after_the_end_is_told_too() {
    let mut world = World::lobby(23, 3, 2_000);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(1);
    let (lone, given) = (claim.clone(), Given::choices(&[3]));
    world.ask(1, |ticket| Input::Answer { ticket, claim: lone, instance, given });
    world.run_ms(10);
    assert!(world.answer(0, &claim, instance, 0).unwrap().firm);
    world.run_ms(3_000);
    for command in [Command::Tallies, Command::Reveal, Command::Next, Command::End] {
        world.press(0, command);
        world.run_ms(100);
    }
    world.heal();
    world.all_equal();
    let told = world.receipts(PlayerId(7), instance);
    let told = told.iter().filter(|(at, r)| *at == 0 && r.status == "superseded");
    assert_eq!(told.map(|(_, receipt)| receipt.choice).collect::<Vec<_>>(), [3]);
}

/// Every node's board is that of a fold from nothing, at whatever moment one looks.
fn check_boards(world: &World) {
    for core in world.cores() {
        let state = core.state();
        let folded = standings(state, |instance| state.has_told(instance));
        assert_eq!(core.scoreboard().top(state, usize::MAX), folded);
    }
}

#[test]
fn taps_that_come_after_the_board_change_who_won_the_tug_of_war() {
    let sides = ["left", "right"].map(str::to_owned).to_vec();
    let tug = Tug { sides };
    let question = Question::new("Pull!", Task::Tug(tug.clone())).open_ms(60_000);
    let script = Script::new("a show", vec![question]);
    let mut world = World::lobby_of(28, 2, script, Weather::default());
    let claims = [(0, 1), (1, 2), (0, 3), (1, 4)].map(|(at, player)| world.join(at, player));
    world.all_equal();
    // Each node has one player on each side.
    let side = |world: &World, player| tug.side(world.core(0).state(), player);
    let of = |wanted: usize, here: [usize; 2]| {
        let here = here.into_iter().map(|at| &claims[at]);
        here.clone().find(|claim| side(&world, claim.player) == wanted).expect("one of two").clone()
    };
    let (left, right) = (of(0, [0, 2]), of(1, [1, 3]));
    let instance = world.open(0);
    world.isolate(1);
    world.tap(0, &left, instance, 3).unwrap();
    world.tap(1, &right, instance, 9).unwrap();
    for command in [Command::Close, Command::Tallies, Command::Leaderboard] {
        world.press(0, command);
    }
    let winner = |world: &World, at: usize| {
        let core = world.core(at);
        side(world, core.scoreboard().top(core.state(), 1)[0].player)
    };
    assert_eq!(winner(&world, 0), 0);
    world.heal();
    for _ in 0..3_000 {
        world.run_ms(1);
        check_boards(&world);
    }
    world.all_equal();
    check_boards(&world);
    assert_eq!([0, 1].map(|at| winner(&world, at)), [1; 2]);
}

/// The player has a row of each side, and the answer may arrive before the row that it belongs to.
#[test]
fn an_answer_overruled_through_another_row_is_told_too() {
    (100..110).for_each(overruled_through_another_row);
}

fn overruled_through_another_row(seed: u64) {
    let mut world = World::lobby(seed, 4, 20_000);
    world.run_ms(300);
    let instance = world.open(0);
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2)] {
        world.cut(a, b);
    }
    let (mine, theirs) = (world.join(0, 7), world.join(2, 7));
    world.run_ms(1_000);
    world.answer(3, &theirs, instance, 1).unwrap();
    world.run_ms(500);
    world.answer(0, &mine, instance, 2).unwrap();
    world.cut(2, 3);
    world.heal_between(0, 3);
    world.run_ms(1_500);
    world.heal();
    world.run_ms(2_000);
    world.all_equal();
    assert_eq!(world.held(0, PlayerId(7), instance), Some(1));
    let told = world.receipts(PlayerId(7), instance);
    let told = told.iter().any(|(at, r)| *at == 0 && r.status == "superseded" && r.choice == 1);
    assert!(told, "the overruled receipt is told");
}

/// What overrules the receipt comes within a snapshot, since nobody keeps entries one by one.
#[test]
fn an_answer_overruled_by_a_snapshot_is_told_too() {
    let replication = Config { tail_bytes_max: 1, ..Config::default() };
    let weather = Weather { replication, ..Weather::default() };
    let mut world = World::lobby_in(27, 3, 20_000, weather);
    let claim = world.join(0, 7);
    world.run_ms(300);
    let instance = world.open(0);
    world.isolate(1);
    world.answer(0, &claim, instance, 0).unwrap();
    world.run_ms(500);
    world.answer(1, &claim, instance, 3).unwrap();
    world.heal();
    world.all_equal();
    let told = world.receipts(PlayerId(7), instance);
    let told = told.iter().filter(|(at, r)| *at == 1 && r.status == "superseded").count();
    assert_eq!(told, 1);
}

#[test]
fn a_name_taken_on_two_cores_shows_one_suffix_everywhere() {
    let mut world = World::lobby(22, 3, 5_000);
    world.isolate(1);
    world.try_join(0, 7, "Ada").unwrap();
    world.try_join(1, 8, "ada").unwrap();
    world.heal();
    world.all_equal();
    let shown = |at: usize, id| world.core(at).state().players.shown_name(PlayerId(id)).unwrap();
    let suffixes = [7, 8].map(|id| shown(0, id).contains('(')).iter().filter(|s| **s).count();
    assert_eq!(suffixes, 1);
    assert!((0..3).all(|at| [7, 8].map(|id| shown(at, id)) == [7, 8].map(|id| shown(0, id))));
    assert_eq!(world.try_join(2, 9, " ADA ").unwrap_err().code, "name_taken");
}

#[test]
fn a_core_that_lacks_the_row_takes_the_player_by_token() {
    let mut world = World::lobby(23, 3, 5_000);
    world.isolate(1);
    let claim = world.join(0, 7);
    world.heal_between(1, 2);
    world.cut(0, 2);
    let Reply::Joined { row, name, .. } = world.resume(1, &claim) else { panic!("let in") };
    assert_eq!((row, name), (claim.row, claim.name.clone()));
    assert_eq!(world.core(1).state().players.count(), 1);
    world.heal();
    let instance = world.open(1);
    world.answer(1, &claim, instance, 0).unwrap();
    world.all_equal();
    assert_eq!(world.core(0).state().players.rows_of(PlayerId(7)).count(), 1);
}

#[test]
fn receipts_of_a_new_origin_are_provisional_until_a_majority_knows_it() {
    let mut world = World::lobby(24, 3, 20_000);
    let instance = world.open(0);
    let new = world.add();
    (1..3).for_each(|at| world.cut(new, at));
    world.relink();
    world.run_ms(1_000);
    assert!(world.core(new).state().is_open(instance));
    let claim = world.join(new, 7);
    let receipt = world.answer(new, &claim, instance, 0).unwrap();
    assert!(!receipt.firm, "two of four know the new origin");
    world.run_ms(3_000);
    assert!(world.receipts(PlayerId(7), instance).iter().all(|(_, r)| !r.firm));
    world.heal_between(new, 1);
    world.run_ms(1_000);
    assert!(world.receipts(PlayerId(7), instance).iter().any(|(_, r)| r.firm), "upgraded");
}

/// More than half of all nodes are new, and none of the old ones has heard of any.
#[test]
fn newcomers_among_themselves_make_no_receipt_firm() {
    let mut world = World::lobby(28, 3, 30_000);
    let instance = world.open(0);
    let new = world.add();
    (1..3).for_each(|at| world.cut(new, at));
    world.relink();
    world.until("the newcomer has the event", 500, |world| {
        world.core(new).state().is_open(instance).then_some(())
    });
    world.cut(new, 0);
    for _ in 0..3 {
        let more = world.add();
        (0..3).for_each(|old| world.cut(more, old));
    }
    world.relink();
    world.run_ms(2_000);
    let origins: Vec<_> = (new..new + 4).map(|at| world.core(at).replica().me()).collect();
    for at in new..new + 4 {
        let enrolled = |origin: &_| world.core(at).state().is_enrolled(*origin);
        assert!(origins.iter().all(enrolled), "the newcomers know each other");
    }
    let unheard = |origin: &_| !world.core(0).state().is_enrolled(*origin);
    assert!(origins.iter().all(unheard), "the old nodes know none of them");
    let claim = world.join(new, 7);
    let receipt = world.answer(new, &claim, instance, 0).unwrap();
    assert!(!receipt.firm, "four of seven hold it, and may all be forgotten: {receipt:?}");
    world.run_ms(3_000);
    assert!(world.receipts(PlayerId(7), instance).iter().all(|(_, r)| !r.firm));
    world.heal();
    world.run_ms(1_000);
    assert!(world.receipts(PlayerId(7), instance).iter().any(|(_, r)| r.firm), "upgraded");
}

#[test]
fn drivers_of_two_sides_meet_at_one_stage_and_every_answer_counts() {
    let mut world = World::lobby(25, 4, 30_000);
    let claims: Vec<_> = (0..4).map(|n| world.join(n as usize, n)).collect();
    let instance = world.open(0);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.cut(a, b);
    }
    world.press(0, Command::Close);
    for (at, claim) in claims.iter().enumerate().skip(2) {
        let receipt = world.answer(at, claim, instance, 0).unwrap();
        assert!(receipt.firm, "two of one side hold it: {receipt:?}");
    }
    world.run_ms(500);
    assert_eq!(world.status(0), "partial", "half of the nodes have not sealed");
    world.heal();
    world.all_at(Stage::new(instance, Phase::Closed));
    world.all_call_it("final");
    world.all_equal();
    assert_eq!(world.core(0).state().answered(instance), 2);
}

#[test]
fn a_newcomer_takes_a_snapshot_and_is_told_when_the_round_opened() {
    let weather = crate::crashes::snapshots();
    let mut world = World::lobby_in(26, 3, 4_000, weather);
    let claim = world.join(0, 7);
    let instance = world.open(0);
    world.run_ms(2_000);
    let new = world.add();
    world.relink();
    world.run_ms(500);
    let receipt = world.answer(new, &claim, instance, 0).unwrap();
    assert!((2_500..2_600).contains(&receipt.elapsed_ms), "{receipt:?}");
    world.run_ms(4_000 + 300 - 2_500 + 150);
    assert!(world.is_at(Stage::new(instance, Phase::Closed)));
    world.all_equal();
}

#[test]
fn a_newcomer_that_has_named_itself_is_waited_for_by_those_who_have_not_heard_of_it() {
    let mut world = World::lobby(27, 3, 30_000);
    let claim = world.join(0, 7);
    world.open(0);
    world.finish_round(0);
    let instance = world.open(0);
    let new = world.add();
    world.cut(new, 2);
    world.relink();
    // It seals the round that is over, and the old nodes that it reaches hear that.
    let origin = world.core(new).replica().me();
    world.until("two old nodes know the newcomer", 200, |world| {
        let knows = |at: usize| world.core(at).state().newest_sealed(origin) > 0;
        (knows(0) && knows(1)).then_some(())
    });
    assert!(!world.core(2).state().is_enrolled(origin), "one has not heard of it");
    let ticket = world.ask_command(0, Command::Close, None);
    let given = Given::choices(&[0]);
    world.ask(new, |ticket| Input::Answer { ticket, claim, instance, given });
    for _ in 0..2_000 {
        world.run_ms(1);
        let answered = world.core(2).state().answered(instance);
        assert!(world.status(2) != "final" || answered == 1, "final without the newcomer's answer");
    }
    assert!(matches!(world.take_reply(ticket), Some(Reply::Commanded(_))));
    assert_eq!(world.status(2), "final");
}

/// On one side of a cut the hosts go on to another question than on the other, and a player answers both. Whichever
/// word comes first once the cut heals, of the answer or of the question, each node says in the end what is held.
#[test]
fn who_answered_what_a_run_turns_out_not_to_ask_is_told_what_counts() {
    for late in [0, 2] {
        let mut world = World::lobby(60, 3, 20_000);
        let claim = world.join(0, 7);
        world.open(0);
        world.finish_round(0);
        let (_, late) = world.lives[late];
        world.isolate(2);
        world.press(2, Command::Back);
        world.press(2, Command::Open);
        world.press(0, Command::Open);
        for (at, choice) in [(0, 1), (2, 3)] {
            assert_eq!(world.answer(at, &claim, 2, choice).unwrap().status, "accepted");
        }
        world.withheld.insert(LaneId::control(late));
        world.heal();
        world.run_ms(400);
        world.withheld.clear();
        world.run_ms(2_000);
        let held = world.held(0, PlayerId(7), 2).unwrap();
        for at in [0, 2] {
            assert_eq!(world.held(at, PlayerId(7), 2), Some(held));
            let told = world.receipts(PlayerId(7), 2);
            let (_, last) = told.into_iter().rfind(|(by, _)| *by == at).unwrap();
            assert_eq!((last.choice, last.firm), (held, true), "node {at}: {last:?}");
        }
    }
}
