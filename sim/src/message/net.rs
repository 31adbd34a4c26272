//! The network between nodes: whom a node hears, and messages on their way.

use std::time::Duration;

use crdt_state::{Origin, Period};
use gossip::replication::Message;
use xxhash_rust::xxh3::xxh3_64;

use ::node::engine::{Heed, Input};

use super::node::node_id;
use super::queue::{Event, Tick, Way};
use super::world::{EVENT, World, ip};
use crate::cluster::{PEER_PORT, address};
use crate::mix::{Draw, fold};
use crate::recording::Flight;
use crate::schedule::Weather;

/// A lost packet of a stream is sent again after this, and after a round trip.
const RESEND_MS: u64 = 25;
/// How many lost messages are lost for good: the way was full.
const DROPPED: f64 = 0.2;

/// One direction between two nodes.
#[derive(Default)]
pub(super) struct Link {
    sent: u64,
    /// When all that was sent before has left, where bandwidth is bounded, in microseconds.
    busy_until_us: u64,
}

impl World {
    /// Whether two nodes could hear each other now.
    pub(super) fn is_reachable(&self, one: u8, other: u8) -> bool {
        let up = |number: u8| self.nodes[usize::from(number)].is_up();
        let cut = |from, to| self.cuts.is_cut(from, to);
        let program = |number: u8| self.nodes[usize::from(number)].program;
        program(one).meet(program(other)).is_some()
            && up(one)
            && up(other)
            && !cut(one, other)
            && !cut(other, one)
    }

    /// A node notices what has become of another.
    pub(super) fn sense(&mut self, number: u8, peer: u8) {
        if number == peer || !self.nodes[usize::from(number)].is_up() {
            return;
        }
        let there = self.is_reachable(number, peer);
        let origin = self.nodes[usize::from(peer)].origin().filter(|_| there);
        let Some(life) = &mut self.node(number).life else { return };
        let before = std::mem::replace(&mut life.seen[usize::from(peer)], origin);
        if before == origin {
            return;
        }
        if let Some(before) = before {
            self.heed(number, Heed::PeerDown { peer: before });
        }
        if let Some(origin) = origin {
            self.heed(number, Heed::PeerUp { peer: origin, node: node_id(peer) });
        }
        self.see(number);
        self.trace.note("links", ip(number), u64::from(peer) << 1 | u64::from(origin.is_some()));
    }

    pub(super) fn weather(&self, from: u8, to: u8) -> Weather {
        self.storms.over(self.schedule.weather, from, to)
    }

    pub(super) fn rtt(&self, one: u8, other: u8) -> Duration {
        let weather = self.weather(one, other);
        Duration::from_micros(2 * weather.delay_us + weather.jitter_us)
    }

    /// Every link that this node is an end of is noticed anew: soon if something came back, later
    /// if it went.
    pub(super) fn stir(&mut self, number: u8, most_ms: u64) {
        for peer in 1..self.nodes.len() as u8 {
            self.stir_pair(number, peer, most_ms);
        }
    }

    pub(super) fn stir_pair(&mut self, one: u8, other: u8, most_ms: u64) {
        for (node, peer) in [(one, other), (other, one)] {
            let draw = Draw::new(self.chance(), &[SENSE, node.into(), peer.into(), self.now]);
            let at = self.now + 20 + draw.up_to(0, most_ms);
            self.queue.push(at, Event::Sense { node, peer });
        }
    }

    pub(super) fn deliver(
        &mut self,
        (to, life): (u8, u32),
        way: Way,
        sent: Tick,
        message: Message,
    ) {
        let node = &self.nodes[usize::from(to)];
        let Some(here) = node.life.as_ref().filter(|here| here.number == life) else { return };
        let sender = here.seen.iter().position(|origin| *origin == Some(way.link));
        let Some(sender) = sender else { return };
        let is_known = here.interest.carries(EVENT)
            && here.interest.period(EVENT) == way.ours
            && here.interest.peer_period(way.link, EVENT) == Some(way.theirs);
        if self.cuts.is_cut(sender as u8, to) {
            self.net.datagrams_dropped += 1;
            return self.record(sender as u8, to, (sent, false), &message);
        }
        self.record(sender as u8, to, (sent, true), &message);
        let word = message_word(&message);
        self.trace.said(address(sender as u8, PEER_PORT), address(to, PEER_PORT), word, &message);
        // Of another period it is a stranger's.
        if is_known {
            self.input(to, Input::message(way.link.in_period(way.theirs), message));
        }
    }

