//! A seed's run of the quiz, judged and put into words.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::check::{Violation, check_and_count, check_stopped};
use crate::quiz::evidence::Evidence;
use crate::quiz::{Broken, quiz};
use crate::run::{Options, Outcome, RunError, run};
use crate::schedule::{Kind, Schedule};

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How much of a node was real.
    pub fidelity: Fidelity,
    /// The run and what was seen in it.
    pub outcome: Outcome<Evidence>,
    /// The promises that were not kept.
    pub violations: Vec<Violation>,
    /// How many states the merge laws were tried on.
    pub laws_tried: usize,
}

/// Why a seed could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unjudged {
    /// The run did not end well.
    #[error(transparent)]
    Run(#[from] RunError),
    /// More play than there is room for.
    #[error("seed {seed}: {why}")]
    TooMany {
        /// The seed.
        seed: u64,
        /// How many can.
        why: String,
    },
    /// The cluster never stood.
    #[error("seed {seed}: {why}")]
    Broken {
        /// The seed.
        seed: u64,
        /// Why.
        why: Broken,
    },
}

/// The only place at which a node's libraries may start tasks past the node's own spawner: chitchat
/// starts its server itself, and the cluster ends it itself.
pub const KNOWN_STRAY: &str = "chitchat";

/// Runs the quiz on a seed and judges it.
///
/// # Errors
/// If there is nothing to judge.
pub fn judge(seed: u64, options: Options) -> Result<Verdict, Unjudged> {
    judge_schedule(Schedule::classic(seed), options)
}

/// How much of a node is real.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum Fidelity {
    /// All of it: quinn, chitchat, MQTT, redb.
    #[default]
    Wire,
    /// Its cores: engine, director, replica.
    Message,
}

/// So many play on the wire at most: each has an address and a connection, and waits for receipts.
pub const WIRE_PLAYERS_MAX: u32 = 10_000;

impl Fidelity {
    /// The kinds of trouble that there is no part for: whole nodes take the bounds of replication as they are, and no
    /// core reads a wall clock or makes packets.
    pub fn lacks(self) -> &'static [Kind] {
        match self {
            Self::Wire => &[Kind::Memory],
            Self::Message => &[Kind::Clock, Kind::Mtu],
        }
    }

    /// Whether there is room for all who play.
    ///
    /// # Errors
    /// Says for how many there is.
    pub fn check(self, schedule: &Schedule) -> Result<(), String> {
        let is_over = self == Self::Wire && schedule.players > WIRE_PLAYERS_MAX;
        let what = "players at most in wire fidelity; --fidelity message takes more";
        if is_over { Err(format!("{WIRE_PLAYERS_MAX} {what}")) } else { Ok(()) }
    }
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wire => "wire",
            Self::Message => "message",
        })
    }
}

/// Runs a schedule in a fidelity and judges it.
///
/// # Errors
/// If there is nothing to judge.
pub fn judge_in(
    fidelity: Fidelity,
    schedule: Schedule,
    options: Options,
) -> Result<Verdict, Unjudged> {
    match fidelity {
        Fidelity::Wire => judge_schedule(schedule, options),
        Fidelity::Message => {
            let outcome = crate::message::run(schedule, options)?;
            let (violations, laws_tried) = judged(&outcome.value);
            Ok(Verdict { fidelity, outcome, violations, laws_tried })
        }
    }
}

/// Runs a schedule with whole nodes and judges it.
///
/// # Errors
/// If there is nothing to judge.
pub fn judge_schedule(schedule: Schedule, options: Options) -> Result<Verdict, Unjudged> {
    let seed = schedule.seed;
    Fidelity::Wire.check(&schedule).map_err(|why| Unjudged::TooMany { seed, why })?;
    let (until, fork) = (options.until, options.fork);
    let outcome = run(seed, options, move |world| quiz(world, schedule, until, fork))?;
    let outcome = outcome.transpose().map_err(|why| Unjudged::Broken { seed, why })?;
    let (mut violations, laws_tried) = judged(&outcome.value);
    for (place, count) in outcome.strays.iter().filter(|(place, _)| !place.contains(KNOWN_STRAY)) {
        let what = format!("{count} tasks were started past the node's spawner at {place}");
        violations.push(Violation { rule: "strays", what });
    }
    Ok(Verdict { fidelity: Fidelity::Wire, outcome, violations, laws_tried })
}

