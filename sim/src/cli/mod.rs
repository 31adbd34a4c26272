//! What `starling-sim` does: one seed or many, in words.
//!
//! Exit codes: 0 every promise was kept, 1 some were not or two runs of a seed differ, 2 wrong usage
//! or a file that cannot be read or written, 128 and the signal's number where a sweep was asked to end.

mod given;
mod growth;
#[cfg(feature = "planted")]
mod hunt;
mod live;
mod look;
mod maelstrom;
mod replay;
mod run;
mod signals;
mod sweep;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The simulator of Starling: a seed names a run down to the byte.
#[derive(Debug, Parser)]
#[command(name = "starling-sim", version, about, after_help = AFTER)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Plant a bug in every run, to see what is seen of it.
    #[cfg(feature = "planted")]
    #[arg(long, global = true, value_name = "BUG", value_parser = crate::planting::named)]
    plant: Option<crdt_state::planted::Bug>,
}

const AFTER: &str = "Exit codes: 0 every promise was kept; 1 some were not, two runs of a seed \
differ, or a mark was missed; 2 wrong usage, or a file that cannot be read or written; 130 or 143 a sweep was \
asked to end before its time (SIGINT, SIGTERM), and has told what it came to by then.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed, say what happened, and print the hash of its trace.
    Run(run::Arguments),
    /// Run many seeds, group those that fail by what went wrong, and say what was reached.
    Sweep(sweep::Arguments),
    /// Run a schedule from a file: a kept failure, or one of your own.
    Replay(replay::Arguments),
    /// Make a schedule that fails as small as it can be, and write a test of it.
    Shrink(replay::ShrinkArguments),
    /// Draw a run as one page of HTML that needs nothing else.
    Report(look::ReportArguments),
    /// Show a node as it is at one moment, or what two nodes do not have in common then.
    At(look::AtArguments),
    /// Keep a run up to a moment and draw the rest anew, many times: how often does it fail?
    Fork(look::ForkArguments),
    /// Let clusters and audiences of several sizes play a question, and tell what that takes.
    Growth(growth::Arguments),
    /// Plant each bug in turn and say which seed finds it.
    #[cfg(feature = "planted")]
    Hunt(hunt::Arguments),
    /// Run Maelstrom's workloads over the replica: broadcast, g-set, g-counter, pn-counter.
    Maelstrom(maelstrom::Arguments),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    if let Some(bug) = arguments.plant {
        crate::planting::plant_in_all(bug);
    }
    let done = match arguments.command {
        Command::Run(arguments) => run::main(&arguments),
        Command::Sweep(arguments) => sweep::main(&arguments),
        Command::Replay(arguments) => replay::main(&arguments),
        Command::Shrink(arguments) => replay::shrink(&arguments),
        Command::Report(arguments) => look::draw(&arguments),
        Command::At(arguments) => look::at(&arguments),
        Command::Fork(arguments) => look::fork(&arguments),
        Command::Growth(arguments) => growth::main(&arguments),
        #[cfg(feature = "planted")]
        Command::Hunt(arguments) => hunt::main(&arguments),
        Command::Maelstrom(arguments) => maelstrom::main(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            why.code()
        }
    }
}

/// Why a command did not end well.
#[derive(Debug)]
enum Failed {
    /// What was run did not hold.
    Found(String),
    /// What was asked for cannot be done.
    Usage(String),
    /// A signal has asked for the end.
    Asked(i32, String),
}

impl Failed {
    fn code(&self) -> ExitCode {
        match self {
            Self::Found(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Asked(signal, _) => signals::exit_code(*signal),
        }
    }

    /// A file and what is wrong with it.
    fn file(path: &Path, why: impl fmt::Display) -> Self {
        Self::Usage(format!("{}: {why}", path.display()))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(what) | Self::Usage(what) | Self::Asked(_, what) => f.write_str(what),
        }
    }
}

/// Writes a line for people. A reader who has seen enough, as `head` has, is no failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes for programs to a file, or to standard output for `-`.
fn write_out(path: &Path, text: &str) -> Result<(), Failed> {
    if path == Path::new("-") {
        let mut out = std::io::stdout().lock();
        return writeln!(out, "{text}").map_err(|why| Failed::file(path, why));
    }
    std::fs::write(path, text).map_err(|why| Failed::file(path, why))
}
