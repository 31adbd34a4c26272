//! Looking for peers on real ground: every strategy in a task of its own, and its numbers.

use super::Node;
use crate::api::metrics::{Sample, Source};
use crate::config::NodeConfig;
use gossip::discovery::{Lookout, Reading, Strategy, Surroundings, run};
use std::sync::Arc;

/// Starts every strategy that the node was told. They end with the process; none can end the node.
pub(super) fn start_discovery(config: &NodeConfig, node: &Node) {
    let ring = node.network.ring();
    let surroundings = Surroundings {
        own: node.network.advertise(),
        keys: Arc::new(move || {
            ring.borrow().keys().iter().map(|key| key.derive("discovery")).collect()
        }),
    };
    // What they say was checked when the configuration was.
    let fixed = config.join.iter().filter_map(|peer| Strategy::fixed(peer).ok());
    let mut lookouts = Vec::new();
    for strategy in fixed.chain(config.discover.iter().cloned()) {
        let strategy = strategy.start(surroundings.clone());
        let lookout = Arc::new(Lookout::of(&*strategy));
        lookouts.push(Arc::clone(&lookout));
        let network = node.network.clone();
        let add = move |addresses| network.add_candidates(addresses);
        tokio::spawn(run(strategy, add, lookout));
    }
    node.metrics.register(Arc::new(Discoveries(lookouts)));
}

/// The numbers of all strategies.
struct Discoveries(Vec<Arc<Lookout>>);

impl Source for Discoveries {
    fn samples(&self) -> Vec<Sample> {
        self.0.iter().flat_map(|lookout| samples(lookout.reading())).collect()
    }
}

fn samples(reading: Reading) -> [Sample; 3] {
    let Reading { name, looks, failures, found, .. } = reading;
    let sample = |metric, help, value: u64| {
        Sample::new(metric, help, value as f64).label("strategy", name.clone())
    };
    [
        sample("starling_discovery_looks_total", "Looks for peers, by strategy", looks),
        sample("starling_discovery_failures_total", "Of those, failed", failures),
        sample("starling_discovery_found", "Addresses that the last look found", found),
    ]
}
