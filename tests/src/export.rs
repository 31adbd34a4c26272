//! The export of an event, checked: within itself, and against what clients wrote down.
//!
//! The checks know the product's promises and none of its code: a firm receipt is scored exactly
//! once, totals are sums, ranks are competition ranks, tallies are counts.

use crate::player::{Level, Record};
use crdt_state::PlayerId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A whole export.
#[derive(Debug, Clone, Default)]
pub struct Export {
    /// How complete it is, as its first line says.
    pub status: String,
    /// By instance.
    pub questions: BTreeMap<u32, QuestionLine>,
    /// By player.
    pub players: BTreeMap<PlayerId, PlayerLine>,
    /// By instance and player.
    pub answers: BTreeMap<(u32, PlayerId), AnswerLine>,
    /// By instance.
    pub tallies: BTreeMap<u32, Vec<u64>>,
    /// The order of what the audit trail tells.
    pub trail: Vec<u64>,
}

/// A question that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QuestionLine {
    /// Which run.
    pub instance: u32,
    /// Which question, from 1.
    pub number: u32,
    /// What was asked.
    pub text: String,
    /// What could be chosen.
    pub options: Vec<String>,
    /// Indexes of the correct options.
    pub correct: Vec<u8>,
    /// How long it was open.
    pub open_ms: u32,
    /// What an immediate correct answer gave.
    #[serde(default)]
    pub points: u32,
    /// Whether it does not count; absent where nothing can be voided.
    #[serde(default)]
    pub voided: bool,
    /// How complete its result is.
    pub status: String,
}

/// A player and what came of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PlayerLine {
    /// Who.
    pub player: PlayerId,
    /// The name as shown.
    pub name: String,
    /// The total.
    pub points: u64,
    /// Competition rank.
    pub rank: u32,
    /// Total response time of the correct answers, in milliseconds.
    pub correct_ms: u64,
}

/// An answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AnswerLine {
    /// To which run.
    pub instance: u32,
    /// Whose.
    pub player: PlayerId,
    /// What was chosen.
    pub choices: Vec<u8>,
    /// When, counted from the opening.
    pub elapsed_ms: u32,
    /// What it gave.
    pub points: u32,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Event {
        schema: u32,
        status: String,
    },
    Question(QuestionLine),
    Player(PlayerLine),
    Answer(AnswerLine),
    /// What rests on no answer.
    Given {},
    /// What somebody wrote for all.
    Post {},
    /// Who supports it.
    Vote {},
    Tally {
        instance: u32,
        counts: Vec<u64>,
    },
    Note {
        lamport: u64,
    },
}

