//! Whatever arrives as bytes is a message within its bounds or an error, never a panic; and no
//! message, however mad, breaks a replica.

use crate::toy::Toy;
use bytes::Bytes;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use crdts::CmRDT;
use gossip::replication::{
    ApplyError, Config, Cut, DecodeError, ENTRIES_MAX, Input, MESSAGE_BYTES_MAX, Message, Replica,
    Replicated, SEQ_MAX, Span,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::time::Duration;

fn lane_id() -> impl Strategy<Value = LaneId> {
    (1..5u64, any::<bool>()).prop_map(|(origin, control)| LaneId {
        origin: Origin(origin),
        lane: if control { Lane::Control } else { Lane::Bulk },
    })
}

/// Numbers where things break.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..6u64, Just(SEQ_MAX), Just(SEQ_MAX + 1), Just(u64::MAX), any::<u64>()]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0..4u32, any::<u32>()]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn heads() -> impl Strategy<Value = Heads> {
    vec((lane_id(), number()), 0..5).prop_map(|dots| {
        let mut heads = Heads::new();
        dots.into_iter().for_each(|(id, seq)| heads.apply(Dot::new(id, seq)));
        heads
    })
}

fn message() -> impl Strategy<Value = Message> {
    let span = (lane_id(), number(), number());
    let span = span.prop_map(|(id, base, head)| Span { id, base, head });
    let told = (vec(span, 0..5), number(), any::<Option<u64>>());
    let entries = (lane_id(), number(), vec(small(), 0..4), vec(bytes(), 0..4));
    prop_oneof![
        told.prop_map(|(mut lanes, tail_bytes, digest)| {
            lanes.sort_by_key(|span| span.id);
            lanes.dedup_by_key(|span| span.id);
            Message::Heads { lanes, tail_bytes, digest }
        }),
        entries.prop_map(|(id, first, ages_ms, entries)| {
            Message::Entries { id, first, ages_ms, entries }
        }),
        (lane_id(), number(), number()).prop_map(|(id, head, said)| Message::Ack {
            lane: id.lane,
            head,
            said
        }),
        (lane_id(), number(), small()).prop_map(|(id, from, bytes_max)| Message::Pull {
            id,
            from,
            bytes_max
        }),
        (lane_id(), number()).prop_map(|(id, base)| Message::Gone { id, base }),
        (0..3u64).prop_map(|session| Message::SnapshotRequest { session }),
        (0..3u64, small(), heads()).prop_map(|(session, parts, heads)| Message::SnapshotHead {
            session,
            parts,
            heads
        }),
        (0..3u64, small()).prop_map(|(session, index)| Message::SnapshotNext { session, index }),
        (0..3u64, small(), small(), bytes()).prop_map(|(session, index, age_ms, bytes)| {
            Message::SnapshotPart { session, index, age_ms, bytes }
        }),
        (0..3u64).prop_map(|session| Message::SnapshotRefused { session }),
        Just(Message::AgesRequest),
        (small(), bytes()).prop_map(|(age_ms, bytes)| Message::Ages { age_ms, bytes }),
    ]
}

/// A toy without an opinion on what its content is: a snapshot that lies may say anything.
struct Credulous(Toy);

impl Replicated for Credulous {
    fn apply(
        &mut self,
        from: LaneId,
        seq: u64,
        age: Duration,
        now: Mono,
        entry: &[u8],
    ) -> Result<(), ApplyError> {
        self.0.apply(from, seq, age, now, entry)
    }

    fn cut(&self, now: Mono) -> Box<dyn Cut> {
        self.0.cut(now)
    }

    fn restore(
        &mut self,
        now: Mono,
        age: Duration,
        claimed: Option<&Heads>,
        parts: &[Bytes],
    ) -> Result<(), ApplyError> {
        self.0.restore(now, age, claimed, parts)
    }

