//! `starling event host`: every command of a host, for scripts and for hosts without a page.
//!
//! A step is made from where the show stands now, unless the caller says where it has to stand. Players are
//! named by id or by shown name; a name that several bear in part must be whole.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::env::Env;
use crate::service::view::{
    Command, CommandReply, CommandRequest, HostView, MarkedView, StageView,
};
use clap::Args;
use crdt_state::{EventId, PlayerId};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

#[derive(Debug, Args)]
pub(super) struct HostArgs {
    /// The event
    event: EventId,
    /// What to do: `open`, `close`, `kick`, `award`, `set` ...; the document of the HTTP API lists all
    #[arg(value_parser = command)]
    command: Command,
    /// Whom it is about: an id or a shown name
    #[arg(long, value_name = "PLAYER")]
    player: Option<String>,
    /// Which co-host, setting or switch
    #[arg(long)]
    name: Option<String>,
    /// A new name, a value, an announcement, an accepted answer, or what an award is for
    #[arg(long)]
    text: Option<String>,
    /// Milliseconds of `extend` and `grant`
    #[arg(long)]
    ms: Option<u32>,
    /// Points of `award`; below zero takes
    #[arg(long, allow_negative_numbers = true)]
    points: Option<i32>,
    /// Tells this award from others: sent again under the same id it is the same award
    #[arg(long)]
    id: Option<String>,
    /// Which round a ruling is on; the current one if absent
    #[arg(long)]
    round: Option<u32>,
    /// Which question `back` asks again
    #[arg(long)]
    question: Option<u32>,
    /// The key of `rescore` and `resolve`, as JSON: {"choices":[0]}
    #[arg(long, value_name = "JSON")]
    key: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out one command.
pub(super) fn run(args: &HostArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    let body = serde_json::to_string(&request(&client, args)?).expect("a command is JSON");
    let reply: CommandReply = client.post(&path(args, "/commands"), &body)?;
    if args.json {
        say_json(&reply)?;
    } else {
        say(&describe(args.command, &reply))?;
    }
    Ok(Exit::Done)
}

fn request(client: &Client, args: &HostArgs) -> Result<CommandRequest, Failure> {
    let expected = match args.command.is_fact() {
        true => StageView::default(),
        false => client.get::<HostView>(&path(args, ""))?.live.stage,
    };
    let player = args.player.as_deref().map(|words| find(client, args, words)).transpose()?;
    let key = args.key.as_deref().map(serde_json::from_str).transpose();
    let key = key.map_err(Failure::of(Exit::Invalid, "--key is not a key"))?;
    Ok(CommandRequest {
        player,
        key,
        name: args.name.clone(),
        text: args.text.clone(),
        ms: args.ms,
        points: args.points,
        id: Some(award_id(args)?).filter(|_| args.command == Command::Award),
        instance: args.round,
        question: args.question,
        ..CommandRequest::new(args.command, expected)
    })
}

fn award_id(args: &HostArgs) -> Result<String, Failure> {
    if let Some(id) = &args.id {
        return Ok(id.clone());
    }
    let env = Env::system().map_err(Failure::of(Exit::Failed, "no randomness"))?;
    Ok(format!("{:016x}", env.random_u64("award")))
}

/// The player whose id or shown name this is.
fn find(client: &Client, args: &HostArgs, words: &str) -> Result<PlayerId, Failure> {
    if let Ok(id) = words.parse() {
        return Ok(id);
    }
    let query = format!("/players?find={}", escaped(words));
    let found: Vec<MarkedView> = client.get(&path(args, &query))?;
    let exact = found.iter().find(|player| player.name == words);
    let only = (found.len() == 1).then(|| found.first()).flatten();
    exact.or(only).map(|player| player.player).ok_or_else(|| {
        let message = format!("{} players have {words:?} in their names", found.len());
        Failure::new(Exit::NotFound, message).hint("give the whole name or the id")
    })
}

fn path(args: &HostArgs, of: &str) -> String {
    format!("/api/v1/events/{}{of}", args.event)
}

/// A text as a value in a query.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn command(word: &str) -> Result<Command, String> {
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    Command::deserialize(word).map_err(|error| error.to_string())
}

fn describe(command: Command, reply: &CommandReply) -> String {
    let CommandReply { outcome, stage, level, token } = reply;
    let phase = format!("{:?}", stage.phase).to_lowercase();
    let mut lines =
        vec![format!("{}: {outcome} ({level}), the show is at {phase}", command.word())];
    lines.extend(token.as_ref().map(|token| format!("token   {token}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_by_its_word() {
        assert_eq!(command("kick"), Ok(Command::Kick));
        assert!(command("sing").unwrap_err().contains("uncurtain"), "all are listed");
    }

    #[test]
    fn a_name_survives_a_query() {
        assert_eq!(escaped("Zoë & Co"), "Zo%C3%AB%20%26%20Co");
    }

    #[test]
    fn an_invitation_shows_its_token() {
        let reply = CommandReply {
            outcome: "applied".into(),
            stage: StageView::default(),
            level: "firm".into(),
            token: Some("slc_x".into()),
        };
        let text = describe(Command::Invite, &reply);
        assert_eq!(text, "invite: applied (firm), the show is at draft\ntoken   slc_x");
    }
}
