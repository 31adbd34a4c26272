//! What became of firm receipts, judged by an export.
//!
//! Unlike [`crate::export`] this reads on where an export contradicts itself, and counts: an answer
//! that stands there twice is a number here, not an error.

use super::audience::Receipt;
use crdt_state::PlayerId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What an export says of answers and points.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    status: String,
    /// What each question gives at most.
    questions: BTreeMap<u32, u64>,
    answers: BTreeMap<(u32, PlayerId), Vec<Scored>>,
    /// The totals of each player, one line each.
    totals: BTreeMap<PlayerId, Vec<u64>>,
}

#[derive(Debug)]
struct Scored {
    choices: Vec<u8>,
    elapsed_ms: u32,
    points: u64,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Event {
        status: String,
    },
    Question {
        instance: u32,
        points: u64,
    },
    Player {
        player: PlayerId,
        points: u64,
    },
    Answer {
        instance: u32,
        player: PlayerId,
        choices: Vec<u8>,
        elapsed_ms: u32,
        points: u64,
    },
    #[serde(other)]
    Other,
}

impl Verdict {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut verdict = Verdict::default();
        for line in text.lines() {
            let line = serde_json::from_str(line).map_err(|error| format!("{error} in {line}"))?;
            verdict.take(line);
        }
        Ok(verdict)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Event { status } => self.status = status,
            Line::Question { instance, points } => {
                self.questions.insert(instance, points);
            }
            Line::Player { player, points } => self.totals.entry(player).or_default().push(points),
            Line::Answer { instance, player, choices, elapsed_ms, points } => {
                let scored = Scored { choices, elapsed_ms, points };
                self.answers.entry((instance, player)).or_default().push(scored);
            }
            Line::Other => {}
        }
    }

    /// Whether the export calls itself final.
    pub(super) fn is_final(&self) -> bool {
        self.status == "final"
    }

    /// Whether the receipted answer is scored: the same choice, and not later.
    pub(super) fn keeps(&self, instance: u32, player: PlayerId, receipt: &Receipt) -> bool {
        self.answers.get(&(instance, player)).is_some_and(|all| {
            let kept = |scored: &Scored| {
                scored.choices == receipt.choices && scored.elapsed_ms <= receipt.elapsed_ms
            };
            all.iter().any(kept)
        })
    }

    /// How often something was scored twice: further answers of one player to one question, further
    /// totals of one player, totals above what the player's answers give.
    pub(super) fn doubles(&self) -> usize {
        let further: usize = self.answers.values().map(|all| all.len() - 1).sum();
        let totals: usize = self.totals.values().map(|all| all.len() - 1).sum();
        let above = self.totals.iter().filter(|(player, all)| {
            let gives = self.gives(**player);
            all.iter().any(|total| *total > gives)
        });
        further + totals + above.count()
    }

    /// What the answers of a player give, each question once.
    fn gives(&self, player: PlayerId) -> u64 {
        let best = self.questions.iter().map(|(instance, points)| {
            let all = self.answers.get(&(*instance, player)).into_iter().flatten();
            all.map(|scored| scored.points.min(*points)).max().unwrap_or(0)
        });
        best.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const EXPORT: &str = r#"{"type":"event","schema":1,"status":"final"}
{"type":"question","instance":1,"number":1,"points":1000}
{"type":"tally","instance":1,"counts":[0,1]}
{"type":"player","player":"00000000000000000000000000000001","points":900}
{"type":"answer","instance":1,"player":"00000000000000000000000000000001","choices":[1],"elapsed_ms":200,"points":900}"#;

    fn receipt(choice: u8, elapsed_ms: u32) -> Receipt {
        Receipt { at: Instant::now(), choices: vec![choice], elapsed_ms }
    }

    #[test]
    fn a_receipt_is_kept_by_the_same_choice_at_the_same_time_or_earlier() {
        let verdict = Verdict::parse(EXPORT).unwrap();
        assert!(verdict.is_final());
        for (instance, player, receipt, kept) in [
            (1, 1, receipt(1, 200), true),
            (1, 1, receipt(1, 201), true),
            (1, 1, receipt(1, 199), false),
            (1, 1, receipt(0, 200), false),
            (1, 2, receipt(1, 200), false),
            (2, 1, receipt(1, 200), false),
        ] {
            assert_eq!(verdict.keeps(instance, PlayerId(player), &receipt), kept, "{receipt:?}");
        }
    }

    #[test]
    fn whatever_is_scored_twice_is_counted() {
        let lines: Vec<&str> = EXPORT.lines().collect();
        let doubles = |text: &str| Verdict::parse(text).unwrap().doubles();
        assert_eq!(doubles(EXPORT), 0);
        assert_eq!(doubles(&format!("{EXPORT}\n{}", lines[4])), 1);
        assert_eq!(doubles(&format!("{EXPORT}\n{}", lines[3])), 1);
        assert_eq!(doubles(&EXPORT.replacen("\"points\":900", "\"points\":901", 1)), 1);
        assert_eq!(doubles(&EXPORT.replace("\"points\":900", "\"points\":1800")), 1);
    }
}
