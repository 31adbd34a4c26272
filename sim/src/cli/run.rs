//! `starling-sim run`.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::given::{Given, Scenario, duration, spelt_out};
use super::live::watched;
use super::{Failed, say, write_out};
use crate::mesh::mesh;
use crate::run::{Options, run};
use crate::schedule::Schedule;
use crate::trace::{Lines, Progress, Sink, first_difference};
use crate::verdict::{Fidelity, judge_in};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The seed that names the run.
    #[arg(long, default_value_t = 1, conflicts_with = "schedule")]
    seed: u64,
    #[command(flatten)]
    given: Given,
    /// Print the schedule that would be run, as a file that `--schedule` takes, and run nothing.
    #[arg(long, conflicts_with_all = ["until", "json", "check", "trace", "log", "real_limit"])]
    print: bool,
    /// Run this schedule instead of what the seed draws; the options that say what a seed draws are not for it.
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Stop at this virtual time, as in 20s, and show every node as it is then.
    #[arg(long, value_parser = duration)]
    until: Option<Duration>,
    /// Write the verdict as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run the seed twice and compare the traces.
    #[arg(long)]
    check: bool,
    /// Write the trace's lines to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    trace: Option<PathBuf>,
    /// Show what the nodes log, as in RUST_LOG; their times are virtual.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failed> {
    if let Some(filter) = &arguments.log {
        show_logs(filter).map_err(Failed::Usage)?;
    }
    if arguments.print {
        say(&schedule_of(arguments)?.0.to_json());
        return Ok(());
    }
    let done = if arguments.check { run_twice(arguments) } else { run_once(arguments) };
    let replay = format!("replay with: starling-sim {}", reproduce(arguments));
    done.map_err(|why| match why {
        Failed::Found(what) => Failed::Found(format!("{what}\n{replay}")),
        other => other,
    })
}

/// The command line that runs the same again.
fn reproduce(arguments: &Arguments) -> String {
    match &arguments.schedule {
        Some(file) => {
            // The file may say so, too; what was asked for comes first.
            let fidelity = arguments.given.fidelity.map_or_else(String::new, spelt_out);
            format!("run --schedule {}{fidelity}", file.display())
        }
        None => format!("run --seed {}{}", arguments.seed, arguments.given.again()),
    }
}

fn show_logs(filter: &str) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|why| why.to_string())?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_timer(VirtualTime);
    logs.with_writer(io::stderr).try_init().map_err(|why| why.to_string())
}

/// Stamps log lines with the time that their writer lives in.
struct VirtualTime;

impl tracing_subscriber::fmt::time::FormatTime for VirtualTime {
    fn format_time(
        &self,
        to: &mut tracing_subscriber::fmt::format::Writer<'_>,
    ) -> std::fmt::Result {
        write!(to, "{:>12.6}", Duration::from_nanos(crate::clock::virtual_ns()).as_secs_f64())
    }
}

fn run_once(arguments: &Arguments) -> Result<(), Failed> {
    let sink = arguments.trace.as_deref().map(trace_to).transpose()?;
    let told = simulate(arguments, sink)?;
    tell(arguments, &told)?;
    told.judged()
}

/// For people on standard output, unless that is for a program.
fn tell(arguments: &Arguments, told: &Told) -> Result<(), Failed> {
    if arguments.json.as_deref() == Some(Path::new("-")) {
        eprintln!("{}", told.text);
    } else {
        say(&told.text);
    }
    match arguments.json.as_ref().zip(told.json.as_ref()) {
        Some((path, json)) => write_out(path, &format!("{json:#}")),
        None => Ok(()),
    }
}

