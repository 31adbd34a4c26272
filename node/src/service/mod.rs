//! What the edges ask of a node: one trait for players, one for hosts and operators.
//!
//! The MQTT edge and the HTTP API know nothing of engines, lanes or peers; the engine knows nothing
//! of sockets. Between them stand these two traits and the payload types of [`view`].

mod controls;
pub mod explain;
mod frame;
mod ops;
mod refusals;
pub mod view;

pub use frame::{Alias, Form, Frame};
pub use ops::Ops;
pub(crate) use refusals::Refusals;

use crate::identity::{Bearer, IdentityError};
use async_trait::async_trait;
use bytes::Bytes;
use crdt_state::{EventId, NodeId, PlayerId};
use explain::ExplainView;
use futures_channel::mpsc;
use futures_util::future::BoxFuture;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use view::{
    AppliedView, ArchivedView, CommandReply, CommandRequest, EventSummary, ForgetView,
    FriendsRequest, FriendsView, HostView, Imported, LiveView, LogLine, MarkedView, MemberView,
    PinView, ReceiptView, Refusal, RevocationView, RevokeRequest, RoundView, StateView, StatusView,
};

/// The outcome of a player's publish, as MQTT tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The reason that an MQTT 5 PUBACK carries.
    pub reason: Reason,
    /// Compact JSON for the user property `receipt`: the exact word, level and held answer. Empty for none.
    pub receipt: String,
    /// Why not, if it was refused.
    pub refusal: Option<Box<Refusal>>,
    /// Whether no inbox has heard of the refusal yet: the publish did not say whose it is.
    pub untold: bool,
    /// Who the publish has proven to come from, if it was such a publish: from now on the connection is
    /// theirs.
    pub proves: Option<Arc<Bearer>>,
}

impl Verdict {
    /// A yes that proves nothing.
    #[must_use]
    pub fn accepted(receipt: impl Into<String>) -> Self {
        let (reason, receipt) = (Reason::Success, receipt.into());
        Verdict { reason, receipt, refusal: None, untold: false, proves: None }
    }

    /// A no that no inbox has heard of.
    #[must_use]
    pub fn refused(reason: Reason, refusal: Refusal) -> Self {
        let receipt = ReceiptView::refused(&refusal).to_json();
        let refusal = Some(Box::new(refusal));
        Verdict { reason, receipt, refusal, untold: true, proves: None }
    }

    /// The same, where nothing is left to be told.
    #[must_use]
    pub fn told(self) -> Self {
        Verdict { untold: false, ..self }
    }
}

/// The PUBACK reasons that Starling uses (MQTT 5.0, section 3.4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 0x00: accepted, or a repetition of what was accepted.
    Success,
    /// 0x83: the round is closed, in any of its shades.
    ImplementationSpecific,
    /// 0x87: this player may not do that.
    NotAuthorized,
    /// 0x90: no such topic to publish to.
    TopicNameInvalid,
    /// 0x97: more than a player may send.
    QuotaExceeded,
    /// 0x99: the payload is not what the topic takes.
    PayloadFormatInvalid,
}

/// The receiving end of a player's inbox. There is one for every player, so that what it takes while nothing
/// waits in it matters: some 250 bytes, of which tokio's own channel would take four times as much.
pub type Inbox = mpsc::Receiver<Arc<Frame>>;

/// A picture of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its media type, by how it begins.
    pub kind: &'static str,
    /// The picture itself.
    pub bytes: Bytes,
}

/// A client's connection, among all that a node has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(pub NonZeroU64);

/// How somebody publishes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Publishing<'a> {
    /// Who the connection has proven to be.
    pub by: Option<&'a Arc<Bearer>>,
    /// How long the connection takes to and fro, as the node has measured it: an answer's time is the player's, not the
    /// line's.
    pub line: Duration,
    /// The connection, where its acknowledgement will carry the whole receipt: an inbox that this connection has opened as
    /// [one of its own](Players::subscribe) need not say it again.
    pub own: Option<ConnectionId>,
}

/// What a subscription delivers.
#[derive(Debug)]
pub enum Feed {
    /// The newest state only: what was not yet sent when a newer one comes is skipped. A frame is
    /// encoded once per node.
    Live {
        /// The state as it is now, encoded anew for this subscriber, so that its age is right; nothing
        /// if there is none yet.
        first: Option<Arc<Frame>>,
        /// What comes after it; the value at the time of subscribing counts as seen.
        changes: watch::Receiver<Option<Arc<Frame>>>,
    },
    /// Every message in order. The sender drops the queue when it is full, which ends the
    /// subscription: the connection is closed and the player comes back to a projected inbox.
    Inbox(Inbox),
}

