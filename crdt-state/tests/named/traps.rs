//! What the `crdts` crate does where one must not step; each is a reason for a rule of ours.

use super::laws::origin;
use crdt_state::Origin;
use crdt_state::named::{Causal, LastWrite};
use crdts::{CmRDT, Dot, GCounter, LWWReg, MVReg, Orswot, ResetRemove, VClock, mvreg};
use std::panic::catch_unwind;

/// Reason for strict lane order: an operation that comes early makes its predecessor vanish.
#[test]
fn a_gap_loses_an_operation_silently() {
    let mut writer: Orswot<&str, Origin> = Orswot::new();
    let first = writer.add("x", writer.read_ctx().derive_add_ctx(origin(0)));
    writer.apply(first.clone());
    let second = writer.add("y", writer.read_ctx().derive_add_ctx(origin(0)));
    let mut reader: Orswot<&str, Origin> = Orswot::new();
    reader.apply(second);
    reader.apply(first);
    assert!(reader.contains(&"y").val);
    assert!(!reader.contains(&"x").val, "the addition of x is gone for good");
}

/// Reason why ours looks at the value too.
#[test]
fn equal_marks_divide_a_last_write_register() {
    let mark = (1, origin(0));
    let mut here = LWWReg { val: "a", marker: mark };
    let mut there = LWWReg { val: "b", marker: mark };
    here.update("b", mark);
    there.update("a", mark);
    assert_ne!(here, there, "both have seen both writes");
    let (mut here, mut there) = (LastWrite::default(), LastWrite::default());
    for (here_value, there_value) in [("a", "b"), ("b", "a")] {
        here.write(here_value, mark);
        there.write(there_value, mark);
    }
    assert_eq!(here, there);
}

/// Reason why the multi-value register is ours.
#[test]
fn comparing_an_mvreg_can_panic() {
    let clock = |dots: [u64; 2]| {
        let mut clock = VClock::new();
        clock.apply(Dot::new(origin(9), 1));
        clock.apply(Dot::new(Origin(dots[0]), dots[1]));
        clock
    };
    let mut register: MVReg<&str, Origin> = MVReg::default();
    register.apply(mvreg::Op::Put { clock: clock([1, 1]), val: "same" });
    register.apply(mvreg::Op::Put { clock: clock([2, 1]), val: "same" });
    let mut removed = VClock::new();
    removed.apply(Dot::new(Origin(1), 1));
    removed.apply(Dot::new(Origin(2), 1));
    register.reset_remove(&removed);
    let compared = catch_unwind(|| register == register.clone());
    assert!(compared.is_err(), "two equal values with equal clocks fail its own check");
}

/// Reason why a node takes a new origin on every start.
#[test]
fn an_origin_that_is_used_again_loses_what_it_counts() {
    let mut known: GCounter<Origin> = GCounter::new();
    known.apply(known.inc_many(origin(0), 10));
    let reborn: GCounter<Origin> = GCounter::new();
    known.apply(reborn.inc_many(origin(0), 7));
    assert_eq!(known.read(), 10u32.into(), "seven more were counted");
}

/// Reason why no encoding is ever hashed, and why the sets of an event stand in ordered maps.
#[test]
fn equal_orswots_encode_differently() {
    let set = || {
        let mut set: Orswot<u32, Origin> = Orswot::new();
        for member in 0..64 {
            set.apply(set.add(member, set.read_ctx().derive_add_ctx(origin(0))));
        }
        set
    };
    let (one, other) = (set(), set());
    assert_eq!(one, other);
    assert_ne!(postcard::to_stdvec(&one).unwrap(), postcard::to_stdvec(&other).unwrap());
}

/// Reason why flags are not `Orswot`s: what is removed before it arrives waits in a list that a peer can
/// make as long as it likes. Ours remembers one number per writer.
#[test]
fn early_removals_pile_up_in_an_orswot() {
    let removal = |number: u64| {
        let mut clock = VClock::new();
        clock.apply(Dot::new(Origin(7), number));
        clock
    };
    let mut theirs: Orswot<(), Origin> = Orswot::new();
    let mut ours: Causal<()> = Causal::default();
    let bytes = |theirs: &Orswot<(), Origin>| postcard::to_stdvec(theirs).unwrap().len();
    for number in 1..=1_000 {
        theirs.apply(crdts::orswot::Op::Rm { clock: removal(number), members: vec![()] });
        ours.apply(crdt_state::named::CausalOp { over: removal(number), put: None });
    }
    assert!(bytes(&theirs) > 4_000);
    assert!(postcard::to_stdvec(&ours).unwrap().len() < 32);
}
