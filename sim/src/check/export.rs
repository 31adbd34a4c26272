//! An event's export, read as anybody would read it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crdt_state::PlayerId;
use serde::Deserialize;

use crate::schedule::{Form, Schedule, choice_of, held};

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
    /// What is right; of a typed question the words that are accepted, of a prediction what came true.
    pub(super) correct: Vec<u8>,
    pub(super) open_ms: u32,
    pub(super) voided: bool,
    #[serde(default)]
    answer: String,
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

impl PlayerLine {
    /// The total that so many points of answers come to, awards on top: neither falls below nothing.
    pub(super) fn total_of(&self, points: i64) -> u64 {
        (points.max(0) as u64).saturating_add_signed(self.awarded)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct AnswerLine {
    pub(super) instance: u32,
    pub(super) player: PlayerId,
    pub(super) choices: Vec<u8>,
    pub(super) elapsed_ms: u32,
    /// Not said where nobody knows yet what came true.
    #[serde(default)]
    pub(super) correct: bool,
    pub(super) points: i64,
    #[serde(default)]
    pub(super) stake: Option<u32>,
    #[serde(default)]
    text: Option<String>,
    /// The question that it was given to, where another one is shown.
    #[serde(default)]
    pub(super) number: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
struct TallyLine {
    instance: u32,
    counts: Vec<u64>,
}

/// What kind of line it is, wherever it says so.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// What kind of line it is. Mostly that is said first, and in plain letters: then nothing else need be read.
fn kind_of(line: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    let said =
        line.strip_prefix(b"{\"type\":\"").and_then(|rest| rest.split(|it| *it == b'"').next());
    let plain = said.filter(|said| said.iter().all(u8::is_ascii_lowercase));
    match plain.and_then(|said| std::str::from_utf8(said).ok()) {
        Some(kind) => Ok(Cow::Borrowed(kind)),
        None => serde_json::from_slice(line).map(|Kind { kind }| kind),
    }
}

impl Export {
    /// What an answer's question asks for; nothing where its run gives nothing.
    pub(super) fn form_of(&self, plan: &Schedule, answer: &AnswerLine) -> Option<Form> {
        let line = self.questions.get(&answer.instance).filter(|line| !line.voided)?;
        let number = answer.number.unwrap_or(line.number) as usize;
        Some(plan.questions.get(number.checked_sub(1)?)?.form)
    }

    /// Whether an answer is right: as the run's line says, or as the plan does where the answer is to another
    /// question, on which no host can have ruled.
    pub(super) fn is_right(&self, plan: &Schedule, answer: &AnswerLine) -> bool {
        let Some(form) = self.form_of(plan, answer) else { return false };
        let right = match answer.number {
            None => self.questions.get(&answer.instance).map(|line| line.correct.clone()),
            Some(_) if form == Form::Prediction => None,
            Some(number) => {
                plan.questions.get(number as usize - 1).map(|question| vec![question.correct])
            }
        };
        let right = right.unwrap_or_default();
        !answer.choices.is_empty() && answer.choices.iter().all(|choice| right.contains(choice))
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
        match &*kind_of(line)? {
            "question" => {
                let mut line: QuestionLine = serde_json::from_slice(line)?;
                if line.correct.is_empty() {
                    line.correct = line.answer.split(", ").filter_map(choice_of).collect();
                }
                self.questions.insert(line.instance, line);
            }
            "tally" => {
                let TallyLine { instance, counts } = serde_json::from_slice(line)?;
                self.tallies.insert(instance, counts);
            }
            "player" => self.players.push(serde_json::from_slice(line)?),
            "answer" => {
                let mut line: AnswerLine = serde_json::from_slice(line)?;
                line.choices = held(line.choices, line.text.as_deref());
                self.answers.push(line);
            }
            _ => {}
        }
        Ok(())
    }
}
