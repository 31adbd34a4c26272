//! Messages and outputs as text: what golden dialogues, logs and people read.

use super::message::{Message, Span};
use super::replica::Output;
use crdt_state::Heads;
use std::fmt;

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            0 => write!(f, "{:?}:{}", self.id, self.head),
            base => write!(f, "{:?}:{base}..{}", self.id, self.head),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Heads { lanes, tail_bytes, digest } => {
                write!(f, "heads [{}]", joined(lanes))?;
                write!(f, " keeping {tail_bytes} B")?;
                digest.map_or(Ok(()), |digest| write!(f, " digest {digest:016x}"))
            }
            Message::Entries { id, first, ages_ms, entries } => {
                let texts: Vec<_> = entries.iter().map(|entry| Text(entry)).collect();
                write!(f, "entries {id:?} from {first} {texts:?} ages {ages_ms:?} ms")
            }
            Message::Ack { lane, head, said } => write!(f, "ack {lane:?} {head} said {said}"),
            Message::Pull { id, from, bytes_max } => {
                write!(f, "pull {id:?} from {from}, at most {bytes_max} B")
            }
            Message::Gone { id, base } => write!(f, "gone {id:?} up to {base}"),
            Message::SnapshotRequest { session } => write!(f, "snapshot {session}: please"),
            Message::SnapshotHead { session, parts, heads } => {
                write!(f, "snapshot {session}: {parts} parts at [{}]", Vector(heads))
            }
            Message::SnapshotNext { session, index } => {
                write!(f, "snapshot {session}: next {index}")
            }
            Message::SnapshotPart { session, index, age_ms, bytes } => {
                let size = bytes.len();
                write!(f, "snapshot {session}: part {index} of {size} B, age {age_ms} ms")
            }
            Message::AgesRequest => write!(f, "ages: please"),
            Message::Ages { age_ms, bytes } => {
                write!(f, "ages {:?}, {age_ms} ms ago", Text(bytes))
            }
            Message::SnapshotRefused { session } => write!(f, "snapshot {session}: refused"),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Send { to, message, .. } => write!(f, "to {to}: {message}"),
            Output::Applied { id, seq, entry } => {
                write!(f, "applied {id:?} {seq} {:?}", Text(entry))
            }
            Output::Restored { heads } => write!(f, "restored [{}]", Vector(heads)),
            Output::Quarantined { id } => write!(f, "remembers that {id:?} is quarantined"),
            Output::Receipt { ticket, firm: true } => write!(f, "receipt {ticket} firm"),
            Output::Receipt { ticket, firm: false } => write!(f, "receipt {ticket} provisional"),
            Output::Alarm(alarm) => write!(f, "ALARM {alarm}"),
        }
    }
}

struct Vector<'a>(&'a Heads);

impl fmt::Display for Vector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = self.0.dots.iter().map(|(id, head)| Span { id: *id, base: 0, head: *head });
        f.write_str(&joined(&spans.collect::<Vec<_>>()))
    }
}

struct Text<'a>(&'a [u8]);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.escape_ascii().to_string())
    }
}

fn joined(spans: &[Span]) -> String {
    spans.iter().map(Span::to_string).collect::<Vec<_>>().join(", ")
}
