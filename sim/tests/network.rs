//! What crashes, cuts and pauses do to QUIC connections and to streams.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use quinn::AsyncUdpSocket;
use quinn::udp::{RecvMeta, Transmit};
use sim::link::Link;
use sim::machine::{Crash, Life};
use sim::mesh::{Identity, NAME};
use sim::quic::SimSocket;
use sim::run::{Options, Outcome, run};
use sim::spawn::Spawn;
use sim::tcp::SimStream;
use sim::world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 1883;

fn simulate<F, T>(scenario: impl FnOnce(World) -> F + Send + 'static) -> T
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    run(1, Options::default(), scenario).unwrap().value
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A player's stream to node 1, and the node's end of it.
async fn stream(world: &World) -> (SimStream, SimStream) {
    let node = world.node(1).boot();
    let player = world.player(1).boot();
    let mut listener = node.listen(PORT).unwrap();
    let (dialled, accepted) = tokio::join!(player.connect(node.address(PORT)), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

async fn read_error(stream: &mut SimStream) -> ErrorKind {
    stream.read_u8().await.unwrap_err().kind()
}

#[test]
fn bytes_arrive_in_order_on_a_bad_link() {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    let expected = sent.clone();
    let received = simulate(|world| async move {
        let bad = Link { loss: 0.1, reordering: 0.2, ..Link::ACCESS };
        world.net().set_access(bad);
        let (mut player, mut node) = stream(&world).await;
        let sending = async {
            player.write_all(&sent).await.unwrap();
            player.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, node.read_to_end(&mut received));
        read.unwrap();
        assert!(world.elapsed() > Link::ACCESS.delay * 30, "1 MB in 64 KiB windows takes time");
        received
    });
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
}

#[test]
fn a_writer_waits_for_its_reader() {
    simulate(|world| async move {
        let (mut player, mut node) = stream(&world).await;
        let filled = tokio::time::timeout(seconds(60), player.write_all(&[7; 100_000])).await;
        assert!(filled.is_err(), "100 kB fitted into the buffer");
        let mut buffer = [0; 40_000];
        node.read_exact(&mut buffer).await.unwrap();
        tokio::time::timeout(seconds(1), player.write_u8(7)).await.unwrap().unwrap();
    });
}

#[test]
fn a_polite_end_is_read_as_the_end() {
    simulate(|world| async move {
        let (mut player, mut node) = stream(&world).await;
        player.write_all(b"bye").await.unwrap();
        drop(player);
        let mut heard = String::new();
        node.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "bye");
        let refused = async {
            loop {
                if let Err(error) = node.write_all(b"anybody?").await {
                    return error.kind();
                }
                world.sleep(seconds(1)).await;
            }
        };
        assert_eq!(refused.await, ErrorKind::ConnectionReset);
    });
}

#[test]
fn nobody_listening_refuses_and_nobody_there_times_out() {
    simulate(|world| async move {
        let node = world.node(1);
        let to = node.boot().address(PORT);
        let player = world.player(1).boot();
        assert_eq!(player.connect(to).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        node.crash(Crash::Power);
        world.net().set_stream_patience(seconds(5));
        let began = world.elapsed();
        assert_eq!(player.connect(to).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((world.elapsed() - began).as_secs(), 5);
    });
}

#[test]
fn a_killed_process_resets_at_once_and_a_dead_machine_after_patience() {
    for (how, at_least, at_most) in [(Crash::Process, 0, 1), (Crash::Power, 20, 21)] {
        simulate(move |world| async move {
            let (mut player, _node) = stream(&world).await;
            let began = world.elapsed();
            world.node(1).crash(how);
            player.write_all(b"still there?").await.unwrap();
            assert_eq!(read_error(&mut player).await, ErrorKind::ConnectionReset);
            let took = world.elapsed() - began;
            assert!((seconds(at_least)..seconds(at_most)).contains(&took), "{how:?}: {took:?}");
        });
    }
}

#[test]
fn a_machine_that_came_back_resets_the_streams_of_its_former_life() {
    simulate(|world| async move {
        let (mut player, _node) = stream(&world).await;
        world.node(1).crash(Crash::Power);
        player.write_all(b"still there?").await.unwrap();
        world.sleep(seconds(2)).await;
        world.node(1).boot();
        let began = world.elapsed();
        assert_eq!(read_error(&mut player).await, ErrorKind::ConnectionReset);
        assert!(world.elapsed() - began < seconds(1));
    });
}

#[test]
fn a_stream_outlives_a_short_partition_and_not_a_long_one() {
    simulate(|world| async move {
        let (mut player, mut node) = stream(&world).await;
        let (player_ip, node_ip) = (player.local_addr().ip(), node.local_addr().ip());
        world.net().partition(&[player_ip], &[node_ip]);
        player.write_all(b"late").await.unwrap();
        let mut word = [0; 4];
        let early = tokio::time::timeout(seconds(10), node.read_exact(&mut word)).await;
        assert!(early.is_err(), "bytes crossed a partition");
        world.net().heal();
        node.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"late");
        world.net().partition(&[player_ip], &[node_ip]);
        player.write_all(b"lost").await.unwrap();
        assert_eq!(read_error(&mut player).await, ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_one_way_cut_breaks_the_sender_that_hears_no_answer() {
    simulate(|world| async move {
        let (mut player, mut node) = stream(&world).await;
        world.net().cut(node.local_addr().ip(), player.local_addr().ip());
        player.write_all(b"heard").await.unwrap();
        let mut word = [0; 5];
        node.read_exact(&mut word).await.unwrap();
        assert_eq!(read_error(&mut player).await, ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_is_under_way_when_the_path_is_cut_does_not_arrive() {
    simulate(|world| async move {
        let (mut player, mut node) = stream(&world).await;
        let (player_ip, node_ip) = (player.local_addr().ip(), node.local_addr().ip());
        let target = node.local_addr();
        let sender = SimSocket::bind(world.player(1).life().unwrap(), 5000).unwrap();
        let receiver = SimSocket::bind(world.node(1).life().unwrap(), PORT).unwrap();
        send(&sender, target, b"datagram").unwrap();
        player.write_u8(1).await.unwrap();
        world.net().cut(player_ip, node_ip);
        world.sleep(seconds(5)).await;
        assert!(received(&receiver).await.is_none(), "a datagram crossed a cut");
        assert!(tokio::time::timeout(seconds(1), node.read_u8()).await.is_err());
        world.net().mend(player_ip, node_ip);
        assert_eq!(node.read_u8().await.unwrap(), 1);
        assert!(received(&receiver).await.is_none(), "a datagram was sent again");
        send(&sender, target, b"datagram").unwrap();
        assert_eq!(received(&receiver).await.unwrap(), b"datagram");
    });
}

fn send(socket: &SimSocket, destination: SocketAddr, contents: &[u8]) -> io::Result<()> {
    let (ecn, segment_size, src_ip) = (None, None, None);
    socket.try_send(&Transmit { destination, ecn, contents, segment_size, src_ip })
}

/// The next datagram, if one comes within a second.
async fn received(socket: &SimSocket) -> Option<Vec<u8>> {
    let mut bytes = [0; 2000];
    let receive = std::future::poll_fn(|context| {
        let mut metas = [RecvMeta::default()];
        let polled = socket.poll_recv(context, &mut [IoSliceMut::new(&mut bytes)], &mut metas);
        polled.map(|received| received.map(|_| metas[0].len))
    });
    let len = tokio::time::timeout(seconds(1), receive).await.ok()?.unwrap();
    Some(bytes[..len].to_vec())
}

#[test]
fn datagrams_meet_loss_copies_overtaking_and_the_largest_size() {
    simulate(|world| async move {
        let [sender, receiver] =
            [1, 2].map(|number| SimSocket::bind(world.node(number).boot(), 5000).unwrap());
        let target = receiver.local_addr().unwrap();
        let bad = Link { loss: 0.1, duplication: 0.1, reordering: 0.1, ..Link::DATA_CENTRE };
        world.net().set_between_nodes(bad);
        for number in 0..200_u8 {
            send(&sender, target, &[number]).unwrap();
            world.sleep(Duration::from_millis(1)).await;
        }
        let mut heard = Vec::new();
        while let Some(bytes) = received(&receiver).await {
            heard.push(bytes[0]);
        }
        let distinct: BTreeSet<u8> = heard.iter().copied().collect();
        assert!((170..190).contains(&distinct.len()), "{} of 200 arrived", distinct.len());
        assert!(heard.len() > distinct.len() + 10, "copies: {}", heard.len() - distinct.len());
        assert!(heard.windows(2).filter(|pair| pair[0] > pair[1]).count() > 5, "{heard:?}");
        world.net().set_between_nodes(Link::DATA_CENTRE);
        send(&sender, target, &[1; 1473]).unwrap();
        assert!(received(&receiver).await.is_none(), "larger than the link allows");
        send(&sender, target, &[1; 1472]).unwrap();
        assert_eq!(received(&receiver).await.unwrap().len(), 1472);
    });
}

#[test]
fn sockets_of_a_frozen_machine_are_stuck_even_for_tasks_past_the_spawner() {
    simulate(|world| async move {
        let [frozen, free] =
            [1, 2].map(|number| SimSocket::bind(world.node(number).boot(), 5000).unwrap());
        world.node(1).freeze();
        let stuck = send(&frozen, free.local_addr().unwrap(), b"out").unwrap_err();
        assert_eq!(stuck.kind(), ErrorKind::WouldBlock);
        send(&free, frozen.local_addr().unwrap(), b"in").unwrap();
        assert!(received(&frozen).await.is_none());
        world.node(1).thaw();
        assert_eq!(received(&frozen).await.unwrap(), b"in");
    });
}

/// Counts what arrives at node 2 in one-way streams over one QUIC connection from node 1, which
/// sends a byte every 100 ms until the connection breaks.
async fn count_over_quic(world: &World) -> Arc<AtomicU64> {
    let identity = Identity::generate().unwrap();
    let (dialler, hearer) = (world.node(1).boot(), world.node(2).boot());
    let server = Some(identity.server().unwrap());
    let there = hearer.endpoint(4433, quinn::EndpointConfig::default(), server).unwrap();
    let here = dialler.endpoint(4433, quinn::EndpointConfig::default(), None).unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let counter = heard.clone();
    let hear = async move {
        while let Some(incoming) = there.accept().await {
            let Ok(connection) = incoming.await else { continue };
            while let Ok(mut stream) = connection.accept_uni().await {
                while stream.read_u8().await.is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    hearer.spawner().spawn("hear", Box::pin(hear));
    let client = identity.client().unwrap();
    let tell = async move {
        let connection = here.connect_with(client, hearer.address(4433), NAME).unwrap();
        let mut stream = connection.await.unwrap().open_uni().await.unwrap();
        while stream.write_u8(1).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    dialler.spawner().spawn("tell", Box::pin(tell));
    world.sleep(seconds(1)).await;
    heard
}

/// How much was heard within the next second.
async fn heard_now(world: &World, heard: &AtomicU64) -> u64 {
    let before = heard.load(Ordering::Relaxed);
    world.sleep(seconds(1)).await;
    heard.load(Ordering::Relaxed) - before
}

#[test]
fn a_partition_cuts_quic_until_it_heals() {
    simulate(|world| async move {
        let heard = count_over_quic(&world).await;
        assert!(heard_now(&world, &heard).await >= 8);
        let ips = [1, 2].map(|number| world.node(number).ip());
        world.net().partition(&ips[..1], &ips[1..]);
        world.sleep(Duration::from_millis(5)).await;
        assert_eq!(heard_now(&world, &heard).await, 0);
        world.net().heal();
        world.sleep(seconds(1)).await;
        assert!(heard_now(&world, &heard).await >= 8, "the connection did not recover");
    });
}

/// The lines of a trace, and its outcome.
fn traced<F, T>(
    scenario: impl FnOnce(World) -> F + Send + 'static,
) -> (Vec<(u64, String)>, Outcome<T>)
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let options = Options { sink: Some(Box::new(lines.clone())), ..Options::default() };
    let outcome = run(1, options, scenario).unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let split = |line: &str| {
        let (at_ns, what) = line.split_once(' ').unwrap();
        (at_ns.parse().unwrap(), what.to_owned())
    };
    (text.lines().map(split).collect(), outcome)
}

fn sent_by(lines: &[(u64, String)], ip: &str, within: std::ops::Range<Duration>) -> usize {
    let within = within.start.as_nanos() as u64..within.end.as_nanos() as u64;
    let by = [format!("udp sent {ip}:"), format!("tcp data {ip}:")];
    let by_ip = |what: &str| by.iter().any(|by| what.starts_with(by));
    lines.iter().filter(|(at_ns, what)| within.contains(at_ns) && by_ip(what)).count()
}

#[test]
fn a_frozen_node_neither_receives_nor_sends() {
    let (lines, outcome) = traced(|world| async move {
        let heard = count_over_quic(&world).await;
        let node = world.node(2);
        let mut listener = node.life().unwrap().listen(PORT).unwrap();
        let to = listener.local_addr();
        let echo = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Ok(byte) = stream.read_u8().await {
                stream.write_u8(byte).await.unwrap();
            }
        };
        // Spawned past the spawner, as a library would.
        node.life().unwrap().spawner().spawn("past", Box::pin(async { drop(tokio::spawn(echo)) }));
        let mut player = world.player(1).boot().connect(to).await.unwrap();
        node.freeze();
        let began = world.elapsed();
        player.write_u8(1).await.unwrap();
        assert_eq!(heard_now(&world, &heard).await, 0);
        assert!(tokio::time::timeout(seconds(1), player.read_u8()).await.is_err());
        node.thaw();
        let frozen = began..world.elapsed();
        assert_eq!(player.read_u8().await.unwrap(), 1);
        world.sleep(seconds(1)).await;
        assert!(heard_now(&world, &heard).await >= 8);
        frozen
    });
    assert_eq!(sent_by(&lines, "10.0.0.2", outcome.value.clone()), 0);
    assert!(sent_by(&lines, "10.0.0.2", Duration::ZERO..outcome.value.start) > 0);
    assert!(sent_by(&lines, "10.0.0.2", outcome.value.end..seconds(60)) > 0);
    let strays: Vec<_> = outcome.strays.into_iter().collect();
    assert!(matches!(&strays[..], [(place, 1)] if place.contains("network.rs")), "{strays:?}");
}

#[test]
fn a_crashed_node_says_no_goodbye() {
    for how in [Crash::Process, Crash::Power] {
        let (lines, outcome) = traced(move |world| async move {
            let heard = count_over_quic(&world).await;
            let life = world.node(1).life().unwrap();
            world.node(1).crash(how);
            let crashed = world.elapsed();
            world.sleep(Duration::from_millis(5)).await;
            assert_eq!(life.spawner().running(), 0, "tasks outlived the crash");
            assert_eq!(heard_now(&world, &heard).await, 0);
            crashed
        });
        let crashed = outcome.value;
        assert!(sent_by(&lines, "10.0.0.1", Duration::ZERO..crashed) > 10);
        assert_eq!(sent_by(&lines, "10.0.0.1", crashed..seconds(60)), 0, "{how:?}");
    }
}

#[test]
fn a_loop_started_elsewhere_stands_still_with_its_node() {
    simulate(|world| async move {
        let life = world.node(1).boot();
        let spawner = life.spawner().clone();
        let running = || std::future::poll_fn(|context| spawner.poll_running(context));
        let stands_still = async || tokio::time::timeout(seconds(1), running()).await.is_err();
        assert!(!stands_still().await);
        world.node(1).freeze();
        assert!(stands_still().await);
        world.node(1).thaw();
        assert!(!stands_still().await);
        world.node(1).crash(Crash::Process);
        assert!(stands_still().await);
    });
}

#[test]
fn sockets_of_a_former_life_are_dead() {
    simulate(|world| async move {
        let machine = world.node(1);
        let old: Life = machine.boot();
        let _listener = old.listen(PORT).unwrap();
        assert_eq!(old.listen(PORT).unwrap_err().kind(), ErrorKind::AddrInUse);
        machine.crash(Crash::Process);
        machine.boot().listen(PORT).unwrap();
        assert_eq!(old.listen(2000).unwrap_err().kind(), ErrorKind::NotConnected);
        let to = SocketAddr::from(([10, 0, 0, 1], PORT));
        assert_eq!(old.connect(to).await.unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn wall_clocks_are_skewed_per_machine() {
    simulate(|world| async move {
        let (skewed, right) = (world.node(1), world.node(2));
        skewed.set_skew_ns(-600_000_000_000);
        let read = |life: &Life| {
            let (tell, told) = tokio::sync::oneshot::channel();
            let read = async move {
                let nested = tokio::spawn(async { SystemTime::now() });
                tell.send((SystemTime::now(), nested.await.unwrap())).unwrap();
            };
            life.spawner().spawn("read", Box::pin(read));
            told
        };
        let (slow, fast) = (skewed.boot(), right.boot());
        let (wrong, nested) = read(&slow).await.unwrap();
        let (true_wall, _) = read(&fast).await.unwrap();
        assert_eq!((wrong, nested), (slow.wall(), slow.wall()));
        assert_eq!(true_wall.duration_since(wrong).unwrap(), seconds(600));
    });
}

#[test]
fn a_wall_clock_that_drifts_is_further_off_by_the_second_until_it_is_set_right() {
    simulate(|world| async move {
        let (machine, right) = (world.node(1), world.node(2).boot());
        let life = machine.boot();
        machine.set_drift_ppm(200_000);
        world.sleep(seconds(10)).await;
        assert_eq!(life.wall().duration_since(right.wall()).unwrap(), seconds(2));
        machine.set_drift_ppm(-100_000);
        world.sleep(seconds(10)).await;
        assert_eq!(life.wall().duration_since(right.wall()).unwrap(), seconds(1), "of before");
        machine.set_drift_ppm(0);
        machine.set_skew_ns(0);
        world.sleep(seconds(10)).await;
        assert_eq!(life.wall(), right.wall());
    });
}
