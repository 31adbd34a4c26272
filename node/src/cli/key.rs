//! `starling key` and `starling token`: what is made from randomness and from the cluster key.

use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::config::Secret;
use crate::token::TokenKeys;
use clap::{Args, Subcommand};
use crdt_state::EventId;
use serde_json::json;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The variable that holds a key itself. There is no flag for it: everybody can read arguments.
const KEY_VARIABLE: &str = "STARLING_KEY";

/// Where the cluster key comes from.
#[derive(Debug, Clone, Args)]
pub(super) struct KeySource {
    /// File that holds the cluster key; without it the key is taken from STARLING_KEY
    #[arg(long, value_name = "FILE", env = "STARLING_KEY_FILE")]
    key_file: Option<PathBuf>,
}

impl KeySource {
    /// Reads the key.
    pub(super) fn read(&self) -> Result<Secret, Failure> {
        match (&self.key_file, env::var(KEY_VARIABLE)) {
            (Some(file), _) => read_file(file),
            (None, Ok(text)) => text.parse().map_err(Failure::of(Exit::Invalid, KEY_VARIABLE)),
            (None, Err(_)) => Err(Failure::new(Exit::Invalid, "there is no cluster key").hint(
                "make one with `starling key > cluster.key`, give the same file to every node \
                 with --key-file, or its text in STARLING_KEY",
            )),
        }
    }
}

fn read_file(file: &Path) -> Result<Secret, Failure> {
    let failed = || format!("cannot read the cluster key from --key-file {}", file.display());
    let text = fs::read_to_string(file).map_err(Failure::of(Exit::Invalid, failed()))?;
    text.parse().map_err(Failure::of(Exit::Invalid, format!("--key-file {}", file.display())))
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Print the fingerprint of the present key instead: it tells keys apart and gives none away
    #[arg(long)]
    fingerprint: bool,
    #[command(flatten)]
    source: KeySource,
}

/// Prints a new key, or the present one's fingerprint.
pub(super) fn run(args: &KeyArgs) -> Result<Exit, Failure> {
    let text =
        if args.fingerprint { args.source.read()?.fingerprint() } else { random()?.reveal() };
    say(&text).map(|()| Exit::Done)
}

/// A new random key.
pub(super) fn random() -> Result<Secret, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(Failure::of(Exit::Failed, "the system gives no random bytes"))?;
    Ok(Secret::new(bytes))
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// The operator's token: imports shows, reads everything
    Ops {
        #[command(flatten)]
        source: KeySource,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The token of an event's hosts: drives that event
    Host {
        /// The event
        #[arg(long, value_name = "ID")]
        event: EventId,
        #[command(flatten)]
        source: KeySource,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Prints a token.
pub(super) fn run_token(command: &TokenCommand) -> Result<Exit, Failure> {
    let keys = |source: &KeySource| source.read().map(|key| TokenKeys::new(&[*key.bytes()]));
    let (token, json) = match command {
        TokenCommand::Ops { source, json } => (keys(source)?.ops(), *json),
        TokenCommand::Host { event, source, json } => (keys(source)?.host(*event), *json),
    };
    if json {
        say_json(&json!({ "token": token }))?;
    } else {
        say(&token)?;
    }
    Ok(Exit::Done)
}
