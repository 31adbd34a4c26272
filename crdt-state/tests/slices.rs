//! A large state taken apart: how large its pieces are, and what a frozen copy still says.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::caps::NAME_BYTES_MAX;
use crdt_state::delta::{Answers, Delta, Join};
use crdt_state::event::{PIECE_BYTES_MAX, Slice};
use crdt_state::{EventState, Origin, PlayerId, Row};

const PLAYERS: u32 = 20_000;

/// Players with the longest names there may be, on two nodes, and answers as unlike as answers can be.
fn crowded() -> EventState {
    let mut state = EventState::default();
    for origin in [Origin(7 << 48), Origin(9 << 48)] {
        let joins = (0..PLAYERS).map(|number| Join {
            row: Row { origin, number },
            player: PlayerId(u128::from(origin.0) + u128::from(number)),
            name: format!("{number:0>NAME_BYTES_MAX$}"),
        });
        state.take(origin, Delta::Joins(joins.collect()));
        for instance in 1..=3 {
            let value = |number: u32| number.wrapping_mul(0x9e37_79b9) >> 12;
            let rows = (0..PLAYERS).map(|n| (n, value(n), 1 << (n % 4))).collect();
            let answers = Answers { instance, question: 0, rows_of: origin, rows };
            state.take(origin, Delta::Answers(answers));
        }
    }
    state
}

fn written(state: &EventState, slice: &Slice) -> Vec<u8> {
    postcard::to_stdvec(&state.piece(slice)).unwrap()
}

#[test]
fn no_piece_is_larger_than_may_be_and_few_are_small() {
    let state = crowded();
    let sizes: Vec<usize> =
        state.slices().iter().map(|slice| written(&state, slice).len()).collect();
    assert!(sizes.iter().all(|size| *size <= PIECE_BYTES_MAX), "{sizes:?}");
    let whole = postcard::to_stdvec(&state).unwrap().len();
    assert!(sizes.len() < 3 * whole / PIECE_BYTES_MAX, "{whole} bytes in {sizes:?}");
    assert!(postcard::to_stdvec(&state.without_blocks()).unwrap().len() < 1_000);
}

#[test]
fn a_frozen_copy_does_not_hear_what_comes_later() {
    let mut state = crowded();
    let (frozen, slices) = (state.clone(), state.slices());
    let before: Vec<Vec<u8>> = slices.iter().map(|slice| written(&frozen, slice)).collect();
    let rows_of = Origin(7 << 48);
    let rows = (0..PLAYERS).map(|number| (number, 0, 8)).collect();
    let more = Answers { instance: 3, question: 0, rows_of, rows };
    state.take(rows_of, Delta::Answers(more));
    let after: Vec<Vec<u8>> = slices.iter().map(|slice| written(&frozen, slice)).collect();
    assert_eq!(before, after);
    assert_ne!(before, slices.iter().map(|slice| written(&state, slice)).collect::<Vec<_>>());
}
