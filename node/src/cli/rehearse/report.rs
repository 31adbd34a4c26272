//! What the crowd saw, against what the nodes export.

use super::crowd::{Record, Sent};
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
    /// Acknowledged, to somebody who was connected all the time, without a receipt in the inbox.
    pub unreceipted: usize,
    /// Acknowledged and not in the result, or otherwise than the receipt says.
    pub lost: usize,
    /// Counted more than once.
    pub doubled: usize,
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
            self.joined_again += record.joined_again;
            for code in &record.refused {
                *self.refused.entry(code.clone()).or_default() += 1;
            }
            for given in record.answers.values() {
                self.sent += 1;
                let taken = given.acknowledged.filter(|_| given.refused.is_none());
                let is_told = given.receipt.is_some() || record.losses > 0;
                self.unreceipted += usize::from(taken.is_some() && !is_told);
                acknowledged.extend(taken);
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
        let mut held: BTreeMap<(u64, String), Vec<&Value>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line["type"] == "answer") {
            let player = line["player"].as_str().unwrap_or_default().to_owned();
            let key = (line["instance"].as_u64().unwrap_or_default(), player);
            held.entry(key).or_default().push(line);
        }
        self.doubled = held.values().map(|all| all.len() - 1).sum();
        let mut taps: BTreeMap<u64, u64> = BTreeMap::new();
        for record in records {
            let player = record.player.map(|id| id.to_string()).unwrap_or_default();
            let taken = |sent: &&Sent| sent.acknowledged.is_some() && sent.refused.is_none();
            for (instance, sent) in record.answers.iter().filter(|(_, sent)| taken(sent)) {
                let instance = u64::from(*instance);
                *taps.entry(instance).or_default() += u64::from(sent.given.count.unwrap_or(0));
                let found = held.get(&(instance, player.clone()));
                let is_held = found.is_some_and(|all| sent.is_in(all[0]));
                let is_told = if sent.is_answer { is_held } else { sent.is_posted(lines, &player) };
                self.lost += usize::from(!is_told);
            }
        }
        self.lost +=
            taps.into_iter().map(|(instance, sent)| missing(lines, instance, sent)).sum::<usize>();
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

    /// Whether nothing was lost or counted twice, nothing was refused that came in time, and everybody was there
    /// to the end.
    pub(super) fn is_good(&self) -> bool {
        let all = self.joined == self.players && self.ended == self.players;
        let in_time = self.refused.keys().all(|code| matches!(&**code, "late" | "paused"));
        all && in_time && self.lost == 0 && self.doubled == 0 && self.unreceipted == 0
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
        if self.unreceipted > 0 {
            let _ = writeln!(text, "{} have no receipt in the inbox", self.unreceipted);
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

impl Sent {
    /// Whether a line of the export holds what was posted, if something was.
    fn is_posted(&self, lines: &[Value], player: &str) -> bool {
        let is_it = |text: &str, line: &Value| {
            line["type"] == "post" && line["player"] == player && line["text"] == text
        };
        let text = self.given.text.as_deref().filter(|_| self.given.post.is_none());
        text.is_none_or(|text| lines.iter().any(|line| is_it(text, line)))
    }

    /// Whether a line of the export holds it, as the receipt says and as it was given.
    fn is_in(&self, line: &Value) -> bool {
        let held: Vec<u8> = serde_json::from_value(line["choices"].clone()).unwrap_or_default();
        // Some kinds take an answer without choices and hold one.
        let is_given = (self.given.choices.is_empty() || self.given.choices == held)
            && self.given.stake.is_none_or(|stake| line["stake"] == stake);
        let is_receipted = self.receipt.as_ref().is_none_or(|(choices, text)| {
            *choices == held && text.as_deref() == line["text"].as_str()
        });
        is_given && is_receipted
    }
}

/// How many taps of those acknowledged are not counted.
fn missing(lines: &[Value], instance: u64, sent: u64) -> usize {
    let is_tally = |line: &&Value| line["type"] == "tally" && line["instance"] == instance;
    let counts = lines.iter().find(is_tally).and_then(|line| line["counts"].as_array());
    let counted: u64 = counts.into_iter().flatten().filter_map(Value::as_u64).sum();
    if sent > 0 { sent.saturating_sub(counted) as usize } else { 0 }
}

/// Lines of the board that are printed.
const BOARD_LINES: usize = 10;
