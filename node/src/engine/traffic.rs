//! What a change costs: the frames that nodes exchange, by kind, and how often the live state is encoded.
//!
//! Both are to be the same however many players watch: a change crosses the network once for each peer, and is encoded
//! once on each node for all who are there.

use crate::api::metrics::{Sample, Source};
use gossip::replication::Message;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts both, for `/metrics`.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: [Frames; KINDS.len()],
    received: [Frames; KINDS.len()],
    live_states: AtomicU64,
}

/// Frames of one kind, in one direction.
#[derive(Debug, Default)]
struct Frames {
    count: AtomicU64,
    bytes: AtomicU64,
}

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What a node has of a show.
    Heads,
    /// What has happened in one: whatever somebody did, joined or answered.
    Entries,
    /// That it has arrived.
    Acks,
    /// That something is lacking, or is kept no longer.
    Pulls,
    /// A whole show.
    Snapshots,
    /// What a clock knows of one.
    Ages,
    /// Anything of the catalogue of shows.
    Catalogue,
    /// Which shows a node carries.
    Carriers,
}

impl Kind {
    /// What a message of a show is about.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        match message {
            Message::Heads { .. } => Kind::Heads,
            Message::Entries { .. } => Kind::Entries,
            Message::Ack { .. } => Kind::Acks,
            Message::Pull { .. } | Message::Gone { .. } => Kind::Pulls,
            Message::SnapshotRequest { .. }
            | Message::SnapshotHead { .. }
            | Message::SnapshotNext { .. }
            | Message::SnapshotPart { .. }
            | Message::SnapshotRefused { .. } => Kind::Snapshots,
            Message::AgesRequest | Message::Ages { .. } => Kind::Ages,
        }
    }
}

impl Traffic {
    /// A frame is on its way to a peer.
    pub fn count_sent(&self, kind: Kind, bytes: usize) {
        self.sent[kind as usize].count(bytes);
    }

    /// A peer's frame has been read.
    pub fn count_received(&self, kind: Kind, bytes: usize) {
        self.received[kind as usize].count(bytes);
    }

    /// So many live states were encoded.
    pub(super) fn count_live_states(&self, states: u64) {
        if states > 0 {
            self.live_states.fetch_add(states, Relaxed);
        }
    }
}

impl Frames {
    fn count(&self, bytes: usize) {
        self.count.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn samples(&self, direction: &str, kind: &str) -> [Sample; 2] {
        let sample = |name, help, value: &AtomicU64| {
            let sample = Sample::new(name, help, value.load(Relaxed) as f64);
            sample.label("direction", direction).label("kind", kind)
        };
        [
            sample("starling_peer_frames_total", "Frames exchanged with peers.", &self.count),
            sample("starling_peer_frame_bytes_total", "Bytes of these frames.", &self.bytes),
        ]
    }
}

impl Source for Traffic {
    fn samples(&self) -> Vec<Sample> {
        let of = |direction: &'static str, frames: &[Frames; KINDS.len()]| -> Vec<Sample> {
            let kinds = KINDS.iter().zip(frames);
            kinds.flat_map(|(kind, frames)| frames.samples(direction, kind)).collect()
        };
        let help =
            "Live states encoded: one for all who watch a show, and one for each who begins to.";
        let states = self.live_states.load(Relaxed) as f64;
        let mut samples = of("out", &self.sent);
        samples.extend(of("in", &self.received));
        samples.push(Sample::new("starling_live_states_total", help, states));
        samples
    }
}

/// In the order of [`Kind`].
const KINDS: [&str; 8] =
    ["heads", "entries", "acks", "pulls", "snapshots", "ages", "catalogue", "carriers"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_direction_and_kind() {
        let traffic = Traffic::default();
        traffic.count_sent(Kind::of(&Message::AgesRequest), 7);
        traffic.count_sent(Kind::Ages, 3);
        traffic.count_received(Kind::Carriers, 5);
        let told = |name: &str, direction: &str, kind: &str| {
            let labels = [("direction", direction.to_owned()), ("kind", kind.to_owned())];
            let is_it = |sample: &Sample| sample.name == name && sample.labels == labels;
            traffic.samples().into_iter().find(is_it).expect("it is told from the start").value
        };
        assert_eq!(told("starling_peer_frames_total", "out", "ages"), 2.0);
        assert_eq!(told("starling_peer_frame_bytes_total", "out", "ages"), 10.0);
        assert_eq!(told("starling_peer_frames_total", "in", "ages"), 0.0);
        assert_eq!(told("starling_peer_frame_bytes_total", "in", "carriers"), 5.0);
    }
}
