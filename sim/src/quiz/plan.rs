//! What a seed draws: the show, the crash, the cut, the weather and the clocks.
//!
//! Invariant: each draw is named, so that changing how one is made leaves the others as they were.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::link::Link;
use crate::machine::Crash;
use crate::mix::Draw;

/// The nodes of the cluster.
pub const NODES: [u8; 3] = [1, 2, 3];
/// How many play.
pub const PLAYERS: u16 = 100;

/// One run of the quiz, as its seed has it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What is asked, in order; the first is instance 1.
    pub questions: Vec<Question>,
    /// The crash.
    pub crash: CrashPlan,
    /// The partition.
    pub cut: CutPlan,
    /// The links between nodes.
    pub link: Link,
    /// How far each node's wall clock is off, in milliseconds.
    pub skews_ms: [i64; 3],
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// How many can be chosen from.
    pub options: u8,
    /// Which is right.
    pub correct: u8,
    /// How long it is open.
    pub open: Duration,
}

/// A node that crashes and comes back.
#[derive(Clone, Copy, Debug)]
pub struct CrashPlan {
    /// In which instance.
    pub instance: u32,
    /// How long after it was opened.
    pub after: Duration,
    /// Which node.
    pub victim: Victim,
    /// In which way.
    pub how: Crash,
    /// How long it is down.
    pub down: Duration,
}

/// Whom a crash hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// A node by its number.
    Node(u8),
    /// The node that the host is at.
    HostsNode,
}

/// A cut between nodes.
#[derive(Clone, Copy, Debug)]
pub struct CutPlan {
    /// In which instance.
    pub instance: u32,
    /// How long after it was opened.
    pub after: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What is cut.
    pub shape: CutShape,
}

/// What a cut separates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutShape {
    /// One node from the two others, both ways.
    Alone(u8),
    /// What the first says to the second is lost.
    OneWay(u8, u8),
}

/// The names of the draws.
mod name {
    pub(super) const SHOW: u64 = 1;
    pub(super) const CRASH: u64 = 2;
    pub(super) const CUT: u64 = 3;
    pub(super) const WEATHER: u64 = 4;
    pub(super) const CLOCKS: u64 = 5;
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let draw = |name| Draw::new(seed, &[u64::from_be_bytes(*b"the plan"), name]);
        let questions = questions(draw(name::SHOW));
        let crash = crash(draw(name::CRASH), &questions);
        Self {
            seed,
            cut: cut(draw(name::CUT), &questions, crash.instance),
            crash,
            link: weather(draw(name::WEATHER)),
            skews_ms: [0, 1, 2]
                .map(|node| draw(name::CLOCKS).up_to(node, 1_200_000) as i64 - 600_000),
            questions,
        }
    }

    /// The question of an instance.
    pub fn question(&self, instance: u32) -> Option<&Question> {
        self.questions.get(instance.checked_sub(1)? as usize)
    }

    /// The show file. Each explanation holds a word that nobody may hear before the reveal.
    pub fn show(&self) -> String {
        let question = |(index, question): (usize, &Question)| {
            let options: Vec<_> = (0..question.options).map(|n| format!("option {n}")).collect();
            json!({
                "text": format!("question {}", index + 1),
                "options": options,
                "correct": question.correct,
                "seconds": question.open.as_secs_f64(),
                "explanation": secret(index as u32 + 1),
            })
        };
        let questions: Vec<_> = self.questions.iter().enumerate().map(question).collect();
        let title = format!("the show of seed {}", self.seed);
        json!({ "format": node::show::FORMAT, "title": title, "questions": questions }).to_string()
    }
}

/// The word that gives the answer of an instance away.
pub fn secret(instance: u32) -> String {
    format!("secret-of-{instance}.")
}

fn questions(draw: Draw) -> Vec<Question> {
    let count = 3 + draw.up_to(0, 1);
    let question = |n: u64| {
        let options = 2 + draw.up_to(10 * n + 1, 2);
        let correct = draw.up_to(10 * n + 2, options - 1);
        let open = Duration::from_millis(2_000 + 500 * draw.up_to(10 * n + 3, 4));
        Question { options: options as u8, correct: correct as u8, open }
    };
    (1..=count).map(question).collect()
}

