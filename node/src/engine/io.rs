//! What an event's core hears and says.

use super::bulk::{Bulk, BulkVerdict};
use super::intake::Claim;
use crate::service::view::{CommandReply, CommandRequest, InboxMessage, Refusal};
use bytes::Bytes;
use crdt_state::engagement::{Given, Script};
use crdt_state::{EventId, Heads, Lane, LaneId, Mono, NodeId, Origin, PlayerId, Row, Versions};
use gossip::replication::{self, AckLevel, Alarm, Message, Replicated};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What does not change while the node runs.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The event.
    pub event: EventId,
    /// The node.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// This incarnation.
    pub origin: Origin,
    /// What the node's calendar said when its monotonic clock began, in milliseconds since 1970; only
    /// for display.
    pub born_ms: u64,
}

/// How an event is run. The same on every node of a cluster.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many must hold an answer before its receipt is firm.
    pub ack: AckLevel,
    /// For how long after the deadline an answer is still taken: 300 ms, about one slow round trip on
    /// a phone network, so that an answer tapped on zero counts.
    pub grace: Duration,
    /// The most of a player's own line that is taken off an answer's time: 250 ms, about the slowest mobile
    /// networks and the far side of the world. Beyond it a slow line is not told from a slow player.
    pub credit_max: Duration,
    /// For how long tallies wait for the seals of reachable origins: 500 ms, from the design.
    pub seal_wait: Duration,
    /// Between the proposals of two nodes for the same step: 20 ms, above a round trip in one site.
    pub stagger: Duration,
    /// What this node's program speaks; the one thing here in which nodes may differ for a while.
    pub versions: Versions,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            ack: AckLevel::Peer,
            grace: Duration::from_millis(300),
            credit_max: Duration::from_millis(250),
            seal_wait: Duration::from_millis(500),
            stagger: Duration::from_millis(20),
            versions: Versions::THIS,
        }
    }
}

/// What the world tells an event. A ticket is the caller's own number for its reply.
#[derive(Debug)]
pub enum Input {
    /// The event begins here.
    Create {
        /// For the reply.
        ticket: u64,
        /// What is played.
        script: Script,
    },
    /// Somebody wants to play.
    Join {
        /// For the reply.
        ticket: u64,
        /// Who.
        player: PlayerId,
        /// The name as typed.
        name: String,
        /// Whether it is abuse, where whoever asks has looked already.
        abuse: Option<bool>,
    },
    /// Somebody who has joined before, here or elsewhere, is back.
    Resume {
        /// For the reply.
        ticket: u64,
        /// What the token proves.
        claim: Claim,
    },
    /// Somebody answers.
    Answer {
        /// For the reply.
        ticket: u64,
        /// What the token proves.
        claim: Claim,
        /// Which run.
        instance: u32,
        /// What was sent.
        given: Given,
    },
    /// An edge shard hands over what many have answered.
    AnswerAll {
        /// For the one reply.
        ticket: u64,
        /// What they answered.
        bulk: Bulk,
    },
    /// Somebody reacts.
    React {
        /// For the reply.
        ticket: u64,
        /// What the token proves.
        claim: Claim,
        /// How.
        kind: String,
    },
    /// A host acts.
    Command {
        /// For the reply.
        ticket: u64,
        /// What to do.
        request: Box<CommandRequest>,
    },
    /// An operator gives up a node that is gone for good.
    Forget {
        /// For the reply.
        ticket: u64,
        /// Which node.
        node: NodeId,
    },
    /// This node goes away for good.
    Retire {
        /// For the reply.
        ticket: u64,
        /// How many other nodes must hold all that is here before the reply, at least: as many as make a receipt firm,
        /// or all who stay, must in any case.
        copies: usize,
        /// Other nodes that are about to go away too: what they hold does not stay.
        going: BTreeSet<NodeId>,
    },
    /// A player's inbox was opened: say what is known.
    Project {
        /// Whose.
        player: PlayerId,
    },
    /// Something happened between this node and its peers.
    Replication(replication::Input),
    /// The time of [`EventCore::poll_timeout`](super::EventCore::poll_timeout) has come.
    Timeout,
}

