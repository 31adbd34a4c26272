//! When each node applies the answers that other nodes took, seen from outside.

use crate::cluster::Cluster;
use crdt_state::PlayerId;
use node::service::view::AppliedView;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Follows the applied stream of one node, in a thread of its own that ends with the stream.
#[derive(Debug)]
pub(super) struct Follower {
    node: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    /// When each answer was first shown, per instance.
    rows: BTreeMap<u32, BTreeMap<PlayerId, Instant>>,
    /// Why nothing more can be relied on.
    failure: Option<String>,
}

impl Follower {
    /// Begins to follow a node: what it applies after this returned is seen.
    ///
    /// # Errors
    /// If the node does not let itself be followed.
    pub(super) fn open(cluster: &Cluster, node: usize) -> Result<Self, String> {
        let file = cluster.file();
        let (http, event) = (&file.nodes[node].http, &file.event.id);
        let url = format!("{http}/api/v1/events/{event}/applied/stream");
        // No limit on the whole: the stream lasts as long as the run, whose waits are bounded.
        let config = ureq::Agent::config_builder().timeout_recv_response(Some(OPEN_MAX)).build();
        let request = ureq::Agent::from(config).get(&url);
        let request = request.header("authorization", format!("Bearer {}", file.ops_token));
        let response = request.call().map_err(|error| format!("{url}: {error}"))?;
        let shared = Arc::<Shared>::default();
        let follower = Follower { node, shared: Arc::clone(&shared) };
        thread::spawn(move || shared.follow(response.into_body().into_reader()));
        Ok(follower)
    }

    /// Waits until so many answers to an instance were shown.
    ///
    /// # Errors
    /// If they are not in time, or the stream did not show everything.
    pub(super) fn wait(&self, instance: u32, rows: usize, within: Duration) -> Result<(), String> {
        let wanted = |seen: &mut Seen| seen.failure.is_none() && seen.count(instance) < rows;
        let guard = self.shared.lock();
        let waited = self.shared.grown.wait_timeout_while(guard, within, wanted);
        let (seen, _) = waited.expect("no holder panics");
        let (node, count) = (self.node, seen.count(instance));
        match &seen.failure {
            Some(failure) => Err(format!("the applied stream of node {node}: {failure}")),
            None if count < rows => Err(format!(
                "node {node} showed {count} of {rows} answers to {instance} within {within:?}"
            )),
            None => Ok(()),
        }
    }

    /// When the answer of a player was first shown.
    pub(super) fn seen(&self, instance: u32, player: PlayerId) -> Option<Instant> {
        self.shared.lock().rows.get(&instance)?.get(&player).copied()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    fn follow(&self, stream: impl Read) {
        let mut name = String::new();
        let ended = BufReader::new(stream).lines().try_for_each(|line| {
            let line = line.map_err(|error| error.to_string())?;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                self.take(&name, data)?;
            }
            Ok::<(), String>(())
        });
        let failure = ended.err().unwrap_or_else(|| "it ended".to_owned());
        self.lock().failure = Some(failure);
        self.grown.notify_all();
    }

    fn take(&self, name: &str, data: &str) -> Result<(), String> {
        let now = Instant::now();
        if name != "applied" {
            return Err(format!("{name}: {data}"));
        }
        let batch: AppliedView = serde_json::from_str(data).map_err(|error| error.to_string())?;
        let mut seen = self.lock();
        for (instance, player) in batch.rows {
            seen.rows.entry(instance).or_default().entry(player).or_insert(now);
        }
        self.grown.notify_all();
        Ok(())
    }
}

impl Seen {
    fn count(&self, instance: u32) -> usize {
        self.rows.get(&instance).map_or(0, BTreeMap::len)
    }
}

/// How long the head of the stream may take.
const OPEN_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(stream: &str) -> Follower {
        let follower = Follower { node: 0, shared: Arc::default() };
        follower.shared.follow(stream.as_bytes());
        follower
    }

    const BATCH: &str =
        "event: applied\ndata: {\"rows\":[[3,\"0000000000000000000000000000000a\"]]}\n\n";

    #[test]
    fn batches_are_read_and_an_end_is_a_failure() {
        let follower = followed(&format!(": from now on\nretry: 1000\n\n{BATCH}:\n\n{BATCH}"));
        assert!(follower.seen(3, PlayerId(0xa)).is_some());
        assert_eq!(follower.shared.lock().count(3), 1);
        let error = follower.wait(3, 1, Duration::ZERO).unwrap_err();
        assert!(error.ends_with("it ended"), "{error}");
    }

    #[test]
    fn a_gap_is_a_failure() {
        let follower = followed("event: missed\ndata: {\"batches\":3}\n\n");
        let error = follower.wait(3, 0, Duration::ZERO).unwrap_err();
        assert!(error.contains("missed: {\"batches\":3}"), "{error}");
    }
}
