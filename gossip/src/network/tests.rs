//! A peer that holds the cluster key and breaks the rules, and gossip that dies.

use super::frames::FRAME_BYTES_MAX;
use super::handshake::{Greeting, Hello, Verdict};
use super::identity::{SERVER_NAME, tls_configs};
use super::*;
use chitchat::{ChitchatId, Serializable};
use quinn::{ClientConfig, Connection, EndpointConfig, Runtime, TokioRuntime};

mod hearsay;

const LIMIT: Duration = Duration::from_secs(30);

fn config(number: u64, advertise: SocketAddr) -> NetworkConfig {
    NetworkConfig {
        cluster: "test".into(),
        ring: KeyRing::new(&ClusterKey::from_bytes([1; 32])),
        node: NodeId(number),
        origin: Origin(number),
        generation: 1,
        name: format!("node-{number}"),
        advertise,
        seeds: Vec::new(),
        remembered: Vec::new(),
        kvs: BTreeMap::new(),
        config_hash: 7,
        tuning: Tuning { handshake_timeout: Duration::from_millis(500), ..Tuning::default() },
    }
}

struct Victim {
    network: Network,
    events: mpsc::Receiver<NetworkEvent>,
    addr: SocketAddr,
}

impl Victim {
    async fn start() -> Self {
        let (socket, addr) = open_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        let ports = Ports {
            socket,
            runtime: Arc::new(TokioRuntime),
            spawn: Arc::new(TokioSpawn),
            seed: [5; 32],
        };
        let (network, events) = Network::start(config(1, addr), ports).await.unwrap();
        Victim { network, events, addr }
    }

    async fn event(&mut self) -> NetworkEvent {
        timeout(LIMIT, self.events.recv()).await.expect("an event in time").expect("it runs")
    }
}

/// A process with the cluster's key and no manners.
struct Rogue {
    _endpoint: Endpoint,
    connection: Connection,
    hello: Hello,
}

impl Rogue {
    async fn connect(victim: &Victim) -> Self {
        Self::connect_as(victim, 2, 1).await.unwrap()
    }

    /// Connects as node `number` under a key that is made of `key`.
    async fn connect_as(victim: &Victim, number: u64, key: u8) -> Result<Self, Reason> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let mut config = config(number, addr);
        config.ring = KeyRing::new(&ClusterKey::from_bytes([key; 32]));
        let tls = tls_configs(&config.ring.keys()).unwrap();
        let socket = TokioRuntime.wrap_udp_socket(socket).unwrap();
        let runtime = Arc::new(TokioRuntime);
        let endpoint = EndpointConfig::default();
        let mut endpoint =
            Endpoint::new_with_abstract_socket(endpoint, None, socket, runtime).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(tls.client));
        let connecting = endpoint.connect(victim.addr, SERVER_NAME).unwrap();
        let connection = connecting.await.map_err(|error| Reason::of(&error))?;
        Ok(Rogue { _endpoint: endpoint, connection, hello: Hello::of(&config) })
    }

    /// Greets as any peer would, and is believed.
    async fn linked(victim: &mut Victim) -> Self {
        let rogue = Self::connect(victim).await;
        rogue.believed_by(victim).await
    }

    async fn believed_by(self, victim: &mut Victim) -> Self {
        let rogue = self;
        let mut greeting = Greeting::open(&rogue.connection).await.unwrap();
        greeting.send_hello(&rogue.hello).await.unwrap();
        let theirs = greeting.receive_hello(&rogue.hello).await.unwrap();
        assert_eq!(greeting.receive_verdict().await, Ok(Verdict::Welcome));
        assert!(rogue.hello.decides_over(&theirs));
        greeting.send_go().await.unwrap();
        assert!(matches!(victim.event().await, NetworkEvent::PeerUp(_)));
        rogue
    }

    async fn greet_with(&self, bytes: &[u8]) {
        let (mut to, from) = self.connection.open_bi().await.unwrap();
        to.write_all(bytes).await.unwrap();
        let _kept = (to, from);
        self.connection.closed().await;
    }

    async fn send_stream(&self, bytes: &[u8]) -> quinn::SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Waits for the victim to end the connection and returns the reason that it gave.
    async fn refusal(&self) -> Reason {
        let end = timeout(LIMIT, self.connection.closed()).await.expect("an end in time");
        Reason::of(&end)
    }
}

