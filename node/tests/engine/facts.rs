//! What hosts say of a show and its players, on nodes that are together and on nodes that are kept apart.

use crate::asks::script;
use crate::world::{Weather, World};
use crdt_state::caps;
use crdt_state::engagement::qa::{Qa, post_id};
use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::reactions::Reactions;
use crdt_state::engagement::script::{TeamChoice, Teams};
use crdt_state::engagement::tug::Tug;
use crdt_state::engagement::word_cloud::WordCloud;
use crdt_state::engagement::{Given, Key, Question, Script, TEAM_CHOICES_MAX, Task};
use crdt_state::event::Fate;
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
    fn say_of(
        &mut self,
        at: usize,
        command: Command,
        player: u128,
    ) -> Result<CommandReply, Refusal> {
        self.say(at, command, |request| request.player = Some(PlayerId(player)))
    }

    fn outcome(&mut self, at: usize, command: Command, player: u128) -> String {
        self.say_of(at, command, player).expect("the host may").outcome
    }

    fn react(&mut self, at: usize, claim: &Claim, kind: &str) -> Result<(), Refusal> {
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

fn code<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> String {
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

#[test]
fn nothing_is_ruled_on_what_was_skipped_and_nobody_skips_what_players_have_seen() {
    let mut world = World::lobby(319, 2, 20_000);
    let skipped = world.open(0);
    world.step(0, Command::Close);
    world.step(0, Command::Skip);
    world.all_equal();
    for command in [Command::Void, Command::Restore, Command::Rescore] {
        let of = |request: &mut CommandRequest| {
            (request.instance, request.key) = (Some(skipped), Some(Key::Choices(vec![2])));
        };
        assert_eq!(code(world.say(1, command, of)), "not_possible", "{command:?}");
    }
    world.open(0);
    for command in [Command::Close, Command::Tallies] {
        world.step(0, command);
        assert!(world.view(0).next.contains(&Command::Skip), "after {command:?}");
    }
    world.step(0, Command::Reveal);
    assert!(!world.view(0).next.contains(&Command::Skip));
    assert_eq!(code(world.say(0, Command::Skip, |_| ())), "not_possible");
}

#[test]
fn of_two_attempts_at_a_question_one_counts_and_a_slip_tells_nobody_what_is_right() {
    let mut world = World::lobby(317, 2, 20_000);
    let ada = world.join(0, 1);
    world.all_equal();
    let instance = world.open(0);
    world.answer(0, &ada, instance, 0).unwrap();
    world.step(0, Command::Close);
    world.all_equal();
    world.step(0, Command::Back);
    world.all_equal();
    let first = |request: &mut CommandRequest| request.instance = Some(1);
    let told = |world: &World| {
        let mut results = world.cores().filter_map(|core| core.result_of(ada.player));
        results.any(|result| matches!(result, InboxMessage::Result { correct: true, .. }))
    };
    assert_eq!(code(world.say(1, Command::Restore, first)), "not_possible");
    world.all_equal();
    assert!(!told(&world));
    let again = world.open(0);
    world.answer(0, &ada, again, 0).unwrap();
    assert_eq!(code(world.say(1, Command::Restore, first)), "not_possible");
    world.step(0, Command::Close);
    world.step(0, Command::Tallies);
    assert!(!told(&world));
    world.step(0, Command::Reveal);
    world.all_equal();
    assert!(told(&world));
    assert_eq!(code(world.say(0, Command::Restore, first)), "not_possible");
    world.say(0, Command::Void, |request| request.instance = Some(again)).unwrap();
    world.all_equal();
    assert_eq!(world.say(1, Command::Restore, first).unwrap().outcome, "applied");
    assert_eq!(world.say(1, Command::Restore, first).unwrap().outcome, "already");
    world.all_equal();
    let second = |request: &mut CommandRequest| request.instance = Some(again);
    assert_eq!(code(world.say(0, Command::Restore, second)), "not_possible", "the first counts");
    world.say(0, Command::Void, first).unwrap();
    world.all_equal();
    assert_eq!(world.say(1, Command::Restore, second).unwrap().outcome, "applied");
}

#[test]
fn a_round_is_not_restored_when_the_show_comes_to_its_question_again() {
    let mut world = World::lobby(318, 2, 20_000);
    world.open(0);
    world.finish_round(0);
    world.open(0);
    world.finish_round(0);
    world.say(0, Command::Back, |request| request.question = Some(1)).unwrap();
    world.all_equal();
    let second = |request: &mut CommandRequest| request.instance = Some(2);
    assert_eq!(code(world.say(1, Command::Restore, second)), "not_possible");
    world.press(0, Command::End);
    world.all_equal();
    assert_eq!(world.say(1, Command::Restore, second).unwrap().outcome, "applied");
}

#[test]
fn a_name_that_a_host_gave_is_taken_for_those_who_come() {
    let mut world = World::lobby(315, 2, 20_000);
    world.join(0, 1);
    world.all_equal();
    let rename = |request: &mut CommandRequest| {
        (request.player, request.text) = (Some(PlayerId(1)), Some("Paul".into()));
    };
    world.say(0, Command::Rename, rename).unwrap();
    world.all_equal();
    assert_eq!(code(world.try_join(1, 2, "PauI")), "name_taken");
    let found = world.core(1).players_like("pau");
    assert_eq!((found.len(), found[0].player, found[0].renamed), (1, PlayerId(1), true));
    assert_eq!(world.core(1).players_like("PLAYER 1").len(), 1, "by the own name too");
    assert!(world.core(1).players_like("nobody").is_empty());
}

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

/// Rules something on the first round, which is closed.
fn ruled(
    world: &mut World,
    command: Command,
    fill: impl FnOnce(&mut CommandRequest),
) -> Result<CommandReply, Refusal> {
    world.say(0, command, |request| {
        request.instance = Some(1);
        fill(request);
    })
}

#[test]
fn hosts_accept_so_many_texts_and_moderate_posts_that_are_there() {
    let mut world = World::new(322, 1, Weather::default());
    let mut script = script(2, 20_000);
    let accepted = vec!["Lima".to_owned()];
    script.questions[0].task = Task::Quiz(Quiz::Typed { accepted, typos: 0 });
    script.questions[1].task = Task::Qa(Qa { moderated: true, posts: 2 });
    let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
    assert!(matches!(world.reply(ticket), Reply::Created { .. }));
    world.press(0, Command::Lobby);
    world.open(0);
    world.finish_round(0);
    let accept = |text: String| move |request: &mut CommandRequest| request.text = Some(text);
    for number in 0..caps::ACCEPTED_MAX {
        let text = format!("text {number}");
        assert_eq!(ruled(&mut world, Command::Accept, accept(text)).unwrap().outcome, "applied");
    }
    assert_eq!(code(ruled(&mut world, Command::Accept, accept("one more".into()))), "not_possible");
    let known = ruled(&mut world, Command::Accept, accept("text 0".into())).unwrap();
    assert_eq!(known.outcome, "already");
    world.open(0);
    let nobody = world.say(0, Command::Moderate, |request| {
        (request.post, request.fate) = (Some("00ff".into()), Some(Fate::Shown));
    });
    assert_eq!(code(nobody), "not_possible");
}

/// The id of a post is a hash that anybody can make, so that nobody needs to have seen it for a vote.
#[test]
fn a_post_has_votes_only_while_it_is_shown() {
    let mut script = script(1, 60_000);
    script.questions[0].task = Task::Qa(Qa { moderated: true, posts: 2 });
    let mut world = World::lobby_of(335, 2, script, Weather::default());
    let (ada, ben) = (world.join(0, 1), world.join(1, 2));
    world.all_equal();
    let first = world.open(0);
    let why = Given { text: Some("Why?".into()), ..Given::default() };
    world.give(0, &ada, first, why).unwrap();
    world.all_equal();
    let post = post_id(first, ada.player, "Why?");
    let vote = || Given { post: Some(post), ..Given::default() };
    assert_eq!(code(world.give(1, &ben, first, vote())), "choice_invalid", "it waits");
    let moderate = |world: &mut World, fate: Fate| {
        let fill = |request: &mut CommandRequest| {
            (request.post, request.fate) = (Some(format!("{post:016x}")), Some(fate));
        };
        world.say(0, Command::Moderate, fill).unwrap();
        world.all_equal();
    };
    moderate(&mut world, Fate::Hidden);
    assert_eq!(code(world.give(1, &ben, first, vote())), "choice_invalid", "it is hidden");
    moderate(&mut world, Fate::Shown);
    world.give(1, &ben, first, vote()).unwrap();
    moderate(&mut world, Fate::Answered);
    world.give(0, &ada, first, vote()).unwrap();
    world.all_equal();
    let results = serde_json::to_value(&world.view(0).live.results).unwrap();
    assert_eq!(results["posts"][0]["votes"], 2, "{results}");
}

/// What everybody sees of a player is what a host can silence; what is judged or chosen counts on.
#[test]
fn words_of_a_muted_player_and_bad_words_are_kept_from_everybody() {
    let accepted = vec!["Lima".to_owned()];
    let tasks = [
        Task::Qa(Qa { moderated: false, posts: 5 }),
        Task::WordCloud(WordCloud { words: 3 }),
        Task::Quiz(Quiz::Typed { accepted, typos: 0 }),
    ];
    let questions = tasks.map(|task| Question::new("Say!", task).open_ms(60_000)).to_vec();
    let script = Script::new("a show", questions);
    let mut world = World::lobby_of(333, 2, script, Weather::default());
    let (ada, ben) = (world.join(0, 1), world.join(1, 2));
    world.all_equal();
    let first = world.open(0);
    let text = |words: &str| Given { text: Some(words.into()), ..Given::default() };
    world.give(0, &ada, first, text("What is next?")).unwrap();
    world.all_equal();
    world.say_of(0, Command::Mute, 1).unwrap();
    world.all_equal();
    for at in 0..2 {
        assert_eq!(code(world.give(at, &ada, first, text("And then?"))), "muted");
        assert_eq!(code(world.give(at, &ben, first, text("fuck you"))), "text_profane");
    }
    world.give(1, &ben, first, text("Why?")).unwrap();
    world.all_equal();
    let vote = Given { post: Some(post_id(first, ben.player, "Why?")), ..Given::default() };
    world.give(0, &ada, first, vote).expect("a vote is not shown");
    world.step(0, Command::Close);
    world.step(0, Command::Tallies);
    let second = world.open(0);
    assert_eq!(code(world.give(1, &ada, second, text("rain"))), "muted");
    assert_eq!(code(world.give(0, &ben, second, text("rain, sh1t"))), "text_profane");
    world.give(0, &ben, second, text("rain")).unwrap();
    world.step(0, Command::Close);
    world.step(0, Command::Tallies);
    let third = world.open(0);
    world.give(0, &ada, third, text("Lima")).expect("an answer is judged");
    world.give(1, &ben, third, text("fuck you")).expect("an answer is judged");
    world.finish_round(0);
    world.all_equal();
    let shown = |world: &World| serde_json::to_string(&world.view(1).live.results).unwrap();
    assert!(shown(&world).contains("lima") && !shown(&world).contains("fuck"), "{}", shown(&world));
    let off = |request: &mut CommandRequest| {
        (request.name, request.text) = (Some("name_filter".into()), Some("off".into()));
    };
    world.say(0, Command::Set, off).unwrap();
    world.all_equal();
    assert!(shown(&world).contains("fuck"), "{}", shown(&world));
}

/// A ruling that holds already changes nothing, whatever was accepted beside it and however it is written.
#[test]
fn another_key_is_ruled_once_though_a_text_was_accepted_beside_it() {
    let mut world = World::new(331, 2, Weather::default());
    let mut script = script(1, 20_000);
    let accepted = vec!["Lima".to_owned(), "Callao".to_owned()];
    script.questions[0].task = Task::Quiz(Quiz::Typed { accepted, typos: 0 });
    let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
    assert!(matches!(world.reply(ticket), Reply::Created { .. }));
    world.press(0, Command::Lobby);
    world.open(0);
    world.finish_round(0);
    world.all_equal();
    let rescore = |world: &mut World, at: usize, texts: &[&str]| {
        let key = Key::Texts(texts.iter().map(ToString::to_string).collect());
        let fill = |request: &mut CommandRequest| {
            (request.instance, request.key) = (Some(1), Some(key));
        };
        let outcome = world.say(at, Command::Rescore, fill).unwrap().outcome;
        world.all_equal();
        (outcome, world.core(1 - at).state().revision_of(1))
    };
    let (applied, already) = (|at| ("applied".to_owned(), at), |at| ("already".to_owned(), at));
    assert_eq!(rescore(&mut world, 0, &["Callao", "Lima"]), already(0), "as the script has it");
    let accept = |request: &mut CommandRequest| request.text = Some("Lima city".into());
    assert_eq!(ruled(&mut world, Command::Accept, accept).unwrap().outcome, "applied");
    for right in ["lima CITY.", "LIMA", " Callao "] {
        let accept = |request: &mut CommandRequest| request.text = Some(right.into());
        let outcome = ruled(&mut world, Command::Accept, accept).unwrap().outcome;
        assert_eq!(outcome, "already", "{right} is right as it is");
    }
    assert_eq!(rescore(&mut world, 0, &["Lima", "Callao"]), already(1));
    assert_eq!(rescore(&mut world, 0, &["Quito", "Bogotá"]), applied(2));
    for (at, texts) in
        [&["Quito", "Bogotá"][..], &["Bogotá", "Quito"], &[" Quito", "Bogotá", "Quito"]]
            .into_iter()
            .enumerate()
    {
        assert_eq!(rescore(&mut world, at % 2, texts), already(2), "{texts:?}");
    }
    assert_eq!(ruled(&mut world, Command::Accept, accept).unwrap().outcome, "already");
    assert_eq!(rescore(&mut world, 1, &["Quito"]), applied(3));
}

#[test]
fn the_name_filter_is_the_hosts_to_switch() {
    let mut world = World::lobby(316, 1, 20_000);
    assert_eq!(code(world.try_join(0, 1, "sh1thead")), "name_profane");
    let off = |request: &mut CommandRequest| {
        (request.name, request.text) = (Some("name_filter".into()), Some("off".into()));
    };
    world.say(0, Command::Set, off).unwrap();
    world.try_join(0, 1, "sh1thead").unwrap();
}

/// A command that no node could read is refused and takes nothing down.
#[test]
fn rulings_and_awards_beyond_every_cap_are_refused() {
    let mut world = World::lobby(330, 2, 20_000);
    world.join(0, 1);
    let instance = world.open(0);
    world.finish_round(0);
    for points in [i32::MIN, i32::MAX, 0] {
        let award = |request: &mut CommandRequest| {
            request.player = Some(PlayerId(1));
            (request.id, request.text) = (Some("a".into()), Some("best hat".into()));
            request.points = Some(points);
        };
        assert_eq!(code(world.say(0, Command::Award, award)), "value_invalid");
    }
    let long = vec![0; 25];
    let keys = [
        Key::Texts(vec!["Lima".into()]),
        Key::Choices(Vec::new()),
        Key::Choices(vec![24]),
        Key::Order(long.clone()),
        Key::Number(u32::MAX),
    ];
    for key in keys {
        let rescore = |request: &mut CommandRequest| {
            (request.instance, request.key) = (Some(instance), Some(key.clone()));
        };
        let refused = code(world.say(0, Command::Rescore, rescore));
        assert!(["not_possible", "value_invalid"].contains(&refused.as_str()), "{refused}");
    }
    // The same option many times is that option.
    let ones = |request: &mut CommandRequest| {
        (request.instance, request.key) = (Some(instance), Some(Key::Choices(vec![1; 25])));
    };
    assert_eq!(world.say(1, Command::Rescore, ones).unwrap().outcome, "applied");
    assert_eq!(world.say(0, Command::Rescore, ones).unwrap().outcome, "already");
    let far = |request: &mut CommandRequest| request.question = Some(65_537);
    assert_eq!(code(world.say(0, Command::Back, far)), "not_possible");
    world.all_equal();
}

#[test]
fn what_is_refused_is_told_in_words_that_commands_take() {
    let mut world = World::lobby(310, 1, 20_000);
    let refusal = world.say(0, Command::Close, |_| {}).expect_err("nothing is open");
    assert_eq!(refusal.message, "close makes no sense in the lobby");
    let hint = refusal.hint.expect("it says what does");
    assert!(hint.starts_with("possible in the lobby: next, open, end, abort"), "{hint}");
    let instance = world.open(0);
    let refusal = world.say(0, Command::Extend, |_| {}).expect_err("by how much?");
    assert_eq!(refusal.code, "value_invalid");
    assert!(refusal.message.contains("needs `ms`"), "{}", refusal.message);
    let refusal = world.say(0, Command::Reveal, |_| {}).expect_err("it is open");
    assert_eq!(refusal.message, format!("reveal makes no sense at {instance}:open"));
    world.step(0, Command::End);
    let refusal = world.say(0, Command::Close, |_| {}).expect_err("it is over");
    let hint = refusal.hint.expect("it says what does");
    assert!(hint.starts_with("the show is over: rulings"), "{hint}");
}
