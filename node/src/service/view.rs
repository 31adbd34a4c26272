//! What travels to players, hosts, screens and operators, as JSON.
//!
//! Secrecy is a matter of types here: [`QuestionView`] and the views of each kind in it have no field for
//! the correct answer; only [`RevealView`] and the host's [`HostQuestion`] do.

pub use super::controls::{
    CoHostView, ControlsView, CrowdView, DeskView, FastestView, LogLine, MarkedView, StateView,
};
use crate::supervise::BranchView;
use crdt_state::engagement::qa::PostView;
use crdt_state::engagement::script::Entry;
use crdt_state::engagement::{Key, TaskResults, TaskView};
use crdt_state::event::Fate;
use crdt_state::{EventId, NodeId, Origin, PlayerId, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an event stands, in words.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct StageView {
    /// Which run of which question; 0 before the first.
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
    /// What an immediate correct answer gives.
    pub points: u32,
    /// How long each player has, in milliseconds, extensions included.
    pub open_ms: u32,
    /// The address of a picture.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
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
        match &self.task {
            TaskView::Quiz(task) => &task.options,
            TaskView::Poll(task) => &task.options,
            TaskView::Elimination(task) => &task.options,
            TaskView::Prediction(task) => &task.options,
            _ => &[],
        }
    }
}

impl QuestionView {
    /// Whether several options may be chosen.
    #[must_use]
    pub fn takes_several(&self) -> bool {
        match &self.task {
            TaskView::Quiz(task) => task.multiple,
            TaskView::Poll(task) => task.multiple,
            _ => false,
        }
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

/// Answers that a node has applied at once and that other nodes had taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedView {
    /// Which run, and whose answer.
    pub rows: Vec<(u32, PlayerId)>,
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

/// A question as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostQuestion {
    /// Counted from 1.
    pub number: u32,
    /// What is asked.
    pub text: String,
    /// What can be chosen.
    pub options: Vec<String>,
    /// Indexes of the correct options.
    pub correct: Vec<u8>,
    /// The word for its kind.
    #[serde(default)]
    pub kind: String,
    /// The correct answer in words; empty where there is none.
    #[serde(default)]
    pub answer: String,
}

/// A node that carries the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierView {
    /// Its name, or its id where the name is unknown.
    pub node: String,
    /// Its current origin.
    pub origin: Origin,
    /// Whether it has sealed the current round.
    pub sealed: bool,
    /// Whether it is connected to the node that tells.
    pub reachable: bool,
}

/// What the host sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// All that the screen sees.
    #[serde(flatten)]
    pub live: LiveView,
    /// The node that tells.
    pub node: String,
    /// The commands that are possible now.
    pub next: Vec<Command>,
    /// The whole script.
    pub questions: Vec<HostQuestion>,
    /// Posts of the current round that nobody has let through yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub posts_waiting: Vec<PostView>,
    /// The nodes that carry the event.
    pub enrolled: Vec<CarrierView>,
    /// Players who are connected now, on all nodes; a second old at most.
    #[serde(default)]
    pub present: u64,
    /// What only hosts see of what they have said.
    #[serde(default)]
    pub desk: DeskView,
}

/// What a host can do: make the show's steps, rule on its rounds, or state facts about it and its players.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Let players join.
    Lobby,
    /// Show the next question's text, or end after the last one.
    Next,
    /// Open the question for answers.
    Open,
    /// Close it before its time.
    Close,
    /// Show how many chose what.
    Tallies,
    /// Show the correct answer.
    Reveal,
    /// Show the leaderboard.
    Leaderboard,
    /// End the show.
    End,
    /// Break the show off.
    Abort,
    /// Let nobody new in.
    Lock,
    /// Let players in again.
    Unlock,
    /// Keep the question open for longer.
    Extend,
    /// Leave the question for the next one; it gives nothing.
    Skip,
    /// Ask the question, or an earlier one, again: a new attempt, and what was asked since gives nothing.
    Back,
    /// Let time stand still.
    Pause,
    /// Let time go on.
    Resume,
    /// Let a closed question give nothing.
    Void,
    /// Take that back.
    Restore,
    /// Put another key in place of a closed question's.
    Rescore,
    /// Accept another typed text.
    Accept,
    /// Say what came true of a prediction, or that it is cancelled.
    Resolve,
    /// Say what becomes of a post.
    Moderate,
    /// Take a player out: nothing of theirs counts.
    Kick,
    /// Take that back.
    Unkick,
    /// Take no reactions from a player.
    Mute,
    /// Take them again.
    Unmute,
    /// Give a player more time than the others to answer.
    Grant,
    /// Call a player otherwise.
    Rename,
    /// Give a player points, or take some.
    Award,
    /// Make a co-host, with a token of their own.
    Invite,
    /// Take that token back.
    Dismiss,
    /// Write a setting.
    Set,
    /// Say whose show it is; the first one holds.
    Own,
    /// Tell everybody something, or nothing any more.
    Announce,
    /// Switch on what is on at first.
    Allow,
    /// Switch it off.
    Deny,
    /// Hide what the big screen shows.
    Curtain,
    /// Show it again.
    Uncurtain,
}

