//! After healing an event has its three carriers, or as many as there are nodes.

use node::engine::CARRIERS;

use crate::quiz::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    // Where nobody had a last look, nobody was asked who carries the event.
    if evidence.ends.is_empty() {
        return Vec::new();
    }
    let (carriers, aside) = (evidence.ends.len(), evidence.aside.len());
    let least = CARRIERS.min(carriers + aside);
    let few = carriers < least;
    few.then(|| format!("{carriers} nodes carry the event, {aside} do not")).into_iter().collect()
}
