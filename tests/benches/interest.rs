//! What ten nodes spend on knowing who carries which of 10,000 events: `cargo bench -p tests --bench interest`.
//!
//! The same work is counted, and bounded, in the interest's own tests; this says what it costs on this machine, in
//! nanoseconds for each event and node.

use crdt_state::{EventId, Mono, NodeId, Origin};
use node::engine::{Heed, Interest, Turn, Word};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

const NODES: u64 = 10;
const EVENTS: u64 = 10_000;
const NOW: Mono = Duration::from_secs(100);

struct Net {
    nodes: Vec<Interest>,
    wire: VecDeque<(u64, u64, Word)>,
}

impl Net {
    fn new() -> Self {
        let nodes = (0..NODES).map(|node| Interest::new(NodeId(node), [])).collect();
        let mut net = Net { nodes, wire: VecDeque::new() };
        let all: BTreeSet<NodeId> = (0..NODES).map(NodeId).collect();
        for node in 0..NODES {
            net.heed(node, Heed::Seen { living: all.clone(), staying: all.clone() });
            for peer in (0..NODES).filter(|peer| *peer != node) {
                net.heed(node, Heed::PeerUp { peer: Origin(peer), node: NodeId(peer) });
            }
        }
        net.deliver();
        net
    }

    fn heed(&mut self, node: u64, heed: Heed) {
        let interest = &mut self.nodes[node as usize];
        interest.handle(NOW, heed);
        while let Some(turn) = interest.poll_turn() {
            if let Turn::Tell { to, word } = turn {
                self.wire.push_back((node, to.0, word));
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, word)) = self.wire.pop_front() {
            self.heed(to, Heed::Word { from: Origin(from), word });
        }
    }

    /// Each event is made somewhere and listed everywhere.
    fn import(&mut self) {
        for number in 1..=EVENTS {
            let event = EventId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            self.heed(number % NODES, Heed::Wanted { event });
            for node in 0..NODES {
                let live = BTreeSet::from([event]);
                self.heed(node, Heed::Listed { live, archived: BTreeSet::new() });
            }
            self.deliver();
        }
    }

    /// Every event waits for those who carry it, as each node hears within a second.
    fn wait_for_carriers(&mut self) {
        for node in 0..NODES {
            for event in self.nodes[node as usize].carried().clone() {
                let nodes = self.nodes[node as usize].carriers(event);
                let nodes = nodes.map(|peer| NodeId(peer.0)).collect();
                self.heed(node, Heed::Awaited { event, nodes });
            }
        }
    }

    /// One node dies, and is back.
    fn lose_and_find(&mut self) {
        let left: BTreeSet<NodeId> = (1..NODES).map(NodeId).collect();
        for node in 1..NODES {
            self.heed(node, Heed::PeerDown { peer: Origin(0) });
            self.heed(node, Heed::Seen { living: left.clone(), staying: left.clone() });
        }
        self.deliver();
        for node in 1..NODES {
            self.heed(node, Heed::PeerUp { peer: Origin(0), node: NodeId(0) });
        }
        self.deliver();
    }
}

fn main() {
    let mut net = Net::new();
    type Step = fn(&mut Net);
    let steps: [(&str, Step); 4] = [
        ("10,000 events are imported one by one", Net::import),
        ("all hear for whom each waits", Net::wait_for_carriers),
        ("all hear the same again", Net::wait_for_carriers),
        ("a node dies and is back", Net::lose_and_find),
    ];
    for (what, step) in steps {
        let started = Instant::now();
        step(&mut net);
        let spent = started.elapsed();
        let each = spent.as_nanos() as u64 / (EVENTS * NODES);
        println!("{what}: {} ms on {NODES} nodes, {each} ns per event and node", spent.as_millis());
    }
    let carried: usize = net.nodes.iter().map(|interest| interest.carried().len()).sum();
    println!("each event is carried by {:.1} nodes", carried as f64 / EVENTS as f64);
}
