//! How a cluster grows: a crowd of any size joins and answers one question over calm links, and what that
//! takes in time and traffic is counted.
//!
//! What players send reaches the engines by the batch, as edge shards hand it over, and a player is a row
//! here and no actor: so ten million of them fit. No checker judges such a run but the one rule that every
//! node holds every answer at its end.

use ::node::config::Ack;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ::node::engine::{BULK_ANSWERS_MAX, Bulk, BulkAnswer, Heed, Input};
use ::node::service::view::PhaseView;
use crdt_state::{Lane, LaneId, PlayerId, Row};
use gossip::replication::Message;

use super::player::{About, id};
use super::queue::{Event, Tick};
use super::world::{EVENT, World};
use crate::clock;
use crate::schedule::{Form, Habits, Knobs, Question, Schedule, Weather};
use crate::trace::Trace;

/// What shards gather before they hand it over.
const EVERY: Tick = 10;
/// Over how many of these joins and answers are spread: a second.
const SPREAD: usize = 100;
/// How long the question is open.
const OPEN_MS: u32 = 3_000;
/// The option that everybody chooses, as a bit.
const CHOICE: u32 = 0b10;
/// Delays beyond this are counted as this.
const DELAY_MAX: usize = 60_000;

/// What a cluster of this size took for one question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// How many nodes.
    pub nodes: u8,
    /// How many players, all of whom joined and answered.
    pub players: u32,
    /// From the writing of an entry until another node holds it: half of all took at most this.
    pub converged_half_ms: u64,
    /// Until the last node held the slowest one.
    pub convergence_ms: u64,
    /// What a node sent to others in the whole run, on average.
    pub bytes_per_node: u64,
    /// Messages with commands, stages or seals that a step of the show took.
    pub messages_per_phase: f64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Real time that it took.
    pub real_time: Duration,
}

/// All players at once.
pub(super) struct Crowd {
    /// By node: how many will join there, and who has.
    seats: Vec<(usize, Vec<(PlayerId, Row)>)>,
    /// By node: how many have been sent there to join, and how many have answered.
    sent: Vec<(usize, usize)>,
    written: BTreeMap<(LaneId, u64), Tick>,
    /// How many entries took so many milliseconds to another node.
    delays: Vec<u64>,
    control_messages: u64,
}

impl Crowd {
    fn new(nodes: u8, players: u32) -> Self {
        let (nodes, players) = (usize::from(nodes), players as usize);
        let share = |node: usize| (players + nodes - node) / nodes;
        let seats = (0..=nodes).map(|node| (if node == 0 { 0 } else { share(node) }, Vec::new()));
        Self {
            seats: seats.collect(),
            sent: vec![(0, 0); nodes + 1],
            written: BTreeMap::new(),
            delays: vec![0; DELAY_MAX + 1],
            control_messages: 0,
        }
    }

    /// Whether everybody has joined.
    pub(super) fn is_in(&self) -> bool {
        self.seats.iter().all(|(share, seats)| seats.len() == *share)
    }

    pub(super) fn joined(&mut self, node: u8, player: PlayerId, row: Row) {
        self.seats[usize::from(node)].1.push((player, row));
    }

    pub(super) fn wrote(&mut self, id: LaneId, seq: u64, is_own: bool, now: Tick) {
        if is_own {
            self.written.insert((id, seq), now);
        } else if let Some(at) = self.written.get(&(id, seq)) {
            self.delays[((now - at) as usize).min(DELAY_MAX)] += 1;
        }
    }

    pub(super) fn posted(&mut self, message: &Message) {
        if let Message::Entries { id, .. } = message {
            self.control_messages += u64::from(id.lane == Lane::Control);
        }
    }

    fn delay_of(&self, share: f64) -> u64 {
        let all: u64 = self.delays.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen >= wanted
        };
        self.delays.iter().position(reached).unwrap_or_default() as u64
    }
}

/// Plays one question.
///
/// # Errors
/// If a core panics, the show does not come to its end, or a node lacks an answer there.
pub fn grow(nodes: u8, players: u32) -> Result<Growth, String> {
    let began = Instant::now();
    let played = catch_unwind(AssertUnwindSafe(|| {
        clock::drive(Some(0));
        let mut world = World::new(Arc::new(schedule(nodes)), Trace::new(None));
        world.gather(Crowd::new(nodes, players));
        world.run(&AtomicBool::new(false));
        world.grown(nodes, players)
    }));
    let virtual_time = Duration::from_nanos(clock::virtual_ns());
    clock::drive(None);
    let grown = played.map_err(|_| "a core has panicked".to_owned())??;
    Ok(Growth { virtual_time, real_time: began.elapsed(), ..grown })
}

