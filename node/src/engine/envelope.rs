//! The envelope of what nodes say to each other: which event it is of, and from which period of its sender's to which of
//! its receiver's.
//!
//! Links outlive periods, and a link's two streams overtake each other. An acknowledgement from a period that is over
//! speaks of what was dropped since, one that was meant for such a period of what nobody writes any more: whoever opens
//! the envelope passes on only what comes from a period that the peer is known to be in, to the one that it is in itself.
//! The catalogue and the lists of what nodes carry have no periods: they are carried for a life.

use bytes::{BufMut, Bytes, BytesMut};
use crdt_state::{EventId, Origin, Period};
use gossip::replication::Message;

/// The version of an event's envelope, the byte after the event: 2, since 1 had no periods.
const VERSION: u8 = 2;

/// The way to a peer that carries an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The peer's life, which is what it is linked as.
    pub link: Origin,
    /// The peer's period.
    pub theirs: Period,
    /// This node's period.
    pub ours: Period,
}

impl Way {
    /// Under which origin the peer writes.
    #[must_use]
    pub fn peer(&self) -> Origin {
        self.link.in_period(self.theirs)
    }
}

/// Puts a message of an event into its envelope.
#[must_use]
pub fn envelope(event: EventId, way: &Way, message: &Message) -> Bytes {
    let periods = postcard::to_extend(&(way.ours, way.theirs), vec![VERSION]);
    let periods = periods.expect("plain values always serialise");
    frame(event, &[&periods, &message.encode()])
}

/// What is not of an event that comes and goes.
#[must_use]
pub fn plain_envelope(of: EventId, content: &[u8]) -> Bytes {
    frame(of, &[content])
}

fn frame(event: EventId, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(8 + length);
    frame.put_u64(event.0);
    parts.iter().for_each(|part| frame.put_slice(part));
    frame.freeze()
}

/// Splits a frame of the peer plane.
#[must_use]
pub fn open_envelope(frame: &Bytes) -> Option<(EventId, Bytes)> {
    let head: [u8; 8] = frame.get(..8)?.try_into().ok()?;
    Some((EventId(u64::from_be_bytes(head)), frame.slice(8..)))
}

/// Splits what the envelope of an event holds: the sender's period, the receiver's, the message.
#[must_use]
pub fn open_periods(content: &Bytes) -> Option<(Period, Period, Bytes)> {
    let (&VERSION, rest) = content.split_first()? else { return None };
    let ((from, to), message) = postcard::take_from_bytes::<(Period, Period)>(rest).ok()?;
    Some((from, to, content.slice(content.len() - message.len()..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is in it is the end of it, whichever way it is opened.
    fn read(bytes: &Bytes) {
        if let Some((event, content)) = open_envelope(bytes) {
            assert_eq!(plain_envelope(event, &content), bytes);
            if let Some((_, _, message)) = open_periods(&content) {
                assert!(content.ends_with(&message));
                let _ = Message::decode(&message);
            }
        }
        if let Some((_, _, message)) = open_periods(bytes) {
            assert!(bytes.ends_with(&message));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_envelope_or_not_and_never_a_panic(
            is_ours: bool,
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut().filter(|_| is_ours) {
                *first = VERSION;
            }
            read(&bytes.into());
        }

        #[test]
        fn a_damaged_envelope_never_panics(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut sent = envelope(EventId(0xe), &WAY, &Message::AgesRequest).to_vec();
            read(&sent[..cut.index(sent.len())].to_vec().into());
            for (at, with) in damage {
                let at = at.index(sent.len());
                sent[at] = with;
            }
            read(&sent.into());
        }
    }

    const WAY: Way = Way { link: Origin(7), theirs: 0, ours: 300 };

    #[test]
    fn an_envelope_says_of_what_from_where_to_where_and_what() {
        let sent = envelope(EventId(0xe), &WAY, &Message::AgesRequest);
        let (event, content) = open_envelope(&sent).expect("it has an event");
        let (from, to, message) = open_periods(&content).expect("it has periods");
        assert_eq!((event, from, to), (EventId(0xe), 300, 0));
        assert_eq!(Message::decode(&message), Ok(Message::AgesRequest));
        let plain = open_envelope(&plain_envelope(EventId(1), b"x"));
        assert_eq!(plain, Some((EventId(1), Bytes::from_static(b"x"))));
    }

    #[test]
    fn what_is_too_short_or_of_another_version_is_no_envelope() {
        let sent = envelope(EventId(0xe), &WAY, &Message::AgesRequest);
        assert_eq!(open_envelope(&sent.slice(..7)), None);
        let periods = |bytes: &'static [u8]| open_periods(&Bytes::from_static(bytes));
        assert_eq!(periods(&[]), None);
        assert_eq!(periods(&[1, 0, 0]), None, "a message of before there were periods");
        assert_eq!(periods(&[VERSION, 0]), None);
        assert_eq!(periods(&[VERSION, 0xff, 0xff, 0xff, 0xff, 0xff, 0]), None, "no such number");
        assert_eq!(periods(&[VERSION, 0, 0]), Some((0, 0, Bytes::new())));
    }
}
