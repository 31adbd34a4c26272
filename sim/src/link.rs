//! The directed links between machines: how long they take, what they lose, which are cut.
//!
//! Invariant: the fate of the n-th datagram (or segment) of a link is a function of (seed, from,
//! to, kind, n), whatever happens on other links; and of the future, where a run leaves its past.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::chance;
use crate::cuts::Cuts;
use crate::mix::Draw;
use crate::trace::address_word;

/// From one machine to another.
pub(crate) type Path = (IpAddr, IpAddr);

/// The properties of one direction between two machines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// The least time a packet takes.
    pub delay: Duration,
    /// Up to how much more it may take, uniformly.
    pub jitter: Duration,
    /// The chance that a packet is lost, 0.0..=1.0; a stream's segment is sent again instead.
    pub loss: f64,
    /// The chance that a datagram arrives damaged. What a stream carries is sent again instead.
    pub corruption: f64,
    /// The chance that a datagram arrives twice.
    pub duplication: f64,
    /// The chance that a packet takes up to ten jitters more, and so is overtaken.
    pub reordering: f64,
    /// The largest IP packet in bytes; a larger datagram vanishes.
    pub mtu: usize,
    /// Bytes per second, beyond which packets queue where they leave, and are dropped once the queue is full; 0 is
    /// without limit.
    pub bandwidth: u64,
}

impl Link {
    /// Between two nodes of one data centre: 0.5 to 2 ms (arbitrary; timers round up to 1 ms).
    pub const DATA_CENTRE: Self = Self {
        delay: Duration::from_micros(500),
        jitter: Duration::from_micros(1500),
        loss: 0.0,
        corruption: 0.0,
        duplication: 0.0,
        reordering: 0.0,
        mtu: 1500,
        bandwidth: 0,
    };

    /// Between a player or host and a node: 10 to 50 ms (arbitrary, a fair mobile network).
    pub const ACCESS: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(40),
        ..Self::DATA_CENTRE
    };

    /// From a machine to itself.
    const LOOPBACK: Self = Self {
        delay: Duration::from_micros(20),
        jitter: Duration::ZERO,
        mtu: 65_536,
        ..Self::DATA_CENTRE
    };

    /// How long this packet takes.
    pub(crate) fn delay_ns(&self, draw: Draw) -> u64 {
        let jitter_ns = self.jitter.as_nanos() as u64;
        let late_ns = match draw.unit(die::REORDERED) < self.reordering {
            true => draw.up_to(die::OVERTAKEN_BY, jitter_ns.saturating_mul(10)),
            false => 0,
        };
        self.delay.as_nanos() as u64 + draw.up_to(die::JITTER, jitter_ns) + late_ns
    }

    /// Whether this packet is lost.
    pub(crate) fn loses(&self, draw: Draw) -> bool {
        draw.unit(die::LOST) < self.loss
    }

    /// Damages a datagram, if it is one that arrives so: a few of its bytes are others.
    pub(crate) fn damaged(&self, draw: Draw, bytes: &Bytes) -> Option<Bytes> {
        let last = bytes.len().checked_sub(1)? as u64;
        if draw.unit(die::DAMAGED) >= self.corruption {
            return None;
        }
        let mut damaged = bytes.to_vec();
        for hit in 0..draw.up_to(die::HITS, HITS_MAX - 1) + 1 {
            let at = draw.up_to(die::HIT + 2 * hit, last) as usize;
            damaged[at] ^= 1 + draw.up_to(die::HIT + 2 * hit + 1, 254) as u8;
        }
        (damaged != *bytes).then(|| damaged.into())
    }

    /// How long the copy of this datagram takes beyond the original, if there is one.
    pub(crate) fn copy_after_ns(&self, draw: Draw) -> Option<u64> {
        let jitter_ns = self.jitter.as_nanos() as u64;
        (draw.unit(die::DUPLICATED) < self.duplication)
            .then(|| draw.up_to(die::COPY_AFTER, jitter_ns))
    }

    /// How long a stream waits to send this segment again, after each time it was lost.
    pub(crate) fn resend_wait_ns(&self, draw: Draw) -> u64 {
        let lost = |attempt: &u32| {
            draw.unit(die::RESENT + u64::from(*attempt)) < self.loss + self.corruption
        };
        let losses = (0..RESENDS_MAX).take_while(lost).count() as u32;
        RESEND_AFTER_NS * ((1 << losses) - 1)
    }
}