/// A run that was stopped is judged by what holds at any moment; its nodes have come to no end that laws could be tried on.
fn judged(evidence: &Evidence) -> (Vec<Violation>, usize) {
    match evidence.stopped {
        Some(_) => (check_stopped(evidence), 0),
        None => check_and_count(evidence),
    }
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// How many violations are shown; the first ones tell the most.
const SHOWN: usize = 12;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { seed, trace_hash, trace_lines, value, net, .. } = &self.outcome;
        writeln!(f, "seed {seed} hash {trace_hash:016x}")?;
        writeln!(f, "{}", value.plan)?;
        let fidelity = self.fidelity;
        let left_out: Vec<String> = self.left_out();
        if !left_out.is_empty() {
            writeln!(f, "not in {fidelity} fidelity: {}", left_out.join(", "))?;
        }
        if fidelity == Fidelity::Message && value.plan.has(Kind::Corruption) {
            writeln!(f, "in message fidelity what arrives damaged is lost")?;
        }
        writeln!(f, "happened:")?;
        for (at, what) in &value.story {
            writeln!(f, "  {:>9.3} s  {what}", at.as_secs_f64())?;
        }
        writeln!(f, "{value}")?;
        writeln!(
            f,
            "network: {} datagrams, {} lost or cut, {} damaged, {} stream segments, {} bytes; \
             {trace_lines} trace lines",
            net.datagrams_sent,
            net.datagrams_dropped,
            net.datagrams_damaged,
            net.segments_sent,
            net.bytes_sent
        )?;
        let tried = match self.laws_tried {
            0 => "not tried, no node has every entry by itself at the end".to_owned(),
            count => format!("tried on {count} states"),
        };
        writeln!(f, "merge laws: {tried}")?;
        writeln!(f, "{}", self.pace())?;
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "VIOLATED {violation}")?;
        }
        if let Some(at) = value.stopped {
            writeln!(
                f,
                "stopped at {:.3} s: only what holds at any time was judged",
                at.as_secs_f64()
            )?;
            for (node, state) in &value.states {
                writeln!(f, "node {node}\n{state}")?;
            }
        }
        match self.violations.len() {
            0 => write!(f, "verdict: good, every promise was kept"),
            count => write!(f, "verdict: bad, {count} promises were not kept"),
        }
    }
}

impl Verdict {
    /// The verdict for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let Outcome { seed, trace_hash, trace_lines, value, net, .. } = &self.outcome;
        let story = value.story.iter().map(|(at, what)| (at.as_secs_f64(), what));
        let violations = self.violations.iter();
        let violations = violations.map(|found| json!({ "rule": found.rule, "what": found.what }));
        json!({
            "seed": seed,
            "hash": format!("{trace_hash:016x}"),
            "good": self.is_good(),
            "violations": violations.collect::<Vec<_>>(),
            "virtual_s": self.outcome.virtual_time.as_secs_f64(),
            "real_s": self.outcome.real_time.as_secs_f64(),
            "stopped_s": value.stopped.map(|at| at.as_secs_f64()),
            "trace_lines": trace_lines,
            "datagrams": net.datagrams_sent,
            "datagrams_lost": net.datagrams_dropped,
            "datagrams_damaged": net.datagrams_damaged,
            "left_out": self.left_out(),
            "laws_tried": self.laws_tried,
            "firm_receipts": value.firm().count(),
            "story": story.collect::<Vec<_>>(),
            "schedule": value.plan,
            "states": value.states,
        })
    }

    /// The trouble of the schedule that its fidelity has no part for, by name.
    fn left_out(&self) -> Vec<String> {
        let kinds = self.outcome.value.plan.left_out(self.fidelity);
        kinds.into_iter().map(Kind::name).collect()
    }

    fn pace(&self) -> String {
        let Outcome { virtual_time, real_time, .. } = &self.outcome;
        let times = virtual_time.as_secs_f64() / real_time.as_secs_f64().max(f64::EPSILON);
        let shown = Duration::from_millis(virtual_time.as_millis() as u64);
        format!("{shown:?} of virtual time at {times:.1} times real time")
    }
}
