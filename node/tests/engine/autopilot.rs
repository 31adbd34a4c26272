//! Shows that run by themselves: nobody drives, nodes come and go, and a host does no more than stop the time.

use crate::world::{Weather, World};
use crdt_state::delta::Delta;
use crdt_state::engagement::Script;
use crdt_state::{Mono, Phase, Stage};
use node::engine::{Input, Reply};
use node::service::view::Command;

const PACE_MS: u32 = 1_000;
const OPEN_MS: u32 = 2_000;
/// Longer than any step takes of itself, and any two of them less.
const STEP_MS: u64 = 4_000;

/// Two questions after a countdown.
fn script() -> Script {
    let (autopilot_ms, lobby_ms) = (Some(PACE_MS), Some(PACE_MS));
    Script { autopilot_ms, lobby_ms, ..crate::asks::script(2, OPEN_MS) }
}

/// Three nodes that know the show. Nobody has pressed anything.
fn imported(seed: u64) -> World {
    let mut world = World::new(seed, 3, Weather::default());
    let ticket = world.ask(0, |ticket| Input::Create { ticket, script: script() });
    assert!(matches!(world.reply(ticket), Reply::Created { .. }));
    world
}

/// Waits until all nodes stand at a stage, and says when that was.
fn comes_to(world: &mut World, stage: Stage) -> Mono {
    world.until(&format!("{stage:?}"), STEP_MS, |world| world.is_at(stage).then_some(()));
    world.now()
}

/// Every stage of the show, in order.
fn stages() -> Vec<Stage> {
    use Phase::{Board, Closed, Intro, Open, Reveal, Tallies};
    let phases = [Intro, Open, Closed, Tallies, Reveal, Board];
    let runs = (1..=2).flat_map(|run| phases.map(|phase| Stage::new(run, phase)));
    std::iter::once(Stage::LOBBY).chain(runs).chain([Stage::ENDED]).collect()
}

/// The steps that nodes have written, each once.
fn written(world: &World) -> Vec<Stage> {
    let deltas = world.written.iter().flat_map(|(_, deltas)| deltas);
    let step = |delta: &Delta| match delta {
        Delta::Advance(advance) => Some(advance.to),
        _ => None,
    };
    let mut steps: Vec<Stage> = deltas.filter_map(step).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

#[test]
fn a_whole_show_runs_without_a_host_and_a_node_that_comes_back_cuts_nothing_short() {
    let mut world = imported(950);
    comes_to(&mut world, Stage::LOBBY);
    let players: Vec<_> = (0..3).map(|player| world.join(player as usize, player)).collect();
    let (mut last, all) = (world.now(), stages());
    for (before, stage) in all.iter().zip(&all[1..]) {
        // One node dies in the first question and comes back on its board, another in the second's intro.
        match (before.instance, before.phase) {
            (1, Phase::Open) => world.crash(2),
            (1, Phase::Board) => world.start(2),
            (2, Phase::Intro) => world.crash(0),
            (2, Phase::Closed) => world.start(0),
            _ => {}
        }
        world.relink();
        if before.phase == Phase::Open {
            for claim in &players {
                let receipt = world.answer(1, claim, before.instance, 1).expect("it is open");
                assert_eq!(receipt.status, "accepted");
            }
        }
        let now = comes_to(&mut world, *stage);
        let took = (now - last).as_millis() as u64;
        let least = u64::from(if before.phase == Phase::Open { OPEN_MS } else { PACE_MS });
        assert!(took + 50 >= least, "{before:?} was over after {took} ms");
        last = now;
    }
    world.all_equal();
    assert_eq!(written(&world), all, "every phase of every question, and nothing else");
    let state = world.core(0).state();
    assert_eq!((state.answered(1), state.answered(2)), (3, 3));
    let points: u64 =
        world.core(2).scoreboard().top(state, 3).iter().map(|standing| standing.points).sum();
    assert!(points > 0, "the second option of the second question is right");
}

#[test]
fn time_that_a_host_stops_is_waited_for_again_in_every_phase_that_passes_by_itself() {
    use Phase::{Board, Closed, Intro, Lobby, Reveal, Tallies};
    for (at, phase) in [Lobby, Intro, Closed, Tallies, Reveal, Board].into_iter().enumerate() {
        let mut world = imported(951 + at as u64);
        let stages = stages();
        let here = stages.iter().position(|stage| stage.phase == phase).expect("the show has it");
        for stage in &stages[..=here] {
            comes_to(&mut world, *stage);
        }
        world.run_ms(600);
        assert!(world.view(1).next.contains(&Command::Pause), "{phase:?} can be paused");
        world.press(1, Command::Pause);
        world.run_ms(30_000);
        assert!(world.view(2).live.paused, "{phase:?} is shown as paused");
        world.crash(0);
        world.start(0);
        world.relink();
        world.run_ms(30_000);
        assert!(world.is_at(stages[here]), "time stands still in {phase:?}");
        world.press(2, Command::Resume);
        world.run_ms(250);
        assert!(world.is_at(stages[here]), "the rest of {phase:?} is waited for");
        let resumed = world.now();
        let took = (comes_to(&mut world, stages[here + 1]) - resumed).as_millis();
        assert!(took < 500, "no more than the rest of {phase:?} is waited for: {took} ms");
    }
}

#[test]
fn everybody_is_told_when_a_show_starts_by_itself() {
    let script = Script { lobby_ms: Some(60_000), ..script() };
    let mut world = World::new(959, 3, Weather::default());
    let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
    assert!(matches!(world.reply(ticket), Reply::Created { .. }));
    comes_to(&mut world, Stage::LOBBY);
    let left = |world: &World, at: usize| {
        let player = world.core(at).player_view(world.view(at).live);
        player.starts_in_ms
    };
    world.run_ms(20_000);
    for at in 0..3 {
        let left = left(&world, at).expect("the lobby counts down");
        assert!((39_000..41_000).contains(&left), "{left} ms are left at node {at}");
    }
    world.press(1, Command::Pause);
    world.run_ms(30_000);
    assert_eq!((0..3).find_map(|at| left(&world, at)), None, "time stands still");
    world.press(2, Command::Resume);
    world.run_ms(1_000);
    for at in 0..3 {
        let left = left(&world, at).expect("the lobby counts down again");
        assert!((37_000..41_000).contains(&left), "{left} ms are left at node {at}");
    }
    let due = world.now() + std::time::Duration::from_millis(left(&world, 0).unwrap());
    world
        .until("the start", 60_000, |world| world.is_at(Stage::new(1, Phase::Intro)).then_some(()));
    assert!(world.now() + std::time::Duration::from_millis(50) >= due, "not before it was told");
    assert_eq!((0..3).find_map(|at| left(&world, at)), None, "it has started");
}

#[test]
fn a_lobby_that_a_host_ends_has_no_time_to_stop() {
    let mut world = World::lobby(958, 2, OPEN_MS);
    assert!(!world.view(0).next.contains(&Command::Pause));
    let refused = world.say(0, Command::Pause, |_| {}).expect_err("nothing passes");
    assert_eq!(refused.code, "not_possible");
}