/// How many bytes of a damaged datagram are hit at most (arbitrary).
const HITS_MAX: u64 = 4;
/// What waits to leave at most, in bytes; arbitrary: a second at the narrowest that is drawn, as badly bloated as home
/// routers are.
const QUEUE_BYTES_MAX: u64 = 256 << 10;
/// The least retransmission time-out of Linux: 200 ms, doubled on each loss.
const RESEND_AFTER_NS: u64 = 200_000_000;
/// Losses in a row of one segment; beyond it, luck is assumed (arbitrary).
const RESENDS_MAX: u32 = 6;

/// The numbers of the dice of one packet.
mod die {
    pub(super) const LOST: u64 = 1;
    pub(super) const JITTER: u64 = 2;
    pub(super) const REORDERED: u64 = 3;
    pub(super) const OVERTAKEN_BY: u64 = 4;
    pub(super) const DUPLICATED: u64 = 5;
    pub(super) const COPY_AFTER: u64 = 6;
    pub(super) const DAMAGED: u64 = 7;
    pub(super) const HITS: u64 = 8;
    pub(super) const RESENT: u64 = 16;
    pub(super) const HIT: u64 = 32;
}

/// What travels on a link; each kind counts for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Datagram,
    Segment,
}

/// All links of a run.
#[derive(Debug)]
pub(crate) struct Links {
    seed: u64,
    between_nodes: Link,
    access: Link,
    own: BTreeMap<Path, Link>,
    cuts: Cuts<IpAddr>,
    sent: BTreeMap<(Path, Kind), u64>,
    /// When all that was sent before has left, where bandwidth is bounded, in virtual nanoseconds.
    busy_until_ns: BTreeMap<Path, u64>,
}

impl Links {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            between_nodes: Link::DATA_CENTRE,
            access: Link::ACCESS,
            own: BTreeMap::new(),
            cuts: Cuts::default(),
            sent: BTreeMap::new(),
            busy_until_ns: BTreeMap::new(),
        }
    }

    pub(crate) fn set_between_nodes(&mut self, link: Link) {
        self.between_nodes = link;
    }

    pub(crate) fn set_access(&mut self, link: Link) {
        self.access = link;
    }

    pub(crate) fn set(&mut self, path: Path, link: Link) {
        self.own.insert(path, link);
    }

    pub(crate) fn reset(&mut self, path: Path) {
        self.own.remove(&path);
    }

    /// A cut begins on a path, or is over; the path is open once all are.
    pub(crate) fn set_cut(&mut self, path: Path, apart: bool) {
        self.cuts.set(path, apart);
    }

    pub(crate) fn is_cut(&self, (from, to): Path) -> bool {
        self.cuts.is_cut(from, to)
    }

    /// Opens every path, and says which were cut.
    pub(crate) fn heal(&mut self) -> Vec<Path> {
        self.cuts.heal()
    }

    pub(crate) fn get(&self, path: Path) -> Link {
        if let Some(own) = self.own.get(&path) {
            return *own;
        }
        match path {
            (from, to) if from == to => Link::LOOPBACK,
            (from, to) if is_node(from) && is_node(to) => self.between_nodes,
            _ => self.access,
        }
    }

    /// How long a packet of so many bytes waits until it has left; nothing if the queue is full.
    pub(crate) fn queue_ns(&mut self, path: Path, bytes: usize, now_ns: u64) -> Option<u64> {
        let bandwidth = self.get(path).bandwidth;
        let takes_ns = |bytes: u64| (bytes * 1_000_000_000).checked_div(bandwidth);
        let (Some(takes), Some(most)) = (takes_ns(bytes as u64), takes_ns(QUEUE_BYTES_MAX)) else {
            return Some(0);
        };
        let busy_until = self.busy_until_ns.entry(path).or_default();
        let waits = busy_until.saturating_sub(now_ns);
        if waits > most {
            return None;
        }
        *busy_until = now_ns + waits + takes;
        Some(waits + takes)
    }

    /// The dice of the next packet of this kind on this path.
    pub(crate) fn draw(&mut self, path: Path, kind: Kind) -> Draw {
        let sent = self.sent.entry((path, kind)).or_insert(0);
        *sent += 1;
        let (from, to) = path;
        Draw::new(
            chance::of(self.seed),
            &[address_word(from), address_word(to), kind as u64, *sent],
        )
    }
}

