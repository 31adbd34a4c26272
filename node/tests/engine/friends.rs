//! The leaderboard of a few, and the pictures that may be seen, on several nodes.

use crate::asks;
use crate::world::{Weather, World};
use crdt_state::PlayerId;
use node::engine::Input;
use node::service::view::{
    Command, CommandRequest, CoverageView, FriendsRequest, FriendsView, InboxMessage,
};

fn named(names: &[&str]) -> FriendsRequest {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    FriendsRequest { names, ..FriendsRequest::default() }
}

/// Rank among the few, place among all, name, points.
fn told(view: &FriendsView) -> Vec<(u32, u32, &str, u64)> {
    view.lines.iter().map(|line| (line.rank, line.place, &*line.name, line.points)).collect()
}

#[test]
fn friends_are_ranked_among_themselves_and_the_same_on_every_node() {
    let mut world = World::lobby(501, 3, 20_000);
    let all: Vec<_> = (0..4).map(|n| world.join(n as usize % 3, n)).collect();
    let instance = world.open(0);
    world.run_ms(1_000);
    // Number 0 is right at once, number 1 later, the others are wrong.
    world.answer(0, &all[0], instance, 0).unwrap();
    world.run_ms(2_000);
    world.answer(1, &all[1], instance, 0).unwrap();
    world.answer(2, &all[2], instance, 1).unwrap();
    world.finish_round(0);
    world.all_equal();
    let wanted = named(&["player 3", "PLAYER 1", "player 2", "nobody"]);
    let view = world.core(0).friends_board(&wanted);
    let points = view.lines[0].points;
    let lines = [(1, 2, "player 1", points), (2, 3, "player 2", 0), (2, 3, "player 3", 0)];
    assert_eq!(told(&view), lines, "equals share a rank");
    assert!(points > 0);
    assert_eq!(view.unknown, ["nobody"]);
    assert_eq!(view.players, 4);
    let all_sealed = CoverageView { status: "final".into(), missing: Vec::new() };
    assert_eq!(view.coverage, Some(all_sealed));
    let bytes = |at| serde_json::to_vec(&world.core(at).friends_board(&wanted)).unwrap();
    assert!((1..3).all(|at| bytes(at) == bytes(0)));
    let by_id = FriendsRequest { players: vec![PlayerId(0), PlayerId(99)], ..Default::default() };
    let view = world.core(2).friends_board(&by_id);
    assert_eq!((view.lines[0].rank, view.lines[0].place), (1, 1));
    assert_eq!(view.unknown, [PlayerId(99).to_string()]);
}

#[test]
fn a_board_a_result_and_an_export_say_who_is_missing() {
    let mut world = World::lobby(504, 3, 2_000);
    let ada = world.join(0, 1);
    let instance = world.open(0);
    world.answer(0, &ada, instance, 0).unwrap();
    world.crash(2);
    world.finish_round(0);
    world.run_ms(500);
    let core = world.core(1);
    let coverage = core.friends_board(&named(&["player 1"])).coverage.expect("a round is closed");
    assert_ne!(coverage.status, "final");
    assert_eq!(coverage.missing, ["node-2"]);
    let Some(InboxMessage::Result { status, missing, .. }) = core.result_of(PlayerId(1)) else {
        panic!("the round is revealed");
    };
    assert_eq!((status, missing), (coverage.status, coverage.missing));
    let export = String::from_utf8(core.export("123456").to_vec()).unwrap();
    let lines: Vec<serde_json::Value> =
        export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for kind in ["event", "question", "tally"] {
        let line = lines.iter().find(|line| line["type"] == kind).unwrap();
        assert_eq!(line["status"], "partial");
        assert_eq!(line["missing"], serde_json::json!(["node-2"]));
    }
    world.start(2);
    world.relink();
    world.all_call_it("final");
    let board = world.core(1).friends_board(&named(&["player 1"]));
    assert_eq!(board.coverage.map(|it| it.missing), Some(Vec::new()));
    let told = world.core(1).result_of(PlayerId(1));
    assert!(matches!(told, Some(InboxMessage::Result { missing, .. }) if missing.is_empty()));
    assert!(!world.core(0).export("123456").windows(7).any(|part| part == b"missing"));
}

