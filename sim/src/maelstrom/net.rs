//! The network between a workload's nodes: whom a node hears, and messages on their way.

use std::time::Duration;

use crdt_state::Origin;
use gossip::replication::{Input, Message};
use xxhash_rust::xxh3::xxh3_64;

use super::cluster::{Cluster, Event, id};
use crate::mix::fold;
use crate::schedule::Weather;

impl Cluster<'_> {
    /// A node notices what has become of another.
    pub(super) fn sense(&mut self, number: u8, peer: u8) {
        if number == peer || !self.is_up(number) {
            return;
        }
        let cut = self.cuts.is_cut(number, peer) || self.cuts.is_cut(peer, number);
        let origin = self.origin(peer).filter(|_| !cut && self.is_up(peer));
        let Weather { delay_us, jitter_us, .. } = self.weather(number, peer);
        let rtt = Duration::from_micros(2 * delay_us + jitter_us);
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        let before = life.seen.get(&peer).copied();
        if before == origin {
            return;
        }
        match origin {
            Some(origin) => life.seen.insert(peer, origin),
            None => life.seen.remove(&peer),
        };
        if let Some(before) = before {
            self.input(number, Input::PeerDown { peer: before });
        }
        if let Some(origin) = origin {
            self.input(number, Input::PeerUp { peer: origin, node: id(peer), rtt });
        }
    }

    /// Every link of a node is noticed anew.
    pub(super) fn stir(&mut self, number: u8, most_ms: u64) {
        (1..self.nodes.len() as u8).for_each(|peer| self.stir_pair(number, peer, most_ms));
    }

    pub(super) fn stir_pair(&mut self, one: u8, other: u8, most_ms: u64) {
        for (node, peer) in [(one, other), (other, one)] {
            let dice = self.dice(&[SENSE, node.into(), peer.into(), self.now]);
            self.push(self.now + 20 + dice.up_to(0, most_ms), Event::Sense { node, peer });
        }
    }

    fn weather(&self, from: u8, to: u8) -> Weather {
        self.storms.over(self.schedule.weather, from, to)
    }

    /// Sends a message on its way; what is lost here stays lost, and repair has to find it.
    pub(super) fn post(&mut self, from: u8, to: Origin, message: Message) {
        let Some(life) = &self.nodes[usize::from(from)].life else { return };
        let (me, peer) = (life.replica.me(), life.seen.iter().find(|(_, origin)| **origin == to));
        let Some(peer) = peer.map(|(peer, _)| *peer) else { return };
        let Some(there) = &self.nodes[usize::from(peer)].life else { return };
        let life = there.number;
        self.messages += 1;
        let nth = self.links.entry((from, peer)).or_default();
        *nth += 1;
        let nth = *nth;
        let (weather, dice) =
            (self.weather(from, peer), self.dice(&[LINK, from.into(), peer.into(), nth]));
        if dice.unit(1) < weather.loss + weather.corruption {
            return;
        }
        let late = if dice.unit(3) < weather.reordering { 10 } else { 1 };
        let delay_us = weather.delay_us + dice.up_to(0, weather.jitter_us * late);
        let at = self.now + delay_us.div_ceil(1_000).max(1);
        if dice.unit(5) < weather.duplication {
            let message = Box::new(message.clone());
            let again = at + dice.up_to(6, weather.jitter_us.div_ceil(1_000));
            self.push(again, Event::Deliver { to: peer, life, from: me, message });
        }
        self.push(at, Event::Deliver { to: peer, life, from: me, message: Box::new(message) });
    }

    pub(super) fn deliver(&mut self, to: u8, life: u32, from: Origin, message: Message) {
        let node = &self.nodes[usize::from(to)];
        let Some(here) = node.life.as_ref().filter(|here| here.number == life) else { return };
        let sender = here.seen.iter().find(|(_, origin)| **origin == from);
        let Some(sender) = sender.map(|(peer, _)| *peer) else { return };
        if self.cuts.is_cut(sender, to) {
            return;
        }
        let word = xxh3_64(&message.encode());
        self.hash = fold(fold(fold(self.hash, self.now), u64::from(to)), word);
        self.input(to, Input::Message { from, message });
    }
}

/// The names of dice.
const LINK: u64 = u64::from_be_bytes(*b"messages");
const SENSE: u64 = u64::from_be_bytes(*b"noticing");
