//! When players are told what a question gave them, and when not: a crowd is walked through only if
//! something that scores has changed.

use crate::asks::name;
use crate::world::World;
use crdt_state::PlayerId;
use node::engine::{Inboxes, Publisher, Views};
use node::service::Inbox;
use node::service::view::{Command, CommandRequest, InboxMessage, LiveView};
use std::sync::Arc;
use tokio::sync::watch;

const NONE: [u64; 0] = [];

/// Node 0, what it shows, and one player's open inbox there.
struct Shown {
    world: World,
    publisher: Publisher,
    views: Views,
    inboxes: Inboxes,
    queue: Inbox,
}

impl Shown {
    fn new(world: World, player: PlayerId) -> Self {
        let (_, present) = watch::channel(Arc::default());
        let (core, now) = (world.core(0), world.mono(0));
        let (publisher, views) = Publisher::new(core, now, "123456".to_owned(), present);
        let inboxes = Inboxes::default();
        let queue = inboxes.open(player, None);
        Shown { world, publisher, views, inboxes, queue }
    }

    /// The results that come within that time, by their totals.
    fn results_in(&mut self, ms: u64) -> Vec<u64> {
        (0..ms / 10).flat_map(|_| self.results_after(10)).collect()
    }

    /// The same of one look, so much later.
    fn results_after(&mut self, ms: u64) -> Vec<u64> {
        self.world.run_ms(ms);
        let (core, now) = (self.world.core(0), self.world.mono(0));
        self.publisher.publish(core, now, &self.inboxes);
        let mut totals = Vec::new();
        while let Ok(frame) = self.queue.try_recv() {
            match serde_json::from_slice(&frame.payload).unwrap() {
                InboxMessage::Result { total, .. } => totals.push(total),
                other => panic!("{other:?}"),
            }
        }
        totals
    }
}

/// Enough who watch for many lanes.
const CROWD: usize = 2_000;

/// Counts come lane by lane; each says how old its question is when it is sent.
#[test]
fn a_crowd_is_told_counts_within_a_second_and_of_what_age_they_are() {
    let mut world = World::lobby(72, 1, 60_000);
    let ada = world.join(0, 1);
    let instance = world.open(0);
    let mut shown = Shown::new(world, ada.player);
    let mut watching: Vec<_> = (0..CROWD).map(|_| shown.views.live.watch()).collect();
    shown.results_in(1_100);
    watching.iter_mut().for_each(watch::Receiver::mark_unchanged);
    shown.world.join(0, 2);
    let mut ages = Vec::new();
    // As often as a lane has its turn.
    for _ in 0..250 {
        shown.results_after(4);
        let age_ms = shown.world.view(0).live.age_ms.unwrap();
        for watched in watching.iter_mut().filter(|it| it.has_changed().unwrap()) {
            let frame = watched.borrow_and_update().clone().unwrap();
            let live: LiveView = serde_json::from_slice(&frame.payload).unwrap();
            assert_eq!(
                (live.stage.instance, live.players, live.age_ms),
                (instance, 2, Some(age_ms))
            );
            ages.push(age_ms);
        }
    }
    assert_eq!(ages.len(), CROWD, "each once");
    let (first, last) = (ages[0], ages[CROWD - 1]);
    assert!(last - first > 400, "not all at once: from {first} to {last}");
}

#[test]
fn a_result_is_told_once_and_again_only_when_it_says_something_new() {
    let mut world = World::lobby(71, 1, 60_000);
    let ada = world.join(0, 1);
    // Whoever comes later does not stand next to her.
    (2..10).for_each(|player| drop(world.join(0, player)));
    let instance = world.open(0);
    let mut shown = Shown::new(world, ada.player);
    assert_eq!(shown.results_in(300), NONE);
    shown.world.answer(0, &ada, instance, 0).unwrap();
    for command in [Command::Close, Command::Tallies, Command::Reveal] {
        assert_eq!(shown.results_in(300), NONE, "before {command:?}");
        shown.world.step(0, command);
    }
    let told = shown.results_in(300);
    assert_eq!(told.len(), 1, "{told:?}");
    for player in 10..20 {
        shown.world.join(0, player);
        assert_eq!(shown.results_in(200), NONE, "that {} has come is no news", name(player));
    }
    let award = |request: &mut CommandRequest| {
        (request.player, request.points) = (Some(ada.player), Some(50));
        (request.id, request.text) = (Some("a1".into()), Some("best hat".into()));
    };
    shown.world.say(0, Command::Award, award).unwrap();
    assert_eq!(shown.results_in(1_200), [told[0] + 50]);
    let ben = shown.world.join(0, 20);
    let instance = shown.world.open(0);
    assert_eq!(shown.results_in(1_200), NONE, "an opening changes no result");
    shown.world.answer(0, &ben, instance, 0).unwrap();
    assert_eq!(shown.results_in(1_200), NONE, "nor does an answer to what is open");
}

/// How far a receipt got only the node knows that took the answer; who holds the answer is seen from everywhere.
#[test]
fn whoever_asks_why_is_told_whether_the_receipt_is_firm() {
    let mut world = World::lobby(76, 3, 60_000);
    let claims = [world.join(0, 0), world.join(1, 1)];
    let instance = world.open(0);
    world.all_equal();
    world.isolate(0);
    let receipts = [0, 1].map(|at| world.answer(at, &claims[at], instance, 1).unwrap());
    assert_eq!(receipts.map(|receipt| receipt.firm), [false, true]);
    let told = |world: &World, at: usize, player| {
        let held = world.core(at).explain(&name(player), instance).unwrap().receipt;
        held.map(|held| (held.level, held.held_by.len()))
    };
    let firm = || Some("firm".to_owned());
    assert_eq!(told(&world, 0, 0), Some((Some("provisional".to_owned()), 1)));
    assert_eq!(told(&world, 1, 0), None, "nothing of it is known there");
    assert_eq!(told(&world, 1, 1), Some((firm(), 2)));
    assert_eq!(told(&world, 2, 1), Some((None, 2)), "another one took it");
    world.heal();
    world.all_equal();
    world.run_ms(2_000);
    assert_eq!(told(&world, 0, 0), Some((firm(), 3)));
    for at in [1, 2] {
        assert_eq!(told(&world, at, 0), Some((None, 3)));
    }
    world.crash(1);
    world.start(1);
    world.relink();
    world.all_equal();
    world.run_ms(2_000);
    assert_eq!(
        told(&world, 1, 1),
        Some((None, 3)),
        "a life knows nothing of former ones' receipts"
    );
}
