//! A node's UDP socket that counts what passes, and loses some of it on request.

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

/// UDP payload that passed.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bytes handed to the system.
    pub(super) sent: AtomicU64,
    /// Bytes taken from it.
    pub(super) received: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Counted {
    inner: Arc<dyn AsyncUdpSocket>,
    counts: Arc<Counts>,
    /// Of a thousand datagrams so many are lost.
    loss_permille: u64,
    datagrams: AtomicU64,
}

impl Counted {
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        counts: Arc<Counts>,
        loss_permille: u64,
    ) -> Self {
        Counted { inner, counts, loss_permille, datagrams: AtomicU64::new(0) }
    }

    /// Whether the next datagram is lost: evenly spread, and the same in every run.
    fn loses(&self) -> bool {
        let number = self.datagrams.fetch_add(1, Relaxed);
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40 < self.loss_permille * (1 << 24) / 1_000
    }
}

impl AsyncUdpSocket for Counted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.loss_permille > 0 && self.loses() {
            return Ok(());
        }
        self.inner.try_send(transmit)?;
        self.counts.sent.fetch_add(transmit.contents.len() as u64, Relaxed);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.inner.poll_recv(context, buffers, metas))?;
        let bytes: usize = metas[..count].iter().map(|meta| meta.len).sum();
        self.counts.received.fetch_add(bytes as u64, Relaxed);
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        // A loss takes one datagram, not a burst of them.
        if self.loss_permille > 0 { 1 } else { self.inner.max_transmit_segments() }
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lossy_socket_loses_its_share() {
        let (inner, _) = gossip::network::open_socket(([127, 0, 0, 1], 0).into()).unwrap();
        let socket = Counted::new(inner, Arc::default(), 50);
        let lost = (0..100_000).filter(|_| socket.loses()).count();
        assert!((4_500..5_500).contains(&lost), "{lost} of 100,000");
    }
}
