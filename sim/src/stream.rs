//! What machines' kernels know of streams: the ends, what they tell each other, who holds them.
//!
//! Invariant: an end is held by at most one life of its machine, and is listed under that machine
//! exactly while it is held. What happens to ends is in `kernel.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use crate::link::Path;

/// Unread bytes per direction: what a sender may send before the reader reads (the order of
/// Linux' default buffers).
pub(crate) const WINDOW_BYTES: usize = 65_536;
/// How long an end waits for an answer (arbitrary; Linux waits 15 minutes, servers set less).
const PATIENCE: Duration = Duration::from_secs(20);

/// One end of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndId {
    stream: u64,
    /// 0 dialled, 1 was dialled.
    side: usize,
}

impl EndId {
    pub(crate) fn other(self) -> Self {
        Self { side: 1 - self.side, ..self }
    }
}

/// What one end tells the other.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Dial,
    Accept,
    Data(Bytes),
    /// The reader has read so many bytes.
    Credit(usize),
    Finish,
    Reset,
}

impl Segment {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Dial => "tcp dial",
            Self::Accept => "tcp accept",
            Self::Data(_) => "tcp data",
            Self::Credit(_) => "tcp credit",
            Self::Finish => "tcp finish",
            Self::Reset => "tcp reset",
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if let Self::Data(bytes) = self { bytes } else { &[] }
    }

    pub(crate) fn wants_answer(&self) -> bool {
        matches!(self, Self::Dial | Self::Data(_) | Self::Finish)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Dialling,
    Open,
    Broken(io::ErrorKind),
}

/// One end, as its machine's kernel keeps it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) address: SocketAddr,
    /// The life that holds this end; none before it exists and after it was let go.
    pub(crate) holder: Option<u64>,
    pub(crate) state: State,
    pub(crate) unread: VecDeque<Bytes>,
    /// Read, but not yet told to the sender.
    pub(crate) owed_bytes: usize,
    /// The other end will send no more.
    pub(crate) finished: bool,
    /// This end will send no more.
    pub(crate) shut: bool,
    /// What this end may still send.
    pub(crate) window_bytes: usize,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) sent_segments: u64,
    pub(crate) last_arrival_ns: u64,
    /// Sent, and held back by a cut, by number.
    pub(crate) held: BTreeMap<u64, Segment>,
    pub(crate) unanswered_since_ns: Option<u64>,
}

impl End {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            holder: None,
            state: State::Dialling,
            unread: VecDeque::new(),
            owed_bytes: 0,
            finished: false,
            shut: false,
            window_bytes: WINDOW_BYTES,
            reader: None,
            writer: None,
            sent_segments: 0,
            last_arrival_ns: 0,
            held: BTreeMap::new(),
            unanswered_since_ns: None,
        }
    }

    /// From now on this end fails; what arrived before can still be read.
    pub(crate) fn break_off(&mut self, why: io::ErrorKind, woken: &mut Vec<Waker>) {
        if !matches!(self.state, State::Broken(_)) {
            self.state = State::Broken(why);
        }
        self.held.clear();
        self.unanswered_since_ns = None;
        self.wake_all(woken);
    }

    pub(crate) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
    }
}

/// Where streams to an address wait to be accepted.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) life: u64,
    pub(crate) waiting: VecDeque<EndId>,
    pub(crate) acceptor: Option<Waker>,
}

/// All streams of a run.
#[derive(Debug)]
pub(crate) struct Streams {
    table: BTreeMap<u64, [End; 2]>,
    held_at: BTreeSet<(IpAddr, EndId)>,
    /// Ends that may hold something back, or wait for an answer.
    pub(crate) stalled: BTreeSet<EndId>,
    pub(crate) backlogs: BTreeMap<SocketAddr, Backlog>,
    pub(crate) patience_ns: u64,
    dialled: u64,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            held_at: BTreeSet::new(),
            stalled: BTreeSet::new(),
            backlogs: BTreeMap::new(),
            patience_ns: PATIENCE.as_nanos() as u64,
            dialled: 0,
        }
    }
}

impl Streams {
    /// A stream that is about to be dialled; its dialling end.
    pub(crate) fn insert(&mut self, from: SocketAddr, to: SocketAddr) -> EndId {
        self.dialled += 1;
        self.table.insert(self.dialled, [End::new(from), End::new(to)]);
        EndId { stream: self.dialled, side: 0 }
    }

    /// From now on this life holds the end.
    pub(crate) fn attach(&mut self, id: EndId, life: u64) {
        let Some(end) = self.end_mut(id) else { return };
        end.holder = Some(life);
        let ip = end.address.ip();
        self.held_at.insert((ip, id));
    }

    /// From now on nobody holds the end, and nobody will read what arrived.
    pub(crate) fn detach(&mut self, id: EndId) {
        let Some(end) = self.end_mut(id) else { return };
        end.holder = None;
        end.unread.clear();
        let ip = end.address.ip();
        self.held_at.remove(&(ip, id));
    }

    /// Forgets a stream that nobody holds, unless the listener is still to hear of it.
    pub(crate) fn forget_if_abandoned(&mut self, id: EndId) {
        let Some([dialler, dialled]) = self.table.get(&id.stream) else { return };
        let still_to_hear =
            dialled.state == State::Dialling && !matches!(dialler.state, State::Broken(_));
        if dialler.holder.is_none() && dialled.holder.is_none() && !still_to_hear {
            self.table.remove(&id.stream);
        }
    }

    pub(crate) fn end_mut(&mut self, id: EndId) -> Option<&mut End> {
        self.table.get_mut(&id.stream).map(|ends| &mut ends[id.side])
    }

    pub(crate) fn end(&self, id: EndId) -> Option<&End> {
        self.table.get(&id.stream).map(|ends| &ends[id.side])
    }

    pub(crate) fn path(&self, from: EndId) -> Option<Path> {
        let ends = self.table.get(&from.stream)?;
        Some((ends[from.side].address.ip(), ends[1 - from.side].address.ip()))
    }

    /// Whether somebody would take a segment that arrives at this end.
    pub(crate) fn is_receptive(&self, id: EndId) -> bool {
        let receptive = |end: &End| end.holder.is_some() && !matches!(end.state, State::Broken(_));
        self.end(id).is_some_and(receptive)
    }

    pub(crate) fn held_at(&self, ip: IpAddr) -> Vec<EndId> {
        let all = (ip, EndId { stream: 0, side: 0 })..=(ip, EndId { stream: u64::MAX, side: 1 });
        self.held_at.range(all).map(|(_, id)| *id).collect()
    }
}
