//! How a connection ends, and what is still said and waited for then.

use super::{Connection, Done, Fault, Output, Work};
use crate::edge::Limits;
use crate::edge::acl::Denied;
use crate::edge::counters::ConnectResult;
use crate::edge::sessions::{Order, Seated};
use crate::identity::IdentityError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The client said goodbye.
    #[error("the client disconnected")]
    Disconnected,
    /// The client ended the stream.
    #[error("the client went away")]
    Gone,
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Transport(io::ErrorKind),
    /// No CONNECT came in time.
    #[error("no CONNECT came in time")]
    ConnectTimedOut,
    /// Nothing came for one and a half times the keep-alive.
    #[error("nothing came within one and a half times the keep-alive")]
    KeepAliveExpired,
    /// The client read nothing for too long.
    #[error("the client reads nothing")]
    Stuck,
    /// More private messages than the client took.
    #[error("the client's inbox overflowed")]
    InboxOverflowed,
    /// What it was subscribed to is no longer served here.
    #[error("a live state that it was subscribed to is no longer served")]
    LiveEnded,
    /// Somebody else came with its client id.
    #[error("another connection has this client id now")]
    TakenOver,
    /// The node sends its clients elsewhere.
    #[error("this node is stopping; use another one")]
    Drained,
    /// The token that it came with is no good.
    #[error("{}: {}; {}", .0.code(), .0, .0.hint())]
    Unproven(IdentityError),
    /// Its client id is a player's for whom a platform vouches.
    #[error("this client id is a player's; connect with that player's token as the password")]
    ClientIdVouched,
    /// Its token or its player was taken back.
    #[error("{}: {}", IdentityError::Revoked.code(), IdentityError::Revoked)]
    Revoked,
    /// The broker of the open profile has no room for its session, or for what it publishes in MQTT 3.1.1.
    #[error("this broker keeps no more, or takes no more just now")]
    BrokerFull,
    /// It would leave a will that this node's access rules do not allow.
    #[error("its will is not permitted: {0}")]
    WillDenied(Denied),
    /// Too many come at once.
    #[error("too many clients connect at once; try again in {} ms", .0.as_millis())]
    Deferred(Duration),
    /// A defect of ours ended its task.
    #[error("the connection's task panicked")]
    Panicked,
    /// It broke the protocol.
    #[error("{0}")]
    Faulty(Fault),
}

impl Closed {
    /// The reasons in a word each, for metrics, in the order of [`Closed::index`].
    pub(in crate::edge) const LABELS: [&'static str; 18] = [
        "disconnected",
        "gone",
        "transport",
        "connect_timed_out",
        "keep_alive_expired",
        "stuck",
        "inbox_overflowed",
        "live_ended",
        "taken_over",
        "drained",
        "deferred",
        "panicked",
        "faulty",
        "unproven",
        "client_id_vouched",
        "revoked",
        "broker_full",
        "will_denied",
    ];

    pub(in crate::edge) fn index(self) -> usize {
        match self {
            Closed::Disconnected => 0,
            Closed::Gone => 1,
            Closed::Transport(_) => 2,
            Closed::ConnectTimedOut => 3,
            Closed::KeepAliveExpired => 4,
            Closed::Stuck => 5,
            Closed::InboxOverflowed => 6,
            Closed::LiveEnded => 7,
            Closed::TakenOver => 8,
            Closed::Drained => 9,
            Closed::Deferred(_) => 10,
            Closed::Panicked => 11,
            Closed::Faulty(_) => 12,
            Closed::Unproven(_) => 13,
            Closed::ClientIdVouched => 14,
            Closed::Revoked => 15,
            Closed::BrokerFull => 16,
            Closed::WillDenied(_) => 17,
        }
    }

    /// The reason that MQTT 5 gives to the client; `None` if it is past listening.
    fn reason(self) -> Option<u8> {
        match self {
            Closed::Disconnected | Closed::Gone | Closed::Transport(_) => None,
            Closed::Stuck | Closed::Panicked => None,
            // No version is known yet, so no words are either.
            Closed::ConnectTimedOut => None,
            Closed::KeepAliveExpired => Some(0x8d),
            Closed::InboxOverflowed | Closed::BrokerFull => Some(0x97),
            Closed::LiveEnded => Some(0x8b),
            Closed::TakenOver => Some(0x8e),
            Closed::Drained => Some(0x9c),
            Closed::Deferred(_) => Some(0x9f),
            Closed::Unproven(error) => Some(error.connect_reason()),
            Closed::ClientIdVouched => Some(0x85),
            Closed::Revoked | Closed::WillDenied(_) => Some(0x87),
            Closed::Faulty(fault) => Some(fault.reason()),
        }
    }