impl Export {
    /// Reads an export.
    ///
    /// # Errors
    /// The first line that is not understood or says something a second time.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut export = Export::default();
        for (index, line) in text.lines().enumerate() {
            let read = serde_json::from_str(line).map_err(|error| error.to_string());
            let taken = read.and_then(|read| export.take(read, index));
            taken.map_err(|error| format!("line {}: {error}: {line}", index + 1))?;
        }
        Ok(export)
    }

    fn take(&mut self, line: Line, index: usize) -> Result<(), String> {
        let again = match line {
            Line::Event { schema: 1, status } if index == 0 => {
                self.status = status;
                false
            }
            Line::Event { schema, .. } => return Err(format!("schema {schema} or not the first")),
            Line::Question(line) => self.questions.insert(line.instance, line).is_some(),
            Line::Player(line) => self.players.insert(line.player, line).is_some(),
            Line::Answer(line) => self.answers.insert((line.instance, line.player), line).is_some(),
            Line::Given {} | Line::Post {} | Line::Vote {} => false,
            Line::Tally { instance, counts } => self.tallies.insert(instance, counts).is_some(),
            Line::Note { lamport } => {
                self.trail.push(lamport);
                false
            }
        };
        if again { Err("said a second time".to_owned()) } else { Ok(()) }
    }

    /// Everything that contradicts itself.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for answer in self.answers.values() {
            faults.extend(self.answer_fault(answer));
        }
        for player in self.players.values() {
            faults.extend(self.player_faults(player));
        }
        for question in self.questions.values() {
            faults.extend(self.tally_fault(question));
        }
        faults
    }

    /// Everything that contradicts what a client wrote down.
    #[must_use]
    pub fn faults_of(&self, player: PlayerId, name: &str, record: &Record) -> Vec<String> {
        let mut faults: Vec<String> =
            record.errors.iter().map(|error| format!("{name} heard {error}")).collect();
        match self.players.get(&player) {
            Some(line) if line.name == name => {}
            Some(line) => faults.push(format!("{name} is called {}", line.name)),
            None if record.joined.iter().any(|joined| joined.level == Level::Firm) => {
                faults.push(format!("{name} is missing"));
            }
            None => {}
        }
        faults.extend(self.receipt_faults(player, name, record));
        faults.extend(self.result_faults(player, name, record));
        faults
    }

    fn receipt_faults(&self, player: PlayerId, name: &str, record: &Record) -> Vec<String> {
        let mut faults = Vec::new();
        for receipt in record.receipts.iter().filter(|receipt| receipt.level == Level::Firm) {
            let fault = match self.answers.get(&(receipt.instance, player)) {
                None => "is lost",
                Some(answer) if answer.elapsed_ms > receipt.elapsed_ms => "is later",
                Some(answer) if answer.choices != receipt.choices => "is another",
                Some(_) => continue,
            };
            faults.push(format!("{name}'s answer {fault}: {receipt:?}"));
        }
        faults
    }

    fn result_faults(&self, player: PlayerId, name: &str, record: &Record) -> Vec<String> {
        let mut faults = Vec::new();
        // A result may still grow; the last one that a client was told must be what stands.
        let last: BTreeMap<u32, _> =
            record.results.iter().map(|result| (result.instance, result)).collect();
        for (instance, result) in last {
            let points = self.answers.get(&(instance, player)).map_or(0, |answer| answer.points);
            if result.points != i64::from(points) {
                faults.push(format!("{name} was told {result:?}, the export says {points} points"));
            }
        }
        faults
    }

    fn answer_fault(&self, answer: &AnswerLine) -> Option<String> {
        let Some(question) = self.questions.get(&answer.instance) else {
            return Some(format!("no question for {answer:?}"));
        };
        let correct = self.is_correct(answer);
        let fits = match correct && !question.voided {
            true => (question.points / 2..=question.points).contains(&answer.points),
            false => answer.points == 0,
        };
        (!fits).then(|| format!("{answer:?} does not fit {question:?}"))
    }

    fn is_correct(&self, answer: &AnswerLine) -> bool {
        self.questions.get(&answer.instance).is_some_and(|asked| asked.correct == answer.choices)
    }

    fn player_faults(&self, player: &PlayerLine) -> Vec<String> {
        let answers = self.answers.values().filter(|answer| answer.player == player.player);
        let (mut points, mut correct_ms) = (0, 0);
        for answer in answers {
            points += u64::from(answer.points);
            if self.is_correct(answer) {
                correct_ms += u64::from(answer.elapsed_ms);
            }
        }
        let mut faults = Vec::new();
        if (points, correct_ms) != (player.points, player.correct_ms) {
            faults.push(format!("{player:?} sums to {points} points in {correct_ms} ms"));
        }
        let key = |line: &PlayerLine| (u64::MAX - line.points, line.correct_ms);
        let better = self.players.values().filter(|other| key(other) < key(player)).count();
        if player.rank as usize != better + 1 {
            faults.push(format!("{player:?} has {better} before it"));
        }
        faults
    }

    fn tally_fault(&self, question: &QuestionLine) -> Option<String> {
        let mut counts = vec![0; question.options.len()];
        for answer in self.answers.values().filter(|it| it.instance == question.instance) {
            for choice in &answer.choices {
                counts[usize::from(*choice)] += 1;
            }
        }
        let told = self.tallies.get(&question.instance);
        (told != Some(&counts))
            .then(|| format!("the tally of {} is {told:?}, counted {counts:?}", question.instance))
    }
}

