//! Over real UDP sockets on loopback.

use crate::harness::{TestNode, config};
use bytes::Bytes;
use crdt_state::{Lane, Origin};
use gossip::network::{NetworkConfig, NetworkEvent, OpenError, Reason, SendError, open_socket};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Starts a node on a free port, knowing `seeds`.
async fn start(key: u8, number: u64, seeds: &[SocketAddr]) -> TestNode {
    start_with(key, number, seeds, |_| ()).await
}

async fn start_with(
    key: u8,
    number: u64,
    seeds: &[SocketAddr],
    change: impl FnOnce(&mut NetworkConfig),
) -> TestNode {
    let (socket, addr) = open_socket("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut config = config(key, number, addr);
    config.seeds = seeds.to_vec();
    change(&mut config);
    TestNode::start(config, socket).await
}

/// Starts the next life of a crashed node on its former port, once the system has freed it.
async fn restart(addr: SocketAddr, number: u64, seeds: &[SocketAddr]) -> TestNode {
    let socket = loop {
        match open_socket(addr) {
            Ok((socket, _)) => break socket,
            Err(OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let mut config = config(1, number, addr);
    config.seeds = seeds.to_vec();
    config.origin = Origin(number * 100 + 1);
    config.generation = 2;
    TestNode::start(config, socket).await
}

async fn linked_pair(change: fn(&mut NetworkConfig)) -> (TestNode, TestNode) {
    let mut one = start_with(1, 1, &[], change).await;
    let mut two = start_with(1, 2, &[one.addr], change).await;
    one.peer_up(two.origin).await;
    two.peer_up(one.origin).await;
    (one, two)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_one_address_is_linked_with_all() {
    let mut one = start(1, 1, &[]).await;
    let two = start(1, 2, &[one.addr]).await;
    let mut three = start(1, 3, &[two.addr]).await;
    let members = three.members(|members| members.iter().filter(|m| m.live).count() == 3).await;
    assert_eq!(members[0].name, "node-1");
    assert_eq!(members[0].kvs["http"], "http://node-1");

    three.peer_up(one.origin).await;
    one.peer_up(three.origin).await;
    for lane in Lane::ALL {
        three.network.send(one.origin, lane, Bytes::from_static(b"question")).unwrap();
        assert_eq!(one.frame(three.origin, lane).await, "question");
        one.network.send(three.origin, lane, Bytes::from_static(b"answer")).unwrap();
        assert_eq!(three.frame(one.origin, lane).await, "answer");
    }
    let peers = three.network.peers();
    assert_eq!(peers.iter().map(|peer| peer.origin).collect::<Vec<_>>(), [one.origin, two.origin]);
    assert!(peers.iter().all(|peer| peer.rtt > Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_cluster_key_is_refused_and_never_appears() {
    let mut ours = start(1, 1, &[]).await;
    let mut foreign = start(2, 2, &[ours.addr]).await;
    ours.stats(|stats| stats.ended_for(Reason::Untrusted) > 0).await;
    foreign.stats(|stats| stats.ended_for(Reason::Untrusted) > 0).await;
    for node in [&mut ours, &mut foreign] {
        assert_eq!(node.untaken(), []);
        assert_eq!(node.network.members().borrow().len(), 1);
        assert_eq!(node.network.peers(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_lane_arrive_complete_and_in_order() {
    const FRAMES: u32 = 3_000;
    let (one, mut two) = linked_pair(|config| config.tuning.lane_frames_max = 100).await;
    let (network, to) = (one.network.clone(), two.origin);
    let sender = tokio::spawn(async move {
        for number in 0..FRAMES {
            for lane in Lane::ALL {
                send_when_possible(&network, to, lane, number).await;
            }
        }
    });
    let mut next = [0; 2];
    while next != [FRAMES; 2] {
        let (lane, number) = two
            .event(|event| match event {
                NetworkEvent::Frame { lane, bytes, .. } => Some((*lane, number_of(bytes))),
                _ => None,
            })
            .await;
        assert_eq!(number, next[lane as usize], "{lane:?}");
        next[lane as usize] += 1;
    }
    sender.await.unwrap();
    assert_eq!(one.network.stats().frames_sent, u64::from(FRAMES) * 2);
}

async fn send_when_possible(
    network: &gossip::network::Network,
    to: Origin,
    lane: Lane,
    number: u32,
) {
    let frame = Bytes::from(number.to_be_bytes().repeat(1 + number as usize % 200));
    while let Err(error) = network.send(to, lane, frame.clone()) {
        assert_eq!(error, SendError::Full(to));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn number_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(*frame.first_chunk().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_peer_goes_down_and_its_next_life_comes_up() {
    let (mut one, two) = linked_pair(|_| ()).await;
    let (addr, former) = (two.addr, two.origin);
    two.crash();
    assert_eq!(one.peer_down(former).await, Reason::Silent.to_string());
    let again = restart(addr, 2, &[]).await;
    one.peer_up(again.origin).await;
    again.live(&[one.origin, again.origin]).await;
    one.live(&[one.origin, again.origin]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_restart_replaces_the_former_life_at_once() {
    let (mut one, two) = linked_pair(|_| ()).await;
    let (addr, former) = (two.addr, two.origin);
    two.crash();
    let again = restart(addr, 2, &[one.addr]).await;
    let reason = one.peer_down(former).await;
    assert_ne!(reason, Reason::Silent.to_string(), "nobody waited for the idle time-out");
    one.peer_up(again.origin).await;
    assert_eq!(one.network.send(former, Lane::Bulk, Bytes::new()), Err(SendError::Unknown(former)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_from_made_up_addresses_keep_no_peer_out() {
    // The first datagrams of real calls, said again from where nobody goes on.
    let mut sinks = Vec::new();
    for _ in 0..6 {
        sinks.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    let seeds: Vec<_> = sinks.iter().map(|sink| sink.local_addr().unwrap()).collect();
    let caller = start(1, 9, &seeds).await;
    let mut initials = Vec::new();
    for sink in &sinks {
        let mut space = [0; 2048];
        let count = sink.recv(&mut space).await.unwrap();
        initials.push(space[..count].to_vec());
    }
    caller.crash();

    let few = |config: &mut NetworkConfig| config.tuning.handshakes_max = 4;
    let one = start_with(1, 1, &[], few).await;
    for (sink, initial) in sinks.iter().zip(&initials) {
        sink.send_to(initial, one.addr).await.unwrap();
    }
    while one.network.stats().retries < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut two = start(1, 2, &[one.addr]).await;
    two.peer_up(one.origin).await;
    let stats = one.network.stats();
    assert_eq!(stats.ended_for(Reason::Overloaded), 0, "{stats:?}");
}