    /// Whether the client's will is published: unless it said goodbye, or had no right to any more.
    fn leaves_a_will(self) -> bool {
        self != Closed::Disconnected && self != Closed::Revoked
    }

    fn connect_result(self) -> ConnectResult {
        match self {
            Closed::ConnectTimedOut => ConnectResult::TimedOut,
            Closed::Faulty(_) | Closed::Disconnected | Closed::Drained | Closed::Deferred(_) => {
                ConnectResult::Refused
            }
            Closed::Unproven(_)
            | Closed::ClientIdVouched
            | Closed::Revoked
            | Closed::BrokerFull
            | Closed::WillDenied(_) => ConnectResult::Refused,
            _ => ConnectResult::Gone,
        }
    }
}

impl<IO> Connection<'_, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Says the last words and waits for the verdicts that are still to come, both for a bounded
    /// time.
    pub(super) async fn finish(mut self, closed: Closed) {
        let (edge, counters) = (self.edge, self.edge.counters());
        if self.session.is_none() {
            counters.connect(self.guard.protocol(), closed.connect_result());
        }
        if closed == Closed::Disconnected {
            self.acknowledge_rest().await;
        }
        let reason = closed.reason();
        if let Some(farewell) = reason.and_then(|reason| self.farewell(closed, reason)) {
            self.output.push(farewell, counters);
        }
        if let Some(open) = self.open.take() {
            open.leave(closed.leaves_a_will());
        }
        // A will belongs to a session: who was never let in has none.
        let has_session = self.session.is_some();
        let left = self.will.take().filter(|_| has_session && closed.leaves_a_will());
        let will = left.map(|will| self.ask(*will));
        let (limits, delay) = (edge.limits(), self.will_delay);
        let Connection { io, output, work, feeds, session, .. } = self;
        drop(feeds);
        let seated = session.map(|session| session.seated).filter(|_| will.is_some());
        // Who says goodbye may have sent more with it, and is told what became of that.
        let has_words = closed == Closed::Disconnected && !output.is_idle();
        let output = (reason.is_some() || has_words).then_some(output);
        let carry_out = async {
            if let Some(will) = will
                && stays_away(seated, delay).await
            {
                work.push(will);
            }
            settle(work, limits).await;
        };
        tokio::join!(part(io, output, limits), carry_out);
    }
}

impl<IO> Connection<'_, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Waits for what becomes of the last publishes before a goodbye, and acknowledges them.
    async fn acknowledge_rest(&mut self) {
        let patience = self.edge.limits().settle_timeout;
        let rest = async {
            while let Some(done) = self.work.next().await {
                if matches!(done, Done::Published(_)) && self.on_done(done).is_err() {
                    return;
                }
            }
        };
        // What takes longer stays unsaid.
        let _ = timeout(patience, rest).await;
    }

    fn farewell(&self, closed: Closed, reason: u8) -> Option<bytes::Bytes> {
        let elsewhere = self.edge.sessions().elsewhere(self.client_id(), self.edge.transport());
        let elsewhere = elsewhere.filter(|_| closed == Closed::Drained);
        // Where there is no other node, nothing but the end can be told.
        let reason = if reason == 0x9c && elsewhere.is_none() { 0x8b } else { reason };
        self.guard.farewell(reason, &closed.to_string(), elsewhere.as_deref())
    }
}

/// Writes what is left, then lets the client read it: closing a socket that still receives would
/// discard it on the way.
async fn part<IO>(mut io: IO, output: Option<Output>, limits: &Limits)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let words = async {
        let Some(mut output) = output else { return io.shutdown().await };
        poll_fn(|cx| output.poll_drain(&mut io, cx)).await?;
        io.shutdown().await?;
        let mut space = [0; 512];
        while io.read(&mut space).await? > 0 {}
        Ok(())
    };
    // Neither a failure nor running out of time changes anything: the stream is dropped next.
    let _ = timeout(limits.farewell_timeout, words).await;
}

/// Waits for as long as a will is to wait; tells whether it is to be published: its client has stayed away,
/// or has come back to this node without going on with its session. Who returns takes the seat over.
async fn stays_away(seated: Option<Seated>, delay: Duration) -> bool {
    let Some(seated) = seated.filter(|_| !delay.is_zero()) else { return true };
    let returned = poll_fn(|cx| match seated.poll_order(cx) {
        Some(Order::TakenOver | Order::Revoked) => Poll::Ready(false),
        Some(Order::Ended) => Poll::Ready(true),
        Some(Order::Drained) | None => Poll::Pending,
    });
    timeout(delay, returned).await.unwrap_or(true)
}

async fn settle(mut work: FuturesUnordered<Work<'_>>, limits: &Limits) {
    let verdicts = async { while work.next().await.is_some() {} };
    let _ = timeout(limits.settle_timeout, verdicts).await;
}
