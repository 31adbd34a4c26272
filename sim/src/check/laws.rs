//! The merge laws, on the entries that a node has on disk at the end: whatever the order between lanes, however the
//! lanes are grouped and the groups joined, and whatever comes twice, taking them in gives one state, and it is
//! the one that the nodes ended with. A node that refilled from a snapshot does not have them all; if all did,
//! nothing is compared, which a run says.

use std::collections::BTreeMap;

use bytes::Bytes;
use crdt_state::{EventState, LaneId};
use crdts::CvRDT;

use crate::quiz::evidence::Evidence;

type Lanes<'a> = BTreeMap<LaneId, Vec<&'a Bytes>>;

/// What came of the laws in a run.
#[derive(Debug, Default)]
pub(super) struct Laws {
    /// Those that do not hold.
    pub(super) broken: Vec<String>,
    /// How many states were compared with the one that the nodes ended with.
    pub(super) compared: usize,
}

pub(super) fn check(evidence: &Evidence) -> Laws {
    let Some(end) = evidence.ends.values().next() else { return Laws::default() };
    if evidence.entries.is_empty() {
        return Laws::default();
    }
    let mut lanes: Lanes<'_> = BTreeMap::new();
    for ((id, _), entry) in &evidence.entries {
        lanes.entry(*id).or_default().push(entry);
    }
    judge(&OF_EVENTS, &lanes, end.digest)
}

/// What the laws are of: states that take entries in, and that join.
struct Algebra<S> {
    take: fn(&mut S, LaneId, &Bytes),
    join: fn(&mut S, S),
    digest: fn(&S) -> u64,
}

const OF_EVENTS: Algebra<EventState> = Algebra {
    // What no node can read is an alarm of every node, and so found elsewhere.
    take: |state, id, entry| {
        let _ = state.apply(id, entry);
    },
    join: |state, other| state.merge(other),
    digest: EventState::digest,
};

fn judge<S: Clone + Default>(of: &Algebra<S>, lanes: &Lanes<'_>, end: u64) -> Laws {
    let mut laws = Laws::default();
    let mut expect = |what: &str, state: &S| {
        laws.compared += 1;
        if (of.digest)(state) != end {
            laws.broken.push(format!("{what} is not the state in which the nodes ended"));
        }
    };
    expect("all lanes, the last first", &of.taken(lanes.iter().rev()));
    expect("all lanes, in turns, every entry twice", &of.in_turns(lanes, 2, |_| 0));
    // Which lanes these are depends on the names of origins, and so on the seed.
    let [a, b, c] = [0, 1, 2].map(|first| of.taken(lanes.iter().skip(first).step_by(3)));
    let (ab, bc) = (of.joined(&a, &b), of.joined(&b, &c));
    let all = of.joined(&ab, &c);
    expect("three groups of lanes, the first two joined first", &all);
    expect("three groups of lanes, the last two joined first", &of.joined(&a, &bc));
    expect("three groups of lanes, the last one first", &of.joined(&of.joined(&c, &b), &a));
    expect("two states that have a group in common", &of.joined(&bc, &ab));
    expect("all joined with itself", &of.joined(&all, &all));
    expect("a part that has all of the rest joined in", &of.joined(&b, &all));
    // As a node that has some of each lane, is given another one's state, and hears the rest by entries.
    let half = |entries: &[&Bytes]| entries.len() / 2;
    let (early, late) = (of.in_turns(&halves(lanes), 1, |_| 0), of.in_turns(lanes, 1, half));
    expect(
        "half of each lane, a group of lanes, and the rest joined",
        &of.joined(&of.joined(&early, &a), &late),
    );
    let mut heard = of.joined(&early, &c);
    lanes.iter().for_each(|(id, entries)| {
        entries[half(entries)..].iter().for_each(|entry| (of.take)(&mut heard, *id, entry));
    });
    expect("half of each lane, a group of lanes, and the rest by entries", &heard);
    laws
}

impl<S: Clone + Default> Algebra<S> {
    fn joined(&self, a: &S, b: &S) -> S {
        let mut joined = a.clone();
        (self.join)(&mut joined, b.clone());
        joined
    }

    fn taken<'a>(&self, lanes: impl Iterator<Item = (&'a LaneId, &'a Vec<&'a Bytes>)>) -> S {
        let mut state = S::default();
        for (id, entries) in lanes {
            entries.iter().for_each(|entry| (self.take)(&mut state, *id, entry));
        }
        state
    }

    /// An entry of each lane after the other, so many times, from somewhere in each lane on.
    fn in_turns(&self, lanes: &Lanes<'_>, times: usize, from: impl Fn(&[&Bytes]) -> usize) -> S {
        let mut state = S::default();
        let longest = lanes.values().map(Vec::len).max().unwrap_or_default();
        for turn in 0..longest {
            for (id, entries) in lanes {
                if let Some(entry) = entries.get(turn).filter(|_| turn >= from(entries)) {
                    (0..times).for_each(|_| (self.take)(&mut state, *id, entry));
                }
            }
        }
        state
    }
}

/// The first half of each lane.
fn halves<'a>(lanes: &Lanes<'a>) -> Lanes<'a> {
    let half = |entries: &[&'a Bytes]| entries[..entries.len() / 2].to_vec();
    lanes.iter().map(|(id, entries)| (*id, half(entries))).collect()
}

#[cfg(test)]
mod tests;
