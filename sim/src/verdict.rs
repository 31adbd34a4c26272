//! A seed's run of the quiz, judged and put into words.

use std::fmt;
use std::time::Duration;

use crate::check::{Violation, check};
use crate::quiz::evidence::Evidence;
use crate::quiz::{Broken, quiz};
use crate::run::{Options, Outcome, RunError, run};
use crate::schedule::Schedule;

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The run and what was seen in it.
    pub outcome: Outcome<Evidence>,
    /// The promises that were not kept.
    pub violations: Vec<Violation>,
}

/// Why a seed could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unjudged {
    /// The run did not end well.
    #[error(transparent)]
    Run(#[from] RunError),
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Fidelity {
    /// All of it: quinn, chitchat, MQTT, redb.
    #[default]
    Wire,
    /// Its cores: engine, director, replica.
    Message,
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
            let violations = check(&outcome.value);
            Ok(Verdict { outcome, violations })
        }
    }
}

/// Runs a schedule with whole nodes and judges it.
///
/// # Errors
/// If there is nothing to judge.
pub fn judge_schedule(schedule: Schedule, options: Options) -> Result<Verdict, Unjudged> {
    let seed = schedule.seed;
    let outcome = run(seed, options, |world| quiz(world, schedule))?;
    let outcome = outcome.transpose().map_err(|why| Unjudged::Broken { seed, why })?;
    let mut violations = check(&outcome.value);
    for (place, count) in outcome.strays.iter().filter(|(place, _)| !place.contains(KNOWN_STRAY)) {
        let what = format!("{count} tasks were started past the node's spawner at {place}");
        violations.push(Violation { rule: "strays", what });
    }
    Ok(Verdict { outcome, violations })
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
        writeln!(f, "happened:")?;
        for (at, what) in &value.story {
            writeln!(f, "  {:>9.3} s  {what}", at.as_secs_f64())?;
        }
        writeln!(f, "{value}")?;
        writeln!(
            f,
            "network: {} datagrams, {} lost or cut, {} stream segments, {} bytes; {trace_lines} trace lines",
            net.datagrams_sent, net.datagrams_dropped, net.segments_sent, net.bytes_sent
        )?;
        writeln!(f, "{}", self.pace())?;
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "VIOLATED {violation}")?;
        }
        match self.violations.len() {
            0 => write!(f, "verdict: good, every promise was kept"),
            count => write!(f, "verdict: bad, {count} promises were not kept"),
        }
    }
}

impl Verdict {
    fn pace(&self) -> String {
        let Outcome { virtual_time, real_time, .. } = &self.outcome;
        let times = virtual_time.as_secs_f64() / real_time.as_secs_f64().max(f64::EPSILON);
        let shown = Duration::from_millis(virtual_time.as_millis() as u64);
        format!("{shown:?} of virtual time at {times:.1} times real time")
    }
}
