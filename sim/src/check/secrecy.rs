//! No player hears an answer before the reveal, nor a tally before its phase, nor a count while a
//! round is open.

use std::time::Duration;

use node::service::view::PhaseView;

use crate::quiz::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for (player, seen) in &evidence.players {
        found.extend(seen.leaks.iter().map(|leak| format!("player {player} was shown {leak}")));
        for (instance, heard) in &seen.secrets {
            let revealed = revealed(evidence, *instance);
            if revealed.is_none_or(|revealed| *heard < revealed) {
                found.push(format!(
                    "player {player} heard the answer of question {instance} at {heard:?}, \
                     revealed at {revealed:?}"
                ));
            }
        }
    }
    found
}

/// When a node first revealed this instance.
fn revealed(evidence: &Evidence, instance: u32) -> Option<Duration> {
    let reveals = evidence.sightings.iter().filter(|seen| {
        let stage = seen.stage;
        stage.instance > instance
            || (stage.instance == instance && stage.phase >= PhaseView::Reveal)
    });
    reveals.map(|seen| seen.at).min()
}
