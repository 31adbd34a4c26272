//! A network in memory: datagrams take a millisecond of virtual time, and pairs can be cut apart.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(1);

/// All nodes' sockets.
#[derive(Debug, Clone, Default)]
pub struct VirtualNet(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inboxes: BTreeMap<SocketAddr, Inbox>,
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Of a thousand datagrams, how many are lost, and what draws them.
    loss_per_mille: u64,
    random: u64,
}

#[derive(Debug, Default)]
struct Inbox {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

impl VirtualNet {
    /// The socket of `addr`; a former one of the same address hears nothing any more.
    pub fn open(&self, addr: SocketAddr) -> Arc<dyn AsyncUdpSocket> {
        self.0.lock().unwrap().inboxes.insert(addr, Inbox::default());
        Arc::new(VirtualSocket { net: self.clone(), addr })
    }

    /// Forgets a socket: whatever is sent there is lost.
    pub fn close(&self, addr: SocketAddr) {
        self.0.lock().unwrap().inboxes.remove(&addr);
    }

    /// Cuts two nodes apart, in both directions.
    pub fn cut(&self, one: SocketAddr, other: SocketAddr) {
        self.0.lock().unwrap().cut.extend([(one, other), (other, one)]);
    }

    /// Loses that share of all datagrams from now on, each by its own draw.
    pub fn lose(&self, per_mille: u64) {
        let mut state = self.0.lock().unwrap();
        (state.loss_per_mille, state.random) = (per_mille, 0x9e37_79b9_7f4a_7c15);
    }

    /// Mends every cut.
    pub fn heal(&self) {
        self.0.lock().unwrap().cut.clear();
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let net = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            net.deliver(from, to, datagram);
        });
    }

    fn deliver(&self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        if state.cut.contains(&(from, to)) || state.draws_a_loss() {
            return;
        }
        let Some(inbox) = state.inboxes.get_mut(&to) else { return };
        inbox.datagrams.push_back((from, datagram));
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }
}

impl State {
    fn draws_a_loss(&mut self) -> bool {
        // Marsaglia's xorshift, 64 bits: the same losses in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1_000 < self.loss_per_mille
    }
}

#[derive(Debug)]
struct VirtualSocket {
    net: VirtualNet,
    addr: SocketAddr,
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for VirtualSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            self.net.send(self.addr, transmit.destination, datagram.to_vec());
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.0.lock().unwrap();
        let Some(inbox) = state.inboxes.get_mut(&self.addr) else { return Poll::Pending };
        let mut taken = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some((from, datagram)) = inbox.datagrams.pop_front() else { break };
            buffer[..datagram.len()].copy_from_slice(&datagram);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (from, datagram.len(), datagram.len());
            meta.dst_ip = Some(self.addr.ip());
            taken += 1;
        }
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}
