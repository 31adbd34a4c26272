//! How often something may happen: in all, per address, per player.
//!
//! Each rate is one number, the moment at which the debt of what has happened will be paid (the
//! generic cell rate algorithm of ATM Forum TM 4.0, appendix I). Time is tokio's, so the simulator
//! runs it. Maps are sharded, and forget whoever has no debt before they grow.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_s: NonZeroU32,
    /// At once, after a quiet time.
    pub burst: NonZeroU32,
}

impl Rate {
    /// `per_s` a second, as many at once as in one second; `None` for 0: without limit.
    #[must_use]
    pub fn per_second(per_s: u32) -> Option<Self> {
        NonZeroU32::new(per_s).map(|per_s| Rate { per_s, burst: per_s })
    }

    fn gap_ns(self) -> u64 {
        NANOS_PER_S / u64::from(self.per_s.get())
    }

    /// The new moment of no debt, or how long to wait.
    fn take(self, paid_at: u64, now: u64) -> Result<u64, Duration> {
        let debt = paid_at.saturating_sub(now);
        let most = self.gap_ns() * (u64::from(self.burst.get()) - 1);
        if debt > most {
            return Err(Duration::from_nanos(debt - most));
        }
        Ok(now + debt + self.gap_ns())
    }
}

/// One rate for all.
#[derive(Debug)]
pub struct Meter {
    rate: Option<Rate>,
    base: Instant,
    paid_at: AtomicU64,
}

impl Meter {
    /// A meter for `rate`; without one everything may happen.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Meter { rate, base: Instant::now(), paid_at: AtomicU64::new(0) }
    }

    /// Counts one.
    ///
    /// # Errors
    /// How long to wait, if there were too many; nothing is counted then.
    pub fn take(&self) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = nanos_since(self.base);
        let mut wait = None;
        let counted = self.paid_at.fetch_update(Relaxed, Relaxed, |paid_at| {
            rate.take(paid_at, now).map_err(|needed| wait = Some(needed)).ok()
        });
        counted.map(drop).map_err(|_| wait.unwrap_or_default())
    }
}

/// One rate for each of many.
#[derive(Debug)]
pub struct Meters<K> {
    rate: Option<Rate>,
    base: Instant,
    shards: Vec<Mutex<Shard<K>>>,
}

#[derive(Debug)]
struct Shard<K> {
    paid_at: BTreeMap<K, u64>,
    swept_at: u64,
}

impl<K: Ord> Shard<K> {
    /// Whether there is room for one more key. A full shard is swept now and then, not for every
    /// stranger: that would be their way to keep it busy.
    fn has_room(&mut self, now: u64) -> bool {
        if self.paid_at.len() >= SHARD_MAX && now >= self.swept_at + SWEEP_EVERY_NS {
            self.swept_at = now;
            self.paid_at.retain(|_, paid_at| *paid_at > now);
        }
        self.paid_at.len() < SHARD_MAX
    }
}

impl<K: Ord + Hash> Meters<K> {
    /// Meters for `rate` each; without one everything may happen.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        let shard = || Mutex::new(Shard { paid_at: BTreeMap::new(), swept_at: 0 });
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Meters { rate, base: Instant::now(), shards }
    }

    /// Counts one of `whose`.
    ///
    /// # Errors
    /// How long to wait, if there were too many; nothing is counted then.
    pub fn take(&self, whose: K) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = nanos_since(self.base);
        let shard = Xxh3DefaultBuilder.hash_one(&whose) as usize % SHARDS;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paid_at) = shard.paid_at.get_mut(&whose) {
            *paid_at = rate.take(*paid_at, now)?;
            return Ok(());
        }
        if !shard.has_room(now) {
            // So many in debt at once are a flood by themselves.
            return Err(FULL_WAIT);
        }
        shard.paid_at.insert(whose, rate.take(0, now)?);
        crdt_state::bounded!(Metered, shard.paid_at.len(), SHARD_MAX);
        Ok(())
    }
}

fn nanos_since(base: Instant) -> u64 {
    // From 1 on, so that 0 is no debt.
    u64::try_from(base.elapsed().as_nanos()).unwrap_or(u64::MAX / 2) + 1
}

/// `wait` and up to as much again, by `salt`: so that whoever was sent away does not come back with
/// all the others.
#[must_use]
pub fn jittered(wait: Duration, salt: u64) -> Duration {
    let wait = wait.max(WAIT_MIN);
    let share = xxhash_rust::xxh3::xxh3_64(&salt.to_be_bytes()) % 1_000;
    wait + wait * share as u32 / 1_000
}

const NANOS_PER_S: u64 = 1_000_000_000;
const SHARDS: usize = 64;
/// A sweep takes some 50 microseconds.
const SWEEP_EVERY_NS: u64 = 100_000_000;
/// Together a quarter of a million keys, some 16 MB.
const SHARD_MAX: usize = 4_096;
/// Arbitrary.
const FULL_WAIT: Duration = Duration::from_secs(1);
/// Nobody is back in less than half a second: a storm takes longer than that to settle.
const WAIT_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn rate(per_s: u32, burst: u32) -> Option<Rate> {
        let (per_s, burst) = (NonZeroU32::new(per_s).unwrap(), NonZeroU32::new(burst).unwrap());
        Some(Rate { per_s, burst })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_the_rate() {
        let meter = Meter::new(rate(10, 3));
        assert_eq!((0..10).filter(|_| meter.take().is_ok()).count(), 3);
        assert_eq!(meter.take(), Err(Duration::from_millis(100)));
        advance(Duration::from_millis(100)).await;
        assert!(meter.take().is_ok() && meter.take().is_err());
        advance(Duration::from_secs(100)).await;
        assert_eq!((0..10).filter(|_| meter.take().is_ok()).count(), 3, "no more is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_a_rate_of_its_own_and_maps_stay_bounded() {
        let meters = Meters::new(rate(1, 1));
        assert!(meters.take(1).is_ok() && meters.take(1).is_err() && meters.take(2).is_ok());
        let in_debt = (0..SHARDS * SHARD_MAX * 2).filter(|key| meters.take(*key).is_ok()).count();
        assert!(in_debt <= SHARDS * SHARD_MAX);
        advance(Duration::from_secs(2)).await;
        assert!(meters.take(usize::MAX).is_ok(), "whoever has no debt is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_everything_may_happen() {
        let (meter, meters) = (Meter::new(None), Meters::new(None));
        assert!((0..1_000).all(|_| meter.take().is_ok() && meters.take(1).is_ok()));
        assert_eq!(Rate::per_second(0), None);
    }

    #[test]
    fn those_sent_away_come_back_at_different_times() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|salt| jittered(Duration::from_secs(1), salt)).collect();
        assert!(waits.len() > 50);
        assert!(waits.iter().all(|wait| (1_000..2_000).contains(&wait.as_millis())));
    }
}
