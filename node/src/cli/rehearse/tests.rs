//! The judge of a rehearsal.

use super::crowd::{Record, Sent};
use super::report::Report;
use super::{begin, next_step};
use crate::service::view::{Autopilot, Command, PhaseView};
use crdt_state::PlayerId;
use crdt_state::engagement::Given;
use std::collections::BTreeMap;
use std::time::Duration;

const EXPORT: &str = r#"{"type":"event","status":"final"}
{"type":"player","player":"00000000000000000000000000000001","name":"Crowd 1","points":900,"rank":1}
{"type":"player","player":"00000000000000000000000000000002","name":"Crowd 2","points":0,"rank":2}
{"type":"answer","instance":1,"player":"00000000000000000000000000000001","choices":[1]}
{"type":"answer","instance":1,"player":"00000000000000000000000000000002","choices":[0]}
"#;

fn record(id: u128, choices: &[u8]) -> Record {
    let sent = Sent {
        given: Given::choices(choices),
        is_answer: true,
        receipt: Some((choices.to_vec(), None)),
        acknowledged: Some(Duration::from_micros(1_500)),
        ..Sent::default()
    };
    let answers = BTreeMap::from([(1, sent)]);
    Record { player: Some(PlayerId(id)), answers, ended: true, ..Record::default() }
}

#[test]
fn what_is_in_the_result_is_neither_lost_nor_doubled() {
    let report = Report::new(&[record(1, &[1]), record(2, &[0])], 2, EXPORT);
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.sent, report.acknowledged, report.status.as_str()), (2, 2, "final"));
    assert!((report.acknowledged_ms.p99 - 1.5).abs() < f64::EPSILON, "{report:?}");
    assert_eq!(report.board[0], (1, "Crowd 1".into(), 900));
}

#[test]
fn an_acknowledged_answer_that_is_missing_or_another_is_lost() {
    let report = Report::new(&[record(1, &[0]), record(3, &[0])], 2, EXPORT);
    assert_eq!((report.lost, report.is_good()), (2, false));
    let mut late = record(3, &[0]);
    late.answers.get_mut(&1).unwrap().refused = Some("late".into());
    let report = Report::new(&[record(1, &[1]), late], 2, EXPORT);
    assert_eq!((report.lost, report.acknowledged, report.refused["late"]), (0, 1, 1));
}

#[test]
fn what_is_refused_in_time_or_has_no_receipt_is_no_success() {
    for (code, is_good) in [("late", true), ("paused", true), ("choice_invalid", false)] {
        let mut other = record(2, &[0]);
        other.answers.get_mut(&1).unwrap().refused = Some(code.into());
        let report = Report::new(&[record(1, &[1]), other], 2, EXPORT);
        assert_eq!(report.is_good(), is_good, "{code}: {report:?}");
    }
    let mut silent = record(2, &[0]);
    silent.answers.get_mut(&1).unwrap().receipt = None;
    let report = Report::new(&[record(1, &[1]), silent.clone()], 2, EXPORT);
    assert_eq!((report.unreceipted, report.is_good()), (1, false));
    silent.losses = 1;
    let report = Report::new(&[record(1, &[1]), silent], 2, EXPORT);
    assert!(report.is_good(), "what was told while it was away is not told again: {report:?}");
    let mut another = record(2, &[0]);
    another.answers.get_mut(&1).unwrap().receipt = Some((vec![1], None));
    assert_eq!(Report::new(&[record(1, &[1]), another], 2, EXPORT).lost, 1);
}

#[test]
fn taps_that_are_not_in_the_tally_are_lost() {
    let mut tapper = record(1, &[]);
    let sent = tapper.answers.get_mut(&1).unwrap();
    (sent.is_answer, sent.given.count) = (false, Some(5));
    for (counts, lost) in [("[3,2]", 0), ("[9,0]", 0), ("[3,1]", 1), ("[]", 5)] {
        let tally = format!("{{\"type\":\"tally\",\"instance\":1,\"counts\":{counts}}}");
        assert_eq!(Report::new(std::slice::from_ref(&tapper), 1, &tally).lost, lost, "{counts}");
    }
}

#[test]
fn a_post_or_a_stake_that_is_not_in_the_export_is_lost() {
    let mut writer = record(1, &[]);
    let sent = writer.answers.get_mut(&1).unwrap();
    (sent.is_answer, sent.given.text) = (false, Some("Why?".into()));
    for (text, lost) in [("Why?", 0), ("How?", 1)] {
        let post = format!("{{\"type\":\"post\",\"player\":\"{:032x}\",\"text\":\"{text}\"}}", 1);
        assert_eq!(Report::new(std::slice::from_ref(&writer), 1, &post).lost, lost, "{text}");
    }
    let mut better = record(1, &[1]);
    better.answers.get_mut(&1).unwrap().given.stake = Some(60);
    for (stake, lost) in [(60, 0), (61, 1)] {
        let export =
            EXPORT.replacen("\"choices\":[1]", &format!("\"choices\":[1],\"stake\":{stake}"), 1);
        assert_eq!(Report::new(std::slice::from_ref(&better), 1, &export).lost, lost, "{stake}");
    }
}

#[test]
fn an_answer_that_counts_twice_is_doubled() {
    let twice = format!("{EXPORT}{}\n", EXPORT.lines().nth(3).unwrap());
    let report = Report::new(&[record(1, &[1])], 1, &twice);
    assert_eq!((report.doubled, report.is_good()), (1, false));
}

#[test]
fn a_show_that_runs_by_itself_is_begun_at_most() {
    use PhaseView::{Board, Closed, Draft, Intro, Lobby, Open, Reveal, Tallies};
    assert_eq!(begin(Autopilot::Rounds, Draft, false), [Command::Lobby]);
    assert_eq!(begin(Autopilot::Rounds, Lobby, true), [Command::Next]);
    assert!(begin(Autopilot::Rounds, Lobby, false).is_empty(), "the crowd is not there yet");
    for phase in [Draft, Lobby, Intro, Open, Closed, Tallies, Reveal, Board] {
        assert!(begin(Autopilot::Whole, phase, true).is_empty(), "{phase:?}");
        let is_begun = phase > Lobby;
        assert!(!is_begun || begin(Autopilot::Rounds, phase, true).is_empty(), "{phase:?}");
    }
}

#[test]
fn a_kind_without_a_reveal_goes_on_to_its_board_or_the_next_question() {
    let all = next_step(PhaseView::Tallies, true, true);
    let first = |offered: &[Command]| all.iter().find(|it| offered.contains(it)).copied();
    assert_eq!(first(&[Command::Reveal, Command::Pause]), Some(Command::Reveal), "a quiz");
    assert_eq!(first(&[Command::Leaderboard, Command::Pause]), Some(Command::Leaderboard), "a tug");
    assert_eq!(first(&[Command::Next, Command::Open]), Some(Command::Next), "a poll");
}
