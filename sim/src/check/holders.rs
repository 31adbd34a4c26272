//! A firm receipt is held by as many nodes as are promised at the moment when it comes.
//!
//! A holder may have crashed since it said so, and whoever it had a link to has not noticed yet; then nobody can be
//! asked, and the receipt is judged by the final exports alone.

use crate::quiz::evidence::Evidence;
use std::time::Duration;

/// For how long a node that says nothing is believed there: the idle time-out of a link, and a turn.
const UNNOTICED: Duration = Duration::from_secs(4);

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let early =
        evidence.unheld.iter().filter(|unheld| !evidence.had_outage(unheld.receipt.at, UNNOTICED));
    let what = early.map(|unheld| {
        format!("too few nodes hold the answer of player {}: {:?}", unheld.player, unheld.receipt)
    });
    what.collect()
}
