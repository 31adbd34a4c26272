//! The leaderboard of a few.

use crdt_state::PlayerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Friends that one request names: more are a crowd, which has the leaderboard. Arbitrary.
pub const FRIENDS_MAX: usize = 200;

/// Of whom a leaderboard is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FriendsRequest {
    /// By the names that are shown; upper and lower case are the same.
    #[serde(default)]
    pub names: Vec<String>,
    /// By their ids, as a platform knows them.
    #[serde(default)]
    pub players: Vec<PlayerId>,
}

/// The leaderboard of a few, over what has been revealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FriendsView {
    /// Best first.
    pub lines: Vec<FriendLine>,
    /// Those who were named and do not play.
    pub unknown: Vec<String>,
    /// How many there are on the whole leaderboard.
    pub players: u64,
    /// How often hosts have changed what the leaderboard says.
    pub revision: u64,
    /// How complete the answers are that it counts; nothing before the first round is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageView>,
}

/// How complete a result is, without what hangs on the node that says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoverageView {
    /// `final`, `settled`, `partial` or `forgotten`, as in the live state's `result`.
    pub status: String,
    /// The names of the nodes whose seal is missing and still waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// One of the few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FriendLine {
    /// Competition rank among the few: 1, 2, 2, 4.
    pub rank: u32,
    /// Competition rank among all.
    pub place: u32,
    /// The name as shown; empty where the host shows no names and the asker did not name it.
    pub name: String,
    /// The total.
    pub points: u64,
}