/// Where a trace's lines go.
pub(super) fn trace_to(path: &Path) -> Result<Sink, Failed> {
    let file = File::create(path).map_err(|why| Failed::file(path, why))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn run_twice(arguments: &Arguments) -> Result<(), Failed> {
    let (first, second) = (Lines::default(), Lines::default());
    let told = simulate(arguments, Some(first.sink()))?;
    let again = simulate(arguments, Some(second.sink()))?;
    tell(arguments, &told)?;
    if told.hash == again.hash {
        say("checked: a second run left the same trace");
        return told.judged();
    }
    let difference = first_difference(&first.text(), &second.text());
    let shown = difference.map_or_else(String::new, |difference| difference.to_string());
    Err(Failed::Found(format!("seed {}: two runs differ\n{shown}", arguments.seed)))
}

/// A run as it is told to people.
struct Told {
    hash: u64,
    text: String,
    json: Option<serde_json::Value>,
    violations: usize,
}

impl Told {
    fn judged(&self) -> Result<(), Failed> {
        match self.violations {
            0 => Ok(()),
            count => Err(Failed::Found(format!("{count} promises were not kept"))),
        }
    }
}

fn simulate(arguments: &Arguments, sink: Option<Sink>) -> Result<Told, Failed> {
    let progress = Progress::default();
    let real_limit = arguments.given.real_limit();
    let (progress_of_run, until) = (progress.clone(), arguments.until);
    let options =
        Options { sink, real_limit, until, progress: progress_of_run, ..Options::default() };
    match arguments.given.scenario() {
        Scenario::Mesh if arguments.schedule.is_none() => {
            check_mesh(arguments)?;
            simulate_mesh(arguments.seed, options)
        }
        _ => {
            let (schedule, fidelity) = schedule_of(arguments)?;
            eprintln!("{}", in_short(&schedule, fidelity));
            let verdict = watched(&progress, || judge_in(fidelity, schedule, options));
            let verdict = verdict.map_err(|why| Failed::Found(why.to_string()))?;
            let (hash, violations) = (verdict.outcome.trace_hash, verdict.violations.len());
            let json = Some(verdict.to_json());
            Ok(Told { hash, text: verdict.to_string(), json, violations })
        }
    }
}

/// What is about to be run.
fn in_short(schedule: &Schedule, fidelity: Fidelity) -> String {
    let Schedule { seed, nodes, players, questions, faults, .. } = schedule;
    let (questions, faults) = (questions.len(), faults.len());
    format!(
        "seed {seed} in {fidelity} fidelity: {nodes} nodes, {players} players, \
         {questions} questions, {faults} faults"
    )
}

fn schedule_of(arguments: &Arguments) -> Result<(Schedule, Fidelity), Failed> {
    arguments.given.schedule(arguments.schedule.as_deref(), arguments.seed)
}

/// The mesh has nodes and links of its own, and nothing of a show.
fn check_mesh(arguments: &Arguments) -> Result<(), Failed> {
    let mut given = arguments.given.of_a_draw();
    given.retain(|name| *name != "--scenario");
    let others = [
        ("--fidelity", arguments.given.fidelity.is_some()),
        ("--until", arguments.until.is_some()),
        ("--json", arguments.json.is_some()),
    ];
    given.extend(others.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)));
    if given.is_empty() {
        return Ok(());
    }
    let what = format!("--scenario mesh is no show: leave out {}", given.join(", "));
    Err(Failed::Usage(what))
}

fn simulate_mesh(seed: u64, options: Options) -> Result<Told, Failed> {
    let outcome = run(seed, options, mesh).map_err(|why| Failed::Found(why.to_string()))?;
    let outcome = outcome.transpose();
    let outcome = outcome.map_err(|why| Failed::Found(format!("seed {seed}: {why}")))?;
    let hash = outcome.trace_hash;
    let text = format!(
        "seed {seed} hash {hash:016x}\n{} trace lines, {:?} of virtual time\n{:?}\n{:?}",
        outcome.trace_lines, outcome.virtual_time, outcome.net, outcome.value
    );
    Ok(Told { hash, text, json: None, violations: 0 })
}
