//! Seals are honest: what a node calls `final` never changes, and neither `final` nor `settled` is
//! said while an answer with a firm receipt is not counted.

use std::collections::BTreeMap;

use crdt_state::PlayerId;

use super::Exports;
use crate::quiz::evidence::{Evidence, Receipt, ResultSeen};

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut found = Vec::new();
    let complete = evidence.results.iter().filter(|seen| seen.status != "partial");
    let is_promised = |seen: &&ResultSeen| {
        let missing = |(player, receipt): (PlayerId, &Receipt)| {
            receipt.instance == seen.instance && seen.missing.contains(&player)
        };
        !seen.missing.is_empty() && evidence.firm().any(missing)
    };
    for seen in complete.filter(is_promised) {
        found.push(format!("{seen:?} does not count firm receipts"));
    }
    let Some(export) = super::first(exports) else { return found };
    let mut answered: BTreeMap<u32, u64> = BTreeMap::new();
    for answer in &export.answers {
        *answered.entry(answer.instance).or_default() += 1;
    }
    for seen in evidence.results.iter().filter(|seen| seen.status == "final") {
        let last = answered.get(&seen.instance).copied().unwrap_or_default();
        if last != seen.answered {
            found.push(format!("{seen:?} was final and has {last} answers in the end"));
        }
    }
    found
}
