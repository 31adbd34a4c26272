//! The command line of `starling`.
//!
//! Data goes to stdout, everything else to stderr. Each value comes from its flag, else from its
//! variable in the environment, else from its default; there is no configuration file. Commands that
//! ask a running node do so over its HTTP API and know nothing that the API does not tell.

mod broker;
mod client;
mod desk;
mod dev;
mod drain;
mod event;
mod exit;
mod explain;
mod export;
mod file;
pub(crate) mod files;
mod host;
mod key;
mod look;
mod node;
mod out;
mod parts;
mod progress;
mod rehearse;
mod replay;
mod revoke;
mod schema;
mod serve;
mod show;
mod signal;
#[cfg(test)]
mod tests;

pub use exit::{Exit, Failure};
pub use export::write_folder;
pub use signal::stop_signal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line makes no sense
  3  not found: no such event, PIN or file
  4  a configuration, a show or an export is invalid
  5  the token or the key was refused
  6  the node cannot be reached or does not answer in time
  7  the cluster is degraded (status --check)";

/// Live audience engagements on a cluster without a master.
#[derive(Debug, Parser)]
#[command(name = "starling", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(Box<serve::ServeArgs>),
    /// Run a whole cluster on this machine, to try it
    Dev(dev::DevArgs),
    /// Make a cluster key, or replace that of a running cluster
    Key(key::KeyArgs),
    /// Make a token from the cluster key
    #[command(subcommand)]
    Token(key::TokenCommand),
    /// Create events, host them, look into them, drop them
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Say what became of a node
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Check and convert files of questions
    #[command(subcommand)]
    Show(show::ShowCommand),
    /// Show one node
    Status(look::StatusArgs),
    /// Show the members of the cluster, as one node sees them
    Members(look::MembersArgs),
    /// Send new players to other nodes; reversible until the node exits
    Drain(drain::DrainArgs),
    /// Take new players again
    Undrain(drain::UndrainArgs),
    /// Write an event's results out: JSON lines, or files of several formats
    Export(export::ExportArgs),
    /// Say why a player has the points that a round gave
    Explain(explain::ExplainArgs),
    /// Play a whole show with a built-in crowd
    Rehearse(rehearse::RehearseArgs),
    /// Turn somebody away on every node, or list who is
    Revoke(revoke::RevokeArgs),
    /// Print the JSON Schemas of the messages that players and nodes exchange
    Schema(schema::SchemaArgs),
    /// Fold an event again from its export, and compare
    Replay(replay::ReplayArgs),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Token(command) => key::run_token(&command),
        Command::Event(command) => event::run(&command),
        Command::Node(command) => node::run(&command),
        Command::Show(command) => show::run(&command),
        Command::Status(args) => look::status(&args),
        Command::Members(args) => look::members(&args),
        Command::Drain(args) => drain::drain(&args),
        Command::Undrain(args) => drain::undrain(&args),
        Command::Export(args) => export::export(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Rehearse(args) => rehearse::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Replay(args) => replay::run(&args),
    }
}
