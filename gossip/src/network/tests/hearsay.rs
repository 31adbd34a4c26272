//! A peer whose gossip is chitchat's own and whose words are not: it speaks of others, or too much.

use super::*;
use chitchat::transport::{Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatMessage, Deserializable, FailureDetectorConfig,
    spawn_chitchat,
};

/// Carries a real chitchat's messages over a rogue's link.
struct OverLink(Connection);

#[async_trait::async_trait]
impl Transport for OverLink {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        Ok(Box::new(OverLink(self.0.clone())))
    }
}

#[async_trait::async_trait]
impl Socket for OverLink {
    async fn send(&mut self, _: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let mut stream = self.0.open_uni().await?;
        stream.write_all(&[&[0], &message.serialize_to_vec()[..]].concat()).await?;
        Ok(stream.finish()?)
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let message = tokio::select! {
                datagram = self.0.read_datagram() => [&[0], &datagram?[..]].concat(),
                // What is no gossip is a lane, which has no end.
                stream = self.0.accept_uni() => {
                    let mut stream = stream?;
                    let mut purpose = [0];
                    match stream.read_exact(&mut purpose).await {
                        Ok(()) if purpose == [0] => {
                            let rest = stream.read_to_end(1 << 20).await?;
                            [&purpose[..], &rest].concat()
                        }
                        _ => continue,
                    }
                }
            };
            let message = ChitchatMessage::deserialize(&mut &message[1..])?;
            return Ok((self.0.remote_address(), message));
        }
    }
}

impl Rogue {
    /// Gossips as incarnation `id` of whatever node, whose keys are `keys`.
    async fn gossip_as(
        &self,
        victim: &Victim,
        id: ChitchatId,
        keys: Vec<(String, String)>,
    ) -> ChitchatHandle {
        let interval = Duration::from_millis(50);
        let config = ChitchatConfig {
            listen_addr: id.gossip_advertise_addr,
            chitchat_id: id,
            cluster_id: "starling".into(),
            gossip_interval: interval,
            seed_nodes: vec![victim.addr.to_string()],
            failure_detector_config: FailureDetectorConfig {
                initial_interval: interval,
                ..FailureDetectorConfig::default()
            },
            marked_for_deletion_grace_period: Duration::from_secs(60),
            catchup_callback: None,
            extra_liveness_predicate: None,
        };
        spawn_chitchat(config, keys, &OverLink(self.connection.clone())).await.unwrap()
    }
}

fn id_of(node: u64, addr: SocketAddr) -> ChitchatId {
    ChitchatId::new(NodeId(node).to_string(), 1, addr)
}

fn filler(first: u64, count: u64) -> impl Iterator<Item = (String, String)> {
    (first..first + count).map(|key| (format!("filler {key}"), "much ado ".repeat(20)))
}

/// The keys of a node that look like any member's, with a thousand more.
fn far_too_many(node: u64) -> Vec<(String, String)> {
    let mut keys: Vec<_> = filler(0, 1_000).collect();
    keys.push(("name".into(), format!("node-{node}")));
    keys.push(("origin".into(), Origin(node).to_string()));
    keys
}

/// All keys that the victim's chitchat has of a node.
async fn keys_of(victim: &Victim, node: u64) -> Vec<String> {
    let handle = victim.network.shared.membership.handle().unwrap();
    let node = NodeId(node).to_string();
    let keys = handle.with_chitchat(|chitchat| {
        let states = chitchat.node_states().iter().filter(|(id, _)| *id.node_id == *node);
        let keys = states.flat_map(|(_, state)| state.key_values_including_deleted());
        keys.map(|(key, _)| key.to_owned()).collect()
    });
    keys.await
}

/// An honest node that is linked with the victim and known to it.
async fn honest_node(victim: &mut Victim, number: u64) -> (Network, SocketAddr) {
    let (socket, addr) = open_socket("127.0.0.1:0".parse().unwrap()).unwrap();
    let (runtime, spawn) = (Arc::new(TokioRuntime), Arc::new(TokioSpawn));
    let config = NetworkConfig { seeds: vec![victim.addr], ..config(number, addr) };
    let ports = Ports { socket, runtime, spawn, seed: [7; 32] };
    let (network, mut events) = Network::start(config, ports).await.unwrap();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    assert!(matches!(victim.event().await, NetworkEvent::PeerUp(_)));
    let mut members = victim.network.members();
    let known = members.wait_for(|members| members.iter().any(|member| member.node.0 == number));
    timeout(LIMIT, known).await.expect("it is known in time").unwrap();
    (network, addr)
}

fn is_linked(victim: &Victim, number: u64) -> bool {
    victim.network.peers().iter().any(|peer| peer.node.0 == number)
}

/// What a rogue of the victim's has broken: nothing.
fn assert_unharmed(victim: &Victim) {
    let stats = victim.network.stats();
    assert_eq!((stats.gossip_restarts, stats.task_restarts), (0, 0), "{stats:?}");
    assert!(stats.ended.is_empty(), "{stats:?}");
}

