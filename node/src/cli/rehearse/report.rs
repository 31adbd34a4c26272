//! What the crowd saw, against what the nodes export.

use super::crowd::Record;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How the rehearsal went.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Report {
    /// Who joined, of how many.
    pub joined: usize,
    pub players: usize,
    /// Who saw the end.
    pub ended: usize,
    /// Connections that were lost.
    pub connections_lost: u32,
    /// Answers that were sent, acknowledged, refused.
    pub sent: usize,
    pub acknowledged: usize,
    pub refused: BTreeMap<String, usize>,
    /// Joins that were tried again until they were taken: the lobby was not known everywhere yet.
    pub joined_again: u32,
    /// Acknowledged and not in the result, or with another choice.
    pub lost: usize,
    /// Counted more than once.
    pub doubled: usize,
    /// Questions whose kind the crowd does not know.
    pub passed: usize,
    /// From sending to the acknowledgement, and to the firm receipt.
    pub acknowledged_ms: Latency,
    pub firm_ms: Latency,
    /// The best ten: rank, name, points.
    pub board: Vec<(u64, String, u64)>,
    /// How complete the result is.
    pub status: String,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |share: f64| {
            let last = samples.len().saturating_sub(1);
            let index = (last as f64 * share).round() as usize;
            samples.get(index).map_or(0.0, |it| (it.as_secs_f64() * 100_000.0).round() / 100.0)
        };
        Latency { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

impl Report {
    /// Judges what the players wrote down by the export's lines.
    pub(super) fn new(records: &[Record], joined: usize, export: &str) -> Self {
        let lines: Vec<Value> =
            export.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut report = Report { joined, players: records.len(), ..Report::default() };
        report.count(records);
        report.judge(records, &lines);
        report.rank(&lines);
        report
    }

    fn count(&mut self, records: &[Record]) {
        let (mut acknowledged, mut firm) = (Vec::new(), Vec::new());
        for record in records {
            self.ended += usize::from(record.ended);
            self.connections_lost += record.losses;
            self.passed += record.passed.len();
            self.joined_again += record.joined_again;
            for code in &record.refused {
                *self.refused.entry(code.clone()).or_default() += 1;
            }
            for given in record.answers.values() {
                self.sent += 1;
                acknowledged.extend(given.acknowledged.filter(|_| given.refused.is_none()));
                firm.extend(given.firm);
                if let Some(code) = &given.refused {
                    *self.refused.entry(code.clone()).or_default() += 1;
                }
            }
        }
        self.acknowledged = acknowledged.len();
        (self.acknowledged_ms, self.firm_ms) = (Latency::of(acknowledged), Latency::of(firm));
    }

    fn judge(&mut self, records: &[Record], lines: &[Value]) {
        let mut held: BTreeMap<(u64, String), Vec<Value>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line["type"] == "answer") {
            let player = line["player"].as_str().unwrap_or_default().to_owned();
            let key = (line["instance"].as_u64().unwrap_or_default(), player);
            held.entry(key).or_default().push(line["choices"].clone());
        }
        self.doubled = held.values().map(|all| all.len() - 1).sum();
        for record in records {
            let player = record.player.map(|id| id.to_string()).unwrap_or_default();
            for (instance, given) in &record.answers {
                if given.acknowledged.is_none() || given.refused.is_some() {
                    continue;
                }
                let wanted = serde_json::json!(given.choices);
                let found = held.get(&(u64::from(*instance), player.clone()));
                self.lost += usize::from(found.is_none_or(|all| all[0] != wanted));
            }
        }
    }

    fn rank(&mut self, lines: &[Value]) {
        let number = |line: &Value, field: &str| line[field].as_u64().unwrap_or_default();
        let name = |line: &Value| line["name"].as_str().unwrap_or_default().to_owned();
        let players = lines.iter().filter(|line| line["type"] == "player");
        let mut board: Vec<_> =
            players.map(|it| (number(it, "rank"), name(it), number(it, "points"))).collect();
        board.sort();
        board.truncate(BOARD_LINES);
        self.board = board;
        let event = lines.iter().find(|line| line["type"] == "event");
        let status = event.and_then(|line| line["status"].as_str());
        self.status = status.unwrap_or_default().to_owned();
    }

    /// Whether nothing was lost or counted twice, and everybody was there to the end.
    pub(super) fn is_good(&self) -> bool {
        let all = self.joined == self.players && self.ended == self.players;
        all && self.lost == 0 && self.doubled == 0
    }

    /// The report for people.
    pub(super) fn describe(&self) -> String {
        let Report { joined, players, ended, connections_lost, sent, acknowledged, .. } = self;
        let (lost, doubled) = (self.lost, self.doubled);
        let mut text = format!(
            "{joined} of {players} players joined, {ended} saw the end, {connections_lost} connections \
             were lost\n{sent} answers were sent, {acknowledged} acknowledged; of these {lost} are lost, \
             {doubled} are counted twice\n"
        );
        for (code, count) in &self.refused {
            let _ = writeln!(text, "{count} refused: {code}");
        }
        if self.joined_again > 0 {
            let _ = writeln!(text, "{} joins were tried again and taken", self.joined_again);
        }
        if self.passed > 0 {
            let _ = writeln!(text, "{} times a player met a kind it cannot answer", self.passed);
        }
        for (what, Latency { p50, p99, max }) in
            [("acknowledged", self.acknowledged_ms), ("firm", self.firm_ms)]
        {
            let _ = writeln!(text, "{what} after {p50} ms (p50), {p99} ms (p99), {max} ms (max)");
        }
        let _ = write!(text, "the result is {}:", self.status);
        for (rank, name, points) in &self.board {
            let _ = write!(text, "\n{rank:>5}  {points:>7}  {name}");
        }
        text
    }
}

/// Lines of the board that are printed.
const BOARD_LINES: usize = 10;
