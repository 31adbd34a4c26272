//! What a node makes of a snapshot: the cut as it was frozen, or nothing of it at all.

use crate::world::World;
use bytes::Bytes;
use crdt_state::catalogue::{self, Class, List};
use crdt_state::delta::{Advance, Answers, Delta, Join, Texts, encode};
use crdt_state::engagement::script::Entry;
use crdt_state::{EventId, EventState, Heads, LaneId, Mono, Origin, Phase, PlayerId, Row, Stage};
use crdts::CmRDT;
use gossip::replication::{AGE_UNKNOWN, ApplyError, Replicated};
use node::engine::{Carried, EventCore, Listed};
use proptest::prelude::*;
use std::sync::OnceLock;
use std::time::Duration;

const ME: Origin = Origin(7);

fn texts(text: &str) -> Delta {
    let (texts, rows) = (vec![text.to_owned()], vec![(0, 900, 1, 0)]);
    Delta::Texts(Texts { instance: 2, question: 0, rows_of: ME, texts, rows })
}

/// A player, an answer and a text, in three entries.
fn carried() -> Carried {
    let row = Row { origin: ME, number: 0 };
    let join = Join { row, player: PlayerId(1), name: "Ada".into() };
    let rows = vec![(0, 900, 1)];
    let answers = Answers { instance: 1, question: 0, rows_of: ME, rows };
    let entries = [Delta::Joins(vec![join]), Delta::Answers(answers), texts("Lima")];
    let mut carried = Carried::default();
    for (seq, delta) in (1..).zip(entries) {
        let entry = encode(&[delta]);
        carried.apply(LaneId::bulk(ME), seq, Duration::ZERO, Mono::ZERO, &entry).unwrap();
    }
    carried
}

/// The state that goes with the results of a show, as they are handed out.
fn state_of_a_proof() -> Vec<u8> {
    let mut world = World::lobby(960, 1, 60_000);
    let claim = world.join(0, 1);
    let instance = world.open(0);
    world.answer(0, &claim, instance, 0).unwrap();
    world.finish_round(0);
    world.core(0).proof(world.mono(0), "123456").unwrap().state
}

/// A catalogue of one show.
fn catalogue() -> Listed {
    let list = List {
        lamport: 1,
        event: EventId(7),
        pin: "111111".into(),
        title: "Show".into(),
        class: Class::Live,
        entry: Entry::Open,
    };
    let (entry, mut listed) = (catalogue::encode(&list.into()), Listed::default());
    listed.apply(LaneId::control(ME), 1, Duration::ZERO, Mono::ZERO, &entry).unwrap();
    listed
}

/// Bytes that are others than they were.
type Damage = Vec<(prop::sample::Index, u8)>;

fn damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
}

fn apply(damage: Damage, bytes: &mut [u8]) {
    for (at, byte) in damage {
        bytes[at.index(bytes.len())] = byte;
    }
}

/// What a node with nothing makes of it.
fn restore(claimed: Option<&Heads>, parts: &[Bytes]) -> Result<Carried, ApplyError> {
    let mut carried = Carried::default();
    let restored = carried.restore(Mono::ZERO, AGE_UNKNOWN, claimed, parts);
    if restored.is_err() {
        assert_eq!((&carried.state, carried.heads()), (&EventState::default(), &Heads::new()));
    }
    restored.map(|()| carried)
}

#[test]
fn a_cut_is_read_as_it_was_frozen() {
    let mut carried = carried();
    let (cut, heads, digest) = (carried.cut(Mono::ZERO), carried.heads().clone(), carried.digest());
    assert_eq!(cut.parts(), 2, "the front and one slice");
    let rows = vec![(0, 0, 2)];
    let later = Delta::Answers(Answers { instance: 1, question: 0, rows_of: ME, rows });
    let entry = encode(&[later]);
    carried.apply(LaneId::bulk(ME), 4, Duration::ZERO, Mono::ZERO, &entry).unwrap();
    let read = restore(Some(&heads), &cut.whole()).unwrap();
    assert_eq!((read.digest(), read.heads()), (digest, &heads));
    assert_ne!(carried.digest(), digest);
}