    fn digest(&self) -> u64 {
        self.0.digest()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused_or_within_bounds(mut frame in vec(any::<u8>(), 0..300)) {
        if frame.len() > 1 {
            frame[0] = 1; // the version, or nothing else would ever be reached
            frame[1] %= 14;
        }
        if let Ok(message) = Message::decode(&frame) {
            prop_assert_eq!(message.check_bounds(), Ok(()));
        }
    }

    #[test]
    fn a_message_within_bounds_survives_the_wire(message in message()) {
        let bounds = message.check_bounds();
        match Message::decode(&message.encode()) {
            Ok(read) => prop_assert_eq!((read, bounds), (message, Ok(()))),
            Err(error) => prop_assert_eq!(Err(error), bounds),
        }
    }

    #[test]
    fn a_cut_off_or_lengthened_message_is_refused(message in message(), at in any::<Index>()) {
        let whole = message.encode();
        prop_assert!(Message::decode(&whole[..at.index(whole.len())]).is_err());
        prop_assert!(Message::decode(&[&whole[..], &[0]].concat()).is_err());
    }

    /// Most bytes of a valid message matter: a few of them changed must be refused, or be another
    /// message within bounds that a replica survives.
    #[test]
    fn a_damaged_message_is_refused_or_harmless(
        message in message(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut frame = message.encode().to_vec();
        for (at, with) in damage {
            let at = at.index(frame.len());
            frame[at] = with;
        }
        let Ok(message) = Message::decode(&frame) else { return Ok(()) };
        prop_assert_eq!(message.check_bounds(), Ok(()));
        let mut replica = Replica::new(Origin(1), Config::default());
        let mut toy = Credulous(Toy::new(50));
        let up = Input::PeerUp { peer: Origin(2), node: NodeId(2), rtt: Duration::ZERO };
        replica.handle_input(Duration::ZERO, up, &mut toy);
        let now = Duration::from_millis(40);
        replica.handle_input(now, Input::Message { from: Origin(2), message }, &mut toy);
        replica.check_rests(now);
        replica.check_invariants(&toy);
    }

    #[test]
    fn no_sequence_of_messages_breaks_a_replica(messages in vec((message(), 2..5u64), 1..60)) {
        let mut replica = Replica::new(Origin(1), Config::default());
        let mut toy = Credulous(Toy::new(50));
        let mut now = Duration::ZERO;
        for n in 2..5 {
            let up = Input::PeerUp { peer: Origin(n), node: NodeId(n), rtt: Duration::ZERO };
            replica.handle_input(now, up, &mut toy);
        }
        toy.0.put(LaneId::bulk(Origin(1)), 1, b"ours");
        replica.commit(now, Lane::Bulk, Bytes::from_static(b"ours"));
        for (message, from) in messages {
            now += Duration::from_millis(40);
            replica.handle_input(now, Input::Message { from: Origin(from), message }, &mut toy);
            replica.check_rests(now);
            while replica.poll_output().is_some() {}
            replica.check_invariants(&toy);
        }
    }
}

#[test]
fn a_frame_beyond_the_cap_is_refused_unread() {
    let frame = vec![1; MESSAGE_BYTES_MAX + 1];
    let refused = DecodeError::TooLong { bytes: MESSAGE_BYTES_MAX + 1 };
    assert_eq!(Message::decode(&frame), Err(refused));
}

#[test]
fn another_version_is_named_in_the_refusal() {
    assert_eq!(Message::decode(&[9, 0]), Err(DecodeError::Protocol { version: Some(9) }));
    assert_eq!(Message::decode(&[]), Err(DecodeError::Protocol { version: None }));
}

#[test]
fn more_entries_than_fit_one_message_are_refused() {
    let id = LaneId::bulk(Origin(1));
    let entries = vec![Bytes::new(); ENTRIES_MAX + 1];
    let message = Message::Entries { id, first: 1, ages_ms: vec![0], entries };
    let refused = DecodeError::OutOfBounds { field: "entries" };
    assert_eq!(Message::decode(&message.encode()), Err(refused));
}
