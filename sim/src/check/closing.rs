//! Deadlines are kept: each round is closed on every living node at its deadline, whoever else
//! lives, and nowhere before it; no answer is accepted after it, none before its round is open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use node::service::view::{Command, PhaseView};

use crate::quiz::evidence::{Evidence, Receipt, Sighting};
use crate::quiz::host::EXTENSION_MS;
use crate::schedule::{Question, Schedule};
use crate::storms::Storms;

/// For how long after the deadline answers are taken.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// How much later a round may be closed: the answers' last turn, and ages rounded on their way.
const TOLERANCE: Duration = Duration::from_millis(240);
/// The proposals of two nodes are so far apart.
const STAGGER: Duration = Duration::from_millis(20);
/// A node that does not know when a round opened closes it by itself after this.
const ZERO_PATIENCE: Duration = Duration::from_secs(1);
/// How much earlier a round may be closed, by the rounding of ages on their way.
const EARLY: Duration = Duration::from_millis(100);
/// A packet that is lost is sent again after this and a round trip.
const RESENT: Duration = Duration::from_millis(75);
/// By how much a hasty host extends a round.
const EXTENSION: Duration = Duration::from_millis(EXTENSION_MS as u64);

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let opened = evidence.sightings.iter().filter(|seen| seen.stage.phase == PhaseView::Open);
    let late = opened.filter_map(|seen| check_late(evidence, seen));
    let runs = evidence.sightings.iter().map(|seen| seen.stage.instance);
    let instances =
        runs.filter(|instance| (1..1_000).contains(instance)).collect::<BTreeSet<u32>>();
    let instances = instances.into_iter();
    let early = instances.filter_map(|instance| check_early(evidence, instance));
    late.chain(early).chain(answers(evidence)).collect()
}

/// Answers that were accepted out of their time.
pub(super) fn answers(evidence: &Evidence) -> Vec<String> {
    [late_answers(evidence), early_answers(evidence)].concat()
}

/// How often hosts have pressed this button in this instance.
fn pressed(evidence: &Evidence, command: Command, instance: u32) -> u32 {
    let of = |request: &&(Duration, u8, node::service::view::CommandRequest)| {
        request.2.command == command && request.2.expected.instance == instance
    };
    evidence.commands.iter().filter(of).count() as u32
}

fn longest_open(evidence: &Evidence, instance: u32) -> Option<Duration> {
    let open = super::questions_of(evidence, instance).into_iter().map(Question::open).max()?;
    Some(open + EXTENSION * pressed(evidence, Command::Extend, instance))
}

/// By how much the age of an opening may be off: what a message may be late beyond what its sender
/// reckoned with.
fn slack(plan: &Schedule) -> Duration {
    let storms = Storms::of(plan);
    let worst = storms.weathers(plan.weather).map(|weather| {
        let under_way = match weather.loss + weather.corruption > 0.0 {
            true => 4 * weather.delay_max() + RESENT,
            false => weather.delay_max(),
        };
        under_way + if weather.bandwidth > 0 { RESENT * 4 } else { Duration::ZERO }
    });
    worst.max().unwrap_or_default()
}

/// When the round should be closed where it was seen open, counted from its own opening.
fn due(evidence: &Evidence, seen: &Sighting) -> Option<Duration> {
    let open = longest_open(evidence, seen.stage.instance)?;
    Some(match seen.age_ms {
        Some(age_ms) => (seen.at + open + GRACE).saturating_sub(Duration::from_millis(age_ms)),
        None => seen.at + ZERO_PATIENCE.max(open + GRACE),
    })
}

