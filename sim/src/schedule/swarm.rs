//! The ordinary draw: each seed switches most kinds of faults off and draws how strong the rest are
//! (swarm testing: Groce and others, ISSTA 2012).
//!
//! What may go wrong at once is bounded by what is promised: a firm receipt has two holders, so at
//! most one node at a time loses what it remembers, and the next one only after repair. A zone that
//! goes down whole keeps its disks, and so do all where there are not two others that hold what is promised. Where
//! one holder is enough, checkers excuse what goes down with it.

use super::{
    Blow, CutShape, DiskFate, Fault, Form, Habits, Knobs, Planned, Question, Schedule, Trouble,
    Victim, Weather,
};
use crate::mix::Draw;
use node::config::Ack;

/// The names of the draws.
mod name {
    pub(super) const SIZE: u64 = 1;
    pub(super) const SHOW: u64 = 2;
    pub(super) const WEATHER: u64 = 3;
    pub(super) const CLOCKS: u64 = 4;
    pub(super) const HABITS: u64 = 5;
    pub(super) const KNOBS: u64 = 6;
    pub(super) const ACK: u64 = 7;
    pub(super) const LET_GO: u64 = 8;
    /// Each kind of fault has its own from here on.
    pub(super) const FAULTS: u64 = 100;
}

/// What is fixed before a seed draws the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many nodes; else 3 to 7.
    pub nodes: Option<u8>,
    /// How many players; else 10 to 200.
    pub players: Option<u32>,
    /// How many must hold what is promised; else mostly one more node.
    pub ack: Option<Ack>,
}

/// The chance that a kind of fault is left out.
const OFF: f64 = 0.35;
/// A show in which faults follow each other: each takes one of these turns of the show.
const TURNS: u64 = 8;

impl Schedule {
    /// What a seed draws.
    pub fn draw(seed: u64, wanted: Wanted) -> Self {
        let draw = |name| Draw::new(seed, &[u64::from_be_bytes(*b"a swarm!"), name]);
        let size = draw(name::SIZE);
        let nodes = wanted.nodes.unwrap_or(3 + size.up_to(0, 4) as u8);
        let drawn_players = 10 + size.up_to(1, 3) * size.up_to(2, 60);
        let questions = questions(draw(name::SHOW));
        let swarm = Swarm { seed, nodes, questions: &questions };
        let let_go_after_ms = let_go_after_ms(draw(name::LET_GO));
        let habits = Habits {
            flocking: let_go_after_ms.is_some(),
            ..habits(draw(name::HABITS), questions.len() as u64)
        };
        Self {
            seed,
            nodes,
            players: wanted.players.unwrap_or(drawn_players as u32),
            weather: weather(draw(name::WEATHER)),
            skews_ms: (0..nodes.into()).map(|node| skew(draw(name::CLOCKS), node)).collect(),
            habits,
            ack: wanted.ack.unwrap_or_else(|| ack(draw(name::ACK))),
            knobs: knobs(draw(name::KNOBS)),
            let_go_after_ms,
            faults: swarm.faults(),
            questions,
        }
    }
}

fn skew(draw: Draw, node: u64) -> i64 {
    draw.up_to(node, 1_200_000) as i64 - 600_000
}

fn questions(draw: Draw) -> Vec<Question> {
    let question = |n: u64| {
        let options = 2 + draw.up_to(10 * n + 1, 2);
        Question {
            options: options as u8,
            correct: draw.up_to(10 * n + 2, options - 1) as u8,
            open_ms: 1_500 + 500 * draw.up_to(10 * n + 3, 5) as u32,
            form: match draw.unit(10 * n + 4) {
                die if die < 0.15 => Form::Typed,
                die if die < 0.3 => Form::Prediction,
                _ => Form::Choice,
            },
        }
    };
    (1..=3 + draw.up_to(0, 1)).map(question).collect()
}

/// A kind is off in half of all runs, and at most so strong in the others.
fn some(draw: Draw, die: u64, most: f64) -> f64 {
    share((draw.unit(die) - 0.5).max(0.0) * 2.0 * most)
}

