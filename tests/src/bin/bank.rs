//! Prints a large show made of the quiz files of the `bsdgames` package.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tests::bank::{self, BankOptions};

/// Prints a show file with many questions, made of the quiz files of the bsdgames package.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many questions.
    #[arg(long, default_value_t = 120)]
    questions: usize,
    /// Chooses the questions and their order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each question is open.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// How long the autopilot waits in each phase; without it a host drives the show.
    #[arg(long)]
    autopilot_seconds: Option<u32>,
    /// The folder of the topic files; by default where the package puts them.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(folder) = arguments.folder.or_else(bank::find) else {
        eprintln!("no quiz files found: install the package bsdgames or name their --folder");
        return ExitCode::FAILURE;
    };
    let options = BankOptions {
        seed: arguments.seed,
        questions: arguments.questions,
        open_ms: arguments.seconds.saturating_mul(1_000),
        autopilot_ms: arguments.autopilot_seconds.map(|seconds| seconds.saturating_mul(1_000)),
    };
    let file = match bank::show(&folder, &options) {
        Ok(script) => node::show::to_json(&script),
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    };
    if let Err(problems) = node::show::parse(&file) {
        eprintln!("{}", node::show::describe(&problems, "the show"));
        return ExitCode::FAILURE;
    }
    print!("{file}");
    ExitCode::SUCCESS
}