fn schedule(nodes: u8) -> Schedule {
    Schedule {
        seed: 1,
        nodes,
        players: 0,
        questions: vec![Question { options: 4, correct: 1, open_ms: OPEN_MS, form: Form::Choice }],
        weather: Weather::CALM,
        skews_ms: Vec::new(),
        habits: Habits { hosts: 1, ..Habits::default() },
        ack: Ack::default(),
        knobs: Knobs::default(),
        let_go_after_ms: None,
        faults: Vec::new(),
    }
}

impl World {
    fn gather(&mut self, crowd: Crowd) {
        self.crowd = Some(crowd);
        self.queue.push(EVERY, Event::Crowd);
    }

    /// What has been gathered is handed over.
    pub(super) fn hand_over(&mut self) {
        let Some(mut crowd) = self.crowd.take() else { return };
        for node in self.alive() {
            // Players come to every node, which carries the show from then on.
            if !self.nodes[usize::from(node)].carries() {
                self.heed(node, Heed::Wanted { event: EVENT });
            }
            let life = self.nodes[usize::from(node)].life.as_ref();
            let phase = life.and_then(|life| life.shown).map(|shown| shown.phase);
            match phase {
                Some(PhaseView::Lobby) => self.send_in(&mut crowd, node),
                Some(PhaseView::Open) => self.answer_for(&mut crowd, node),
                _ => {}
            }
        }
        self.crowd = Some(crowd);
        self.queue.push(self.now + EVERY, Event::Crowd);
    }

    fn send_in(&mut self, crowd: &mut Crowd, node: u8) {
        let at = usize::from(node);
        let (share, nodes) = (crowd.seats[at].0, crowd.seats.len() - 1);
        let first = crowd.sent[at].0;
        let next = share.min(first + share.div_ceil(SPREAD));
        for index in first..next {
            let number = (index * nodes + at) as u32;
            let ticket = self.ticket(About::Crowd(number));
            let player = id(self.schedule.seed, number);
            let name = format!("player {number}");
            self.input(node, Input::Join { ticket, player, name, abuse: None });
        }
        crowd.sent[at].0 = next;
    }

    fn answer_for(&mut self, crowd: &mut Crowd, node: u8) {
        let at = usize::from(node);
        let seats = &crowd.seats[at].1;
        let first = crowd.sent[at].1;
        let next = seats.len().min(first + seats.len().div_ceil(SPREAD));
        for some in seats[first..next].chunks(BULK_ANSWERS_MAX) {
            let answer = |(player, row): &(PlayerId, Row)| BulkAnswer {
                player: *player,
                row: *row,
                value: CHOICE,
                credit_ms: 0,
            };
            let bulk =
                Bulk { instance: 1, question: 0, answers: some.iter().map(answer).collect() };
            let ticket = self.ticket(About::Crowd(0));
            self.input(node, Input::AnswerAll { ticket, bulk });
        }
        crowd.sent[at].1 = next;
    }

    fn grown(self, nodes: u8, players: u32) -> Result<Growth, String> {
        if let Some(stuck) = self.evidence.stuck.first() {
            return Err(stuck.clone());
        }
        for (number, node) in (0..).zip(&self.nodes) {
            let answered = node.life.as_ref().map(|life| life.core.state().answered(1));
            if answered.is_some_and(|answered| answered != u64::from(players)) {
                return Err(format!("node {number} holds {answered:?} of {players} answers"));
            }
        }
        let crowd = self.crowd.ok_or("the crowd is gone")?;
        let mut stages: Vec<_> = self.evidence.sightings.iter().map(|seen| seen.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        Ok(Growth {
            nodes,
            players,
            converged_half_ms: crowd.delay_of(0.5),
            convergence_ms: crowd.delay_of(1.0),
            bytes_per_node: self.net.bytes_sent / u64::from(nodes),
            messages_per_phase: crowd.control_messages as f64 / stages.len().max(1) as f64,
            virtual_time: Duration::ZERO,
            real_time: Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_any_size_is_held_by_all() {
        let (few, many) = (grow(3, 7).unwrap(), grow(3, 5_000).unwrap());
        assert!(few.bytes_per_node < many.bytes_per_node, "{few:?} {many:?}");
        let wide = grow(9, 7).unwrap();
        assert!(few.messages_per_phase < wide.messages_per_phase, "{few:?} {wide:?}");
        assert!((1..2_000).contains(&wide.convergence_ms), "{wide:?}");
    }
}
