//! A firm receipt is held by as many nodes as are promised at the moment when it comes.
//!
//! A holder may have crashed since it said so; then nobody can be asked, and the receipt is judged
//! by the final exports alone.

use crate::quiz::evidence::{CRASH_BEFORE, Evidence};

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let early = evidence
        .unheld
        .iter()
        .filter(|unheld| !evidence.had_outage(unheld.receipt.at, CRASH_BEFORE));
    let what = early.map(|unheld| {
        format!("too few nodes hold the answer of player {}: {:?}", unheld.player, unheld.receipt)
    });
    what.collect()
}