    /// Sends a message on its way: what is lost comes late, and now and then not at all.
    pub(super) fn post(&mut self, from: u8, to: Origin, message: Message) {
        let Some((peer, way)) = self.way(from, to) else { return };
        let (weather, chance) = (self.weather(from, peer), self.chance());
        let link = self.links.entry((from, peer)).or_default();
        link.sent += 1;
        let draw = Draw::new(chance, &[LINK, from.into(), peer.into(), link.sent]);
        self.net.datagrams_sent += 1;
        self.net.bytes_sent += size_of_message(&message);
        if let Some(crowd) = &mut self.crowd {
            crowd.posted(&message);
        }
        let mut delay_us = weather.delay_us + draw.up_to(0, weather.jitter_us);
        let size = size_of_message(&message) * 1_000_000;
        if let Some(size) = size.checked_div(weather.bandwidth) {
            let now_us = self.now * 1_000;
            link.busy_until_us = link.busy_until_us.max(now_us) + size;
            delay_us += link.busy_until_us - now_us;
        }
        if draw.unit(1) < weather.loss + weather.corruption {
            if draw.unit(2) < DROPPED {
                self.net.datagrams_dropped += 1;
                return self.record(from, peer, (self.now, false), &message);
            }
            delay_us += RESEND_MS * 1_000 + 2 * weather.delay_us + weather.jitter_us;
        }
        if draw.unit(3) < weather.reordering {
            delay_us += draw.up_to(4, weather.jitter_us * 10);
        }
        let Some(life) = self.nodes[usize::from(peer)].life.as_ref().map(|life| life.number) else {
            return;
        };
        let sent = self.now;
        let at = sent + delay_us.div_ceil(1_000).max(1);
        if draw.unit(5) < weather.duplication {
            let message = Box::new(message.clone());
            let again = at + draw.up_to(6, weather.jitter_us.div_ceil(1_000));
            self.queue.push(again, Event::Deliver { to: peer, life, way, sent, message });
        }
        let message = Box::new(message);
        self.queue.push(at, Event::Deliver { to: peer, life, way, sent, message });
    }

    /// The way to whoever writes as this, if that still lives and carries the event.
    fn way(&self, from: u8, to: Origin) -> Option<(u8, Way)> {
        let life = self.nodes[usize::from(from)].life.as_ref()?;
        let is_peer = |way: &Option<(Origin, Period)>| way.is_some_and(|(origin, _)| origin == to);
        let peer = life.ways.iter().position(is_peer)?;
        let (_, ours) = life.ways[peer]?;
        if life.seen[peer].is_none() || life.seen[peer] != self.nodes[peer].origin() {
            return None;
        }
        // What is theirs here is the receiver's own, and the other way round.
        Some((peer as u8, Way { link: life.origin, theirs: life.period(), ours }))
    }

    /// The dice of one more thing on its way.
    pub(super) fn draw_way(&mut self, from: u8, peer: u8) -> (Weather, Draw) {
        let (weather, chance) = (self.weather(from, peer), self.chance());
        let link = self.links.entry((from, peer)).or_default();
        link.sent += 1;
        (weather, Draw::new(chance, &[LINK, from.into(), peer.into(), link.sent]))
    }

    /// Draws a message that has come to its end.
    fn record(&self, from: u8, to: u8, (sent, arrived): (Tick, bool), message: &Message) {
        let Some(recorder) = &self.recorder else { return };
        let (sent_ns, ended_ns) = (sent * 1_000_000, self.now * 1_000_000);
        let what = || message.to_string();
        recorder.flight(|| Flight { sent_ns, ended_ns, from, to, arrived, what: what() });
    }

    /// Who a node's peer is, if that still lives.
    pub(super) fn find(&self, from: u8, origin: Origin) -> Option<u8> {
        let seen = &self.nodes[usize::from(from)].life.as_ref()?.seen;
        let peer = seen.iter().position(|seen| *seen == Some(origin))?;
        (self.nodes[peer].origin() == Some(origin)).then_some(peer as u8)
    }
}

/// How long something small is on its way, in microseconds; nothing if it never arrives.
pub(super) fn way(weather: &Weather, draw: Draw) -> Option<u64> {
    let delay_us = weather.delay_us + draw.up_to(0, weather.jitter_us);
    if draw.unit(1) >= weather.loss + weather.corruption {
        return Some(delay_us);
    }
    let again_us = RESEND_MS * 1_000 + 2 * weather.delay_us + weather.jitter_us;
    (draw.unit(2) >= DROPPED).then_some(delay_us + again_us)
}

/// The names of dice.
const LINK: u64 = u64::from_be_bytes(*b"messages");
const SENSE: u64 = u64::from_be_bytes(*b"noticing");

/// A number that stands for a message in the trace: of entries all bytes, of the rest what moves.
fn message_word(message: &Message) -> u64 {
    match message {
        Message::Heads { lanes, tail_bytes, digest } => {
            let heads = lanes.iter().fold(*tail_bytes, |word, span| fold(word, span.head));
            fold(heads, digest.unwrap_or(1))
        }
        Message::Entries { id, first, entries, .. } => {
            let start = fold(id.origin.0, *first);
            entries.iter().fold(start, |word, entry| fold(word, xxh3_64(entry)))
        }
        Message::Ack { lane, head, said } => fold(fold(2 + *lane as u64, *head), *said),
        Message::Pull { id, from, .. } => fold(fold(4, id.origin.0), *from),
        Message::Gone { id, base } => fold(fold(5, id.origin.0), *base),
        Message::SnapshotRequest { session } => fold(6, *session),
        Message::SnapshotHead { session, parts, .. } => fold(fold(7, *session), (*parts).into()),
        Message::SnapshotNext { session, index } => fold(fold(8, *session), (*index).into()),
        Message::SnapshotPart { bytes, .. } => xxh3_64(bytes),
        Message::SnapshotRefused { session } => fold(9, *session),
        rare => xxh3_64(&rare.encode()),
    }
}

/// About how long a message is on the wire, in bytes.
fn size_of_message(message: &Message) -> u64 {
    let body = match message {
        Message::Heads { lanes, .. } => lanes.len() * 24,
        Message::Entries { entries, .. } => entries.iter().map(|entry| entry.len() + 8).sum(),
        Message::SnapshotPart { bytes, .. } => bytes.len(),
        _ => 24,
    };
    body as u64 + 60
}
