//! `starling replay`: an event folded again from an export's folder, without a node.

use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::export::{Replay, ReplayError, raffle, replay};
use clap::Args;
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The folder that `export --out` wrote
    #[arg(value_name = "EXPORT")]
    folder: PathBuf,
    /// Compare every file with what is folded, to the byte, instead of printing it
    #[arg(long)]
    verify: bool,
    /// Print the record of a raffle, for the page that checks it: all tickets, what hid the seed, who won
    #[arg(long, value_name = "ROUND", conflicts_with = "verify")]
    raffle: Option<u32>,
    /// Print the outcome of --verify as JSON
    #[arg(long, requires = "verify")]
    json: bool,
}

/// Folds again.
pub(super) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let folder = if args.folder.is_file() { args.folder.parent() } else { None };
    // The parent of a bare name is empty.
    let here = Path::new(".");
    let folder = folder.map(|parent| if parent == Path::new("") { here } else { parent });
    let folder = folder.unwrap_or(&args.folder);
    let failed = |error: ReplayError| {
        let missing = match &error {
            ReplayError::Unreadable { source, .. } => source.kind() == ErrorKind::NotFound,
            error => matches!(error, ReplayError::Raffle(_)),
        };
        let exit = if missing { Exit::NotFound } else { Exit::Invalid };
        let hint = match &error {
            ReplayError::Unreadable { .. } if missing => {
                "; name a folder that `export --out` wrote"
            }
            _ => "",
        };
        Failure::new(exit, format!("{}: {error}{hint}", folder.display()))
    };
    if let Some(round) = args.raffle {
        say_json(&raffle(folder, round).map_err(failed)?)?;
        return Ok(Exit::Done);
    }
    let replayed = replay(folder).map_err(failed)?;
    if !args.verify {
        say(replayed.lines.trim_end())?;
        return Ok(Exit::Done);
    }
    tell(&replayed, args.json)?;
    Ok(if replayed.differences.is_empty() { Exit::Done } else { Exit::Invalid })
}

fn tell(replayed: &Replay, json: bool) -> Result<(), Failure> {
    let Replay { manifest, compared, aside, differences, .. } = replayed;
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    if json {
        let verified = differences.is_empty();
        let (event, status) = (&manifest.event, &manifest.status);
        return say_json(&json!({ "event": event, "status": status, "verified": verified,
            "files": compared, "aside": aside, "differences": texts }));
    }
    let aside: String = aside.iter().map(|aside| format!("\n{aside}")).collect();
    match texts.is_empty() {
        true => say(&format!(
            "{:?} ({}): folded again, {compared} files are equal to the byte{aside}",
            manifest.title, manifest.status
        )),
        false => say(&format!("{}{aside}\nNOT what the event folds to", texts.join("\n"))),
    }
}
