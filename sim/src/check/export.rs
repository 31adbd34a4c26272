//! An event's export, read as anybody would read it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crdt_state::PlayerId;
use serde::Deserialize;

use crate::schedule::Schedule;

/// What an export says.
#[derive(Debug, Default)]
pub(super) struct Export {
    pub(super) players: Vec<PlayerLine>,
    pub(super) answers: Vec<AnswerLine>,
    pub(super) tallies: BTreeMap<u32, Vec<u64>>,
    pub(super) questions: BTreeMap<u32, QuestionLine>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct QuestionLine {
    pub(super) instance: u32,
    pub(super) number: u32,
    pub(super) correct: Vec<u8>,
    pub(super) open_ms: u32,
    pub(super) voided: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PlayerLine {
    pub(super) player: PlayerId,
    pub(super) points: u64,
    pub(super) rank: u32,
    pub(super) correct_ms: u64,
    #[serde(default)]
    pub(super) awarded: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct AnswerLine {
    pub(super) instance: u32,
    pub(super) player: PlayerId,
    pub(super) choices: Vec<u8>,
    pub(super) elapsed_ms: u32,
    pub(super) correct: bool,
    pub(super) points: u64,
    /// The question that it was given to, where another one is shown.
    #[serde(default)]
    pub(super) number: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
struct TallyLine {
    instance: u32,
    counts: Vec<u64>,
}

/// What kind of line it is. It is looked for first, since a line is then read straight into its own shape.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

impl Export {
    /// What is right for an answer: as the run's line says, or as the plan does where the answer is to
    /// another question; nothing where the run gives nothing.
    pub(super) fn correct_of(&self, plan: &Schedule, answer: &AnswerLine) -> Option<Vec<u8>> {
        let line = self.questions.get(&answer.instance).filter(|line| !line.voided)?;
        match answer.number {
            None => Some(line.correct.clone()),
            Some(number) => Some(vec![plan.questions.get(number as usize - 1)?.correct]),
        }
    }

    /// # Errors
    /// The first line that cannot be read.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let mut export = Self::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            export.take(line).map_err(|why| {
                format!("the export's line {:?}: {why}", String::from_utf8_lossy(line))
            })?;
        }
        Ok(export)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let Kind { kind } = serde_json::from_slice(line)?;
        match &*kind {
            "question" => {
                let line: QuestionLine = serde_json::from_slice(line)?;
                self.questions.insert(line.instance, line);
            }
            "tally" => {
                let TallyLine { instance, counts } = serde_json::from_slice(line)?;
                self.tallies.insert(instance, counts);
            }
            "player" => self.players.push(serde_json::from_slice(line)?),
            "answer" => self.answers.push(serde_json::from_slice(line)?),
            _ => {}
        }
        Ok(())
    }
}