/// The export that two nodes agree on to the byte.
///
/// # Errors
/// The first line in which they differ.
pub fn agreed(one: String, other: &str) -> Result<String, String> {
    if one == other {
        return Ok(one);
    }
    let mut pairs = one.lines().zip(other.lines());
    Err(match pairs.find(|(one, other)| one != other) {
        Some((one, other)) => format!("the exports differ:\n{one}\n{other}"),
        None => "one export is the beginning of the other".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::{Receipt, Told};
    use std::time::Instant;

    const ADA: PlayerId = PlayerId(1);
    const BOB: PlayerId = PlayerId(2);

    fn lines() -> Vec<String> {
        let text = r#"{"type":"event","schema":1,"event":"00000000000000aa","pin":"1","title":"T","status":"final"}
{"type":"question","instance":1,"number":1,"text":"Q","options":["a","b"],"correct":[1],"open_ms":1000,"points":1000,"voided":false,"status":"final"}
{"type":"player","player":"00000000000000000000000000000001","name":"Ada","rows":[],"points":900,"rank":1,"correct_ms":200}
{"type":"player","player":"00000000000000000000000000000002","name":"Bob","rows":[],"points":0,"rank":2,"correct_ms":0}
{"type":"answer","instance":1,"player":"00000000000000000000000000000001","choices":[1],"elapsed_ms":200,"points":900}
{"type":"answer","instance":1,"player":"00000000000000000000000000000002","choices":[0],"elapsed_ms":300,"points":0}
{"type":"tally","instance":1,"counts":[1,1]}"#;
        text.lines().map(str::to_owned).collect()
    }

    fn export(lines: &[String]) -> Export {
        Export::parse(&lines.join("\n")).unwrap()
    }

    fn record(level: Level, choices: &[u8], elapsed_ms: u32) -> Record {
        let mut record = Record::default();
        let (status, choices) = ("accepted".to_owned(), choices.to_vec());
        let (via, at) = (Told::Inbox, Instant::now());
        let (instance, connection, node) = (1, 1, 0);
        record.receipts.push(Receipt {
            instance,
            status,
            level,
            choices,
            elapsed_ms,
            via,
            connection,
            node,
            at,
        });
        record
    }

    #[test]
    fn a_sound_export_has_no_faults() {
        let export = export(&lines());
        assert_eq!(export.faults(), [""; 0]);
        assert_eq!(export.faults_of(ADA, "Ada", &record(Level::Firm, &[1], 200)), [""; 0]);
        assert_eq!(export.status, "final");
    }

    #[test]
    fn a_lost_or_changed_firm_receipt_is_found() {
        let export = export(&lines());
        for (player, name, record, word) in [
            (PlayerId(3), "Eve", record(Level::Firm, &[1], 200), "lost"),
            (ADA, "Ada", record(Level::Firm, &[1], 199), "later"),
            (BOB, "Bob", record(Level::Firm, &[1], 300), "another"),
        ] {
            let faults = export.faults_of(player, name, &record);
            assert!(faults.len() == 1 && faults[0].contains(word), "{faults:?}");
        }
        let provisional = record(Level::Provisional, &[1], 200);
        assert_eq!(export.faults_of(PlayerId(3), "Eve", &provisional), [""; 0]);
    }

    #[test]
    fn an_answer_that_counts_twice_is_found() {
        let mut lines = lines();
        lines.push(lines[4].clone());
        let error = Export::parse(&lines.join("\n")).unwrap_err();
        assert!(error.contains("said a second time"), "{error}");
    }

    #[test]
    fn wrong_totals_ranks_points_and_tallies_are_found() {
        for (line, from, to, word) in [
            (2, "\"points\":900", "\"points\":1800", "sums to 900"),
            (2, "\"correct_ms\":200", "\"correct_ms\":1", "sums to 900 points in 200 ms"),
            (3, "\"rank\":2", "\"rank\":1", "has 1 before it"),
            (5, "\"points\":0", "\"points\":500", "does not fit"),
            (6, "[1,1]", "[1,2]", "counted [1, 1]"),
        ] {
            let mut lines = lines();
            lines[line] = lines[line].replace(from, to);
            let faults = export(&lines).faults().join("\n");
            assert!(faults.contains(word), "{line}: {faults}");
        }
    }
}
