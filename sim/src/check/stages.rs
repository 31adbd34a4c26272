//! Stages only go forward: on each life of a node, and in what hosts were promised.

use std::collections::BTreeMap;

use node::service::view::{Command, PhaseView};

use crate::quiz::evidence::{Evidence, Sighting};

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut newest: BTreeMap<(u8, u64), &Sighting> = BTreeMap::new();
    let mut found = Vec::new();
    for seen in &evidence.sightings {
        let before = newest.insert((seen.node, seen.life), seen);
        if let Some(before) = before.filter(|before| before.stage >= seen.stage) {
            found.push(format!("{seen:?} comes after {before:?}"));
        }
    }
    let again = evidence.commands.iter().filter(|(_, _, of)| of.command == Command::Back);
    let instances = (evidence.plan.questions.len() + again.count()) as u32;
    let beyond = evidence
        .sightings
        .iter()
        .filter(|seen| seen.stage.instance > instances && seen.stage.phase < PhaseView::Ended);
    found.extend(beyond.map(|seen| format!("{seen:?} is of no question")));
    found.extend(evidence.undone.iter().cloned());
    found
}
