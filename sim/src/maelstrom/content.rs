//! What the workloads replicate: the lattices of the `crdts` crate, fed by the replica's lanes.
//!
//! A lane is applied strictly in order, so an entry can say by how much its origin counts on; joined
//! as a whole, an origin's larger count is the later one.

use std::time::Duration;

use bytes::Bytes;
use crdt_state::{Dot, Heads, LaneId, Mono, Origin};
use crdts::{CmRDT, CvRDT, GCounter, GSet, PNCounter};
use gossip::replication::{ApplyError, Cut, PART_BYTES_MAX, Replicated};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Op {
    /// That its origin is there.
    Enrol,
    /// An element, or a message.
    Add(u64),
    /// A step of a counter that only grows.
    Grow(u32),
    /// A step of a counter that goes both ways.
    Step(i32),
}

impl Op {
    pub(super) fn encode(self) -> Bytes {
        postcard::to_allocvec(&self).expect("plain values can be encoded").into()
    }

    pub(super) fn decode(entry: &[u8]) -> Option<Self> {
        postcard::from_bytes(entry).ok()
    }
}

/// All three lattices; each workload uses one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    heads: Heads,
    pub(super) set: GSet<u64>,
    grown: GCounter<Origin>,
    stepped: PNCounter<Origin>,
}

impl Content {
    /// What the counters come to.
    pub(super) fn value(&self) -> i64 {
        let number = |value: &dyn ToString| value.to_string().parse::<i64>().unwrap_or(i64::MAX);
        number(&self.grown.read()) + number(&self.stepped.read())
    }

    /// What was applied.
    pub(super) fn heads(&self) -> &Heads {
        &self.heads
    }
}

fn malformed(why: impl Into<String>) -> ApplyError {
    ApplyError::Malformed { reason: why.into() }
}

impl Replicated for Content {
    fn apply(
        &mut self,
        from: LaneId,
        seq: u64,
        _age: Duration,
        _now: Mono,
        entry: &[u8],
    ) -> Result<(), ApplyError> {
        match Op::decode(entry).ok_or_else(|| malformed("no operation"))? {
            Op::Enrol => {}
            Op::Add(element) => self.set.insert(element),
            Op::Grow(by) => {
                let dot = self.grown.inc_many(from.origin, by.into());
                self.grown.apply(dot);
            }
            Op::Step(by) => {
                let many = by.unsigned_abs().into();
                let op = match by < 0 {
                    true => self.stepped.dec_many(from.origin, many),
                    false => self.stepped.inc_many(from.origin, many),
                };
                self.stepped.apply(op);
            }
        }
        self.heads.apply(Dot::new(from, seq));
        Ok(())
    }

    fn cut(&self, _now: Mono) -> Box<dyn Cut> {
        let whole = postcard::to_allocvec(self).expect("plain values can be encoded");
        Box::new(whole.chunks(PART_BYTES_MAX).map(Bytes::copy_from_slice).collect::<Vec<_>>())
    }

    fn restore(
        &mut self,
        _now: Mono,
        _age: Duration,
        claimed: Option<&Heads>,
        parts: &[Bytes],
    ) -> Result<(), ApplyError> {
        let other: Self =
            postcard::from_bytes(&parts.concat()).map_err(|why| malformed(why.to_string()))?;
        if claimed.is_some_and(|claimed| *claimed != other.heads) {
            return Err(malformed("another vector than was announced"));
        }
        self.heads.merge(other.heads);
        self.set.merge(other.set);
        self.grown.merge(other.grown);
        self.stepped.merge(other.stepped);
        Ok(())
    }

    fn digest(&self) -> u64 {
        // Ordered maps without a zero in them: equal content is equal bytes here.
        let whole = (&self.set, &self.grown, &self.stepped);
        xxh3_64(&postcard::to_allocvec(&whole).expect("plain values can be encoded"))
    }

    fn content(&self) -> Option<Heads> {
        Some(self.heads.clone())
    }
}
