//! Message fidelity: seeds pass, differ, repeat themselves, and mean the same as on the wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crdt_state::queues::Queue;
use sim::coverage::Coverage;
use sim::run::{Options, RunError};
use sim::schedule::{Kind, Schedule, Wanted};
use sim::sweep::Draws;
use sim::verdict::{Fidelity, Unjudged, Verdict, WIRE_PLAYERS_MAX, judge_in};

const DRAW: Draws = Draws::Swarm(Wanted { nodes: None, players: None, ack: None });

/// What the cores hold; all other queues are of whole nodes.
const OF_CORES: [Queue; 11] = [
    Queue::Pushed,
    Queue::Lanes,
    Queue::PeerLanes,
    Queue::Pulls,
    Queue::AgePulls,
    Queue::Cuts,
    Queue::Staged,
    Queue::Deadlines,
    Queue::Repeats,
    Queue::TurnedAway,
    Queue::LookedAt,
];

fn good(fidelity: Fidelity, schedule: Schedule) -> Verdict {
    let verdict = judge_in(fidelity, schedule, Options::default()).unwrap();
    assert!(verdict.is_good(), "{verdict}");
    verdict
}

/// Nodes, players and faults as the seeds draw them. A mark that none of them reaches, and a queue that nothing is put into,
/// would mean that the draw is too kind.
#[test]
fn seeds_pass_and_differ_and_reach_every_mark_and_queue_of_the_cores() {
    let mut coverage = Coverage::default();
    let mut hashes = BTreeSet::new();
    let mut lawful = 0;
    for seed in 1..=120 {
        let verdict = good(Fidelity::Message, DRAW.schedule(seed));
        lawful += u32::from(verdict.laws_tried > 0);
        let outcome = verdict.outcome;
        coverage.add(&outcome.reached);
        coverage.fill(&outcome.fullest);
        hashes.insert(outcome.trace_hash);
    }
    assert_eq!(hashes.len(), 120);
    assert!(lawful > 60, "the merge laws were tried in {lawful} of 120 runs");
    assert!(coverage.missed().is_empty(), "{coverage}");
    let filled = coverage.queues().filter(|(_, fill)| fill.is_some()).map(|(queue, _)| queue);
    assert_eq!(filled.collect::<Vec<_>>(), OF_CORES, "{coverage}");
}

#[test]
fn a_seed_leaves_the_same_trace_again() {
    for seed in [3, 14, 15] {
        let [one, two] = [(); 2].map(|()| good(Fidelity::Message, DRAW.schedule(seed)).outcome);
        assert_eq!(one.trace_hash, two.trace_hash);
        assert_eq!(
            one.value.ends.values().next().unwrap().export,
            two.value.ends.values().next().unwrap().export
        );
    }
}

/// As a run that goes round in circles is, which takes longer than any limit.
#[test]
fn a_run_that_takes_too_long_is_given_up() {
    let options = Options { real_limit: Duration::ZERO, ..Options::default() };
    let given_up = judge_in(Fidelity::Message, Schedule::classic(1), options).unwrap_err();
    assert!(matches!(given_up, Unjudged::Run(RunError::OutOfRealTime { seed: 1, .. })));
}

/// What a fidelity has no part for, it names.
#[test]
fn each_fidelity_says_what_it_leaves_out() {
    let mut schedule = Schedule::classic(1);
    (schedule.weather.mtu, schedule.knobs.tail_bytes_max) = (1_280, 3_000);
    let left_out = |fidelity| schedule.left_out(fidelity);
    assert_eq!(left_out(Fidelity::Wire), [Kind::Memory]);
    assert_eq!(left_out(Fidelity::Message), [Kind::Clock, Kind::Mtu]);
    let told = good(Fidelity::Message, schedule.clone()).to_string();
    assert!(told.contains("not in message fidelity: clock, mtu"), "{told}");
    schedule.players = WIRE_PLAYERS_MAX + 1;
    let crowd = judge_in(Fidelity::Wire, schedule, Options::default()).unwrap_err();
    assert!(matches!(crowd, Unjudged::TooMany { seed: 1, .. }), "{crowd}");
}

/// Schedules that have found something once, in nodes' cores or in whole nodes.
#[test]
fn kept_schedules_pass_in_both_fidelities() {
    for file in ["schedules", "schedules/wire"].into_iter().flat_map(schedules) {
        let schedule = Schedule::from_json(&fs::read_to_string(&file).unwrap()).unwrap();
        for fidelity in [Fidelity::Message, Fidelity::Wire] {
            good(fidelity, schedule.clone());
        }
    }
}

fn schedules(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}

/// One schedule, twice: whole nodes on the wire, and their cores alone. No checker passes it because it had nothing
/// to look at.
#[test]
fn a_schedule_passes_the_same_checkers_in_both_fidelities() {
    for mut schedule in [Schedule::classic(7), DRAW.schedule(3), DRAW.schedule(4)] {
        // What is ruled decides which runs there are for faults to begin in, and it depends on when a host
        // looks: that is not the same in both.
        schedule.habits.ruling = false;
        let [wire, message] =
            [Fidelity::Wire, Fidelity::Message].map(|fidelity| good(fidelity, schedule.clone()));
        assert_eq!(
            [wire.laws_tried, message.laws_tried],
            [10; 2],
            "laws were tried on every state"
        );
        let [wire, message] = [wire, message].map(|verdict| verdict.outcome.value);
        let players = schedule.players as usize;
        assert_eq!((wire.players.len(), message.players.len()), (players, players));
        for evidence in [&wire, &message] {
            assert!(evidence.asked as usize > players, "receipts came and were asked about");
            let last: Vec<u8> = evidence.ends.keys().copied().collect();
            assert_eq!(last, schedule.last_nodes());
            assert!(evidence.compared > 20, "{} digests were compared", evidence.compared);
            let said = |status| evidence.results.iter().any(|seen| seen.status == status);
            assert!(said("final"), "no result was called final");
            assert!(evidence.firm().count() > players, "few receipts are firm");
            assert!(!evidence.entries.is_empty(), "no lane was kept whole");
            assert!(!evidence.sightings.is_empty() && !evidence.commands.is_empty());
        }
        // What each answer gave is told by a node's publisher, which is no core.
        assert!(wire.players.values().any(|player| !player.told.is_empty()), "nobody was told");
        let outages = |evidence: &sim::quiz::evidence::Evidence| evidence.outages.len();
        assert_eq!(outages(&wire), outages(&message), "the same went wrong");
    }
}
