//! What is beyond a cap, or in another's name, never reaches a state.

use super::laws::origin;
use crdt_state::caps;
use crdt_state::delta::{Delta, decode, encode};
use crdt_state::named::{
    Award, AwardChange, CausalOp, Change, FlagChange, MultiChange, PlayerChange, PlayerMark,
    RegisterChange, SetChange,
};
use crdt_state::{EventState, Lane, LaneId, PlayerId};
use crdts::Dot;
use proptest::prelude::*;
use std::panic::catch_unwind;

fn setting(name: &str, value: &str) -> Change {
    Change::Setting(RegisterChange { lamport: 1, name: name.into(), value: value.into() })
}

fn mark(mark: PlayerMark) -> Change {
    Change::Player(PlayerChange { player: PlayerId(1), mark })
}

fn lock_by(who: usize) -> CausalOp<()> {
    CausalOp { over: crdts::VClock::new(), put: Some((Dot::new(origin(who), 1), ())) }
}

#[test]
fn what_is_beyond_a_cap_is_never_written() {
    let long = "x".repeat(caps::VALUE_BYTES_MAX + 1);
    let key = "k".repeat(caps::KEY_BYTES_MAX + 1);
    let award = |points| {
        let award = Award { id: "a".into(), player: PlayerId(1), points };
        Change::Award(AwardChange { name: "best hat".into(), award })
    };
    let member = |member: &str| {
        let (name, member) = ("co_hosts".into(), member.to_owned());
        Change::Member(SetChange { name, member, op: lock_by(0) })
    };
    let text =
        CausalOp { over: crdts::VClock::new(), put: Some((Dot::new(origin(0), 1), long.clone())) };
    let beyond = [
        setting("", "x"),
        setting(&key, "x"),
        setting("title", &long),
        award(caps::AWARD_POINTS_MAX + 1),
        member(""),
        member(&long),
        Change::Multi(MultiChange { name: "announcement".into(), op: text }),
        mark(PlayerMark::ExtraMs(1, caps::EXTRA_MS_MAX + 1)),
        mark(PlayerMark::ExtraMs(caps::LAMPORT_MAX + 1, 1)),
        mark(PlayerMark::Name(1, String::new())),
        mark(PlayerMark::Name(1, "x".repeat(caps::NAME_BYTES_MAX + 1))),
    ];
    for change in beyond {
        assert!(!change.is_within_caps(), "{change:?}");
        assert!(catch_unwind(|| encode(&[Delta::Named(change.clone())])).is_err());
    }
    assert!(award(-caps::AWARD_POINTS_MAX).is_within_caps());
    assert!(setting("title", &long[1..]).is_within_caps());
}

#[test]
fn what_is_beyond_a_cap_is_never_read() {
    let good = setting("title", "y");
    let mut entry = encode(&[Delta::Named(good)]);
    // The frame of a setting: kind, version, length, order hint, length of the name, name ...
    let at = entry.windows(5).position(|bytes| bytes == b"title").unwrap();
    let value = vec![b'z'; caps::VALUE_BYTES_MAX + 1];
    let payload = [&entry[3..at + 5], &[0x81, 0x08], &value[..]].concat();
    let length = payload.len();
    entry = [&[9, 1, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8], &payload[..]].concat();
    let refused = decode(&entry).unwrap_err();
    assert_eq!(refused.to_string(), "malformed entry: a value is beyond its cap");
}

#[test]
fn nobody_writes_in_anothers_name() {
    let flag = Change::Flag(FlagChange { name: "lobby_lock".into(), op: lock_by(1) });
    let kick = mark(PlayerMark::Kicked(lock_by(1)));
    for change in [flag, kick] {
        let entry = encode(&[Delta::Named(change)]);
        let mut state = EventState::default();
        let lane = |who| LaneId { origin: origin(who), lane: Lane::Control };
        assert!(state.apply(lane(0), &entry).is_err());
        assert_eq!(state, EventState::default());
        assert!(state.apply(lane(1), &entry).is_ok());
    }
}

proptest! {
    #[test]
    fn no_bytes_of_any_kind_make_decoding_panic(
        kind in 0u8..40,
        payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let entry = [&[kind, 1, payload.len() as u8], &payload[..]].concat();
        if let Ok(deltas) = decode(&entry) {
            let mut state = EventState::default();
            deltas.into_iter().for_each(|delta| state.take(origin(0), delta));
            prop_assert_eq!(state.digest(), state.clone().digest());
        }
    }
}
