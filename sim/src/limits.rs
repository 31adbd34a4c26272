//! What a node may hold at most, whatever its peers and players do; the same limits in both fidelities.

use crdt_state::queues::take_overgrown;
use gossip::network::NetworkStats;
use gossip::replication::{Config, Replica};

use crate::schedule::{Knobs, Schedule};

/// Links to one node at once: to the incarnation that is there, and to one that is not known to be gone.
const LINKS_PER_NODE: u64 = 2;
/// QUIC connections to one node at once: links, dials from both sides, and those that wind down.
const CONNECTIONS_PER_NODE: u64 = 8;

/// What a replica holds beyond its bounds, in words.
pub(crate) fn of_replica(replica: &Replica, knobs: Knobs) -> Vec<String> {
    let Config { stash_bytes_max, receipts_max, .. } = Config::default();
    beyond(&[
        ("bytes of tails", replica.tail_bytes() as u64, knobs.tail_bytes_max as u64),
        ("bytes before their turn", replica.stash_bytes() as u64, stash_bytes_max as u64),
        ("receipts that wait", replica.receipts_waiting() as u64, receipts_max as u64),
    ])
}

/// The same for what a whole node keeps of its peers.
pub(crate) fn of_network(stats: &NetworkStats, plan: &Schedule) -> Vec<String> {
    let nodes = u64::from(plan.nodes_ever());
    beyond(&[
        ("links", stats.links, LINKS_PER_NODE * nodes),
        ("connections", stats.connections, CONNECTIONS_PER_NODE * nodes),
        ("incarnations", stats.incarnations, stats.incarnations_max),
    ])
}

/// What queues have held beyond their bounds since this was last asked, in words: of whichever nodes ran meanwhile.
pub(crate) fn of_queues() -> impl Iterator<Item = String> {
    let overgrown = take_overgrown().into_iter();
    overgrown.map(|(queue, fill)| in_words(queue.holds(), fill.held, fill.most))
}

fn in_words(what: &str, held: u64, most: u64) -> String {
    format!("{held} {what}, and {most} at most")
}

fn beyond(held: &[(&str, u64, u64)]) -> Vec<String> {
    let beyond = held.iter().filter(|(_, held, most)| held > most);
    beyond.map(|(what, held, most)| in_words(what, *held, *most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_its_limit_is_named() {
        let plan = Schedule::classic(1);
        let links = LINKS_PER_NODE * u64::from(plan.nodes_ever());
        let mut stats = NetworkStats { links, ..NetworkStats::default() };
        assert_eq!(of_network(&stats, &plan), [""; 0]);
        stats.links += 1;
        assert_eq!(
            of_network(&stats, &plan),
            [format!("{} links, and {links} at most", links + 1)]
        );
    }
}