async fn assert_link_ends(victim: &mut Victim, rogue: &Rogue, reason: Reason) {
    assert_eq!(rogue.refusal().await, reason);
    let down = NetworkEvent::PeerDown {
        origin: rogue.hello.origin,
        node: rogue.hello.node,
        reason: reason.to_string(),
    };
    assert_eq!(victim.event().await, down);
    assert_eq!(victim.network.stats().ended_for(reason), 1);
    assert_eq!(victim.network.peers(), []);
}

#[tokio::test]
async fn another_wire_version_is_refused_by_name() {
    let victim = Victim::start().await;
    let rogue = Rogue::connect(&victim).await;
    rogue.greet_with(&[0, 4, 0, 99, 0, 98]).await;
    assert_eq!(rogue.refusal().await, Reason::WireVersion);
    assert_eq!(victim.network.stats().ended_for(Reason::WireVersion), 1);
}

#[tokio::test]
async fn an_old_wire_version_is_refused_by_name() {
    let victim = Victim::start().await;
    let rogue = Rogue::connect(&victim).await;
    rogue.greet_with(&[0, 2, 0, 0]).await;
    assert_eq!(rogue.refusal().await, Reason::WireVersion);
    assert_eq!(victim.network.stats().ended_for(Reason::WireVersion), 1);
}

#[tokio::test]
async fn another_cluster_is_refused_although_the_certificate_is_good() {
    let victim = Victim::start().await;
    let rogue = Rogue::connect(&victim).await;
    let stranger = Hello { cluster: [9; 8], ..rogue.hello.clone() };
    let mut greeting = Greeting::open(&rogue.connection).await.unwrap();
    greeting.send_hello(&stranger).await.unwrap();
    assert_eq!(rogue.refusal().await, Reason::Cluster);
    assert_eq!(victim.network.stats().ended_for(Reason::Cluster), 1);
    assert_eq!(victim.network.members().borrow().len(), 1);
}

#[tokio::test]
async fn an_unreadable_or_endless_greeting_is_refused() {
    let victim = Victim::start().await;
    for greeting in [&[0, 6, 0, 2, 0, 1, 0xff, 0xff][..], &[0xff, 0xff]] {
        let rogue = Rogue::connect(&victim).await;
        rogue.greet_with(greeting).await;
        assert_eq!(rogue.refusal().await, Reason::MalformedHello);
    }
    assert_eq!(victim.network.stats().ended_for(Reason::MalformedHello), 2);
}

#[tokio::test]
async fn a_silent_caller_is_given_up() {
    let victim = Victim::start().await;
    let rogue = Rogue::connect(&victim).await;
    assert_eq!(rogue.refusal().await, Reason::HandshakeTimeout);
    assert_eq!(victim.network.stats().ended_for(Reason::HandshakeTimeout), 1);
}

#[tokio::test]
async fn an_oversized_frame_ends_the_link() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    let length = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes();
    let _lane = rogue.send_stream(&[&[2], &length[..]].concat()).await;
    assert_link_ends(&mut victim, &rogue, Reason::FrameTooBig).await;
}

#[tokio::test]
async fn a_truncated_frame_ends_the_link() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    let mut lane = rogue.send_stream(&[1, 0, 0, 0, 9, 1, 2, 3]).await;
    lane.finish().unwrap();
    assert_link_ends(&mut victim, &rogue, Reason::FrameTruncated).await;
}

#[tokio::test]
async fn a_lane_that_ends_or_begins_twice_and_an_unknown_stream_end_the_link() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    rogue.send_stream(&[1]).await.finish().unwrap();
    assert_link_ends(&mut victim, &rogue, Reason::LaneEnded).await;

    let rogue = Rogue::linked(&mut victim).await;
    let _lanes = (rogue.send_stream(&[2]).await, rogue.send_stream(&[2]).await);
    assert_link_ends(&mut victim, &rogue, Reason::LaneTwice).await;

    let rogue = Rogue::linked(&mut victim).await;
    let _unknown = rogue.send_stream(&[77]).await;
    assert_link_ends(&mut victim, &rogue, Reason::UnknownStream).await;
}

