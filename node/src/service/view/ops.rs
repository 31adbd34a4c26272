//! What operators see and change: events, nodes, keys, who is turned away.

use super::{NodeLinks, StageView};
use crate::supervise::BranchView;
use crdt_state::{EventId, NodeId, Origin, PlayerId, TokenId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Answers that a node has applied at once and that other nodes had taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedView {
    /// Which run, and whose answer.
    pub rows: Vec<(u32, PlayerId)>,
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
    /// How it stands: `starting`, `ready`, `not ready` while no players are to be sent to it for a reason that is
    /// given, `draining` or `left`.
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
    /// In how many of the events that the asked node carries it was waited for. Whoever carries others gives it up there.
    pub events: usize,
    /// How many of its incarnations nobody waits for any more.
    pub origins: usize,
    /// Whether enough nodes know, of each of these events and in the catalogue. If not, it can be said again.
    pub firm: bool,
}
