//! What a gossip message names and tells, read before chitchat sees it.
//!
//! chitchat unpacks a delta whole and takes it at its word: a message of 64 KiB may unpack to hundreds of MiB, and one
//! whose versions are out of order ends its loop. So a message is read here first, no further than honest nodes ever
//! go, part by part: a part is what it tells of one incarnation. Parts that are not to be believed can be cut out;
//! the others are passed on as they came.

use super::reason::Reason;
use chitchat::{ChitchatId, Deserializable};
use crdt_state::NodeId;
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes before what is in a message: magic number, version, kind.
const HEADER_BYTES: usize = 4;

/// The kinds of messages that carry a digest, a delta, or both, the digest first.
const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;

/// The most that a delta may be when it is unpacked: 16 MiB, half as much again as twice the members that there
/// may be can announce.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// The blocks of a packed delta.
const NO_MORE_BLOCKS: u8 = 0;
const COMPRESSED: u8 = 1;
const UNCOMPRESSED: u8 = 2;

/// The most that one block may hold.
const BLOCK_BYTES_MAX: usize = u16::MAX as usize;

/// What a delta is made of when it is unpacked.
const NODE: u8 = 0;
const KEY_VALUE: u8 = 1;
const NEWEST_VERSION: u8 = 2;

/// The ways of a value: set, deleted, deleted after a while.
const STATUSES: u8 = 3;

/// The numbers under which a digest names an incarnation; each of them only grows, and only the node itself counts up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) heartbeat: u64,
    /// The version up to which deleted keys were collected.
    pub(super) collected: u64,
    /// The newest version of its keys.
    pub(super) newest: u64,
}

impl Numbers {
    /// The higher of each.
    pub(super) fn max(self, other: Numbers) -> Numbers {
        Numbers {
            heartbeat: self.heartbeat.max(other.heartbeat),
            collected: self.collected.max(other.collected),
            newest: self.newest.max(other.newest),
        }
    }

    /// Whether any of them is higher than the other's.
    pub(super) fn is_beyond(self, other: Numbers) -> bool {
        self.max(other) != other
    }
}

/// What a message names and tells.
#[derive(Debug)]
pub(super) struct Told {
    /// Whom its digest names.
    pub(super) named: Vec<ChitchatId>,
    /// Under which numbers, in the same order.
    pub(super) numbers: Vec<Numbers>,
    /// What its delta tells of each incarnation.
    pub(super) parts: Vec<Part>,
    /// Where its delta begins.
    delta_at: usize,
    unpacked: Vec<u8>,
}

/// What a message tells of one incarnation.
#[derive(Debug)]
pub(super) struct Part {
    /// Of whom.
    pub(super) id: ChitchatId,
    pub(super) node: NodeId,
    /// The keys that it sets or deletes.
    pub(super) keys: BTreeSet<String>,
    /// The length of its longest key with its value.
    pub(super) entry_bytes: usize,
    /// The newest version in it.
    version: u64,
    span: Range<usize>,
}

