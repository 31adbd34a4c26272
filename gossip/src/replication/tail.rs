//! The newest entries of every lane, kept as their origins' own bytes so that any holder can
//! serve any lane, a dead origin's too.
//!
//! Invariant: a tail holds the entries `base + 1 ..= head` without a hole, and the sum of all
//! tails stays under its bound. What every enrolled node is known to hold is stable: of that only a
//! little is kept. What somebody who is away may lack is kept up to the bound; of that, what everybody
//! connected has is let go first, and only when that is not enough does the bound take what somebody
//! connected may still lack, who then needs a snapshot.

use super::message::ENTRIES_MAX;
use super::replicated::AGE_UNKNOWN;
use bytes::Bytes;
use crdt_state::{Lane, LaneId, Mono};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What an entry costs beyond its bytes: its place here and its share of an allocation.
const ENTRY_OVERHEAD: usize = 48;

/// When an entry was written, on this node's own clock, in microseconds. Negative if before this
/// node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Born(i64);

impl Born {
    /// Read from a store: nobody knows.
    pub(super) const UNKNOWN: Born = Born(i64::MIN);

    pub(super) fn ago(now: Mono, age: Duration) -> Born {
        if age >= AGE_UNKNOWN { Born::UNKNOWN } else { Born(micros(now) - micros(age)) }
    }

    pub(super) fn ago_ms(now: Mono, age_ms: u32) -> Born {
        Born::ago(now, Duration::from_millis(age_ms.into()))
    }

    pub(super) fn age(self, now: Mono) -> Duration {
        if self == Born::UNKNOWN {
            return AGE_UNKNOWN;
        }
        let micros = u64::try_from(micros(now) - self.0).unwrap_or(0);
        Duration::from_micros(micros).min(AGE_UNKNOWN - Duration::from_millis(1))
    }

    /// The age that travels: what has elapsed here, and half the link's round trip.
    pub(super) fn age_ms(self, now: Mono, rtt: Duration) -> u32 {
        let age = self.age(now);
        let sent = if age < AGE_UNKNOWN {
            (age + rtt / 2).min(AGE_UNKNOWN - Duration::from_millis(1))
        } else {
            age
        };
        u32::try_from(sent.as_millis()).unwrap_or(u32::MAX)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2)
}

/// One entry as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) bytes: Bytes,
    pub(super) born: Born,
}

impl Kept {
    pub(super) fn cost(&self) -> usize {
        self.bytes.len() + ENTRY_OVERHEAD
    }
}

