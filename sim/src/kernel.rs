//! Streams as machines' kernels run them: dialling, ordered bytes under a window, ends, resets.
//!
//! Invariants: the segments of one direction arrive in the order they were sent, each exactly
//! once, or never again after one of them did not; an end that waits for an answer longer than
//! its patience breaks; an end that nobody holds answers with a reset. A cut holds segments back
//! rather than losing them, as TCP's retransmission does. Modelled on TCP as Linux has it;
//! congestion control is absent.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::clock;
use crate::link::{Kind, Path};
use crate::net::{Arrival, Inner};
use crate::stream::{EndId, Segment, State, WINDOW_BYTES};
use crate::trace::Crossing;

/// How much is read before the sender is told: a quarter of the window, so it never starves.
const CREDIT_STEP_BYTES: usize = WINDOW_BYTES / 4;
/// Streams that wait to be accepted; beyond it a caller tries again (Linux' somaxconn).
const BACKLOG_STREAMS_MAX: usize = 4096;
/// When a caller tries again that met a full backlog: Linux' first SYN retransmission.
const DIAL_AGAIN_NS: u64 = 1_000_000_000;
/// The longest wait of a retransmission timer after a mended cut (its least value on Linux).
const RESUME_AFTER_NS: u64 = 200_000_000;
/// The die of that timer, beyond those of a link.
const RESUME_DIE: u64 = 64;

/// What applications ask of their kernels.
impl Inner {
    /// Begins to dial; the end is open once the other side's kernel has answered.
    ///
    /// # Errors
    /// `NotConnected` if this life of the machine is over.
    pub(crate) fn dial(&mut self, from: IpAddr, life: u64, to: SocketAddr) -> io::Result<EndId> {
        self.require_life(from, life)?;
        let from = SocketAddr::new(from, self.ephemeral_port(from));
        let id = self.streams.insert(from, to);
        self.streams.attach(id, life);
        self.emit(id, Segment::Dial);
        Ok(id)
    }

    /// Sends `segment` from this end.
    pub(crate) fn emit(&mut self, from: EndId, segment: Segment) {
        let Some(path) = self.streams.path(from) else { return };
        self.stats.segments_sent += 1;
        self.stats.bytes_sent += segment.bytes().len() as u64;
        self.record_segment(segment.name(), from, &segment);
        self.await_answer_if_cut_off(from, path, &segment);
        let Some(end) = self.streams.end_mut(from) else { return };
        end.sent_segments += 1;
        let number = end.sent_segments;
        if end.held.is_empty() {
            self.dispatch(from, number, segment, 0);
        } else {
            self.hold_back(from, number, segment);
        }
    }

    /// Tells the sender how much was read, once it is worth a segment.
    pub(crate) fn give_credit(&mut self, id: EndId) {
        let Some(end) = self.streams.end_mut(id) else { return };
        if end.owed_bytes >= CREDIT_STEP_BYTES {
            let owed_bytes = std::mem::take(&mut end.owed_bytes);
            self.emit(id, Segment::Credit(owed_bytes));
        }
    }

    /// The holder lets go of an end: what it did not read becomes a reset, else it finishes.
    pub(crate) fn let_go(&mut self, id: EndId, life: u64) {
        let Some(end) = self.streams.end_mut(id).filter(|end| end.holder == Some(life)) else {
            return;
        };
        let farewell = match end.state {
            State::Broken(_) => None,
            _ if !end.unread.is_empty() => Some(Segment::Reset),
            _ => (!end.shut).then_some(Segment::Finish),
        };
        end.shut = true;
        self.streams.detach(id);
        farewell.into_iter().for_each(|segment| self.emit(id, segment));
        self.streams.forget_if_abandoned(id);
    }

    /// Refuses whoever waits to be accepted, and listens no more.
    pub(crate) fn stop_listening(&mut self, at: SocketAddr, life: u64) {
        if self.streams.backlogs.get(&at).is_none_or(|backlog| backlog.life != life) {
            return;
        }
        let backlog = self.streams.backlogs.remove(&at).unwrap_or_default();
        for id in backlog.waiting {
            self.emit(id, Segment::Reset);
            self.streams.detach(id);
            self.streams.forget_if_abandoned(id);
        }
    }
}

/// What the network brings.
impl Inner {
    /// A segment reached the other end's machine, or, if the path is cut by now, did not.
    pub(crate) fn arrive(&mut self, from: EndId, number: u64, segment: Segment) {
        let Some(path) = self.streams.path(from) else { return };
        self.await_answer_if_cut_off(from, path, &segment);
        if self.is_blocked(path) {
            return self.hold_back(from, number, segment);
        }
        self.record_segment("tcp arrived", from, &segment);
        let to = from.other();
        match segment {
            Segment::Dial => self.on_dial(from, number),
            segment if self.streams.is_receptive(to) => self.on_segment(to, segment),
            segment if segment.wants_answer() => self.emit(to, Segment::Reset),
            _ => {}
        }
    }

    /// An end has waited since then; if still without an answer, it breaks.
    pub(crate) fn expire(&mut self, id: EndId, since_ns: u64) {
        let Some(end) = self.streams.end_mut(id) else { return };
        if end.unanswered_since_ns != Some(since_ns) {
            return;
        }
        let why = match end.state {
            State::Dialling => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionReset,
        };
        end.break_off(why, &mut self.woken);
        self.record_segment("tcp expired", id, &Segment::Reset);
        self.streams.forget_if_abandoned(id);
    }

