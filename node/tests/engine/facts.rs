//! What hosts say of a show and its players, on nodes that are together and on nodes that are kept apart.

use crate::world::{Weather, World};
use crdt_state::engagement::reactions::Reactions;
use crdt_state::engagement::tug::Tug;
use crdt_state::engagement::{Question, Script, Task};
use crdt_state::{Phase, PlayerId, Stage};
use node::engine::{Claim, Input, Reply, stage_view};
use node::service::view::{Command, CommandReply, CommandRequest, InboxMessage, Refusal};

impl World {
    /// Has a host state a fact.
    pub fn say(
        &mut self,
        at: usize,
        command: Command,
        fill: impl FnOnce(&mut CommandRequest),
    ) -> Result<CommandReply, Refusal> {
        let expected = stage_view(self.core(at).state().stage());
        let mut request = CommandRequest::new(command, expected);
        fill(&mut request);
        let request = Box::new(request);
        let ticket = self.ask(at, |ticket| Input::Command { ticket, request });
        match self.reply(ticket) {
            Reply::Commanded(reply) => Ok(reply),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("not a reply to a command: {other:?}"),
        }
    }

    /// Has a host say something of a player.
    pub fn say_of(
        &mut self,
        at: usize,
        command: Command,
        player: u128,
    ) -> Result<CommandReply, Refusal> {
        self.say(at, command, |request| request.player = Some(PlayerId(player)))
    }

    pub fn outcome(&mut self, at: usize, command: Command, player: u128) -> String {
        self.say_of(at, command, player).expect("the host may").outcome
    }

    pub fn react(&mut self, at: usize, claim: &Claim, kind: &str) -> Result<(), Refusal> {
        let (claim, kind) = (claim.clone(), kind.to_owned());
        let ticket = self.ask(at, |ticket| Input::React { ticket, claim, kind });
        match self.reply(ticket) {
            Reply::Reacted => Ok(()),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("not a reply to a reaction: {other:?}"),
        }
    }

