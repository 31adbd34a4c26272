//! An event keeps its three carriers: as many others have all that a node lets go of, and after healing there are three,
//! or as many as there are nodes.

use std::time::Duration;

use node::engine::CARRIERS;

use crate::quiz::evidence::Evidence;

/// So long a node that is gone may still be counted as a holder: the idle time-out of a connection, and some.
const UNNOTICED: Duration = Duration::from_secs(4);

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let few = evidence.let_go.iter().filter(|let_go| let_go.holders.len() < CARRIERS);
    let few = few.filter(|let_go| !evidence.had_outage(let_go.at, UNNOTICED));
    let mut found: Vec<String> =
        few.map(|let_go| format!("too few hold what was let go of: {let_go:?}")).collect();
    // Where nobody had a last look, nobody was asked who carries the event.
    if evidence.ends.is_empty() {
        return found;
    }
    let (carriers, aside) = (evidence.ends.len(), evidence.aside.len());
    if carriers < CARRIERS.min(carriers + aside) {
        found.push(format!("{carriers} nodes carry the event, {aside} do not"));
    }
    found
}
