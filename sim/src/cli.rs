//! What `starling-sim` does: one seed or many, in words.
//!
//! Exit codes: 0 every promise was kept, 1 some were not or two runs of a seed differ, 2 wrong usage.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::mesh::mesh;
use crate::run::{Options, run};
use crate::schedule::{Schedule, Wanted};
use crate::sweep::{Draws, Sweep};
use crate::trace::{Sink, first_difference};
use crate::verdict::{Fidelity, judge_in};

/// The simulator of Starling: a seed names a run down to the byte.
#[derive(Debug, Parser)]
#[command(name = "starling-sim", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed, say what happened, and print the hash of its trace.
    Run(RunArguments),
    /// Run many seeds and name those that fail.
    Sweep(SweepArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The seed that names the run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is run.
    #[arg(long, value_enum, default_value_t = Scenario::Quiz)]
    scenario: Scenario,
    /// How much of a node is real.
    #[arg(long, value_enum, default_value_t)]
    fidelity: Fidelity,
    /// Nodes at the beginning; by default the seed draws 3 to 7.
    #[arg(long)]
    nodes: Option<u8>,
    /// Players; by default the seed draws 10 to 190.
    #[arg(long)]
    players: Option<u32>,
    /// Print the schedule that would be run, as a file that `--schedule` takes.
    #[arg(long)]
    print: bool,
    /// Run this schedule instead of what the seed draws.
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Run the seed twice and compare the traces.
    #[arg(long)]
    check: bool,
    /// Write the trace's lines to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    trace: Option<PathBuf>,
    /// Show what the nodes log, as in RUST_LOG; their times are virtual.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Real seconds before the run is given up as stuck.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    real_limit: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Three nodes and a hundred players through a crash and a partition.
    Quiz,
    /// As many nodes and players, and as many faults, as the seed draws.
    Swarm,
    /// The simulator's own trial, without a node.
    Mesh,
}

#[derive(Debug, clap::Args)]
struct SweepArguments {
    /// The seeds, as in 1..=50.
    #[arg(long, value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    /// How much of a node is real.
    #[arg(long, value_enum, default_value_t)]
    fidelity: Fidelity,
    /// What is run.
    #[arg(long, value_enum, default_value_t = Scenario::Quiz)]
    scenario: Scenario,
    /// Nodes at the beginning; by default the seed draws 3 to 7.
    #[arg(long)]
    nodes: Option<u8>,
    /// Players; by default the seed draws 10 to 190.
    #[arg(long)]
    players: Option<u32>,
    /// How many run at once; by default one per core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Real seconds that one seed may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    real_limit: u64,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run_seed(&arguments),
        Command::Sweep(arguments) => sweep(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("{text:?} is no range of seeds: expected as in 1..=50");
    let (first, last) = text.split_once("..=").ok_or_else(wrong)?;
    let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first <= last { Ok(first..=last) } else { Err(wrong()) }
}

fn sweep(arguments: &SweepArguments) -> Result<(), String> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let sweep = Sweep {
        seeds: arguments.seeds.clone(),
        draw: draw(arguments.scenario, arguments.nodes, arguments.players),
        fidelity: arguments.fidelity,
        jobs: arguments.jobs.unwrap_or_else(cores),
        real_limit: Duration::from_secs(arguments.real_limit),
    };
    let swept = sweep.run(|seed, why| match why {
        None => println!("seed {seed} passed"),
        Some(why) => println!("seed {seed} failed: {why}"),
    });
    println!("{swept}");
    let SweepArguments { scenario, nodes, players, fidelity, .. } = *arguments;
    let shared = options(scenario, nodes, players, fidelity);
    for seed in swept.failed.keys() {
        println!("replay with: starling-sim run --seed {seed}{shared}");
    }
    match swept.failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} seeds failed")),
    }
}

fn run_seed(arguments: &RunArguments) -> Result<(), String> {
    if let Some(filter) = &arguments.log {
        show_logs(filter)?;
    }
    if arguments.print {
        println!("{}", schedule_of(arguments)?.to_json());
        return Ok(());
    }
    let done = if arguments.check { run_twice(arguments) } else { run_once(arguments) };
    let replay = format!("replay with: starling-sim {}", reproduce(arguments));
    done.map_err(|why| format!("{why}\n{replay}"))
}

