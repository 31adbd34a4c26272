//! Facts of replication that operators have to know, counted by kind for `/metrics`.

use crate::api::metrics::{Sample, Source};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How often each kind of fact was told, over all events.
#[derive(Debug, Default)]
pub struct Alarms {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    superseded: AtomicU64,
}

/// The kind under which entries of answers are counted that came after a result was shown without them.
pub(super) const LATE: &str = "late_answers";

impl Alarms {
    /// One more fact of a kind.
    pub fn count(&self, kind: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// One more receipt that was overruled.
    pub(super) fn count_superseded(&self) {
        self.superseded.fetch_add(1, Relaxed);
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
        counts.iter().map(sample).chain([superseded]).collect()
    }
}
