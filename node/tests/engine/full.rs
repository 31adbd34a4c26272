//! An event that is half as full as it may be: players are refused with a reason, and nobody is let go.

use crate::facts::code;
use crate::world::World;
use bytes::Bytes;
use crdt_state::caps::{CELLS_MAX, ENTRY_BLOCKS_MAX, ROW_BLOCKS_MAX};
use crdt_state::delta::{Answers, Delta, Join, encode};
use crdt_state::{LaneId, Origin, PlayerId, Row};
use gossip::replication::Message;

const BLOCK: u32 = 4_096;

/// A newcomer's player in each of so many blocks, as far apart as rows can lie.
fn strangers(origin: Origin, blocks: usize) -> Delta {
    let join = |block: u32| Join {
        row: Row { origin, number: block * BLOCK },
        player: PlayerId(u128::from(origin.0) << 32 | u128::from(block)),
        name: format!("{} {block}", origin.0),
    };
    Delta::Joins((0..blocks as u32).map(join).collect())
}

impl World {
    /// Has node 0 hear from node 1 what an origin nobody else has heard of has said.
    fn hear_of(&mut self, origin: Origin, said: &[Delta]) {
        let (id, entries) = (LaneId::bulk(origin), vec![Bytes::from(encode(said))]);
        self.hear(0, 1, Message::Entries { id, first: 1, ages_ms: vec![0], entries });
    }
}

#[test]
fn nobody_joins_an_event_that_has_half_of_the_players_it_may() {
    let mut world = World::lobby(330, 2, 20_000);
    let ada = world.join(0, 1);
    for origin in 0..ROW_BLOCKS_MAX / 2 / ENTRY_BLOCKS_MAX {
        assert!(world.try_join(0, 100 + origin as u128, &format!("early {origin}")).is_ok());
        let origin = Origin(900 + origin as u64);
        world.hear_of(origin, &[strangers(origin, ENTRY_BLOCKS_MAX)]);
    }
    let refusal = world.try_join(0, 2, "Bea").unwrap_err();
    assert_eq!(refusal.code, "full");
    assert!(refusal.message.contains("all the players it can take"), "{refusal:?}");
    // Who is in stays in.
    let instance = world.open(0);
    assert_eq!(world.answer(0, &ada, instance, 1).unwrap().status, "accepted");
}

#[test]
fn nobody_answers_in_an_event_that_has_half_of_the_answers_it_may() {
    let mut world = World::lobby(331, 2, 20_000);
    let (ada, bea) = (world.join(0, 1), world.join(0, 2));
    let instance = world.open(0);
    assert_eq!(world.answer(0, &ada, instance, 1).unwrap().status, "accepted");
    let blocks = ENTRY_BLOCKS_MAX / 2;
    let runs = CELLS_MAX / 2 / (blocks * BLOCK as usize);
    let origin = Origin(900);
    let answers = |instance| {
        let rows = vec![(0, 1, 1)];
        Delta::Answers(Answers { instance, question: 0, rows_of: origin, rows })
    };
    let said: Vec<Delta> =
        [strangers(origin, blocks)].into_iter().chain((10..).take(runs).map(answers)).collect();
    world.hear_of(origin, &said);
    assert_eq!(code(world.answer(0, &bea, instance, 1)), "limit_reached");
}