/// A share as it can be written down and read again.
fn share(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

fn weather(draw: Draw) -> Weather {
    let most_ms = [2, 2, 20, 60][draw.up_to(0, 3) as usize];
    Weather {
        delay_us: 300 + draw.up_to(1, most_ms * 500),
        jitter_us: 500 + draw.up_to(2, most_ms * 500),
        loss: some(draw, 3, 0.05),
        duplication: some(draw, 4, 0.05),
        reordering: some(draw, 5, 0.05),
        corruption: some(draw, 6, 0.01),
        mtu: if draw.unit(7) < 0.8 { 1_500 } else { 1_280 },
        bandwidth: if draw.unit(8) < 0.8 { 0 } else { (256 << 10) + draw.up_to(9, 4 << 20) },
    }
}

fn habits(draw: Draw, questions: u64) -> Habits {
    let hosts = if draw.unit(0) < 0.7 { 1 } else { 2 };
    let vanishes = hosts == 2 && draw.unit(1) < 0.5;
    Habits {
        roaming: some(draw, 2, 0.6),
        twice: some(draw, 3, 0.5),
        lying: some(draw, 4, 0.3),
        flooding: some(draw, 5, 0.1),
        hosts,
        hasty: draw.unit(6) < 0.3,
        vanishes: vanishes.then(|| 1 + draw.up_to(7, questions - 1) as u32),
        ruling: draw.unit(8) < 0.4,
        flocking: false,
    }
}

fn ack(draw: Draw) -> Ack {
    match draw.unit(0) {
        die if die < 0.12 => Ack::Local,
        die if die < 0.3 => Ack::Majority,
        _ => Ack::Peer,
    }
}

/// Much sooner than any operator would want it: a show lasts half a minute here.
fn let_go_after_ms(draw: Draw) -> Option<u64> {
    (draw.unit(0) < 0.2).then(|| [200, 1_000, 3_000][draw.up_to(1, 2) as usize])
}

/// Tails that hold all, some or next to nothing; snapshots as a rule or as the exception.
fn knobs(draw: Draw) -> Knobs {
    let normal = Knobs::default();
    Knobs {
        tail_bytes_max: [normal.tail_bytes_max, 64 << 10, 3_000][draw.up_to(0, 2) as usize],
        snapshot_above_bytes: [normal.snapshot_above_bytes, 500][draw.up_to(1, 1) as usize],
    }
}

/// Draws a fault of some kind.
type Make<'a> = fn(&Swarm<'a>, Draw) -> Fault;

struct Swarm<'a> {
    seed: u64,
    nodes: u8,
    questions: &'a [Question],
}