#[tokio::test]
async fn what_a_peer_tells_too_much_of_another_costs_that_one_nothing() {
    let mut victim = Victim::start().await;
    let (honest, addr) = honest_node(&mut victim, 2).await;
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let _gossip = rogue.gossip_as(&victim, id_of(2, addr), far_too_many(2)).await;
    until(|| victim.network.stats().gossip_hearsay >= 3).await;
    assert!(is_linked(&victim, 2) && is_linked(&victim, 3));
    assert!(!keys_of(&victim, 2).await.iter().any(|key| key.starts_with("filler")));
    assert_unharmed(&victim);

    honest.announce("load", "17").unwrap();
    let mut members = victim.network.members();
    let heard = members.wait_for(|members| {
        members.iter().any(|member| member.kvs.get("load").is_some_and(|load| load == "17"))
    });
    timeout(LIMIT, heard).await.expect("its own word is heard").unwrap();
    assert_unharmed(&victim);
}

#[tokio::test]
async fn hearsay_in_small_bits_comes_to_no_more_and_leaves_room_for_a_nodes_own_word() {
    let mut victim = Victim::start().await;
    let (_honest, addr) = honest_node(&mut victim, 2).await;
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let gossip = rogue.gossip_as(&victim, id_of(2, addr), filler(0, 20).collect()).await;
    let mut more = 0;
    while victim.network.stats().gossip_hearsay == 0 {
        more += 1;
        assert!(more < 1_000, "all of it was taken in");
        gossip
            .with_chitchat(|chitchat| {
                let state = chitchat.self_node_state();
                filler(more, 20).for_each(|(key, value)| state.set(key, value));
            })
            .await;
        sleep(Duration::from_millis(20)).await;
    }
    let keys = keys_of(&victim, 2).await;
    assert!(keys.len() <= 64 && keys.iter().any(|key| key.starts_with("filler")), "{keys:?}");
    assert!(is_linked(&victim, 2) && is_linked(&victim, 3));
    assert_unharmed(&victim);
}

#[tokio::test]
async fn whoever_announces_too_much_of_itself_loses_its_link_and_nobody_else_does() {
    let mut victim = Victim::start().await;
    let (_honest, _) = honest_node(&mut victim, 2).await;
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let addr = rogue.hello.advertise;
    let _gossip = rogue.gossip_as(&victim, id_of(3, addr), far_too_many(3)).await;
    assert_eq!(rogue.refusal().await, Reason::Overgrown);
    until(|| victim.network.stats().ended == [((Attempt::Link, Reason::Overgrown), 1)].into())
        .await;
    assert!(keys_of(&victim, 3).await.is_empty());
    assert!(is_linked(&victim, 2));
    assert_eq!(victim.network.stats().gossip_restarts, 0);
}

#[tokio::test]
async fn nobody_tells_a_node_of_itself() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    let mut keys: Vec<_> = filler(0, 5).collect();
    keys.push(("state".into(), format!("{} left", u64::MAX)));
    let _gossip = rogue.gossip_as(&victim, id_of(1, victim.addr), keys).await;
    until(|| victim.network.stats().gossip_hearsay > 0).await;
    assert!(!keys_of(&victim, 1).await.iter().any(|key| key.starts_with("filler")));
    // What others may have believed of it meanwhile is of a life that is over.
    let mut members = victim.network.members();
    let anew = members.wait_for(|members| members[0].generation == 2);
    let own = timeout(LIMIT, anew).await.expect("it begins anew").unwrap()[0].clone();
    assert_eq!((own.origin, own.standing), (Origin(1), Standing::Starting));
    assert!(!own.kvs.keys().any(|key| key.starts_with("filler")));
    let stats = victim.network.stats();
    assert_eq!((stats.gossip_slandered, stats.links), (1, 1), "{stats:?}");
}

/// Keys of node 2 as it has them itself, but for a goodbye, and so many more that no word of its own is as new.
fn lies_of_node_2() -> Vec<(String, String)> {
    let mut keys = vec![("name".into(), "node-2".into()), ("origin".into(), Origin(2).to_string())];
    keys.extend(filler(0, 40));
    keys.push(("state".into(), format!("{} left", u64::MAX)));
    keys
}

/// Waits until the victim sees node 2 as it is, and hears what it says now.
async fn assert_heard(victim: &Victim, honest: &Network) {
    honest.announce("load", "17").unwrap();
    let mut members = victim.network.members();
    let heard = members.wait_for(|members| {
        members.iter().any(|it| {
            it.node.0 == 2
                && (it.origin, it.addr) == (Origin(2), honest.advertise())
                && (it.live, it.left) == (true, false)
                && it.kvs.get("load").is_some_and(|load| load == "17")
        })
    });
    timeout(LIMIT, heard).await.expect("its own word is heard").unwrap();
}

fn changes(events: &mut broadcast::Receiver<MemberEvent>) -> Vec<MemberChange> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.change).collect()
}

