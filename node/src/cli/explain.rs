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
    for theirs in elsewhere(args, &client, &path) {
        merge(&mut view, theirs);
    }
    if args.json {
        say_json(&view)?;
    } else {
        say(&describe(&view))?;
    }
    Ok(Exit::Done)
}

/// What other nodes say. One that does not answer is left out.
fn elsewhere(args: &ExplainArgs, client: &Client, path: &str) -> Vec<ExplainView> {
    let host = client.get::<serde_json::Value>(&format!("/api/v1/events/{}", args.event));
    let pin = host.ok().and_then(|host| host["pin"].as_str().map(str::to_owned));
    let nodes = pin.and_then(|pin| client.get::<PinView>(&format!("/api/v1/pins/{pin}")).ok());
    let other = |http| Client::new(&NodeArgs { node: http, ..args.node.clone() });
    let nodes = nodes.map(|pin| pin.nodes).unwrap_or_default().into_iter();
    nodes.filter_map(|node| other(node.http).get(path).ok()).collect()
}

/// Adds what only another node knows: what it turned away, who it knows to hold the answer, and, if it took it, how
/// far its receipt got. All else is replicated.
fn merge(view: &mut ExplainView, theirs: ExplainView) {
    let is_new = |it: &TurnedAwayView| view.refused.iter().all(|known| known.node != it.node);
    let new: Vec<_> = theirs.refused.into_iter().filter(is_new).collect();
    view.refused.extend(new);
    let (Some(held), Some(other)) = (&mut view.receipt, theirs.receipt) else { return };
    if (&held.gave, held.elapsed_ms) != (&other.gave, other.elapsed_ms) {
        return;
    }
    held.level = held.level.take().or(other.level);
    for node in other.held_by {
        if !held.held_by.contains(&node) {
            held.held_by.push(node);
        }
    }
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
            let level = match &held.level {
                Some(level) => level.clone(),
                None => format!("{by} alone knows whether it is firm, and does not say"),
            };
            let _ = writeln!(text, "receipt   {level}; held by {}", held.held_by.join(", "));
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
    use super::{describe, merge, percent_encoded};
    use crate::service::explain::ExplainView;
    use serde_json::{Value, json};

    #[test]
    fn a_name_survives_a_url() {
        assert_eq!(percent_encoded("Zoë & co"), "Zo%C3%AB%20%26%20co");
    }

    fn told(receipt: &Value) -> ExplainView {
        let view = json!({
            "event": "0000000000000001", "player": "0".repeat(32), "name": "Ada", "round": 1,
            "stage": { "instance": 1, "phase": "open" }, "number": 1, "question": "Why?", "open_ms": 1_000,
            "grace_ms": 250, "receipt": receipt, "refused": [], "verdict": "an answer is held"
        });
        serde_json::from_value(view).expect("it is one")
    }

    #[test]
    fn who_took_the_answer_tells_of_its_receipt_and_all_tell_who_holds_it() {
        let receipt = |choice: u8, level: Option<&str>, held_by: &[&str]| {
            let held = json!({
                "choices": [choice], "words": "Lima", "elapsed_ms": 20, "taken_by": ["n2"], "rows": 1,
                "level": level, "held_by": held_by
            });
            told(&held)
        };
        let line = |view: &ExplainView| {
            let text = describe(view);
            text.lines().find(|line| line.starts_with("receipt")).expect("there is one").to_owned()
        };
        let mut view = receipt(1, None, &["n1"]);
        let unknown = "n2 alone knows whether it is firm, and does not say; held by n1";
        assert_eq!(line(&view), format!("receipt   {unknown}"));
        merge(&mut view, receipt(0, Some("provisional"), &["n4"]));
        assert_eq!(line(&view), format!("receipt   {unknown}"), "that is of another answer");
        merge(&mut view, receipt(1, Some("firm"), &["n2", "n1"]));
        merge(&mut view, told(&Value::Null));
        merge(&mut view, receipt(1, None, &["n3", "n1"]));
        assert_eq!(line(&view), "receipt   firm; held by n1, n2, n3");
    }
}
