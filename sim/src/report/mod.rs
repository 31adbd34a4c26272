//! A run as one page of HTML that needs nothing else: a lane for each node, its stages, whom it sees
//! and what it lacks; messages as arrows; what went wrong as bands; the story beside it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crdt_state::LaneId;
use serde_json::{Value, json};

use crate::quiz::evidence::Evidence;
use crate::recording::{Recorder, Recording};
use crate::run::Options;
use crate::schedule::{Fault, Schedule};
use crate::verdict::{Fidelity, Unjudged, Verdict, judge_in};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Runs a schedule and draws it, whatever came of it.
pub fn report(fidelity: Fidelity, schedule: &Schedule, options: Options) -> String {
    let recorder = Recorder::default();
    let options = Options { recorder: Some(recorder.clone()), ..options };
    let judged = judge_in(fidelity, schedule.clone(), options);
    page(&data(fidelity, schedule, &judged, &recorder.take()))
}

/// The page over its data. No text of the data can end the element that holds it.
fn page(data: &Value) -> String {
    let data = data.to_string().replace('<', "\\u003c");
    PAGE.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT).replace("{{data}}", &data)
}

fn data(
    fidelity: Fidelity,
    schedule: &Schedule,
    judged: &Result<Verdict, Unjudged>,
    recording: &Recording,
) -> Value {
    let nothing = Evidence::new(schedule.clone());
    let (evidence, violations) = match judged {
        Ok(verdict) => {
            let said = verdict.violations.iter().map(ToString::to_string);
            (&verdict.outcome.value, said.collect())
        }
        Err(why) => (&nothing, vec![why.to_string()]),
    };
    let outcome = judged.as_ref().ok().map(|verdict| &verdict.outcome);
    let stages = evidence.sightings.iter();
    let stages = stages.map(|s| json!([ms(s.at), s.node, s.stage.instance, s.stage.phase, s.life]));
    let outages = evidence.outages.iter();
    let outages = outages
        .map(|down| json!([down.node, ms(down.from), down.to.map(ms), down.forgets.is_some()]));
    let let_go = evidence.let_go.iter().map(|let_go| json!([let_go.node, ms(let_go.at)]));
    let results = evidence.results.iter();
    let results = results.map(|r| json!([ms(r.at), r.node, r.instance, r.status, r.answered]));
    let story = evidence.story.iter().map(|(at, what)| json!([ms(*at), what]));
    json!({
        "seed": schedule.seed,
        "fidelity": fidelity,
        "hash": outcome.map(|outcome| format!("{:016x}", outcome.trace_hash)),
        "length_ms": outcome.map(|outcome| ms(outcome.virtual_time)),
        "violations": violations,
        "schedule": schedule.to_string(),
        "nodes": schedule.nodes_ever(),
        "stages": stages.collect::<Vec<_>>(),
        "outages": outages.collect::<Vec<_>>(),
        "let_go": let_go.collect::<Vec<_>>(),
        "results": results.collect::<Vec<_>>(),
        "faults": faults(evidence),
        "story": story.collect::<Vec<_>>(),
        "receipts": receipts(evidence),
        "samples": samples(recording),
        "stride": recording.stride.max(1),
        "flights": flights(recording),
    })
}

/// Milliseconds with as many digits as a page needs.
fn ms(time: Duration) -> f64 {
    (time.as_micros() as f64 / 10.0).round() / 100.0
}

/// The length of a message's description.
const WHAT_MAX: usize = 64;

fn flights(recording: &Recording) -> Vec<Value> {
    let flight = |flight: &crate::recording::Flight| {
        let (sent, ended) = (ms(ns(flight.sent_ns)), ms(ns(flight.ended_ns)));
        let what: String = flight.what.chars().take(WHAT_MAX).collect();
        json!([sent, ended, flight.from, flight.to, u8::from(flight.arrived), what])
    };
    recording.flights.iter().map(flight).collect()
}

fn ns(ns: u64) -> Duration {
    Duration::from_nanos(ns)
}

/// Each fault with its end, from the story, in which both are told in the same words, and the nodes that it touched.
fn faults(evidence: &Evidence) -> Vec<Value> {
    let faults = evidence.plan.faults.iter().map(|planned| &planned.fault);
    let planned: BTreeMap<String, &Fault> =
        faults.map(|fault| (fault.to_string(), fault)).collect();
    let mut open: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    let mut found: Vec<(Duration, Option<Duration>, &str)> = Vec::new();
    for (at, what) in &evidence.story {
        if let Some(over) = what.strip_prefix("over: ") {
            if let Some(index) = open.get_mut(over).and_then(VecDeque::pop_front) {
                found[index].1 = Some(*at);
            }
        } else if planned.contains_key(what) {
            open.entry(what).or_default().push_back(found.len());
            found.push((*at, None, what));
        }
    }
    let fault = |(from, to, what): (Duration, Option<Duration>, &str)| {
        let nodes = planned.get(what).and_then(|fault| touched(evidence, from, fault));
        json!([ms(from), to.map(ms), what, nodes])
    };
    found.into_iter().map(fault).collect()
}

