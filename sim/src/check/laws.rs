//! The merge laws, on the entries that a node has on disk at the end: whatever the order between lanes, however the
//! lanes are grouped and the groups joined, and whatever comes twice, taking them in gives one state, and it is
//! the one that the nodes ended with. A node that refilled from a snapshot does not have them all; if all did,
//! nothing is compared.

use std::collections::BTreeMap;

use bytes::Bytes;
use crdt_state::{EventState, LaneId};
use crdts::CvRDT;

use crate::quiz::evidence::Evidence;

type Lanes<'a> = BTreeMap<LaneId, Vec<&'a Bytes>>;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let Some(end) = evidence.ends.values().next() else { return Vec::new() };
    if evidence.entries.is_empty() {
        return Vec::new();
    }
    let mut lanes: Lanes<'_> = BTreeMap::new();
    for ((id, _), entry) in &evidence.entries {
        lanes.entry(*id).or_default().push(entry);
    }
    let mut found = Vec::new();
    let mut expect = |what: &str, state: &EventState| {
        if state.digest() != end.digest {
            found.push(format!("{what} is not the state in which the nodes ended"));
        }
    };
    expect("all lanes, the last first", &taken(lanes.iter().rev()));
    expect("all lanes, in turns, every entry twice", &in_turns(&lanes, 2, |_| 0));
    // Which lanes these are depends on the names of origins, and so on the seed.
    let [a, b, c] = [0, 1, 2].map(|first| taken(lanes.iter().skip(first).step_by(3)));
    let (ab, bc) = (joined(&a, &b), joined(&b, &c));
    let all = joined(&ab, &c);
    expect("three groups of lanes, the first two joined first", &all);
    expect("three groups of lanes, the last two joined first", &joined(&a, &bc));
    expect("three groups of lanes, the last one first", &joined(&joined(&c, &b), &a));
    expect("two states that have a group in common", &joined(&bc, &ab));
    expect("all joined with itself", &joined(&all, &all));
    expect("a part that has all of the rest joined in", &joined(&b, &all));
    // As a node that has some of each lane, is given another one's state, and hears the rest by entries.
    let half = |entries: &[&Bytes]| entries.len() / 2;
    let (early, late) = (in_turns(&halves(&lanes), 1, |_| 0), in_turns(&lanes, 1, half));
    expect(
        "half of each lane, a group of lanes, and the rest joined",
        &joined(&joined(&early, &a), &late),
    );
    let mut heard = joined(&early, &c);
    lanes.iter().for_each(|(id, entries)| {
        entries[half(entries)..].iter().for_each(|entry| take(&mut heard, *id, entry));
    });
    expect("half of each lane, a group of lanes, and the rest by entries", &heard);
    found
}

fn joined(a: &EventState, b: &EventState) -> EventState {
    let mut joined = a.clone();
    joined.merge(b.clone());
    joined
}

/// The first half of each lane.
fn halves<'a>(lanes: &Lanes<'a>) -> Lanes<'a> {
    let half = |entries: &[&'a Bytes]| entries[..entries.len() / 2].to_vec();
    lanes.iter().map(|(id, entries)| (*id, half(entries))).collect()
}

fn taken<'a>(lanes: impl Iterator<Item = (&'a LaneId, &'a Vec<&'a Bytes>)>) -> EventState {
    let mut state = EventState::default();
    for (id, entries) in lanes {
        entries.iter().for_each(|entry| take(&mut state, *id, entry));
    }
    state
}

/// An entry of each lane after the other, so many times, from somewhere in each lane on.
fn in_turns(lanes: &Lanes<'_>, times: usize, from: impl Fn(&[&Bytes]) -> usize) -> EventState {
    let mut state = EventState::default();
    let longest = lanes.values().map(Vec::len).max().unwrap_or_default();
    for turn in 0..longest {
        for (id, entries) in lanes {
            if let Some(entry) = entries.get(turn).filter(|_| turn >= from(entries)) {
                (0..times).for_each(|_| take(&mut state, *id, entry));
            }
        }
    }
    state
}

fn take(state: &mut EventState, id: LaneId, entry: &Bytes) {
    // What no node can read is an alarm of every node, and so found elsewhere.
    let _ = state.apply(id, entry);
}
