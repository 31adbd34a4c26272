//! Every decoder of an event's state, fed with noise and with damaged bytes of every kind: what is read is used as a node
//! uses it, what is not is refused, and nothing panics.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::delta::{
    Advance, Answers, Create, CreatePart, DecodeError, Delta, Enrol, Extend, Fence, Forget, Join,
    Posts, RulingChange, Seal, Texts, Votes, decode, encode,
};
use crdt_state::engagement::{Facts, Key, Question, Scoreboard, Script, standings};
use crdt_state::event::{Fate, Piece, Rule};
use crdt_state::{
    EventState, Heads, Lane, LaneId, NodeId, Origin, Phase, PlayerId, Row, Stage, caps,
};
use crdts::CvRDT;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;

mod changes;

const ME: Origin = Origin(1 << 48);
const OTHER: Origin = Origin(2 << 48);

fn row(number: u32) -> Row {
    Row { origin: ME, number }
}

fn script() -> Script {
    let options = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let questions = ["one", "two"].map(|text| Question::choice(text, options(), 1));
    Script::new("Decoders", questions.to_vec())
}

fn rulings() -> Vec<Delta> {
    let rules = [
        Rule::Skip,
        Rule::Void(true),
        Rule::Key(Key::Choices(vec![2])),
        Rule::Key(Key::Texts(vec!["Lima".into()])),
        Rule::Accept("Lisbon".into()),
        Rule::Post(3, Fate::Shown),
        Rule::Pause { epoch: 2, held_ms: 900 },
    ];
    let ruling = |rule| Delta::Ruling(RulingChange { lamport: 4, instance: 2, rule });
    rules.map(ruling).to_vec()
}

/// A change of every kind of named thing.
fn named() -> Vec<Delta> {
    let (mut state, mut totals) = (EventState::default(), changes::Totals::default());
    let mut deltas = Vec::new();
    for kind in 0..changes::KINDS {
        let me = (ME, state.next_lamport());
        let mut values = [3, 4].into_iter();
        let change =
            values.find_map(|value| changes::pick(&state.named, me, &mut totals, (kind, value)));
        let delta = Delta::Named(change.expect("nothing of it is so already"));
        state.take(ME, delta.clone());
        deltas.push(delta);
    }
    deltas
}

/// A delta of every kind, in an order in which a node could have written them.
fn every_kind() -> Vec<Delta> {
    let (instance, question, rows_of) = (1, 0, ME);
    let advance = |instance, phase, question| {
        let (to, open_ms) = (Stage::new(instance, phase), Some(20_000));
        Delta::Advance(Advance { lamport: 2, to, question: Some(question), open_ms })
    };
    let join = |number| Join {
        row: row(number),
        player: PlayerId(u128::from(number % 2)),
        name: "Zoë".into(),
    };
    let part = CreatePart { lamport: 9, index: 0, of: 2, bytes: vec![7; 40] };
    let mut deltas = vec![
        Delta::Create(Create { lamport: 1, script: script() }),
        Delta::CreatePart(part),
        Delta::Enrol(Enrol { node: NodeId(1), name: "n1".into(), reads: 2 }),
        Delta::Vouch,
        Delta::Joins((0..3).map(join).collect()),
        advance(1, Phase::Open, 0),
        Delta::Extend(Extend { instance, open_ms: 30_000 }),
        Delta::Answers(Answers {
            instance,
            question,
            rows_of,
            rows: vec![(0, 900, 1), (2, 1_200, 2)],
        }),
        Delta::Texts(Texts {
            instance: 2,
            question: 1,
            rows_of,
            texts: vec!["Lima".into(), "Lisbon".into()],
            rows: vec![(0, 900, 1, 1), (1, 700, 2, 0)],
        }),
        Delta::Posts(Posts { instance, posts: vec![(3, 10, PlayerId(1), "why?".into())] }),
        Delta::Votes(Votes { instance, votes: vec![(3, row(2)), (4, row(1))] }),
        Delta::Seal(Seal { origin: ME, instance, head: 4, control: 6, knows: vec![OTHER] }),
        Delta::Fence(Fence { instance, node: NodeId(2), origin: OTHER, head: 2 }),
        Delta::Forget(Forget { origin: OTHER, node: NodeId(2), length: 1, head: 2 }),
        advance(1, Phase::Reveal, 0),
        advance(2, Phase::Open, 1),
    ];
    deltas.extend(named());
    deltas.extend(rulings());
    deltas
}

fn lane(lane: Lane) -> LaneId {
    LaneId { origin: ME, lane }
}

