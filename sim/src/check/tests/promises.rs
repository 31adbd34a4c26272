//! What is said once and stays so, and what is judged of a run that was stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use node::service::view::{PhaseView, StageView};

use super::super::check_stopped;
use super::{PLAYER, export, found, good};
use crate::quiz::evidence::{Evidence, ResultSeen};
use crate::state::NodeState;

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
