//! One client's connection, as one task: reads packets, asks the node, writes answers and feeds.
//!
//! Everything happens in one poll function, in a fixed order, woken by whatever moves next:
//! time, the stream, a verdict, a feed. There is no `select!`, no spawned task and no clock but
//! tokio's, so the simulator runs it unchanged and repeats it exactly.
//!
//! Memory and queues are bounded, and each bound has its consequence:
//! - publishes waiting for their verdict: at `in_flight_max` no further packet is looked at, so the
//!   client's own sending stalls;
//! - bytes waiting to be sent: above 16 KiB no feed is asked, so live states are
//!   skipped and an inbox fills until its sender gives it up; above `output_bytes_max` nothing more
//!   is read; after `write_timeout` without any movement the connection is closed;
//! - bytes not yet looked at: one packet and one read, see [`Guard`].
//!
//! An idle connection holds no buffer: reads land on the stack first.

mod close;
mod deadline;
mod deliveries;
mod open;
mod publish;
mod welcome;

pub use close::Closed;

use super::acl::{Access, Denied, Subject};
use super::feeds::{Feeds, Next, Sending};
use super::guard::{Fault, Guard, pubrel};
use super::output::Output;
use super::packet::{Has, HasStep, Inbound, Outbound, Protocol, Publish, Refused, Wish};
use super::sessions::Order;
use super::{Edge, Limits, Line, Remote};
use crate::identity::Bearer;
use crate::service::{ConnectionId, Feed, Form};
use deadline::Alarm;
use deliveries::Deliveries;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mqtt_protocol_core::mqtt::result_code::SubackReasonCode;
use open::{Entrant, Open};
use publish::Judged;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tracing::debug;
use welcome::{Arrival, Session};

/// Serves one client until its end, which it tells. Publishes that were taken are carried to their
/// verdict even if the client has gone.
pub async fn serve<IO>(io: IO, remote: impl Into<Remote>, edge: &Edge) -> Closed
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Remote { address: remote, line } = remote.into();
    let mut connection = Connection::new(io, (remote, line), edge);
    let closed = poll_fn(|cx| connection.poll_serve(cx)).await;
    debug!(%remote, %closed, "a player's connection ends");
    edge.counters().closed(closed);
    // Boxed, so that a living connection does not carry the room for its end.
    Box::pin(connection.finish(closed)).await;
    closed
}

struct Connection<'a, IO> {
    id: ConnectionId,
    io: IO,
    remote: SocketAddr,
    line: Line,
    edge: &'a Edge,
    guard: Guard,
    output: Output,
    work: FuturesUnordered<Work<'a>>,
    feeds: Feeds,
    /// What it was sent at QoS 1 and 2.
    deliveries: Deliveries,
    /// From the CONNACK on.
    session: Option<Session<'a>>,
    /// In the open profile: its place in the broker, in place of feeds, deliveries and will.
    open: Option<Box<Open>>,
    /// What is to be published if it goes without a word.
    will: Option<Box<Publish>>,
    /// For how long that waits for its return.
    will_delay: Duration,
    /// Whether its CONNECT asked for a session that outlives the connection.
    expires: bool,
    /// Whether a CONNECT or SUBSCRIBE is under way: nothing overtakes it.
    settling: bool,
    /// Whether the client takes a topic alias.
    takes_alias: bool,
    /// The largest packet that the client takes.
    peer_bytes_max: usize,
    /// One and a half times the client's keep-alive.
    silence_max: Option<Duration>,
    opened_at: Instant,
    /// When the last packet came, or could not be read because of us.
    heard_at: Instant,
    /// When the client stopped sending for good.
    ended_at: Option<Instant>,
    alarm: Alarm,
}

/// A question to the node under way.
type Work<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

/// What became of one wish. No feed stands for what the connection itself sends.
type Outcome = Result<Option<Feed>, Refused>;

/// The node's answer.
enum Done {
    Arrived(Result<Box<Arrival>, Closed>),
    /// In the open profile: who had the newcomer's name has read its goodbye, if it said one.
    Looked(Box<Entrant>),
    Published(Judged),
    Subscribed(u16, Vec<(Wish, Outcome)>),
}

