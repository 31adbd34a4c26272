//! Nothing that was acknowledged firmly is lost: it is in every node's export, as it was told or
//! overruled by an earlier answer of the same player. That is promised for fewer failures at once than the
//! answer had holders. And nothing is there that nobody gave, and no node takes back what it has promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crdt_state::PlayerId;

use super::Exports;
use super::export::{AnswerLine, Export};
use crate::quiz::evidence::{Evidence, Receipt};

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut lost = Vec::new();
    for (node, export) in exports {
        match export {
            Ok(export) => check_node(evidence, *node, export, &mut lost),
            Err(why) => lost.push(format!("node {node}: {why}")),
        }
    }
    lost.extend(at_any_time(evidence, exports));
    lost
}

/// What holds at any moment: receipts say what was chosen and are not taken back, and nothing was made up.
pub(super) fn at_any_time(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut lost = liars(evidence);
    lost.extend(taken_back(evidence));
    for (node, export) in super::readable(exports) {
        lost.extend(phantoms(evidence, export).map(|what| format!("node {node}: {what}")));
    }
    lost
}

fn check_node(evidence: &Evidence, node: u8, export: &Export, lost: &mut Vec<String>) {
    let answers: BTreeMap<(PlayerId, u32), &AnswerLine> =
        export.answers.iter().map(|line| ((line.player, line.instance), line)).collect();
    for (player, receipt) in evidence.firm() {
        let held = answers.get(&(player, receipt.instance));
        let overruled = |held: &AnswerLine| is_overruled(evidence, player, held, receipt);
        // Where two sides ran different questions, the answer to the one that is shown counts.
        let elsewhere = || super::questions_of(evidence, receipt.instance).len() > 1;
        let is_kept =
            held.is_some_and(|held| is_kept(held, receipt) || overruled(held) || elsewhere());
        if !is_kept && !evidence.outlived(player, receipt.instance) {
            lost.push(format!("node {node} holds {held:?} for player {player} and {receipt:?}"));
        }
    }
    let rows: BTreeSet<PlayerId> = export.players.iter().map(|line| line.player).collect();
    let is_in = |at: Option<Duration>| at.is_some_and(|at| !evidence.went_with_many(at));
    let joined = evidence.players.iter().filter(|(_, seen)| is_in(seen.joined));
    for (player, seen) in joined.filter(|(player, _)| !rows.contains(*player)) {
        lost.push(format!("node {node} lacks player {player}, in since {:?}", seen.joined));
    }
}

/// The held cell is the receipted one or came before it.
fn is_kept(held: &AnswerLine, receipt: &Receipt) -> bool {
    held.elapsed_ms < receipt.elapsed_ms
        || (held.elapsed_ms == receipt.elapsed_ms && held.choices == receipt.choices)
}

/// Two nodes took different choices in the same millisecond, and the player was told which counts.
///
/// Whoever is connected to a node that learns it is told at once that the receipt is superseded. An inbox
/// is a projection of state and no mailbox: a player who was away is told by the next node what is
/// held, in a receipt or with the result, and that node cannot know what another once said. The same node
/// can, and says it in so many words.
fn is_overruled(
    evidence: &Evidence,
    player: PlayerId,
    held: &AnswerLine,
    receipt: &Receipt,
) -> bool {
    let Some(seen) = evidence.players.get(&player) else { return false };
    let told = |other: &Receipt| {
        other.at >= receipt.at
            && other.instance == receipt.instance
            && other.choices == held.choices
            && (other.status == "superseded" || other.node != receipt.node)
    };
    // A repetition is told what is held and never what was sent: some node has taken just that.
    let taken = |other: &Receipt| {
        other.status == "accepted"
            && (other.instance, &other.choices) == (receipt.instance, &receipt.choices)
            && other.elapsed_ms == receipt.elapsed_ms
    };
    let shown = seen.results.get(&receipt.instance);
    // The node that said it went down since, or the player has gone elsewhere, and whoever has the player now cannot
    // know what was said.
    let forgotten = || {
        let outages = &mut evidence.outages.iter();
        outages.any(|outage| outage.node == receipt.node && outage.from >= receipt.at)
            || seen.connected.is_none_or(|since| since > receipt.at)
    };
    held.elapsed_ms == receipt.elapsed_ms
        && (receipt.status != "duplicate" || seen.receipts.iter().any(taken))
        && (seen.receipts.iter().any(told) || shown == Some(&held.choices) || forgotten())
}

/// Receipts for something that the player never chose.
fn liars(evidence: &Evidence) -> Vec<String> {
    let all = evidence.players.iter().flat_map(|(player, seen)| {
        seen.receipts.iter().map(move |receipt| (player, seen, receipt))
    });
    let lies = all.filter(|(_, seen, receipt)| {
        let chosen = seen.answered.get(&receipt.instance);
        chosen.is_none_or(|sent| receipt.choices.iter().any(|choice| sent >> choice & 1 == 0))
    });
    lies.map(|(player, _, receipt)| format!("player {player} never chose {receipt:?}")).collect()
}

/// Receipts that say of what their node has promised before that it may not stand. A node that went down in between, or
/// let go of the show, knows no longer what it has said, and need not once it shows another run.
fn taken_back(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for (player, seen) in &evidence.players {
        for (place, receipt) in seen.receipts.iter().enumerate().filter(|(_, it)| !it.firm) {
            let before = seen.receipts[..place].iter();
            let Some(first) = before.into_iter().find(|before| receipt.takes_back(before)) else {
                continue;
            };
            if may_remember(evidence, first, receipt) {
                found.push(format!("player {player} was told {first:?} and then {receipt:?}"));
            }
        }
    }
    found
}

/// Whether the node that gave two receipts is the same life of its process at both, and shows their run still.
fn may_remember(evidence: &Evidence, first: &Receipt, then: &Receipt) -> bool {
    let is_between = |from: Duration, to: Duration| from <= then.at && to >= first.at;
    let was_down = evidence.outages.iter().any(|outage| {
        outage.node == then.node && is_between(outage.from, outage.to.unwrap_or(Duration::MAX))
    });
    let let_go = evidence
        .partings
        .iter()
        .any(|parting| parting.node == then.node && is_between(parting.from, parting.to));
    let shown =
        evidence.sightings.iter().rfind(|seen| seen.node == then.node && seen.at <= then.at);
    !was_down && !let_go && shown.is_some_and(|seen| seen.stage.instance == then.instance)
}

/// Answers that nobody gave.
fn phantoms(evidence: &Evidence, export: &Export) -> impl Iterator<Item = String> {
    let is_given = |line: &&AnswerLine| {
        let seen = evidence.players.get(&line.player);
        let sent = seen.and_then(|seen| seen.answered.get(&line.instance)).copied();
        let sent = sent.unwrap_or_default();
        line.choices.iter().all(|choice| sent >> choice & 1 == 1)
    };
    let phantoms = export.answers.iter().filter(move |line| !is_given(line));
    phantoms.map(|line| format!("{line:?} was given by nobody"))
}