    fn marks(&self, player: u128) -> Vec<(usize, bool)> {
        let mine = self.inbox.iter().filter(|(_, to, _)| *to == PlayerId(player));
        mine.filter_map(|(at, _, message)| match message {
            InboxMessage::Marked { kicked, .. } => Some((*at, *kicked)),
            _ => None,
        })
        .collect()
    }
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> String {
    refused.expect_err("a refusal").code
}

#[test]
fn a_kicked_player_is_out_everywhere_and_comes_back_whole() {
    let mut world = World::lobby(300, 2, 20_000);
    let (ada, ben) = (world.join(0, 1), world.join(1, 2));
    world.all_equal();
    let instance = world.open(0);
    world.answer(0, &ada, instance, 0).unwrap();
    world.all_equal();
    assert_eq!(world.outcome(1, Command::Kick, 1), "applied");
    assert_eq!(world.outcome(1, Command::Kick, 1), "already");
    world.all_equal();
    assert_eq!(world.marks(1), [(1, true), (0, true)]);
    for at in 0..2 {
        assert_eq!(world.core(at).state().answered(instance), 0);
        assert_eq!(world.view(at).live.players, 1);
        assert_eq!(code(world.answer(at, &ada, instance, 1)), "kicked");
        assert_eq!(code(world.try_join(at, 1, "somebody else")), "kicked");
        assert!(matches!(world.resume(at, &ada), Reply::Refused(r) if r.code == "kicked"));
    }
    world.answer(1, &ben, instance, 0).unwrap();
    assert_eq!(world.outcome(0, Command::Unkick, 1), "applied");
    world.all_equal();
    assert_eq!(world.core(1).state().answered(instance), 2);
    assert_eq!(world.answer(1, &ada, instance, 1).unwrap().status, "duplicate");
}

#[test]
fn a_lock_and_an_unlocking_that_did_not_know_of_it_leave_the_lobby_locked() {
    let mut world = World::lobby(301, 2, 20_000);
    world.press(0, Command::Lock);
    world.all_equal();
    world.isolate(1);
    world.run_ms(500);
    world.press(0, Command::Unlock);
    world.press(0, Command::Lock);
    world.press(1, Command::Unlock);
    assert!(!world.view(1).live.locked);
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    assert!(world.view(0).live.locked && world.view(1).live.locked);
}

#[test]
fn a_kick_and_a_mute_said_apart_both_hold_and_a_kick_holds_against_its_taking_back() {
    let mut world = World::lobby(302, 2, 20_000);
    let ada = world.join(0, 1);
    world.say_of(0, Command::Kick, 1).unwrap();
    world.all_equal();
    world.isolate(1);
    world.run_ms(500);
    world.say_of(0, Command::Unkick, 1).unwrap();
    world.say_of(0, Command::Kick, 1).unwrap();
    world.say_of(1, Command::Unkick, 1).unwrap();
    world.say_of(1, Command::Mute, 1).unwrap();
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    for at in 0..2 {
        let people = &world.core(at).state().named.people;
        assert!(people.is_kicked(PlayerId(1)) && people.is_muted(PlayerId(1)));
        assert_eq!(code(world.react(at, &ada, "heart")), "kicked");
    }
}

#[test]
fn announcements_made_apart_are_a_conflict_until_the_next_one() {
    let mut world = World::lobby(303, 2, 20_000);
    world.isolate(1);
    world.run_ms(500);
    let say =
        |text: &'static str| move |request: &mut CommandRequest| request.text = Some(text.into());
    world.say(0, Command::Announce, say("Five minutes")).unwrap();
    world.say(1, Command::Announce, say("Ten minutes")).unwrap();
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    let shown: Vec<_> = (0..2).map(|at| world.view(at)).collect();
    assert_eq!(shown[0].desk.announcements.len(), 2);
    assert_eq!(shown[0].desk.announcements, shown[1].desk.announcements);
    assert_eq!(shown[0].live.controls.announcement, shown[1].live.controls.announcement);
    assert_eq!(world.say(1, Command::Announce, say("Seven minutes")).unwrap().outcome, "applied");
    world.all_equal();
    assert_eq!(world.view(0).desk.announcements, ["Seven minutes"]);
    world.say(0, Command::Announce, |_| {}).unwrap();
    assert_eq!(world.view(0).live.controls.announcement, None);
}

#[test]
fn a_show_has_one_owner_though_two_claim_it_apart() {
    let mut world = World::lobby(304, 2, 20_000);
    world.isolate(1);
    world.run_ms(500);
    let own =
        |name: &'static str| move |request: &mut CommandRequest| request.text = Some(name.into());
    world.say(0, Command::Own, own("Ada")).unwrap();
    world.say(1, Command::Own, own("Ben")).unwrap();
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    let owner = world.view(0).desk.owner.unwrap();
    assert_eq!(world.view(1).desk.owner.as_ref(), Some(&owner));
    assert_eq!(code(world.say(0, Command::Own, own("Cyd"))), "not_possible");
}

#[test]
fn the_last_who_takes_a_show_over_has_it_on_every_node() {
    let mut world = World::lobby(332, 2, 20_000);
    let named =
        |name: &'static str| move |request: &mut CommandRequest| request.text = Some(name.into());
    let owner = |world: &World, at: usize| world.view(at).desk.owner;
    world.say(0, Command::Own, named("Ada")).unwrap();
    world.all_equal();
    assert_eq!(world.say(1, Command::Takeover, named("Ben")).unwrap().outcome, "applied");
    assert_eq!(world.say(1, Command::Takeover, named("Ben")).unwrap().outcome, "already");
    world.all_equal();
    assert_eq!(world.say(0, Command::Takeover, named("Ben")).unwrap().outcome, "already");
    assert_eq!(world.say(0, Command::Own, named("Ben")).unwrap().outcome, "already");
    assert_eq!(code(world.say(0, Command::Own, named("Ada"))), "not_possible");
    assert_eq!(owner(&world, 0).as_deref(), Some("Ben"));
    // Two who take it over apart: all agree on one, and either can take it back.
    world.isolate(1);
    world.run_ms(500);
    world.say(0, Command::Takeover, named("Cyd")).unwrap();
    world.say(1, Command::Takeover, named("Dan")).unwrap();
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    assert_eq!(owner(&world, 0), owner(&world, 1));
    assert!(["Cyd", "Dan"].contains(&owner(&world, 0).unwrap().as_str()));
    world.say(0, Command::Takeover, named("Ada")).unwrap();
    world.all_equal();
    assert_eq!(owner(&world, 1).as_deref(), Some("Ada"));
    let told: Vec<_> = world.core(1).log().into_iter().filter(|l| l.act == "takeover").collect();
    assert_eq!((told.len(), told[0].of.as_str()), (4, "Ben, from Ada"));
    assert_eq!(code(world.say(0, Command::Takeover, |_| {})), "value_missing");
    let spoof = |request: &mut CommandRequest| request.name = Some("host".into());
    assert_eq!(code(world.say(0, Command::Invite, spoof)), "name_taken");
}

#[test]
fn an_award_that_is_sent_to_two_nodes_counts_once() {
    let mut world = World::lobby(305, 2, 20_000);
    world.join(0, 1);
    world.join(0, 2);
    world.all_equal();
    world.isolate(1);
    let award = |request: &mut CommandRequest| {
        request.player = Some(PlayerId(2));
        (request.id, request.points) = (Some("a1".into()), Some(150));
        request.text = Some("best hat".into());
    };
    assert_eq!(world.say(0, Command::Award, award).unwrap().outcome, "applied");
    assert_eq!(world.say(0, Command::Award, award).unwrap().outcome, "already");
    assert_eq!(world.say(1, Command::Award, award).unwrap().outcome, "applied");
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    let core = world.core(1);
    let standings = core.scoreboard().top(core.state(), 2);
    assert_eq!((standings[0].player, standings[0].points), (PlayerId(2), 150));
    let state = world.core(1).state_view();
    assert_eq!(state.awards["best hat"].len(), 1);
    assert_eq!(state.marked[0].awarded, 150);
}

#[test]
fn who_is_given_time_answers_after_the_others_and_holds_the_round_open() {
    let mut world = World::lobby(306, 2, 4_000);
    let (slow, quick) = (world.join(0, 1), world.join(1, 2));
    let grant = |request: &mut CommandRequest| {
        (request.player, request.ms) = (Some(PlayerId(1)), Some(3_000));
    };
    world.say(1, Command::Grant, grant).unwrap();
    world.all_equal();
    let instance = world.open(0);
    world.run_ms(5_000);
    assert!(world.is_at(Stage::new(instance, Phase::Open)));
    assert_eq!(code(world.answer(1, &quick, instance, 0)), "late");
    assert_eq!(world.answer(0, &slow, instance, 0).unwrap().status, "accepted");
    world.all_at(Stage::new(instance, Phase::Closed));
    world.all_equal();
}

#[test]
fn a_rename_holds_on_every_board_and_a_name_in_use_is_refused() {
    let mut world = World::lobby(307, 2, 20_000);
    world.join(0, 1);
    world.join(1, 2);
    world.all_equal();
    let rename = |player: u128, name: &'static str| {
        move |request: &mut CommandRequest| {
            (request.player, request.text) = (Some(PlayerId(player)), Some(name.into()));
        }
    };
    assert_eq!(world.say(0, Command::Rename, rename(1, "Ada")).unwrap().outcome, "applied");
    world.all_equal();
    assert_eq!(code(world.say(1, Command::Rename, rename(2, "Ada"))), "name_taken");
    assert_eq!(code(world.say(1, Command::Rename, rename(2, "player 1"))), "name_taken");
    assert_eq!(code(world.say(1, Command::Rename, rename(9, "Cyd"))), "player_unknown");
    assert!(world.core(1).export("123456").windows(5).any(|bytes| bytes == b"\"Ada\""));
}

