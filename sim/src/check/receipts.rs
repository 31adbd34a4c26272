//! Nothing that was acknowledged firmly is lost: it is in every node's export, as it was told or
//! overruled by an earlier answer of the same player.

use std::collections::{BTreeMap, BTreeSet};

use crdt_state::PlayerId;

use super::export::{AnswerLine, Export};
use crate::quiz::evidence::{Evidence, Receipt};

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut lost = Vec::new();
    for (node, end) in super::distinct_ends(evidence) {
        match Export::read(&end.export) {
            Ok(export) => check_node(evidence, node, &export, &mut lost),
            Err(why) => lost.push(format!("node {node}: {why}")),
        }
    }
    lost.extend(liars(evidence));
    lost
}

fn check_node(evidence: &Evidence, node: u8, export: &Export, lost: &mut Vec<String>) {
    let answers: BTreeMap<(PlayerId, u32), &AnswerLine> =
        export.answers.iter().map(|line| ((line.player, line.instance), line)).collect();
    for (player, receipt) in evidence.firm() {
        let held = answers.get(&(player, receipt.instance));
        let overruled = |held: &AnswerLine| is_overruled(evidence, player, held, receipt);
        if !held.is_some_and(|held| is_kept(held, receipt) || overruled(held)) {
            lost.push(format!("node {node} holds {held:?} for player {player} and {receipt:?}"));
        }
    }
    let rows: BTreeSet<PlayerId> = export.players.iter().map(|line| line.player).collect();
    let joined = evidence.players.iter().filter(|(_, seen)| seen.joined.is_some());
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
fn is_overruled(
    evidence: &Evidence,
    player: PlayerId,
    held: &AnswerLine,
    receipt: &Receipt,
) -> bool {
    let told = |other: &&Receipt| {
        other.status == "superseded"
            && other.instance == receipt.instance
            && other.choices == held.choices
    };
    held.elapsed_ms == receipt.elapsed_ms
        && evidence.players.get(&player).is_some_and(|seen| seen.receipts.iter().any(|r| told(&r)))
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