/// The command line that runs the same again.
fn reproduce(arguments: &RunArguments) -> String {
    let mut line = format!("run --seed {}", arguments.seed);
    if let Some(file) = &arguments.schedule {
        line = format!("run --schedule {}", file.display());
    }
    let RunArguments { scenario, nodes, players, fidelity, .. } = *arguments;
    line + &options(scenario, nodes, players, fidelity)
}

/// The options that choose what a seed means, where they are not the usual ones.
fn options(
    scenario: Scenario,
    nodes: Option<u8>,
    players: Option<u32>,
    fidelity: Fidelity,
) -> String {
    let mut line = match scenario {
        Scenario::Quiz => String::new(),
        Scenario::Swarm => " --scenario swarm".to_owned(),
        Scenario::Mesh => " --scenario mesh".to_owned(),
    };
    for (name, value) in [("nodes", nodes.map(u32::from)), ("players", players)] {
        line += &value.map_or(String::new(), |value| format!(" --{name} {value}"));
    }
    if fidelity == Fidelity::Message {
        line += " --fidelity message";
    }
    line
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

fn run_once(arguments: &RunArguments) -> Result<(), String> {
    let sink = arguments.trace.as_deref().map(create).transpose()?;
    let told = simulate(arguments, sink)?;
    println!("{}", told.text);
    told.judged()
}

fn create(path: &Path) -> Result<Sink, String> {
    let file = File::create(path).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn run_twice(arguments: &RunArguments) -> Result<(), String> {
    let (first, second) = (Lines::default(), Lines::default());
    let told = simulate(arguments, Some(Box::new(first.clone())))?;
    let again = simulate(arguments, Some(Box::new(second.clone())))?;
    println!("{}", told.text);
    if told.hash == again.hash {
        println!("checked: a second run left the same trace");
        return told.judged();
    }
    let difference = first_difference(&first.text(), &second.text());
    let shown = difference.map_or_else(String::new, |difference| difference.to_string());
    Err(format!("seed {}: two runs differ\n{shown}", arguments.seed))
}

/// A run as it is told to people.
struct Told {
    hash: u64,
    text: String,
    violations: usize,
}

impl Told {
    fn judged(&self) -> Result<(), String> {
        match self.violations {
            0 => Ok(()),
            count => Err(format!("{count} promises were not kept")),
        }
    }
}

fn simulate(arguments: &RunArguments, sink: Option<Sink>) -> Result<Told, String> {
    let real_limit = Duration::from_secs(arguments.real_limit);
    let options = Options { sink, real_limit, ..Options::default() };
    match arguments.scenario {
        Scenario::Quiz | Scenario::Swarm => {
            let verdict = judge_in(arguments.fidelity, schedule_of(arguments)?, options);
            let verdict = verdict.map_err(|why| why.to_string())?;
            let (hash, violations) = (verdict.outcome.trace_hash, verdict.violations.len());
            Ok(Told { hash, text: verdict.to_string(), violations })
        }
        Scenario::Mesh => simulate_mesh(arguments.seed, options),
    }
}

/// The schedule of a file, or the one that the seed draws.
fn schedule_of(arguments: &RunArguments) -> Result<Schedule, String> {
    let Some(file) = &arguments.schedule else {
        let draw = draw(arguments.scenario, arguments.nodes, arguments.players);
        return Ok(draw.schedule(arguments.seed));
    };
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|why| named(&why))?;
    Schedule::from_json(&text).map_err(|why| named(&why))
}

fn draw(scenario: Scenario, nodes: Option<u8>, players: Option<u32>) -> Draws {
    match scenario {
        Scenario::Quiz | Scenario::Mesh => Draws::Classic,
        Scenario::Swarm => Draws::Swarm(Wanted { nodes, players }),
    }
}

fn simulate_mesh(seed: u64, options: Options) -> Result<Told, String> {
    let outcome = run(seed, options, mesh).map_err(|why| why.to_string())?;
    let outcome = outcome.transpose().map_err(|why| format!("seed {seed}: {why}"))?;
    let hash = outcome.trace_hash;
    let text = format!(
        "seed {seed} hash {hash:016x}\n{} trace lines, {:?} of virtual time\n{:?}\n{:?}",
        outcome.trace_lines, outcome.virtual_time, outcome.net, outcome.value
    );
    Ok(Told { hash, text, violations: 0 })
}

/// Trace lines in memory, readable after the run.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
