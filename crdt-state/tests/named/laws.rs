//! One set of laws for all types.

use crdt_state::Origin;
use crdt_state::lattice::{Max, Min};
use crdt_state::named::{
    Bounded, DisableWins, EnableWins, FirstWrite, GrowOnly, LastWrite, Mark, MultiValue, Toggle,
};
use crdts::{CmRDT, CvRDT, Dot, GCounter, PNCounter, pncounter};
use proptest::prelude::*;
use std::fmt::Debug;

const WRITERS: usize = 3;

/// A type whose changes can be made at random.
pub trait Subject: Default + Clone + PartialEq + Debug + CvRDT {
    /// What it applies.
    type Change: Clone + Debug;

    /// The change that a writer makes here, its `count`-th.
    fn pick(&self, mark: Mark, count: u64, value: u8) -> Option<Self::Change>;

    /// Applies a change.
    fn take(&mut self, change: Self::Change);
}

macro_rules! subject {
    ($type:ty, |$state:ident, $mark:ident, $count:ident, $value:ident| $pick:expr) => {
        impl Subject for $type {
            type Change = <$type as CmRDT>::Op;

            fn pick(&self, $mark: Mark, $count: u64, $value: u8) -> Option<Self::Change> {
                let $state = self;
                $pick
            }

            fn take(&mut self, change: Self::Change) {
                CmRDT::apply(self, change);
            }
        }
    };
}

subject!(EnableWins, |state, mark, _count, value| state.set(mark.1, value.is_multiple_of(2)));
subject!(DisableWins, |state, mark, _count, value| state.set(mark.1, value.is_multiple_of(2)));
subject!(Toggle, |state, _mark, _count, value| state.set(value.is_multiple_of(2)));
subject!(MultiValue, |state, mark, _count, value| Some(match value % 4 {
    0 => state.erase(),
    _ => state.write(mark.1, value.to_string()),
}));
subject!(LastWrite<u8>, |_state, mark, _count, value| Some((value, mark)));
subject!(FirstWrite<u8>, |_state, mark, _count, value| Some((value, mark)));
subject!(Max<u8>, |_state, _mark, _count, value| Some(value));
subject!(Min<u8>, |_state, _mark, _count, value| Some(value));
subject!(GrowOnly<u8, 4>, |_state, _mark, _count, value| Some(value % 16));
subject!(GCounter<Origin>, |_state, mark, count, _value| Some(Dot::new(mark.1, count)));

impl Subject for PNCounter<Origin> {
    // The crate's own operation cannot be compared or printed as one.
    type Change = (bool, Dot<Origin>);

    fn pick(&self, mark: Mark, count: u64, value: u8) -> Option<Self::Change> {
        Some((value.is_multiple_of(2), Dot::new(mark.1, count)))
    }

    fn take(&mut self, (up, dot): Self::Change) {
        let dir = if up { pncounter::Dir::Pos } else { pncounter::Dir::Neg };
        self.apply(pncounter::Op { dot, dir });
    }
}

impl Subject for Bounded<u8, EnableWins, 4> {
    type Change = (u8, <EnableWins as CmRDT>::Op);

    fn pick(&self, mark: Mark, _count: u64, value: u8) -> Option<Self::Change> {
        let key = value / 2 % 12;
        let flag = self.get(&key).cloned().unwrap_or_default();
        Some((key, flag.set(mark.1, value.is_multiple_of(2))?))
    }

    fn take(&mut self, (key, op): Self::Change) {
        if let Some(flag) = self.at(key) {
            flag.apply(op);
        }
    }
}

/// One step of a history: who does it, and what; an odd third number is hearing instead of writing.
pub type Step = (u8, u8, u8);

/// Three writers and what each has heard of the others.
pub struct History<T: Subject> {
    /// The state of each.
    pub states: Vec<T>,
    /// What each has written, in order.
    pub logs: Vec<Vec<T::Change>>,
    heard: [[usize; WRITERS]; WRITERS],
    lamports: [u64; WRITERS],
}

pub fn origin(who: usize) -> Origin {
    Origin((who as u64 + 1) << 40)
}

impl<T: Subject> History<T> {
    /// Lets three writers live through the steps.
    pub fn live(steps: &[Step]) -> Self {
        let mut history = History {
            states: vec![T::default(); WRITERS],
            logs: vec![Vec::new(); WRITERS],
            heard: Default::default(),
            lamports: [0; WRITERS],
        };
        for (who, value, kind) in steps {
            let who = usize::from(*who) % WRITERS;
            match kind % 2 {
                0 => history.write(who, *value),
                _ => history.hear(who, usize::from(*value) % WRITERS, usize::from(*kind) / 64 + 1),
            }
        }
        history
    }

    fn write(&mut self, who: usize, value: u8) {
        self.lamports[who] += 1;
        let count = self.logs[who].len() as u64 + 1;
        let change = self.states[who].pick((self.lamports[who], origin(who)), count, value);
        if let Some(change) = change {
            self.states[who].take(change.clone());
            self.logs[who].push(change);
        }
    }

    fn hear(&mut self, who: usize, from: usize, most: usize) {
        for _ in 0..most {
            let next = self.heard[who][from];
            let Some(change) = self.logs[from].get(next).filter(|_| who != from).cloned() else {
                return;
            };
            self.states[who].take(change);
            self.heard[who][from] += 1;
            self.lamports[who] = self.lamports[who].max(self.lamports[from]);
        }
    }

    /// The states of all, joined.
    pub fn joined(&self) -> T {
        self.states.iter().fold(T::default(), |all, state| joined(&all, state))
    }