/// Nodes live in 10.0.0.0/16; whatever else there is reaches them over the access link.
fn is_node(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[..2] == [10, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn traffic_elsewhere_does_not_roll_the_dice_anew() {
        let mut quiet = Links::new(3);
        let mut busy = Links::new(3);
        for _ in 0..10 {
            busy.draw((B, A), Kind::Datagram);
        }
        busy.draw((A, B), Kind::Segment);
        let dice = |links: &mut Links| links.draw((A, B), Kind::Datagram).unit(0);
        assert_eq!(dice(&mut quiet), dice(&mut busy));
    }

    #[test]
    fn loss_is_as_frequent_as_asked() {
        let link = Link { loss: 0.1, ..Link::DATA_CENTRE };
        let mut links = Links::new(1);
        let lost = (0..10_000).filter(|_| link.loses(links.draw((A, B), Kind::Datagram))).count();
        assert!((900..1100).contains(&lost), "{lost} of 10,000 were lost");
    }

    #[test]
    fn a_damaged_datagram_has_other_bytes_and_as_many_as_before() {
        let bytes = Bytes::from_static(b"what was sent");
        let mut links = Links::new(1);
        let mut damaged = |link: Link| -> Vec<Bytes> {
            let draws = (0..10_000).map(|_| links.draw((A, B), Kind::Datagram));
            draws.filter_map(|draw| link.damaged(draw, &bytes)).collect()
        };
        assert_eq!(damaged(Link::DATA_CENTRE).len(), 0);
        let some = damaged(Link { corruption: 0.1, ..Link::DATA_CENTRE });
        assert!((900..1100).contains(&some.len()), "{} of 10,000 were damaged", some.len());
        assert!(some.iter().all(|it| it.len() == bytes.len() && *it != bytes));
    }

    #[test]
    fn delay_stays_within_its_bounds() {
        let mut links = Links::new(1);
        for _ in 0..1000 {
            let delay_ns = Link::DATA_CENTRE.delay_ns(links.draw((A, B), Kind::Datagram));
            assert!((500_000..=2_000_000).contains(&delay_ns));
        }
    }

    #[test]
    fn what_is_more_than_a_link_carries_queues_and_then_is_dropped() {
        let mut links = Links::new(1);
        links.set((A, B), Link { bandwidth: 1_000_000, ..Link::DATA_CENTRE });
        assert_eq!(links.queue_ns((A, B), 1_000, 0), Some(1_000_000));
        assert_eq!(links.queue_ns((A, B), 1_000, 500_000), Some(1_500_000), "behind the first");
        assert_eq!(links.queue_ns((A, B), 1_000, 9_000_000), Some(1_000_000), "it is idle again");
        assert_eq!(links.queue_ns((B, A), 1_000, 0), Some(0), "the other way is without limit");
        let taken = (0..1_000).filter(|_| links.queue_ns((A, B), 1_000, 9_000_000).is_some());
        assert_eq!(taken.count(), 262, "what fits the queue, beside the one that leaves");
    }
}
