//! The smallest state that can tell whether it was treated correctly: it keeps every entry under
//! its lane and number, so a hole, a repeat or a stranger shows.

use bytes::Bytes;
use crdt_state::{Dot, Heads, LaneId, Mono};
use crdts::CmRDT;
use gossip::replication::{AGE_UNKNOWN, ApplyError, Cut, Replicated};
use std::collections::BTreeMap;
use std::time::Duration;

/// All entries, by lane and number.
#[derive(Debug, Clone)]
pub struct Toy {
    pub lanes: BTreeMap<LaneId, BTreeMap<u64, Bytes>>,
    /// How old each entry was when it was applied or when its age was told.
    pub ages: BTreeMap<(LaneId, u64), Duration>,
    /// The size of a snapshot's parts.
    pub part_bytes: usize,
    /// What its clock knows of its content; `None` while it does not know and wants to.
    pub clock: Option<Bytes>,
}

impl Toy {
    pub fn new(part_bytes: usize) -> Self {
        Toy { lanes: BTreeMap::new(), ages: BTreeMap::new(), part_bytes, clock: Some(Bytes::new()) }
    }

    /// Puts an entry into its place, whatever is around it.
    pub fn put(&mut self, id: LaneId, seq: u64, entry: &[u8]) {
        self.lanes.entry(id).or_default().insert(seq, Bytes::copy_from_slice(entry));
    }
}

impl Replicated for Toy {
    fn apply(
        &mut self,
        from: LaneId,
        seq: u64,
        age: Duration,
        _now: Mono,
        entry: &[u8],
    ) -> Result<(), ApplyError> {
        match entry {
            b"future!" => Err(ApplyError::Unsupported { kind: 7, version: 2 }),
            b"garbage" => Err(ApplyError::Malformed { reason: "it is garbage".into() }),
            _ => {
                self.put(from, seq, entry);
                self.ages.insert((from, seq), age);
                Ok(())
            }
        }
    }

    fn cut(&self, _now: Mono) -> Box<dyn Cut> {
        let whole = postcard::to_allocvec(&self.lanes).unwrap();
        Box::new(whole.chunks(self.part_bytes).map(Bytes::copy_from_slice).collect::<Vec<_>>())
    }

    fn restore(
        &mut self,
        _now: Mono,
        _age: Duration,
        _claimed: Option<&Heads>,
        parts: &[Bytes],
    ) -> Result<(), ApplyError> {
        let lanes: BTreeMap<LaneId, BTreeMap<u64, Bytes>> =
            postcard::from_bytes(&parts.concat())
                .map_err(|error| ApplyError::Malformed { reason: error.to_string() })?;
        for (id, entries) in lanes {
            let lane = self.lanes.entry(id).or_default();
            for (seq, entry) in entries {
                let held = lane.entry(seq).or_default(); // a join: of two the larger holds
                *held = entry.max(std::mem::take(held));
            }
        }
        Ok(())
    }

    fn digest(&self) -> u64 {
        let whole = postcard::to_allocvec(&self.lanes).unwrap();
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        whole.iter().fold(0xcbf2_9ce4_8422_2325, fnv)
    }

    fn aged(&mut self, from: LaneId, seq: u64, age: Duration, _now: Mono) {
        let known = self.ages.insert((from, seq), age);
        assert!(known.is_none_or(|known| known == AGE_UNKNOWN), "an age is told once");
    }

    fn lacks_ages(&self) -> bool {
        self.clock.is_none()
    }

    fn ages(&self, _now: Mono) -> Bytes {
        self.clock.clone().unwrap_or_default()
    }

    fn learn_ages(&mut self, _now: Mono, _age: Duration, ages: &Bytes) -> Result<(), ApplyError> {
        if ages.starts_with(b"garbage") {
            return Err(ApplyError::Malformed { reason: "it is garbage".into() });
        }
        self.clock = Some(ages.clone());
        Ok(())
    }

    fn content(&self) -> Option<Heads> {
        let mut heads = Heads::new();
        for (id, entries) in self.lanes.iter().filter(|(_, entries)| !entries.is_empty()) {
            let count = entries.len() as u64;
            let whole = entries.last_key_value().is_some_and(|(last, _)| *last == count);
            heads.apply(Dot::new(*id, if whole { count } else { u64::MAX }));
        }
        Some(heads)
    }
}