impl Told {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Reason::MalformedFrame`] if no chitchat wrote it so, [`Reason::Overgrown`] if it unpacks to more than all
    /// members together may announce.
    pub(super) fn read(message: &[u8]) -> Result<Told, Reason> {
        let kind = message.get(HEADER_BYTES - 1).copied();
        let mut rest = message.get(HEADER_BYTES..).ok_or(Reason::MalformedFrame)?;
        let (named, numbers) = match kind {
            Some(SYN | SYN_ACK) => read_digest(&mut rest).ok_or(Reason::MalformedFrame)?,
            _ => (Vec::new(), Vec::new()),
        };
        let delta_at = message.len() - rest.len();
        let unpacked = match kind {
            Some(SYN_ACK | ACK) => unpack(rest)?,
            _ => Vec::new(),
        };
        let parts = read_parts(&unpacked).ok_or(Reason::MalformedFrame)?;
        Ok(Told { named, numbers, parts, delta_at, unpacked })
    }

    /// The highest numbers under which its digest names an incarnation, if it does.
    pub(super) fn numbers_of(&self, is_it: impl Fn(&ChitchatId) -> bool) -> Option<Numbers> {
        let all = self.named.iter().zip(&self.numbers);
        all.filter(|(id, _)| is_it(id)).map(|(_, numbers)| *numbers).reduce(Numbers::max)
    }

    /// `message` with only those parts of its delta that are in `kept`.
    pub(super) fn cut(&self, message: &[u8], kept: &[&Part]) -> Vec<u8> {
        let delta: Vec<u8> =
            kept.iter().flat_map(|part| &self.unpacked[part.span.clone()]).copied().collect();
        let mut cut = message[..self.delta_at].to_vec();
        for block in delta.chunks(BLOCK_BYTES_MAX) {
            cut.push(UNCOMPRESSED);
            cut.extend((block.len() as u16).to_le_bytes());
            cut.extend(block);
        }
        cut.push(NO_MORE_BLOCKS);
        cut
    }
}

fn read_digest(rest: &mut &[u8]) -> Option<(Vec<ChitchatId>, Vec<Numbers>)> {
    let count = u16::deserialize(rest).ok()?;
    let (mut named, mut numbers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        named.push(read_id(rest)?.0);
        let mut number = || u64::deserialize(rest).ok();
        numbers.push(Numbers { heartbeat: number()?, collected: number()?, newest: number()? });
    }
    Some((named, numbers))
}

/// An incarnation with a node id of our making.
fn read_id(rest: &mut &[u8]) -> Option<(ChitchatId, NodeId)> {
    let id = ChitchatId::deserialize(rest).ok()?;
    let node = id.node_id.parse().ok()?;
    Some((id, node))
}

fn unpack(mut packed: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut unpacked = Vec::new();
    let mut buffer = Vec::new();
    loop {
        let kind = u8::deserialize(&mut packed).map_err(|_| Reason::MalformedFrame)?;
        if kind == NO_MORE_BLOCKS {
            return Ok(unpacked);
        }
        let length = u16::deserialize(&mut packed).map_err(|_| Reason::MalformedFrame)?;
        let block = packed.split_off(..usize::from(length)).ok_or(Reason::MalformedFrame)?;
        match kind {
            UNCOMPRESSED => unpacked.extend(block),
            COMPRESSED => {
                buffer.resize(BLOCK_BYTES_MAX, 0);
                let length = zstd::bulk::decompress_to_buffer(block, &mut buffer);
                unpacked.extend(&buffer[..length.map_err(|_| Reason::MalformedFrame)?]);
            }
            _ => return Err(Reason::MalformedFrame),
        }
        if unpacked.len() > UNPACKED_BYTES_MAX {
            return Err(Reason::Overgrown);
        }
    }
}

/// The parts of an unpacked delta: none twice, and the versions of each in order.
fn read_parts(unpacked: &[u8]) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = unpacked;
    while !rest.is_empty() {
        let at = unpacked.len() - rest.len();
        match (u8::deserialize(&mut rest).ok()?, parts.last_mut()) {
            (NODE, _) => {
                let (id, node) = read_id(&mut rest)?;
                for _ in ["collected version", "version before"] {
                    u64::deserialize(&mut rest).ok()?;
                }
                let (keys, span) = (BTreeSet::new(), at..at);
                parts.push(Part { id, node, keys, entry_bytes: 0, version: 0, span });
            }
            (KEY_VALUE, Some(part)) => part.read_entry(&mut rest)?,
            (NEWEST_VERSION, Some(part)) => {
                let newest = u64::deserialize(&mut rest).ok()?;
                part.version = (newest >= part.version).then_some(newest)?;
            }
            _ => return None,
        }
        parts.last_mut()?.span.end = unpacked.len() - rest.len();
    }
    let ids: BTreeSet<_> = parts.iter().map(|part| &part.id).collect();
    (ids.len() == parts.len()).then_some(parts)
}

impl Part {
    #[cfg(test)]
    pub(super) fn of(
        id: ChitchatId,
        node: NodeId,
        keys: BTreeSet<String>,
        entry_bytes: usize,
    ) -> Self {
        Part { id, node, keys, entry_bytes, version: 1, span: 0..0 }
    }

    fn read_entry(&mut self, rest: &mut &[u8]) -> Option<()> {
        let key = String::deserialize(rest).ok()?;
        let value = String::deserialize(rest).ok()?;
        let version = u64::deserialize(rest).ok()?;
        let status = u8::deserialize(rest).ok()?;
        self.version = (version > self.version && status < STATUSES).then_some(version)?;
        self.entry_bytes = self.entry_bytes.max(key.len() + value.len());
        self.keys.insert(key);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chitchat::{ChitchatMessage, Serializable};
    use proptest::prelude::*;

    fn id(node: u64) -> ChitchatId {
        ChitchatId::new(NodeId(node).to_string(), 1, "127.0.0.1:1".parse().unwrap())
    }

    /// What a delta tells of a node: keys and values, the versions from `first` on.
    fn part(node: u64, first: u64, entries: &[(&str, &str)]) -> Vec<u8> {
        let mut part = vec![NODE];
        id(node).serialize(&mut part);
        [0_u64, 0].iter().for_each(|version| version.serialize(&mut part));
        for (version, (key, value)) in (first..).zip(entries) {
            part.push(KEY_VALUE);
            key.serialize(&mut part);
            value.serialize(&mut part);
            version.serialize(&mut part);
            part.push(0);
        }
        part
    }

    /// A message of `kind` with what is in `delta`, packed as chitchat does.
    fn ack(delta: &[u8]) -> Vec<u8> {
        let mut message = vec![0x53, 0xb0, 0, ACK];
        for block in delta.chunks(16 << 10) {
            let packed = zstd::bulk::compress(block, 0).unwrap();
            message.push(COMPRESSED);
            (packed.len() as u16).serialize(&mut message);
            message.extend(packed);
        }
        message.push(NO_MORE_BLOCKS);
        message
    }

    #[test]
    fn what_is_cut_out_is_gone_and_the_rest_reads_as_before() {
        let long = "v".repeat(300);
        let (two, three) =
            (part(2, 1, &[("name", "two"), ("a", &long)]), part(3, 7, &[("b", "c")]));
        let message = ack(&[&two[..], &three].concat());
        let told = Told::read(&message).unwrap();
        let keys = |part: &Part| part.keys.iter().cloned().collect::<Vec<_>>();
        assert_eq!(told.parts.iter().map(|part| part.node.0).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(told.parts.iter().map(keys).collect::<Vec<_>>(), [vec!["a", "name"], vec!["b"]]);
        assert_eq!(told.parts.iter().map(|part| part.entry_bytes).collect::<Vec<_>>(), [301, 2]);

        let same = told.cut(&message, &told.parts.iter().collect::<Vec<_>>());
        let cut = told.cut(&message, &[&told.parts[1]]);
        let read =
            |bytes: &[u8]| format!("{:?}", ChitchatMessage::deserialize(&mut &*bytes).unwrap());
        let said = |bytes: &[u8]| read(bytes).split("serialized_len").next().unwrap().to_owned();
        assert_eq!(said(&same), said(&message));
        assert_eq!(said(&cut), said(&ack(&three)));
    }

    #[test]
    fn a_delta_that_would_end_chitchats_loop_is_malformed() {
        let whole = part(2, 7, &[("a", "b"), ("c", "d")]);
        assert!(Told::read(&ack(&whole)).is_ok());
        let newest =
            |version: u64| [&whole[..], &[NEWEST_VERSION], &version.to_le_bytes()].concat();
        assert!(Told::read(&ack(&newest(8))).is_ok());
        let falls = newest(7);
        let twice = [&whole[..], &whole].concat();
        let of_nobody = [&[KEY_VALUE][..], &whole[1..]].concat();
        for delta in [&falls, &twice, &of_nobody, &part(2, 0, &[("a", "b")]), &vec![9]] {
            assert_eq!(Told::read(&ack(delta)).unwrap_err(), Reason::MalformedFrame, "{delta:?}");
        }
        let message = ack(&whole);
        for end in 0..message.len() {
            assert_eq!(Told::read(&message[..end]).unwrap_err(), Reason::MalformedFrame, "{end}");
        }
    }

    #[test]
    fn a_small_message_does_not_unpack_to_more_than_a_cluster_can_say() {
        let message = ack(&vec![0; UNPACKED_BYTES_MAX + 1]);
        assert!(message.len() < super::super::gossip::MESSAGE_BYTES_MAX, "{}", message.len());
        assert_eq!(Told::read(&message).unwrap_err(), Reason::Overgrown);
    }

    /// A message of `kind` that names three nodes, and what follows.
    fn naming(kind: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0x53, 0xb0, 0, kind];
        3_u16.serialize(&mut message);
        for node in 2..5 {
            id(node).serialize(&mut message);
            [9_u64, 0, 1].iter().for_each(|number| number.serialize(&mut message));
        }
        message.extend(rest);
        message
    }

    proptest! {
        #[test]
        fn whatever_is_read_chitchat_reads_too_and_nothing_panics(
            tail in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            byte: u8,
            kind in 0u8..5,
        ) {
            let arbitrary = [&[0x53, 0xb0, 0, kind], &tail[..]].concat();
            let mut cluster = Vec::new();
            "starling".to_owned().serialize(&mut cluster);
            let delta = part(2, 1, &[("name", "two"), ("a", "b")]);
            let mut packed = delta.clone();
            let at_packed = at.index(packed.len());
            packed[at_packed] = byte;
            let whole = [naming(SYN, &cluster), naming(SYN_ACK, &ack(&delta)[HEADER_BYTES..]), ack(&delta)];
            let damaged = whole.map(|mut message| {
                let at = HEADER_BYTES + at.index(message.len() - HEADER_BYTES);
                message[at] = byte;
                message
            });
            for message in damaged.into_iter().chain([arbitrary, ack(&packed)]) {
                let Ok(told) = Told::read(&message) else { continue };
                let kept: Vec<_> = told.parts.iter().collect();
                let delta = matches!(message[3], SYN_ACK | ACK);
                let all = if delta { told.cut(&message, &kept) } else { message.clone() };
                let (before, after) = (
                    ChitchatMessage::deserialize(&mut &message[..]).is_ok(),
                    ChitchatMessage::deserialize(&mut &all[..]).is_ok(),
                );
                prop_assert_eq!(before, after);
                prop_assert!(before || !delta, "{:?}", message);
            }
        }
    }
}
