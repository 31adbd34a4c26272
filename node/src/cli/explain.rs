//! `starling explain`: the answer to "why zero points?".

use super::client::{Client, NodeArgs};
use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::service::explain::{ExplainView, TurnedAwayView};
use crate::service::view::PinView;
use clap::Args;
use crdt_state::EventId;
use std::fmt::Write;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The event
    #[arg(long, value_name = "ID")]
    event: EventId,
    /// The player's id, or the name as it is shown, in any case
    #[arg(long, value_name = "PLAYER")]
    player: String,
    /// Which round, from 1; a question that was asked again counts again
    #[arg(long, value_name = "N")]
    round: u32,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explains.
pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    let player: String = percent_encoded(&args.player);
    let path =
        format!("/api/v1/events/{}/explain?player={player}&round={}", args.event, args.round);
    let mut view: ExplainView = client.get(&path)?;
    view.refused.extend(elsewhere(args, &client, &path, &view));
    if args.json {
        say_json(&view)?;
    } else {
        say(&describe(&view))?;
    }
    Ok(Exit::Done)
}

/// What other nodes turned away. One that does not answer is left out: all else is replicated.
fn elsewhere(
    args: &ExplainArgs,
    client: &Client,
    path: &str,
    view: &ExplainView,
) -> Vec<TurnedAwayView> {
    let host = client.get::<serde_json::Value>(&format!("/api/v1/events/{}", args.event));
    let pin = host.ok().and_then(|host| host["pin"].as_str().map(str::to_owned));
    let nodes = pin.and_then(|pin| client.get::<PinView>(&format!("/api/v1/pins/{pin}")).ok());
    let mut told: Vec<TurnedAwayView> = Vec::new();
    for node in nodes.map(|pin| pin.nodes).unwrap_or_default() {
        let other = Client::new(&NodeArgs { node: node.http, ..args.node.clone() });
        let Ok(theirs) = other.get::<ExplainView>(path) else { continue };
        let is_new = |it: &TurnedAwayView| {
            view.refused.iter().chain(&told).all(|known| known.node != it.node)
        };
        let new: Vec<_> = theirs.refused.into_iter().filter(is_new).collect();
        told.extend(new);
    }
    told
}

fn describe(view: &ExplainView) -> String {
    let ExplainView { name, player, round, number, question, open_ms, grace_ms, .. } = view;
    let credit_ms = view.credit_max_ms;
    let mut text = format!(
        "{name} ({player}), round {round}: question {number}, {question:?}\n\
         {}\n\
         open      {open_ms} ms, then {grace_ms} ms of grace; up to {credit_ms} ms that the player's line took are \
         not counted\n",
        view.verdict
    );
    match &view.receipt {
        Some(held) => {
            let (given, elapsed, by) =
                (&held.gave.words, held.elapsed_ms, held.taken_by.join(", "));
            let _ = writeln!(text, "answer    {given:?} after {elapsed} ms, taken by {by}");
        }
        None => text.push_str("answer    none is held\n"),
    }
    for TurnedAwayView { node, code, message, elapsed_ms, times } in &view.refused {
        let at = elapsed_ms.map_or_else(String::new, |ms| format!(" {ms} ms after the opening"));
        let _ = writeln!(text, "refused   by {node}{at}, {times} times: {code}, {message}");
    }
    if view.revision > 0 {
        let _ =
            writeln!(text, "revised   {} times by hosts: see `starling event log`", view.revision);
    }
    for (what, value) in [("rule", &view.rule), ("points", &view.arithmetic)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{what:<9} {value}");
        }
    }
    text.trim_end().to_owned()
}

/// A name inside a URL.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn a_name_survives_a_url() {
        assert_eq!(percent_encoded("Zoë & co"), "Zo%C3%AB%20%26%20co");
    }
}
