//! Every family of rules finds what it is there for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use crdt_state::{Heads, LaneId, Origin, PlayerId};
use node::service::view::{Command, CommandRequest, PhaseView, StageView};

use super::check;
use super::export::Export;
use crate::quiz::evidence::{
    End, Evidence, LetGo, Notebook, Outage, Parting, PlayerEvidence, Receipt, Ruled, Sighting,
    Unheld,
};
use crate::schedule::{CREDIT, Form, Schedule, stake, word};

mod promises;

const PLAYER: PlayerId = PlayerId(7);
const RULED: Duration = Duration::from_secs(31);

fn receipt() -> Receipt {
    Receipt {
        at: Duration::from_millis(10_950),
        node: 1,
        instance: 1,
        status: "accepted".into(),
        firm: true,
        choices: vec![0],
        elapsed_ms: 900,
    }
}

fn sighting(node: u8, at_ms: u64, phase: PhaseView) -> Sighting {
    let stage = StageView { instance: 1, phase };
    let age_ms = (phase == PhaseView::Open).then_some(0);
    let at = Duration::from_millis(at_ms);
    Sighting { at, node, life: 1, stage, question: Some(1), age_ms }
}

fn export(answers: &[(u32, u64)]) -> Bytes {
    let plan = Schedule::classic(1);
    let correct = plan.questions[0].correct == 0;
    let open_ms = u64::from(plan.questions[0].open_ms);
    let points_of = |ms: u32| (1_000 * (2 * open_ms - u64::from(ms)) + open_ms) / (2 * open_ms);
    let points: u64 = answers.iter().map(|(ms, _)| points_of(*ms)).sum();
    let (points, ms) = match correct {
        true => (points, answers.iter().map(|(ms, _)| u64::from(*ms)).sum::<u64>()),
        false => (0, 0),
    };
    let counts: Vec<u64> =
        (0..plan.questions[0].options).map(|n| u64::from(n == 0) * answers.len() as u64).collect();
    let right = plan.questions[0].correct;
    let mut text = format!(
        "{{\"type\":\"question\",\"instance\":1,\"number\":1,\"correct\":[{right}],\
         \"open_ms\":{open_ms},\"voided\":false}}\n"
    );
    text += &format!("{{\"type\":\"tally\",\"instance\":1,\"counts\":{counts:?}}}\n");
    text += &format!(
        "{{\"type\":\"player\",\"player\":\"{PLAYER}\",\"points\":{points},\"rank\":1,\"correct_ms\":{ms}}}\n"
    );
    for (ms, _) in answers {
        let points = if correct { points_of(*ms) } else { 0 };
        text += &format!(
            "{{\"type\":\"answer\",\"instance\":1,\"player\":\"{PLAYER}\",\"choices\":[0],\
             \"elapsed_ms\":{ms},\"correct\":{correct},\"points\":{points}}}\n"
        );
    }
    Bytes::from(text)
}

/// A run of one question and one player in which all went well.
fn good() -> Evidence {
    let plan = Schedule::classic(1);
    let closed_ms = 10_000 + plan.questions[0].open().as_millis() as u64 + 260;
    let notebook = Notebook::new(plan);
    notebook.player(PLAYER, |seen| {
        seen.joined = Some(Duration::from_secs(1));
        seen.let_in = seen.joined;
        seen.answered.insert(1, 0b1);
        seen.receipts.push(receipt());
        seen.secrets.insert(1, Duration::from_secs(31));
    });
    notebook.write(|evidence| {
        for node in 1..=3 {
            let end = End {
                digest: 1,
                export: export(&[(900, 10)]),
                trail: BTreeSet::new(),
                held: BTreeMap::from([(1, 77)]),
            };
            evidence.ends.insert(node, end);
            evidence.sightings.push(sighting(node, 10_000, PhaseView::Open));
            evidence.sightings.push(sighting(node, closed_ms, PhaseView::Closed));
            evidence.sightings.push(sighting(node, 30_000, PhaseView::Reveal));
            let over = StageView { instance: u32::MAX, phase: PhaseView::Ended };
            let end =
                Sighting { stage: over, question: None, ..sighting(node, 32_000, over.phase) };
            evidence.sightings.push(end);
        }
    });
    notebook.read()
}

