//! Each law can fail: a state that is wrong in one way only is found by the laws that are there for it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use crdt_state::Origin;

use super::*;

/// A set of entries, and what mistakes are made with.
#[derive(Clone, Debug, Default)]
struct Toy {
    entries: BTreeSet<(LaneId, Bytes)>,
    /// How often something was taken.
    times: usize,
    /// The lane that counts, of a register.
    register: Option<LaneId>,
    /// Whether something was joined.
    is_joined: bool,
}

fn entries_of(state: &Toy) -> u64 {
    hash(&state.entries)
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn insert(state: &mut Toy, id: LaneId, entry: &Bytes) {
    state.entries.insert((id, entry.clone()));
    state.register = state.register.max(Some(id));
}

fn unite(state: &mut Toy, other: Toy) {
    state.entries.extend(other.entries);
    state.register = state.register.max(other.register);
    state.is_joined = true;
}

const RIGHT: Algebra<Toy> = Algebra { take: insert, join: unite, digest: entries_of };

/// Six lanes of four entries each, so that each group has two lanes and the last group the last one.
fn lanes(entries: &[Bytes]) -> Lanes<'_> {
    (1..=6).map(|lane| (LaneId::control(Origin(lane)), entries.iter().collect())).collect()
}

/// The first words of all laws that are broken.
fn broken(of: &Algebra<Toy>) -> Vec<String> {
    let entries: Vec<Bytes> = (0..4_u8).map(|n| vec![n].into()).collect();
    let lanes = lanes(&entries);
    let laws = judge(of, &lanes, (of.digest)(&of.taken(lanes.iter())));
    assert_eq!(laws.compared, ALL.len());
    let said = |what: String| what.replace(" is not the state in which the nodes ended", "");
    laws.broken.into_iter().map(said).collect()
}

const REVERSED: &str = "all lanes, the last first";
const TWICE: &str = "all lanes, in turns, every entry twice";
const FIRST_TWO: &str = "three groups of lanes, the first two joined first";
const LAST_TWO: &str = "three groups of lanes, the last two joined first";
const LAST_FIRST: &str = "three groups of lanes, the last one first";
const IN_COMMON: &str = "two states that have a group in common";
const ITSELF: &str = "all joined with itself";
const ABSORBED: &str = "a part that has all of the rest joined in";
const HALF_JOINED: &str = "half of each lane, a group of lanes, and the rest joined";
const HALF_HEARD: &str = "half of each lane, a group of lanes, and the rest by entries";
const ALL: [&str; 10] = [
    REVERSED,
    TWICE,
    FIRST_TWO,
    LAST_TWO,
    LAST_FIRST,
    IN_COMMON,
    ITSELF,
    ABSORBED,
    HALF_JOINED,
    HALF_HEARD,
];

#[test]
fn a_set_keeps_all_laws() {
    assert_eq!(broken(&RIGHT), Vec::<String>::new());
}

/// The last lane that is taken counts, where the greatest should.
#[test]
fn an_order_of_taking_that_matters_is_found() {
    let take = |state: &mut Toy, id, entry: &Bytes| {
        insert(state, id, entry);
        state.register = Some(id);
    };
    let digest = |state: &Toy| hash((&state.entries, state.register));
    assert_eq!(broken(&Algebra { take, digest, ..RIGHT }), [REVERSED]);
}

#[test]
fn what_counts_twice_that_comes_twice_is_found() {
    let take = |state: &mut Toy, id, entry: &Bytes| {
        insert(state, id, entry);
        state.times = (state.times + 1).max(state.entries.len());
    };
    let join = |state: &mut Toy, other: Toy| {
        unite(state, other);
        state.times = state.entries.len();
    };
    let digest = |state: &Toy| hash((&state.entries, state.times));
    assert_eq!(broken(&Algebra { take, join, digest }), [TWICE, HALF_HEARD]);
}

#[test]
fn a_join_that_is_not_associative_is_found() {
    // What is joined already takes nothing more in.
    let join = |state: &mut Toy, other: Toy| {
        if !state.is_joined {
            unite(state, other);
        }
    };
    let found = broken(&Algebra { join, ..RIGHT });
    assert!(found.contains(&FIRST_TWO.to_owned()), "{found:?}");
    assert!(!found.contains(&LAST_TWO.to_owned()), "{found:?}");
    // What is joined already is not taken in.
    let join = |state: &mut Toy, other: Toy| {
        if !other.is_joined {
            unite(state, other);
        }
    };
    let found = broken(&Algebra { join, ..RIGHT });
    assert!(found.contains(&LAST_TWO.to_owned()), "{found:?}");
    assert!(!found.contains(&FIRST_TWO.to_owned()), "{found:?}");
}

/// The other's register counts, whichever is greater. Of the three groups the last one has the greatest.
#[test]
fn a_join_that_is_not_commutative_is_found() {
    let join = |state: &mut Toy, other: Toy| {
        let register = other.register;
        unite(state, other);
        state.register = register;
    };
    let digest = |state: &Toy| hash((&state.entries, state.register));
    let found = broken(&Algebra { join, digest, ..RIGHT });
    assert!(found.contains(&LAST_FIRST.to_owned()), "{found:?}");
    for associative in [FIRST_TWO, LAST_TWO, ITSELF] {
        assert!(!found.contains(&associative.to_owned()), "{found:?}");
    }
}

/// What both have cancels itself out, unless one has all that the other has.
#[test]
fn a_join_that_takes_what_is_in_common_for_different_is_found() {
    let join = |state: &mut Toy, other: Toy| {
        let (mine, theirs) = (state.entries.clone(), other.entries.clone());
        unite(state, other);
        if !mine.is_subset(&theirs) && !theirs.is_subset(&mine) {
            state.entries = mine.symmetric_difference(&theirs).cloned().collect();
        }
    };
    let found = broken(&Algebra { join, ..RIGHT });
    assert!(found.contains(&IN_COMMON.to_owned()), "{found:?}");
    assert!(!found.contains(&ITSELF.to_owned()) && !found.contains(&ABSORBED.to_owned()));
}

#[test]
fn a_join_that_is_not_idempotent_is_found() {
    let join = |state: &mut Toy, other: Toy| {
        let is_same = state.entries == other.entries;
        unite(state, other);
        if is_same {
            state.entries.clear();
        }
    };
    assert_eq!(broken(&Algebra { join, ..RIGHT }), [ITSELF]);
}

#[test]
fn a_join_that_does_not_absorb_is_found() {
    // Whoever has a part of the other keeps it.
    let join = |state: &mut Toy, other: Toy| {
        if state.entries.is_empty() || !state.entries.is_subset(&other.entries) {
            unite(state, other);
        }
    };
    assert_eq!(broken(&Algebra { join, ..RIGHT }), [ABSORBED]);
}

#[test]
fn a_state_that_is_not_what_its_entries_come_to_is_found() {
    // A lane of which something is there is taken for complete.
    let join = |state: &mut Toy, mut other: Toy| {
        let known: BTreeSet<LaneId> = state.entries.iter().map(|(id, _)| *id).collect();
        other.entries.retain(|(id, _)| !known.contains(id));
        unite(state, other);
    };
    assert_eq!(broken(&Algebra { join, ..RIGHT }), [HALF_JOINED]);
    // After a join nothing more is heard.
    let take = |state: &mut Toy, id, entry: &Bytes| {
        if !state.is_joined {
            insert(state, id, entry);
        }
    };
    assert_eq!(broken(&Algebra { take, ..RIGHT }), [HALF_HEARD]);
}