    /// Applies everything, each writer's in order, interleaved as `picks` say; every third change again.
    pub fn fold(&self, picks: &[u8]) -> T {
        let mut state = T::default();
        let mut next = [0; WRITERS];
        let mut picks = picks.iter().cycle();
        loop {
            let open: Vec<usize> =
                (0..WRITERS).filter(|who| next[*who] < self.logs[*who].len()).collect();
            let Some(pick) = picks.next().filter(|_| !open.is_empty()) else { return state };
            let who = open[usize::from(*pick) % open.len()];
            state.take(self.logs[who][next[who]].clone());
            if pick.is_multiple_of(3) {
                // Long after it was settled: a repetition changes nothing.
                state.take(self.logs[who][usize::from(*pick) % (next[who] + 1)].clone());
            }
            next[who] += 1;
        }
    }
}

fn joined<T: Subject>(a: &T, b: &T) -> T {
    let mut a = a.clone();
    a.merge(b.clone());
    a
}

fn check<T: Subject>(steps: &[Step], one: &[u8], other: &[u8]) {
    let history = History::<T>::live(steps);
    let whole = history.fold(one);
    assert_eq!(history.fold(other), whole, "any order gives one value");
    let [a, b, c] = &history.states[..] else { unreachable!("there are three") };
    let all = joined(&joined(a, b), c);
    assert_eq!(all, whole, "states joined are operations applied");
    assert_eq!(joined(a, &joined(b, c)), all, "associative");
    assert_eq!(joined(a, b), joined(b, a), "commutative");
    for state in [a, b, c] {
        assert_eq!(&joined(state, state), state, "idempotent");
        assert_eq!(joined(&all, state), all, "monotone: a part is below the whole");
        let middle = joined(a, state);
        assert_eq!(joined(&middle, a), middle, "monotone: a join is above its parts");
    }
}

macro_rules! laws {
    ($($name:ident: $type:ty,)*) => {
        proptest! {
            $(
                #[test]
                fn $name(
                    steps in proptest::collection::vec(any::<Step>(), 0..60),
                    one in proptest::collection::vec(any::<u8>(), 1..40),
                    other in proptest::collection::vec(any::<u8>(), 1..40),
                ) {
                    check::<$type>(&steps, &one, &other);
                }
            )*
        }
    };
}

laws! {
    an_enable_wins_flag_is_a_lattice: EnableWins,
    a_disable_wins_flag_is_a_lattice: DisableWins,
    a_toggle_is_a_lattice: Toggle,
    a_grow_only_counter_is_a_lattice: GCounter<Origin>,
    a_counter_both_ways_is_a_lattice: PNCounter<Origin>,
    a_bounded_grow_only_set_is_a_lattice: GrowOnly<u8, 4>,
    a_bounded_set_with_removal_is_a_lattice: Bounded<u8, EnableWins, 4>,
    a_last_write_register_is_a_lattice: LastWrite<u8>,
    a_first_write_register_is_a_lattice: FirstWrite<u8>,
    a_multi_value_register_is_a_lattice: MultiValue,
    a_maximum_is_a_lattice: Max<u8>,
    a_minimum_is_a_lattice: Min<u8>,
}

#[test]
fn who_wins_when_two_act_at_once() {
    let (me, other) = (origin(0), origin(1));
    let mut on = EnableWins::default();
    on.apply(on.set(me, true).unwrap());
    let (off, on_again) = (on.set(me, false).unwrap(), on.clone());
    let mut elsewhere = EnableWins::default();
    elsewhere.apply(elsewhere.set(other, true).unwrap());
    on.apply(off);
    assert!(!on.is_on());
    on.merge(elsewhere);
    assert!(on.is_on(), "an enabling that the disabling had not seen stays");
    assert!(on_again.is_on());

    let mut sound = DisableWins::default();
    assert!(sound.is_on(), "on at first");
    let mut there = sound.clone();
    sound.apply(sound.set(me, false).unwrap());
    let back_on = sound.set(me, true).unwrap();
    there.apply(there.set(other, false).unwrap());
    sound.apply(back_on);
    assert!(sound.is_on());
    sound.merge(there);
    assert!(!sound.is_on(), "a disabling that the enabling had not seen stays");

    let (mut here, mut there) = (Toggle::default(), Toggle::default());
    here.apply(here.set(true).unwrap());
    there.apply(there.set(true).unwrap());
    here.merge(there);
    assert!(here.is_on(), "two who switch it the same way make one step");
    assert_eq!(here.set(true), None);
}

#[test]
fn a_full_map_keeps_the_smallest_keys_whatever_the_order() {
    let keys = [9u8, 3, 7, 1, 8, 2, 6];
    let fill = |keys: &mut dyn Iterator<Item = u8>| {
        let mut map = Bounded::<u8, Max<u8>, 3>::default();
        for key in keys {
            if let Some(max) = map.at(key) {
                max.apply(key);
            }
        }
        map
    };
    let forward = fill(&mut keys.into_iter());
    let backward = fill(&mut keys.into_iter().rev());
    assert_eq!(forward, backward);
    assert_eq!(forward.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(forward.is_full());
}

#[test]
fn a_snapshot_with_too_many_keys_is_refused() {
    let mut wide = Bounded::<u8, Max<u8>, 8>::default();
    (0..8).for_each(|key| wide.at(key).unwrap().apply(key));
    let bytes = postcard::to_stdvec(&wide).unwrap();
    assert!(postcard::from_bytes::<Bounded<u8, Max<u8>, 8>>(&bytes).is_ok());
    assert!(postcard::from_bytes::<Bounded<u8, Max<u8>, 7>>(&bytes).is_err());
}
