//! Who is alive, in whole nodes on a simulated network: the promises about members that take an hour to see.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crdt_state::Versions;
use gossip::network::{MemberChange, MemberEvent};
use node::config::Ack;
use sim::cluster::{Cluster, Start, boot};
use sim::link::Link;
use sim::run::{Options, run};
use sim::world::World;
use tokio::sync::broadcast::Receiver;

const NODES: u8 = 3;

/// As in the table of the promises: seen by all within 1.5 s of its start.
const SEEN_MAX: Duration = Duration::from_millis(1_500);

async fn start(world: &World, cluster: &mut Cluster, number: u8) {
    let (ack, let_go_after) = (Ack::default(), None);
    let start = Start { seeds: &[1, 2], program: Versions::THIS, ack, let_go_after };
    cluster.insert(number, boot(world, number, start).await.unwrap());
}

/// Nodes that see each other.
async fn linked(world: &World) -> Cluster {
    let mut cluster = Cluster::new(world.clone());
    for number in 1..=NODES {
        start(world, &mut cluster, number).await;
    }
    all_see(world, &cluster, usize::from(NODES)).await;
    cluster
}

/// Waits until every node sees so many alive.
async fn all_see(world: &World, cluster: &Cluster, living: usize) {
    let sees_all = || {
        cluster.running().all(|(_, running)| {
            let members = running.node.network.members();
            let alive = members.borrow().iter().filter(|member| member.live).count();
            alive == living
        })
    };
    while !sees_all() {
        world.sleep(Duration::from_millis(10)).await;
    }
}

fn died(events: &mut Receiver<MemberEvent>) -> usize {
    let told = std::iter::from_fn(|| events.try_recv().ok());
    told.filter(|event| event.change == MemberChange::Died).count()
}

#[test]
fn in_an_hour_of_a_fifth_of_all_packets_lost_nobody_is_taken_for_dead() {
    let scenario = |world: World| async move {
        let cluster = linked(&world).await;
        world.net().set_between_nodes(Link { loss: 0.2, ..Link::DATA_CENTRE });
        let events = |number| cluster.node(number).unwrap().node.network.member_events();
        let mut events: Vec<_> = (1..=NODES).map(events).collect();
        world.sleep(Duration::from_secs(3_600)).await;
        let deaths: usize = events.iter_mut().map(died).sum();
        all_see(&world, &cluster, usize::from(NODES)).await;
        deaths
    };
    assert_eq!(run(1, Options::default(), scenario).unwrap().value, 0);
}

#[test]
fn a_node_that_starts_is_seen_by_all_within_a_second_and_a_half() {
    let scenario = |world: World| async move {
        let mut cluster = linked(&world).await;
        world.sleep(Duration::from_secs(30)).await;
        let started = world.elapsed();
        start(&world, &mut cluster, NODES + 1).await;
        all_see(&world, &cluster, usize::from(NODES) + 1).await;
        world.elapsed() - started
    };
    for seed in 1..=5 {
        let seen = run(seed, Options::default(), scenario).unwrap().value;
        assert!(seen <= SEEN_MAX, "seed {seed}: after {seen:?}");
    }
}