#[tokio::test]
async fn a_node_of_which_lies_are_believed_begins_anew_above_them() {
    let mut victim = Victim::start().await;
    let (honest, addr) = honest_node(&mut victim, 2).await;
    assert_heard(&victim, &honest).await;
    let mut stories = [&victim.network, &honest].map(Network::member_events);
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let _gossip = rogue.gossip_as(&victim, id_of(2, addr), lies_of_node_2()).await;
    until(|| honest.stats().gossip_slandered > 0).await;
    until(|| honest.generation() > 1).await;
    honest.announce("load", "18").unwrap();
    assert_heard(&victim, &honest).await;
    assert!(is_linked(&victim, 2));
    for story in &mut stories {
        let told = changes(story);
        assert!(
            !told.contains(&MemberChange::Left) && !told.contains(&MemberChange::Died),
            "{told:?}"
        );
    }
    assert_unharmed(&victim);
}

/// What makes a node dead to all is that they are told of heartbeats which it has not had.
#[tokio::test]
async fn a_node_whose_heartbeats_were_run_ahead_of_begins_anew() {
    let mut victim = Victim::start().await;
    let (honest, addr) = honest_node(&mut victim, 2).await;
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let mut message = vec![0, 0x53, 0xb0, 0, 0];
    1_u16.serialize(&mut message);
    id_of(2, addr).serialize(&mut message);
    [u64::MAX, 0, 1].iter().for_each(|number| number.serialize(&mut message));
    "starling".to_owned().serialize(&mut message);
    rogue.send_stream(&message).await.finish().unwrap();
    until(|| honest.stats().gossip_slandered > 0).await;
    assert_heard(&victim, &honest).await;
    assert_unharmed(&victim);
}

#[tokio::test]
async fn a_next_life_or_another_place_that_is_made_up_is_outbid_by_the_node_itself() {
    for (generation, elsewhere) in [(9, false), (1, true)] {
        let mut victim = Victim::start().await;
        let (honest, addr) = honest_node(&mut victim, 2).await;
        let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
        let addr = if elsewhere { "127.0.0.99:9".parse().unwrap() } else { addr };
        let id = ChitchatId::new(NodeId(2).to_string(), generation, addr);
        let keys = [("name", "node-2"), ("origin", "00000000000000ff")];
        let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let _gossip = rogue.gossip_as(&victim, id, keys).await;
        until(|| honest.generation() > generation).await;
        assert_heard(&victim, &honest).await;
        assert!(is_linked(&victim, 2) && is_linked(&victim, 3));
    }
}

#[tokio::test]
async fn nobody_is_made_to_use_all_generations_up() {
    let mut victim = Victim::start().await;
    let (honest, addr) = honest_node(&mut victim, 2).await;
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let id = ChitchatId::new(NodeId(2).to_string(), u64::MAX, addr);
    let _gossip = rogue.gossip_as(&victim, id, lies_of_node_2()).await;
    until(|| victim.network.stats().gossip_hearsay >= 3).await;
    assert_heard(&victim, &honest).await;
    assert_eq!(honest.generation(), 1);
    assert_unharmed(&victim);
}

/// Versions that fall end chitchat's loop with an assertion.
#[tokio::test]
async fn a_delta_whose_versions_fall_is_malformed_and_gossip_goes_on() {
    let mut victim = Victim::start().await;
    let (_honest, addr) = honest_node(&mut victim, 2).await;
    let rogue = Rogue::connect_as(&victim, 3, 1).await.unwrap().believed_by(&mut victim).await;
    let mut delta = vec![0];
    id_of(2, addr).serialize(&mut delta);
    [0_u64, 0].iter().for_each(|version| version.serialize(&mut delta));
    delta.push(1);
    "key".to_owned().serialize(&mut delta);
    "value".to_owned().serialize(&mut delta);
    2_000_u64.serialize(&mut delta);
    delta.extend([0, 2]);
    1_000_u64.serialize(&mut delta);
    let mut message = vec![0, 0x53, 0xb0, 0, 2, 2];
    (delta.len() as u16).serialize(&mut message);
    message.extend(&delta);
    message.push(0);
    rogue.send_stream(&message).await.finish().unwrap();
    until(|| victim.network.stats().gossip_malformed == 1).await;
    assert!(!keys_of(&victim, 2).await.contains(&"key".to_owned()));
    assert_unharmed(&victim);
}

/// A stream of gossip, no longer than any may be, that unpacks to 170 MiB.
pub(super) fn bomb() -> Vec<u8> {
    let block = zstd::bulk::compress(&vec![0; usize::from(u16::MAX)], 0).unwrap();
    let mut message = vec![0, 0x53, 0xb0, 0, 2];
    for _ in 0..2_700 {
        message.push(1);
        (block.len() as u16).serialize(&mut message);
        message.extend(&block);
    }
    message.push(0);
    assert!(message.len() <= gossip::MESSAGE_BYTES_MAX, "{}", message.len());
    message
}
