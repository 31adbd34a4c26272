//! The simulated network: machines with addresses, one queue of what is under way, one task that
//! delivers it.
//!
//! Invariants: whatever is under way is delivered in the order of (virtual nanosecond, number);
//! a machine's sockets belong to one life of it, and those of an earlier life can neither send
//! nor receive, so that nothing a crashed process still does is seen by anybody.
//! A link with bounded bandwidth has a queue of its own in each direction, and drops what does not fit it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;
use crate::datagram::{Datagram, Inbox};
use crate::link::{Link, Links, Path};
use crate::stream::{EndId, Segment, Streams};
use crate::trace::Trace;

/// A handle to the network of one run; clones share it.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    /// Something is due earlier than the delivery task knows.
    sooner: Notify,
}

/// Everything behind the lock.
pub(crate) struct Inner {
    pub(crate) links: Links,
    pub(crate) hosts: BTreeMap<IpAddr, Host>,
    pub(crate) inboxes: BTreeMap<SocketAddr, Inbox>,
    pub(crate) streams: Streams,
    pub(crate) under_way: UnderWay,
    pub(crate) trace: Trace,
    pub(crate) stats: NetStats,
    /// To be woken once the lock is free.
    pub(crate) woken: Vec<Waker>,
    /// To be dropped once the lock is free: the last waker of a task may drop its sockets.
    pub(crate) retired: Vec<Waker>,
}

/// What the network did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Datagrams given to the network.
    pub datagrams_sent: u64,
    /// Datagrams put into an inbox, copies included.
    pub datagrams_delivered: u64,
    /// Datagrams that found an end otherwise: lost, cut, too large, nobody there, inbox full.
    pub datagrams_dropped: u64,
    /// Datagrams on their way with other bytes than were sent.
    pub datagrams_damaged: u64,
    /// Stream segments given to the network.
    pub segments_sent: u64,
    /// Payload bytes given to the network, in datagrams and segments.
    pub bytes_sent: u64,
}

/// A machine as the network knows it.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// Counts starts and ends of processes; a socket of another life is dead.
    life: u64,
    powered: bool,
    next_port: u16,
}

/// The first port given to a socket that asks for none.
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

/// What happens when something's time has come.
pub(crate) enum Arrival {
    Datagram(Datagram),
    Segment {
        from: EndId,
        number: u64,
        segment: Segment,
    },
    /// An end has waited for an answer since then.
    Expiry {
        end: EndId,
        since_ns: u64,
    },
}

/// The queue of what is under way.
#[derive(Default)]
pub(crate) struct UnderWay {
    heap: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

struct Entry {
    at_ns: u64,
    number: u64,
    arrival: Arrival,
}

impl Net {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let inner = Inner {
            links: Links::new(seed),
            hosts: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            streams: Streams::default(),
            under_way: UnderWay::default(),
            trace,
            stats: NetStats::default(),
            woken: Vec::new(),
            retired: Vec::new(),
        };
        Self(Arc::new(Shared { inner: Mutex::new(inner), sooner: Notify::new() }))
    }

    /// Gives all links between nodes these properties, but for those set one by one.
    pub fn set_between_nodes(&self, link: Link) {
        self.with(|inner| inner.links.set_between_nodes(link));
    }

    /// Gives all links to and from players and hosts these properties.
    pub fn set_access(&self, link: Link) {
        self.with(|inner| inner.links.set_access(link));
    }

    /// Gives one direction between two machines properties of its own.
    pub fn set_link(&self, from: IpAddr, to: IpAddr, link: Link) {
        self.with(|inner| inner.links.set((from, to), link));
    }

    /// Takes back what [`Net::set_link`] set.
    pub fn reset_link(&self, from: IpAddr, to: IpAddr) {
        self.with(|inner| inner.links.reset((from, to)));
    }

    /// The present properties of one direction.
    pub fn link(&self, from: IpAddr, to: IpAddr) -> Link {
        self.with(|inner| inner.links.get((from, to)))
    }