/// The node as its players' connections see it.
#[async_trait]
pub trait Players: Send + Sync + 'static {
    /// Who connects with that password; nobody in particular where passwords are not looked at.
    ///
    /// # Errors
    /// Why it is no good.
    async fn authenticate(&self, _password: &[u8]) -> Result<Option<Arc<Bearer>>, IdentityError> {
        Ok(None)
    }

    /// Whether what somebody has proven was taken back since.
    fn is_revoked(&self, _by: &Bearer) -> bool {
        false
    }

    /// Takes what a player published. Returns when the receipt has its level or has waited long enough; never fails, a
    /// refusal is a verdict.
    async fn publish(&self, from: Publishing<'_>, topic: &str, payload: Bytes) -> Verdict;

    /// Tells a player's inbox that what was published to `topic` is not taken, where the acknowledgement cannot
    /// say so: the inbox of whoever the payload proves to have published it, or else `inbox`, which the
    /// connection may read. What has neither is told nobody.
    fn tell_refused(&self, inbox: Option<&str>, topic: &str, payload: &[u8], refusal: &Refusal);

    /// The topics to which a client has a session here, by its client id: what it is subscribed to
    /// without asking. Sessions are derived from state, so that every node has them.
    async fn session(&self, client_id: &str) -> Vec<String>;

    /// Opens the feed behind a topic filter for a connection that has proven to be `by`. Filters are
    /// exact topics, no wildcards. An inbox that is opened for its `own` connection is not told what that one's
    /// acknowledgements say.
    ///
    /// # Errors
    /// A refusal when there is nothing behind that filter, or nothing for them.
    async fn subscribe(
        &self,
        by: Option<&Bearer>,
        filter: &str,
        own: Option<ConnectionId>,
    ) -> Result<Feed, Refusal>;
}