fn crash(draw: Draw, questions: &[Question]) -> CrashPlan {
    let (instance, open) = pick(draw, questions, None);
    let victim = match draw.up_to(1, 3) {
        0 => Victim::HostsNode,
        node => Victim::Node(node as u8),
    };
    CrashPlan {
        instance,
        // Up to half a second beyond the deadline: while answers are counted, too.
        after: millis(draw, 2, 0, open + 500),
        victim,
        how: if draw.unit(3) < 0.5 { Crash::Process } else { Crash::Power },
        down: millis(draw, 4, 500, 5_500),
    }
}

fn cut(draw: Draw, questions: &[Question], but: u32) -> CutPlan {
    let (instance, open) = pick(draw, questions, Some(but));
    let one = 1 + draw.up_to(1, 2) as u8;
    let other = 1 + (one + draw.up_to(2, 1) as u8) % 3;
    let one_way = draw.unit(3) < 0.35;
    CutPlan {
        instance,
        after: millis(draw, 4, 0, open * 3 / 4),
        lasts: millis(draw, 5, 500, 7_500),
        shape: if one_way { CutShape::OneWay(one, other) } else { CutShape::Alone(one) },
    }
}

/// An instance, but not that one, and for how many milliseconds it is open.
fn pick(draw: Draw, questions: &[Question], but: Option<u32>) -> (u32, u64) {
    let instances = (1..=questions.len() as u32).filter(|instance| Some(*instance) != but);
    let instances: Vec<u32> = instances.collect();
    let instance = instances[draw.up_to(0, instances.len() as u64 - 1) as usize];
    (instance, questions[instance as usize - 1].open.as_millis() as u64)
}

fn millis(draw: Draw, die: u64, least: u64, spread: u64) -> Duration {
    Duration::from_millis(least + draw.up_to(die, spread))
}

/// Light troubles on the links between nodes; each kind is off in some runs.
fn weather(draw: Draw) -> Link {
    let some = |die: u64, most: f64| (draw.unit(die) - 0.3).max(0.0) / 0.7 * most;
    Link {
        jitter: Duration::from_micros(500 + draw.up_to(0, 4_500)),
        loss: some(1, 0.02),
        duplication: some(2, 0.02),
        reordering: some(3, 0.02),
        ..Link::DATA_CENTRE
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { questions, crash, cut, link, skews_ms, .. } = self;
        writeln!(
            f,
            "drawn: {} players, {} nodes, {} questions",
            PLAYERS,
            NODES.len(),
            questions.len()
        )?;
        writeln!(f, "  {crash}")?;
        writeln!(f, "  {cut}")?;
        writeln!(
            f,
            "  between nodes: jitter {:?}, loss {:.1} %, copies {:.1} %, overtaking {:.1} %",
            link.jitter,
            link.loss * 100.0,
            link.duplication * 100.0,
            link.reordering * 100.0
        )?;
        let skews = skews_ms.map(|ms| format!("{:+.0} s", ms as f64 / 1_000.0));
        write!(f, "  wall clocks off by {}", skews.join(", "))
    }
}

impl fmt::Display for CrashPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, after, victim, how, down } = self;
        let how = match how {
            Crash::Process => "is killed",
            Crash::Power => "loses power",
        };
        write!(f, "crash: {victim} {how} {after:?} into question {instance}, down for {down:?}")
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(number) => write!(f, "node {number}"),
            Self::HostsNode => f.write_str("the host's node"),
        }
    }
}

impl fmt::Display for CutPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, after, lasts, shape } = self;
        write!(f, "cut: {shape} {after:?} into question {instance}, for {lasts:?}")
    }
}

impl fmt::Display for CutShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone(node) => write!(f, "node {node} from the others"),
            Self::OneWay(from, to) => write!(f, "from node {from} to node {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_plan_is_a_show_that_a_node_takes() {
        for seed in 0..200 {
            let plan = Plan::draw(seed);
            let script = node::show::parse(&plan.show()).unwrap();
            assert_eq!(script.questions.len(), plan.questions.len());
            assert_ne!(plan.crash.instance, plan.cut.instance, "seed {seed}");
            let CutShape::OneWay(from, to) = plan.cut.shape else { continue };
            assert_ne!(from, to, "seed {seed}");
        }
    }

    #[test]
    fn seeds_draw_different_victims_and_shapes() {
        let of = |what: fn(&Plan) -> String| {
            (0..100).map(|seed| what(&Plan::draw(seed))).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(of(|plan| plan.crash.victim.to_string()), 4);
        assert_eq!(of(|plan| plan.cut.shape.to_string()), 9);
        assert_eq!(of(|plan| format!("{:?}", plan.crash.how)), 2);
        assert!(of(|plan| format!("{:?}", plan.crash.after)) > 90);
    }
}
