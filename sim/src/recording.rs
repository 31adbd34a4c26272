//! What a report draws: messages on their way between nodes, and what each node has and sees.
//!
//! Recording changes nothing: it reads what goes by, is in no hash, and rolls no dice. Bounded: of
//! too many messages every second one is let go, again and again, so that the whole run stays in
//! view; samples beyond their bound are left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crdt_state::{LaneId, Origin};
use node::engine::EventCore;

use crate::clock;
use crate::trace::Crossing;

/// Messages that are kept (arbitrary: a page with more of them is slow to open).
const FLIGHTS_MAX: usize = 24_000;
/// Samples that are kept (arbitrary: ten nodes for an hour, four times a second, are more).
const SAMPLES_MAX: usize = 100_000;
/// Datagrams under way; what never arrives and never ends is forgotten beyond this.
const UNDER_WAY_MAX: usize = 100_000;

/// Gathers a recording; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

/// What was recorded.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Messages, in the order of their ends.
    pub flights: Vec<Flight>,
    /// One in so many messages was kept.
    pub stride: u64,
    /// What nodes had and saw.
    pub samples: Vec<Sample>,
    /// Which node an origin is a life of.
    pub origins: BTreeMap<Origin, u8>,
    seen: u64,
    under_way: BTreeMap<(u8, u8, u64), VecDeque<u64>>,
    under_way_count: usize,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// When it left, in virtual nanoseconds.
    pub sent_ns: u64,
    /// When it arrived, or was lost.
    pub ended_ns: u64,
    /// Who sent it.
    pub from: u8,
    /// To whom.
    pub to: u8,
    /// Whether it arrived.
    pub arrived: bool,
    /// What it was, in a word, and more.
    pub what: String,
}

/// What a node has and sees at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// The node.
    pub node: u8,
    /// The newest entry of each lane.
    pub heads: Vec<(LaneId, u64)>,
    /// Whom it is connected to.
    pub peers: BTreeSet<Origin>,
    /// The digest of its state.
    pub digest: u64,
}

impl Sample {
    /// What a core has and sees now.
    pub fn of(core: &EventCore, node: u8) -> Self {
        Self {
            at_ns: clock::virtual_ns(),
            node,
            heads: core.heads().dots.iter().map(|(id, head)| (*id, *head)).collect(),
            peers: core.replica().peers().map(|(origin, _)| origin).collect(),
            digest: core.digest(),
        }
    }
}

impl Recorder {
    /// Takes what was recorded.
    pub fn take(&self) -> Recording {
        std::mem::take(&mut self.lock())
    }

    /// What a node has and sees.
    pub(crate) fn sample(&self, sample: Sample) {
        let mut recording = self.lock();
        if recording.samples.len() < SAMPLES_MAX {
            recording.samples.push(sample);
        }
    }

    /// A message that has ended.
    pub(crate) fn flight(&self, flight: impl FnOnce() -> Flight) {
        self.lock().flight(flight);
    }

    /// A node began a life.
    pub(crate) fn note(&self, what: &str, who: IpAddr, value: u64) {
        if let Some(node) = number_of(who).filter(|_| what == "origin") {
            self.lock().origins.insert(Origin(value), node);
        }
    }

    /// Something of a datagram, which is known again by its bytes' hash.
    pub(crate) fn crossing(&self, crossing: &Crossing<'_>, content: u64) {
        let ends = (number_of(crossing.from.ip()), number_of(crossing.to.ip()));
        let (Some(from), Some(to)) = ends else { return };
        let mut recording = self.lock();
        let length = crossing.bytes.len();
        match crossing.what {
            "udp sent" => recording.leave((from, to, content)),
            "udp received" => recording.end((from, to, content), true, "datagram", length),
            what if what.starts_with("udp") => {
                recording.end((from, to, content), false, what, length);
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn flight(&mut self, flight: impl FnOnce() -> Flight) {
        self.stride = self.stride.max(1);
        self.seen += 1;
        if !self.seen.is_multiple_of(self.stride) {
            return;
        }
        self.flights.push(flight());
        if self.flights.len() >= FLIGHTS_MAX {
            let mut number = 0;
            self.flights.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.stride *= 2;
        }
    }

    fn leave(&mut self, datagram: (u8, u8, u64)) {
        if self.under_way_count < UNDER_WAY_MAX {
            self.under_way_count += 1;
            self.under_way.entry(datagram).or_default().push_back(clock::virtual_ns());
        }
    }

    fn end(&mut self, datagram: (u8, u8, u64), arrived: bool, what: &str, length: usize) {
        let now_ns = clock::virtual_ns();
        let (from, to, _) = datagram;
        let left = self.under_way.get_mut(&datagram).and_then(VecDeque::pop_front);
        if left.is_some() {
            self.under_way_count -= 1;
            if self.under_way.get(&datagram).is_some_and(VecDeque::is_empty) {
                self.under_way.remove(&datagram);
            }
        }
        let sent_ns = left.unwrap_or(now_ns);
        let what = format!("{what} {length} B");
        self.flight(|| Flight { sent_ns, ended_ns: now_ns, from, to, arrived, what });
    }
}

/// The number of a node by its machine's address.
fn number_of(ip: IpAddr) -> Option<u8> {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [10, 0, 0, number] => Some(number),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::address;

    fn crossing(recorder: &Recorder, what: &'static str, at_ns: u64) {
        clock::drive(Some(at_ns));
        let (from, to) = (address(1, 1), address(2, 1));
        recorder.crossing(&Crossing { what, from, to, bytes: b"ab" }, 7);
        clock::drive(None);
    }

    #[test]
    fn a_datagram_is_known_again_where_it_arrives() {
        let recorder = Recorder::default();
        crossing(&recorder, "udp sent", 10);
        crossing(&recorder, "udp sent", 20);
        crossing(&recorder, "udp received", 30);
        crossing(&recorder, "udp cut under way", 45);
        let flights = recorder.take().flights;
        let times: Vec<_> = flights.iter().map(|f| (f.sent_ns, f.ended_ns, f.arrived)).collect();
        assert_eq!(times, [(10, 30, true), (20, 45, false)]);
    }

    #[test]
    fn too_many_messages_are_thinned_over_the_whole_run() {
        let recorder = Recorder::default();
        let flight = |sent_ns| Flight {
            sent_ns,
            ended_ns: sent_ns,
            from: 1,
            to: 2,
            arrived: true,
            what: String::new(),
        };
        let count = 5 * FLIGHTS_MAX as u64;
        (0..count).for_each(|at| recorder.flight(|| flight(at)));
        let recording = recorder.take();
        assert!(recording.flights.len() < FLIGHTS_MAX);
        assert!(recording.stride > 2);
        assert!(recording.flights[0].sent_ns < count / 100);
        assert!(recording.flights.last().unwrap().sent_ns > count - count / 100);
    }
}