/// Nothing would ever be heard on it again, while everything else goes on.
#[tokio::test]
async fn a_lane_that_the_peer_does_not_read_ends_the_link() {
    for (lane, of_lane) in [(Lane::Control, 1), (Lane::Bulk, 2)] {
        let mut victim = Victim::start().await;
        let rogue = Rogue::linked(&mut victim).await;
        let mut stream = loop {
            let (mut stream, mut purpose) = (rogue.connection.accept_uni().await.unwrap(), [0]);
            stream.read_exact(&mut purpose).await.unwrap();
            if purpose == [of_lane] {
                break stream;
            }
        };
        stream.stop(0u8.into()).unwrap();
        let sends = async {
            loop {
                let _ = victim.network.send(rogue.hello.origin, lane, Bytes::from_static(b"heads"));
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            reason = rogue.refusal() => assert_eq!(reason, Reason::LaneEnded),
            () = sends => {}
        }
        assert_link_ends(&mut victim, &rogue, Reason::LaneEnded).await;
    }
}

#[tokio::test]
async fn an_unreadable_or_endless_notice_ends_the_link() {
    for notice in [vec![3, 99, 1], vec![3, 1, 0, 1, 9, 9], [&[3, 1][..], &[0; 9_000]].concat()] {
        let mut victim = Victim::start().await;
        let rogue = Rogue::linked(&mut victim).await;
        rogue.send_stream(&notice).await.finish().unwrap();
        assert_link_ends(&mut victim, &rogue, Reason::MalformedNotice).await;
    }
}

#[tokio::test]
async fn a_peer_whose_frames_the_owner_cannot_read_hears_so() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    victim.network.refuse(rogue.hello.origin);
    assert_link_ends(&mut victim, &rogue, Reason::MalformedFrame).await;
}

/// A gossip message that names `count` nodes from `first` on.
fn crowd(first: u64, count: u16) -> Bytes {
    crowd_at("127.0.0.1:9", first, count)
}

fn crowd_at(addr: &str, first: u64, count: u16) -> Bytes {
    let mut message = vec![0x53, 0xb0, 0, 0];
    count.serialize(&mut message);
    for node in first..first + u64::from(count) {
        let addr = addr.parse().unwrap();
        ChitchatId::new(NodeId(node).to_string(), 1, addr).serialize(&mut message);
        [9_u64, 0, 1].iter().for_each(|number| number.serialize(&mut message));
    }
    "starling".to_string().serialize(&mut message);
    message.into()
}

