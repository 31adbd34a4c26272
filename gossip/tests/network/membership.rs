//! What becomes of members: how soon it is seen, how it is told, and that nothing piles up.

use crate::harness::TestNode;
use crate::virtual_net::VirtualNet;
use crate::virtual_time::{addr, start, start_with};
use crdt_state::{NodeId, Origin};
use gossip::network::MemberChange::{self, *};
use gossip::network::{MemberEvent, NetworkConfig, Reason, Standing};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);

/// The events about `node` up to `last`, which must come.
async fn story(
    events: &mut Receiver<MemberEvent>,
    node: NodeId,
    last: MemberChange,
) -> Vec<MemberChange> {
    let mut story = Vec::new();
    while story.last() != Some(&last) {
        let event = timeout(LIMIT, events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{last} never came after {story:?}")).unwrap();
        if event.node == node {
            story.push(event.change);
        }
    }
    story
}

/// The next life of node `number`, at its former address.
async fn next_life(net: &VirtualNet, number: u64, life: u64, seeds: &[u64]) -> TestNode {
    start_with(net, number, seeds, |config| {
        (config.generation, config.origin) = (life, Origin(number * 100 + life));
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn everything_that_becomes_of_a_member_is_told_in_order() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let mut events = one.network.member_events();
    let two = start(&net, 2, &[1]).await;
    let node = two.node;
    two.network.stand(Standing::Ready);
    assert_eq!(story(&mut events, node, Ready).await, [Joined, Ready]);
    two.network.stand(Standing::Draining);
    assert_eq!(story(&mut events, node, Draining).await, [Draining]);
    two.network.stand(Standing::Ready);
    assert_eq!(story(&mut events, node, Ready).await, [Ready]);
    two.crash();
    assert_eq!(story(&mut events, node, Died).await, [Suspect, Died]);
    let two = next_life(&net, 2, 2, &[1]).await;
    two.network.stand(Standing::Ready);
    assert_eq!(story(&mut events, node, Ready).await, [Returned, Ready]);
    two.network.leave().await;
    assert_eq!(story(&mut events, node, Left).await, [Left]);
}

#[tokio::test(start_paused = true)]
async fn draining_is_heard_on_the_link_at_once_and_taken_back_as_fast() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    one.live(&[one.origin, two.origin]).await;
    one.stats(|stats| stats.links == 1 && stats.notices_received > 0).await;
    for standing in [Standing::Draining, Standing::Ready, Standing::Draining] {
        let said = Instant::now();
        two.network.stand(standing);
        one.members(|members| members[1].standing == standing).await;
        assert!(said.elapsed() < Duration::from_millis(20), "{:?}", said.elapsed());
        assert!(one.network.members().borrow()[1].live, "it still takes part");
    }
    sleep(Duration::from_secs(10)).await;
    let late = one.network.members().borrow()[1].standing;
    assert_eq!(late, Standing::Draining, "gossip does not bring an older word back");
}

#[tokio::test(start_paused = true)]
async fn draining_reaches_a_node_without_a_link_through_gossip() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    let mut three = start(&net, 3, &[1]).await;
    three.live(&[one.origin, two.origin, three.origin]).await;
    three.peer_up(two.origin).await;
    net.cut(two.addr, three.addr);
    three.peer_down(two.origin).await;
    two.network.stand(Standing::Draining);
    three.members(|members| members[1].standing == Standing::Draining).await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_dead_in_three_and_a_half_seconds_and_a_started_one_seen_in_one_and_a_half()
 {
    let net = VirtualNet::default();
    let mut nodes = Vec::new();
    for number in 1..=4 {
        nodes.push(start(&net, number, &[1]).await);
    }
    let mut all: Vec<_> = nodes.iter().map(|node| node.origin).collect();
    for node in &nodes {
        node.live(&all).await;
    }
    sleep(Duration::from_secs(60)).await;

    let started = Instant::now();
    nodes.push(start(&net, 5, &[1]).await);
    all.push(nodes[4].origin);
    for node in &nodes {
        node.live(&all).await;
    }
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());

    sleep(Duration::from_secs(60)).await;
    let killed = Instant::now();
    all.remove(2);
    nodes.remove(2).crash();
    for node in &nodes {
        node.live(&all).await;
    }
    assert!(killed.elapsed() < Duration::from_millis(3_500), "{:?}", killed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_declared_dead_in_an_hour_of_a_fifth_of_all_packets_lost() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    let three = start(&net, 3, &[1]).await;
    let nodes = [one, two, three];
    let all = nodes.each_ref().map(|node| node.origin);
    for node in &nodes {
        node.live(&all).await;
    }
    net.lose(200);
    let mut events = nodes.each_ref().map(|node| node.network.member_events());
    sleep(Duration::from_secs(3_600)).await;
    for events in &mut events {
        while let Ok(event) = events.try_recv() {
            assert_ne!(event.change, Died, "{event:?}");
        }
    }
    for node in &nodes {
        node.live(&all).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_lives_leave_nothing_behind_after_their_grace() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    // Each life has an address of its own, as pods have.
    for life in 1..=1_000_u64 {
        let address = ([10, 1, (life / 200) as u8, (life % 200) as u8], 7_000).into();
        let socket = net.open(address);
        let mut config = crate::harness::config(1, 2, address);
        (config.generation, config.origin) = (life, Origin(10_000 + life));
        config.seeds = vec![addr(1)];
        let two = TestNode::start(config, socket).await;
        one.live(&[one.origin, two.origin]).await;
        if life % 2 == 0 {
            two.network.leave().await;
        }
        two.crash();
        net.close(address);
        one.untaken();
        sleep(Duration::from_secs(2)).await;
        assert!(one.network.members().borrow().len() <= 2, "a node is one member");
    }
    sleep(one.grace() * 2).await;
    let stats = one.network.stats();
    assert_eq!(stats.incarnations, 1, "{stats:?}");
    assert!(stats.addresses <= 1, "{stats:?}");
    assert_eq!((stats.links, stats.gossip_restarts, stats.task_restarts), (0, 0, 0), "{stats:?}");
    assert_eq!(one.network.members().borrow().len(), 1);
}

/// Where `count` nodes were that will never be back.
fn deserted(count: u64) -> Vec<std::net::SocketAddr> {
    (0..count).map(|dead| ([10, 2, (dead / 200) as u8, (dead % 200) as u8], 7_000).into()).collect()
}

#[tokio::test(start_paused = true)]
async fn however_many_nodes_died_for_good_a_few_dials_at_a_time_look_for_them() {
    let net = VirtualNet::default();
    let dead = deserted(300);
    let remembered = dead.clone();
    let one = start_with(&net, 1, &[], |config| config.remembered = remembered).await;
    let two = start(&net, 2, &[1]).await;
    one.live(&[one.origin, two.origin]).await;
    // Until each has failed often enough to count as lost.
    sleep(Duration::from_secs(300)).await;
    for _ in 0..60 {
        let stats = one.network.stats();
        assert!(stats.dialling <= 16, "{stats:?}");
        assert!(stats.connections <= stats.links + 2 * 16, "those that wind down too: {stats:?}");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(one.network.stats().addresses, 301, "none is given up");

    let socket = net.open(dead[7]);
    let mut config = crate::harness::config(1, 9, dead[7]);
    config.generation = 2;
    let nine = TestNode::start(config, socket).await;
    let back = Instant::now();
    one.stats(|stats| stats.links == 2 || back.elapsed() > LIMIT).await;
    one.stats(|stats| stats.links == 2 || back.elapsed() > 2 * LIMIT).await;
    one.live(&[one.origin, two.origin, nine.origin]).await;
    two.live(&[one.origin, two.origin, nine.origin]).await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_heals_as_fast_beside_hundreds_of_dead_nodes() {
    let net = VirtualNet::default();
    let remembered = deserted(300);
    let mut one = start_with(&net, 1, &[], |config| config.remembered = remembered).await;
    let two = start(&net, 2, &[1]).await;
    one.live(&[one.origin, two.origin]).await;
    one.peer_up(two.origin).await;
    net.cut(one.addr, two.addr);
    one.peer_down(two.origin).await;
    sleep(Duration::from_secs(600)).await;
    net.heal();
    let healed = Instant::now();
    one.peer_up(two.origin).await;
    assert!(healed.elapsed() < Duration::from_secs(9), "{:?}", healed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_refuses_strangers_says_why_and_keeps_its_own() {
    let net = VirtualNet::default();
    let small = |config: &mut NetworkConfig| config.tuning.incarnations_max = 2;
    let one = start_with(&net, 1, &[], small).await;
    let two = start_with(&net, 2, &[1], small).await;
    one.live(&[one.origin, two.origin]).await;
    let three = start_with(&net, 3, &[1], small).await;
    three.stats(|stats| stats.ended_for(Reason::Crowded) > 0).await;
    one.stats(|stats| stats.ended_for(Reason::Crowded) > 0).await;
    assert_eq!(one.network.members().borrow().len(), 2);
    one.live(&[one.origin, two.origin]).await;
}

/// Each side of a partition took a stranger into its last place: together they know more than there may be,
/// and must hear each other all the same.
#[tokio::test(start_paused = true)]
async fn sides_that_filled_up_apart_hear_each_other_again() {
    let net = VirtualNet::default();
    let small = |config: &mut NetworkConfig| config.tuning.incarnations_max = 3;
    let one = start_with(&net, 1, &[], small).await;
    let two = start_with(&net, 2, &[1], small).await;
    one.live(&[one.origin, two.origin]).await;
    for (here, there) in [(1, 2), (1, 4), (3, 2), (3, 4)] {
        net.cut(addr(here), addr(there));
    }
    let three = start_with(&net, 3, &[1], small).await;
    let four = start_with(&net, 4, &[2], small).await;
    one.live(&[one.origin, three.origin]).await;
    two.live(&[two.origin, four.origin]).await;
    three.crash();
    four.crash();
    one.live(&[one.origin]).await;
    two.live(&[two.origin]).await;
    net.heal();
    one.live(&[one.origin, two.origin]).await;
    two.live(&[one.origin, two.origin]).await;
}