#[test]
fn reactions_are_counted_on_all_nodes_and_bounded_per_player() {
    let mut world = World::lobby(308, 2, 20_000);
    let (ada, ben) = (world.join(0, 1), world.join(1, 2));
    world.all_equal();
    for _ in 0..5 {
        world.react(0, &ada, "heart").unwrap();
        world.react(1, &ben, "heart").unwrap();
    }
    world.react(0, &ada, "up").unwrap();
    world.react(1, &ben, "down").unwrap();
    world.react(1, &ben, "down").unwrap();
    assert_eq!(code(world.react(0, &ada, "sneer")), "kind_unknown");
    world.run_ms(600);
    world.all_equal();
    for at in 0..2 {
        let named = &world.core(at).state().named;
        assert_eq!((named.total("heart"), named.count("mood")), (10, -1));
    }
    let refused = (0..20).filter_map(|_| world.react(0, &ada, "wow").err()).collect::<Vec<_>>();
    assert!(refused.len() >= 10 && refused.iter().all(|r| r.code == "flooded"), "{refused:?}");
    world.say_of(1, Command::Mute, 2).unwrap();
    assert_eq!(code(world.react(1, &ben, "heart")), "muted");
    let deny = |request: &mut CommandRequest| request.name = Some("reactions".into());
    world.say(0, Command::Deny, deny).unwrap();
    world.run_ms(1_500);
    assert_eq!(code(world.react(1, &ada, "heart")), "reactions_off");
    world.all_equal();
}

