//! Who tells players behind a broker what a question gave them, while their slots move from node to node.

use crate::world::World;
use bytes::Bytes;
use crdt_state::{Phase, PlayerId, Stage};
use node::engine::{Inboxes, Outlet, Publisher, Slots};
use node::service::view::{Command, InboxMessage};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The host's node, the one that holds the slot at first, and the one to which it goes.
const HOST: usize = 0;
const OLD: usize = 1;
const NEW: usize = 2;

/// For whom each result left, by its instance.
#[derive(Default)]
struct Said(Mutex<Vec<(PlayerId, u32)>>);

impl Outlet for Said {
    fn send(&self, player: PlayerId, payload: &Bytes) -> bool {
        match serde_json::from_slice(payload).unwrap() {
            InboxMessage::Result { instance, .. } => {
                self.0.lock().unwrap().push((player, instance));
            }
            other => panic!("{other:?}"),
        }
        true
    }
}

/// A node behind a broker.
struct Holder {
    at: usize,
    publisher: Publisher,
    inboxes: Inboxes,
    slots: watch::Sender<Slots>,
    served: watch::Receiver<Slots>,
    said: Arc<Said>,
}

impl Holder {
    fn new(world: &World, at: usize) -> Self {
        let (_, present) = watch::channel(Arc::default());
        let (core, now) = (world.core(at), world.mono(at));
        let (publisher, _) = Publisher::new(core, now, "123456".to_owned(), present);
        let (inboxes, said) = (Inboxes::default(), Arc::new(Said::default()));
        let slots = inboxes.open_outlet(Arc::clone(&said) as Arc<dyn Outlet>);
        let served = inboxes.served();
        Holder { at, publisher, inboxes, slots, served, said }
    }

    fn takes(&self, player: PlayerId) {
        self.slots.send_modify(|slots| slots.insert(player.slot() as u8));
    }

    fn lets_go(&self, player: PlayerId) {
        self.slots.send_modify(|slots| slots.remove(player.slot() as u8));
    }

    /// What the owner does when it wakes.
    fn turn(&mut self, world: &World) {
        let (core, now) = (world.core(self.at), world.mono(self.at));
        let is_due = self.publisher.due(core, &self.inboxes).is_some_and(|due| due <= now);
        if is_due || self.served.has_changed().unwrap() {
            self.served.mark_unchanged();
            self.publisher.publish(core, now, &self.inboxes);
        }
    }

    /// The results that have left since this was last asked.
    fn said(&self) -> Vec<(PlayerId, u32)> {
        std::mem::take(&mut self.said.0.lock().unwrap())
    }
}

/// Lets time pass.
fn run_ms(world: &mut World, holders: &mut [&mut Holder], ms: u64) {
    for _ in 0..ms / 10 {
        world.run_ms(10);
        holders.iter_mut().for_each(|holder| holder.turn(world));
    }
}

/// Two players, in different slots, and an open question.
fn opened(seed: u64) -> (World, [PlayerId; 2], u32) {
    let mut world = World::lobby(seed, 3, 600_000);
    let [ada, ben] = [1, 2].map(|player| world.join(HOST, player));
    assert_ne!(ada.player.slot(), ben.player.slot());
    let instance = world.open(HOST);
    world.answer(HOST, &ada, instance, 0).unwrap();
    (world, [ada.player, ben.player], instance)
}

fn reveal(world: &mut World) {
    for command in [Command::Close, Command::Tallies, Command::Reveal] {
        world.step(HOST, command);
    }
}

/// What happens while a slot moves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    /// The new node gets the slot.
    Taken,
    /// The old one has heard so.
    LetGo,
    /// That node hears of the reveal.
    Revealed(usize),
}

