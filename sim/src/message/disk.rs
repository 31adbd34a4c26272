//! A node's store: what was committed long enough ago survives, the rest is lost.

use std::collections::BTreeMap;

use bytes::Bytes;
use crdt_state::{Heads, LaneId};
use node::store::Kept;

use crate::mix::Draw;
use crate::schedule::Trouble;

/// Virtual time in milliseconds.
type Tick = u64;

/// A write survives once it is this old: the store's group commit, 25 to 50 ms.
const COMMIT: Tick = 50;
/// The same for a disk that takes its time.
const COMMIT_SLOWLY: Tick = 2_000;
/// How old a stale copy is.
const STALE: Tick = 4_000;

/// One write, as the core asked for it.
#[derive(Clone)]
pub(crate) enum Write {
    /// An entry of a lane.
    Entry(LaneId, u64, Bytes),
    /// A snapshot in place of everything up to its heads.
    Cut(Heads, Vec<Bytes>),
}

/// Writes in their order, each with the tick from which on it survives.
#[derive(Default)]
pub(crate) struct Disk {
    writes: Vec<(Tick, Write)>,
    is_slow: bool,
    is_full: bool,
}

impl Disk {
    /// A trouble begins, or is over.
    pub(crate) fn trouble(&mut self, trouble: Trouble, begins: bool) {
        match trouble {
            Trouble::Full | Trouble::Failing => self.is_full = begins,
            Trouble::Slow => self.is_slow = begins,
        }
    }

    pub(crate) fn write(&mut self, now: Tick, write: Write) {
        if !self.is_full {
            let commit = if self.is_slow { COMMIT_SLOWLY } else { COMMIT };
            self.writes.push((now + commit, write));
        }
    }

    /// All that was written is brought to disk before anything else is said.
    pub(crate) fn flush(&mut self, now: Tick) {
        for (at, _) in self.writes.iter_mut().rev().take_while(|(at, _)| *at > now) {
            *at = now;
        }
    }

    /// The process was killed: what was not handed to the disk yet is lost.
    pub(crate) fn lose_process(&mut self, now: Tick) {
        self.writes.retain(|(at, _)| *at <= now);
    }

    /// The power is gone: a tail of what was under way is lost, the store's transactions are whole.
    pub(crate) fn lose_power(&mut self, now: Tick, draw: Draw) {
        let torn = draw.up_to(0, COMMIT);
        self.writes.retain(|(at, _)| *at + torn <= now);
    }

    /// The disk was replaced by an empty one.
    pub(crate) fn erase(&mut self) {
        self.writes.clear();
    }

    /// The disk was replaced by an old copy.
    pub(crate) fn rewind(&mut self, now: Tick) {
        self.writes.retain(|(at, _)| *at + STALE <= now);
    }

    /// What a node that starts now reads: the newest snapshot, and lanes without a gap after it.
    pub(crate) fn read(&self) -> Kept {
        let cuts = self.writes.iter().enumerate().rev();
        let mut cut = cuts.filter_map(|(at, (_, write))| match write {
            Write::Cut(heads, parts) => Some((at, heads.clone(), parts.clone())),
            Write::Entry(..) => None,
        });
        let cut = cut.next();
        let base = |id: &LaneId| cut.as_ref().map_or(0, |(_, heads, _)| heads.get(id));
        let mut logs: BTreeMap<LaneId, (u64, Vec<Bytes>)> = BTreeMap::new();
        for (_, write) in &self.writes {
            let Write::Entry(id, seq, entry) = write else { continue };
            let first = base(id) + 1;
            let (first, log) = logs.entry(*id).or_insert((first, Vec::new()));
            if *seq == *first + log.len() as u64 {
                log.push(entry.clone());
            }
        }
        logs.retain(|_, (_, log)| !log.is_empty());
        Kept { cut: cut.map(|(_, heads, parts)| (heads, parts)), logs }
    }
}