/// The nodes that a fault has touched, if it is not all of them: of a crash those that went down at its beginning, for
/// which node is the host's no schedule knows.
fn touched(evidence: &Evidence, from: Duration, fault: &Fault) -> Option<Vec<u8>> {
    match fault {
        Fault::Crash { .. } => {
            let down = evidence.outages.iter().filter(|outage| outage.from == from);
            Some(down.map(|outage| outage.node).collect())
        }
        Fault::Upgrade { .. } => None,
        fault => Some(fault.nodes()),
    }
}

/// The width of a column of receipts.
const COLUMN_MS: u128 = 250;

/// Receipts that came in each column: firm, then provisional.
fn receipts(evidence: &Evidence) -> Vec<Value> {
    let mut columns: BTreeMap<u128, (u64, u64)> = BTreeMap::new();
    for receipt in evidence.players.values().flat_map(|player| &player.receipts) {
        let column = columns.entry(receipt.at.as_millis() / COLUMN_MS).or_default();
        match receipt.firm {
            true => column.0 += 1,
            false => column.1 += 1,
        }
    }
    let (Some((first, _)), Some((last, _))) = (columns.first_key_value(), columns.last_key_value())
    else {
        return Vec::new();
    };
    let column = |at: u128| {
        let (firm, not) = columns.get(&at).copied().unwrap_or_default();
        json!([at * COLUMN_MS, firm, not])
    };
    (*first..=last + 1).map(column).collect()
}

/// Each sample with what its node lacks of all that any node was seen to have by then.
fn samples(recording: &Recording) -> Vec<Value> {
    let mut all: BTreeMap<LaneId, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    for sample in &recording.samples {
        for (id, head) in &sample.heads {
            let known = all.entry(*id).or_default();
            *known = head.max(known).to_owned();
        }
        let mine: u64 = sample.heads.iter().map(|(_, head)| head).sum();
        let lacks = all.values().sum::<u64>() - mine;
        let peers = sample.peers.iter().filter_map(|origin| recording.origins.get(origin));
        let peers: Vec<u8> = peers.copied().collect();
        let digest = format!("{:016x}", sample.digest);
        rows.push(json!([ms(ns(sample.at_ns)), sample.node, lacks, peers, &digest[..6]]));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Blow, DiskFate, Planned, Victim};

    #[test]
    fn a_page_needs_nothing_from_outside_and_cannot_be_broken_out_of() {
        let html = page(&json!({ "story": [[1, "</script><script>alert(1)</script>"]] }));
        assert_eq!(html.matches("</script>").count(), 2, "the data and the script");
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(!html.contains("{{"), "every place is filled");
    }

    /// Which one that is only the run knows, in either fidelity.
    #[test]
    fn a_crash_of_the_hosts_node_is_drawn_over_that_node_alone() {
        let mut schedule = Schedule::classic(3);
        (schedule.players, schedule.questions) = (5, schedule.questions[..1].to_vec());
        let (victims, lasts_ms) = (vec![Victim::HostsNode], 1_000);
        let fault = Fault::Crash { victims, how: Blow::PowerLost, disk: DiskFate::Same };
        schedule.faults = vec![Planned { instance: 1, after_ms: 500, lasts_ms, fault }];
        for fidelity in [Fidelity::Message, Fidelity::Wire] {
            let verdict = judge_in(fidelity, schedule.clone(), Options::default()).unwrap();
            let evidence = &verdict.outcome.value;
            let [outage] = evidence.outages[..] else { panic!("{verdict}") };
            let drawn = &faults(evidence)[0];
            assert_eq!(drawn[3], json!([outage.node]), "{verdict}");
            assert_eq!(drawn[0], json!(ms(outage.from)));
            let told = format!("node {} crashes: without power", outage.node);
            assert!(evidence.story.contains(&(outage.from, told)), "{verdict}");
        }
    }

    #[test]
    fn faults_end_when_the_story_says_so() {
        let mut evidence = Evidence::new(Schedule::classic(1));
        let what = evidence.plan.faults[0].fault.to_string();
        let at = Duration::from_millis;
        evidence.story.push((at(5), what.clone()));
        evidence.story.push((at(7), "something else".into()));
        evidence.story.push((at(9), format!("over: {what}")));
        let found = faults(&evidence);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0][0], &found[0][1]), (&json!(5.0), &json!(9.0)));
    }
}