#[tokio::test]
async fn invented_members_are_bounded_and_gossip_lives_through_them() {
    // Longer addresses make longer digests, which must fit into one message all the same.
    for addr in ["127.0.0.1:9", "[2001:db8::1]:9"] {
        let mut victim = Victim::start().await;
        let rogue = Rogue::linked(&mut victim).await;
        for wave in 0..40 {
            let message = [&[0][..], &crowd_at(addr, 1_000 + wave * 100, 100)].concat();
            rogue.send_stream(&message).await.finish().unwrap();
        }
        until(|| victim.network.stats().gossip_crowded >= 30).await;
        until(|| victim.network.stats().incarnations > 300).await;
        let answered = victim.network.stats().gossip_received;
        rogue.send_stream(&[&[0][..], &crowd_at(addr, 1_000, 1)].concat()).await.finish().unwrap();
        until(|| victim.network.stats().gossip_received > answered).await;
        let stats = victim.network.stats();
        assert!(stats.incarnations <= 2 * stats.incarnations_max, "{stats:?}");
        assert_eq!((stats.gossip_restarts, stats.task_restarts), (0, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn a_flood_of_gossip_is_dropped_beyond_what_a_peer_may_send() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    for _ in 0..400 {
        let sent = rogue.connection.send_datagram_wait(crowd(50, 1)).await;
        sent.unwrap();
    }
    until(|| victim.network.stats().gossip_flooded > 100).await;
    assert_eq!(victim.network.peers().len(), 1);
}

#[tokio::test]
async fn unreadable_gossip_is_counted_and_harmless() {
    let mut victim = Victim::start().await;
    let rogue = Rogue::linked(&mut victim).await;
    rogue.connection.send_datagram(Bytes::from_static(b"noise")).unwrap();
    let frame = [2, 0, 0, 0, 1, 42];
    let _lane = rogue.send_stream(&frame).await;
    let origin = rogue.hello.origin;
    let bytes = Bytes::from_static(&[42]);
    assert_eq!(victim.event().await, NetworkEvent::Frame { from: origin, lane: Lane::Bulk, bytes });
    until(|| victim.network.stats().gossip_malformed == 1).await;
    assert_eq!(victim.network.peers().len(), 1);
}

#[tokio::test]
async fn gossip_that_dies_is_started_again_under_a_new_generation() {
    let victim = Victim::start().await;
    until(|| victim.network.shared.membership.handle().is_some()).await;
    victim.network.shared.membership.handle().unwrap().abort();
    let mut members = victim.network.members();
    let again = members.wait_for(|members| members[0].generation == 2);
    timeout(LIMIT, again).await.expect("a second life in time").unwrap();
    assert_eq!(victim.network.stats().gossip_restarts, 1);
}

/// Waits for what tells nobody of its changes.
async fn until(satisfied: impl Fn() -> bool) {
    let waiting = async {
        while !satisfied() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waiting).await.expect("it happens in time");
}

#[tokio::test]
async fn whoever_counts_and_whoever_dials_never_wait_for_each_other() {
    let victim = Victim::start().await;
    let (counting, dialling) = (victim.network.clone(), Arc::clone(&victim.network.shared));
    // Threads of their own: a runtime would wait for them for ever, and the test would not fail but hang.
    let run = |work: Box<dyn Fn() + Send>| {
        let (done, is_done) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            (0..50_000).for_each(|_| work());
            done.send(())
        });
        is_done
    };
    let counts = run(Box::new(move || assert_eq!(counting.stats().links, 0)));
    let dials = run(Box::new(move || assert!(dialling.take_due_addresses().0.is_empty())));
    let both = async { tokio::try_join!(counts, dials) };
    timeout(LIMIT, both).await.expect("neither waits for the other").unwrap();
}

/// What a rogue may do; the victim's word for it is beside.
const MISDEEDS: [(Misdeed, Reason); 12] = [
    (Misdeed::WrongKey, Reason::Untrusted),
    (Misdeed::Greeting(&[0, 2, 0, 0]), Reason::WireVersion),
    (Misdeed::Greeting(&[0, 3, 0, 99, 0]), Reason::WireVersion),
    (Misdeed::Greeting(&[0xff, 0xff]), Reason::MalformedHello),
    (Misdeed::OtherCluster, Reason::Cluster),
    (Misdeed::Stream(&[2, 0xff, 0xff, 0xff, 0xff]), Reason::FrameTooBig),
    (Misdeed::Stream(&[1, 0, 0, 0, 9, 1, 2, 3]), Reason::FrameTruncated),
    (Misdeed::Stream(&[2, 0, 0, 0, 1, 42]), Reason::LaneEnded),
    (Misdeed::Stream(&[77]), Reason::UnknownStream),
    (Misdeed::Stream(&[3, 99, 1]), Reason::MalformedNotice),
    (Misdeed::Unreadable, Reason::MalformedFrame),
    (Misdeed::GossipBomb, Reason::Overgrown),
];

#[derive(Clone, Copy)]
enum Misdeed {
    WrongKey,
    /// The first bytes of the greeting's stream.
    Greeting(&'static [u8]),
    OtherCluster,
    /// A stream of a link, whole.
    Stream(&'static [u8]),
    /// A frame that only the owner can judge.
    Unreadable,
    /// A small gossip message that unpacks to hundreds of MiB.
    GossipBomb,
}

impl Misdeed {
    /// Does it as node `number` and returns how the victim ended it.
    async fn commit(self, victim: &mut Victim, number: u64) -> Reason {
        if let Misdeed::WrongKey = self {
            return Rogue::connect_as(victim, number, 9).await.err().expect("it is refused");
        }
        let rogue = Rogue::connect_as(victim, number, 1).await.unwrap();
        match self {
            Misdeed::Greeting(bytes) => rogue.greet_with(bytes).await,
            Misdeed::OtherCluster => {
                let stranger = Hello { cluster: [9; 8], ..rogue.hello.clone() };
                let mut greeting = Greeting::open(&rogue.connection).await.unwrap();
                greeting.send_hello(&stranger).await.unwrap();
                return rogue.refusal().await;
            }
            _ => return self.commit_on_link(rogue, victim).await,
        }
        rogue.refusal().await
    }

    async fn commit_on_link(self, rogue: Rogue, victim: &mut Victim) -> Reason {
        let rogue = rogue.believed_by(victim).await;
        match self {
            Misdeed::Stream(bytes) => rogue.send_stream(bytes).await.finish().unwrap(),
            Misdeed::GossipBomb => rogue.send_stream(&hearsay::bomb()).await.finish().unwrap(),
            _ => victim.network.refuse(rogue.hello.origin),
        }
        let reason = rogue.refusal().await;
        while !matches!(victim.event().await, NetworkEvent::PeerDown { .. }) {}
        reason
    }
}

#[tokio::test]
async fn whatever_rogues_do_over_and_over_is_counted_by_reason_and_leaves_nothing() {
    const ROUNDS: u64 = 12;
    let mut victim = Victim::start().await;
    let mut number = 2;
    for _ in 0..ROUNDS {
        for (misdeed, reason) in MISDEEDS {
            assert_eq!(misdeed.commit(&mut victim, number).await, reason);
            number += 1;
        }
    }
    for (_, reason) in MISDEEDS {
        let kinds = MISDEEDS.iter().filter(|(_, of)| *of == reason).count() as u64;
        until(|| victim.network.stats().ended_for(reason) >= ROUNDS * kinds).await;
    }
    // Where rogues were believed, nobody is any more: few of those are dialled at once.
    let few = addresses::DIALS_MAX as u64;
    until(|| victim.network.stats().connections <= few + 8).await;
    let stats = victim.network.stats();
    assert_eq!((stats.links, stats.task_restarts, stats.gossip_restarts), (0, 0, 0), "{stats:?}");
    assert!(stats.addresses <= ROUNDS * MISDEEDS.len() as u64, "{stats:?}");
    assert!(lock(&victim.network.shared.links).is_empty(), "no link is kept");
    assert_eq!(victim.network.members().borrow().len(), 1, "nobody became a member");
    // And whoever means well is welcome.
    drop(Rogue::connect_as(&victim, number, 1).await.unwrap().believed_by(&mut victim).await);
}

#[tokio::test]
async fn a_dial_that_only_an_operator_can_mend_is_remembered_until_it_is_mended() {
    let mut victim = Victim::start().await;
    let start = async |key: u8| {
        let (socket, addr) = open_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        let (runtime, spawn) = (Arc::new(TokioRuntime), Arc::new(TokioSpawn));
        let ring = KeyRing::new(&ClusterKey::from_bytes([key; 32]));
        let config = NetworkConfig { seeds: vec![victim.addr], ring, ..config(2, addr) };
        Network::start(config, Ports { socket, runtime, spawn, seed: [key; 32] }).await.unwrap()
    };
    let ((stranger, _one), (peer, _other)) = (start(9).await, start(1).await);
    until(|| stranger.misfit() == Some((victim.addr, Reason::Untrusted))).await;
    assert!(matches!(victim.event().await, NetworkEvent::PeerUp(_)));
    until(|| !peer.peers().is_empty()).await;
    assert_eq!(peer.misfit(), None);
    assert_eq!(victim.network.misfit(), None, "whoever comes in cannot bring it into discredit");
}