/// The newest entries of one lane.
#[derive(Debug, Default)]
pub(super) struct Tail {
    base: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Tail {
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn head(&self) -> u64 {
        self.base + self.kept.len() as u64
    }

    pub(super) fn at_mut(&mut self, seq: u64) -> Option<&mut Kept> {
        self.kept.get_mut(usize::try_from(seq.checked_sub(self.base + 1)?).ok()?)
    }

    /// The entries after `seq` in order: at least one if there is any, then as many as fit.
    pub(super) fn batch(&self, seq: u64, bytes_max: usize) -> impl Iterator<Item = &Kept> {
        let skip = usize::try_from(seq.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let mut bytes = 0usize;
        let entries = self.kept.range(skip.min(self.kept.len())..).take(ENTRIES_MAX);
        entries.enumerate().map_while(move |(i, kept)| {
            bytes = bytes.saturating_add(kept.bytes.len());
            (i == 0 || bytes <= bytes_max).then_some(kept)
        })
    }

    fn trim_front(&mut self) -> usize {
        let Some(kept) = self.kept.pop_front() else { return 0 };
        self.base += 1;
        self.bytes -= kept.cost();
        kept.cost()
    }
}

/// The tails of all lanes under one bound.
#[derive(Debug)]
pub(super) struct Tails {
    lanes: BTreeMap<LaneId, Tail>,
    bytes: usize,
    bytes_max: usize,
    /// What may be kept though everybody has it.
    stable_bytes: usize,
    /// Looking for what is stable is worth while from so many bytes on.
    look_at: usize,
}

impl Tails {
    pub(super) fn new(bytes_max: usize, stable_bytes: usize) -> Self {
        let stable_bytes = stable_bytes.min(bytes_max);
        Tails { lanes: BTreeMap::new(), bytes: 0, bytes_max, stable_bytes, look_at: stable_bytes }
    }

    /// Somebody has told what it has: more may be stable by now.
    pub(super) fn look_again(&mut self) {
        self.look_at = self.stable_bytes;
    }

    /// Lets go of answers that everybody holds, beyond the little that is kept all the same. Control
    /// entries are few, and their ages may be asked for. `stable(id)` is how far every enrolled node
    /// has that lane.
    pub(super) fn trim_stable(&mut self, stable: impl Fn(LaneId) -> u64) {
        if self.bytes <= self.look_at {
            return;
        }
        let goal = self.stable_bytes - self.stable_bytes / 8; // below, to do this rarely
        for (id, tail) in self.lanes.iter_mut().filter(|(id, _)| id.lane == Lane::Bulk) {
            let stable = stable(*id);
            while self.bytes > goal && tail.base < stable && !tail.kept.is_empty() {
                self.bytes -= tail.trim_front();
            }
        }
        self.look_at = self.stable_bytes.max(self.bytes + self.stable_bytes / 8);
    }

    /// Appends the next entry of a lane.
    pub(super) fn append(&mut self, id: LaneId, kept: Kept) -> u64 {
        let tail = self.lanes.entry(id).or_default();
        tail.bytes += kept.cost();
        self.bytes += kept.cost();
        tail.kept.push_back(kept);
        tail.head()
    }

    /// Forgets a lane's entries: a snapshot holds everything up to `head` instead.
    pub(super) fn reset(&mut self, id: LaneId, head: u64) {
        let tail = self.lanes.entry(id).or_default();
        self.bytes -= tail.bytes;
        *tail = Tail { base: head, ..Tail::default() };
    }

    /// Keeps the bound. `held(id)` is how far everybody connected has that lane.
    pub(super) fn trim(&mut self, held: impl Fn(LaneId) -> u64) {
        if self.bytes <= self.bytes_max || crdt_state::planted!(TailsUnbounded) {
            return;
        }
        let goal = self.bytes_max - self.bytes_max / 8; // below the bound, to do this rarely
        for (id, tail) in &mut self.lanes {
            let held = held(*id);
            while self.bytes > goal && tail.base < held && !tail.kept.is_empty() {
                self.bytes -= tail.trim_front();
            }
        }
        while self.bytes > self.bytes_max {
            let largest = self.lanes.values_mut().max_by_key(|tail| tail.bytes);
            let largest = largest.expect("bytes are kept, so some lane keeps them");
            self.bytes -= largest.trim_front();
        }
    }

    pub(super) fn get(&self, id: LaneId) -> Option<&Tail> {
        self.lanes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LaneId) -> Option<&mut Tail> {
        self.lanes.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LaneId, &Tail)> {
        self.lanes.iter().map(|(id, tail)| (*id, tail))
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// # Panics
    /// If a count is wrong or the bound is broken.
    pub(super) fn check(&self) {
        let cost = |tail: &Tail| tail.kept.iter().map(Kept::cost).sum::<usize>();
        assert!(self.lanes.values().all(|t| t.bytes == cost(t)), "a tail knows its own size");
        let sum: usize = self.lanes.values().map(|t| t.bytes).sum();
        assert!(self.bytes == sum, "tails know their size: {} counted as {}", sum, self.bytes);
        let is_bounded = self.bytes <= self.bytes_max || crdt_state::planted!(TailsUnbounded);
        assert!(is_bounded, "{} bytes of tails break the bound", self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::Origin;

    fn kept(byte: u8, len: usize) -> Kept {
        Kept { bytes: Bytes::from(vec![byte; len]), born: Born::UNKNOWN }
    }

    #[test]
    fn what_everybody_has_is_let_go_before_what_somebody_lacks() {
        let [a, b] = [1, 2].map(|n| LaneId::bulk(Origin(n)));
        let mut tails = Tails::new(10 * (100 + ENTRY_OVERHEAD), usize::MAX);
        for _ in 0..6 {
            tails.append(a, kept(1, 100));
            tails.append(b, kept(2, 100));
        }
        tails.trim(|id| if id == b { 6 } else { 0 });
        assert_eq!((tails.get(a).unwrap().base(), tails.get(b).unwrap().base()), (0, 4));
        tails.check();
    }

    #[test]
    fn the_bound_holds_even_if_nobody_has_anything() {
        let a = LaneId::bulk(Origin(1));
        let mut tails = Tails::new(3 * (100 + ENTRY_OVERHEAD), usize::MAX);
        for n in 0..9 {
            tails.append(a, kept(n, 100));
            tails.trim(|_| 0);
            tails.check();
        }
        let tail = tails.get_mut(a).unwrap();
        assert_eq!((tail.base(), tail.head()), (6, 9));
        assert!(tail.at_mut(6).is_none() && tail.at_mut(10).is_none());
        assert_eq!(tail.at_mut(7).unwrap().bytes[0], 6);
    }

    #[test]
    fn of_what_everybody_has_only_a_little_is_kept() {
        let [a, control] = [LaneId::bulk(Origin(1)), LaneId::control(Origin(1))];
        let mut tails = Tails::new(1 << 20, 4 * (100 + ENTRY_OVERHEAD));
        for n in 0..9 {
            tails.append(a, kept(n, 100));
        }
        tails.append(control, kept(9, 100));
        tails.trim_stable(|_| 3);
        assert_eq!(tails.get(a).unwrap().base(), 3, "the rest somebody may lack");
        tails.trim_stable(|_| 9);
        assert_eq!(tails.get(a).unwrap().base(), 3, "nobody has told anything new");
        tails.look_again();
        tails.trim_stable(|_| 9);
        assert_eq!(tails.get(a).unwrap().base(), 7);
        assert_eq!(tails.get(control).unwrap().base(), 0);
        tails.check();
    }

    #[test]
    fn a_batch_has_at_least_one_entry_and_otherwise_fits() {
        let a = LaneId::bulk(Origin(1));
        let mut tails = Tails::new(1 << 20, usize::MAX);
        for n in 0..9 {
            tails.append(a, kept(n, 100));
        }
        let tail = tails.get(a).unwrap();
        assert_eq!(tail.batch(0, 1).count(), 1);
        assert_eq!(tail.batch(4, 250).map(|k| k.bytes[0]).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(tail.batch(9, 250).count(), 0);
    }

    #[test]
    fn an_age_counts_on_and_an_unknown_one_stays_unknown() {
        let [ms_10, ms_30] = [10, 30].map(Duration::from_millis);
        let born = Born::ago(ms_10, Duration::from_millis(500));
        assert_eq!(born.age_ms(ms_30, Duration::from_millis(8)), 524);
        assert_eq!(Born::ago_ms(ms_10, u32::MAX).age_ms(ms_30, ms_10), u32::MAX);
        assert_eq!(Born::ago_ms(ms_10, u32::MAX - 1).age_ms(ms_30, ms_10), u32::MAX - 1);
    }
}
