//! A node's state at one moment, for people: where it stands, what it has, whom it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crdt_state::Mono;
use node::engine::EventCore;
use node::service::view::StageView;
use serde::Serialize;

use crate::quiz::host::in_words;

/// A node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeState {
    /// Who it writes as.
    pub origin: String,
    /// The stage that it shows.
    pub stage: StageView,
    /// The digest of all that it holds.
    pub digest: String,
    /// How many players it knows.
    pub players: u64,
    /// How many answers of each run it counts.
    pub answered: BTreeMap<u32, u64>,
    /// How complete it calls the newest result.
    pub result: Option<String>,
    /// The newest entry of each lane that it has.
    pub heads: BTreeMap<String, u64>,
    /// Whom it is connected to, and by how many entries each lacks some and has more.
    pub peers: BTreeMap<String, Lag>,
    /// Bytes of entries kept for others.
    pub tail_bytes: usize,
    /// Receipts that wait for their level.
    pub receipts_waiting: usize,
    /// Answers turned to entries, pulls and the like since it began.
    pub counts: String,
    /// All that it would export.
    pub export: Vec<String>,
}

/// How far a peer is from a node, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// What the peer is not known to have.
    pub behind: u64,
    /// What the node lacks and the peer has.
    pub ahead: u64,
}

impl NodeState {
    /// Reads a core.
    pub fn of(core: &EventCore, now: Mono, pin: &str) -> Self {
        let (replica, state) = (core.replica(), core.state());
        let live = core.screen_view(now, pin);
        let export = core.export(pin);
        let lag = |lag: gossip::replication::Lag| {
            (lag.peer.to_string(), Lag { behind: lag.behind, ahead: lag.ahead })
        };
        let answered = state.instances().map(|(instance, _)| (instance, state.answered(instance)));
        Self {
            origin: replica.me().to_string(),
            stage: node::engine::stage_view(state.stage()),
            digest: format!("{:016x}", core.digest()),
            players: live.players,
            answered: answered.collect(),
            result: live.result.map(|result| result.status),
            heads: core.heads().dots.iter().map(|(id, head)| (format!("{id:?}"), *head)).collect(),
            peers: replica.lags().map(lag).collect(),
            tail_bytes: replica.tail_bytes(),
            receipts_waiting: replica.receipts_waiting(),
            counts: format!("{:?}", replica.stats()),
            export: String::from_utf8_lossy(&export).lines().map(str::to_owned).collect(),
        }
    }

    /// What two nodes do not have in common, in words.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, one: String, two: String| {
            if one != two {
                found.push(format!("{what}: {one} and {two}"));
            }
        };
        compare("stage", in_words(self.stage), in_words(other.stage));
        compare("digest", self.digest.clone(), other.digest.clone());
        compare("players", self.players.to_string(), other.players.to_string());
        compare("answered", format!("{:?}", self.answered), format!("{:?}", other.answered));
        compare("result", format!("{:?}", self.result), format!("{:?}", other.result));
        let lanes: BTreeSet<&String> = self.heads.keys().chain(other.heads.keys()).collect();
        for lane in lanes {
            let head = |state: &Self| state.heads.get(lane).copied().unwrap_or_default();
            compare(&format!("lane {lane}"), head(self).to_string(), head(other).to_string());
        }
        let lines = |state: &Self| state.export.iter().cloned().collect::<BTreeSet<String>>();
        let (mine, theirs) = (lines(self), lines(other));
        found.extend(mine.difference(&theirs).map(|line| format!("only the first: {line}")));
        found.extend(theirs.difference(&mine).map(|line| format!("only the second: {line}")));
        found
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, result) = (in_words(self.stage), self.result.as_deref().unwrap_or("none yet"));
        writeln!(f, "  origin {}, digest {}", self.origin, self.digest)?;
        writeln!(f, "  stage {stage}, result {result}")?;
        writeln!(f, "  {} players, answers by round {:?}", self.players, self.answered)?;
        for (lane, head) in &self.heads {
            writeln!(f, "  lane {lane} at {head}")?;
        }
        for (peer, lag) in &self.peers {
            writeln!(f, "  peer {peer} lacks {} and has {} more", lag.behind, lag.ahead)?;
        }
        let Self { tail_bytes, receipts_waiting, counts, .. } = self;
        writeln!(f, "  {tail_bytes} bytes kept for others, {receipts_waiting} receipts wait")?;
        write!(f, "  {counts}")
    }
}
