//! `starling status` and `starling members`: a cluster without a master has no view of its own, so
//! each says whose view it shows.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json, table};
use super::{Exit, Failure};
use crate::service::view::{
    BrokerView, EventSummary, MemberEventView, MemberView, PhaseView, StageView, StatusView,
};
use crate::supervise::{BranchView, State};
use clap::Args;
use std::io::{BufRead as _, BufReader};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Exit with 7 unless the node calls itself healthy
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows a node.
pub(super) fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let status: StatusView = Client::new(&args.node).get("/api/v1/status")?;
    if args.json {
        say_json(&status)?;
    } else {
        say(&describe_status(&status))?;
    }
    let degraded = args.check && status.verdict != "healthy";
    Ok(if degraded { Exit::Degraded } else { Exit::Done })
}

fn describe_status(status: &StatusView) -> String {
    let StatusView { verdict, standing, name, node, origin, version, cluster, .. } = status;
    let (alive, known, sessions) = (status.members_alive, status.members_known, status.sessions);
    let uptime = describe_seconds(status.uptime_s);
    let reasons: String = status.reasons.iter().map(|why| format!("because {why}\n")).collect();
    let head = format!(
        "{verdict}, as seen by {name}, which is {standing}\n{reasons}\
         node {node} origin {origin} version {version} cluster {cluster}\n\
         up {uptime}, {alive} of {known} members alive, {sessions} players connected"
    );
    let broker = status.broker.as_ref().map(describe_broker).unwrap_or_default();
    let head = format!("{head}{broker}{}", describe_tree(&status.tree));
    if status.events.is_empty() {
        return head;
    }
    let rows = status.events.iter().map(|event| {
        let stage = describe_stage(event.stage);
        let (id, players) = (event.event.to_string(), event.players.to_string());
        [id, event.pin.clone(), stage, players, event.title.clone()]
    });
    let rows = rows.collect::<Vec<_>>();
    let warnings: String = status.events.iter().flat_map(describe_warnings).collect();
    format!("{head}\n\n{}{warnings}", table(["EVENT", "PIN", "STAGE", "PLAYERS", "TITLE"], &rows))
}

/// How the node stands with its broker, in a line, and what went wrong in another.
fn describe_broker(broker: &BrokerView) -> String {
    let BrokerView { url, protocol, slots, client_id, .. } = broker;
    let line = if broker.connected {
        let shared = if broker.shared_subscriptions { "shared" } else { "plain" };
        format!("\nbehind {url} by MQTT {protocol}, {slots} slots, {shared} subscriptions")
    } else {
        format!("\nbehind {url}, which is not reached")
    };
    let error = broker.last_error.as_ref().map(|error| format!("\nwarning: broker: {error}"));
    format!("{line}, as {client_id}{}", error.unwrap_or_default())
}

fn describe_warnings(event: &EventSummary) -> Vec<String> {
    let line = |warning: &String| format!("\nwarning: event {}: {warning}", event.event);
    event.warnings.iter().map(line).collect()
}

/// The supervision tree, a line per task, indented by depth.
fn describe_tree(tree: &BranchView) -> String {
    let line = |(path, task): (String, &BranchView)| {
        let depth = path.matches('/').count();
        let (indent, name) = ("  ".repeat(depth), &task.name);
        let last = task.last_panic.as_deref().map(|said| format!(", last: {said}"));
        let (restarts, panics) = (task.restarts, task.panics);
        let state = match task.state {
            State::Running => "running",
            State::Waiting => "restarting",
            State::Ended => "ended",
            State::GaveUp => "GAVE UP",
        };
        let counts = format!("{restarts} restarts, {panics} panics");
        format!("\n  {indent}{name}: {state}, {counts}{}", last.unwrap_or_default())
    };
    let lines: String = tree.flat().into_iter().map(line).collect();
    format!("\ntasks{lines}")
}

/// Where a show stands; the number that an ended one has is no round's.
fn describe_stage(stage: StageView) -> String {
    let phase = stage.phase.word();
    match stage.phase {
        PhaseView::Ended | PhaseView::Aborted => phase,
        _ => format!("{} {phase}", stage.instance),
    }
}

fn describe_seconds(seconds: u64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print what becomes of members, as it happens, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows the members in a node's view.
pub(super) fn members(args: &MembersArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    if args.watch {
        return watch_members(&client, args.json);
    }
    let members: Vec<MemberView> = client.get("/api/v1/members")?;
    if args.json {
        say_json(&members)?;
    } else {
        say(&describe_members(&members))?;
    }
    Ok(Exit::Done)
}

/// Follows the stream of member events for as long as the node lives.
fn watch_members(client: &Client, json: bool) -> Result<Exit, Failure> {
    let stream = BufReader::new(client.download("/api/v1/members/stream")?);
    for line in stream.lines() {
        let line = line.map_err(Failure::of(Exit::Unreachable, "the node is gone"))?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        match serde_json::from_str::<MemberEventView>(data) {
            Ok(event) if !json => {
                let MemberEventView { event, name, node, addr, .. } = event;
                say(&format!("{event}  {name}  {node}  {addr}"))?;
            }
            // A word about missed events has another shape and is worth as much.
            _ => say(data)?,
        }
    }
    Ok(Exit::Done)
}

fn describe_members(members: &[MemberView]) -> String {
    let mut members: Vec<&MemberView> = members.iter().collect();
    members.sort_by(|a, b| (&a.name, a.node).cmp(&(&b.name, b.node)));
    let rows = members.iter().map(|member| {
        let link = if member.linked { "up" } else { "down" };
        let rtt = member.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms"));
        let loss = describe_loss(member.packets_sent, member.packets_lost);
        let MemberView { state, name, node, addr, version, links, .. } = (*member).clone();
        [state, name, node.to_string(), addr, link.into(), rtt, loss, version, links.http]
    });
    let rows: Vec<_> = rows.collect();
    table(["STATE", "NAME", "NODE", "PEER", "LINK", "RTT", "LOSS", "VERSION", "HTTP"], &rows)
}

/// The share of packets that were lost on a link.
fn describe_loss(sent: u64, lost: u64) -> String {
    match sent {
        0 => "-".to_owned(),
        sent => format!("{:.1} %", lost as f64 * 100.0 / sent as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_a_share_of_what_was_sent() {
        assert_eq!(describe_loss(0, 0), "-");
        assert_eq!(describe_loss(1_000, 15), "1.5 %");
    }

    #[test]
    fn a_show_that_is_over_has_no_round() {
        let at = |instance, phase| describe_stage(StageView { instance, phase });
        assert_eq!(at(3, PhaseView::Board), "3 board");
        assert_eq!(at(u32::MAX, PhaseView::Ended), "ended");
    }

    #[test]
    fn an_uptime_has_two_units_at_most() {
        assert_eq!(describe_seconds(59), "59 s");
        assert_eq!(describe_seconds(61), "1 min 1 s");
        assert_eq!(describe_seconds(7_322), "2 h 2 min");
    }
}