/// A node lets a slot go once the other one has it. All else may happen in any order.
fn orders() -> Vec<Vec<Move>> {
    let moves = [Move::Taken, Move::LetGo, Move::Revealed(OLD), Move::Revealed(NEW)];
    let mut orders = vec![Vec::new()];
    for _ in moves {
        let longer = |order: &Vec<Move>| {
            let rest = moves.into_iter().filter(|it| !order.contains(it));
            rest.map(|it| [&order[..], &[it]].concat()).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    let place = |order: &[Move], of| order.iter().position(|it| *it == of);
    orders.retain(|order| place(order, Move::Taken) < place(order, Move::LetGo));
    orders
}

#[test]
fn however_a_slot_moves_around_a_reveal_its_player_is_told() {
    let orders = orders();
    assert_eq!(orders.len(), 12);
    for order in orders {
        for pause_ms in [10, 200, 2_000] {
            let (mut world, [ada, _], instance) = opened(80);
            let mut holders = [OLD, NEW].map(|at| Holder::new(&world, at));
            let [old, new] = &mut holders;
            old.takes(ada);
            run_ms(&mut world, &mut [old, new], 2_000);
            for command in [Command::Close, Command::Tallies] {
                world.step(HOST, command);
            }
            [OLD, NEW].into_iter().for_each(|at| world.isolate(at));
            world.press(HOST, Command::Reveal);
            run_ms(&mut world, &mut [old, new], 200);
            assert_eq!((old.said(), new.said()), (vec![], vec![]), "nobody has heard of it");
            for it in &order {
                match it {
                    Move::Taken => new.takes(ada),
                    Move::LetGo => old.lets_go(ada),
                    Move::Revealed(at) => world.heal_between(HOST, *at),
                }
                run_ms(&mut world, &mut [old, new], pause_ms);
            }
            run_ms(&mut world, &mut [old, new], 2_000);
            for at in [OLD, NEW] {
                assert_eq!(world.core(at).state().stage(), Stage::new(instance, Phase::Reveal));
            }
            let said = [old.said(), new.said()].concat();
            let story = format!("{order:?} every {pause_ms} ms: {said:?}");
            assert!(!said.is_empty(), "nobody told her: {story}");
            assert!(said.iter().all(|it| *it == (ada, instance)), "{story}");
            assert!(said.len() <= 2, "each node says it once: {story}");
        }
    }
}

/// With a connection to the broker what was on its way is lost.
#[test]
fn a_slot_that_comes_back_has_its_players_told_again_while_it_is_news() {
    let (mut world, [ada, ben], instance) = opened(81);
    let holder = &mut Holder::new(&world, NEW);
    [ada, ben].into_iter().for_each(|player| holder.takes(player));
    run_ms(&mut world, &mut [holder], 1_000);
    reveal(&mut world);
    run_ms(&mut world, &mut [holder], 5_000);
    assert_eq!(holder.said(), [(ada, instance), (ben, instance)]);
    // Between two looks at it, and for longer.
    for gone_ms in [10, 3_000] {
        holder.lets_go(ada);
        run_ms(&mut world, &mut [holder], gone_ms);
        holder.takes(ada);
        run_ms(&mut world, &mut [holder], 5_000);
        assert_eq!(holder.said(), [(ada, instance)], "gone for {gone_ms} ms");
    }
    run_ms(&mut world, &mut [holder], 30_000);
    holder.lets_go(ada);
    run_ms(&mut world, &mut [holder], 1_000);
    holder.takes(ada);
    run_ms(&mut world, &mut [holder], 5_000);
    assert_eq!(holder.said(), [], "who still lacks it asks");
}

#[test]
fn a_slot_that_comes_while_nothing_is_told_brings_no_old_result() {
    let (mut world, [ada, ben], first) = opened(82);
    let holder = &mut Holder::new(&world, NEW);
    run_ms(&mut world, &mut [holder], 1_000);
    reveal(&mut world);
    run_ms(&mut world, &mut [holder], 1_000);
    assert_eq!(holder.said(), [], "it holds nothing");
    let second = world.open(HOST);
    holder.takes(ada);
    run_ms(&mut world, &mut [holder], 5_000);
    assert_eq!(holder.said(), [], "{first} is over");
    reveal(&mut world);
    run_ms(&mut world, &mut [holder], 1_000);
    assert_eq!(holder.said(), [(ada, second)]);
    world.step(HOST, Command::End);
    run_ms(&mut world, &mut [holder], 1_000);
    holder.takes(ben);
    run_ms(&mut world, &mut [holder], 5_000);
    assert_eq!(holder.said(), [], "the show is over");
}
