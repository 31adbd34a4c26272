//! A node's store: what was committed long enough ago survives, the rest is lost.
//!
//! A disk that takes nothing is owed what it lacks, as the product's store owes it: it is tried again after a
//! pause, and then gets all of it in order. Until then nothing is brought to disk, and whoever asked for
//! that is told so; what is owed dies with the process.

use std::collections::BTreeMap;

use bytes::Bytes;
use crdt_state::{Heads, LaneId};
use node::store::Kept;

use crate::disk;
use crate::mix::Draw;
use crate::schedule::{DiskFate, Trouble};

/// Virtual time in milliseconds.
type Tick = u64;

/// A write survives once it is this old: the store's group commit, 25 to 50 ms.
const COMMIT: Tick = 50;
/// The same for a disk that takes its time.
const COMMIT_SLOWLY: Tick = disk::COMMIT_SLOWLY.as_millis() as Tick;
/// How old a stale copy is.
const STALE: Tick = disk::STALE.as_millis() as Tick;
/// Before a disk that took nothing is tried again, at first and at most: the store's pauses.
const PAUSES: (Tick, Tick) = (1_000, 10_000);

/// One write, as the core asked for it.
#[derive(Clone)]
pub(crate) enum Write {
    /// An entry of a lane.
    Entry(LaneId, u64, Bytes),
    /// A snapshot in place of everything up to its heads.
    Cut(Heads, Vec<Bytes>),
    /// That a lane has two histories.
    Quarantine(LaneId),
    /// Nothing of what was written before is kept any more.
    Drop,
}

/// Writes in their order, each with the tick from which on it survives.
#[derive(Default)]
pub(crate) struct Disk {
    writes: Vec<(Tick, Write)>,
    /// What it did not take, in order.
    owed: Vec<Write>,
    /// While anything is owed: when it is tried again, and the pause after that.
    retry: Option<(Tick, Tick)>,
    /// Since when anything is owed.
    owed_since: Option<Tick>,
    /// Until when something is on its way to a slow disk that must be there before anybody hears of it.
    stalled_until: Option<Tick>,
    is_slow: bool,
    was_slow: bool,
    is_full: bool,
}

impl Disk {
    /// From now on it has these troubles, and no others.
    pub(crate) fn set_troubles(&mut self, now: Tick, troubles: impl Iterator<Item = Trouble>) {
        self.try_again(now);
        (self.is_full, self.is_slow) = (false, false);
        for trouble in troubles {
            match trouble {
                Trouble::Full | Trouble::Failing => self.is_full = true,
                Trouble::Slow => self.is_slow = true,
            }
        }
        self.was_slow |= self.is_slow;
        if self.is_full {
            // What is not there yet will not be.
            let there = self.writes.partition_point(|(at, _)| *at <= now);
            let late = self.writes.split_off(there);
            late.into_iter().for_each(|(_, write)| self.owe(now, write));
        }
    }

    pub(crate) fn write(&mut self, now: Tick, write: Write) {
        self.try_again(now);
        if self.is_full || self.retry.is_some() {
            return self.owe(now, write);
        }
        let commit = if self.is_slow { COMMIT_SLOWLY } else { COMMIT };
        // One after the other: a disk that is fast again does not overtake itself.
        let last = self.writes.last().map_or(0, |(at, _)| *at);
        self.writes.push(((now + commit).max(last), write));
    }

    /// All that was written is brought to disk before anything else is said; tells whether it is there. Nobody waits for
    /// a slow disk.
    pub(crate) fn flush(&mut self, now: Tick) -> bool {
        if self.is_failing(now) {
            return false;
        }
        if self.is_slow {
            self.stalled_until = Some(now + COMMIT_SLOWLY);
            return false;
        }
        for (at, _) in self.writes.iter_mut().rev().take_while(|(at, _)| *at > now) {
            *at = now;
        }
        true
    }

    /// Whether something is owed to it.
    pub(crate) fn is_failing(&mut self, now: Tick) -> bool {
        self.try_again(now);
        self.stalled_until = self.stalled_until.filter(|until| *until > now);
        self.retry.is_some() || self.stalled_until.is_some()
    }

    /// When it is tried again, or has what it was late with.
    pub(crate) fn retry_at(&self) -> Option<Tick> {
        self.retry.map(|(at, _)| at).or(self.stalled_until)
    }

    fn owe(&mut self, now: Tick, write: Write) {
        self.owed.push(write);
        self.owed_since.get_or_insert(now);
        self.retry.get_or_insert((now + PAUSES.0, PAUSES.0 * 2));
    }

    /// Does what fell due since it was last asked: in between it did not change.
    fn try_again(&mut self, now: Tick) {
        while let Some((at, pause)) = self.retry.filter(|(at, _)| *at <= now) {
            self.retry = self.is_full.then(|| (at + pause, (pause * 2).min(PAUSES.1)));
            if self.retry.is_none() {
                self.writes.extend(std::mem::take(&mut self.owed).into_iter().map(|w| (at, w)));
                self.owed_since = None;
            }
        }
    }

