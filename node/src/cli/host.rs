//! `starling event host`: every command of a host, for scripts and for hosts without a page.
//!
//! A step is made from where the show stands now, unless the caller says with `--at` where it has to stand: whoever
//! sends a command again because its answer was lost says so, or a second `skip` skips the next question. Players are
//! named by id or by the whole shown name, case and look-alike letters aside: a part of a name is never enough,
//! because a kick that meets somebody else cannot be unseen. The answer names whom it met.
//!
//! Only hosts drive an event. Who has the cluster's key is as good as one, so an operator with the key needs no
//! other token; that of a co-host is used as it is, and the log names them.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::env::Env;
use crate::service::view::{
    Command, CommandReply, CommandRequest, HostView, MarkedView, PhaseView, StageView,
};
use crate::token::TokenKeys;
use clap::Args;
use crdt_state::engagement::TaskResults;
use crdt_state::engagement::qa::PostView;
use crdt_state::event::Fate;
use crdt_state::name::skeleton;
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
    /// Whom it is about: an id or a whole shown name; upper and lower case are the same
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
    /// Which round a ruling is on; that of `--at`, or else the current one if absent
    #[arg(long)]
    round: Option<u32>,
    /// Which question `back` asks again
    #[arg(long)]
    question: Option<u32>,
    /// Where the show has to stand for a step, such as `2:open` or `lobby`; where it stands now if absent. Sent again
    /// with the same place, it is done once. Of a ruling it names the round only: rulings hold whatever the stage
    #[arg(long, value_name = "ROUND:STAGE", value_parser = place)]
    at: Option<StageView>,
    /// The length of the round that `extend` adds to, in milliseconds; what it has now if absent. Sent again with
    /// the same length, it extends once
    #[arg(long, value_name = "MS")]
    open_ms: Option<u32>,
    /// The key of `rescore` and `resolve`, as JSON: {"choices":[0]}, {"texts":["Lima"]}, {"order":[1,0,2]}, or
    /// {"number":33} in steps of an estimate's scale from its smallest number
    #[arg(long, value_name = "JSON")]
    key: Option<String>,
    /// The post of `moderate`, by its id; without it the refusal lists those of the current round
    #[arg(long, value_name = "ID")]
    post: Option<String>,
    /// What becomes of the post: `shown`, `hidden`, `answered`, or `waiting` again
    #[arg(long, value_parser = fate)]
    fate: Option<Fate>,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out one command.
pub(super) fn run(args: &HostArgs) -> Result<Exit, Failure> {
    let key = match args.node.key.read_if_given() {
        Err(failure) if args.node.token.is_none() => return Err(failure),
        key => key.ok().flatten(),
    };
    let keys = key.map(|key| TokenKeys::new(&[*key.bytes()]));
    let token = host_token(args.event, args.node.token.clone(), keys.as_ref());
    let client = Client::new(&NodeArgs { token, ..args.node.clone() });
    let whom = args.player.as_deref().map(|words| find(&client, args, words)).transpose()?;
    let request = request(&client, args, whom.as_ref().map(|whom| whom.player))?;
    let body = serde_json::to_string(&request).expect("a command is JSON");
    let reply: CommandReply = client.post(&path(args, "/commands"), &body)?;
    if args.json {
        say_json(&reply)?;
    } else {
        say(&describe(args.command, whom.as_ref(), &reply))?;
    }
    Ok(Exit::Done)
}

