//! `starling-sim`: runs the simulator on a seed and prints the hash of what happened.
//!
//! Exit codes: 0 the run ended well, 1 it failed or two runs of the seed differ, 2 wrong usage.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, Subcommand};
use sim::mesh::{Report, mesh};
use sim::run::{Options, Outcome, run};
use sim::trace::{Sink, first_difference};

/// The simulator of Starling: a seed names a run down to the byte.
#[derive(Debug, Parser)]
#[command(name = "starling-sim", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed and print the hash of its trace.
    Run(RunArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The seed that names the run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the seed twice and compare the traces.
    #[arg(long)]
    check: bool,
    /// Write the trace's lines to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    trace: Option<PathBuf>,
    /// Real seconds before the run is given up as stuck.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    real_limit: u64,
}

fn main() -> ExitCode {
    let Arguments { command: Command::Run(arguments) } = Arguments::parse();
    let done = if arguments.check { check(&arguments) } else { run_once(&arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            eprintln!("replay with: starling-sim run --seed {}", arguments.seed);
            ExitCode::FAILURE
        }
    }
}

fn run_once(arguments: &RunArguments) -> Result<(), String> {
    let sink = match &arguments.trace {
        Some(path) => Some(create(path)?),
        None => None,
    };
    println!("{}", describe(&simulate(arguments, sink)?));
    Ok(())
}

fn create(path: &PathBuf) -> Result<Sink, String> {
    let file = File::create(path).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn check(arguments: &RunArguments) -> Result<(), String> {
    let (first, second) = (Lines::default(), Lines::default());
    let outcome = simulate(arguments, Some(Box::new(first.clone())))?;
    let again = simulate(arguments, Some(Box::new(second.clone())))?;
    println!("{}", describe(&outcome));
    if outcome.trace_hash == again.trace_hash {
        println!("checked: a second run left the same trace");
        return Ok(());
    }
    let difference = first_difference(&first.text(), &second.text());
    let shown = difference.map_or_else(String::new, |difference| difference.to_string());
    Err(format!("seed {}: two runs differ\n{shown}", arguments.seed))
}

fn simulate(arguments: &RunArguments, sink: Option<Sink>) -> Result<Outcome<Report>, String> {
    let real_limit = Duration::from_secs(arguments.real_limit);
    let options = Options { sink, real_limit, ..Options::default() };
    let outcome = run(arguments.seed, options, mesh).map_err(|why| why.to_string())?;
    outcome.transpose().map_err(|why| format!("seed {}: {why}", arguments.seed))
}

fn describe(outcome: &Outcome<Report>) -> String {
    let speed = outcome.virtual_time.as_secs_f64() / outcome.real_time.as_secs_f64();
    let mut text = format!(
        "seed {} hash {:016x}\n{} trace lines, {:?} of virtual time at {speed:.0} times real time\n",
        outcome.seed, outcome.trace_hash, outcome.trace_lines, outcome.virtual_time,
    );
    text += &format!("{:?}\n{:?}", outcome.net, outcome.value);
    for (place, count) in &outcome.strays {
        text += &format!("\nstray: {count} tasks spawned at {place}");
    }
    text
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
