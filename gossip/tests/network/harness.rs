//! A node's network as the tests drive it: its events in a log, its tasks at hand for a crash.

use bytes::Bytes;
use crdt_state::{Lane, NodeId, Origin};
use gossip::network::{
    ClusterKey, KeyRing, Member, Network, NetworkConfig, NetworkEvent, NetworkStats, Ports, Spawn,
    Tuning,
};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Everything awaited must happen by then; it is never waited for in full unless a test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// The settings of node `number` of the cluster whose key is made of `key`.
pub fn config(key: u8, number: u64, advertise: SocketAddr) -> NetworkConfig {
    NetworkConfig {
        cluster: "test".into(),
        ring: KeyRing::new(&ClusterKey::from_bytes([key; 32])),
        node: NodeId(number),
        origin: Origin(number * 100),
        generation: 1,
        name: format!("node-{number}"),
        advertise,
        seeds: Vec::new(),
        remembered: Vec::new(),
        kvs: BTreeMap::from([("http".into(), format!("http://node-{number}"))]),
        config_hash: 7,
        tuning: Tuning::default(),
    }
}

/// A running network and what it has told so far.
pub struct TestNode {
    pub network: Network,
    pub origin: Origin,
    pub node: NodeId,
    pub addr: SocketAddr,
    events: mpsc::Receiver<NetworkEvent>,
    unmatched: Vec<NetworkEvent>,
    grace: Duration,
    tasks: Arc<Tasks>,
    socket: Arc<MutableSocket>,
}

impl TestNode {
    pub async fn start(config: NetworkConfig, socket: Arc<dyn AsyncUdpSocket>) -> Self {
        let tasks = Arc::new(Tasks::default());
        let socket = Arc::new(MutableSocket { inner: socket, muted: AtomicBool::new(false) });
        let ports = Ports {
            socket: socket.clone(),
            runtime: tasks.clone(),
            spawn: tasks.clone(),
            seed: [config.origin.0 as u8; 32],
        };
        let (origin, node, addr) = (config.origin, config.node, config.advertise);
        let grace = config.tuning.dead_grace;
        let (network, events) = Network::start(config, ports).await.unwrap();
        let unmatched = Vec::new();
        TestNode { network, origin, node, addr, events, unmatched, grace, tasks, socket }
    }

    /// For how long gossip remembers the dead.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Ends the process as a power cut would: no packet leaves any more, then every task ends.
    pub fn crash(self) {
        self.socket.muted.store(true, Relaxed);
        self.network.abort();
        self.tasks.0.lock().unwrap().iter().for_each(AbortHandle::abort);
    }

    /// The first event not yet taken that `wanted` accepts; earlier ones stay for later calls.
    pub async fn event<T>(&mut self, wanted: impl Fn(&NetworkEvent) -> Option<T>) -> T {
        let held = self.unmatched.iter().position(|event| wanted(event).is_some());
        if let Some(index) = held {
            return wanted(&self.unmatched.remove(index)).unwrap();
        }
        loop {
            let event = match timeout(LIMIT, self.events.recv()).await {
                Ok(event) => event.expect("the network runs"),
                Err(_) => panic!("{:?} waits in vain; others: {:?}", self.node, self.unmatched),
            };
            match wanted(&event) {
                Some(found) => return found,
                None => self.unmatched.push(event),
            }
        }
    }

    pub async fn peer_up(&mut self, origin: Origin) {
        self.event(|event| match event {
            NetworkEvent::PeerUp(peer) if peer.origin == origin => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits for the peer's departure and returns the reason given.
    pub async fn peer_down(&mut self, gone: Origin) -> String {
        self.event(|event| match event {
            NetworkEvent::PeerDown { origin, reason, .. } if *origin == gone => {
                Some(reason.clone())
            }
            _ => None,
        })
        .await
    }

    pub async fn frame(&mut self, sender: Origin, on: Lane) -> Bytes {
        self.event(|event| match event {
            NetworkEvent::Frame { from, lane, bytes } if *from == sender && *lane == on => {
                Some(bytes.clone())
            }
            _ => None,
        })
        .await
    }

    /// Takes everything told so far that no call has taken.
    pub fn take_events(&mut self) -> Vec<NetworkEvent> {
        self.untaken();
        std::mem::take(&mut self.unmatched)
    }

    /// Everything told so far that no call has taken.
    pub fn untaken(&mut self) -> &[NetworkEvent] {
        while let Ok(event) = self.events.try_recv() {
            self.unmatched.push(event);
        }
        &self.unmatched
    }

    /// Waits until the list of members satisfies `wanted`.
    pub async fn members(&self, wanted: impl Fn(&[Member]) -> bool) -> Vec<Member> {
        let mut members = self.network.members();
        let found = timeout(LIMIT, members.wait_for(|members| wanted(members))).await;
        match found {
            Ok(members) => members.unwrap().clone(),
            Err(_) => panic!("{:?} has only {:?}", self.node, self.network.members().borrow()),
        }
    }

    /// Waits until this node sees exactly these origins alive, itself included.
    pub async fn live(&self, origins: &[Origin]) {
        self.members(|members| {
            let live = members.iter().filter(|member| member.live);
            live.map(|member| member.origin).eq(origins.iter().copied())
        })
        .await;
    }

    /// Waits until the counters, which tell nobody of their changes, satisfy `wanted`.
    pub async fn stats(&self, wanted: impl Fn(&NetworkStats) -> bool) {
        let satisfied = async {
            while !wanted(&self.network.stats()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = timeout(LIMIT, satisfied).await;
        assert!(in_time.is_ok(), "{:?} has counted {:#?}", self.node, self.network.stats());
    }
}

/// Tasks of one node: those of its network and those of its QUIC.
#[derive(Debug, Default)]
struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    fn keep(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.lock().unwrap().push(tokio::spawn(task).abort_handle());
    }
}

impl Spawn for Tasks {
    fn spawn(&self, _name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.keep(task);
    }
}

impl Runtime for Tasks {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.keep(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// A socket that can be made to swallow whatever is sent.
#[derive(Debug)]
struct MutableSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    muted: AtomicBool,
}

impl AsyncUdpSocket for MutableSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.muted.load(Relaxed) { Ok(()) } else { self.inner.try_send(transmit) }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(context, buffers, metas)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