#[test]
fn a_friend_is_found_by_the_name_that_is_shown_and_not_once_out() {
    let mut world = World::lobby(502, 2, 20_000);
    for player in 0..3 {
        world.join(0, player);
    }
    world.open(0);
    world.finish_round(0);
    world.all_equal();
    let mut say = |command, text: Option<&str>| {
        let mut request = CommandRequest::new(command, Default::default());
        (request.player, request.text) = (Some(PlayerId(1)), text.map(str::to_owned));
        let request = Box::new(request);
        let ticket = world.ask(0, |ticket| Input::Command { ticket, request });
        world.reply(ticket);
        world.all_equal();
        world.core(1).friends_board(&named(&["player 1", "Grace"]))
    };
    let renamed = say(Command::Rename, Some("Grace"));
    assert_eq!(renamed.unknown, ["player 1"]);
    assert_eq!(renamed.lines[0].name, "Grace");
    assert_eq!(say(Command::Kick, None).unknown, ["player 1", "Grace"]);
    let hidden = FriendsRequest { players: vec![PlayerId(2)], ..Default::default() };
    let mut request = CommandRequest::new(Command::Set, Default::default());
    (request.name, request.text) = (Some("show_names".into()), Some("off".into()));
    let request = Box::new(request);
    let ticket = world.ask(1, |ticket| Input::Command { ticket, request });
    world.reply(ticket);
    assert_eq!(world.core(1).friends_board(&hidden).lines[0].name, "");
    assert_eq!(world.core(1).friends_board(&named(&["player 2"])).lines[0].name, "player 2");
}

#[test]
fn a_picture_can_be_seen_once_its_question_is_shown_and_not_before() {
    let mut script = asks::script(2, 20_000);
    for (number, question) in script.questions.iter_mut().enumerate() {
        question.image = Some(format!("https://pictures.example/{number}.png"));
        question.salt.0 = [number as u8 + 1; 16];
    }
    let second = crdt_state::engagement::image_name(&script.questions[1]).unwrap();
    let mut world = World::lobby_of(503, 2, script, Weather::default());
    world.open(0);
    let shown = world.view(1).live.question.expect("it is open");
    let path = shown.image_path.expect("it has a picture");
    let name = path.rsplit('/').next().unwrap();
    assert_eq!(world.core(1).image_of(name).as_deref(), Some("https://pictures.example/0.png"));
    assert_eq!(world.core(1).image_of(&second), None, "it comes later");
    world.finish_round(0);
    world.open(0);
    assert!(world.core(0).image_of(&second).is_some());
}

#[test]
fn a_show_without_names_tells_players_their_own_only() {
    let mut world = World::lobby(505, 2, 20_000);
    let players: Vec<_> = (0..4).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    for (player, claim) in players.iter().enumerate() {
        world.answer(0, claim, instance, u8::from(player == 3)).unwrap();
    }
    world.finish_round(0);
    world.all_equal();
    let around = |world: &World| match world.core(1).result_of(PlayerId(2)) {
        Some(InboxMessage::Result { neighbours, .. }) => {
            neighbours.into_iter().map(|line| line.name).collect::<Vec<_>>()
        }
        other => panic!("not a result: {other:?}"),
    };
    let named = around(&world);
    assert!(named.len() > 1 && named.contains(&"player 2".to_owned()), "{named:?}");
    assert!(named.iter().all(|name| name.starts_with("player ")), "{named:?}");
    let hide = |request: &mut CommandRequest| {
        (request.name, request.text) = (Some("show_names".into()), Some("off".into()));
    };
    world.say(1, Command::Set, hide).unwrap();
    let hidden: Vec<&str> =
        named.iter().map(|name| if name == "player 2" { name } else { "" }).collect();
    assert_eq!(around(&world), hidden);
}
