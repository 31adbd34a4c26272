//! Keys replaced while frames flow: no link ends for it, and whoever lacks the ring is refused.

use crate::harness::{TestNode, config};
use crate::virtual_net::VirtualNet;
use crate::virtual_time::{addr, start, start_with};
use bytes::Bytes;
use crdt_state::Lane;
use gossip::network::{ClusterKey, KeyRing, NetworkConfig, NetworkEvent, Reason};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);

fn key(byte: u8) -> ClusterKey {
    ClusterKey::from_bytes([byte; 32])
}

/// Waits until every node believes exactly these keys, the first one in use.
async fn believed(nodes: &[TestNode], keys: &[ClusterKey]) {
    for node in nodes {
        let mut ring = node.network.ring();
        let agreed = timeout(LIMIT, ring.wait_for(|ring| ring.keys() == keys)).await;
        assert!(
            agreed.is_ok(),
            "{:?} believes {}",
            node.node,
            node.network.ring().borrow().describe()
        );
    }
}

/// Sends a frame from each node to each other one and counts that all have come.
async fn all_talk(nodes: &mut [TestNode]) {
    let origins: Vec<_> = nodes.iter().map(|node| node.origin).collect();
    for from in 0..nodes.len() {
        for to in (0..nodes.len()).filter(|to| *to != from) {
            let frame = Bytes::from_static(b"still here");
            nodes[from].network.send(origins[to], Lane::Bulk, frame.clone()).unwrap();
            assert_eq!(nodes[to].frame(origins[from], Lane::Bulk).await, frame);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_replaced_under_load_and_no_link_ends() {
    let net = VirtualNet::default();
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(start(&net, number, &[1]).await);
    }
    let all: Vec<_> = nodes.iter().map(|node| node.origin).collect();
    for node in &mut nodes {
        let own = node.origin;
        for origin in all.iter().filter(|origin| **origin != own) {
            node.peer_up(*origin).await;
        }
    }
    all_talk(&mut nodes).await;
    nodes[0].network.change_ring(|ring| ring.install(&key(2))).unwrap();
    believed(&nodes, &[key(1), key(2)]).await;
    all_talk(&mut nodes).await;
    nodes[1].network.change_ring(|ring| ring.use_key(&key(2).fingerprint())).unwrap();
    believed(&nodes, &[key(2), key(1)]).await;
    all_talk(&mut nodes).await;
    nodes[2].network.change_ring(|ring| ring.remove(&key(1).fingerprint())).unwrap();
    believed(&nodes, &[key(2)]).await;
    all_talk(&mut nodes).await;
    sleep(Duration::from_secs(30)).await;
    all_talk(&mut nodes).await;
    for node in &mut nodes {
        let ended =
            node.untaken().iter().any(|event| matches!(event, NetworkEvent::PeerDown { .. }));
        assert!(!ended, "no link ended: {:?}", node.untaken());
    }

    // The old key alone opens nothing any more, the new one does.
    let late = start_with(&net, 4, &[1], |_| ()).await;
    late.stats(|stats| stats.ended_for(Reason::Untrusted) > 0).await;
    let mut config = config(2, 5, addr(5));
    config.seeds = vec![addr(1)];
    let socket = net.open(addr(5));
    let fresh = TestNode::start(config, socket).await;
    fresh.members(|members| members.iter().filter(|member| member.live).count() == 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_missed_the_change_learns_it_when_it_links() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    one.network.change_ring(|ring| ring.install(&key(2))).unwrap();
    let two = start(&net, 2, &[1]).await;
    let mut nodes = [one, two];
    believed(&nodes, &[key(1), key(2)]).await;
    // It missed as well that the new one is used, and believes it already.
    let (one, two) = (nodes[0].addr, nodes[1].addr);
    net.cut(one, two);
    let other = nodes[1].origin;
    nodes[0].peer_down(other).await;
    nodes[0].network.change_ring(|ring| ring.use_key(&key(2).fingerprint())).unwrap();
    net.heal();
    believed(&nodes, &[key(2), key(1)]).await;
}

#[tokio::test(start_paused = true)]
async fn two_sides_of_a_partition_agree_on_their_keys_when_it_heals() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    one.peer_up(two.origin).await;
    net.cut(one.addr, two.addr);
    one.peer_down(two.origin).await;
    one.network.change_ring(|ring| ring.install(&key(2))).unwrap();
    two.network.change_ring(|ring| ring.install(&key(3))).unwrap();
    net.heal();
    one.peer_up(two.origin).await;
    let nodes = [one, two];
    let ring = nodes[0].network.ring();
    let both = |ring: &KeyRing| ring.keys().len() == 3;
    timeout(LIMIT, ring.clone().wait_for(both)).await.unwrap().unwrap();
    let keys = ring.borrow().keys();
    believed(&nodes, &keys).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_another_name_is_refused_under_the_same_key() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let other = start_with(&net, 2, &[1], |config: &mut NetworkConfig| {
        config.cluster = "another".into();
    })
    .await;
    one.stats(|stats| stats.ended_for(Reason::Cluster) > 0).await;
    other.stats(|stats| stats.ended_for(Reason::Cluster) > 0).await;
    assert_eq!(one.network.members().borrow().len(), 1);
}
