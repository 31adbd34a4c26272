//! On tokio's paused clock, over a network in memory.

use crate::harness::{TestNode, config};
use crate::virtual_net::VirtualNet;
use bytes::Bytes;
use crdt_state::{Lane, NodeId, Origin};
use gossip::network::{
    ConfigError, FRAME_BYTES_MAX, NetworkConfig, NetworkEvent, Reason, SendError,
};
use std::net::SocketAddr;
use std::time::Duration;

pub fn addr(number: u64) -> SocketAddr {
    ([10, 0, 0, number as u8], 7_000).into()
}

pub async fn start(net: &VirtualNet, number: u64, seeds: &[u64]) -> TestNode {
    start_with(net, number, seeds, |_| ()).await
}

pub async fn start_with(
    net: &VirtualNet,
    number: u64,
    seeds: &[u64],
    change: impl FnOnce(&mut NetworkConfig),
) -> TestNode {
    let mut config = config(1, number, addr(number));
    config.seeds = seeds.iter().map(|seed| addr(*seed)).collect();
    change(&mut config);
    let socket = net.open(config.advertise);
    TestNode::start(config, socket).await
}

/// Lets virtual time pass: for what must *not* happen in it.
async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_dial_each_other_at_once_end_with_one_undisturbed_link() {
    let net = VirtualNet::default();
    let seeds = [1, 2, 3, 4, 5];
    let mut nodes = Vec::new();
    for number in seeds {
        nodes.push(start(&net, number, &seeds).await);
    }
    pass(Duration::from_secs(30)).await;
    for node in &mut nodes {
        let ups = node.untaken().iter().filter(|event| matches!(event, NetworkEvent::PeerUp(_)));
        assert_eq!(ups.count(), 4, "{:?}", node.untaken());
        assert_eq!(node.untaken().len(), 4, "nobody went down: {:?}", node.untaken());
        assert_eq!(node.network.stats().links, 4);
        assert_eq!(node.network.members().borrow().iter().filter(|m| m.live).count(), 5);
    }
    let made: u64 = nodes.iter().map(|node| node.network.stats().links_made).sum();
    assert_eq!(made, 20, "a link has two ends");
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_an_hour_heals_by_itself() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let mut two = start(&net, 2, &[1]).await;
    one.live(&[one.origin, two.origin]).await;
    one.peer_up(two.origin).await;
    two.peer_up(one.origin).await;

    net.cut(one.addr, two.addr);
    assert_eq!(one.peer_down(two.origin).await, Reason::Silent.to_string());
    assert_eq!(two.peer_down(one.origin).await, Reason::Silent.to_string());
    one.live(&[one.origin]).await;
    pass(Duration::from_secs(3_600)).await;

    net.heal();
    let healed = tokio::time::Instant::now();
    one.peer_up(two.origin).await;
    two.peer_up(one.origin).await;
    assert!(healed.elapsed() < Duration::from_secs(9), "{:?}", healed.elapsed());
    one.live(&[one.origin, two.origin]).await;
    two.live(&[one.origin, two.origin]).await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_gossip_bridges_heals_without_flapping() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    let mut three = start(&net, 3, &[1]).await;
    one.peer_up(three.origin).await;
    three.peer_up(one.origin).await;
    three.live(&[one.origin, two.origin, three.origin]).await;

    net.cut(one.addr, three.addr);
    one.peer_down(three.origin).await;
    three.peer_down(one.origin).await;
    pass(Duration::from_secs(60)).await;
    one.live(&[one.origin, two.origin, three.origin]).await;

    net.heal();
    one.peer_up(three.origin).await;
    three.peer_up(one.origin).await;
    pass(Duration::from_secs(30)).await;
    assert!(!three.untaken().iter().any(|event| matches!(event, NetworkEvent::PeerDown { .. })));
}

