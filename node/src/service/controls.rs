//! What hosts have said of a show and its players, as JSON.

use super::view::StageView;
use crdt_state::named::Award;
use crdt_state::{EventId, Origin, PlayerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What everybody sees of the host's switches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlsView {
    /// What hosts tell everybody. While two announcements stand against each other, the first one by
    /// the order of their writers, the same everywhere.
    pub announcement: Option<String>,
    /// Whether reactions are taken.
    pub reactions: bool,
    /// Whether pages may make sounds.
    pub sound: bool,
    /// Whether the big screen is hidden.
    pub curtain: bool,
}

impl ControlsView {
    /// Whether no host has touched anything: it is then left out of what players are sent.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        *self == ControlsView::default()
    }
}

impl Default for ControlsView {
    fn default() -> Self {
        ControlsView { announcement: None, reactions: true, sound: true, curtain: false }
    }
}

/// Reactions so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrowdView {
    /// By kind.
    pub reactions: BTreeMap<String, u64>,
    /// Thumbs up less thumbs down.
    pub mood: i64,
}

/// What only hosts see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskView {
    /// Whose show it is.
    pub owner: Option<String>,
    /// Announcements that stand; more than one is a conflict, which the next announcement resolves.
    pub announcements: Vec<String>,
    /// Who else may drive.
    pub co_hosts: Vec<CoHostView>,
    /// Players of whom something was said.
    pub marked: Vec<MarkedView>,
    /// What was set, by name.
    pub settings: BTreeMap<String, String>,
}

/// A co-host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoHostView {
    /// New for every invitation.
    pub id: String,
    /// The name.
    pub name: String,
}

/// What was said of a player.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedView {
    /// Who.
    pub player: PlayerId,
    /// The name as shown.
    pub name: String,
    /// Whether the player is out.
    pub kicked: bool,
    /// Whether the player's reactions are not taken.
    pub muted: bool,
    /// How much longer than the others the player has to answer, in milliseconds.
    pub extra_ms: u32,
    /// Whether a host gave the name.
    pub renamed: bool,
    /// Points beyond those of answers.
    pub awarded: i64,
}

/// The named state of an event, kind by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// The event.
    pub event: EventId,
    /// The node that tells.
    pub node: String,
    /// Where the show stands.
    pub stage: StageView,
    /// Equal on nodes that have seen the same.
    pub digest: String,
    /// Players who count.
    pub players: u64,
    /// Flags that a concurrent enabling wins.
    pub flags: BTreeMap<String, bool>,
    /// Flags that a concurrent disabling wins.
    pub permits: BTreeMap<String, bool>,
    /// Flags that are switched to and fro.
    pub toggles: BTreeMap<String, bool>,
    /// Counters that only grow.
    pub totals: BTreeMap<String, u64>,
    /// Counters that go both ways.
    pub counts: BTreeMap<String, i64>,
    /// Sets that only grow: awards, by what they were for.
    pub awards: BTreeMap<String, Vec<Award>>,
    /// Sets with removal.
    pub sets: BTreeMap<String, Vec<String>>,
    /// Registers that the last write holds.
    pub settings: BTreeMap<String, String>,
    /// Registers that the first write holds.
    pub firsts: BTreeMap<String, String>,
    /// Registers that keep conflicts: more than one text is one.
    pub multis: BTreeMap<String, Vec<String>>,
    /// Maxima.
    pub most: BTreeMap<String, u64>,
    /// Minima.
    pub least: BTreeMap<String, u64>,
    /// The fastest correct answer of every revealed round: minima too, folded over the answers.
    pub fastest: Vec<FastestView>,
    /// The player flag column: players of whom something was said.
    pub marked: Vec<MarkedView>,
}

/// Who was first to answer a round correctly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FastestView {
    /// Which run.
    pub instance: u32,
    /// After how many milliseconds.
    pub elapsed_ms: u32,
    /// Who; of equals the one with the smaller id.
    pub player: PlayerId,
    /// The name as shown.
    pub name: String,
}

/// A line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where in the order: whatever was known when it was done has a smaller number.
    pub lamport: u64,
    /// The node's calendar in milliseconds since 1970: for display, it orders nothing.
    pub wall_ms: u64,
    /// On which node, by name, or by origin where the name is unknown.
    pub node: String,
    /// That node's origin.
    pub origin: Origin,
    /// Who: `host`, a co-host's name, `director`.
    pub by: String,
    /// What was done.
    pub act: String,
    /// To what or whom, and with which values.
    pub of: String,
    /// Where the show stood after it.
    pub stage: StageView,
    /// Nodes whose directors made the same step at the same time, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}
