//! `starling event`: an event's way in, and its end; what lies between is in `desk` and `host`.

use super::client::{Client, ClientError, NodeArgs};
use super::desk::{self, DeskArgs};
use super::host::{self, HostArgs};
use super::out::{say, say_json};
use super::parts::describe_problems;
use super::show::{FileArgs, read, tell_converted};
use super::{Exit, Failure};
use crate::service::view::{ArchivedView, EventSummary, Imported, Refusal};
use crate::show::import::Import;
use crate::show::{refused, to_json};
use clap::{Args, Subcommand};
use crdt_state::EventId;
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// Create an event from a show or another file of questions
    Import(ImportArgs),
    /// List the events that a node carries
    List(ListArgs),
    /// Do what a host can do: make a step, rule on a round, say something of the show or a player
    Host(Box<HostArgs>),
    /// Show flags, counters, sets and registers, kind by kind, and the players of whom hosts said something
    State(DeskArgs),
    /// Show who did what, where and when
    Log(DeskArgs),
    /// Drop an event that is over, on every node and for good
    Archive(ArchiveArgs),
}

#[derive(Debug, Args)]
pub(super) struct ArchiveArgs {
    /// The event; export it first if you want to keep it
    event: EventId,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `import --json` prints.
#[derive(Serialize)]
struct FromFile {
    #[serde(flatten)]
    imported: Imported,
    format: &'static str,
    encoding: &'static str,
    questions: usize,
}

impl FromFile {
    fn new(imported: Imported, import: &Import) -> Self {
        let (format, questions) = (import.format.name(), import.script.questions.len());
        FromFile { imported, format, encoding: import.encoding, questions }
    }
}

/// Creates an event, works on it, or drops it.
pub(super) fn run(command: &EventCommand) -> Result<Exit, Failure> {
    match command {
        EventCommand::Import(args) => import(args),
        EventCommand::List(args) => list(args),
        EventCommand::Host(args) => host::run(args),
        EventCommand::State(args) => desk::state(args),
        EventCommand::Log(args) => desk::log(args),
        EventCommand::Archive(args) => archive(args),
    }
}

fn archive(args: &ArchiveArgs) -> Result<Exit, Failure> {
    let path = format!("/api/v1/events/{}/archive", args.event);
    let archived: ArchivedView = Client::new(&args.node).post(&path, "")?;
    if args.json {
        say_json(&archived)?;
    } else {
        say(&format!(
            "the event {} is archived: its state is gone from every node",
            archived.event
        ))?;
    }
    Ok(Exit::Done)
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let events: Vec<EventSummary> = Client::new(&args.node).get("/api/v1/events")?;
    if args.json {
        say_json(&events)?;
    } else if events.is_empty() {
        say("no events: `starling event import FILE` creates one")?;
    } else {
        say(&events.iter().map(describe_event).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Done)
}

fn describe_event(event: &EventSummary) -> String {
    let EventSummary { event, pin, title, stage, players, .. } = event;
    let phase = stage.phase.word();
    format!("{event}  PIN {pin}  {phase:<8} {players:>7} players  {title}")
}

fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    // Problems are found here, where the places are those of the author's own file.
    let import = match read(&args.file)? {
        Ok(import) => import,
        Err(problems) => return tell_problems(&refused(problems), args),
    };
    tell_converted(&args.file.file, &import);
    let client = Client::new(&args.node);
    match client.upload::<Imported>("/api/v1/events", &to_json(&import.script)) {
        Ok(imported) if args.json => say_json(&FromFile::new(imported, &import))?,
        Ok(imported) => say(&describe_imported(client.node(), &imported))?,
        Err(ClientError::Refused { refusal, .. }) if !refusal.problems.is_empty() => {
            return tell_problems(&refusal, args);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// Reads a file.
pub(super) fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| {
        let missing = error.kind() == ErrorKind::NotFound;
        let exit = if missing { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("cannot read {}: {error}", file.display()))
    })
}

fn tell_problems(refusal: &Refusal, args: &ImportArgs) -> Result<Exit, Failure> {
    if args.json {
        say_json(refusal)?;
    } else {
        eprintln!(
            "{}",
            describe_problems(&refusal.problems, &args.file.file.display().to_string())
        );
    }
    Ok(Exit::Invalid)
}

/// An event and where its people go.
pub(super) fn describe_imported(http: &str, imported: &Imported) -> String {
    let Imported { event, pin, host_token } = imported;
    format!(
        "event   {event}\n\
         pin     {pin}\n\
         player  {http}/?pin={pin}\n\
         host    {http}/host#event={event}&token={host_token}\n\
         screen  {http}/screen?pin={pin}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::view::StageView;

    #[test]
    fn an_event_is_a_line_with_its_pin_and_where_it_stands() {
        let event = EventSummary {
            event: EventId(9),
            pin: "482913".into(),
            title: "Friday quiz".into(),
            stage: StageView::default(),
            players: 12,
            warnings: Vec::new(),
        };
        let line = describe_event(&event);
        assert_eq!(
            line,
            format!("{}  PIN 482913  draft         12 players  Friday quiz", EventId(9))
        );
    }
}
