//! What travels to players, hosts, screens and operators, as JSON. Here is what all of them see; what is for
//! one player, for hosts, and for operators only has a file each.
//!
//! Secrecy is a matter of types here: [`QuestionView`] and the views of each kind in it have no field for
//! the correct answer; only [`RevealView`] and the host's [`HostQuestion`] do.

mod friends;
mod host;
mod inbox;
mod ops;
mod rounds;

pub use super::controls::{
    CoHostView, ControlsView, CrowdView, DeskView, FastestView, LogLine, MarkedView, StateView,
};
use crdt_state::engagement::script::Entry;
use crdt_state::engagement::{TaskResults, TaskView};
use crdt_state::{EventId, Origin};
pub use friends::{CoverageView, FRIENDS_MAX, FriendLine, FriendsRequest, FriendsView};
pub use host::{
    Autopilot, CarrierView, Command, CommandReply, CommandRequest, HOST, HostQuestion, HostView,
    Imported,
};
pub use inbox::{InboxMessage, ReceiptView};
pub use ops::{
    AppliedView, ArchivedView, BearerView, BrokerView, EventSummary, ForgetView, KeyChange,
    KeyView, MemberEventView, MemberView, RevocationView, RevokeAction, RevokeRequest,
    StandingView, StatusView, Whom,
};
pub use rounds::{RoundLine, RoundView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an event stands, in words.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct StageView {
    /// Which run of which question; 0 before the first, 4294967295, above every run, once the show is over.
    pub instance: u32,
    /// How far that run is.
    pub phase: PhaseView,
}

/// The phases, in their order.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PhaseView {
    /// Imported; players cannot join yet.
    #[default]
    Draft,
    /// Players join.
    Lobby,
    /// The question's text is shown, its options are not.
    Intro,
    /// Answers are taken.
    Open,
    /// No more answers are taken; nothing is shown.
    Closed,
    /// How many chose what is shown.
    Tallies,
    /// The correct answer is shown.
    Reveal,
    /// The leaderboard is shown.
    Board,
    /// The show is over.
    Ended,
    /// The show was broken off.
    Aborted,
}

impl PhaseView {
    /// Its word, as in JSON.
    #[must_use]
    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A question as players and screens see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionView {
    /// Counted from 1.
    pub number: u32,
    /// How many questions the show has.
    pub of: u32,
    /// What is asked.
    pub text: String,
    /// What an immediate correct answer gives; not there where rounds of the kind give no points, or what players
    /// staked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub points: Option<u32>,
    /// How long each player has, in milliseconds, extensions included.
    pub open_ms: u32,
    /// The address of a picture.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// The path under which every node serves that picture, fetched once for all its players.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image_path: Option<String>,
    /// When players whose stream has got there see it, in milliseconds of the stream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub media_ms: Option<u32>,
    /// By how much a player's stream may be behind, in milliseconds: the round is open for so much longer, and
    /// `remaining_ms` counts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window_ms: Option<u32>,
    /// The hash over salt and key that binds the key before anybody answers; from the opening on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commitment: Option<String>,
    /// What is to be done, by kind; it has no field for the key.
    #[serde(flatten)]
    pub task: TaskView,
}

impl QuestionView {
    /// What can be chosen, where the task is a choice.
    #[must_use]
    pub fn options(&self) -> &[String] {
        self.task.offered()
    }

    /// Whether several options may be chosen.
    #[must_use]
    pub fn takes_several(&self) -> bool {
        self.task.takes_several()
    }
}

/// The correct answer, from the reveal on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevealView {
    /// Indexes of the correct options, or all options in their order; empty where there are none.
    pub correct: Vec<u8>,
    /// The correct answer in words.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub answer: String,
    /// Why.
    pub explanation: Option<String>,
    /// The key that was fixed at the import, as the text that was hashed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What hid it: SHA-256 over `salt:key` is the commitment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub salt: Option<String>,
    /// Whether a host has put another key in its place since.
    #[serde(default)]
    pub corrected: bool,
}

/// A team's line of its board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamLine {
    /// Competition rank: 1, 2, 2, 4.
    pub rank: u32,
    /// The name.
    pub name: String,
    /// The mean or the sum of its members' points.
    pub points: u64,
    /// How many members it has.
    pub players: u64,
}

/// A line of the leaderboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BoardLine {
    /// Competition rank: 1, 2, 2, 4.
    pub rank: u32,
    /// The name as shown.
    pub name: String,
    /// The total.
    pub points: u64,
}

