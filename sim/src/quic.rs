//! quinn over the simulated network: its sockets, timers and tasks.
//!
//! The protocol, TLS included, is the real one; only what is below it is simulated.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};

use crate::datagram::Datagram;
use crate::machine::Life;
use crate::spawn::Task;

/// A UDP socket of one life of a machine; dropping it frees its address.
pub struct SimSocket {
    life: Life,
    address: SocketAddr,
}

impl SimSocket {
    /// Binds a port; 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, or `NotConnected` if this life of the machine is over.
    pub fn bind(life: Life, port: u16) -> io::Result<Self> {
        let address = life.address(port);
        let address = life.net().with(|inner| inner.bind(address, life.number()))?;
        Ok(Self { life, address })
    }

    fn poll_datagram(&self, context: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        ready!(self.life.gate().poll_open(context));
        let (address, number) = (self.address, self.life.number());
        self.life.net().with(|inner| inner.poll_datagram(address, number, context))
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { life: self.life.clone() })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.life.gate().is_shut() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let segment_bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for segment in transmit.contents.chunks(segment_bytes) {
            let datagram = Datagram {
                from: self.address,
                to: transmit.destination,
                bytes: Bytes::copy_from_slice(segment),
                ecn: transmit.ecn,
            };
            self.life.net().with(|inner| inner.send_datagram(datagram, self.life.number()));
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            match self.poll_datagram(context) {
                Poll::Ready(Ok(datagram)) => *meta = fill(buffer, &datagram),
                _ if received > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            received += 1;
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

fn fill(buffer: &mut IoSliceMut<'_>, datagram: &Datagram) -> RecvMeta {
    let len = datagram.bytes.len().min(buffer.len());
    buffer[..len].copy_from_slice(&datagram.bytes[..len]);
    RecvMeta {
        addr: datagram.from,
        len,
        stride: len,
        ecn: datagram.ecn,
        dst_ip: Some(datagram.to.ip()),
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.life.net().with(|inner| inner.unbind(self.address, self.life.number()));
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({})", self.address)
    }
}

/// A socket can always be written to, unless its machine is stopped.
#[derive(Debug)]
struct Writable {
    life: Life,
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.gate().poll_open(context).map(Ok)
    }
}

/// quinn's view of one life: virtual time, and tasks that end with the life.
#[derive(Debug)]
pub struct SimRuntime {
    life: Life,
}

impl SimRuntime {
    /// The runtime of this life.
    pub fn new(life: Life) -> Self {
        Self { life }
    }
}

impl Runtime for SimRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn spawn(&self, task: Task) {
        self.life.spawner().start(task);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
