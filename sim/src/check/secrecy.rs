//! No player hears an answer before the reveal, nor a tally before its phase, nor a count while a
//! round is open.

use std::collections::BTreeMap;
use std::time::Duration;

use node::service::view::PhaseView;

use crate::quiz::evidence::Evidence;
use crate::schedule::Form;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let shown = shown(evidence);
    let mut left = BTreeMap::new();
    for (player, seen) in &evidence.players {
        found.extend(seen.leaks.iter().map(|leak| format!("player {player} was shown {leak}")));
        let words =
            seen.secrets.iter().filter(|(number, heard)| is_early(shown.get(number), heard));
        found.extend(words.map(|(number, heard)| {
            let shown = shown.get(number);
            format!("player {player} heard the answer of question {number} at {heard:?}, revealed at {shown:?}")
        }));
        for (instance, heard) in &seen.told {
            let left = left.entry(*instance).or_insert_with(|| revealed(evidence, *instance));
            if is_early(left.as_ref(), heard) {
                found.push(format!(
                    "player {player} heard the result of run {instance} at {heard:?}, revealed at {left:?}"
                ));
            }
        }
    }
    found
}

fn is_early(revealed: Option<&Duration>, heard: &Duration) -> bool {
    revealed.is_none_or(|revealed| heard < revealed)
}

/// When a node first showed the answer of each question, whichever run it was.
fn shown(evidence: &Evidence) -> BTreeMap<u32, Duration> {
    let mut first = BTreeMap::new();
    for seen in evidence.sightings.iter().filter(|seen| seen.stage.phase >= PhaseView::Reveal) {
        if let Some(number) = seen.question {
            let at: &mut Duration = first.entry(number).or_insert(seen.at);
            *at = seen.at.min(*at);
        }
    }
    first
}

/// When a node first told what came of this instance, or left it. What comes of a prediction hosts say from its
/// tallies on.
fn revealed(evidence: &Evidence, instance: u32) -> Option<Duration> {
    let reveals = evidence.sightings.iter().filter(|seen| {
        let (stage, number) = (seen.stage, seen.question.unwrap_or_default() as usize);
        let question = number.checked_sub(1).and_then(|at| evidence.plan.questions.get(at));
        let tells = match question.map(|question| question.form) {
            Some(Form::Prediction) => PhaseView::Tallies,
            _ => PhaseView::Reveal,
        };
        stage.instance > instance || (stage.instance == instance && stage.phase >= tells)
    });
    reveals.map(|seen| seen.at).min()
}
