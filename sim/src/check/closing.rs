//! Each round is closed on every living node at its deadline, whoever else lives, and nowhere
//! before it.

use std::time::Duration;

use node::service::view::PhaseView;

use crate::quiz::evidence::{Evidence, Sighting};

/// For how long after the deadline answers are taken.
const GRACE: Duration = Duration::from_millis(250);
/// How much later a round may be closed: three nodes' stagger, and what the age of an opening that
/// came late over a bad link is off by.
const TOLERANCE: Duration = Duration::from_millis(300);
/// A node that does not know when a round opened closes it by itself after this.
const ZERO_PATIENCE: Duration = Duration::from_secs(1);
/// How much earlier a round may be closed, by the rounding of ages on their way.
const EARLY: Duration = Duration::from_millis(100);

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let opened = evidence.sightings.iter().filter(|seen| seen.stage.phase == PhaseView::Open);
    let late = opened.filter_map(|seen| check_late(evidence, seen));
    let instances = 1..=evidence.plan.questions.len() as u32;
    let early = instances.filter_map(|instance| check_early(evidence, instance));
    late.chain(early).collect()
}

/// When the round should be closed where it was seen open, counted from its own opening.
fn due(evidence: &Evidence, seen: &Sighting) -> Option<Duration> {
    let open = evidence.plan.question(seen.stage.instance)?.open;
    Some(match seen.age_ms {
        Some(age_ms) => (seen.at + open + GRACE).saturating_sub(Duration::from_millis(age_ms)),
        None => seen.at + ZERO_PATIENCE.max(open + GRACE),
    })
}

fn check_late(evidence: &Evidence, seen: &Sighting) -> Option<String> {
    let same = |other: &&Sighting| other.node == seen.node && other.life == seen.life;
    let next = evidence.sightings.iter().filter(same).find(|other| other.stage > seen.stage);
    let due = due(evidence, seen)? + TOLERANCE;
    match next {
        Some(next) if next.at <= due => None,
        Some(next) => Some(format!("{seen:?} was closed at {:?}, not by {due:?}", next.at)),
        // The node went down before.
        None if evidence.outages.iter().any(|o| o.node == seen.node && o.from <= due) => None,
        None => Some(format!("{seen:?} was never closed")),
    }
}

/// A round that some node without a clock for it has seen may be closed by that node at any time.
fn check_early(evidence: &Evidence, instance: u32) -> Option<String> {
    let of = |seen: &&Sighting| seen.stage.instance == instance;
    let open = |seen: &&Sighting| seen.stage.phase == PhaseView::Open;
    let opened: Vec<_> = evidence.sightings.iter().filter(of).filter(open).collect();
    if opened.iter().any(|seen| seen.age_ms.is_none()) {
        return None;
    }
    let due = opened.iter().filter_map(|seen| due(evidence, seen)).min()?.saturating_sub(EARLY);
    let closed = evidence.sightings.iter().filter(of).find(|s| s.stage.phase > PhaseView::Open)?;
    (closed.at < due).then(|| format!("{closed:?} is before {due:?}"))
}
