//! Names and words of players: who is shown them.

use crate::asks::script;
use crate::facts::code;
use crate::world::{Weather, World};
use crdt_state::PlayerId;
use crdt_state::engagement::qa::{Qa, post_id};
use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::word_cloud::WordCloud;
use crdt_state::engagement::{Given, Question, Script, Task};
use crdt_state::event::Fate;
use node::service::view::{Command, CommandRequest};

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