#[test]
fn taps_of_a_muted_player_are_not_counted_but_for_a_tug_of_war() {
    let reactions = Reactions { options: vec!["👏".into(), "🎉".into()] };
    let tug = Tug { sides: vec!["left".into(), "right".into()] };
    let tasks = [Task::Reactions(reactions), Task::Tug(tug)];
    let questions = tasks.map(|task| Question::new("Tap!", task).open_ms(60_000)).to_vec();
    let script = Script::new("a show", questions);
    let mut world = World::lobby_of(319, 2, script, Weather::default());
    let (ada, ben) = (world.join(0, 1), world.join(1, 2));
    world.all_equal();
    let taps = |world: &World, instance| world.core(1).state().tally(instance).iter().sum::<u64>();
    let first = world.open(0);
    world.tap(1, &ada, first, 3).unwrap();
    world.say_of(0, Command::Mute, 1).unwrap();
    world.all_equal();
    world.run_ms(1_000);
    assert_eq!(code(world.tap(1, &ada, first, 20)), "muted");
    world.tap(1, &ben, first, 4).unwrap();
    let deny = |request: &mut CommandRequest| request.name = Some("reactions".into());
    world.say(0, Command::Deny, deny).unwrap();
    world.all_equal();
    world.run_ms(1_000);
    assert_eq!(code(world.tap(1, &ben, first, 20)), "reactions_off");
    world.all_equal();
    assert_eq!(taps(&world, first), 7);
    world.step(0, Command::Close);
    world.step(0, Command::Tallies);
    let second = world.open(0);
    world.tap(1, &ada, second, 5).unwrap();
    world.all_equal();
    assert_eq!(taps(&world, second), 5);
}

#[test]
fn a_host_bounds_how_many_may_be_in_and_names_the_show() {
    let mut world = World::lobby(309, 2, 20_000);
    let set = |name: &'static str, text: &'static str| {
        move |request: &mut CommandRequest| {
            (request.name, request.text) = (Some(name.into()), Some(text.into()));
        }
    };
    world.join(0, 1);
    world.say(0, Command::Set, set("players_max", "1")).unwrap();
    world.say(0, Command::Set, set("title", "Birds")).unwrap();
    world.all_equal();
    assert_eq!(code(world.try_join(1, 2, "late")), "full");
    assert_eq!(world.view(1).live.title, "Birds");
    assert_eq!(code(world.say(0, Command::Set, set("players_max", "none"))), "value_invalid");
    assert_eq!(code(world.say(0, Command::Set, set("colour", "red"))), "name_unknown");
    assert_eq!(code(world.say(0, Command::Set, |_| {})), "value_missing");
    let long = "x".repeat(2_000);
    assert_eq!(code(world.say(0, Command::Announce, |r| r.text = Some(long))), "value_invalid");
    for unruly in ["a\u{1b}[31mb", "a\0b", "a\u{7}", "\u{202e}evil"] {
        let announce = |r: &mut CommandRequest| r.text = Some(unruly.to_owned());
        assert_eq!(code(world.say(0, Command::Announce, announce)), "text_control", "{unruly:?}");
    }
}