impl Swarm<'_> {
    fn draw(&self, kind: u64) -> Draw {
        Draw::new(self.seed, &[u64::from_be_bytes(*b"a swarm!"), name::FAULTS + kind])
    }

    /// All that goes wrong. Crashes take turns; the rest comes whenever it wants.
    fn faults(&self) -> Vec<Planned> {
        let mut faults = self.crashes();
        let kinds: [(u64, f64, Make<'_>); 5] = [
            (1, 0.6, Self::cut),
            (2, 0.35, Self::storm),
            (3, 0.3, Self::pause),
            (4, 0.3, Self::clock),
            (5, 0.2, Self::disk),
        ];
        for (kind, chance, make) in kinds {
            // Between nodes nothing goes wrong where there is one.
            let is_off = self.is_off(kind) || self.nodes == 1 && matches!(kind, 1 | 2);
            for nth in 0..if is_off { 0 } else { 2 } {
                let draw = self.draw(kind * 10 + nth);
                if draw.unit(0) < chance {
                    faults.push(self.planned(draw, make(self, draw)));
                }
            }
        }
        faults.extend(self.comings_and_goings());
        if let Some(upgrade) = self.upgrade() {
            // It takes every node down, and what it would meet beside it must not.
            let breaks = |planned: &Planned| {
                matches!(planned.fault, Fault::Crash { .. } | Fault::Disk { .. })
            };
            faults.retain(|planned| !breaks(planned));
            faults.push(upgrade);
        }
        faults
    }

    /// Whether this seed has nothing of a kind.
    fn is_off(&self, kind: u64) -> bool {
        self.draw(kind * 10 + 9).unit(0) < OFF
    }

    /// A moment of the show: any instance, from its opening to a little after its end.
    fn planned(&self, draw: Draw, fault: Fault) -> Planned {
        let instance = 1 + draw.up_to(1, self.questions.len() as u64 - 1) as u32;
        let open_ms = u64::from(self.questions[instance as usize - 1].open_ms);
        Planned {
            instance,
            after_ms: draw.up_to(2, open_ms + 800),
            lasts_ms: 300 + draw.up_to(3, 6_000),
            fault,
        }
    }

    fn node(&self, draw: Draw, die: u64) -> u8 {
        1 + draw.up_to(die, u64::from(self.nodes) - 1) as u8
    }

    fn two(&self, draw: Draw, die: u64) -> (u8, u8) {
        let one = self.node(draw, die);
        let step = 1 + draw.up_to(die + 1, u64::from(self.nodes.max(2)) - 2) as u8;
        (one, 1 + (one - 1 + step) % self.nodes)
    }

    /// At most one crash in a question, so that there is time for repair in between.
    fn crashes(&self) -> Vec<Planned> {
        let mut faults = Vec::new();
        if self.is_off(0) {
            return faults;
        }
        let mut fates = vec![DiskFate::Same];
        for instance in 1..=self.questions.len() as u32 {
            let draw = self.draw(instance.into());
            if draw.unit(0) > 0.4 {
                continue;
            }
            let fault = self.crash(draw, &mut fates);
            let open_ms = u64::from(self.questions[instance as usize - 1].open_ms);
            let after_ms = draw.up_to(2, open_ms + 800);
            // It is back before the next question can be open.
            let lasts_ms = 300 + draw.up_to(3, 2_500);
            faults.push(Planned { instance, after_ms, lasts_ms, fault });
        }
        faults
    }

    fn crash(&self, draw: Draw, fates: &mut Vec<DiskFate>) -> Fault {
        let how = if draw.unit(4) < 0.5 { Blow::Killed } else { Blow::PowerLost };
        if self.nodes >= 4 && draw.unit(5) < 0.15 {
            let (one, other) = self.two(draw, 6);
            let victims = vec![Victim::Node(one), Victim::Node(other)];
            return Fault::Crash { victims, how: Blow::Killed, disk: DiskFate::Same };
        }
        let victim = match draw.unit(8) < 0.2 {
            true => Victim::HostsNode,
            false => Victim::Node(self.node(draw, 9)),
        };
        let die = draw.up_to(11, TURNS - 1);
        let spares = self.nodes > 2 && fates.len() == 1;
        let disk = match die {
            0 if spares => DiskFate::Lost,
            1 if spares => DiskFate::Stale,
            _ => DiskFate::Same,
        };
        if disk != DiskFate::Same {
            fates.push(disk);
        }
        Fault::Crash { victims: vec![victim], how, disk }
    }

    fn cut(&self, draw: Draw) -> Fault {
        let (one, other) = self.two(draw, 5);
        let shape = match draw.up_to(4, 5) {
            0 | 1 => CutShape::Alone(one),
            2 => CutShape::OneWay(one, other),
            3 => CutShape::Pair(one, other),
            4 => CutShape::Flapping { node: one, period_ms: 100 + draw.up_to(7, 2_000) },
            _ => {
                let side = |node: &u8| draw.unit(20 + u64::from(*node)) < 0.5;
                CutShape::Side((1..=self.nodes).filter(side).collect())
            }
        };
        Fault::Cut { shape }
    }

    fn storm(&self, draw: Draw) -> Fault {
        let (one, other) = self.two(draw, 5);
        let weather = Weather {
            delay_us: 1_000 + draw.up_to(7, 150_000),
            jitter_us: 1_000 + draw.up_to(8, 150_000),
            loss: share(draw.unit(9) * 0.3),
            duplication: some(draw, 10, 0.3),
            reordering: some(draw, 11, 0.3),
            ..Weather::CALM
        };
        Fault::Storm { one, other, weather }
    }

    fn pause(&self, draw: Draw) -> Fault {
        Fault::Pause { node: self.node(draw, 5) }
    }

    fn clock(&self, draw: Draw) -> Fault {
        let node = self.node(draw, 5);
        if draw.unit(7) < 0.5 {
            // Up to a fifth: no quartz is so bad, and virtual machines that starve are.
            return Fault::Drift { node, ppm: draw.up_to(8, 400_000) as i64 - 200_000 };
        }
        let jump_ms = draw.up_to(6, 7_200_000) as i64 - 3_600_000;
        Fault::Clock { node, jump_ms }
    }

    fn disk(&self, draw: Draw) -> Fault {
        let trouble = [Trouble::Full, Trouble::Slow][draw.up_to(6, 1) as usize];
        Fault::Disk { node: self.node(draw, 5), trouble }
    }

    /// All nodes get the newer program, one after the other.
    fn upgrade(&self) -> Option<Planned> {
        let draw = self.draw(92);
        let (every_ms, mixes) = (600 + draw.up_to(5, 2_000), draw.unit(6) < 0.7);
        (draw.unit(4) < 0.12).then(|| self.planned(draw, Fault::Upgrade { every_ms, mixes }))
    }

    /// A node more, a node less, or one in place of another.
    fn comings_and_goings(&self) -> Vec<Planned> {
        let draw = self.draw(90);
        let mut faults = Vec::new();
        if draw.unit(4) < 0.25 {
            faults.push(self.planned(draw, Fault::Join { node: self.nodes + 1 }));
        }
        let leaves = self.draw(91);
        if self.nodes >= 4 && leaves.unit(4) < 0.2 {
            let node = self.node(leaves, 5);
            faults.push(self.planned(leaves, Fault::Leave { node }));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::service::view::{PhaseView, StageView};
    use std::collections::BTreeSet;

    #[test]
    fn every_draw_can_be_run_and_survives_its_file() {
        for seed in 0..500 {
            let schedule = Schedule::draw(seed, Wanted::default());
            let read = Schedule::from_json(&schedule.to_json());
            assert_eq!(read.as_ref(), Ok(&schedule), "seed {seed}");
        }
    }

    #[test]
    fn no_more_goes_wrong_than_so_few_nodes_survive() {
        for nodes in [1, 2] {
            for seed in 0..200 {
                let wanted = Wanted { nodes: Some(nodes), ..Wanted::default() };
                let schedule = Schedule::draw(seed, wanted);
                assert_eq!(schedule.check(), Ok(()), "seed {seed}");
                assert!(!schedule.loses_a_node(), "{schedule}");
            }
        }
    }

    #[test]
    fn what_was_drawn_for_a_question_that_was_left_does_not_happen_in_the_next() {
        let planned = |instance, fault| Planned { instance, after_ms: 1, lasts_ms: 1, fault };
        let at = |instance| StageView { instance, phase: PhaseView::Intro };
        let pause = |instance| planned(instance, Fault::Pause { node: 1 });
        assert!(pause(1).falls_away(at(2)));
        assert!(!pause(2).falls_away(at(2)), "its question is to come");
        assert!(!pause(0).falls_away(at(2)), "the lobby was open");
        assert!(!planned(1, Fault::Join { node: 4 }).falls_away(at(2)));
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_none_is_always() {
        let kind = |planned: &Planned| {
            let text = planned.fault.to_string();
            text.split([' ', ':']).next().map(str::to_owned)
        };
        let kinds = |seed| -> BTreeSet<_> {
            let faults = Schedule::draw(seed, Wanted::default()).faults;
            faults.iter().filter_map(kind).collect()
        };
        let all: BTreeSet<_> = (0..300).flat_map(kinds).collect();
        assert_eq!(all.len(), 8, "{all:?}");
        assert!((0..300).any(|seed| kinds(seed).is_empty()), "some run is calm");
    }
}
