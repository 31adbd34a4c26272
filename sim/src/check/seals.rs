//! Seals are honest: what a node calls `final` never changes, neither how many answers it counts nor any of them, and
//! neither `final` nor `settled` is said while an answer with a firm receipt is not counted. What went down with all
//! who held it, nobody counts.

use std::collections::BTreeMap;

use crdt_state::PlayerId;

use super::Exports;
use crate::quiz::evidence::{Evidence, Receipt};

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut found = uncounted(evidence);
    found.extend(changed(evidence, exports));
    found
}

/// Results that were called complete and lacked what was promised.
pub(super) fn uncounted(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let complete = evidence.results.iter().filter(|seen| seen.status != "partial");
    for seen in complete.filter(|seen| !seen.missing.is_empty()) {
        let is_missing = |(player, receipt): &(PlayerId, &Receipt)| {
            let of = receipt.instance == seen.instance && receipt.at <= seen.at;
            of && seen.missing.contains(player) && !evidence.outlived(*player, seen.instance)
        };
        let missing: Vec<&Receipt> =
            evidence.firm().filter(is_missing).map(|(_, receipt)| receipt).collect();
        if !missing.is_empty() {
            found.push(format!("{seen:?} does not count firm receipts: {missing:?}"));
        }
    }
    found
}

/// Results that were called final and are others in the end.
fn changed(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut found = Vec::new();
    let Some(export) = super::first(exports) else { return found };
    let mut answered: BTreeMap<u32, u64> = BTreeMap::new();
    for answer in &export.answers {
        *answered.entry(answer.instance).or_default() += 1;
    }
    let finals = evidence.results.iter().filter(|seen| seen.status == "final");
    // What rests on words that nobody else has heard goes with them.
    for seen in finals.filter(|seen| !evidence.took_along(seen.node, seen.at)) {
        let last = answered.get(&seen.instance).copied().unwrap_or_default();
        let end = evidence.ends.values().next().and_then(|end| end.held.get(&seen.instance));
        if last != seen.answered {
            found.push(format!("{seen:?} was final and has {last} answers in the end"));
        } else if seen.held.zip(end).is_some_and(|(then, end)| then != *end) {
            found.push(format!("{seen:?} was final and has as many other answers in the end"));
        }
    }
    found
}
