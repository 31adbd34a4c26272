//! A node's store: what was written long enough ago survives a crash, the rest is lost.

use bytes::Bytes;
use crdt_state::{Heads, LaneId, Mono};
use node::store::Kept;
use std::collections::BTreeMap;

/// One write, as the core asked for it.
#[derive(Debug, Clone)]
pub enum Write {
    /// An entry of a lane.
    Entry(LaneId, u64, Bytes),
    /// A snapshot in place of everything up to its heads.
    Cut(Heads, Vec<Bytes>),
}

/// Writes in their order, each with the moment at which it was asked for.
#[derive(Debug, Default)]
pub struct Disk {
    writes: Vec<(Mono, Write)>,
}

impl Disk {
    /// Takes in a write.
    pub fn write(&mut self, now: Mono, write: Write) {
        self.writes.push((now, write));
    }

    /// Loses what was written after `synced`.
    pub fn lose_after(&mut self, synced: Mono) {
        self.writes.retain(|(at, _)| *at <= synced);
    }

    /// What a node that starts now reads: the newest snapshot, and lanes without a gap after it.
    pub fn read(&self) -> Kept {
        let mut cut: Option<(Heads, Vec<Bytes>)> = None;
        let mut entries: BTreeMap<(LaneId, u64), Bytes> = BTreeMap::new();
        for (_, write) in &self.writes {
            match write.clone() {
                Write::Entry(id, seq, entry) => {
                    entries.insert((id, seq), entry);
                }
                Write::Cut(heads, parts) => {
                    entries.retain(|(id, seq), _| *seq > heads.get(id));
                    cut = Some((heads, parts));
                }
            }
        }
        let base = |id: &LaneId| cut.as_ref().map_or(0, |(heads, _)| heads.get(id));
        let mut logs: BTreeMap<LaneId, (u64, Vec<Bytes>)> = BTreeMap::new();
        for ((id, seq), entry) in entries {
            let (first, log) = logs.entry(id).or_insert_with(|| (base(&id) + 1, Vec::new()));
            if seq == *first + log.len() as u64 {
                log.push(entry);
            }
        }
        Kept { cut, logs }
    }
}
