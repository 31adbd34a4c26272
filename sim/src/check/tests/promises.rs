//! What is said once and stays so: receipts, results, and what is judged of a run that was stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use node::service::view::{PhaseView, StageView};

use super::super::{check, check_stopped};
use super::{PLAYER, export, found, good, receipt, sighting};
use crate::quiz::evidence::{Evidence, Outage, Parting, Receipt, ResultSeen, Sighting};
use crate::schedule::{Fault, Planned};
use crate::state::NodeState;

#[test]
fn a_node_does_not_take_back_what_it_has_promised() {
    let later = |receipt: Receipt| Receipt {
        at: receipt.at + Duration::from_millis(500),
        status: "duplicate".into(),
        firm: false,
        ..receipt
    };
    let told = |change: fn(&mut Receipt), outages: &[(u8, u64)]| {
        let change = |evidence: &mut Evidence| {
            let mut then = later(receipt());
            change(&mut then);
            evidence.players.get_mut(&PLAYER).unwrap().receipts.push(then);
            let outages = outages.iter().map(|(node, from)| {
                let from = Duration::from_millis(*from);
                let to = Some(from + Duration::from_millis(10));
                Outage { node: *node, from, to, forgets: None }
            });
            evidence.outages.extend(outages);
        };
        let (mut whole, mut stopped) = (good(), good());
        change(&mut whole);
        change(&mut stopped);
        stopped.stopped = Some(Duration::from_secs(20));
        let found = check(&whole);
        assert_eq!(found, check_stopped(&stopped), "it holds at any time");
        found.len()
    };
    assert_eq!(told(|_| (), &[]), 1);
    assert_eq!(told(|then| then.firm = true, &[]), 0, "it says the same");
    assert_eq!(told(|then| then.node = 2, &[]), 0, "another node cannot know");
    assert_eq!(told(|then| then.elapsed_ms = 800, &[]), 0, "an earlier one has come");
    assert_eq!(told(|_| (), &[(1, 11_000)]), 0, "it has forgotten what it said");
    assert_eq!(told(|_| (), &[(2, 11_000), (1, 9_000)]), 1, "it cannot have forgotten it");
    let shown = |evidence: &mut Evidence| {
        evidence.players.get_mut(&PLAYER).unwrap().receipts.push(later(receipt()));
        let stage = StageView { instance: 2, phase: PhaseView::Intro };
        let seen = Sighting { stage, question: Some(2), ..sighting(1, 11_000, PhaseView::Intro) };
        evidence.sightings.insert(1, seen);
    };
    assert!(!found(shown).contains(&"receipts"), "another run is shown by then");
}

#[test]
fn what_was_taken_is_promised_in_the_end_unless_somebody_is_missing_for_good() {
    let told = |since_ms: Option<u64>, change: fn(&mut Evidence)| {
        found(|evidence| {
            let seen = evidence.players.get_mut(&PLAYER).unwrap();
            seen.connected = since_ms.map(Duration::from_millis);
            seen.receipts[0].firm = false;
            change(evidence);
        })
    };
    let connected = Some(9_000);
    assert_eq!(told(connected, |_| ()), ["progress"]);
    let later = |evidence: &mut Evidence| {
        let at = Duration::from_secs(12);
        let firm = Receipt { at, ..receipt() };
        evidence.players.get_mut(&PLAYER).unwrap().receipts.push(firm);
    };
    assert_eq!(told(connected, later), [] as [&str; 0]);
    assert_eq!(told(Some(11_000), |_| ()), [] as [&str; 0], "it was said over a former connection");
    assert_eq!(told(None, |_| ()), [] as [&str; 0], "nothing can be said to who is away");
    let lost = |evidence: &mut Evidence| {
        let fault = Fault::Leave { node: 3 };
        evidence.plan.faults = vec![Planned { instance: 1, after_ms: 0, lasts_ms: 0, fault }];
    };
    assert_eq!(told(connected, lost), [] as [&str; 0], "all must hold it then");
    let alone = |evidence: &mut Evidence| evidence.plan.nodes = 1;
    assert!(!told(connected, alone).contains(&"progress"), "nobody else can hold it");
    let let_go = |evidence: &mut Evidence| {
        let (from, to) = (Duration::from_secs(14), Duration::from_secs(15));
        evidence.partings.push(Parting { node: 1, from, to });
    };
    assert_eq!(told(connected, let_go), [] as [&str; 0], "what it owed went with the show");
}