/// What is read beside an event's owner is of one moment, with all that it says then and nothing that comes later.
#[test]
fn a_frozen_event_is_read_as_it_was_and_as_its_owner_would_have_read_it() {
    let mut world = World::lobby(960, 2, 60_000);
    let claims: Vec<_> = (1..=3).map(|player| world.join(0, player)).collect();
    let instance = world.open(0);
    world.answer(0, &claims[0], instance, 0).unwrap();
    assert_eq!(world.answer(0, &claims[0], 2, 0).unwrap_err().code, "instance_unknown");
    world.finish_round(0);
    assert_eq!(world.answer(0, &claims[1], instance, 0).unwrap_err().code, "late");
    let (core, now) = (world.core(0), world.mono(0));
    let frozen = core.frozen(Some(instance));
    let told = |core: &EventCore| {
        let explained = [1, 2, 3].map(|n| {
            let mut view = core.explain(&PlayerId(n).to_string(), instance).unwrap();
            // Who holds an answer is known to the owner alone.
            if let Some(held) = &mut view.receipt {
                (held.level, held.held_by) = (None, Vec::new());
            }
            view
        });
        (core.export("123456"), core.proof(now, "123456").unwrap().encode(), explained)
    };
    let before = told(core);
    assert_eq!(told(&frozen), before);
    assert_eq!(before.2[1].refused.len(), 1, "what was turned away is known too");
    let state = |core: &EventCore| serde_json::to_value(core.state_view()).unwrap();
    assert_eq!(state(&frozen), state(core));
    let second = world.open(0);
    for claim in &claims {
        world.answer(0, claim, second, 1).unwrap();
    }
    world.finish_round(0);
    assert_eq!(told(&frozen), before, "what came later is not in it");
    assert_ne!(told(world.core(0)), before);
}

#[test]
fn a_cut_that_is_not_what_was_announced_changes_nothing() {
    let carried = carried();
    let parts = carried.cut(Mono::ZERO).whole();
    let mut more = carried.heads().clone();
    more.apply(more.inc(LaneId::bulk(ME)));
    for claimed in [more, Heads::new()] {
        assert!(restore(Some(&claimed), &parts).is_err());
    }
    restore(Some(carried.heads()), &parts).unwrap();
}

#[test]
fn a_text_that_no_entry_may_have_changes_nothing() {
    for text in ["", "Far too long".repeat(100).as_str()] {
        let mut carried = carried();
        carried.state.take(ME, texts(text));
        assert!(restore(None, &carried.cut(Mono::ZERO).whole()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What a peer's clock knows may be anything: it is refused, or the round has another zero.
    #[test]
    fn ages_are_refused_or_learnt_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        age: u32,
        open: u64,
        pauses in prop::collection::vec((any::<u32>(), any::<u64>()), 0..4),
    ) {
        let (now, age) = (Duration::from_secs(1_000), Duration::from_millis(age.into()));
        let mut carried = carried();
        let to = Stage::new(1, Phase::Open);
        let advance = Advance { lamport: 1, to, question: Some(0), open_ms: Some(20_000) };
        carried.state.take(ME, Delta::Advance(advance));
        assert!(carried.state.is_open(1));
        let _ = carried.learn_ages(now, age, &bytes.into());
        let told = postcard::to_stdvec(&(1u32, open, pauses)).unwrap();
        carried.learn_ages(now, age, &told.into()).expect("it is what peers tell");
    }

    #[test]
    fn damaged_parts_are_refused_or_read_and_never_a_panic(
        part in 0usize..2,
        damage in damage(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut parts = carried().cut(Mono::ZERO).whole();
        let mut bytes = parts[part].to_vec();
        apply(damage, &mut bytes);
        parts[part] = bytes.clone().into();
        let _ = restore(None, &parts);
        bytes.truncate(cut.index(bytes.len()));
        parts[part] = bytes.into();
        let _ = restore(None, &parts);
        let _ = restore(None, &parts[..part]);
    }

    #[test]
    fn noise_is_no_snapshot_and_no_part_of_one(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        count in 0u32..4,
    ) {
        let mut parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
        let _ = restore(None, &parts);
        if let Some(first) = parts.first_mut() {
            *first = [&count.to_le_bytes()[..], first].concat().into();
        }
        let _ = restore(None, &parts);
        let front = carried().cut(Mono::ZERO).whole().swap_remove(0);
        let _ = restore(None, &[&[front], &parts[..]].concat());
    }

    /// What a proof is checked with comes out of a file.
    #[test]
    fn a_damaged_or_arbitrary_proof_never_panics(
        damage in damage(),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        static STATE: OnceLock<Vec<u8>> = OnceLock::new();
        let mut state = STATE.get_or_init(state_of_a_proof).clone();
        let _ = (EventCore::from_state(&noise), EventCore::from_state(&state[..cut.index(state.len())]));
        apply(damage, &mut state);
        if let Ok((core, pin)) = EventCore::from_state(&state) {
            let _ = core.export(&pin);
        }
    }

    /// The catalogue's snapshots are read likewise.
    #[test]
    fn a_damaged_catalogue_is_refused_or_read_and_never_a_panic(
        damage in damage(),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = catalogue().cut(Mono::ZERO).whole().concat();
        let read = |bytes: &[u8]| {
            let (mut listed, parts) = (catalogue(), [Bytes::copy_from_slice(bytes)]);
            let before = (listed.digest(), listed.content());
            if listed.restore(Mono::ZERO, AGE_UNKNOWN, None, &parts).is_err() {
                assert_eq!((listed.digest(), listed.content()), before);
            }
        };
        read(&noise);
        read(&bytes[..cut.index(bytes.len())]);
        apply(damage, &mut bytes);
        read(&bytes);
    }
}