/// The families that find something.
fn found(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = good();
    change(&mut evidence);
    let mut rules: Vec<_> = check(&evidence).into_iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_good_run_is_good() {
    assert_eq!(check(&good()), []);
}

#[test]
fn a_firm_receipt_that_is_in_no_export_is_lost() {
    let lost = |evidence: &mut Evidence| {
        evidence.ends.values_mut().for_each(|end| end.export = export(&[]));
    };
    assert_eq!(found(lost), ["receipts"]);
}

#[test]
fn an_earlier_cell_keeps_a_receipt_and_a_later_one_does_not() {
    let held_at = |ms: u32| {
        found(|evidence| {
            evidence.ends.values_mut().for_each(|end| end.export = export(&[(ms, 10)]));
        })
    };
    assert_eq!(held_at(800), [] as [&str; 0]);
    assert_eq!(held_at(901), ["receipts"]);
}

#[test]
fn an_answer_that_nobody_gave_is_a_phantom() {
    let phantom = |evidence: &mut Evidence| {
        let seen = evidence.players.get_mut(&PLAYER).unwrap();
        seen.answered.clear();
        seen.receipts.clear();
    };
    assert_eq!(found(phantom), ["receipts"]);
}

#[test]
fn a_receipt_for_what_was_never_chosen_is_a_lie() {
    let lie = |evidence: &mut Evidence| {
        evidence.players.get_mut(&PLAYER).unwrap().answered.insert(1, 0b10);
    };
    assert_eq!(found(lie), ["receipts"]);
}

#[test]
fn a_firm_receipt_that_nobody_else_holds_is_early_unless_the_holder_crashed() {
    let unheld = Unheld { player: PLAYER, receipt: receipt() };
    let early = |evidence: &mut Evidence| evidence.unheld.push(unheld.clone());
    assert_eq!(found(early), ["holders"]);
    let excused = |evidence: &mut Evidence| {
        evidence.unheld.push(unheld.clone());
        let (from, to) = (Duration::from_secs(4), Some(Duration::from_secs(20)));
        evidence.outages.push(Outage { node: 2, from, to, forgets: None });
    };
    assert_eq!(found(excused), [] as [&str; 0]);
}

#[test]
fn a_firm_receipt_may_go_with_all_who_held_it_but_only_where_they_went_at_once() {
    let receipt = Receipt { at: Duration::from_secs(5), ..receipt() };
    let lost_with = |others: &[u8], outages: &[(u8, u64, u64)]| {
        found(|evidence: &mut Evidence| {
            evidence.ends.values_mut().for_each(|end| end.export = export(&[]));
            evidence.note_holders(PLAYER, &receipt, others);
            for (node, from, to) in outages {
                let [from, to] = [from, to].map(|ms| Duration::from_millis(*ms));
                let forgets = Some(from.saturating_sub(Duration::from_millis(100)));
                evidence.outages.push(Outage { node: *node, from, to: Some(to), forgets });
            }
        })
        .contains(&"receipts")
    };
    let lost = |outages: &[(u8, u64, u64)]| lost_with(&[2], outages);
    assert!(!lost(&[(1, 5_010, 6_000), (2, 5_050, 7_000)]));
    assert!(!lost_with(&[], &[(2, 4_980, 6_000), (1, 5_050, 7_000)]), "it went down right before");
    assert!(lost_with(&[], &[(1, 5_050, 7_000)]), "nobody else ever had it");
    assert!(lost(&[(1, 5_010, 6_000)]), "the other one lives");
    assert!(lost(&[(1, 5_010, 6_000), (2, 5_200, 7_000)]), "the other one has it on disk");
    assert!(lost(&[(1, 5_010, 6_000), (3, 5_050, 7_000)]), "it was not in the hands of the third");
    // Here nodes go down first, and what they said comes after.
    let on_its_way = |from: u64, to: u64| {
        found(|evidence: &mut Evidence| {
            evidence.ends.values_mut().for_each(|end| end.export = export(&[]));
            let [from, to] = [from, to].map(Duration::from_millis);
            let forgets = Some(from.saturating_sub(Duration::from_millis(100)));
            let outage = |node| Outage { node, from, to: Some(to), forgets };
            evidence.outages.extend([outage(1), outage(2)]);
            evidence.note_holders(PLAYER, &receipt, &[]);
        })
        .contains(&"receipts")
    };
    assert!(!on_its_way(4_980, 6_000), "it was under way when its node went down");
    assert!(on_its_way(4_000, 4_900), "its node was back when it said so");
}

#[test]
fn a_second_answer_counts_twice() {
    let doubled = |evidence: &mut Evidence| {
        evidence.ends.values_mut().for_each(|end| end.export = export(&[(900, 10), (900, 10)]));
    };
    assert_eq!(found(doubled), ["doubles"]);
}

#[test]
fn a_node_that_differs_or_is_missing_disagrees() {
    assert_eq!(found(|evidence| evidence.ends.get_mut(&2).unwrap().digest = 2), ["agreement"]);
    assert_eq!(found(|evidence| drop(evidence.ends.remove(&3))), ["agreement"]);
}

#[test]
fn a_round_is_closed_neither_late_nor_early_nor_never() {
    let closing = |change: fn(&mut Sighting)| {
        found(|evidence| {
            let closed = |seen: &&mut Sighting| seen.stage.phase == PhaseView::Closed;
            change(evidence.sightings.iter_mut().find(closed).unwrap());
        })
    };
    assert_eq!(closing(|seen| seen.at += Duration::from_secs(1)), ["closing"]);
    assert_eq!(closing(|seen| seen.at -= Duration::from_secs(1)), ["closing"]);
    let too_early = |evidence: &mut Evidence| {
        evidence.sightings.iter_mut().for_each(|seen| seen.at += Duration::from_secs(1));
        let receipt = &mut evidence.players.get_mut(&PLAYER).unwrap().receipts[0];
        receipt.at = Duration::from_secs(10);
    };
    assert_eq!(found(too_early), ["closing"]);
    let never = |evidence: &mut Evidence| {
        evidence.sightings.retain(|seen| seen.node != 1 || seen.stage.phase == PhaseView::Open);
    };
    assert_eq!(found(never), ["closing"]);
}

#[test]
fn what_is_let_go_of_is_left_to_three_and_shown_no_longer() {
    let at = Duration::from_millis(10_100);
    let let_go = |holders: &[u8]| LetGo { at, node: 1, holders: holders.to_vec() };
    let parting = Parting { node: 1, from: at - Duration::from_millis(300), to: at };
    let never_closed = |evidence: &mut Evidence| {
        evidence.sightings.retain(|seen| seen.node != 1 || seen.stage.phase == PhaseView::Open);
    };
    assert_eq!(found(never_closed), ["closing"]);
    let left = |evidence: &mut Evidence| {
        never_closed(evidence);
        evidence.let_go.push(let_go(&[2, 3, 4]));
        evidence.partings.push(parting);
    };
    assert_eq!(found(left), [] as [&str; 0]);
    let carried_on = |evidence: &mut Evidence| {
        let mine = evidence.sightings.iter().filter(|seen| seen.node == 1).copied();
        let anew =
            mine.map(|seen| Sighting { at: seen.at + Duration::from_millis(1), life: 2, ..seen });
        let anew: Vec<Sighting> = anew.collect();
        never_closed(evidence);
        evidence.sightings.extend(anew);
        evidence.partings.push(parting);
    };
    assert_eq!(found(carried_on), [] as [&str; 0]);
    assert_eq!(found(|evidence| evidence.let_go.push(let_go(&[2, 3]))), ["carriers"]);
    let unnoticed = |evidence: &mut Evidence| {
        evidence.let_go.push(let_go(&[2, 3]));
        evidence.outages.push(Outage { node: 4, from: at, to: None, forgets: None });
    };
    assert_eq!(found(unnoticed), [] as [&str; 0]);
}

#[test]
fn a_round_in_which_time_stood_still_may_end_with_its_node() {
    let never = |outages: fn(&mut Evidence)| {
        found(|evidence| {
            evidence.sightings.retain(|seen| seen.node != 1 || seen.stage.phase == PhaseView::Open);
            let expected = StageView { instance: 1, phase: PhaseView::Open };
            let pause = CommandRequest::new(Command::Pause, expected);
            evidence.commands.push((Duration::from_secs(12), 1, pause));
            outages(evidence);
        })
    };
    let long_after = |evidence: &mut Evidence| {
        let from = Duration::from_secs(3_600);
        evidence.outages.push(Outage { node: 1, from, to: None, forgets: None });
    };
    assert_eq!(never(|_| ()), ["closing"]);
    assert_eq!(never(long_after), [] as [&str; 0]);
}

#[test]
fn a_promised_step_is_hidden_only_by_as_many_as_hold_it() {
    let mut evidence = good();
    let since = Duration::from_secs(4);
    let out = |node, to| Outage { node, from: Duration::from_secs(1), to: Some(to), forgets: None };
    evidence.outages.extend([out(1, since), out(1, since), out(2, Duration::from_secs(3))]);
    assert!(!evidence.may_hide(since), "one node was down, the other came back before");
    evidence.outages.push(out(2, Duration::from_secs(9)));
    assert!(evidence.may_hide(since));
}

#[test]
fn a_promised_ruling_leaves_a_trace_and_has_its_effect() {
    let ruled = |command, by: &str| {
        let expected = StageView { instance: 1, phase: PhaseView::Board };
        let request =
            CommandRequest { by: by.to_owned(), ..CommandRequest::new(command, expected) };
        found(|evidence| {
            evidence.commands.push((RULED, 1, request.clone()));
            evidence.ruled.push(Ruled { at: RULED, request: request.clone(), firm: true });
            for end in evidence.ends.values_mut() {
                end.trail.insert("host 1".into());
            }
        })
    };
    assert_eq!(ruled(Command::Pause, "host 1"), [] as [&str; 0]);
    assert_eq!(ruled(Command::Pause, "host 2"), ["rulings"]);
    assert_eq!(ruled(Command::Void, "host 1"), ["rulings"], "nothing was set aside");
}

#[test]
fn a_ruling_may_go_with_as_many_as_hold_it_but_only_where_they_went_at_once() {
    let lost = |outages: &[(u8, u64)]| {
        found(|evidence| {
            let expected = StageView { instance: 1, phase: PhaseView::Board };
            let pause = CommandRequest::new(Command::Pause, expected);
            let request = CommandRequest { by: "host 2".to_owned(), ..pause };
            evidence.commands.push((RULED, 1, request.clone()));
            evidence.ruled.push(Ruled { at: RULED, request, firm: true });
            for (node, after_ms) in outages {
                let from = RULED + Duration::from_millis(*after_ms);
                let (to, forgets) =
                    (from + Duration::from_secs(1), from - Duration::from_millis(100));
                let (to, forgets) = (Some(to), Some(forgets));
                evidence.outages.push(Outage { node: *node, from, to, forgets });
            }
        })
        .contains(&"rulings")
    };
    assert!(!lost(&[(1, 10), (2, 40)]));
    assert!(lost(&[(1, 10)]), "one of two was left");
    assert!(lost(&[(1, 10), (2, 200)]), "the other had it on disk");
    assert!(lost(&[(1, 10), (1, 40)]), "one node is one");
}

#[test]
fn players_are_let_in_and_told_what_becomes_of_their_answers() {
    let player = |change: fn(&mut PlayerEvidence)| {
        found(|evidence| change(evidence.players.get_mut(&PLAYER).unwrap()))
    };
    assert_eq!(player(|seen| seen.owed.extend([2])), ["progress"]);
    assert_eq!(player(|seen| seen.let_in = None), ["progress"]);
    let too_late = |seen: &mut PlayerEvidence| {
        seen.let_in = None;
        seen.refused.insert("ended".into(), 1);
    };
    assert_eq!(player(too_late), [] as [&str; 0]);
}

#[test]
fn who_has_applied_the_same_holds_the_same_whenever() {
    let mut heads = Heads::default();
    let note = |heads: &Heads, digests: [u64; 2]| {
        let mut compared = 0;
        let found = found(|evidence| {
            for (node, digest) in (1..).zip(digests) {
                evidence.note_digest(node, Duration::from_secs(node.into()), heads, digest);
            }
            compared = evidence.compared;
        });
        assert_eq!(compared, 1);
        found
    };
    let lane = LaneId::control(Origin(7));
    heads.dots.insert(lane, 1);
    assert_eq!(note(&heads, [3, 3]), [] as [&str; 0]);
    assert_eq!(note(&heads, [3, 4]), ["digests"]);
}

#[test]
fn an_answer_heard_before_the_reveal_is_a_leak() {
    let early = |evidence: &mut Evidence| {
        let seen = evidence.players.get_mut(&PLAYER).unwrap();
        seen.secrets.insert(1, Duration::from_secs(29));
    };
    assert_eq!(found(early), ["secrecy"]);
    let shown = |evidence: &mut Evidence| {
        evidence.players.get_mut(&PLAYER).unwrap().leaks.push("tallies".into());
    };
    assert_eq!(found(shown), ["secrecy"]);
}

/// A prediction on whose first option one player stakes and on whose second another, so many points more than they do,
/// in which the first came true; the first player wins so many points.
fn predicted(more: u32, won: impl Fn(i64) -> i64) -> Vec<String> {
    let players = [PlayerId(7), PlayerId(8)];
    let mut plan = Schedule::classic(1);
    plan.questions[0].form = Form::Prediction;
    let staked = |choice: u8| {
        let player = players[usize::from(choice)];
        i64::from(stake(player, 1, choice).min(CREDIT))
    };
    // Who had nothing loses a credit and owes nothing.
    let points = [won(staked(1)), 0];
    let mut text = "{\"type\":\"question\",\"instance\":1,\"number\":1,\"correct\":[0],\
                    \"open_ms\":2000,\"voided\":false}\n"
        .to_owned();
    for (place, player) in players.iter().enumerate() {
        let total = points[place];
        text += &format!(
            "{{\"type\":\"player\",\"player\":\"{player}\",\"points\":{total},\"rank\":{},\
             \"correct_ms\":0}}\n",
            place + 1
        );
    }
    for (place, player) in players.iter().enumerate() {
        let (points, stake) = (points[place], stake(*player, 1, place as u8) + more);
        text += &format!(
            "{{\"type\":\"answer\",\"instance\":1,\"player\":\"{player}\",\"choices\":[{place}],\
             \"stake\":{stake},\"elapsed_ms\":900,\"correct\":{},\"points\":{points}}}\n",
            place == 0
        );
    }
    let exports = [(1, Export::read(text.as_bytes()))];
    super::ranks::check(&Evidence::new(plan), &exports)
}

#[test]
fn stakes_are_paid_once_and_from_what_there_was() {
    assert_eq!(predicted(0, |staked| staked), [] as [&str; 0]);
    assert_eq!(predicted(0, |staked| 2 * staked).len(), 2, "the answer and the total");
    let found = predicted(1, |staked| staked);
    assert_eq!(found.iter().filter(|it| it.contains("was never staked")).count(), 2, "{found:?}");
}

#[test]
fn a_typed_answer_is_right_where_a_host_accepts_it_and_a_promised_one_is_not_lost() {
    let mut plan = Schedule::classic(1);
    (plan.questions[0].form, plan.questions[0].correct) = (Form::Typed, 0);
    let question = |answer: &str| {
        format!(
            "{{\"type\":\"question\",\"instance\":1,\"number\":1,\"correct\":[],\
             \"answer\":\"{answer}\",\"open_ms\":2000,\"voided\":false}}\n"
        )
    };
    let found = |answer: &str, accepts: &[u8]| {
        let mut evidence = Evidence::new(plan.clone());
        for choice in accepts {
            let expected = StageView { instance: 1, phase: PhaseView::Board };
            let text = word(*choice).map(str::to_owned);
            let by = "host 1".to_owned();
            let command = CommandRequest::new(Command::Accept, expected);
            let request = CommandRequest { text, by, ..command };
            evidence.commands.push((RULED, 1, request.clone()));
            evidence.ruled.push(Ruled { at: RULED, request, firm: true });
        }
        let seen = Sighting { at: Duration::ZERO, ..sighting(1, 1, PhaseView::Open) };
        evidence.sightings.push(seen);
        let exports = [(1, Export::read(question(answer).as_bytes()))];
        super::rulings::check(&evidence, &exports).len()
    };
    assert_eq!(found("amber", &[]), 0);
    assert_eq!(found("amber, cedar", &[2]), 0);
    assert_eq!(found("amber, cedar", &[]), 1, "nobody accepted it");
    assert_eq!(found("amber", &[2]), 1, "it was promised");
}