#[tokio::test(start_paused = true)]
async fn other_cluster_settings_are_refused_for_that_reason() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let other = start_with(&net, 2, &[1], |config| config.config_hash += 1).await;
    one.stats(|stats| stats.ended_for(Reason::Config) > 0).await;
    other.stats(|stats| stats.ended_for(Reason::Config) > 0).await;
    pass(Duration::from_secs(30)).await;
    assert_eq!(one.untaken(), []);
    assert_eq!(one.network.members().borrow().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_copied_data_directory_is_refused() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let copy = start_with(&net, 2, &[1], |config| config.node = NodeId(1)).await;
    copy.stats(|stats| stats.ended_for(Reason::NodeIdTaken) > 0).await;
    assert_eq!(one.untaken(), []);
    assert_eq!(one.network.displaced(), Some(copy.addr), "of equal generations one is the older");
    assert_eq!(copy.network.displaced(), None);
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_with_one_id_only_the_newer_is_linked_and_everybody_says_so() {
    let net = VirtualNet::default();
    let (one, three) = (start(&net, 1, &[]).await, start(&net, 3, &[1]).await);
    // Its origin lies between those of the others: once it decides over the pair, and once it does not.
    let old = start(&net, 2, &[1]).await;
    for node in [&one, &old, &three] {
        node.live(&[one.origin, old.origin, three.origin]).await;
    }
    let copy = start_with(&net, 4, &[1], |config| {
        (config.node, config.origin, config.generation) = (NodeId(2), Origin(150), 2);
    })
    .await;
    copy.live(&[one.origin, copy.origin, three.origin]).await;
    old.stats(|stats| stats.links == 0 && stats.ended_for(Reason::StaleIncarnation) > 3).await;
    pass(Duration::from_secs(30)).await;
    assert!(old.network.displaced().is_some() && copy.network.displaced().is_none());
    for node in [&one, &three] {
        let twins = node.network.twins();
        let [twins] = &twins[..] else { panic!("{twins:?}") };
        assert_eq!((twins.node, twins.linked, twins.refused), (NodeId(2), copy.addr, old.addr));
        assert_eq!(node.network.stats().lives_replaced, 1);
        assert_eq!(node.network.displaced(), None, "refusing is not being refused");
    }
    copy.crash();
    old.live(&[one.origin, old.origin, three.origin]).await;
    pass(Duration::from_secs(30)).await;
    assert_eq!((old.network.displaced(), old.network.stats().links), (None, 2));
    assert_eq!((one.network.twins(), three.network.twins()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_living_member_without_a_direct_link_is_named_until_it_has_one() {
    let net = VirtualNet::default();
    let (one, two) = (start(&net, 1, &[]).await, start(&net, 2, &[1]).await);
    let three = start(&net, 3, &[1]).await;
    for node in [&one, &two, &three] {
        node.live(&[one.origin, two.origin, three.origin]).await;
    }
    net.cut(one.addr, two.addr);
    one.stats(|stats| stats.links == 1).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(one.network.unlinked(), [], "it may be a moment's");
    pass(Duration::from_secs(10)).await;
    let missing = one.network.unlinked();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].node, &*missing[0].name), (two.node, "node-2"));
    assert!(missing[0].since >= Duration::from_secs(10), "{missing:?}");
    assert_eq!((three.network.unlinked(), two.network.unlinked().len()), (vec![], 1));
    net.heal();
    one.stats(|stats| stats.links == 2).await;
    pass(Duration::from_secs(2)).await;
    assert_eq!(one.network.unlinked(), []);
    two.crash();
    one.live(&[one.origin, three.origin]).await;
    pass(Duration::from_secs(20)).await;
    assert_eq!(one.network.unlinked(), [], "the dead are missed otherwise");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_marked_and_not_dialled_again() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    let three = start(&net, 3, &[1]).await;
    let all = [one.origin, two.origin, three.origin];
    one.live(&all).await;
    three.live(&all).await;
    two.network.leave().await;

    assert!(one.peer_down(two.origin).await.contains("left"));
    let left = |members: &[gossip::network::Member]| {
        members.iter().any(|member| member.node == NodeId(2) && member.left && !member.live)
    };
    one.members(left).await;
    three.members(left).await;
    assert!(!one.network.addresses().contains(&two.addr));
    let dials = one.network.stats().dials;
    pass(Duration::from_secs(60)).await;
    assert_eq!(one.network.stats().dials, dials);
    assert_eq!(two.network.send(one.origin, Lane::Bulk, Bytes::new()), unknown(one.origin));
}

#[tokio::test(start_paused = true)]
async fn a_node_given_up_is_not_dialled_until_it_links_again() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    let (origin, socket_addr) = (two.origin, two.addr);
    one.live(&[one.origin, two.origin]).await;
    two.crash();
    one.live(&[one.origin]).await;
    one.peer_down(origin).await;
    assert!(one.network.addresses().contains(&socket_addr));

    one.network.forget(NodeId(2));
    one.members(|members| members.iter().any(|member| member.left)).await;
    pass(Duration::from_secs(10)).await;
    let dials = one.network.stats().dials;
    pass(Duration::from_secs(60)).await;
    assert_eq!(one.network.stats().dials, dials);

    let again = start_with(&net, 2, &[1], |config| {
        (config.generation, config.origin) = (2, Origin(201));
    })
    .await;
    one.live(&[one.origin, again.origin]).await;
}

