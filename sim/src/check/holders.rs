//! A firm receipt is held by as many nodes as are promised at the moment when it comes.
//!
//! A holder may have crashed since it said so; then nobody can be asked, and the receipt is judged
//! by the final exports alone.

use std::time::Duration;

use crate::quiz::evidence::Evidence;

/// How long before a receipt came its holder may have crashed: the longest that the receipt's own
/// packets were repeated.
const CRASH_BEFORE: Duration = Duration::from_secs(2);

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
