//! What hosts rule on rounds and posts, and what they may not.

use crate::asks::script;
use crate::facts::code;
use crate::world::{Weather, World};
use crdt_state::PlayerId;
use crdt_state::caps;
use crdt_state::engagement::qa::Qa;
use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::{Key, Task};
use crdt_state::event::Fate;
use node::engine::{Input, Reply};
use node::service::view::{Command, CommandReply, CommandRequest, InboxMessage, Refusal};

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
    let no_id = world.say(0, Command::Moderate, |request| {
        (request.post, request.fate) = (Some("zz".into()), Some(Fate::Shown));
    });
    assert!(no_id.unwrap_err().message.contains("\"zz\" is no id of a post"));
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