impl<'a, IO> Connection<'a, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn new(io: IO, (remote, line): (SocketAddr, Line), edge: &'a Edge) -> Self {
        let now = Instant::now();
        let guard = Guard::new(edge.limits().packet_bytes_max.get());
        let guard = if edge.open().is_some() { guard.of_anybody() } else { guard };
        Connection {
            id: edge.new_connection(),
            io,
            remote,
            line,
            edge,
            guard,
            output: Output::default(),
            work: FuturesUnordered::new(),
            feeds: Feeds::default(),
            deliveries: Deliveries::new(u16::MAX),
            session: None,
            open: None,
            will: None,
            will_delay: Duration::ZERO,
            expires: false,
            settling: false,
            takes_alias: false,
            peer_bytes_max: usize::MAX,
            silence_max: None,
            opened_at: now,
            heard_at: now,
            ended_at: None,
            alarm: Alarm::default(),
        }
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.feeds.wake();
        loop {
            match self.poll_step(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(closed) => return Poll::Ready(closed),
            }
        }
    }

    /// Moves everything that can move. `Ok(false)` means that nothing did, and that whatever may
    /// move next has been told to wake this task.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        self.poll_deadlines(cx)?;
        if let Some(open) = &mut self.open {
            open.notice_comers();
        }
        // In the order in which a publish makes its way: woken once, it is carried as far as it gets.
        let mut has_read = self.poll_input(cx)?;
        has_read |= self.read_packets()?;
        let mut moved = has_read;
        // Only then, for a goodbye that has come to be one, whoever has come under the same name meanwhile.
        self.poll_orders(cx)?;
        moved |= self.poll_work(cx)?;
        moved |= self.poll_feeds(cx)?;
        moved |= self.poll_open(cx, has_read)?;
        moved |= self.poll_output(cx)?;
        let quiet = !moved && self.work.is_empty() && self.output.is_idle();
        if quiet && self.ended_at.is_some() {
            return Err(Closed::Gone);
        }
        Ok(moved)
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut moved = false;
        while let Poll::Ready(Some(done)) = self.work.poll_next_unpin(cx) {
            self.on_done(done)?;
            moved = true;
        }
        Ok(moved)
    }

    fn poll_orders(&self, cx: &Context<'_>) -> Result<(), Closed> {
        match self.session.as_ref().and_then(|session| session.seated.poll_order(cx)) {
            None => Ok(()),
            Some(Order::TakenOver | Order::Ended) => Err(Closed::TakenOver),
            Some(Order::Drained) => Err(Closed::Drained),
            Some(Order::Revoked) => Err(Closed::Revoked),
        }
    }

    fn poll_feeds(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut moved = false;
        while self.may_feed() {
            match self.feeds.poll_next(cx) {
                Poll::Ready(Next::Frame(sending)) => self.deliver(&sending),
                Poll::Ready(Next::InboxEnded) => return Err(Closed::InboxOverflowed),
                Poll::Ready(Next::LiveEnded) => return Err(Closed::LiveEnded),
                Poll::Pending => break,
            }
            moved = true;
        }
        Ok(moved)
    }

    /// A client that does not acknowledge what it has is sent no more of anything.
    fn may_feed(&self) -> bool {
        self.ended_at.is_none()
            && self.output.bytes() < FEEDS_MARK_BYTES
            && self.deliveries.has_room()
    }

    fn deliver(&mut self, sending: &Sending) {
        crdt_state::bounded!(Feeds, self.output.bytes(), FEEDS_MARK_BYTES);
        let Sending { frame, qos, retain, alias } = sending;
        let v5 = self.guard.protocol() == Some(Protocol::V5);
        let form = Form { v5, retain: *retain, alias: *alias };
        let counters = self.edge.counters();
        // Eleven bytes are the most that packet id, alias and lengths add.
        if frame.topic.len() + frame.payload.len() + 11 > self.peer_bytes_max
            && frame.bytes(form).len() + 2 > self.peer_bytes_max
        {
            counters.frame_too_large();
            // The client has never heard of an alias that this message was to introduce.
            self.feeds.withhold(sending);
        } else if *qos == 0 {
            self.output.push(frame.bytes(form).clone(), counters);
        } else {
            let head = frame.head(form, *qos, self.deliveries.begin(*qos));
            self.output.push_parts(head, frame.payload.clone(), counters);
        }
    }

    /// Reads once, onto the stack.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        if self.ended_at.is_some() {
            return Ok(false);
        }
        if !self.may_read() {
            self.heard_at = Instant::now();
            return Ok(false);
        }
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.ended_at = Some(Instant::now());
                Ok(true)
            }
            Poll::Ready(Ok(())) => {
                self.guard.feed(buffer.filled());
                let limits = self.edge.limits();
                crdt_state::bounded!(Unread, self.guard.buffered(), unread_max(limits));
                crdt_state::bounded!(Answers, self.output.bytes(), limits.output_bytes_max);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(Closed::Transport(error.kind())),
            Poll::Pending => Ok(false),
        }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        if self.output.is_idle() {
            return Ok(false);
        }
        match self.output.poll_drain(&mut self.io, cx) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(Closed::Transport(error.kind())),
            Poll::Pending => Ok(false),
        }
    }

    /// Whether the client's next packet has to wait for the node.
    fn is_held(&self) -> bool {
        let most = usize::from(self.edge.limits().in_flight_max.get());
        self.settling || self.work.len() >= most && !crdt_state::planted!(QuestionsUnbounded)
    }

    fn may_read(&self) -> bool {
        let read_ahead = !self.is_held() || self.guard.buffered() < READ_BYTES;
        read_ahead && self.output.bytes() < self.edge.limits().output_bytes_max
    }

    fn read_packets(&mut self) -> Result<bool, Closed> {
        let mut moved = false;
        while !self.is_held() {
            let Some(packet) = self.guard.poll_packet().map_err(Closed::Faulty)? else { break };
            self.edge.counters().packet_in();
            self.heard_at = Instant::now();
            match self.edge.open() {
                Some(broker) => self.on_open_packet(broker, packet)?,
                None => self.on_packet(packet)?,
            }
            let most = usize::from(self.edge.limits().in_flight_max.get());
            crdt_state::bounded!(InFlight, self.work.len(), most);
            moved = true;
        }
        Ok(moved)
    }

    fn on_packet(&mut self, packet: Inbound) -> Result<(), Closed> {
        match packet {
            Inbound::Connect(connect) => self.on_connect(connect)?,
            Inbound::Publish(publish) => self.publish(publish),
            Inbound::Subscribe { packet_id, wishes } => self.on_subscribe(packet_id, wishes),
            Inbound::Unsubscribe { packet_id, filters } => {
                let existed: Vec<_> = filters.iter().map(|f| self.feeds.remove(f)).collect();
                self.send(&Outbound::Unsuback(packet_id, &existed))?;
            }
            Inbound::Release { packet_id, known } => {
                self.send(&Outbound::Pubcomp(packet_id, known))?;
            }
            Inbound::Has(has) => self.on_has(has),
            Inbound::Repeated(answer) => self.output.push(answer, self.edge.counters()),
            Inbound::Ping => self.send(&Outbound::Pingresp)?,
            Inbound::Disconnect { with_will, session_expiry_s } => {
                self.check_expiry(session_expiry_s)?;
                if let Some(seconds) = session_expiry_s {
                    // The session's end is the latest moment for a will.
                    self.will_delay = self.will_delay.min(Duration::from_secs(seconds.into()));
                }
                return Err(if with_will { Closed::Gone } else { Closed::Disconnected });
            }
        }
        Ok(())
    }

    /// A DISCONNECT may not make a session of none (MQTT 5.0, section 3.14.2.2.2).
    fn check_expiry(&self, session_expiry_s: Option<u32>) -> Result<(), Closed> {
        match session_expiry_s {
            Some(1..) if !self.expires => Err(Closed::Faulty(Fault::Protocol(0x82))),
            _ => Ok(()),
        }
    }

    /// Whether this node's access rules let the client use a topic.
    fn check_access(
        &self,
        bearer: Option<&Bearer>,
        access: Access,
        topic: &str,
    ) -> Result<(), Denied> {
        let subject = Subject { client_id: self.client_id(), bearer };
        self.edge.check_access(subject, access, topic)
    }

    fn on_has(&mut self, has: Has) {
        let Has { packet_id, step, failed } = has;
        match step {
            HasStep::Acknowledged => self.deliveries.acknowledged(packet_id),
            HasStep::Completed => self.deliveries.completed(packet_id),
            HasStep::Received => {
                if let Some(known) = self.deliveries.received(packet_id, failed) {
                    let protocol = self.guard.protocol().unwrap_or(Protocol::V3);
                    let answer = pubrel(packet_id, known, protocol);
                    self.output.push(answer, self.edge.counters());
                }
            }
        }
    }

    fn on_subscribe(&mut self, packet_id: u16, wishes: Vec<Wish>) {
        self.settling = true;
        let (players, id) = (self.edge.players(), self.id);
        let by = self.bearer();
        let allowed = |wish: &Wish| {
            let checked = self.check_access(by.as_deref(), Access::Subscribe, &wish.filter);
            checked.map_err(Refused::from)
        };
        let wishes = self.with_room(wishes).into_iter();
        let wishes: Vec<_> = wishes.map(|(wish, room)| (allowed(&wish), wish, room)).collect();
        self.work.push(Box::pin(async move {
            let mut outcomes = Vec::with_capacity(wishes.len());
            for (allowed, wish, has_room) in wishes {
                let outcome = match check_wish(&wish, has_room).and(allowed) {
                    Ok(()) if is_own(&wish.filter) => Ok(None),
                    Ok(()) => {
                        let own = wish.no_local.then_some(id);
                        let feed = players.subscribe(by.as_deref(), &wish.filter, own).await;
                        feed.map(Some).map_err(Refused::from)
                    }
                    Err(refused) => Err(refused),
                };
                outcomes.push((wish, outcome));
            }
            Done::Subscribed(packet_id, outcomes)
        }));
    }

    /// Tells for each wish whether the client may hold one more. One packet may not ask the node
    /// more often than that either.
    fn with_room(&self, wishes: Vec<Wish>) -> Vec<(Wish, bool)> {
        let most = self.edge.limits().subscriptions_max;
        let mut room = most.saturating_sub(self.feeds.len());
        let wishes = wishes.into_iter().enumerate().map(|(index, wish)| {
            let known = self.feeds.holds(&wish.filter);
            let has_room = index < most && (known || room > 0);
            room -= usize::from(has_room && !known);
            (wish, has_room)
        });
        wishes.collect()
    }

    fn on_done(&mut self, done: Done) -> Result<(), Closed> {
        match done {
            Done::Arrived(arrival) => self.on_arrived(*arrival?),
            Done::Looked(entrant) => {
                let edge = self.edge;
                edge.open().map_or(Ok(()), |broker| self.let_in(broker, *entrant))
            }
            Done::Published(judged) => self.on_published(judged),
            Done::Subscribed(id, outcomes) => self.on_subscribed(id, outcomes),
        }
    }

    /// Whose connection it has proven to be.
    fn bearer(&self) -> Option<Arc<Bearer>> {
        self.session.as_ref()?.seated.bearer().cloned()
    }

    /// Is theirs from now on. What was taken back before this is known here ends it; what is taken back
    /// later ends it by order.
    fn bear(&self, bearer: &Arc<Bearer>) -> Result<(), Closed> {
        let Some(session) = &self.session else { return Ok(()) };
        session.seated.bear(Arc::clone(bearer));
        if self.edge.players().is_revoked(bearer) { Err(Closed::Revoked) } else { Ok(()) }
    }

    fn on_subscribed(
        &mut self,
        packet_id: u16,
        outcomes: Vec<(Wish, Outcome)>,
    ) -> Result<(), Closed> {
        self.settling = false;
        let one_of_many = outcomes.len() > 1;
        let mut granted = Vec::with_capacity(outcomes.len());
        for (wish, outcome) in outcomes {
            let qos = wish.qos;
            granted.push(match outcome {
                Ok(feed) => {
                    self.feeds.add(wish, feed, self.takes_alias);
                    let most = self.edge.limits().subscriptions_max;
                    crdt_state::bounded!(Subscriptions, self.feeds.len(), most);
                    Ok(qos)
                }
                Err(refused) => Err(refused.of(&wish.filter, one_of_many)),
            });
        }
        self.send(&Outbound::Suback(packet_id, &granted))
    }

    fn send(&mut self, outbound: &Outbound<'_>) -> Result<(), Closed> {
        let bytes = self.guard.encode(outbound).map_err(Closed::Faulty)?;
        self.output.push(bytes, self.edge.counters());
        Ok(())
    }
}

