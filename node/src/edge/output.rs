//! Bytes on their way to one client: shared frames and small answers, many per write.
//!
//! Unbounded by itself; the connection stops producing at its marks, see there.

use super::Counters;
use bytes::{Buf, BufMut, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Whether something was written that the stream may still hold back.
    unflushed: bool,
    /// Since when nothing has moved, while something should.
    stalled_since: Option<Instant>,
}

impl Output {
    /// Appends one packet.
    pub(super) fn push(&mut self, packet: Bytes, counters: &Counters) {
        counters.packet_out();
        self.bytes += packet.len();
        self.queue.push_back(packet);
    }

    /// Appends one packet whose payload is shared.
    pub(super) fn push_parts(&mut self, head: Bytes, payload: Bytes, counters: &Counters) {
        self.push(head, counters);
        self.bytes += payload.len();
        self.queue.push_back(payload);
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything has left.
    pub(super) fn is_idle(&self) -> bool {
        self.bytes == 0 && !self.unflushed
    }

    /// Since when nothing has moved, while something should.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Writes until all has left. Whoever polls again after `Pending` is woken when more can go.
    pub(super) fn poll_drain<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let drained = self.poll_all(io, cx);
        if drained.is_pending() {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        ready!(drained)?;
        self.stalled_since = None;
        if self.queue.capacity() > KEPT_SLOTS_MAX && self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_all<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            let written = ready!(self.poll_write(io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Several packets that are short together are copied into one: gathering them from where they are takes a
    /// kernel longer. A receipt goes out like this.
    fn poll_write<IO: AsyncWrite + Unpin>(
        &self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.queue.len() > 1 && self.bytes <= COPIED_BYTES_MAX {
            let mut all = [0; COPIED_BYTES_MAX];
            let mut rest = &mut all[..];
            self.queue.iter().for_each(|packet| rest.put_slice(packet));
            return Pin::new(io).poll_write(cx, &all[..self.bytes]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.queue.len().min(SLICES_MAX);
        for (slice, packet) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(packet);
        }
        Pin::new(io).poll_write_vectored(cx, &slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.unflushed = true;
        self.stalled_since = None;
        self.bytes -= written;
        while let Some(first) = self.queue.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queue.pop_front();
        }
    }
}

/// On the stack while writing.
const COPIED_BYTES_MAX: usize = 1024;
/// More packets per system call gain nothing measurable.
const SLICES_MAX: usize = 16;
/// A longer queue's memory is given back once it is empty.
const KEPT_SLOTS_MAX: usize = 4;