fn unknown(origin: Origin) -> Result<(), SendError> {
    Err(SendError::Unknown(origin))
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_loses_nothing_that_it_took() {
    let net = VirtualNet::default();
    let few = |config: &mut NetworkConfig| {
        (config.tuning.lane_frames_max, config.tuning.events_max) = (8, 1);
    };
    let mut one = start_with(&net, 1, &[], few).await;
    let mut two = start_with(&net, 2, &[1], few).await;
    two.peer_up(one.origin).await;
    one.peer_up(two.origin).await;

    // Nobody reads at the other end: its event queue, QUIC's windows and this queue fill up.
    let frame = Bytes::from(vec![0; 60_000]);
    let mut taken = 0;
    let mut patience = 0;
    while patience < 100 {
        match one.network.send(two.origin, Lane::Bulk, frame.clone()) {
            Ok(()) => (taken, patience) = (taken + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Full(two.origin));
                patience += 1;
                pass(Duration::from_millis(10)).await;
            }
        }
    }
    one.network.send(two.origin, Lane::Control, Bytes::from_static(b"not held up")).unwrap();
    for _ in 0..taken {
        assert_eq!(two.frame(one.origin, Lane::Bulk).await, frame);
    }
    assert_eq!(two.frame(one.origin, Lane::Control).await, "not held up");
    assert!(one.network.stats().frames_refused >= 100);
}

#[tokio::test(start_paused = true)]
async fn a_slow_owner_hears_of_a_death_before_the_next_life() {
    let net = VirtualNet::default();
    let slow = |config: &mut NetworkConfig| config.tuning.events_max = 1;
    let mut one = start_with(&net, 1, &[], slow).await;
    let two = start(&net, 2, &[1]).await;
    let former = two.origin;
    one.stats(|stats| stats.links_made == 1).await;
    two.stats(|stats| stats.links_made == 1).await;
    for _ in 0..9 {
        two.network.send(one.origin, Lane::Bulk, Bytes::from_static(b"unread")).unwrap();
    }
    pass(Duration::from_secs(1)).await;
    two.crash();
    let again = start_with(&net, 2, &[1], |config| {
        (config.generation, config.origin) = (2, Origin(201));
    })
    .await;
    one.stats(|stats| stats.links_made == 2).await;
    pass(Duration::from_secs(1)).await;

    one.peer_up(again.origin).await;
    let last = one.untaken().last().cloned();
    assert!(
        matches!(last, Some(NetworkEvent::PeerDown { origin, .. }) if origin == former),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn impossible_frames_and_unknown_peers_are_refused() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let nobody = Origin(9);
    assert_eq!(one.network.send(nobody, Lane::Bulk, Bytes::new()), unknown(nobody));
    let huge = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);
    let refused = one.network.send(nobody, Lane::Bulk, huge);
    assert_eq!(refused, Err(SendError::TooBig { bytes: FRAME_BYTES_MAX + 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_node_recognises_itself_among_its_seeds() {
    let net = VirtualNet::default();
    let alias: SocketAddr = addr(9);
    let socket = net.open(alias);
    let mut settings = config(1, 1, alias);
    // Whoever dials the seed reaches this very node, which advertises another address.
    settings.advertise = addr(1);
    settings.seeds = vec![addr(1), alias];
    let one = TestNode::start(settings, socket).await;
    one.stats(|stats| stats.ended_for(Reason::OwnAddress) > 0).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(one.network.stats().dials, 1);
    assert_eq!(one.network.addresses(), []);
}

#[tokio::test(start_paused = true)]
async fn a_seed_under_another_name_gives_one_link() {
    let net = VirtualNet::default();
    let socket = net.open(addr(9));
    let mut settings = config(1, 1, addr(9));
    settings.advertise = addr(1);
    let mut one = TestNode::start(settings, socket).await;
    let mut two = start_with(&net, 2, &[9], |_| ()).await;
    two.peer_up(one.origin).await;
    one.peer_up(two.origin).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!((one.untaken().len(), two.untaken().len()), (0, 0));
    two.live(&[one.origin, two.origin]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_generation_was_lost_rises_above_its_former_life() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let two = start_with(&net, 2, &[1], |config| config.generation = 5).await;
    one.live(&[one.origin, two.origin]).await;
    two.crash();
    one.live(&[one.origin]).await;

    let again = start_with(&net, 2, &[1], |config| {
        (config.generation, config.origin) = (3, Origin(201));
    })
    .await;
    one.live(&[one.origin, again.origin]).await;
    assert_eq!(again.network.generation(), 6);
    again.live(&[one.origin, again.origin]).await;
}

#[tokio::test(start_paused = true)]
async fn announcements_reach_the_other_members() {
    let net = VirtualNet::default();
    let one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[1]).await;
    one.live(&[one.origin, two.origin]).await;
    two.network.announce("load", "17").unwrap();
    one.members(|members| members[1].kvs.get("load").is_some_and(|load| load == "17")).await;
    let reserved = two.network.announce("origin", "forged");
    assert_eq!(reserved, Err(ConfigError::Announcement { key: "origin".into() }));
}

#[tokio::test(start_paused = true)]
async fn discovered_addresses_are_dialled() {
    let net = VirtualNet::default();
    let mut one = start(&net, 1, &[]).await;
    let two = start(&net, 2, &[]).await;
    pass(Duration::from_secs(10)).await;
    assert_eq!(one.untaken(), []);
    one.network.add_candidates([two.addr]);
    one.peer_up(two.origin).await;
}
