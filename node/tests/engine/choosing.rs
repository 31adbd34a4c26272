//! Choosing a team, on any node.

use crate::asks::script;
use crate::facts::code;
use crate::world::{Weather, World};
use crdt_state::engagement::TEAM_CHOICES_MAX;
use crdt_state::engagement::script::{TeamChoice, Teams};
use crdt_state::{PlayerId, Stage};
use node::engine::{Input, Reply};
use node::service::view::Command;

/// A world of two nodes whose show has two teams, with the lobby open.
fn teams(seed: u64, set: impl FnOnce(&mut Teams)) -> World {
    let mut world = World::new(seed, 2, Weather::default());
    let mut script = script(2, 20_000);
    script.teams.names = vec!["red".into(), "blue".into()];
    set(&mut script.teams);
    let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
    assert!(matches!(world.reply(ticket), Reply::Created { .. }));
    world.press(0, Command::Lobby);
    world.all_at(Stage::LOBBY);
    world
}

fn team(world: &World, at: usize, player: u128) -> String {
    world.core(at).team_name(PlayerId(player)).unwrap().to_owned()
}

#[test]
fn a_team_is_chosen_in_the_lobby_on_any_node_and_its_board_shows_it() {
    let mut world = teams(317, |_| {});
    let claims: Vec<_> = (1..=8).map(|player| world.join(player as usize % 2, player)).collect();
    let ninth = world.join(0, 9);
    world.all_equal();
    assert_eq!(world.view(0).live.team_names, ["red", "blue"]);
    for (at, claim) in claims.iter().enumerate() {
        let receipt = world.choose_team(at % 2, claim, u8::from(at < 6)).unwrap();
        assert_eq!(receipt, ("accepted".to_owned(), true, vec![u8::from(at < 6)]));
    }
    world.all_equal();
    let again = world.choose_team(1, &claims[0], 1).unwrap();
    assert_eq!(again.0, "duplicate");
    assert_eq!(code(world.choose_team(0, &ninth, 7)), "choice_invalid");
    for at in 0..2 {
        assert!((1..=6).all(|player| team(&world, at, player) == "blue"));
        assert!((7..=8).all(|player| team(&world, at, player) == "red"));
    }
    let instance = world.open(0);
    assert!(world.view(1).live.team_names.is_empty());
    assert_eq!(code(world.choose_team(0, &ninth, 0)), "late");
    assert_eq!(world.choose_team(1, &claims[7], 0).unwrap().0, "duplicate");
    world.answer(1, &claims[0], instance, 0).unwrap();
    world.finish_round(0);
    world.all_equal();
    let lines = world.view(1).live.teams.unwrap();
    let blue = lines.iter().find(|line| line.name == "blue").unwrap();
    let drawn = u64::from(team(&world, 1, 9) == "blue");
    assert_eq!((blue.rank, blue.players), (1, 6 + drawn));
    assert!(blue.points > 0);
}

#[test]
fn a_mind_is_changed_where_the_show_lets_it_and_a_team_can_be_full() {
    let mut world = teams(318, |teams| {
        (teams.choice, teams.size_max) = (TeamChoice::Always, Some(2));
    });
    let claims: Vec<_> = (1..=4).map(|player| world.join(0, player)).collect();
    world.all_equal();
    world.choose_team(0, &claims[0], 1).unwrap();
    world.choose_team(0, &claims[1], 1).unwrap();
    world.open(0);
    assert_eq!(code(world.choose_team(0, &claims[2], 1)), "team_full");
    assert_eq!(world.choose_team(0, &claims[0], 0).unwrap().0, "accepted");
    world.choose_team(0, &claims[2], 1).unwrap();
    world.all_equal();
    assert_eq!(code(world.choose_team(1, &claims[3], 1)), "team_full");
    assert_eq!(team(&world, 1, 1), "red");
    world.finish_round(0);
    world.press(0, Command::End);
    world.all_equal();
    assert_eq!(code(world.choose_team(1, &claims[3], 0)), "ended");
}

#[test]
fn a_player_changes_teams_so_often_and_no_more() {
    let mut world = teams(319, |_| {});
    let ada = world.join(0, 1);
    world.all_equal();
    for turn in 0..TEAM_CHOICES_MAX {
        let chosen = (turn % 2) as u8;
        assert_eq!(world.choose_team(turn as usize % 2, &ada, chosen).unwrap().0, "accepted");
        world.all_equal();
    }
    assert_eq!(code(world.choose_team(0, &ada, 0)), "limit_reached");
    assert_eq!(team(&world, 0, 1), "blue");
}

#[test]
fn a_show_without_teams_or_with_drawn_ones_lets_nobody_choose() {
    let mut world = teams(320, |teams| teams.choice = TeamChoice::Never);
    let ada = world.join(0, 1);
    assert!(world.view(0).live.team_names.is_empty());
    assert_eq!(code(world.choose_team(0, &ada, 0)), "not_possible");
    let mut world = World::lobby(321, 1, 20_000);
    let ada = world.join(0, 1);
    assert_eq!(code(world.choose_team(0, &ada, 0)), "not_possible");
}