/// What of a client may wait to be looked at: one packet, or what is read ahead, and one read.
fn unread_max(limits: &Limits) -> usize {
    READ_BYTES.max(limits.packet_bytes_max.get() as usize) + READ_BYTES
}

fn check_wish(wish: &Wish, has_room: bool) -> Result<(), Refused> {
    let refused = |reason, message: &str| Err(Refused { reason, message: message.to_owned() });
    if wish.filter.len() > FILTER_BYTES_MAX {
        let message = "no topic here is so long";
        return refused(SubackReasonCode::TopicFilterInvalid, message);
    }
    if wish.filter.starts_with("$share/") {
        let reason = SubackReasonCode::SharedSubscriptionsNotSupported;
        return refused(reason, "shared subscriptions are not supported");
    }
    if wish.filter.contains(['+', '#']) {
        let reason = SubackReasonCode::WildcardSubscriptionsNotSupported;
        return refused(reason, "wildcards are not supported; subscribe to exact topics");
    }
    if !has_room {
        let message = "too many subscriptions; give up one first";
        return refused(SubackReasonCode::QuotaExceeded, message);
    }
    Ok(())
}

/// What only the connection itself sends to: answers to its client's requests.
fn is_own(filter: &str) -> bool {
    filter.starts_with(RESPONSE_TOPICS)
}

/// Before the name that a client chooses for its answers.
const RESPONSE_TOPICS: &str = "reply/";
/// Bytes of a filter: what is subscribed to is kept for as long as a connection lasts.
const FILTER_BYTES_MAX: usize = 512;
/// On the stack while reading; at once the read-ahead of a held connection.
const READ_BYTES: usize = 4096;
/// Enough for a write to be worth its system call; what waits here is no longer the newest.
const FEEDS_MARK_BYTES: usize = 16 * 1024;
