//! What a node tells one player: acknowledgements, and the messages of the private inbox.

use super::{BoardLine, NodeLinks, Refusal};
use crdt_state::engagement::Thousandths;
use crdt_state::{EventId, PlayerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an acknowledgement says of a publish, in MQTT 5's user property `receipt`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptView {
    /// `joined`, `accepted`, `duplicate`, `counted` or `refused`.
    pub status: String,
    /// `firm` once enough nodes hold it, `provisional` before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The options that are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<u8>>,
    /// What was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The number that is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Thousandths>,
    /// What is staked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<u32>,
    /// How long the answer took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u32>,
    /// Why not, in a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ReceiptView {
    /// What is said to a publish that is not taken.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        ReceiptView {
            status: "refused".to_owned(),
            code: Some(refusal.code.clone()),
            message: Some(refusal.message.clone()),
            hint: refusal.hint.clone(),
            ..ReceiptView::default()
        }
    }

    /// As compact JSON.
    ///
    /// # Panics
    /// Never: its keys are texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a receipt has text keys only")
    }
}

/// A private message to one player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum InboxMessage {
    /// The player is in.
    Joined {
        /// The event.
        event: EventId,
        /// Its PIN.
        pin: String,
        /// The player.
        player: PlayerId,
        /// The name as shown.
        name: String,
        /// Proves the join to any node.
        token: String,
        /// `firm` or `provisional`.
        level: String,
        /// Every node that takes this event's players.
        nodes: Vec<NodeLinks>,
        /// The total so far.
        points: u64,
        /// The rank so far, once there is one.
        rank: Option<u32>,
        /// How many have joined.
        players: u64,
        /// The team that the player plays for, in a show with teams.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        team: Option<String>,
        /// The topic of the player's inbox, where a broker stands before the nodes.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        inbox: Option<String>,
    },
    /// An answer was taken.
    Receipt {
        /// Of which show: a player may be in several.
        event: EventId,
        /// Of which run; 0 for the choice of a team.
        instance: u32,
        /// `accepted`, `duplicate` or `superseded`.
        status: String,
        /// `firm` or `provisional`.
        level: String,
        /// The answer that is held.
        choices: Vec<u8>,
        /// When it was given, counted from the opening.
        elapsed_ms: u32,
        /// What was typed, where a text is the answer.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        text: Option<String>,
        /// The number that is held, where a number is the answer.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        number: Option<Thousandths>,
        /// What is staked on it, where something is; no more than the player has counts.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stake: Option<u32>,
    },
    /// A question was revealed.
    Result {
        /// Of which show.
        event: EventId,
        /// Of which run.
        instance: u32,
        /// Whether an answer was held.
        #[serde(default)]
        answered: bool,
        /// Whether the held answer was correct.
        correct: bool,
        /// The options that were chosen; empty if none were.
        choices: Vec<u8>,
        /// What was typed, if something was.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        text: Option<String>,
        /// The number that was given, if one was.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        number: Option<Thousandths>,
        /// What was staked, if something was.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stake: Option<u32>,
        /// What it gave, bonus included; below zero where a wrong answer has a price. Not there where rounds of
        /// the kind give no points.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        points: Option<i64>,
        /// The part of it that a streak, a prize or a pool added.
        #[serde(default)]
        bonus: i64,
        /// Lives left in an elimination.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        lives: Option<u32>,
        /// The team that the player plays for.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        team: Option<String>,
        /// Who stands next to the player in the order of the leaderboard, the player included.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        neighbours: Vec<BoardLine>,
        /// The total.
        total: u64,
        /// The rank.
        rank: u32,
        /// Among how many.
        players: u64,
        /// How often hosts have ruled anew on what the round gives.
        #[serde(skip_serializing_if = "is_first", default)]
        revision: u64,
        /// How complete it was when it was told: `final`, `settled`, `partial` or `forgotten`. The live state says
        /// how complete it is by now.
        #[serde(default)]
        status: String,
        /// The names of the nodes that were still waited for then.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        missing: Vec<String>,
    },
    /// What a host said of the player has changed.
    Marked {
        /// In which show.
        event: EventId,
        /// What the player is called now.
        name: String,
        /// Whether the player is out.
        kicked: bool,
        /// Whether the player's reactions are not taken.
        muted: bool,
        /// How much longer than the others the player has to answer, in milliseconds.
        extra_ms: u32,
    },
    /// Something was not taken.
    Refused {
        /// The topic it was published to.
        topic: String,
        /// Stable word for programs.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Whether a result is as it was when it was first there.
fn is_first(revision: &u64) -> bool {
    *revision == 0
}
