//! Which nodes carry the event: the nodes' own decision, over what they notice and tell each other.

use std::collections::BTreeSet;

use ::node::engine::{Heed, Input, Reply, Turn, Word};
use ::node::service::view::Refusal;
use crdt_state::Origin;

use super::net::way;
use super::node::{node_id, peer_down, peer_up};
use super::queue::{Event, Tick};
use super::world::{EVENT, World, ip};

/// How long whoever comes for the event waits for it: as at whole nodes.
pub(super) const ARRIVAL_PATIENCE: Tick = 3_000;

/// Whether an input is somebody who has come for the event to a node that may not carry it.
pub(super) fn comes_for_the_event(input: &Input) -> bool {
    let is_own = matches!(input, Input::Create { .. } | Input::Retire { .. });
    input.ticket().is_some() && !is_own
}

impl World {
    /// The catalogue tells a node of the event.
    pub(super) fn list(&mut self, number: u8) {
        let (live, archived) = (BTreeSet::from([EVENT]), BTreeSet::new());
        self.heed(number, Heed::Listed { live, archived });
    }

    /// A node looks who lives.
    pub(super) fn see(&mut self, number: u8) {
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let seen = (1..).zip(&life.seen[1..]).filter(|(_, seen)| seen.is_some());
        let living: Vec<u8> = seen.map(|(peer, _)| peer).chain([number]).collect();
        let stays = |number: &&u8| !self.nodes[usize::from(**number)].is_leaving;
        let staying = living.iter().filter(stays).map(|number| node_id(*number)).collect();
        let living = living.into_iter().map(node_id).collect();
        self.heed(number, Heed::Seen { living, staying });
    }

    /// Tells a node's interest a fact, and does what follows.
    pub(super) fn heed(&mut self, number: u8, heed: Heed) {
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        if life.stopped.is_some() {
            return;
        }
        life.interest.handle(life.mono(now), heed);
        life.interest.check_invariants();
        life.interest_due = life.interest.poll_timeout();
        let origin = life.origin;
        let turns: Vec<Turn> = std::iter::from_fn(|| life.interest.poll_turn()).collect();
        for turn in turns {
            self.carry_on(number, origin, turn);
        }
        self.schedule_wake(number);
    }

    fn carry_on(&mut self, number: u8, origin: Origin, turn: Turn) {
        match turn {
            Turn::Begin { .. } => {
                self.trace.note("carries", ip(number), 1);
                let now = self.now;
                self.node(number).life.iter_mut().for_each(|life| life.wanted_at = now);
            }
            Turn::End { .. } => {
                self.trace.note("carries", ip(number), 0);
                self.drop_show(number);
            }
            Turn::LetGo { .. } => self.say_goodbye_to_show(number),
            Turn::Renew { .. } => self.renew_show(number),
            Turn::Up { peer, period, .. } => {
                let Some(life) = &mut self.node(number).life else { return };
                let at = life.seen.iter().position(|seen| *seen == Some(peer));
                if let Some(at) = at {
                    let writes_as = peer.in_period(period);
                    life.ways[at] = Some((writes_as, period));
                    let rtt = self.rtt(number, at as u8);
                    self.input(number, peer_up(writes_as, at as u8, rtt));
                }
            }
            Turn::Down { peer, period, .. } => {
                let writes_as = peer.in_period(period);
                if let Some(life) = &mut self.node(number).life {
                    let gone =
                        life.ways.iter_mut().filter(|way| **way == Some((writes_as, period)));
                    gone.for_each(|way| *way = None);
                }
                self.input(number, peer_down(writes_as));
            }
            Turn::Abandon { .. } | Turn::Forget { .. } => {
                unreachable!("nobody says here that something is gone for good")
            }
            Turn::Tell { to, word } => self.post_word(number, origin, to, word),
        }
    }

    fn post_word(&mut self, from: u8, origin: Origin, to: Origin, word: Word) {
        let Some(peer) = self.find(from, to) else { return };
        let (weather, draw) = self.draw_way(from, peer);
        let Some(life) = self.nodes[usize::from(peer)].life.as_ref().map(|life| life.number) else {
            return;
        };
        let Some(delay_us) = way(&weather, draw) else { return };
        let at = self.now + delay_us.div_ceil(1_000).max(1);
        let word = Box::new(word);
        self.queue.push(at, Event::Hear { to: peer, life, from: origin, word });
    }

    /// A node hears what another carries, unless they are apart.
    pub(super) fn hear(&mut self, (to, life): (u8, u32), from: Origin, word: Word) {
        let Some(here) = self.nodes[usize::from(to)].life.as_ref() else { return };
        let sender = here.seen.iter().position(|origin| *origin == Some(from));
        let Some(sender) = sender.filter(|_| here.number == life) else { return };
        if !self.cuts.is_cut(sender as u8, to) {
            self.trace.note("list", ip(to), word.revision);
            self.heed(to, Heed::Word { from, word });
        }
    }

    /// Lets in who has come for the event, once it is known what that is; sends away who has waited too long.
    pub(super) fn open_door(&mut self, number: u8) {
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        let mono = life.mono(now);
        life.has_arrived = life.has_arrived || life.core.has_arrived(mono);
        if life.is_open() {
            for (_, input) in std::mem::take(&mut life.door) {
                life.core.handle_input(mono, input);
            }
        }
        let late = life.door.extract_if(.., |(since, _)| *since + ARRIVAL_PATIENCE <= now);
        let late: Vec<u64> = late.filter_map(|(_, input)| input.ticket()).collect();
        for ticket in late {
            let refusal = Refusal::new("overloaded", "the event is still arriving here");
            self.on_reply(number, ticket, Reply::Refused(refusal));
        }
    }
}
