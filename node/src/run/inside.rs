//! What the edge, the peer plane and the store have counted, for `/metrics`.

use crate::api::metrics::{Sample, Source};
use crate::edge::Edge;
use crate::store::StoreHandle;
use crate::supervise::Supervisor;
use gossip::network::{Attempt, Network, NetworkStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of everything that does not count by itself.
pub(super) struct Inside {
    pub(super) edge: Edge,
    pub(super) network: Network,
    pub(super) store: StoreHandle,
    /// Frames of peers that could not be read.
    pub(super) malformed: Arc<AtomicU64>,
    pub(super) supervisor: Supervisor,
}

impl Source for Inside {
    fn samples(&self) -> Vec<Sample> {
        let mut samples = self.edge_samples();
        samples.extend(self.network_samples());
        samples.extend(self.store_samples());
        samples.extend(self.task_samples());
        samples
    }
}

impl Inside {
    fn edge_samples(&self) -> Vec<Sample> {
        let sample = |reading: crate::edge::Reading| {
            let sample = Sample::new(reading.name, reading.help, reading.value as f64);
            reading
                .labels
                .into_iter()
                .fold(sample, |sample, (name, value)| sample.label(name, value))
        };
        let help = "The most connections that may be open.";
        let most = self.edge.limits().connections_max as f64;
        let most = Sample::new("starling_mqtt_connections_max", help, most);
        self.edge.counters().readings().into_iter().map(sample).chain([most]).collect()
    }

    fn network_samples(&self) -> Vec<Sample> {
        let stats = self.network.stats();
        let ended = stats.ended.iter().map(|((attempt, reason), count)| {
            let (name, help) = ended_name(*attempt);
            Sample::new(name, help, *count as f64)
                .label("reason", snake_case(&format!("{reason:?}")))
        });
        let help = "Frames of peers that could not be read.";
        let malformed = self.malformed.load(Relaxed) as f64;
        let malformed = Sample::new("starling_peer_frames_malformed_total", help, malformed);
        let help =
            "1 while a newer process with this node's id takes its place; see `starling status`.";
        let displaced = f64::from(u8::from(self.network.displaced().is_some()));
        let displaced = Sample::new("starling_peer_displaced", help, displaced);
        let help = "Other nodes' ids that two living processes have; see `starling status`.";
        let twins = self.network.twins().len() as f64;
        let twins = Sample::new("starling_peer_twins", help, twins);
        let help = "Living members to which there has been no direct link for ten seconds.";
        let unlinked = self.network.unlinked().len() as f64;
        let unlinked = Sample::new("starling_peer_unlinked", help, unlinked);
        let peers = [malformed, displaced, twins, unlinked];
        ended.chain(peers).chain(gossip_samples(&stats)).collect()
    }

    fn task_samples(&self) -> Vec<Sample> {
        let tree = self.supervisor.view();
        let samples = tree.flat().into_iter().flat_map(|(path, task)| {
            let sample = |name, help, count: u64| {
                Sample::new(name, help, count as f64).label("task", path.clone())
            };
            let restarted = "Tasks that were started again after a panic.";
            let panicked = "Panics, each contained in its task.";
            [
                sample("starling_task_restarts_total", restarted, task.restarts),
                sample("starling_task_panics_total", panicked, task.panics),
            ]
        });
        samples.collect()
    }

    fn store_samples(&self) -> Vec<Sample> {
        let counters = self.store.counters();
        let sample =
            |name, help, counter: &AtomicU64| Sample::new(name, help, counter.load(Relaxed) as f64);
        vec![
            sample("starling_store_commits_total", "Groups of writes on disk.", &counters.commits),
            sample(
                "starling_store_writes_total",
                "Entries and snapshots on disk.",
                &counters.writes,
            ),
            sample("starling_store_failures_total", "Attempts that failed.", &counters.failures),
            sample("starling_store_dropped_total", "Writes given up.", &counters.dropped),
            Sample::new(
                "starling_store_failing",
                "1 while the store does not hold all that it should; `starling status` says why.",
                f64::from(u8::from(self.store.trouble().borrow().is_some())),
            ),
        ]
    }
}

/// What gossip and its supervision have counted.
fn gossip_samples(stats: &NetworkStats) -> Vec<Sample> {
    let sample = |name, help, value: u64| Sample::new(name, help, value as f64);
    let dropped = [
        ("malformed", stats.gossip_malformed),
        ("flooded", stats.gossip_flooded),
        ("crowded", stats.gossip_crowded),
        ("hearsay", stats.gossip_hearsay),
        ("inbox_overflow", stats.gossip_inbox_overflow),
        ("peer_overflow", stats.gossip_overflow),
        ("unlinked", stats.gossip_unlinked),
    ];
    let help = "Gossip messages dropped, by reason";
    let dropped = dropped.map(|(reason, count)| {
        sample("starling_gossip_dropped_total", help, count).label("reason", reason)
    });
    let incarnations = "Incarnations of nodes in gossip, dead ones until their grace is over";
    let most = "The most of them that there may be; strangers are refused then";
    let slandered =
        "Of these, how often because others knew this node by more than it had ever said";
    let restarts = "Tasks of the peer plane that panicked and were started again";
    let replaced = "Nodes heard of a moment ago whose newer life took their place";
    let more = [
        sample("starling_gossip_received_total", "Gossip messages taken in", stats.gossip_received),
        sample("starling_gossip_incarnations", incarnations, stats.incarnations),
        sample("starling_gossip_incarnations_max", most, stats.incarnations_max),
        sample("starling_gossip_restarts_total", "Times gossip began anew", stats.gossip_restarts),
        sample("starling_gossip_slandered_total", slandered, stats.gossip_slandered),
        sample("starling_peer_task_restarts_total", restarts, stats.task_restarts),
        sample("starling_peer_addresses", "Addresses that nodes might be at", stats.addresses),
        sample("starling_peer_connections", "QUIC connections, dials included", stats.connections),
        sample("starling_peer_dialling", "Addresses that are being dialled", stats.dialling),
        sample(
            "starling_peer_retries_total",
            "Callers asked to prove their address",
            stats.retries,
        ),
        sample("starling_peer_lives_replaced_total", replaced, stats.lives_replaced),
        sample("starling_peer_dials_total", "Connections to peers tried", stats.dials),
    ];
    dropped.into_iter().chain(more).collect()
}

/// Under which name it is counted that something was refused or ended.
fn ended_name(attempt: Attempt) -> (&'static str, &'static str) {
    match attempt {
        Attempt::Dial => (
            "starling_peer_dials_failed_total",
            "Connections to peers that gave no link, by reason.",
        ),
        Attempt::Call => {
            ("starling_peer_callers_refused_total", "Callers that got no link, by reason.")
        }
        Attempt::Link => ("starling_peer_links_ended_total", "Links that ended, by reason."),
    }
}

/// A variant's name as a label's value.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn a_reason_reads_as_a_label() {
        assert_eq!(snake_case("FrameTooBig"), "frame_too_big");
        assert_eq!(snake_case("Untrusted"), "untrusted");
    }
}
