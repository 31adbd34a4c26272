//! The merge laws, on the entries that a node has on disk at the end: whatever the order between lanes and
//! however the lanes are grouped, taking them in gives one state, and it is the one that the nodes ended
//! with. A node that refilled from a snapshot does not have them all; if all did, nothing is compared.

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
    expect("all lanes, in turns", &in_turns(&lanes));
    let half = lanes.len() / 2;
    let (one, other) = (taken(lanes.iter().take(half)), taken(lanes.iter().skip(half)));
    let joined = |mut a: EventState, b: EventState| {
        a.merge(b);
        a
    };
    expect("half of the lanes joined with the rest", &joined(one.clone(), other.clone()));
    expect("the rest joined with half of the lanes", &joined(other.clone(), one.clone()));
    let whole = joined(one, other);
    expect("all joined with itself", &joined(whole.clone(), whole));
    found
}

fn taken<'a>(lanes: impl Iterator<Item = (&'a LaneId, &'a Vec<&'a Bytes>)>) -> EventState {
    let mut state = EventState::default();
    for (id, entries) in lanes {
        entries.iter().for_each(|entry| take(&mut state, *id, entry));
    }
    state
}

/// An entry of each lane after the other, until there are no more.
fn in_turns(lanes: &Lanes<'_>) -> EventState {
    let mut state = EventState::default();
    let longest = lanes.values().map(Vec::len).max().unwrap_or_default();
    for turn in 0..longest {
        for (id, entries) in lanes {
            if let Some(entry) = entries.get(turn) {
                take(&mut state, *id, entry);
            }
        }
    }
    state
}

fn take(state: &mut EventState, id: LaneId, entry: &Bytes) {
    // What no node can read is an alarm of every node, and so found elsewhere.
    let _ = state.apply(id, entry);
}
