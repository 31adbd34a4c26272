//! What a player was told, in its own notes.

use node::service::view::{InboxMessage, LiveView, StageView};
use serde::Deserialize;
use std::time::Instant;

/// Everything that a player was told.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The node it is connected to.
    pub node: Option<usize>,
    /// How many connections were accepted.
    pub connections: u32,
    /// Why connections ended.
    pub losses: Vec<String>,
    /// Proves the join.
    pub token: Option<String>,
    /// Every `joined` message.
    pub joined: Vec<Joined>,
    /// Every receipt, in any form.
    pub receipts: Vec<Receipt>,
    /// Every acknowledged publish.
    pub acknowledged: Vec<Acknowledged>,
    /// Every result.
    pub results: Vec<TotalResult>,
    /// Every refusal.
    pub refused: Vec<Refused>,
    /// The newest live state.
    pub live: Option<LiveView>,
    /// Every change of the stage that the live state showed.
    pub stages: Vec<Seen>,
    /// What was not understood: a breach of the contract.
    pub errors: Vec<String>,
}

/// How sure something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Taken by one node.
    Provisional,
    /// Held by as many as were asked for.
    Firm,
}

/// A `joined` message.
#[derive(Debug, Clone)]
pub struct Joined {
    /// How sure the join is.
    pub level: Level,
    /// The name as shown.
    pub name: String,
    /// The total so far.
    pub points: u64,
    /// On which connection it came.
    pub connection: u32,
    /// From which node.
    pub node: usize,
}

/// How a receipt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// As a message.
    Inbox,
    /// As a property of the acknowledgement (MQTT 5).
    Acknowledgement,
}

/// A receipt.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// For which run.
    pub instance: u32,
    /// `accepted`, `duplicate` or `superseded`.
    pub status: String,
    /// How sure it is.
    pub level: Level,
    /// The answer that is held.
    pub choices: Vec<u8>,
    /// When it was given.
    pub elapsed_ms: u32,
    /// How it came.
    pub via: Told,
    /// On which connection it came.
    pub connection: u32,
    /// From which node.
    pub node: usize,
    /// When it came.
    pub at: Instant,
}

/// A change of the stage.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// What it became.
    pub stage: StageView,
    /// On which connection it was seen.
    pub connection: u32,
    /// When.
    pub at: Instant,
}

/// An acknowledged publish.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The topic.
    pub topic: String,
    /// The reason code; 0 in MQTT 3.1.1.
    pub reason: u8,
    /// When it came.
    pub at: Instant,
}

/// A `result` message.
#[derive(Debug, Clone)]
pub struct TotalResult {
    /// Of which run.
    pub instance: u32,
    /// Whether the answer was correct.
    pub correct: bool,
    /// The answer that was held.
    pub choices: Vec<u8>,
    /// What it gave.
    pub points: i64,
    /// The total.
    pub total: u64,
    /// The rank.
    pub rank: u32,
}

/// A refusal, by message or by acknowledgement.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The topic it was published to.
    pub topic: String,
    /// Stable word.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; an acknowledgement leaves it out.
    pub hint: Option<String>,
}

/// The user property `receipt` of an acknowledgement: a receipt, or a refusal. A refusal also comes
/// to the inbox, unless the message did not even tell whose it was.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ReceiptProperty {
    status: String,
    level: Option<Level>,
    choices: Option<Vec<u8>>,
    elapsed_ms: Option<u32>,
    code: Option<String>,
    message: Option<String>,
}

impl ReceiptProperty {
    pub(super) fn refused(&self, topic: &str) -> Option<Refused> {
        let (code, message) = (self.code.clone()?, self.message.clone()?);
        Some(Refused { topic: topic.to_owned(), code, message, hint: None })
    }

    pub(super) fn receipt(
        self,
        instance: u32,
        connection: u32,
        node: usize,
        at: Instant,
    ) -> Option<Receipt> {
        let (via, status) = (Told::Acknowledgement, self.status);
        let (level, choices, elapsed_ms) = (self.level?, self.choices?, self.elapsed_ms?);
        Some(Receipt { instance, status, level, choices, elapsed_ms, via, connection, node, at })
    }
}

impl Record {
    /// The newest firm receipt for an instance.
    #[must_use]
    pub fn firm(&self, instance: u32) -> Option<&Receipt> {
        let firm = |it: &&Receipt| it.instance == instance && it.level == Level::Firm;
        self.receipts.iter().rfind(firm)
    }

    /// The newest result of an instance.
    #[must_use]
    pub fn result(&self, instance: u32) -> Option<&TotalResult> {
        self.results.iter().rfind(|result| result.instance == instance)
    }

    /// The total of the newest result.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.results.last().map_or(0, |result| result.total)
    }

    /// When it first saw a stage, or a later one.
    #[must_use]
    pub fn seen(&self, stage: StageView) -> Option<Seen> {
        self.stages.iter().find(|seen| seen.stage >= stage).copied()
    }

    /// The newest acknowledgement on a topic.
    #[must_use]
    pub fn reason(&self, topic: &str) -> Option<u8> {
        self.acknowledged.iter().rfind(|it| it.topic == topic).map(|it| it.reason)
    }

    /// Whether it was refused with `code`.
    #[must_use]
    pub fn was_refused(&self, code: &str) -> bool {
        self.refused.iter().any(|refused| refused.code == code)
    }

    pub(super) fn take_live(&mut self, live: LiveView, connection: u32) {
        let (stage, at) = (live.stage, Instant::now());
        if self.stages.last().is_none_or(|last| last.stage != stage) {
            self.stages.push(Seen { stage, connection, at });
        }
        self.live = Some(live);
    }

    pub(super) fn take(&mut self, message: InboxMessage, connection: u32, node: usize) {
        match message {
            InboxMessage::Joined { name, token, level, points, .. } => {
                self.token = Some(token);
                let Some(level) = self.level(&level) else { return };
                self.joined.push(Joined { level, name, points, connection, node });
            }
            InboxMessage::Receipt { instance, status, level, choices, elapsed_ms, .. } => {
                let Some(level) = self.level(&level) else { return };
                let (via, at) = (Told::Inbox, Instant::now());
                self.receipts.push(Receipt {
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
            }
            InboxMessage::Result { instance, correct, choices, points, total, rank, .. } => {
                let points = points.unwrap_or_default();
                self.results.push(TotalResult { instance, correct, choices, points, total, rank });
            }
            InboxMessage::Refused { topic, code, message, hint } => {
                self.refused.push(Refused { topic, code, message, hint });
            }
            InboxMessage::Marked { .. } => {}
        }
    }

    fn level(&mut self, word: &str) -> Option<Level> {
        match word {
            "firm" => Some(Level::Firm),
            "provisional" => Some(Level::Provisional),
            other => {
                self.errors.push(format!("the level {other:?}"));
                None
            }
        }
    }
}