impl Command {
    /// Its word, as in requests.
    #[must_use]
    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether it states a fact, for which the stage does not matter.
    #[must_use]
    pub fn is_fact(self) -> bool {
        use Command::{
            Allow, Announce, Award, Curtain, Deny, Dismiss, Grant, Invite, Kick, Lock, Mute, Own,
            Rename, Set, Uncurtain, Unkick, Unlock, Unmute,
        };
        let of_show = matches!(
            self,
            Lock | Unlock | Set | Own | Announce | Allow | Deny | Curtain | Uncurtain
        );
        let of_people = matches!(
            self,
            Kick | Unkick | Mute | Unmute | Grant | Rename | Award | Invite | Dismiss
        );
        of_show || of_people
    }
}

/// A host's command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// What to do.
    pub command: Command,
    /// The stage that the host's page showed: two hosts pressing one button make one step. Facts need none.
    #[serde(default)]
    pub expected: StageView,
    /// By how much to `extend`, or how much time to `grant`, in milliseconds.
    #[serde(default)]
    pub ms: Option<u32>,
    /// Which run a ruling is on; the current one if absent.
    #[serde(default)]
    pub instance: Option<u32>,
    /// Which question to ask again, counted from 1; only for `back`.
    #[serde(default)]
    pub question: Option<u32>,
    /// The key of `rescore` and `resolve`: `{"choices":[0]}`, `{"texts":["..."]}`, `{"number":7}` (in steps
    /// of the scale) or `{"order":[1,0]}`.
    #[serde(default)]
    pub key: Option<Key>,
    /// The text of `accept`; a name, a value, an announcement, or what an award is for.
    #[serde(default)]
    pub text: Option<String>,
    /// The post of `moderate`, in hexadecimal digits.
    #[serde(default)]
    pub post: Option<String>,
    /// What becomes of it.
    #[serde(default)]
    pub fate: Option<Fate>,
    /// Whom it is about.
    #[serde(default)]
    pub player: Option<PlayerId>,
    /// Which co-host, setting or switch.
    #[serde(default)]
    pub name: Option<String>,
    /// How many points to award.
    #[serde(default)]
    pub points: Option<i32>,
    /// Made up by the page for one award: sent again, it is the same award.
    #[serde(default)]
    pub id: Option<String>,
    /// Who asks, as the node found out by the token; never read from a request.
    #[serde(skip)]
    pub by: String,
}

impl CommandRequest {
    /// A command without anything else, by the event's own host.
    #[must_use]
    pub fn new(command: Command, expected: StageView) -> Self {
        CommandRequest {
            command,
            expected,
            ms: None,
            instance: None,
            question: None,
            key: None,
            text: None,
            post: None,
            fate: None,
            player: None,
            name: None,
            points: None,
            id: None,
            by: HOST.to_owned(),
        }
    }
}

/// Who holds an event's own host token, in the audit trail.
pub const HOST: &str = "host";

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandReply {
    /// `applied`, or `already` when somebody had done the same.
    pub outcome: String,
    /// Where the event stands now.
    pub stage: StageView,
    /// `firm` or `provisional`.
    pub level: String,
    /// The co-host's own token; only for `invite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Where a newly imported event can be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its id.
    pub event: EventId,
    /// What players type.
    pub pin: String,
    /// What its host needs.
    pub host_token: String,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSummary {
    /// Its id.
    pub event: EventId,
    /// Its PIN.
    pub pin: String,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub stage: StageView,
    /// How many players have joined.
    pub players: u64,
    /// What keeps this node from taking in all that others have written, if anything does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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

/// Whom to turn away, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeRequest {
    /// What to do.
    pub action: RevokeAction,
    /// To whom or what.
    #[serde(flatten)]
    pub whom: Whom,
}

/// See [`RevokeRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevokeAction {
    /// Turns them away from now on.
    Revoke,
    /// Takes that back.
    Restore,
}