fn check_late(evidence: &Evidence, seen: &Sighting) -> Option<String> {
    let same = |other: &&Sighting| other.node == seen.node && other.life == seen.life;
    let next = evidence.sightings.iter().filter(same).find(|other| other.stage > seen.stage);
    let plan = &evidence.plan;
    let stagger = STAGGER * plan.nodes_ever().into();
    // Who sees the round only after its end closes it then.
    let due = due(evidence, seen)?.max(seen.at) + TOLERANCE + stagger + slack(plan);
    let was_down = |until: Duration| {
        evidence.outages.iter().any(|outage| {
            outage.node == seen.node
                && outage.from <= until
                && outage.to.is_none_or(|to| to >= seen.at)
        })
    };
    // Who has said goodbye to the show hears of it no longer, until it carries on with it after all.
    let let_go = |until: Duration| {
        let mut partings = evidence.partings.iter().filter(|parting| parting.node == seen.node);
        partings.any(|parting| parting.from <= until && parting.to >= seen.at)
    };
    match next {
        Some(next) if next.at <= due => None,
        None if let_go(due) => None,
        None if pressed(evidence, Command::Pause, seen.stage.instance) > 0
            && let_go(Duration::MAX) =>
        {
            None
        }
        // Time stood still meanwhile, nobody knows for how long; all that is left is that it was closed.
        Some(_) if pressed(evidence, Command::Pause, seen.stage.instance) > 0 => None,
        // The node was stopped in the meantime.
        Some(next) if was_down(next.at) => None,
        Some(next) => Some(format!("{seen:?} was closed at {:?}, not by {due:?}", next.at)),
        // The node went down before, at any time where time stood still meanwhile.
        None if was_down(due) => None,
        None if pressed(evidence, Command::Pause, seen.stage.instance) > 0
            && was_down(Duration::MAX) =>
        {
            None
        }
        None => Some(format!("{seen:?} was never closed")),
    }
}

/// A round that some node without a clock for it has seen may be closed by that node at any time,
/// and one that a host closes or skips is closed.
fn check_early(evidence: &Evidence, instance: u32) -> Option<String> {
    let of = |seen: &&Sighting| seen.stage.instance == instance;
    let open = |seen: &&Sighting| seen.stage.phase == PhaseView::Open;
    let opened: Vec<_> = evidence.sightings.iter().filter(of).filter(open).collect();
    if opened.iter().any(|seen| seen.age_ms.is_none())
        || [Command::Close, Command::Skip].iter().any(|it| pressed(evidence, *it, instance) > 0)
    {
        return None;
    }
    let shortest = super::questions_of(evidence, instance).into_iter().map(Question::open).min()?;
    let length = shortest + GRACE;
    let due = opened.iter().map(|seen| {
        (seen.at + length).saturating_sub(Duration::from_millis(seen.age_ms.unwrap_or_default()))
    });
    let due = due.min()?.saturating_sub(EARLY + slack(&evidence.plan));
    let closed = evidence.sightings.iter().filter(of).find(|s| s.stage.phase > PhaseView::Open)?;
    (closed.at < due).then(|| format!("{closed:?} is before {due:?}"))
}

/// Answers that were accepted after the deadline.
fn late_answers(evidence: &Evidence) -> Vec<String> {
    let (mut found, mut longest) = (Vec::new(), BTreeMap::new());
    for (player, seen) in &evidence.players {
        for receipt in &seen.receipts {
            let of = receipt.instance;
            let open = longest.entry(of).or_insert_with(|| longest_open(evidence, of));
            let Some(open) = *open else { continue };
            let elapsed = Duration::from_millis(receipt.elapsed_ms.into());
            if elapsed > open + GRACE {
                found.push(format!("player {player} was in time after {elapsed:?}: {receipt:?}"));
            }
        }
    }
    found
}

/// Answers that were accepted before any node showed their round open.
fn early_answers(evidence: &Evidence) -> Vec<String> {
    let mut opened: BTreeMap<u32, Duration> = BTreeMap::new();
    for seen in evidence.sightings.iter().filter(|seen| seen.stage.phase == PhaseView::Open) {
        opened.entry(seen.stage.instance).or_insert(seen.at);
    }
    let all = evidence
        .players
        .iter()
        .flat_map(|(player, seen)| seen.receipts.iter().map(move |receipt| (player, receipt)));
    let is_open =
        |receipt: &Receipt| opened.get(&receipt.instance).is_some_and(|since| *since <= receipt.at);
    let early = all.filter(|(_, receipt)| !is_open(receipt));
    early.map(|(player, receipt)| format!("player {player} was too early: {receipt:?}")).collect()
}