#[test]
fn a_co_host_who_is_dismissed_and_invited_again_is_another_one() {
    let mut world = World::lobby(310, 2, 20_000);
    let bea = |request: &mut CommandRequest| request.name = Some("Bea".into());
    world.say(0, Command::Invite, bea).unwrap();
    assert_eq!(world.say(0, Command::Invite, bea).unwrap().outcome, "already");
    world.all_equal();
    let first = world.core(1).co_host_of("Bea").unwrap();
    assert_eq!(world.core(1).co_host(&first).as_deref(), Some("Bea"));
    world.say(1, Command::Dismiss, bea).unwrap();
    world.all_equal();
    assert_eq!(world.core(0).co_host(&first), None);
    world.say(0, Command::Invite, bea).unwrap();
    assert_eq!(world.core(0).co_host(&first), None);
    assert_ne!(world.core(0).co_host_of("Bea"), Some(first));
}

#[test]
fn the_fastest_correct_answer_is_a_minimum_over_those_who_count() {
    let mut world = World::lobby(312, 2, 20_000);
    let claims = [world.join(0, 1), world.join(1, 2), world.join(0, 3)];
    world.all_equal();
    let instance = world.open(0);
    for (claim, choice) in claims.iter().zip([0, 0, 1]) {
        world.run_ms(700);
        world.answer(0, claim, instance, choice).unwrap();
    }
    world.finish_round(0);
    world.all_equal();
    let fastest = |world: &World| world.core(1).state_view().fastest[0].player;
    assert_eq!(fastest(&world), PlayerId(1));
    world.say_of(0, Command::Kick, 1).unwrap();
    world.all_equal();
    assert_eq!(fastest(&world), PlayerId(2));
}

#[test]
fn what_two_hosts_say_at_once_on_two_nodes_becomes_one_show() {
    let mut world = World::lobby(313, 2, 20_000);
    world.join(0, 1);
    world.join(1, 2);
    world.all_equal();
    world.isolate(1);
    world.run_ms(500);
    for (at, title, name) in [(0, "Birds", "Ada"), (1, "Bees", "Eve")] {
        let set = |request: &mut CommandRequest| {
            (request.name, request.text) = (Some("title".into()), Some(title.into()));
        };
        world.say(at, Command::Set, set).unwrap();
        let rename = |request: &mut CommandRequest| {
            (request.player, request.text) = (Some(PlayerId(1)), Some(name.into()));
        };
        world.say(at, Command::Rename, rename).unwrap();
        let award = |request: &mut CommandRequest| {
            request.player = Some(PlayerId(2));
            (request.id, request.points) = (Some(format!("from {at}")), Some(100));
            request.text = Some("wit".into());
        };
        world.say(at, Command::Award, award).unwrap();
        world.say(at, Command::Invite, |request| request.name = Some("Bea".into())).unwrap();
    }
    world.say_of(0, Command::Kick, 1).unwrap();
    world.heal();
    world.run_ms(1_000);
    world.all_equal();
    let views: Vec<_> = (0..2).map(|at| world.view(at)).collect();
    assert_eq!(views[0].live.title, views[1].live.title);
    assert_eq!(views[0].desk, views[1].desk);
    assert_eq!(views[0].desk.co_hosts.len(), 2, "two invitations, each with a token of its own");
    let core = world.core(1);
    let board = core.scoreboard().top(core.state(), 5);
    assert_eq!(board.len(), 1, "who was kicked on one side is out on both");
    assert_eq!((board[0].player, board[0].points), (PlayerId(2), 200));
    assert_eq!(world.core(0).log(), core.log());
    assert_eq!(core.log().iter().filter(|line| line.act == "award").count(), 2);
}