/// Whom or what an operator means. Without an issuer it is the one that the node is configured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Whom {
    /// Whom the platform means by that `sub`.
    Subject {
        /// The claim `sub`.
        subject: String,
        /// The claim `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// The one token with that `jti`.
    Token {
        /// The claim `jti`.
        token_id: String,
        /// The claim `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// A player by id, whether a platform vouches for them or not.
    Player {
        /// Which.
        player: PlayerId,
    },
}

/// Whom or what the cluster turns away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationView {
    /// A player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerId>,
    /// A token: a hash of its issuer and id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
}

/// Who a token makes somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BearerView {
    /// `player`, `host` or `ops`.
    pub role: String,
    /// Who it is as a player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerId>,
    /// That player's slot, as it stands in topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// What the platform calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The events that the token is good for; `*` is all of them.
    pub events: Vec<String>,
}

/// A member of the cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its id.
    pub node: NodeId,
    /// Its current origin.
    pub origin: Origin,
    /// Its name.
    pub name: String,
    /// `starting`, `alive`, `draining`, `dead` or `left`.
    pub state: String,
    /// `host:port` of its peer plane.
    pub addr: String,
    /// Whether replication flows on a direct link; always true for the node itself.
    pub linked: bool,
    /// Round trip on that link, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Packets sent on that link.
    pub packets_sent: u64,
    /// Of those, how many were lost.
    pub packets_lost: u64,
    /// Its version.
    pub version: String,
    /// Where players and hosts reach it.
    pub links: NodeLinks,
}

/// What became of another member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEventView {
    /// `joined`, `ready`, `draining`, `left`, `suspect`, `died` or `returned`.
    pub event: String,
    /// The node.
    pub node: NodeId,
    /// The incarnation that it is about.
    pub origin: Origin,
    /// Its name.
    pub name: String,
    /// `host:port` of its peer plane.
    pub addr: String,
}

/// A key of the cluster's ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Tells it from others and gives nothing away.
    pub fingerprint: String,
    /// Whether this node uses it.
    pub in_use: bool,
    /// Living members that believe it, this node included.
    pub held_by: usize,
    /// Living members that use it, this node included.
    pub used_by: usize,
    /// Living members, this node included.
    pub of: usize,
}

/// A change of the ring of cluster keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum KeyChange {
    /// Have every node believe a key.
    Install {
        /// The key: 64 hexadecimal digits.
        key: String,
    },
    /// Have every node use a key.
    Use {
        /// Which.
        fingerprint: String,
        /// Even if not every living member holds it.
        #[serde(default)]
        force: bool,
    },
    /// Have no node believe a key any more.
    Remove {
        /// Which.
        fingerprint: String,
        /// Even if a living member still uses it.
        #[serde(default)]
        force: bool,
    },
}

impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyChange")
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingView {
    /// `starting`, `ready`, `draining` or `left`.
    pub standing: String,
    /// Players connected to it.
    pub sessions: u64,
}

/// A node in one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// `healthy`, `degraded` or `isolated`.
    pub verdict: String,
    /// Why it is not healthy, a sentence each.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Its id.
    pub node: NodeId,
    /// Its current origin.
    pub origin: Origin,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Since its start, in seconds.
    pub uptime_s: u64,
    /// Fingerprint of the cluster's key.
    pub cluster: String,
    /// What it says of itself: `starting`, `ready`, `draining` or `left`.
    pub standing: String,
    /// Members alive in its view, itself included.
    pub members_alive: usize,
    /// Members that ought to be alive in its view: all that it knows but those who left or were forgotten.
    pub members_known: usize,
    /// Players connected to it.
    pub sessions: u64,
    /// Events that it carries.
    pub events: Vec<EventSummary>,
    /// Its tasks, and how often each was started again.
    #[serde(default)]
    pub tree: BranchView,
    /// How it stands with the broker that it is behind, if it is behind one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerView>,
}

/// How a node stands with its broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BrokerView {
    /// Where it is, or is looked for.
    pub url: String,
    /// Whether it is reached now.
    pub connected: bool,
    /// The version of MQTT that is spoken with it; empty before the first connection.
    pub protocol: String,
    /// Whether it has shared subscriptions.
    pub shared_subscriptions: bool,
    /// The name of this node's session there.
    pub client_id: String,
    /// How many slots this node takes from it.
    pub slots: usize,
    /// What went wrong last, since it was reached.
    pub last_error: Option<String>,
}

/// An event whose state is gone for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedView {
    /// Its id, which stays known.
    pub event: EventId,
}

/// What giving up a node has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetView {
    /// Which node.
    pub node: NodeId,
    /// In how many events it was waited for.
    pub events: usize,
    /// How many of its incarnations nobody waits for any more.
    pub origins: usize,
    /// Whether enough nodes know.
    pub firm: bool,
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
        /// What it gave, bonus included; below zero where a wrong answer has a price.
        points: i64,
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
