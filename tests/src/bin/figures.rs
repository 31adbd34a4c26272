//! Measures one figure, prints it as one JSON object, and renews its table in the README on request.
//!
//! Progress goes to standard error. Exit code 2 means that there is no such figure.

use clap::Parser;
use node::allocator::{Allocator, keep_as_nodes_do};
use serde_json::Value;
use std::process::ExitCode;
use tests::figures::edge::bare;
use tests::figures::replication::visitors;
use tests::figures::soak::worker;
use tests::figures::{PLAYERS_DEFAULT, Scale, describe, find, write_readme};

/// That of a node: nodes that are measured in this process cost what they cost.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Measures one figure on a real cluster on this machine.
#[derive(Debug, Parser)]
#[command(after_help = format!("Figures:\n{}", describe()))]
struct Arguments {
    /// Which figure
    name: String,
    /// Renew the figure's table in the README
    #[arg(long)]
    write: bool,
    /// How many players, spread evenly over the nodes
    #[arg(long, default_value_t = PLAYERS_DEFAULT as u32, value_parser = clap::value_parser!(u32).range(3..))]
    players: u32,
    /// How many questions
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    questions: u32,
    /// For how long a crowd stays, in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=600))]
    minutes: u32,
}

fn main() -> ExitCode {
    keep_as_nodes_do();
    let Arguments { name, write, players, questions, minutes } = Arguments::parse();
    if name == bare::NAME {
        return bare::serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if name == worker::NAME {
        return worker::serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if name == visitors::NAME {
        return visitors::serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let Some(figure) = find(&name) else {
        eprintln!("there is no figure {name:?}; there are:\n{}", describe());
        return ExitCode::from(2);
    };
    let measured = (figure.run)(&Scale { players: players as usize, questions, minutes });
    let report = match measured {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("{}", report.table);
    if write && let Err(error) = write_readme(&name, &report.table) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    println!("{}", Value::Object(report.numbers));
    ExitCode::SUCCESS
}