fn request(
    client: &Client,
    args: &HostArgs,
    player: Option<PlayerId>,
) -> Result<CommandRequest, Failure> {
    if let Some(given) = misplaced(args) {
        let message = format!("{given} makes no sense for {}", args.command.word());
        return Err(Failure::new(Exit::Invalid, message));
    }
    let (mut expected, mut open_ms) = (args.at, args.open_ms);
    let is_extend = args.command == Command::Extend;
    let shown = || client.get::<HostView>(&path(args, "?questions=false"));
    if args.command == Command::Moderate && (args.post.is_none() || args.fate.is_none()) {
        return Err(no_post(&shown()?));
    }
    if !args.command.is_fact() && (expected.is_none() || (is_extend && open_ms.is_none())) {
        let live = shown()?.live;
        expected = expected.or(Some(live.stage));
        open_ms = open_ms.or(live.question.map(|question| question.open_ms));
    }
    let expected = expected.unwrap_or_default();
    let key = args.key.as_deref().map(serde_json::from_str).transpose();
    let key = key.map_err(Failure::of(Exit::Invalid, "--key is not a key"))?;
    Ok(CommandRequest {
        player,
        key,
        name: args.name.clone(),
        text: args.text.clone(),
        ms: args.ms,
        open_ms: open_ms.filter(|_| is_extend),
        points: args.points,
        id: Some(award_id(args)?).filter(|_| args.command == Command::Award),
        instance: args.round.or((expected.instance > 0).then_some(expected.instance)),
        question: args.question,
        post: args.post.clone(),
        fate: args.fate,
        ..CommandRequest::new(args.command, expected)
    })
}

/// What was given of a command that it has no use for: a fact holds whatever the stage.
fn misplaced(args: &HostArgs) -> Option<&'static str> {
    if args.at.is_some() && args.command.is_fact() {
        Some("--at")
    } else if args.open_ms.is_some() && args.command != Command::Extend {
        Some("--open-ms")
    } else if args.post.is_some() && args.command != Command::Moderate {
        Some("--post")
    } else if args.fate.is_some() && args.command != Command::Moderate {
        Some("--fate")
    } else {
        None
    }
}

/// The no to a ruling on no post, with those that there are.
fn no_post(view: &HostView) -> Failure {
    let posts = view.live.results.as_ref().map_or(&[][..], TaskResults::posts);
    let line = |post: &PostView| format!("{} {:?} by {}", post.id, post.text, post.name);
    let mut lines: Vec<String> = view.posts_waiting.iter().map(line).collect();
    lines.extend(posts.iter().map(|post| format!("{} ({})", line(post), post.fate)));
    let hint = match lines.is_empty() {
        true => "there is none in the current round".to_owned(),
        false => format!("there are {}", lines.join(", ")),
    };
    Failure::new(Exit::Invalid, "name the post with --post and what becomes of it with --fate")
        .hint(hint)
}

fn award_id(args: &HostArgs) -> Result<String, Failure> {
    if let Some(id) = &args.id {
        return Ok(id.clone());
    }
    let env = Env::system().map_err(Failure::of(Exit::Failed, "no randomness"))?;
    Ok(format!("{:016x}", env.random_u64("award")))
}

/// The token that drives the event: the given one, unless there is none or it is the operator's, and the cluster's
/// key is there to make the host's.
fn host_token(event: EventId, given: Option<String>, keys: Option<&TokenKeys>) -> Option<String> {
    match (given, keys) {
        (Some(token), Some(keys)) if token == keys.ops() => Some(keys.host(event)),
        (None, Some(keys)) => Some(keys.host(event)),
        (given, _) => given,
    }
}

/// The player whose id or shown name this is.
fn find(client: &Client, args: &HostArgs, words: &str) -> Result<MarkedView, Failure> {
    let query = format!("/players?find={}", escaped(words));
    choose(client.get(&path(args, &query))?, words)
}

/// Of players whose names have something in common with `words`, the one who is meant.
fn choose(found: Vec<MarkedView>, words: &str) -> Result<MarkedView, Failure> {
    let (id, wanted) = (words.trim().parse::<PlayerId>().ok(), skeleton(words));
    let lines: Vec<String> = found.iter().map(describe_player).collect();
    let is_meant =
        |player: &MarkedView| id == Some(player.player) || skeleton(&player.name) == wanted;
    let mut meant: Vec<MarkedView> = found.into_iter().filter(is_meant).collect();
    if let (1, Some(player)) = (meant.len(), meant.pop()) {
        return Ok(player);
    }
    let failure = Failure::new(Exit::NotFound, format!("no single player is called {words:?}"));
    Err(match lines.is_empty() {
        true => failure.hint("give the whole name as it is shown, or the id"),
        false => failure.hint(format!("give the whole name or the id: {}", lines.join(", "))),
    })
}

