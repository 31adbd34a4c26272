//! Streams as applications see them: what a listener yields and a dialler gets.
//!
//! A stream behaves like a TCP socket: ordered bytes, a bounded buffer per direction, a polite
//! end on drop, a reset when the peer's process or machine is gone.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::machine::Life;
use crate::net::{Inner, park};
use crate::stream::{Backlog, EndId, Segment, State};

/// The most bytes that one write takes (arbitrary; a few dozen full packets).
const WRITE_BYTES_MAX: usize = 16_384;

/// A stream between two simulated machines.
pub struct SimStream {
    life: Life,
    id: EndId,
    local: SocketAddr,
    peer: SocketAddr,
}

impl SimStream {
    /// Dials `to` and waits until it is accepted by the other side's kernel.
    pub(crate) async fn connect(life: Life, to: SocketAddr) -> io::Result<Self> {
        let (ip, number) = (life.ip(), life.number());
        let id = life.net().with(|inner| inner.dial(ip, number, to))?;
        let stream = Self::new(life, id)?;
        poll_fn(|context| stream.poll(context, |inner, context| inner.poll_dialled(id, context)))
            .await?;
        Ok(stream)
    }

    fn new(life: Life, id: EndId) -> io::Result<Self> {
        let address = |inner: &Inner, id| inner.streams.end(id).map(|end| end.address);
        let ends = life.net().with(|inner| (address(inner, id), address(inner, id.other())));
        let (Some(local), Some(peer)) = ends else {
            return Err(io::ErrorKind::ConnectionReset.into());
        };
        Ok(Self { life, id, local, peer })
    }

    /// The address of this end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Does something with this end, if the machine is not stopped and its life not over.
    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        action: impl FnOnce(&mut Inner, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        std::task::ready!(self.life.gate().poll_open(context));
        self.life.net().with(|inner| {
            if !inner.is_alive(self.life.ip(), self.life.number()) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            action(inner, context)
        })
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(context, |inner, context| inner.poll_read(self.id, context, buffer))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, |inner, context| inner.poll_write(self.id, context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |inner, _| Poll::Ready(inner.shut(self.id)))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.life.net().with(|inner| inner.let_go(self.id, self.life.number()));
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStream({} -> {})", self.local, self.peer)
    }
}

/// Accepts streams at one address.
#[derive(Debug)]
pub struct SimListener {
    life: Life,
    address: SocketAddr,
}

impl SimListener {
    pub(crate) fn bind(life: Life, port: u16) -> io::Result<Self> {
        let number = life.number();
        let address = life.net().with(|inner| inner.listen(life.address(port), number))?;
        Ok(Self { life, address })
    }

    /// The address this listens at.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next stream and the address it comes from.
    ///
    /// # Errors
    /// `NotConnected` once the machine's life is over.
    pub async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let id = poll_fn(|context| self.poll_accept(context)).await?;
        let stream = SimStream::new(self.life.clone(), id)?;
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    fn poll_accept(&self, context: &Context<'_>) -> Poll<io::Result<EndId>> {
        std::task::ready!(self.life.gate().poll_open(context));
        let number = self.life.number();
        self.life.net().with(|inner| inner.poll_accept(self.address, number, context))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.life.net().with(|inner| inner.stop_listening(self.address, self.life.number()));
    }
}

/// What sockets ask of their kernel.
impl Inner {
    fn listen(&mut self, mut at: SocketAddr, life: u64) -> io::Result<SocketAddr> {
        self.require_life(at.ip(), life)?;
        if at.port() == 0 {
            at.set_port(self.ephemeral_port(at.ip()));
        }
        if self.streams.backlogs.contains_key(&at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.streams.backlogs.insert(at, Backlog { life, ..Backlog::default() });
        Ok(at)
    }

    fn poll_accept(
        &mut self,
        at: SocketAddr,
        life: u64,
        context: &Context<'_>,
    ) -> Poll<io::Result<EndId>> {
        let backlogs = &mut self.streams.backlogs;
        let Some(backlog) = backlogs.get_mut(&at).filter(|backlog| backlog.life == life) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Some(id) = backlog.waiting.pop_front() {
            return Poll::Ready(Ok(id));
        }
        park(&mut backlog.acceptor, context, &mut self.retired);
        Poll::Pending
    }

    fn poll_dialled(&mut self, id: EndId, context: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(end) = self.streams.end_mut(id) else { return reset() };
        match end.state {
            State::Open => return Poll::Ready(Ok(())),
            State::Broken(why) => return Poll::Ready(Err(why.into())),
            State::Dialling => park(&mut end.writer, context, &mut self.retired),
        }
        Poll::Pending
    }

    fn poll_read(
        &mut self,
        id: EndId,
        context: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(end) = self.streams.end_mut(id) else { return reset() };
        if !end.unread.is_empty() {
            while let Some(first) = end.unread.front_mut().filter(|_| buffer.remaining() > 0) {
                let taken = first.len().min(buffer.remaining());
                buffer.put_slice(&first[..taken]);
                first.advance(taken);
                end.owed_bytes += taken;
                if first.is_empty() {
                    end.unread.pop_front();
                }
            }
            self.give_credit(id);
            return Poll::Ready(Ok(()));
        }
        match end.state {
            State::Broken(why) => return Poll::Ready(Err(why.into())),
            _ if end.finished => return Poll::Ready(Ok(())),
            _ => park(&mut end.reader, context, &mut self.retired),
        }
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        id: EndId,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(end) = self.streams.end_mut(id) else { return reset() };
        match end.state {
            State::Broken(why) => return Poll::Ready(Err(why.into())),
            _ if end.shut => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            _ if bytes.is_empty() => return Poll::Ready(Ok(0)),
            _ if end.window_bytes == 0 => {
                park(&mut end.writer, context, &mut self.retired);
                return Poll::Pending;
            }
            _ => {}
        }
        let taken = bytes.len().min(end.window_bytes).min(WRITE_BYTES_MAX);
        end.window_bytes -= taken;
        self.emit(id, Segment::Data(Bytes::copy_from_slice(&bytes[..taken])));
        Poll::Ready(Ok(taken))
    }

    fn shut(&mut self, id: EndId) -> io::Result<()> {
        let Some(end) = self.streams.end_mut(id) else { return Ok(()) };
        if !std::mem::replace(&mut end.shut, true) && end.state == State::Open {
            self.emit(id, Segment::Finish);
        }
        Ok(())
    }
}

fn reset<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}
