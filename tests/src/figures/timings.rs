//! Lengths of time and their percentiles.

use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Lengths of time, each known to three digits.
#[derive(Debug)]
pub(super) struct Timings {
    /// In microseconds; grows with what it is given.
    micros: Histogram<u64>,
}

impl Timings {
    pub(super) fn new() -> Self {
        Timings { micros: Histogram::new(3).expect("three digits are within its range") }
    }

    pub(super) fn record(&mut self, from: Instant, to: Instant) {
        let micros = to.saturating_duration_since(from).as_micros();
        let micros = u64::try_from(micros).expect("no run takes half a million years");
        self.micros.record(micros).expect("the histogram grows");
    }

    /// Takes in what was recorded elsewhere.
    pub(super) fn add(&mut self, others: &Timings) {
        self.micros.add(&others.micros).expect("the histogram grows");
    }

    pub(super) fn count(&self) -> u64 {
        self.micros.len()
    }

    /// In milliseconds, to two places.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        hundredths(self.micros.value_at_quantile(quantile) as f64 / 1_000.0)
    }
}

pub(super) fn median<T: PartialOrd + Copy>(mut all: Vec<T>) -> T {
    all.sort_unstable_by(|a, b| a.partial_cmp(b).expect("what is measured is a number"));
    all[all.len() / 2]
}

/// In milliseconds, to two places.
pub(super) fn millis(duration: Duration) -> f64 {
    hundredths(duration.as_secs_f64() * 1_000.0)
}

/// `value` to two places.
pub(super) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percentiles_are_right_to_a_thousandth() {
        let mut timings = Timings::new();
        let zero = Instant::now();
        for millis in 1..=1_000 {
            timings.record(zero, zero + Duration::from_millis(millis));
        }
        assert_eq!(timings.count(), 1_000);
        for (quantile, wanted) in [(0.5, 500.0), (0.99, 990.0)] {
            let measured = timings.quantile_ms(quantile);
            assert!((measured - wanted).abs() <= wanted / 1_000.0, "{quantile}: {measured}");
        }
    }
}
