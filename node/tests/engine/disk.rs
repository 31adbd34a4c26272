//! A node's store: what was written long enough ago survives a crash, the rest is lost.

use bytes::Bytes;
use crdt_state::{Heads, LaneId, Mono};
use node::store::Kept;
use std::collections::{BTreeMap, BTreeSet};

/// One write, as the core asked for it.
#[derive(Debug, Clone)]
pub enum Write {
    /// An entry of a lane.
    Entry(LaneId, u64, Bytes),
    /// A snapshot in place of everything up to its heads.
    Cut(Heads, Vec<Bytes>),
    /// That a lane has two histories.
    Quarantine(LaneId),
}

/// Writes in their order, each with the moment at which it was asked for.
#[derive(Debug, Default)]
pub struct Disk {
    writes: Vec<(Mono, Write)>,
    /// How many writes, from the first on, survive any crash.
    flushed: usize,
}

impl Disk {
    /// Takes in a write.
    pub fn write(&mut self, now: Mono, write: Write) {
        self.writes.push((now, write));
    }

    /// Loses what was written after `synced` and not flushed.
    pub fn lose_after(&mut self, synced: Mono) {
        let flushed = self.flushed;
        let mut at = 0;
        self.writes.retain(|(written, _)| {
            at += 1;
            at <= flushed || *written <= synced
        });
        self.flushed = self.writes.len();
    }

    /// Brings everything written so far to safety.
    pub fn flush(&mut self) {
        self.flushed = self.writes.len();
    }

    /// What a node that starts now reads: the newest snapshot, and lanes without a gap after it.
    pub fn read(&self) -> Kept {
        let mut cut: Option<(Heads, Vec<Bytes>)> = None;
        let mut entries: BTreeMap<(LaneId, u64), Bytes> = BTreeMap::new();
        let mut quarantined = BTreeSet::new();
        for (_, write) in &self.writes {
            match write.clone() {
                Write::Entry(id, seq, entry) => {
                    entries.insert((id, seq), entry);
                }
                Write::Cut(heads, parts) => {
                    entries.retain(|(id, seq), _| *seq > heads.get(id));
                    cut = Some((heads, parts));
                }
                Write::Quarantine(id) => {
                    quarantined.insert(id);
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
        Kept { cut, logs, quarantined }
    }
}