fn describe_player(player: &MarkedView) -> String {
    format!("{} ({})", player.name, player.player)
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

fn fate(word: &str) -> Result<Fate, String> {
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    Fate::deserialize(word).map_err(|error| error.to_string())
}

/// A stage as it is written: the round, a colon and the phase; the lobby and the end have no round.
fn place(words: &str) -> Result<StageView, String> {
    let (instance, phase) = words.split_once(':').unwrap_or(("0", words));
    let instance =
        instance.parse().map_err(|_| format!("{instance:?} is no round, expected 2:open"))?;
    let phase: StrDeserializer<'_, Error> = phase.into_deserializer();
    let phase = PhaseView::deserialize(phase).map_err(|error| error.to_string())?;
    Ok(StageView { instance, phase })
}

fn describe(command: Command, whom: Option<&MarkedView>, reply: &CommandReply) -> String {
    let CommandReply { outcome, stage, level, token } = reply;
    let phase = stage.phase.word();
    let whom = whom.map(|whom| format!(" {}", describe_player(whom))).unwrap_or_default();
    let mut lines =
        vec![format!("{}{whom}: {outcome} ({level}), the show is at {phase}", command.word())];
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
    fn a_place_is_a_round_and_a_stage() {
        let place_of = |instance, phase| Ok(StageView { instance, phase });
        assert_eq!(place("2:open"), place_of(2, PhaseView::Open));
        assert_eq!(place("lobby"), place_of(0, PhaseView::Lobby));
        assert!(place("two:open").unwrap_err().contains("\"two\" is no round"));
        assert!(place("2:opened").unwrap_err().contains("closed"), "all are listed");
    }

    #[test]
    fn a_fate_is_read_by_its_word() {
        for each in [Fate::Waiting, Fate::Shown, Fate::Hidden, Fate::Answered] {
            assert_eq!(fate(&each.to_string()), Ok(each));
        }
        assert!(fate("gone").unwrap_err().contains("answered"), "all are listed");
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
        let text = describe(Command::Invite, None, &reply);
        assert_eq!(text, "invite: applied (firm), the show is at draft\ntoken   slc_x");
    }

    #[test]
    fn an_operator_with_the_key_drives_and_a_co_host_stays_one() {
        let (keys, event) = (TokenKeys::new(&[[7; 32]]), EventId(9));
        let token = |given: Option<&str>, keys| host_token(event, given.map(Into::into), keys);
        assert_eq!(token(Some(&keys.ops()), Some(&keys)), Some(keys.host(event)));
        assert_eq!(token(None, Some(&keys)), Some(keys.host(event)));
        assert_eq!(token(Some("slc_x"), Some(&keys)), Some("slc_x".into()), "a co-host's");
        assert_eq!(token(Some(&keys.ops()), None), Some(keys.ops()), "there is no key");
    }

    fn called(id: u128, name: &str) -> MarkedView {
        MarkedView { player: PlayerId(id), name: name.into(), ..MarkedView::default() }
    }

    #[test]
    fn a_part_of_a_name_is_nobody() {
        let failure = choose(vec![called(1, "Canada")], "Ada").unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        let hint = failure.hint.expect("it lists whom it found");
        assert!(hint.contains(&format!("Canada ({})", PlayerId(1))), "{hint}");
        assert!(choose(Vec::new(), "Ada").is_err());
    }

    #[test]
    fn a_whole_name_or_an_id_is_somebody_case_and_look_alikes_aside() {
        let all = || vec![called(1, "Canada"), called(2, "Ada"), called(3, "Bob")];
        for words in ["Ada", " ada", "\u{410}da", &PlayerId(2).to_string()] {
            assert_eq!(choose(all(), words).unwrap().player, PlayerId(2), "{words}");
        }
        assert!(choose(vec![called(1, "Ada"), called(2, "ADA")], "Ada").is_err(), "two of them");
    }

    #[test]
    fn the_answer_names_whom_it_met() {
        let (whom, outcome, level) = (called(2, "Ada"), "applied".into(), "firm".into());
        let reply = CommandReply { outcome, stage: StageView::default(), level, token: None };
        let text = describe(Command::Kick, Some(&whom), &reply);
        assert!(text.starts_with(&format!("kick Ada ({}): applied", PlayerId(2))), "{text}");
    }
}
