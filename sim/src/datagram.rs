//! Datagrams: sent with a fate drawn from the seed, received into bounded inboxes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::udp::EcnCodepoint;

use crate::clock;
use crate::link::Kind;
use crate::net::{Arrival, Inner, park};
use crate::trace::Crossing;

/// Datagrams that wait in one inbox; a full one drops the newest, as a kernel does (arbitrary:
/// Linux' default of 208 KiB holds about as many small ones).
const INBOX_DATAGRAMS_MAX: usize = 1024;
/// What IPv4 and UDP add to a datagram.
const HEADER_BYTES: usize = 28;

/// One datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Bytes,
    pub(crate) ecn: Option<EcnCodepoint>,
}

/// What waits at a bound address.
#[derive(Debug)]
pub(crate) struct Inbox {
    life: u64,
    queue: VecDeque<Datagram>,
    reader: Option<Waker>,
}

impl Inner {
    /// Binds an address for datagrams; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, or `NotConnected` if this life of the machine is over.
    pub(crate) fn bind(&mut self, mut at: SocketAddr, life: u64) -> io::Result<SocketAddr> {
        self.require_life(at.ip(), life)?;
        if at.port() == 0 {
            at.set_port(self.ephemeral_port(at.ip()));
        }
        if self.inboxes.contains_key(&at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.inboxes.insert(at, Inbox { life, queue: VecDeque::new(), reader: None });
        Ok(at)
    }

    /// Frees an address that this life bound.
    pub(crate) fn unbind(&mut self, at: SocketAddr, life: u64) {
        if self.inboxes.get(&at).is_some_and(|inbox| inbox.life == life) {
            self.inboxes.remove(&at);
        }
    }

    /// Sends a datagram, if the sender's life is not over.
    pub(crate) fn send_datagram(&mut self, datagram: Datagram, life: u64) {
        if !self.is_alive(datagram.from.ip(), life) {
            return;
        }
        let path = (datagram.from.ip(), datagram.to.ip());
        let draw = self.links.draw(path, Kind::Datagram);
        let link = self.links.get(path);
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += datagram.bytes.len() as u64;
        if self.links.is_cut(path) {
            return self.end_datagram("udp cut", &datagram);
        }
        if datagram.bytes.len() + HEADER_BYTES > link.mtu {
            return self.end_datagram("udp oversized", &datagram);
        }
        let now_ns = clock::virtual_ns();
        let bytes = datagram.bytes.len() + HEADER_BYTES;
        let Some(queue_ns) = self.links.queue_ns(path, bytes, now_ns) else {
            return self.end_datagram("udp queue full", &datagram);
        };
        if link.loses(draw) {
            return self.end_datagram("udp lost", &datagram);
        }
        self.record("udp sent", &datagram);
        let at_ns = now_ns + queue_ns + link.delay_ns(draw);
        if let Some(after_ns) = link.copy_after_ns(draw) {
            self.under_way.push(at_ns + after_ns, Arrival::Datagram(datagram.clone()));
        }
        let damaged = link.damaged(draw, &datagram.bytes);
        self.stats.datagrams_damaged += u64::from(damaged.is_some());
        let bytes = damaged.unwrap_or(datagram.bytes);
        let datagram = Datagram { bytes, ..datagram };
        self.under_way.push(at_ns, Arrival::Datagram(datagram));
    }

    /// Puts an arrived datagram where its reader finds it.
    pub(crate) fn receive_datagram(&mut self, datagram: Datagram) {
        if self.links.is_cut((datagram.from.ip(), datagram.to.ip())) {
            return self.end_datagram("udp cut under way", &datagram);
        }
        let Some(waiting) = self.inboxes.get(&datagram.to).map(|inbox| inbox.queue.len()) else {
            return self.end_datagram("udp to nobody", &datagram);
        };
        if waiting >= INBOX_DATAGRAMS_MAX {
            return self.end_datagram("udp inbox full", &datagram);
        }
        self.record("udp received", &datagram);
        self.stats.datagrams_delivered += 1;
        let Some(inbox) = self.inboxes.get_mut(&datagram.to) else { return };
        self.woken.extend(inbox.reader.take());
        inbox.queue.push_back(datagram);
    }

    /// The next datagram of this inbox.
    pub(crate) fn poll_datagram(
        &mut self,
        at: SocketAddr,
        life: u64,
        context: &Context<'_>,
    ) -> Poll<io::Result<Datagram>> {
        let Some(inbox) = self.inboxes.get_mut(&at).filter(|inbox| inbox.life == life) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Some(datagram) = inbox.queue.pop_front() {
            return Poll::Ready(Ok(datagram));
        }
        park(&mut inbox.reader, context, &mut self.retired);
        Poll::Pending
    }

    fn end_datagram(&mut self, what: &'static str, datagram: &Datagram) {
        self.stats.datagrams_dropped += 1;
        self.record(what, datagram);
    }

    fn record(&self, what: &'static str, datagram: &Datagram) {
        let Datagram { from, to, bytes, .. } = datagram;
        self.trace.crossing(&Crossing { what, from: *from, to: *to, bytes });
    }
}