fn everything() -> EventState {
    let mut state = EventState::default();
    for delta in every_kind() {
        state.apply(lane(Lane::Control), &encode(&[delta])).unwrap();
    }
    state
}

/// What happens to valid bytes.
#[derive(Debug, Clone)]
enum Damage {
    /// Some are others.
    Changed(Vec<(Index, u8)>),
    /// In place of one stands the largest of all numbers.
    Huge(Index),
    /// The end is cut off.
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        2 => vec((any::<Index>(), any::<u8>()), 1..4).prop_map(Damage::Changed),
        2 => any::<Index>().prop_map(Damage::Huge),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    match damage {
        Damage::Changed(changes) => {
            for (at, with) in changes {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
        }
        Damage::Huge(at) => {
            let at = at.index(bytes.len());
            bytes.splice(at..=at, postcard::to_stdvec(&u64::MAX).unwrap());
        }
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
    bytes
}

/// What a node does with a state, whatever is in it.
fn use_up(mut state: EventState) {
    let (digest, lamport) = (state.digest(), state.next_lamport());
    assert!(lamport <= caps::LAMPORT_MAX);
    let mut again = state.without_blocks();
    for slice in state.slices() {
        again.join_piece(state.piece(&slice)).unwrap();
    }
    assert_eq!(again.digest(), digest);
    let _ = (standings(&state, |_| true), state.board_revision(), state.head_count());
    let _ = (state.counted().count(), state.named.awarded(), state.all_read());
    let _ = state.unsealed(1, &Heads::new()).count();
    let instances: Vec<u32> = state.instances().map(|(instance, _)| instance).take(99).collect();
    for instance in instances {
        let _ = (state.tally(instance), state.answered(instance), state.revision_of(instance));
        let _ = Facts::of(&state, instance).map(|facts| (facts.key(), facts.answered()));
    }
    let mut board = Scoreboard::default();
    board.update(&state, |_| true);
    let _ = board.top(&state, 9);
    state.merge(everything());
    let _ = (state.digest(), state.beyond());
}

#[test]
fn there_is_a_delta_of_every_kind_that_is_read() {
    let is_read = |kind: &u8| {
        let refused = decode(&[*kind, 1, 0]);
        !matches!(refused, Err(DecodeError::Unsupported { .. }))
    };
    let read: BTreeSet<u8> = (0..128).filter(is_read).collect();
    let written = every_kind().into_iter().map(|delta| encode(&[delta])[0]);
    assert_eq!(written.collect::<BTreeSet<u8>>(), read);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_entry_of_any_kind_is_refused_whole_or_taken_in(
        one in any::<Index>(),
        other in any::<Index>(),
        damage in damage(),
    ) {
        let all = every_kind();
        let entry = damaged(encode(&[one.get(&all).clone(), other.get(&all).clone()]), &damage);
        let mut state = everything();
        let before = state.digest();
        match state.apply(lane(Lane::Control), &entry) {
            Ok(_) => use_up(state),
            Err(_) => prop_assert_eq!(state.digest(), before),
        }
    }

    #[test]
    fn noise_in_a_frame_of_any_kind_is_refused_or_taken_in(
        kind in any::<Index>(),
        payload in vec(any::<u8>(), 0..100),
    ) {
        let kind = encode(&[kind.get(&every_kind()).clone()])[0];
        let entry = [&[kind, 1, payload.len() as u8], &payload[..]].concat();
        let mut state = everything();
        if state.apply(lane(Lane::Bulk), &entry).is_ok() {
            use_up(state);
        }
    }

    #[test]
    fn a_damaged_state_is_refused_or_a_state(damage in damage()) {
        let bytes = damaged(postcard::to_stdvec(&everything()).unwrap(), &damage);
        if let Ok(state) = postcard::from_bytes::<EventState>(&bytes) {
            use_up(state);
        }
    }

    #[test]
    fn a_damaged_piece_is_refused_or_joined(damage in damage()) {
        let whole = everything();
        for slice in whole.slices() {
            let bytes = damaged(postcard::to_stdvec(&whole.piece(&slice)).unwrap(), &damage);
            let mut state = whole.without_blocks();
            let read = postcard::from_bytes::<Piece>(&bytes);
            if read.is_ok_and(|piece| state.join_piece(piece).is_ok()) {
                use_up(state);
            }
        }
    }

    #[test]
    fn noise_is_no_state_and_no_piece_or_one(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(state) = postcard::from_bytes::<EventState>(&bytes) {
            use_up(state);
        }
        let mut state = everything();
        let read = postcard::from_bytes::<Piece>(&bytes);
        if read.is_ok_and(|piece| state.join_piece(piece).is_ok()) {
            use_up(state);
        }
    }
}
