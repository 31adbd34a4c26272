//! `starling event state` and `starling event log`: what an event's named state is, and who did what.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json, table};
use super::{Exit, Failure};
use crate::service::view::{LogLine, MarkedView, StateView};
use clap::Args;
use crdt_state::EventId;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::iter;

#[derive(Debug, Args)]
pub(super) struct DeskArgs {
    /// The event
    event: EventId,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows the named state, kind by kind.
pub(super) fn state(args: &DeskArgs) -> Result<Exit, Failure> {
    let path = format!("/api/v1/events/{}/state", args.event);
    let state: StateView = Client::new(&args.node).get(&path)?;
    if args.json {
        say_json(&state)?;
    } else {
        say(&describe_state(&state))?;
    }
    Ok(Exit::Done)
}

/// Shows the audit trail.
pub(super) fn log(args: &DeskArgs) -> Result<Exit, Failure> {
    let path = format!("/api/v1/events/{}/log", args.event);
    let lines: Vec<LogLine> = Client::new(&args.node).get(&path)?;
    if args.json {
        say_json(&lines)?;
    } else {
        say(&describe_log(&lines))?;
    }
    Ok(Exit::Done)
}

fn describe_state(state: &StateView) -> String {
    let mut rows = Vec::new();
    put(&mut rows, "flag, enable wins", &state.flags);
    put(&mut rows, "flag, disable wins", &state.permits);
    put(&mut rows, "flag, toggle", &state.toggles);
    put(&mut rows, "counter, grow-only", &state.totals);
    put(&mut rows, "counter, both ways", &state.counts);
    for (name, awards) in &state.awards {
        let awards: Vec<String> =
            awards.iter().map(|award| format!("{:+} to {}", award.points, award.player)).collect();
        rows.push(row("set, grow-only", name, &awards.join(", ")));
    }
    for (name, members) in &state.sets {
        rows.push(row("set, observed-remove", name, &members.join(", ")));
    }
    put(&mut rows, "register, last write", &state.settings);
    put(&mut rows, "register, first write", &state.firsts);
    for (name, texts) in &state.multis {
        let conflict = if texts.len() > 1 { "CONFLICT: " } else { "" };
        rows.push(row("register, multi-value", name, &format!("{conflict}{}", texts.join(" | "))));
    }
    put(&mut rows, "maximum", &state.most);
    put(&mut rows, "minimum", &state.least);
    for fastest in &state.fastest {
        let value = format!("{} ms, {} ({})", fastest.elapsed_ms, fastest.name, fastest.player);
        rows.push(row("minimum", &format!("fastest/{}", fastest.instance), &value));
    }
    rows.extend(state.marked.iter().map(|m| row("player", &m.player.to_string(), &describe(m))));
    let head = format!(
        "event {} on {}: {} players, digest {}",
        state.event, state.node, state.players, state.digest
    );
    format!("{head}\n\n{}", table(["KIND", "NAME", "VALUE"], &rows))
}

fn put<T: Debug>(rows: &mut Vec<[String; 3]>, kind: &str, of: &BTreeMap<String, T>) {
    rows.extend(of.iter().map(|(name, value)| row(kind, name, &format!("{value:?}"))));
}

fn row(kind: &str, name: &str, value: &str) -> [String; 3] {
    [kind, name, value].map(str::to_owned)
}

fn describe(marked: &MarkedView) -> String {
    let mut words = vec![marked.name.clone()];
    words.extend(marked.renamed.then(|| "renamed".to_owned()));
    words.extend(marked.kicked.then(|| "kicked".to_owned()));
    words.extend(marked.muted.then(|| "muted".to_owned()));
    words.extend((marked.extra_ms > 0).then(|| format!("{} ms more", marked.extra_ms)));
    words.extend((marked.awarded != 0).then(|| format!("{:+} points", marked.awarded)));
    words.join(", ")
}

fn describe_log(lines: &[LogLine]) -> String {
    let line = |line: &LogLine| {
        let stage = match line.stage.instance {
            0 | u32::MAX => format!("{:?}", line.stage.phase).to_lowercase(),
            instance => format!("{instance}:{:?}", line.stage.phase).to_lowercase(),
        };
        let nodes = iter::once(&line.node).chain(&line.also).map(String::as_str);
        let nodes = nodes.collect::<Vec<_>>().join(", ");
        let (by, act, of) = (line.by.clone(), line.act.clone(), line.of.clone());
        [line.lamport.to_string(), clock(line.wall_ms), nodes, by, stage, act, of]
    };
    let rows: Vec<_> = lines.iter().map(line).collect();
    table(["ORDER", "UTC", "NODE", "BY", "STAGE", "DID", "TO"], &rows)
}

/// The time of day; the trail of a show rarely spans more than one.
fn clock(wall_ms: u64) -> String {
    let (ms, seconds) = (wall_ms % 1_000, wall_ms / 1_000 % 86_400);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::view::{PhaseView, StageView};
    use crdt_state::{Origin, PlayerId};

    #[test]
    fn a_line_of_the_log_tells_all_of_it() {
        let stage = StageView { instance: 2, phase: PhaseView::Open };
        let line = LogLine {
            lamport: 7,
            wall_ms: 86_400_000 + 3_723_004,
            node: "n1".into(),
            origin: Origin(1),
            by: "Bea".into(),
            act: "mute".into(),
            of: "Ada".into(),
            stage,
            also: vec!["n3".into()],
        };
        let text = describe_log(&[line]);
        let words: Vec<&str> = text.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(words, ["7", "01:02:03.004", "n1,", "n3", "Bea", "2:open", "mute", "Ada"]);
    }

    #[test]
    fn what_was_said_of_a_player_is_told_in_words() {
        let marked = MarkedView {
            player: PlayerId(1),
            name: "Ada".into(),
            kicked: false,
            muted: true,
            extra_ms: 5_000,
            renamed: true,
            awarded: -20,
        };
        assert_eq!(describe(&marked), "Ada, renamed, muted, 5000 ms more, -20 points");
    }
}
