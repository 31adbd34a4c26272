//! `starling schema`: the JSON Schemas of the protocol's messages.

use super::out::{say, table};
use super::{Exit, Failure};
use crate::schema::{MESSAGES, Message};
use clap::Args;
use std::fs;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// The message; without it all are listed
    name: Option<String>,
    /// Write all of them into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    out: Option<PathBuf>,
}

/// Prints one schema, lists all, or writes them out.
pub(super) fn run(args: &SchemaArgs) -> Result<Exit, Failure> {
    if let Some(folder) = &args.out {
        let failed = || format!("cannot write to --out {}", folder.display());
        fs::create_dir_all(folder).map_err(Failure::of(Exit::Failed, failed()))?;
        for message in MESSAGES {
            let path = folder.join(format!("{}.json", message.name));
            fs::write(path, message.text()).map_err(Failure::of(Exit::Failed, failed()))?;
        }
        return Ok(Exit::Done);
    }
    match &args.name {
        None => {
            let rows = MESSAGES.map(|message| [message.name.to_owned(), message.place.to_owned()]);
            say(&table(["MESSAGE", "WHERE"], &rows))?;
        }
        Some(name) => {
            let unknown = || {
                Failure::new(Exit::NotFound, format!("there is no message {name:?}"))
                    .hint("`starling schema` lists them")
            };
            say(Message::named(name).ok_or_else(unknown)?.text().trim_end())?;
        }
    }
    Ok(Exit::Done)
}
