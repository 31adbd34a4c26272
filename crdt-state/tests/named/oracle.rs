//! The `crdts` crate's types beside ours, changed by the same people at the same time.

use super::laws::{History, Step, Subject};
use crdt_state::Origin;
use crdt_state::named::{CausalOp, EnableWins, GrowOnly, LastWrite, Mark, MultiValue};
use crdts::{CmRDT, CvRDT, GSet, LWWReg, MVReg, Orswot, PNCounter, mvreg, orswot};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Ours and theirs, side by side.
#[derive(Debug, Clone, Default)]
struct Beside<A, B>(A, B);

/// Theirs is looked at only where it can be compared: see the traps.
impl<A: PartialEq, B> PartialEq for Beside<A, B> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<A: CvRDT, B: CvRDT> CvRDT for Beside<A, B> {
    type Validation = std::convert::Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Self::Validation> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
        self.1.merge(other.1);
    }
}

type FlagBeside = Beside<EnableWins, Orswot<(), Origin>>;

impl Subject for FlagBeside {
    type Change = (CausalOp<()>, orswot::Op<(), Origin>);

    fn pick(&self, mark: Mark, _count: u64, value: u8) -> Option<Self::Change> {
        let on = value.is_multiple_of(2);
        let ours = self.0.set(mark.1, on)?;
        let theirs = if on {
            self.1.add((), self.1.read_ctx().derive_add_ctx(mark.1))
        } else {
            self.1.rm((), self.1.contains(&()).derive_rm_ctx())
        };
        Some((ours, theirs))
    }

    fn take(&mut self, (ours, theirs): Self::Change) {
        self.0.apply(ours);
        self.1.apply(theirs);
    }
}

type RegisterBeside = Beside<MultiValue, MVReg<String, Origin>>;

impl Subject for RegisterBeside {
    type Change = (CausalOp<String>, mvreg::Op<String, Origin>);

    fn pick(&self, mark: Mark, count: u64, value: u8) -> Option<Self::Change> {
        let text = format!("{value}/{count}/{}", mark.1);
        let theirs = self.1.write(text.clone(), self.1.read().derive_add_ctx(mark.1));
        Some((self.0.write(mark.1, text), theirs))
    }

    fn take(&mut self, (ours, theirs): Self::Change) {
        self.0.apply(ours);
        self.1.apply(theirs);
    }
}

proptest! {
    #[test]
    fn an_enable_wins_flag_is_an_orswot_of_one(
        steps in proptest::collection::vec(any::<Step>(), 0..60),
        picks in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let history = History::<FlagBeside>::live(&steps);
        // On the way ours may know sooner: a removal carries what its writer knew of other removals.
        for Beside(ours, theirs) in [&history.fold(&picks), &history.joined()] {
            prop_assert_eq!(ours.is_on(), theirs.contains(&()).val);
        }
    }

    #[test]
    fn a_multi_value_register_is_an_mvreg(
        steps in proptest::collection::vec(any::<Step>(), 0..60),
        picks in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let history = History::<RegisterBeside>::live(&steps);
        let (whole, joined) = (history.fold(&picks), history.joined());
        for Beside(ours, theirs) in history.states.iter().chain([&whole, &joined]) {
            let ours: BTreeSet<&str> = ours.values().map(String::as_str).collect();
            let theirs = theirs.read().val;
            prop_assert_eq!(ours, theirs.iter().map(String::as_str).collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn a_last_write_register_is_an_lwwreg_while_marks_are_unique(
        writes in proptest::collection::btree_map(any::<(u8, u8)>(), any::<u8>(), 1..20),
        order in any::<u64>(),
    ) {
        let mut writes: Vec<_> = writes.into_iter().collect();
        let middle = order as usize % writes.len();
        writes.rotate_left(middle);
        let mut ours = LastWrite::default();
        let mut theirs = LWWReg { val: 0, marker: (0, Origin(0)) };
        for ((lamport, who), value) in writes {
            let mark = (u64::from(lamport) + 1, Origin(who.into()));
            ours.write(value, mark);
            theirs.update(value, mark);
        }
        prop_assert_eq!(ours.get(), Some(&theirs.val));
    }

    #[test]
    fn a_grow_only_set_is_a_gset_below_its_bound(members: Vec<u8>) {
        let (mut ours, mut theirs) = (GrowOnly::<u8, 256>::default(), GSet::new());
        for member in members {
            ours.insert(member);
            theirs.insert(member);
        }
        prop_assert_eq!(ours.iter().copied().collect::<BTreeSet<_>>(), theirs.read());
    }

    #[test]
    fn counters_count_what_was_counted(steps in proptest::collection::vec(any::<Step>(), 0..60)) {
        let history = History::<PNCounter<Origin>>::live(&steps);
        let sum = |up: bool| {
            // A change carries its writer's running number: of each direction the last one holds.
            let last = |log: &Vec<(bool, crdts::Dot<Origin>)>| {
                log.iter().filter(|(of, _)| *of == up).map(|(_, dot)| dot.counter).max()
            };
            history.logs.iter().filter_map(last).sum::<u64>() as i64
        };
        let read = history.fold(&[0]).read();
        prop_assert_eq!(read, (sum(true) - sum(false)).into());
    }
}
