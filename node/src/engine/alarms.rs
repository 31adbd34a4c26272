//! Facts of replication that operators have to know, and what it did, counted by kind for `/metrics`.

use crate::api::metrics::{Sample, Source};
use crdt_state::event::{BEYOND, Beyond};
use gossip::replication::Stats;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How often each kind of fact was told, over all events.
#[derive(Debug, Default)]
pub struct Alarms {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    superseded: AtomicU64,
    /// In the order of [`Stats::named`].
    done: [AtomicU64; Stats::NAMED],
    /// In the order of [`BEYOND`].
    beyond: [AtomicU64; BEYOND.len()],
}

/// The kind under which entries of answers are counted that came after a result was shown without them.
pub(super) const LATE: &str = "late_answers";

impl Alarms {
    /// One more fact of a kind.
    pub fn count(&self, kind: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// What was raised so far, by kind; answers that came late are none.
    #[must_use]
    pub fn raised(&self) -> BTreeMap<&'static str, u64> {
        let mut raised = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        raised.remove(LATE);
        raised
    }

    /// One more receipt that was overruled.
    pub(super) fn count_superseded(&self) {
        self.superseded.fetch_add(1, Relaxed);
    }

    /// What a replica has done since `counted`, which becomes what it has done by now.
    pub fn count_done(&self, counted: &mut Stats, now: &Stats) {
        if *counted == *now {
            return;
        }
        let values = |stats: &Stats| stats.named().into_iter().map(|(_, value)| value);
        add_since(&self.done, values(counted), values(now));
        *counted = *now;
    }

    /// What a state has not kept for want of room since `counted`, which becomes what it has not kept by now.
    pub fn count_beyond(&self, counted: &mut Beyond, now: Beyond) {
        if *counted == now {
            return;
        }
        add_since(&self.beyond, counted.iter().copied(), now.into_iter());
        *counted = now;
    }

    fn beyond(&self) -> impl Iterator<Item = Sample> {
        let help =
            "What peers sent of shows and the catalogue beyond their caps, and was not kept.";
        BEYOND.into_iter().zip(&self.beyond).map(move |(what, sum)| {
            let name = "starling_beyond_cap_total";
            Sample::new(name, help, sum.load(Relaxed) as f64).label("what", what)
        })
    }

    fn done(&self) -> impl Iterator<Item = Sample> {
        let help = "What replication did, over all shows and the catalogue, by kind.";
        let kinds = Stats::default().named().into_iter().map(|(kind, _)| kind);
        kinds.zip(&self.done).map(move |(kind, sum)| {
            let name = "starling_replication_done_total";
            Sample::new(name, help, sum.load(Relaxed) as f64).label("kind", kind)
        })
    }
}

/// Adds by how much each count has grown; one that began anew adds nothing.
fn add_since(
    sums: &[AtomicU64],
    before: impl Iterator<Item = u64>,
    now: impl Iterator<Item = u64>,
) {
    for (sum, (before, now)) in sums.iter().zip(before.zip(now)) {
        sum.fetch_add(now.saturating_sub(before), Relaxed);
    }
}

impl Source for Alarms {
    fn samples(&self) -> Vec<Sample> {
        let overruled =
            "Receipts overruled by an earlier answer of the same player at another node.";
        let superseded = self.superseded.load(Relaxed) as f64;
        let superseded = Sample::new("starling_receipts_superseded_total", overruled, superseded);
        let help = "Alarms of replication by kind; each is in the log with what was done about it.";
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = |(kind, count): (&&'static str, &u64)| {
            Sample::new("starling_replication_alarms_total", help, *count as f64)
                .label("kind", *kind)
        };
        counts
            .iter()
            .map(sample)
            .chain([superseded])
            .chain(self.done())
            .chain(self.beyond())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_summed_over_all_shows() {
        let alarms = Alarms::default();
        let (mut one, mut other) = (Beyond::default(), Beyond::default());
        alarms.count_beyond(&mut one, [3, 0, 0, 0, 0, 0, 0]);
        alarms.count_beyond(&mut one, [5, 1, 0, 0, 0, 0, 0]);
        alarms.count_beyond(&mut other, [2, 0, 0, 0, 0, 0, 0]);
        alarms.count_beyond(&mut other, Beyond::default());
        let of = |what: &str| {
            let is_of = |sample: &Sample| sample.labels.contains(&("what", what.to_owned()));
            alarms.samples().into_iter().find(is_of).expect("it is told from the start").value
        };
        assert_eq!((of("posts"), of("votes"), of("bans")), (7.0, 1.0, 0.0));
    }

    fn barred(alarms: &Alarms) -> f64 {
        let is_barred =
            |sample: &Sample| sample.labels.contains(&("kind", "snapshots_barred".to_owned()));
        alarms.samples().into_iter().find(is_barred).expect("it is told from the start").value
    }

    #[test]
    fn what_replicas_do_is_summed_over_all_of_them_and_over_their_lives() {
        let (alarms, now) = (Alarms::default(), Stats { snapshots_barred: 2, ..Stats::default() });
        assert_eq!(barred(&alarms), 0.0);
        let [mut one, mut other] = [Stats::default(); 2];
        alarms.count_done(&mut one, &now);
        alarms.count_done(&mut one, &now);
        assert_eq!(barred(&alarms), 2.0);
        alarms.count_done(&mut other, &Stats { snapshots_barred: 1, ..now });
        assert_eq!(barred(&alarms), 3.0);
        alarms.count_done(&mut one, &Stats::default());
        alarms.count_done(&mut one, &now);
        assert_eq!(barred(&alarms), 5.0, "a replica that was read back counts from nothing");
    }
}
