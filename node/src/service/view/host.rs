//! What hosts see and what they can do. The only views beside the reveal that hold correct answers.

use super::{DeskView, LiveView, Refusal, RoundLine, StageView};
use crdt_state::engagement::Key;
use crdt_state::engagement::qa::PostView;
use crdt_state::event::Fate;
use crdt_state::{EventId, Origin, PlayerId};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

/// How far a show runs by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Autopilot {
    /// A host makes its steps.
    #[default]
    Off,
    /// From its first question on: a host opens the lobby and begins.
    Rounds,
    /// From its import on.
    Whole,
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
    /// How far the show runs by itself.
    #[serde(default)]
    pub autopilot: Autopilot,
    /// The whole script; not there where it was told before or nobody asked for it, since it may be long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub questions: Option<Arc<Vec<HostQuestion>>>,
    /// The newest runs, the last one first; not there where they were told before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rounds: Option<Vec<RoundLine>>,
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
    /// Take neither reactions nor words that everybody sees from a player.
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
    /// Say that the show is somebody's from now on, whoever had it; the last one holds.
    Takeover,
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
            Rename, Set, Takeover, Uncurtain, Unkick, Unlock, Unmute,
        };
        let of_show = matches!(
            self,
            Lock | Unlock | Set | Own | Takeover | Announce | Allow | Deny | Curtain | Uncurtain
        );
        let of_people = matches!(
            self,
            Kick | Unkick | Mute | Unmute | Grant | Rename | Award | Invite | Dismiss
        );
        of_show || of_people
    }

    /// Refuses what asks for a step, or for the round's time, and leaves out the stage that it starts from: taken
    /// as the draft, which it is not, it would be told that it makes no sense there.
    ///
    /// # Errors
    /// `payload_malformed`.
    pub fn check_expected(self, payload: &[u8]) -> Result<(), Refusal> {
        use Command::{Accept, Moderate, Rescore, Resolve, Restore, Void};
        #[derive(Deserialize)]
        struct Stated {
            expected: Option<IgnoredAny>,
        }
        // These name their round by `instance`.
        let is_of_round = matches!(self, Void | Restore | Rescore | Accept | Resolve | Moderate);
        if self.is_fact() || is_of_round {
            return Ok(());
        }
        match serde_json::from_slice(payload) {
            Ok(Stated { expected: None }) => {
                let message = format!("`{}` does not say what it starts from", self.word());
                Err(Refusal::new("payload_malformed", message)
                    .hint("say `expected`: the stage as the live state shows it"))
            }
            _ => Ok(()),
        }
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
    /// The round's length that the page showed, to which `extend` adds: of two who press at once, or of a wish
    /// that is sent again, one extends.
    #[serde(default)]
    pub open_ms: Option<u32>,
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
            open_ms: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_it_starts_from() {
        for (payload, is_refused) in [
            (r#"{"command":"open"}"#, true),
            (r#"{"command":"pause"}"#, true),
            (r#"{"command":"open","expected":{"instance":0,"phase":"lobby"}}"#, false),
            (r#"{"command":"lock"}"#, false),
            (r#"{"command":"void","instance":1}"#, false),
        ] {
            let request: CommandRequest = serde_json::from_str(payload).unwrap();
            let refusal = request.command.check_expected(payload.as_bytes()).err();
            assert_eq!(refusal.is_some(), is_refused, "{payload}");
            assert!(refusal.is_none_or(|it| it.hint.unwrap().contains("live state")));
        }
    }
}