impl Input {
    /// The number under which somebody waits for a reply.
    #[must_use]
    pub fn ticket(&self) -> Option<u64> {
        match self {
            Input::Create { ticket, .. }
            | Input::Join { ticket, .. }
            | Input::Resume { ticket, .. }
            | Input::Answer { ticket, .. }
            | Input::AnswerAll { ticket, .. }
            | Input::React { ticket, .. }
            | Input::Command { ticket, .. }
            | Input::Forget { ticket, .. }
            | Input::Retire { ticket, .. } => Some(*ticket),
            Input::Project { .. } | Input::Replication(_) | Input::Timeout => None,
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The catalogue lists the event.
    Listed {
        /// Whether enough nodes know.
        firm: bool,
    },
    /// The event exists.
    Created {
        /// Whether enough nodes know.
        firm: bool,
    },
    /// The player is in.
    Joined {
        /// The row.
        row: Row,
        /// The name as typed; it is signed into the token.
        name: String,
        /// Whether enough nodes know.
        firm: bool,
    },
    /// The answer is held.
    Answered(InboxMessage),
    /// A batch of answers was taken.
    AnsweredAll {
        /// One for each, in their order.
        verdicts: Arc<[BulkVerdict]>,
        /// Whether enough nodes know.
        firm: bool,
    },
    /// The reaction is counted.
    Reacted,
    /// The command was carried out.
    Commanded(CommandReply),
    /// The node is given up.
    Forgot {
        /// How many of its incarnations nobody waits for any more.
        origins: usize,
        /// Whether enough nodes know.
        firm: bool,
    },
    /// Nobody waits for this node any more, and enough others hold all that it held.
    Retired,
    /// No.
    Refused(Refusal),
}

/// What an event, or the catalogue, tells the world.
#[derive(Debug)]
pub enum Output {
    /// The reply to a request.
    Reply {
        /// Its ticket.
        ticket: u64,
        /// What came of it.
        reply: Reply,
    },
    /// Send this to a peer; it may be dropped when the way is full.
    Send {
        /// To whom.
        to: Origin,
        /// On which stream.
        lane: Lane,
        /// What.
        message: Message,
    },
    /// Keep an entry.
    Persist {
        /// Its lane.
        id: LaneId,
        /// Its number.
        seq: u64,
        /// Its bytes.
        entry: Bytes,
    },
    /// Keep a snapshot in place of everything before its heads.
    PersistCut {
        /// The vector of the cut.
        heads: Heads,
        /// The snapshot.
        parts: Vec<Bytes>,
    },
    /// Keep that a lane has two histories and nothing more is taken from it.
    PersistQuarantine {
        /// The lane.
        id: LaneId,
    },
    /// Everything asked to be kept so far must be on disk before anything after this is sent.
    Flush,
    /// Answers have come and count that people were shown a result without.
    Late {
        /// Whose: the name of the node that took them.
        node: String,
        /// How many entries.
        entries: u64,
    },
    /// A receipt was overruled by an earlier answer of its player that another node took.
    Superseded,
    /// A private message for a player, if the player is here.
    Inbox {
        /// Whose.
        player: PlayerId,
        /// What.
        message: InboxMessage,
        /// Whose reply, which follows at once, says the same.
        ticket: Option<u64>,
    },
    /// Answers that others brought have been applied; told only while somebody follows them, see
    /// [`EventCore::follow`](super::EventCore::follow).
    Applied {
        /// Which run, and whose answer.
        rows: Vec<(u32, PlayerId)>,
    },
    /// A fact that an operator has to know.
    Alarm(Alarm),
}

/// A receipt of replication: the ticket that waited, and whether its level is reached.
pub(super) type Reached = (u64, bool);

impl Output {
    /// What replication's output asks of the world. A receipt is the core's own affair.
    pub(super) fn of(
        output: replication::Output,
        now: Mono,
        state: &impl Replicated,
    ) -> Result<Output, Reached> {
        use replication::Output as From;
        Ok(match output {
            From::Send { to, lane, message } => Output::Send { to, lane, message },
            From::Applied { id, seq, entry } => Output::Persist { id, seq, entry },
            From::Restored { heads } => {
                // What is kept is this node's own cut: it may hold lanes that the peer's did not.
                let heads = state.content().unwrap_or(heads);
                Output::PersistCut { heads, parts: state.cut(now).whole() }
            }
            From::Quarantined { id } => Output::PersistQuarantine { id },
            From::Receipt { ticket, firm } => return Err((ticket, firm)),
            From::Alarm(alarm) => Output::Alarm(alarm),
        })
    }
}
