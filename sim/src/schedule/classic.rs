//! The classic draw: three nodes and a hundred players through one crash and one cut.
//!
//! Invariant: each draw is named, so that changing how one is made leaves the others as they were.

use super::{
    Blow, CutShape, DiskFate, Fault, Form, Habits, Knobs, Planned, Question, Schedule, Victim,
    Weather,
};
use crate::mix::Draw;
use node::config::Ack;

/// The nodes of the cluster.
pub const NODES: [u8; 3] = [1, 2, 3];
/// How many play.
pub const PLAYERS: u16 = 100;

/// The names of the draws.
mod name {
    pub(super) const SHOW: u64 = 1;
    pub(super) const CRASH: u64 = 2;
    pub(super) const CUT: u64 = 3;
    pub(super) const WEATHER: u64 = 4;
    pub(super) const CLOCKS: u64 = 5;
}

impl Schedule {
    /// What a seed draws for a light run: one crash with a return from the disk, one cut.
    pub fn classic(seed: u64) -> Self {
        let draw = |name| Draw::new(seed, &[u64::from_be_bytes(*b"the plan"), name]);
        let questions = questions(draw(name::SHOW));
        let crash = crash(draw(name::CRASH), &questions);
        let cut = cut(draw(name::CUT), &questions, crash.instance);
        let skew = |node| draw(name::CLOCKS).up_to(node, 1_200_000) as i64 - 600_000;
        Self {
            seed,
            nodes: NODES.len() as u8,
            players: PLAYERS.into(),
            weather: weather(draw(name::WEATHER)),
            skews_ms: [0, 1, 2].map(skew).to_vec(),
            habits: Habits { roaming: 0.2, hosts: 1, ..Habits::default() },
            ack: Ack::default(),
            knobs: Knobs::default(),
            let_go_after_ms: None,
            faults: vec![crash, cut],
            questions,
        }
    }
}

fn questions(draw: Draw) -> Vec<Question> {
    let count = 3 + draw.up_to(0, 1);
    let question = |n: u64| {
        let options = 2 + draw.up_to(10 * n + 1, 2);
        let correct = draw.up_to(10 * n + 2, options - 1);
        let open_ms = 2_000 + 500 * draw.up_to(10 * n + 3, 4);
        Question {
            options: options as u8,
            correct: correct as u8,
            open_ms: open_ms as u32,
            form: Form::Choice,
        }
    };
    (1..=count).map(question).collect()
}

fn crash(draw: Draw, questions: &[Question]) -> Planned {
    let (instance, open_ms) = pick(draw, questions, None);
    let victim = match draw.up_to(1, 3) {
        0 => Victim::HostsNode,
        node => Victim::Node(node as u8),
    };
    let how = if draw.unit(3) < 0.5 { Blow::Killed } else { Blow::PowerLost };
    Planned {
        instance,
        // Up to half a second beyond the deadline: while answers are counted, too.
        after_ms: draw.up_to(2, open_ms + 500),
        lasts_ms: 500 + draw.up_to(4, 5_500),
        fault: Fault::Crash { victims: vec![victim], how, disk: DiskFate::Same },
    }
}

fn cut(draw: Draw, questions: &[Question], but: u32) -> Planned {
    let (instance, open_ms) = pick(draw, questions, Some(but));
    let one = 1 + draw.up_to(1, 2) as u8;
    let other = 1 + (one + draw.up_to(2, 1) as u8) % 3;
    let one_way = draw.unit(3) < 0.35;
    Planned {
        instance,
        after_ms: draw.up_to(4, open_ms * 3 / 4),
        lasts_ms: 500 + draw.up_to(5, 7_500),
        fault: Fault::Cut {
            shape: if one_way { CutShape::OneWay(one, other) } else { CutShape::Alone(one) },
        },
    }
}

/// An instance, but not that one, and for how many milliseconds it is open.
fn pick(draw: Draw, questions: &[Question], but: Option<u32>) -> (u32, u64) {
    let instances = (1..=questions.len() as u32).filter(|instance| Some(*instance) != but);
    let instances: Vec<u32> = instances.collect();
    let instance = instances[draw.up_to(0, instances.len() as u64 - 1) as usize];
    (instance, questions[instance as usize - 1].open_ms.into())
}

/// Light troubles on the links between nodes; each kind is off in some runs.
fn weather(draw: Draw) -> Weather {
    let some = |die: u64, most: f64| (draw.unit(die) - 0.3).max(0.0) / 0.7 * most;
    Weather {
        jitter_us: 500 + draw.up_to(0, 4_500),
        loss: some(1, 0.02),
        duplication: some(2, 0.02),
        reordering: some(3, 0.02),
        ..Weather::CALM
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_plan_is_a_show_that_a_node_takes() {
        for seed in 0..200 {
            let plan = Schedule::classic(seed);
            let script = node::show::parse(&plan.show()).unwrap();
            assert_eq!(script.questions.len(), plan.questions.len());
            let [crash, cut] = &plan.faults[..] else { panic!("{plan}") };
            assert_ne!(crash.instance, cut.instance, "seed {seed}");
            let Fault::Cut { shape: CutShape::OneWay(from, to) } = cut.fault else { continue };
            assert_ne!(from, to, "seed {seed}");
        }
    }

    #[test]
    fn seeds_draw_different_victims_and_shapes() {
        let of = |fault: usize, what: fn(&Planned) -> String| {
            let drawn = (0..100).map(|seed| what(&Schedule::classic(seed).faults[fault]));
            drawn.collect::<BTreeSet<_>>().len()
        };
        assert_eq!(of(0, |crash| crash.fault.to_string()), 8);
        assert_eq!(of(1, |cut| cut.fault.to_string()), 9);
        assert!(of(0, |crash| crash.after_ms.to_string()) > 90);
    }
}
