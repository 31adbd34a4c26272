//! `starling key` and `starling token`: what is made from randomness and from the cluster key.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json, table};
use super::{Exit, Failure};
use crate::config::Secret;
use crate::service::view::{KeyChange, KeyView};
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
#[derive(Debug, Clone, Default, Args)]
pub(super) struct KeySource {
    /// File that holds the cluster key; without it the key is taken from STARLING_KEY
    #[arg(long, value_name = "FILE", env = "STARLING_KEY_FILE")]
    key_file: Option<PathBuf>,
}

impl KeySource {
    /// Reads the key, if there is one.
    pub(super) fn read_if_given(&self) -> Result<Option<Secret>, Failure> {
        let is_given = self.key_file.is_some() || env::var_os(KEY_VARIABLE).is_some();
        is_given.then(|| self.read()).transpose()
    }

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
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: Option<KeyCommand>,
    /// Print the fingerprint of the present key instead: it tells keys apart and gives none away
    #[arg(long)]
    fingerprint: bool,
    #[command(flatten)]
    source: KeySource,
}

/// Prints a new key, or the present one's fingerprint.
pub(super) fn run(args: &KeyArgs) -> Result<Exit, Failure> {
    if let Some(command) = &args.command {
        return change(command);
    }
    let text =
        if args.fingerprint { args.source.read()?.fingerprint() } else { random()?.reveal() };
    say(&text).map(|()| Exit::Done)
}

/// Replacing the cluster's key while the cluster runs: install the new one, use it, remove the old.
#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// List the keys of the running cluster by their fingerprints, the one in use first
    List {
        #[command(flatten)]
        node: NodeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have every node believe the key in FILE, beside those that it believes
    Install {
        /// File that holds the new key
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have every node use an installed key
    Use(KnownKey),
    /// Have no node believe a key any more: tokens signed under it are void from then on
    Remove(KnownKey),
}

#[derive(Debug, Args)]
struct KnownKey {
    /// The key, as `starling key list` names it
    fingerprint: String,
    /// Even if that shuts living members out
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks at the running cluster's keys, or changes them.
fn change(command: &KeyCommand) -> Result<Exit, Failure> {
    let (node, json, change) = match command {
        KeyCommand::List { node, json } => (node, *json, None),
        KeyCommand::Install { file, node, json } => {
            let key = read_file(file)?.reveal();
            (node, *json, Some(KeyChange::Install { key }))
        }
        KeyCommand::Use(KnownKey { fingerprint, force, node, json }) => {
            let (fingerprint, force) = (fingerprint.clone(), *force);
            (node, *json, Some(KeyChange::Use { fingerprint, force }))
        }
        KeyCommand::Remove(KnownKey { fingerprint, force, node, json }) => {
            let (fingerprint, force) = (fingerprint.clone(), *force);
            (node, *json, Some(KeyChange::Remove { fingerprint, force }))
        }
    };
    let client = Client::new(node);
    let keys: Vec<KeyView> = match change {
        None => client.get("/api/v1/keys")?,
        Some(change) => {
            let body = serde_json::to_string(&change).expect("a change has text keys only");
            client.post("/api/v1/keys", &body)?
        }
    };
    if json {
        say_json(&keys)?;
    } else {
        say(&describe(&keys))?;
    }
    Ok(Exit::Done)
}

fn describe(keys: &[KeyView]) -> String {
    let rows = keys.iter().map(|key| {
        let count = |count: usize| format!("{count} of {}", key.of);
        let used = if key.in_use { "in use" } else { "" };
        [key.fingerprint.clone(), used.to_owned(), count(key.held_by), count(key.used_by)]
    });
    table(["KEY", "", "HELD BY", "USED BY"], &rows.collect::<Vec<_>>())
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