    /// Cuts one direction: datagrams vanish, streams wait and finally break. It is as often cut as it is to be mended.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        self.with(|inner| inner.links.set_cut((from, to), true));
    }

    /// Mends one direction.
    pub fn mend(&self, from: IpAddr, to: IpAddr) {
        self.with(|inner| inner.mend((from, to)));
    }

    /// Cuts both directions between every machine of one side and every machine of the other.
    pub fn partition(&self, side: &[IpAddr], other: &[IpAddr]) {
        for (a, b) in side.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cut(a, b);
            self.cut(b, a);
        }
    }

    /// Mends every cut.
    pub fn heal(&self) {
        self.with(|inner| inner.links.heal().into_iter().for_each(|path| inner.reopen(path)));
    }

    /// How long a stream's end waits for an answer before it breaks.
    pub fn set_stream_patience(&self, patience: Duration) {
        self.with(|inner| inner.streams.patience_ns = patience.as_nanos() as u64);
    }

    /// What the network did so far.
    pub fn stats(&self) -> NetStats {
        self.with(|inner| inner.stats)
    }

    /// Starts a life at this address; what was held back for the machine goes on its way.
    pub(crate) fn boot(&self, ip: IpAddr) -> u64 {
        self.with(|inner| inner.boot(ip))
    }

    /// Ends the process at this address; its kernel resets its streams.
    pub(crate) fn kill(&self, ip: IpAddr) {
        self.with(|inner| inner.end_life(ip, true));
    }

    /// Ends the machine at this address in silence.
    pub(crate) fn power_off(&self, ip: IpAddr) {
        self.with(|inner| inner.end_life(ip, false));
    }

    /// Runs `action` under the lock; wakes tasks and the delivery task after it.
    pub(crate) fn with<T>(&self, action: impl FnOnce(&mut Inner) -> T) -> T {
        let (value, woken, retired, sooner) = {
            let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let before = inner.under_way.next_ns();
            let value = action(&mut inner);
            let after = inner.under_way.next_ns();
            let sooner = after.is_some_and(|after| before.is_none_or(|before| after < before));
            let woken = std::mem::take(&mut inner.woken);
            (value, woken, std::mem::take(&mut inner.retired), sooner)
        };
        woken.into_iter().for_each(Waker::wake);
        drop(retired);
        if sooner {
            self.0.sooner.notify_one();
        }
        value
    }

    /// Delivers until the run ends.
    pub(crate) async fn deliver(self, start: tokio::time::Instant) {
        loop {
            let Some(next_ns) = self.with(Inner::deliver_due) else {
                self.0.sooner.notified().await;
                continue;
            };
            tokio::select! { biased;
                () = self.0.sooner.notified() => {}
                () = tokio::time::sleep_until(start + Duration::from_nanos(next_ns)) => {}
            }
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Inner {
    fn deliver_due(&mut self) -> Option<u64> {
        let now_ns = clock::virtual_ns();
        while let Some(arrival) = self.under_way.pop_due(now_ns) {
            match arrival {
                Arrival::Datagram(datagram) => self.receive_datagram(datagram),
                Arrival::Segment { from, number, segment } => self.arrive(from, number, segment),
                Arrival::Expiry { end, since_ns } => self.expire(end, since_ns),
            }
        }
        self.under_way.next_ns()
    }

    fn boot(&mut self, ip: IpAddr) -> u64 {
        let host = self.hosts.entry(ip).or_default();
        host.life += 1;
        host.powered = true;
        host.next_port = FIRST_EPHEMERAL_PORT;
        let life = host.life;
        self.resume_streams(|path| path.0 == ip || path.1 == ip);
        life
    }

    fn end_life(&mut self, ip: IpAddr, kernel_lives: bool) {
        let Some(host) = self.hosts.get_mut(&ip) else { return };
        host.life += 1;
        host.powered &= kernel_lives;
        self.inboxes.retain(|address, _| address.ip() != ip);
        self.orphan_streams(ip, kernel_lives);
    }

    fn mend(&mut self, path: Path) {
        let was_cut = self.links.is_cut(path);
        self.links.set_cut(path, false);
        if was_cut && !self.links.is_cut(path) {
            self.reopen(path);
        }
    }

    fn reopen(&mut self, path: Path) {
        self.resume_streams(|other| other == path || other == (path.1, path.0));
    }

    pub(crate) fn is_alive(&self, ip: IpAddr, life: u64) -> bool {
        self.hosts.get(&ip).is_some_and(|host| host.life == life && host.powered)
    }

    pub(crate) fn is_powered(&self, ip: IpAddr) -> bool {
        self.hosts.get(&ip).is_some_and(|host| host.powered)
    }

    /// # Errors
    /// `NotConnected` if this life of the machine is over.
    pub(crate) fn require_life(&self, ip: IpAddr, life: u64) -> io::Result<()> {
        if self.is_alive(ip, life) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    }

    /// The next unused port above the well-known ones; they come round again.
    pub(crate) fn ephemeral_port(&mut self, ip: IpAddr) -> u16 {
        let host = self.hosts.entry(ip).or_default();
        let port = host.next_port.max(FIRST_EPHEMERAL_PORT);
        host.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }
}

impl UnderWay {
    pub(crate) fn push(&mut self, at_ns: u64, arrival: Arrival) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at_ns, number: self.count, arrival }));
    }

    fn pop_due(&mut self, now_ns: u64) -> Option<Arrival> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.arrival)
    }

    fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at_ns)
    }
}

impl Entry {
    fn rank(&self) -> (u64, u64) {
        (self.at_ns, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// Remembers whom to wake: whoever waited last. The one before is not woken, for it may be the
/// same task behind another waker, which would wake itself for ever.
pub(crate) fn park(slot: &mut Option<Waker>, context: &Context<'_>, retired: &mut Vec<Waker>) {
    if !slot.as_ref().is_some_and(|waiting| waiting.will_wake(context.waker())) {
        retired.extend(slot.replace(context.waker().clone()));
    }
}
