//! Time that a host makes stand still: in every phase, and for nodes that come back in the middle of it.

use crate::crashes::snapshots;
use crate::world::{Weather, World};
use crdt_state::{Phase, Stage};
use node::service::view::Command;

const SEED: u64 = 800;

fn elapsed(world: &World, at: usize) -> Option<u64> {
    world.view(at).live.age_ms
}

/// The clocks of all cores agree on how long the round has been open, to a tenth of a second.
fn all_count(world: &World, ms: u64) {
    for at in world.alive() {
        let elapsed = elapsed(world, at);
        assert!(elapsed.is_some_and(|e| e.abs_diff(ms) < 100), "core {at}: {elapsed:?} of {ms}");
    }
}

#[test]
fn a_pause_before_the_opening_takes_nothing_from_the_round() {
    for opened_while_paused in [false, true] {
        let mut world = World::lobby(SEED, 3, 20_000);
        let claim = world.join(1, 7);
        world.step(0, Command::Next);
        world.press(0, Command::Pause);
        world.run_ms(60_000);
        if opened_while_paused {
            world.step(0, Command::Open);
            world.run_ms(5_000);
            world.press(0, Command::Resume);
        } else {
            world.press(0, Command::Resume);
            world.run_ms(100);
            world.step(0, Command::Open);
        }
        world.run_ms(1_000);
        let receipt = world.answer(1, &claim, 1, 0).unwrap();
        assert!((950..1_200).contains(&receipt.elapsed_ms), "{receipt:?}");
        world.run_ms(18_500);
        assert!(world.is_at(Stage::new(1, Phase::Open)), "there is a second left");
        world.run_ms(1_500);
        assert!(world.is_at(Stage::new(1, Phase::Closed)));
    }
}

/// Of a round of 30 s that stood still for a minute, a core that comes back knows what the others know.
fn comes_back(weather: Weather, is_paused: bool) {
    let mut world = World::lobby_in(SEED + 1, 3, 30_000, weather);
    world.open(0);
    world.run_ms(5_000);
    world.press(1, Command::Pause);
    world.run_ms(30_000);
    if is_paused {
        world.crash(2);
        world.start(2);
        world.relink();
    }
    world.run_ms(30_000);
    world.press(1, Command::Resume);
    world.run_ms(2_000);
    if !is_paused {
        world.crash(2);
        world.start(2);
        world.relink();
    }
    world.run_ms(3_000);
    assert!(world.is_at(Stage::new(1, Phase::Open)), "ten of thirty seconds have passed");
    all_count(&world, 10_000);
    world.run_ms(19_500);
    assert!(world.is_at(Stage::new(1, Phase::Open)));
    world.run_ms(1_500);
    assert!(world.is_at(Stage::new(1, Phase::Closed)));
}

#[test]
fn a_core_that_was_away_knows_what_stood_still() {
    comes_back(Weather::default(), false);
    comes_back(snapshots(), false);
}

#[test]
fn a_core_that_comes_back_while_time_stands_still_goes_on_with_the_others() {
    comes_back(Weather::default(), true);
    comes_back(snapshots(), true);
}

#[test]
fn a_core_that_lost_its_store_knows_what_stood_still() {
    let mut world = World::lobby_in(SEED + 2, 3, 30_000, snapshots());
    world.open(0);
    world.run_ms(5_000);
    world.press(1, Command::Pause);
    world.run_ms(60_000);
    world.press(1, Command::Resume);
    world.crash(2);
    world.wipe(2);
    world.start(2);
    world.relink();
    world.run_ms(3_000);
    all_count(&world, 8_000);
}

/// Of a round of 20 s that is paused 3 s after its opening, while the process of core 2 stands still.
fn paused_unheard() -> World {
    let mut world = World::lobby(SEED + 3, 3, 20_000);
    world.open(0);
    world.run_ms(3_000);
    world.stop(2);
    world.press(0, Command::Pause);
    world.run_ms(2_700);
    world
}

/// All have counted 4 s, and close the round when it is over.
fn plays_on(world: &mut World) {
    all_count(world, 4_000);
    world.run_ms(15_900);
    assert!(world.is_at(Stage::new(1, Phase::Open)), "the round has its whole length");
    world.run_ms(1_000);
    assert!(world.is_at(Stage::new(1, Phase::Closed)));
}

#[test]
fn a_core_that_hears_of_a_pause_once_it_is_over_does_not_cut_the_round_short() {
    for first in [0, 1] {
        let mut world = paused_unheard();
        world.press(1, Command::Resume);
        world.run_ms(10);
        world.go_on(2, first);
        world.run_ms(990);
        plays_on(&mut world);
    }
}

#[test]
fn a_core_that_hears_late_of_a_pause_ends_it_with_its_whole_length() {
    let mut world = paused_unheard();
    world.go_on(2, 0);
    world.run_ms(100);
    world.press(2, Command::Resume);
    world.run_ms(1_000);
    plays_on(&mut world);
}

#[test]
fn a_core_that_hears_late_of_many_pauses_asks_about_each() {
    let mut world = World::lobby(SEED + 4, 3, 20_000);
    world.open(0);
    for _ in 0..4 {
        world.run_ms(1_000);
        world.stop(2);
        world.press(0, Command::Pause);
        world.run_ms(500);
        world.press(1, Command::Resume);
        world.run_ms(10);
        world.go_on(2, 1);
    }
    plays_on(&mut world);
}