    /// The paths named by `mended` may be open again: what was held goes on its way.
    pub(crate) fn resume_streams(&mut self, mended: impl Fn(Path) -> bool) {
        for id in std::mem::take(&mut self.streams.stalled) {
            let Some(path) = self.streams.path(id) else { continue };
            if !mended(path) || self.is_blocked(path) {
                self.streams.stalled.insert(id);
                continue;
            }
            let answerable = !self.is_blocked((path.1, path.0));
            let Some(end) = self.streams.end_mut(id) else { continue };
            let held = std::mem::take(&mut end.held);
            if answerable {
                end.unanswered_since_ns = None;
            } else {
                self.streams.stalled.insert(id);
            }
            for (number, segment) in held {
                self.dispatch(id, number, segment, RESUME_AFTER_NS);
            }
        }
    }

    /// The life at this address is over: its ends lose their holder, and, if a kernel is left to
    /// do so, say it.
    pub(crate) fn orphan_streams(&mut self, ip: IpAddr, kernel_lives: bool) {
        self.streams.backlogs.retain(|address, _| address.ip() != ip);
        for id in self.streams.held_at(ip) {
            self.streams.detach(id);
            let Some(end) = self.streams.end_mut(id) else { continue };
            let open = end.state == State::Open;
            end.break_off(io::ErrorKind::ConnectionReset, &mut self.woken);
            if kernel_lives && open {
                self.emit(id, Segment::Reset);
            }
            self.streams.forget_if_abandoned(id);
        }
    }

    fn on_dial(&mut self, dialler: EndId, number: u64) {
        let dialled = dialler.other();
        let Some(address) = self.streams.end(dialled).map(|end| end.address) else { return };
        let Some(backlog) = self.streams.backlogs.get_mut(&address) else {
            return self.refuse(dialled);
        };
        if backlog.waiting.len() >= BACKLOG_STREAMS_MAX {
            let arrival = Arrival::Segment { from: dialler, number, segment: Segment::Dial };
            return self.under_way.push(clock::virtual_ns() + DIAL_AGAIN_NS, arrival);
        }
        backlog.waiting.push_back(dialled);
        self.woken.extend(backlog.acceptor.take());
        let life = backlog.life;
        self.streams.attach(dialled, life);
        self.streams.end_mut(dialled).into_iter().for_each(|end| end.state = State::Open);
        self.emit(dialled, Segment::Accept);
    }

    fn refuse(&mut self, dialled: EndId) {
        let Some(end) = self.streams.end_mut(dialled) else { return };
        end.break_off(io::ErrorKind::ConnectionRefused, &mut self.woken);
        self.emit(dialled, Segment::Reset);
        self.streams.forget_if_abandoned(dialled);
    }

    fn on_segment(&mut self, to: EndId, segment: Segment) {
        let Some(end) = self.streams.end_mut(to) else { return };
        match segment {
            Segment::Dial | Segment::Accept => end.state = State::Open,
            Segment::Data(bytes) => end.unread.push_back(bytes),
            Segment::Credit(bytes) => end.window_bytes += bytes,
            Segment::Finish => end.finished = true,
            Segment::Reset if end.state == State::Dialling => {
                end.break_off(io::ErrorKind::ConnectionRefused, &mut self.woken);
            }
            Segment::Reset => end.break_off(io::ErrorKind::ConnectionReset, &mut self.woken),
        }
        end.wake_all(&mut self.woken);
    }

    fn dispatch(&mut self, from: EndId, number: u64, segment: Segment, resume_after_ns: u64) {
        let Some(path) = self.streams.path(from) else { return };
        let draw = self.links.draw(path, Kind::Segment);
        let link = self.links.get(path);
        // A stream waits for room; what it loses it sends again.
        let queue_ns = self.links.queue_ns(path, segment.bytes().len(), clock::virtual_ns());
        let wait_ns =
            queue_ns.unwrap_or_default() + link.delay_ns(draw) + link.resend_wait_ns(draw);
        let resume_ns = draw.up_to(RESUME_DIE, resume_after_ns);
        let Some(end) = self.streams.end_mut(from) else { return };
        let at_ns = (clock::virtual_ns() + wait_ns + resume_ns).max(end.last_arrival_ns);
        end.last_arrival_ns = at_ns;
        self.under_way.push(at_ns, Arrival::Segment { from, number, segment });
    }

    fn hold_back(&mut self, from: EndId, number: u64, segment: Segment) {
        let Some(end) = self.streams.end_mut(from) else { return };
        end.held.insert(number, segment);
        self.streams.stalled.insert(from);
    }

    fn await_answer_if_cut_off(&mut self, id: EndId, path: Path, segment: &Segment) {
        let cut_off = self.is_blocked(path) || self.is_blocked((path.1, path.0));
        if !segment.wants_answer() || !cut_off {
            return;
        }
        let expires_ns = clock::virtual_ns() + self.streams.patience_ns;
        let Some(end) = self.streams.end_mut(id) else { return };
        if end.unanswered_since_ns.is_none() {
            let since_ns = clock::virtual_ns();
            end.unanswered_since_ns = Some(since_ns);
            self.under_way.push(expires_ns, Arrival::Expiry { end: id, since_ns });
            self.streams.stalled.insert(id);
        }
    }

    fn is_blocked(&self, path: Path) -> bool {
        self.links.is_cut(path) || !self.is_powered(path.1)
    }

    fn record_segment(&self, what: &'static str, from: EndId, segment: &Segment) {
        let ends = (self.streams.end(from), self.streams.end(from.other()));
        let (Some(from), Some(to)) = ends else { return };
        let crossing =
            Crossing { what, from: from.address, to: to.address, bytes: segment.bytes() };
        self.trace.crossing(&crossing);
    }
}
