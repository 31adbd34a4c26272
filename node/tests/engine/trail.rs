//! The audit trail: who did what, where and when, the same on every node.

use crate::world::World;
use crdt_state::engagement::Key;
use crdt_state::{Phase, PlayerId, Stage};
use node::service::view::{Command, CommandRequest};

#[test]
fn the_trail_tells_who_did_what_on_which_node_in_one_order_everywhere() {
    let mut world = World::lobby(311, 2, 2_000);
    world.join(0, 1);
    world.all_equal();
    world
        .say(1, Command::Mute, |request| {
            (request.player, request.by) = (Some(PlayerId(1)), "Bea".into());
        })
        .unwrap();
    let instance = world.open(0);
    world.run_ms(2_500);
    world.all_at(Stage::new(instance, Phase::Closed));
    world.all_equal();
    let lines = world.core(0).log();
    assert_eq!(lines, world.core(1).log());
    let told: Vec<_> = lines.iter().map(|l| (l.by.as_str(), l.act.as_str())).collect();
    assert_eq!(
        told[..4],
        [("host", "create"), ("host", "lobby"), ("Bea", "mute"), ("host", "open")]
    );
    assert!(told[4..].iter().all(|line| *line == ("director", "closed")), "{told:?}");
    assert!(lines[2].of.starts_with("player 1 ("));
    assert_ne!(lines[2].node, lines[0].node);
    assert!(lines.is_sorted_by_key(|line| line.lamport));
    assert!(lines.iter().all(|line| line.wall_ms >= 1_000_000));
    let state = world.core(1).state_view();
    assert_eq!(state.most["players_peak"], 1);
    assert_eq!(state.least["began_ms"], lines[1].wall_ms);
}

/// Whoever reads the trail would take two lines for two steps.
#[test]
fn a_step_that_two_directors_made_is_one_line_with_both() {
    let mut world = World::lobby(334, 2, 2_000);
    world.join(0, 1);
    world.join(1, 2);
    world.all_equal();
    let instance = world.open(0);
    world.all_equal();
    world.isolate(1);
    world.run_ms(6_000);
    let closed = Stage::new(instance, Phase::Closed);
    world.all_at(closed);
    world.heal();
    world.all_equal();
    let trail = &world.core(0).state().named.trail;
    let proposed = trail.iter().filter(|(_, note)| note.stage == closed).count();
    assert_eq!(proposed, 2, "each closed it by itself");
    let lines = world.core(0).log();
    assert_eq!(lines, world.core(1).log());
    let closings: Vec<_> = lines.iter().filter(|line| line.act == "closed").collect();
    assert_eq!(closings.len(), 1, "{lines:?}");
    assert_eq!(closings[0].also.len(), 1);
    assert_ne!(closings[0].also[0], closings[0].node);
}

#[test]
fn rulings_are_in_the_trail_with_what_they_say() {
    let mut world = World::lobby(314, 2, 20_000);
    let instance = world.open(0);
    world.press(1, Command::Pause);
    world.all_equal();
    world.press(0, Command::Resume);
    world.all_equal();
    world.press(0, Command::Close);
    world.all_at(Stage::new(instance, Phase::Closed));
    world.all_equal();
    let rescore = |request: &mut CommandRequest| request.key = Some(Key::Choices(vec![2]));
    world.say(1, Command::Rescore, rescore).unwrap();
    world.press(1, Command::Back);
    world.all_equal();
    let lines = world.core(0).log();
    let told: Vec<_> = lines.iter().map(|l| (l.act.as_str(), l.of.as_str())).collect();
    let wanted = [
        ("open", ""),
        ("pause", "round 1, question 1"),
        ("resume", "round 1, question 1"),
        ("closed", ""),
        ("rescore", "round 1, question 1: option 2"),
        ("back", "question 1 again"),
    ];
    assert_eq!(told[2..], wanted);
    assert_eq!(lines.last().map(|line| line.stage.instance), Some(2));
}

#[test]
fn the_trail_names_the_rounds_that_a_way_back_makes_void() {
    let mut world = World::lobby(318, 2, 20_000);
    for _ in 0..3 {
        world.open(0);
        for command in [Command::Close, Command::Tallies, Command::Reveal] {
            world.step(0, command);
        }
        world.step(0, Command::Leaderboard);
    }
    world.all_equal();
    world.say(0, Command::Back, |request| request.question = Some(2)).unwrap();
    world.all_equal();
    let state = world.core(1).state();
    assert_eq!([1, 2, 3].map(|run| state.is_aside(run)), [false, true, true]);
    let lines = world.core(1).log();
    assert_eq!(lines.last().unwrap().of, "question 2 again, round 2 is void");
}
