//! An event's export, read as anybody would read it.

use std::collections::BTreeMap;

use crdt_state::PlayerId;
use serde::Deserialize;

/// What an export says.
#[derive(Debug, Default)]
pub(super) struct Export {
    pub(super) players: Vec<PlayerLine>,
    pub(super) answers: Vec<AnswerLine>,
    pub(super) tallies: BTreeMap<u32, Vec<u64>>,
    pub(super) open_ms: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PlayerLine {
    pub(super) player: PlayerId,
    pub(super) points: u64,
    pub(super) rank: u32,
    pub(super) correct_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct AnswerLine {
    pub(super) instance: u32,
    pub(super) player: PlayerId,
    pub(super) choices: Vec<u8>,
    pub(super) elapsed_ms: u32,
    pub(super) correct: bool,
    pub(super) points: u64,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Question {
        instance: u32,
        open_ms: u32,
    },
    Tally {
        instance: u32,
        counts: Vec<u64>,
    },
    Player(PlayerLine),
    Answer(AnswerLine),
    #[serde(other)]
    Other,
}

impl Export {
    /// # Errors
    /// The first line that cannot be read.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let mut export = Self::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let parsed = serde_json::from_slice(line).map_err(|why| {
                format!("the export's line {:?}: {why}", String::from_utf8_lossy(line))
            })?;
            match parsed {
                Line::Question { instance, open_ms } => {
                    export.open_ms.insert(instance, open_ms);
                }
                Line::Tally { instance, counts } => {
                    export.tallies.insert(instance, counts);
                }
                Line::Player(line) => export.players.push(line),
                Line::Answer(line) => export.answers.push(line),
                Line::Other => {}
            }
        }
        Ok(export)
    }
}