/// How complete a result is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultView {
    /// `final`: every node has given all its answers. `settled`: not all have, but every firm receipt is
    /// counted. `partial`: one may not be. `forgotten`: all have but nodes that an operator gave up.
    pub status: String,
    /// The nodes whose seal is missing and still waited for.
    pub missing: Vec<MissingNode>,
    /// The nodes that an operator ever gave up; never taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<ForgottenNode>,
    /// Entries of answers that came after a result was shown without them, as this node counts them. They
    /// are in the result now.
    #[serde(default)]
    pub late: u64,
    /// How often hosts have ruled anew on what this round gives: void or not, another key, one more accepted
    /// text.
    #[serde(default)]
    pub revision: u64,
    /// How often hosts have changed what the leaderboard says: by a ruling on any round, or by an award.
    #[serde(default)]
    pub board_revision: u64,
}

/// A node that has not sealed a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingNode {
    /// Its name, or its id where the name is unknown.
    pub node: String,
    /// The incarnation that has not sealed.
    pub origin: Origin,
    /// For how long it has been unreachable, in milliseconds, as seen from the node that tells.
    pub since_ms: u64,
    /// The newest entry with answers that is known of it.
    pub head: u64,
}

/// A node that an operator gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgottenNode {
    /// Its name, or its id where the name is unknown.
    pub node: String,
    /// The incarnation that was given up.
    pub origin: Origin,
    /// The newest entry with answers that was known of it then.
    pub head: u64,
    /// Whether it came back all the same.
    pub returned: bool,
    /// Whether all its answers to this round are counted after all.
    pub sealed: bool,
}

/// The live state of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveView {
    /// Its id.
    pub event: EventId,
    /// Its PIN.
    pub pin: String,
    /// Its title.
    pub title: String,
    /// Grows with every change, per node.
    pub revision: u64,
    /// How many players have joined.
    pub players: u64,
    /// Whether joining is locked.
    pub locked: bool,
    /// Where it stands.
    pub stage: StageView,
    /// The current question, from its intro to its board.
    pub question: Option<QuestionView>,
    /// For how long the question has been open, at the moment of encoding; only while open.
    pub age_ms: Option<u64>,
    /// For how long it will still be open; only while open.
    pub remaining_ms: Option<u64>,
    /// In the lobby of a show that starts by itself: for how long it will still wait, at the moment of encoding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub starts_in_ms: Option<u64>,
    /// Answers counted; players get it from the close on.
    pub answered: Option<u64>,
    /// How many chose each option, from the tallies on; at once where that is the point of the kind.
    pub tallies: Option<Vec<u64>>,
    /// What else the answers come to, with the tallies.
    #[serde(default)]
    pub results: Option<TaskResults>,
    /// The correct answer, from the reveal on.
    pub reveal: Option<RevealView>,
    /// The ten best, with the board and at the end.
    pub board: Option<Vec<BoardLine>>,
    /// The teams, with the board, in a show that has some.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub teams: Option<Vec<TeamLine>>,
    /// The teams that players can choose from now; empty while they cannot.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub team_names: Vec<String>,
    /// Whether time stands still.
    #[serde(default)]
    pub paused: bool,
    /// Whether the current question gives nothing, by a host's ruling.
    #[serde(default)]
    pub voided: bool,
    /// How complete all that is, from the close on.
    pub result: Option<ResultView>,
    /// What the host has switched and announced.
    #[serde(default, skip_serializing_if = "ControlsView::is_untouched")]
    pub controls: ControlsView,
    /// Reactions so far; not for players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crowd: Option<CrowdView>,
}

/// Where a node can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeLinks {
    /// Its name.
    pub name: String,
    /// Base URL of its pages and API.
    pub http: String,
    /// URL of MQTT over WebSocket.
    pub ws: String,
    /// `host:port` of MQTT over TCP.
    pub mqtt: String,
    /// `host:port` of MQTT over TLS; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mqtts: String,
}

/// What a PIN means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinView {
    /// The event.
    pub event: EventId,
    /// The PIN itself.
    pub pin: String,
    /// The event's title.
    pub title: String,
    /// Who may come in.
    #[serde(default)]
    pub entry: Entry,
    /// Every node that takes its players.
    pub nodes: Vec<NodeLinks>,
}

/// Where players' pages connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeView {
    /// Where a broker takes MQTT over WebSocket; empty where pages connect to the nodes.
    pub broker: Vec<String>,
}

/// A clear no, with a way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable word for programs.
    pub code: String,
    /// What is wrong, naming the values.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Where the event stands, when it stood in the way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stage: Option<StageView>,
    /// Every problem of a show file.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<Problem>,
}

impl Refusal {
    /// A refusal without details.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Refusal { code, message, hint: None, stage: None, problems: Vec::new() }
    }

    /// In one line: the word, what is wrong, the way out.
    #[must_use]
    pub fn in_words(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}: {}; {hint}", self.code, self.message),
            None => format!("{}: {}", self.code, self.message),
        }
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One problem of a show file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Path of the field, such as `questions[2].correct`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}