/// The node as its hosts, screens and operators see it. Who may ask is checked before the call.
#[async_trait]
pub trait Hosts: Send + Sync + 'static {
    /// Creates an event from a show file's text and returns where it can be found.
    ///
    /// # Errors
    /// `show_invalid` with every problem of the file, or what kept the event from being created.
    async fn import(&self, show: &str) -> Result<Imported, Refusal>;

    /// The events that this node knows.
    async fn events(&self) -> Vec<EventSummary>;

    /// The event behind a PIN.
    ///
    /// # Errors
    /// `pin_unknown`.
    async fn pin(&self, pin: &str) -> Result<PinView, Refusal>;

    /// All that it takes to draw a raffle again, as JSON.
    ///
    /// # Errors
    /// `pin_unknown`, `raffle_unknown`, `raffle_large`.
    async fn raffle(&self, pin: &str, instance: u32) -> Result<Bytes, Refusal>;

    /// One file of the results, by the name that `starling export` gives it.
    ///
    /// # Errors
    /// `event_unknown`, `file_unknown`, or that the format does not hold so much.
    async fn export_file(&self, event: EventId, name: &str) -> Result<Bytes, Refusal>;

    /// The picture of a question that was shown, by its name in the live state's `image_path`.
    ///
    /// # Errors
    /// `event_unknown`, `image_unknown`, `image_unavailable`.
    async fn image(&self, event: EventId, name: &str) -> Result<Image, Refusal>;

    /// What the host sees, now and whenever it changes.
    ///
    /// # Errors
    /// `event_unknown`.
    async fn host_feed(&self, event: EventId) -> Result<watch::Receiver<Arc<HostView>>, Refusal>;

    /// What the big screen sees, now and whenever it changes.
    ///
    /// # Errors
    /// `pin_unknown`.
    async fn screen_feed(&self, pin: &str) -> Result<watch::Receiver<Arc<LiveView>>, Refusal>;

    /// The answers of other nodes' players as this node applies them, from now on. Whoever is too
    /// slow loses the oldest batches and is told how many.
    ///
    /// # Errors
    /// `event_unknown`.
    async fn applied_feed(
        &self,
        event: EventId,
    ) -> Result<broadcast::Receiver<Arc<AppliedView>>, Refusal>;

    /// The leaderboard of a few, to somebody who bears a player's token of the event, or to a host.
    ///
    /// # Errors
    /// `event_unknown`, `token_unknown`, `kicked`, `flooded`, `friends_many`.
    async fn friends(
        &self,
        event: EventId,
        by: Option<&str>,
        asked: FriendsRequest,
    ) -> Result<FriendsView, Refusal>;

    /// Drives the event one step.
    ///
    /// # Errors
    /// `stage_moved`, `not_possible`, `event_unknown`.
    async fn command(
        &self,
        event: EventId,
        request: CommandRequest,
    ) -> Result<CommandReply, Refusal>;

    /// The whole event as JSON lines, identical to the byte on nodes with equal heads.
    ///
    /// # Errors
    /// `event_unknown`.
    async fn export(&self, event: EventId) -> Result<Bytes, Refusal>;

    /// Drops an event that is over as a whole, on every node and for good.
    ///
    /// # Errors
    /// `event_unknown`, `not_over`.
    async fn archive(&self, event: EventId) -> Result<ArchivedView, Refusal>;

    /// Gives up a node that is gone for good, in every event that this node carries.
    ///
    /// # Errors
    /// `node_alive`, `node_unknown`.
    async fn forget(&self, node: NodeId) -> Result<ForgetView, Refusal>;

    /// Why a player, by id or shown name, has what a round gave.
    ///
    /// # Errors
    /// `event_unknown`, `player_unknown`, `round_unknown`.
    async fn explain(
        &self,
        event: EventId,
        player: String,
        round: u32,
    ) -> Result<ExplainView, Refusal>;

    /// The same lines as [`Hosts::export`], and in one more line the state that they were folded from.
    ///
    /// # Errors
    /// `event_unknown`, `not_over` while the state holds what hosts may not know yet.
    async fn proof(&self, event: EventId) -> Result<Bytes, Refusal>;

    /// This node in one page.
    async fn status(&self) -> StatusView;

    /// The members that this node sees, itself included.
    async fn members(&self) -> Vec<MemberView>;

    /// The token for a host of `event`.
    fn host_token(&self, event: EventId) -> String;

    /// Who bears a token, whoever made it.
    ///
    /// # Errors
    /// Why it is no good, in a code that begins with `token_` or `identity_`.
    async fn bearer(&self, token: &str) -> Result<Arc<Bearer>, Refusal>;

    /// Comes to pass when what somebody has proven is taken back.
    fn revoked(&self, bearer: Arc<Bearer>) -> BoxFuture<'static, ()>;

    /// Turns somebody away on every node, or no longer; their connections end.
    ///
    /// # Errors
    /// `revocations_full`.
    async fn revoke(&self, request: &RevokeRequest) -> Result<RevocationView, Refusal>;

    /// Everybody and everything that is turned away.
    fn revocations(&self) -> Vec<RevocationView>;

    /// The named state of the event, kind by kind.
    ///
    /// # Errors
    /// `event_unknown`.
    async fn state(&self, event: EventId) -> Result<StateView, Refusal>;

    /// The audit trail of the event, in order.
    ///
    /// # Errors
    /// `event_unknown`.
    async fn log(&self, event: EventId) -> Result<Vec<LogLine>, Refusal>;

    /// Players whose names have `words` in them, or whose id they are: the first few.
    ///
    /// # Errors
    /// `event_unknown`.
    async fn players(&self, event: EventId, words: String) -> Result<Vec<MarkedView>, Refusal>;

    /// The runs of a question, counted from 1, the last one first.
    ///
    /// # Errors
    /// `event_unknown`, `question_unknown`.
    async fn rounds(&self, event: EventId, question: u32) -> Result<Vec<RoundView>, Refusal>;

    /// Takes a player's reaction.
    ///
    /// # Errors
    /// `kind_unknown`, `muted`, `kicked`, `flooded`, `reactions_off`, or what is wrong with the token.
    async fn react(&self, event: EventId, token: &str, kind: &str) -> Result<(), Refusal>;

    /// Whether this node should be sent new players.
    fn ready(&self) -> bool;
}

/// The topic of a player's private inbox.
#[must_use]
pub fn inbox_topic(player: PlayerId) -> String {
    let mut topic = String::with_capacity("inbox/".len() + PlayerId::DIGITS);
    write!(topic, "inbox/{player}").expect("a String takes any text");
    topic
}

/// The topic of an event's live state.
#[must_use]
pub fn live_topic(pin: &str) -> String {
    format!("live/{pin}")
}
