//! Numbers for `/metrics`: whoever has some registers a source, a scrape asks all of them.
//!
//! Names follow Prometheus: one-word prefix, base units, `_total` at the end of what only grows. No
//! label ever has a player's id, a name or a PIN as its value: their number must stay small.

use crate::service::Refusals;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The content type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The API among the edges that refusals are counted by.
const HTTP: &str = "http";

/// One number at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name; one that ends in `_total` only grows and is a counter, all others are gauges.
    pub name: &'static str,
    /// What it means, the same wherever the name is used.
    pub help: &'static str,
    /// What tells it from others of its name.
    pub labels: Vec<(&'static str, String)>,
    /// The number, in base units.
    pub value: f64,
}

impl Sample {
    /// A number without labels.
    #[must_use]
    pub fn new(name: &'static str, help: &'static str, value: f64) -> Self {
        Sample { name, help, labels: Vec::new(), value }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// Something that has numbers to show. Asked at every scrape: cheap, and never waiting.
pub trait Source: Send + Sync + 'static {
    /// Its numbers now.
    fn samples(&self) -> Vec<Sample>;
}

/// All sources of a node, and its count of refused requests.
#[derive(Default)]
pub struct Metrics {
    sources: Mutex<Vec<Arc<dyn Source>>>,
    refusals: Refusals,
}

impl Metrics {
    /// Adds a source, for good.
    pub fn register(&self, source: Arc<dyn Source>) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Counts a refused request.
    pub fn count_refusal(&self, code: &str) {
        self.refusals.count(HTTP, code);
    }

    /// Everything as text, `more` included.
    #[must_use]
    pub fn encode(&self, more: Vec<Sample>) -> String {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = more;
        samples.extend(sources.iter().flat_map(|source| source.samples()));
        samples.extend(self.refusal_samples());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape::new(samples)));
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }

    fn refusal_samples(&self) -> Vec<Sample> {
        let help = "Requests that were refused, by the code of the refusal";
        let sample = |(code, count): (String, u64)| {
            Sample::new("starling_http_refused_total", help, count as f64).label("code", code)
        };
        self.refusals.sum().remove(HTTP).into_iter().flatten().map(sample).collect()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("refusals", &self.refusals).finish_non_exhaustive()
    }
}

/// All samples of one scrape, together by name and each once, as the format demands: where two
/// sources tell the same number, the first one's word counts.
#[derive(Debug)]
struct Scrape(BTreeMap<&'static str, Vec<Sample>>);

impl Scrape {
    fn new(samples: Vec<Sample>) -> Self {
        let mut families: BTreeMap<_, Vec<Sample>> = BTreeMap::new();
        for sample in samples {
            let family = families.entry(sample.name).or_default();
            if family.iter().all(|other| other.labels != sample.labels) {
                family.push(sample);
            }
        }
        Scrape(families)
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, samples) in &self.0 {
            match name.strip_suffix("_total") {
                Some(stem) => encode_family(&mut encoder, stem, samples, ConstCounter::new)?,
                None => encode_family(&mut encoder, name, samples, ConstGauge::new)?,
            }
        }
        Ok(())
    }
}

fn encode_family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    samples: &[Sample],
    metric: fn(f64) -> M,
) -> Result<(), fmt::Error> {
    let kind = metric(0.0).metric_type();
    let mut family = encoder.encode_descriptor(name, samples[0].help, None, kind)?;
    if let [only] = samples
        && only.labels.is_empty()
    {
        return metric(only.value).encode(family);
    }
    for sample in samples {
        metric(sample.value).encode(family.encode_family(&sample.labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lanes;

    impl Source for Lanes {
        fn samples(&self) -> Vec<Sample> {
            let lag = |peer, lag| {
                Sample::new("starling_lag_entries", "Entries a peer lacks", lag).label("peer", peer)
            };
            vec![
                lag("n2", 3.0),
                Sample::new("starling_answers_total", "Answers taken", 41.0),
                lag("n\"3", 0.0),
            ]
        }
    }

    #[test]
    fn a_scrape_lists_every_family_once() {
        let metrics = Metrics::default();
        metrics.register(Arc::new(Lanes));
        let text = metrics.encode(vec![Sample::new("starling_up", "Always 1", 1.0)]);
        let wanted = [
            "# HELP starling_answers Answers taken",
            "# TYPE starling_answers counter",
            "starling_answers_total 41.0",
            "# HELP starling_lag_entries Entries a peer lacks",
            "# TYPE starling_lag_entries gauge",
            "starling_lag_entries{peer=\"n2\"} 3.0",
            "starling_lag_entries{peer=\"n\\\"3\"} 0.0",
            "# HELP starling_up Always 1",
            "# TYPE starling_up gauge",
            "starling_up 1.0",
            "# EOF",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_number_that_two_sources_tell_is_listed_once() {
        let metrics = Metrics::default();
        metrics.register(Arc::new(Lanes));
        metrics.register(Arc::new(Lanes));
        let text = metrics.encode(Vec::new());
        assert_eq!(text.matches("starling_answers_total 41.0").count(), 1, "{text}");
        assert_eq!(text.matches("peer=\"n2\"").count(), 1, "{text}");
    }

    #[test]
    fn refusals_are_counted_by_code() {
        let metrics = Metrics::default();
        metrics.count_refusal("pin_unknown");
        metrics.count_refusal("pin_unknown");
        let text = metrics.encode(Vec::new());
        assert!(text.contains("starling_http_refused_total{code=\"pin_unknown\"} 2.0"), "{text}");
    }
}