    /// What was written before this survives, however it goes down now.
    pub(crate) fn safe_until(&self, now: Tick, fate: DiskFate) -> Tick {
        let commit = if self.was_slow { COMMIT_SLOWLY } else { COMMIT };
        let under_way = self.owed_since.unwrap_or(now).saturating_sub(commit + COMMIT);
        match fate {
            DiskFate::Same => under_way,
            DiskFate::Stale => under_way.min(now.saturating_sub(commit + STALE)),
            DiskFate::Lost => 0,
        }
    }

    /// The process was killed: what was not handed to the disk yet is lost.
    pub(crate) fn lose_process(&mut self, now: Tick) {
        self.forget_owed(now);
        self.writes.retain(|(at, _)| *at <= now);
    }

    /// The power is gone: a tail of what was under way is lost, the store's transactions are whole.
    pub(crate) fn lose_power(&mut self, now: Tick, draw: Draw) {
        self.forget_owed(now);
        let torn = draw.up_to(0, COMMIT);
        self.writes.retain(|(at, _)| *at + torn <= now);
    }

    fn forget_owed(&mut self, now: Tick) {
        self.try_again(now);
        (self.owed, self.owed_since, self.retry) = (Vec::new(), None, None);
        self.stalled_until = None;
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
        let dropped = self.writes.iter().rposition(|(_, write)| matches!(write, Write::Drop));
        let writes = &self.writes[dropped.map_or(0, |at| at + 1)..];
        let cuts = writes.iter().enumerate().rev();
        let mut cut = cuts.filter_map(|(at, (_, write))| match write {
            Write::Cut(heads, parts) => Some((at, heads.clone(), parts.clone())),
            Write::Entry(..) | Write::Quarantine(_) | Write::Drop => None,
        });
        let cut = cut.next();
        let base = |id: &LaneId| cut.as_ref().map_or(0, |(_, heads, _)| heads.get(id));
        let mut logs: BTreeMap<LaneId, (u64, Vec<Bytes>)> = BTreeMap::new();
        for (_, write) in writes {
            let Write::Entry(id, seq, entry) = write else { continue };
            let first = base(id) + 1;
            let (first, log) = logs.entry(*id).or_insert((first, Vec::new()));
            if *seq == *first + log.len() as u64 {
                log.push(entry.clone());
            }
        }
        logs.retain(|_, (_, log)| !log.is_empty());
        let quarantined = writes.iter().filter_map(|(_, write)| match write {
            Write::Quarantine(id) => Some(*id),
            _ => None,
        });
        let quarantined = quarantined.collect();
        Kept { cut: cut.map(|(_, heads, parts)| (heads, parts)), logs, quarantined }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::Origin;

    fn entry(seq: u64) -> Write {
        Write::Entry(LaneId::bulk(Origin(1)), seq, Bytes::from_static(b"an entry"))
    }

    fn held(disk: &Disk) -> usize {
        disk.read().logs.values().map(|(_, log)| log.len()).sum()
    }

    #[test]
    fn a_full_disk_is_owed_what_it_lacks_and_gets_it_in_order() {
        let mut disk = Disk::default();
        disk.write(0, entry(1));
        disk.write(90, entry(2));
        disk.set_troubles(100, [Trouble::Full].into_iter());
        disk.write(200, entry(3));
        assert!(!disk.flush(300), "nothing is told to be there that is not");
        assert_eq!(held(&disk), 1);
        disk.set_troubles(2_000, [].into_iter());
        assert!(disk.is_failing(3_099), "it is tried again after pauses that grow");
        assert!(disk.flush(3_100));
        assert_eq!(held(&disk), 3);
    }

    #[test]
    fn nobody_waits_for_a_slow_disk_and_what_must_be_there_first_is_not_said_before() {
        let mut disk = Disk::default();
        disk.set_troubles(0, [Trouble::Slow].into_iter());
        disk.write(100, entry(1));
        assert!(!disk.flush(100));
        disk.set_troubles(1_000, [].into_iter());
        assert!(disk.is_failing(2_099), "what is under way takes its time");
        assert!(!disk.is_failing(2_100) && disk.flush(2_100));
    }

    #[test]
    fn what_was_dropped_is_not_read_and_is_back_if_the_drop_was_not_kept() {
        let mut disk = Disk::default();
        disk.write(0, entry(1));
        disk.write(100, Write::Drop);
        assert_eq!(held(&disk), 0);
        disk.write(100, entry(1));
        disk.write(100, entry(2));
        assert_eq!(held(&disk), 2);
        disk.lose_process(120);
        assert_eq!(held(&disk), 1, "the process died before the drop was on disk");
    }

    #[test]
    fn what_is_owed_dies_with_the_process() {
        let mut disk = Disk::default();
        disk.set_troubles(0, [Trouble::Full].into_iter());
        disk.write(10, entry(1));
        disk.lose_process(500);
        disk.set_troubles(600, [].into_iter());
        assert!(!disk.is_failing(5_000));
        assert_eq!(held(&disk), 0);
    }
}