#[test]
fn what_is_called_final_keeps_every_answer() {
    let seen = |node, answered, held| {
        let (at, status) = (Duration::from_secs(15), "final".to_owned());
        ResultSeen { at, node, instance: 1, status, answered, held, missing: Vec::new() }
    };
    let finals = |held: [Option<u64>; 2]| {
        found(|evidence| evidence.results.extend([seen(1, 1, held[0]), seen(2, 1, held[1])]))
    };
    assert_eq!(finals([Some(77), Some(77)]), [] as [&str; 0]);
    assert_eq!(finals([Some(77), Some(78)]), ["seals"]);
    assert_eq!(finals([None, Some(77)]), [] as [&str; 0], "of a crowd nobody knows");
    assert_eq!(found(|evidence| evidence.results.push(seen(1, 2, Some(77)))), ["seals"]);
    let dies = |from_ms, forgets_ms| {
        let [from, forgets] = [from_ms, forgets_ms].map(Duration::from_millis);
        let outage = Outage { node: 1, from, to: None, forgets: Some(forgets) };
        let rules = found(|evidence| {
            evidence.results.push(seen(1, 2, Some(77)));
            evidence.outages.push(outage);
        });
        rules.contains(&"seals")
    };
    assert!(!dies(15_001, 12_000), "nobody else has heard what it rests on");
    assert!(dies(15_001, 15_001), "it has forgotten nothing of it");
    assert!(dies(19_000, 12_000), "all have heard it");
}

#[test]
fn of_two_choices_of_one_millisecond_a_player_who_stayed_is_told() {
    let told = |since_ms: u64| {
        let rules = found(|evidence| {
            let seen = evidence.players.get_mut(&PLAYER).unwrap();
            seen.connected = Some(Duration::from_millis(since_ms));
            seen.receipts[0].choices = vec![2];
            *seen.answered.get_mut(&1).unwrap() |= 1 << 2;
            seen.results.clear();
        });
        rules.contains(&"receipts")
    };
    assert!(told(9_000), "the node that said it knows the player still");
    assert!(!told(60_000), "the player is elsewhere, where nobody knows what was said");
}

#[test]
fn a_run_that_was_stopped_is_judged_by_what_holds_at_any_time() {
    let stopped = |change: &dyn Fn(&mut Evidence)| {
        let mut evidence = good();
        let ends = std::mem::take(&mut evidence.ends);
        evidence.stopped = Some(Duration::from_secs(12));
        evidence.states = ends.into_iter().map(|(node, end)| (node, state(&end.export))).collect();
        change(&mut evidence);
        let mut rules: Vec<_> =
            check_stopped(&evidence).into_iter().map(|violation| violation.rule).collect();
        rules.dedup();
        rules
    };
    assert_eq!(stopped(&|_| ()), [] as [&str; 0]);
    let doubled = |evidence: &mut Evidence| {
        evidence.states.insert(2, state(&export(&[(900, 10), (900, 10)])));
    };
    assert_eq!(stopped(&doubled), ["doubles"]);
    let late = |evidence: &mut Evidence| {
        evidence.players.get_mut(&PLAYER).unwrap().receipts[0].elapsed_ms = 60_000;
    };
    assert_eq!(stopped(&late), ["closing"]);
    let unclosed = |evidence: &mut Evidence| {
        evidence.sightings.retain(|seen| seen.node != 1 || seen.stage.phase == PhaseView::Open);
    };
    assert_eq!(stopped(&unclosed), [] as [&str; 0], "it may be closed later");
    let phantom = |evidence: &mut Evidence| {
        let seen = evidence.players.get_mut(&PLAYER).unwrap();
        (seen.answered, seen.receipts) = Default::default();
    };
    assert_eq!(stopped(&phantom), ["receipts"]);
}

fn state(export: &[u8]) -> NodeState {
    NodeState {
        origin: String::new(),
        stage: StageView { instance: 1, phase: PhaseView::Open },
        digest: String::new(),
        players: 1,
        answered: BTreeMap::new(),
        result: None,
        heads: BTreeMap::new(),
        peers: BTreeMap::new(),
        tail_bytes: 0,
        receipts_waiting: 0,
        counts: String::new(),
        export: String::from_utf8_lossy(export).lines().map(str::to_owned).collect(),
    }
}
