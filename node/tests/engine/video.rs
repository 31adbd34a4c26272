//! Openings that are tied to a stream's time: each player has the same time, from when their own stream gets there.

use crate::asks::script;
use crate::world::{Weather, World};
use crdt_state::engagement::Given;
use crdt_state::{Phase, PlayerId, Stage};
use node::engine::{Claim, Input, Reply};
use node::service::view::{Command, InboxMessage, Refusal};

const OPEN_MS: u32 = 4_000;
const WINDOW_MS: u32 = 6_000;

impl World {
    /// A question that the stream's second 60 opens, open on two nodes.
    fn beside_a_stream(seed: u64) -> (Self, u32, Vec<Claim>) {
        let mut world = World::new(seed, 2, Weather::default());
        let mut script = script(2, OPEN_MS);
        let question = &mut script.questions[0];
        (question.media_ms, question.media_window_ms) = (Some(60_000), WINDOW_MS);
        let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
        assert!(matches!(world.reply(ticket), Reply::Created { .. }));
        world.press(0, Command::Lobby);
        world.all_at(Stage::LOBBY);
        let claims = (1..=4).map(|player| world.join(player as usize % 2, player)).collect();
        world.all_equal();
        let instance = world.open(0);
        (world, instance, claims)
    }

    /// What a player's answer was timed at, with a claim of how long the question was held back.
    fn answer_late(&mut self, at: usize, claim: &Claim, shift_ms: u32) -> Result<u32, Refusal> {
        let (claim, instance) = (claim.clone(), self.core(at).state().stage().instance);
        let given = Given { shift_ms: Some(shift_ms), ..Given::choices(&[0]) };
        let ticket = self.ask(at, |ticket| Input::Answer { ticket, claim, instance, given });
        match self.reply(ticket) {
            Reply::Answered(InboxMessage::Receipt { elapsed_ms, .. }) => Ok(elapsed_ms),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("not a reply to an answer: {other:?}"),
        }
    }
}

#[test]
fn a_players_time_counts_from_when_the_stream_got_there_and_no_further_back_than_the_window() {
    let (mut world, instance, claims) = World::beside_a_stream(401);
    let live = world.view(1).live;
    let question = live.question.unwrap();
    assert_eq!((question.media_ms, question.window_ms), (Some(60_000), Some(WINDOW_MS)));
    assert_eq!(question.open_ms, OPEN_MS);
    assert!(live.remaining_ms.unwrap() > u64::from(OPEN_MS));
    world.run_ms(3_000);
    let near = |elapsed_ms: u32, wanted: u32| elapsed_ms.abs_diff(wanted) < 500;
    let at_once = world.answer_late(0, &claims[0], 0).unwrap();
    assert!(near(at_once, 3_000), "{at_once}");
    let behind = world.answer_late(1, &claims[1], 2_500).unwrap();
    assert!(near(behind, 500), "{behind}");
    world.run_ms(4_000);
    let refused = world.answer_late(0, &claims[2], 1_000).expect_err("the own time is over");
    assert_eq!(refused.code, "late");
    let greedy = world.answer_late(0, &claims[2], 3_600_000).unwrap();
    assert!(near(greedy, 7_000 - WINDOW_MS), "{greedy}");
    assert_eq!(world.core(0).state().stage(), Stage::new(instance, Phase::Open));
}

#[test]
fn a_host_cuts_nobody_short_whose_stream_is_behind() {
    let (mut world, instance, claims) = World::beside_a_stream(403);
    world.run_ms(u64::from(OPEN_MS));
    let refused = world.say(1, Command::Close, |_| {}).expect_err("some have just seen it");
    assert_eq!(refused.code, "window_open");
    assert!(refused.message.contains(" ms left to answer"), "{}", refused.message);
    assert_eq!(world.core(1).state().stage(), Stage::new(instance, Phase::Open));
    for (at, claim) in claims.iter().enumerate() {
        assert!(world.say(0, Command::Close, |_| {}).is_err(), "{at} of 4 have answered");
        world.answer_late(at % 2, claim, WINDOW_MS).unwrap();
    }
    world.all_equal();
    world.step(0, Command::Close);
}

#[test]
fn the_round_closes_by_itself_after_the_last_window_and_points_know_no_window() {
    let (mut world, instance, claims) = World::beside_a_stream(402);
    world.run_ms(u64::from(WINDOW_MS));
    let elapsed = world.answer_late(0, &claims[0], WINDOW_MS).unwrap();
    assert!(elapsed < 500, "{elapsed}");
    world.run_ms(u64::from(OPEN_MS) - 1_000);
    assert_eq!(world.core(1).state().stage(), Stage::new(instance, Phase::Open));
    world.until("the director's close", 5_000, |world| {
        world.is_at(Stage::new(instance, Phase::Closed)).then_some(())
    });
    world.finish_round(0);
    let explained = world.core(1).explain(&PlayerId(1).to_string(), instance).unwrap();
    assert_eq!(explained.open_ms, OPEN_MS);
    assert!(explained.points.unwrap() > 900, "{explained:?}");
}
