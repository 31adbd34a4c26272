//! A node's session at the broker: everything that happens on one connection, in one task.
//!
//! Bounds, and what follows from each:
//! - messages whose verdict is awaited: at `IN_FLIGHT_MAX` nothing more is read, so the broker keeps
//!   the rest; it knows from MQTT 5's receive maximum;
//! - publishes that the broker has not acknowledged: at `SENT_MAX`, or what the broker takes, letters
//!   and live states stay where they are; the letters' queue is bounded where it is filled;
//! - bytes waiting to be sent: above `OUTPUT_BYTES_MAX` neither is read nor published.
//!
//! A player's message is acknowledged to the broker only when it is dealt with. What is not when the
//! connection or the node is lost, the broker brings again, here or to the node that takes the
//! session over; an answer that comes twice is the same answer.

use super::desk::{Desk, Handled};
use super::ended::Ended;
use super::live::Shelf;
use super::slots::{self, Members};
use super::state::BrokerState;
use super::wire::{Heard, Objection, Outgoing, Protocol, Welcome, Wire};
use crate::edge::Stream;
use crate::engine::Slots;
use bytes::{Bytes, BytesMut};
use crdt_state::NodeId;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Messages of players whose verdict is awaited. At a verdict in 5 ms that is 200,000 a second.
pub(super) const IN_FLIGHT_MAX: u16 = 1_024;
/// Publishes that wait for the broker's acknowledgement. Arbitrary: a second of a slow broker.
const SENT_MAX: usize = 4_096;
/// Bytes that wait to be sent. Arbitrary: some thousand receipts.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Topic filters in one packet: brokers bound it, and this is below all of them.
const FILTERS_MAX: usize = 8;
/// The first levels of what players publish; the second one is the slot.
const WORDS: [&str; 3] = ["connect", "answer", "react"];
/// The broker is dead when it has not said a word for two of these.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a broker may take to say whether it accepts a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to take the last bytes: a node that stops has other things to do.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 16 * 1_024;

/// What is said to a player: which topics, and what.
pub type Letter = Outgoing;

/// A connection that the broker has accepted.
pub struct Session {
    wire: Wire,
    welcome: Welcome,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    read_buffer: Vec<u8>,
    heard_at: Instant,
    pinged_at: Instant,
    /// Topic filters stand for a group where the broker has shared subscriptions.
    group: String,
    /// Verdicts under way.
    work: FuturesUnordered<BoxFuture<'static, (Option<u16>, Handled)>>,
    /// Replies whose turn has not come.
    replies: VecDeque<Outgoing>,
    sent: BTreeMap<u16, Outgoing>,
    /// Slots that the broker has granted.
    held: Slots,
    /// Slots that the broker may still hold for this session from before.
    former: Slots,
    subscribing: BTreeMap<u16, Vec<u8>>,
    unsubscribing: BTreeSet<u16>,
    /// Whether TLS may still hold bytes back.
    is_unflushed: bool,
    /// Messages that came on this connection.
    received: u64,
    /// Pings that wait for their answer.
    pings: u32,
}

/// What is needed beside the connection.
pub struct Context<'a> {
    /// Where messages are taken.
    pub desk: &'a Desk,
    /// What is counted.
    pub state: &'a Arc<BrokerState>,
}

/// Something happened.
#[derive(Debug)]
pub enum Happened {
    /// Slots were granted or given up.
    Slots,
    /// Something else, which was dealt with.
    Other,
}

impl Session {
    /// Introduces the node on a new stream and waits for the broker's word.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub async fn open(
        stream: Box<dyn Stream>,
        mut wire: Wire,
        group: String,
    ) -> Result<Self, Ended> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let opening = async {
            writer.write_all_buf(wire.output()).await?;
            writer.flush().await?;
            welcome(&mut reader, &mut wire).await
        };
        let silent = |_| Err(Ended::Silent(PATIENCE));
        let welcome = timeout(PATIENCE, opening).await.unwrap_or_else(silent)?;
        let now = Instant::now();
        let former = if welcome.session_present { Slots::ALL } else { Slots::NONE };
        Ok(Session {
            wire,
            welcome,
            reader,
            writer,
            read_buffer: Vec::with_capacity(READ_BYTES),
            heard_at: now,
            pinged_at: now,
            group,
            work: FuturesUnordered::new(),
            replies: VecDeque::new(),
            sent: BTreeMap::new(),
            held: Slots::NONE,
            former,
            subscribing: BTreeMap::new(),
            unsubscribing: BTreeSet::new(),
            is_unflushed: false,
            received: 0,
            pings: 0,
        })
    }

    /// What the broker said of itself.
    #[must_use]
    pub fn welcome(&self) -> Welcome {
        self.welcome
    }

    /// Which MQTT is spoken.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.wire.protocol()
    }

    /// The slots that the broker has granted.
    #[must_use]
    pub fn held(&self) -> Slots {
        self.held
    }

    /// Whether every message that came was dealt with, and everything said has arrived.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.work.is_empty()
            && self.sent.is_empty()
            && self.replies.is_empty()
            && self.unsubscribing.is_empty()
    }

    /// How many messages have come on this connection.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Asks the broker for a sign of life.
    ///
    /// # Errors
    /// When nothing can be said on this connection any more.
    pub fn ping(&mut self) -> Result<(), Ended> {
        self.wire.ping()?;
        self.pings += 1;
        Ok(())
    }

    /// Whether the broker has answered every ping.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.pings == 0
    }

    /// Publishes that the broker did not acknowledge, for the next connection.
    pub fn unsent(self) -> impl Iterator<Item = Outgoing> {
        self.sent.into_values().chain(self.replies)
    }

    /// Whether one more message can be published now.
    #[must_use]
    pub fn has_room(&mut self) -> bool {
        self.sent.len() < SENT_MAX
            && self.replies.is_empty()
            && self.wire.has_room()
            && self.wire.output().len() < OUTPUT_BYTES_MAX
    }

    /// Publishes a message. One that cannot be encoded for this broker is dropped and counted.
    pub fn publish(&mut self, message: Outgoing, state: &BrokerState) {
        match self.wire.publish(&message) {
            Ok(id) => {
                state.counts.published.fetch_add(1, Relaxed);
                self.sent.insert(id, message);
            }
            Err(error) => {
                state.counts.refused.fetch_add(1, Relaxed);
                state.complain(format!("a message for {} was not sent: {error}", message.topic));
            }
        }
    }

    /// Subscribes to the slots that belong to `me` now, and lets go of those that others hold.
    ///
    /// # Errors
    /// When nothing can be said on this connection any more.
    pub fn plan(&mut self, me: NodeId, members: &Members) -> Result<bool, Ended> {
        let asked: Slots = self.subscribing.values().flatten().copied().collect();
        let wanted = slots::belonging(me, members).without(&self.held).without(&asked);
        self.subscribe(wanted)?;
        let here: Slots = self.held.iter().chain(self.former.iter()).collect();
        let gone = slots::released(me, here, members);
        self.unsubscribe(gone)
    }

    fn subscribe(&mut self, wanted: Slots) -> Result<(), Ended> {
        let wanted: Vec<u8> = wanted.iter().collect();
        for some in wanted.chunks(FILTERS_MAX / WORDS.len()) {
            let id = self.wire.subscribe(&self.filters(some))?;
            self.subscribing.insert(id, some.to_vec());
        }
        Ok(())
    }

    /// Tells whether slots were given up that the broker had granted.
    pub(super) fn unsubscribe(&mut self, gone: Slots) -> Result<bool, Ended> {
        let slots: Vec<u8> = gone.iter().collect();
        for some in slots.chunks(FILTERS_MAX / WORDS.len()) {
            let id = self.wire.unsubscribe(&self.filters(some))?;
            self.unsubscribing.insert(id);
        }
        let before = self.held;
        self.held = self.held.without(&gone);
        self.former = self.former.without(&gone);
        Ok(self.held != before)
    }

    fn filters(&self, slots: &[u8]) -> Vec<String> {
        let group = match self.welcome.has_shared {
            true => format!("$share/{}/", self.group),
            false => String::new(),
        };
        let all = |slot: &u8| WORDS.map(|word| format!("{group}{word}/{slot:02x}"));
        slots.iter().flat_map(all).collect()
    }

    /// The next thing that happens on the connection itself. Cancel safe.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn next(&mut self, context: &Context<'_>) -> Result<Happened, Ended> {
        let may_read = self.work.len() < usize::from(IN_FLIGHT_MAX)
            && self.wire.output().len() < OUTPUT_BYTES_MAX;
        let wake = self.wake_at();
        let is_unflushed = self.is_unflushed;
        let Session { wire, reader, writer, read_buffer, work, .. } = self;
        let has_output = !wire.output().is_empty();
        tokio::select! {
            pushed = push(writer, wire.output()), if has_output || is_unflushed => {
                self.is_unflushed = pushed?;
                Ok(Happened::Other)
            }
            Some((packet_id, handled)) = work.next() => {
                self.on_handled(packet_id, handled, context)?;
                Ok(Happened::Other)
            }
            read = reader.read_buf(read_buffer), if may_read => match read {
                Ok(0) => Err(Ended::Closed),
                Ok(_) => self.on_bytes(context),
                Err(error) => Err(error.into()),
            },
            () = tokio::time::sleep_until(wake) => {
                self.on_time()?;
                Ok(Happened::Other)
            }
        }
    }

    fn keep_alive(&self) -> Duration {
        let theirs = self.welcome.keep_alive_s.filter(|seconds| *seconds > 0);
        theirs.map_or(KEEP_ALIVE, |seconds| KEEP_ALIVE.min(Duration::from_secs(seconds.into())))
    }

    fn wake_at(&self) -> Instant {
        let keep_alive = self.keep_alive();
        (self.pinged_at + keep_alive / 2).min(self.heard_at + keep_alive * 2)
    }

    fn on_time(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let keep_alive = self.keep_alive();
        if now >= self.heard_at + keep_alive * 2 {
            return Err(Ended::Silent(keep_alive * 2));
        }
        self.pinged_at = now;
        self.ping()
    }

    fn on_bytes(&mut self, context: &Context<'_>) -> Result<Happened, Ended> {
        self.heard_at = Instant::now();
        let heard = self.wire.receive(&self.read_buffer);
        self.read_buffer.clear();
        let mut happened = Happened::Other;
        for heard in heard? {
            if let Happened::Slots = self.on_heard(heard, context)? {
                happened = Happened::Slots;
            }
        }
        Ok(happened)
    }

    fn on_heard(&mut self, heard: Heard, context: &Context<'_>) -> Result<Happened, Ended> {
        let counts = &context.state.counts;
        match heard {
            Heard::Message(message) => {
                self.received += 1;
                counts.received.fetch_add(1, Relaxed);
                let desk = context.desk.clone();
                self.work.push(Box::pin(async move {
                    let packet_id = message.packet_id;
                    (packet_id, desk.take(message).await)
                }));
            }
            Heard::Published { packet_id, taken } => {
                let message = self.sent.remove(&packet_id);
                if let Some(message) = message.filter(|_| !taken) {
                    counts.refused.fetch_add(1, Relaxed);
                    context.state.complain(format!("the broker does not take {}", message.topic));
                }
                self.send_replies(context);
            }
            Heard::Subscribed { packet_id, granted } => {
                return Ok(self.on_subscribed(packet_id, &granted, context));
            }
            Heard::Unsubscribed { packet_id } => {
                self.unsubscribing.remove(&packet_id);
            }
            Heard::Goodbye { is_taken_over: true, .. } => return Err(Ended::TakenOver),
            Heard::Goodbye { reason, .. } => return Err(Ended::Goodbye(reason)),
            Heard::Pong => self.pings = self.pings.saturating_sub(1),
            Heard::Welcome(_) | Heard::Refused { .. } => {}
        }
        Ok(Happened::Other)
    }

    fn on_subscribed(
        &mut self,
        packet_id: u16,
        granted: &[bool],
        context: &Context<'_>,
    ) -> Happened {
        let before = self.held;
        let slots = self.subscribing.remove(&packet_id).unwrap_or_default();
        for (slot, granted) in slots.iter().zip(granted.chunks(WORDS.len())) {
            // A broker whose rules know nothing of reactions carries the rest.
            if granted.starts_with(&[true, true]) {
                self.held.insert(*slot);
            }
            if granted.iter().all(|granted| *granted) {
                continue;
            }
            context.state.counts.denied.fetch_add(1, Relaxed);
            context.state.complain(format!(
                "the broker does not let this node subscribe to connect/{slot:02x}, \
                 answer/{slot:02x} and react/{slot:02x}: check its access rules"
            ));
        }
        // What was denied is asked for again at the next tick, not at the pace of round trips.
        if self.held == before { Happened::Other } else { Happened::Slots }
    }

    fn on_handled(
        &mut self,
        packet_id: Option<u16>,
        handled: Handled,
        context: &Context<'_>,
    ) -> Result<(), Ended> {
        let counts = &context.state.counts;
        match packet_id {
            Some(id) if handled.is_done => {
                self.wire.acknowledge(id)?;
                count(&counts.acknowledged);
            }
            Some(_) => count(&counts.left),
            None => {}
        }
        self.replies.extend(handled.reply);
        self.send_replies(context);
        Ok(())
    }

    /// As many replies as there are messages under way at most, so these need no bound of their own.
    fn send_replies(&mut self, context: &Context<'_>) {
        while self.wire.has_room() && self.sent.len() < SENT_MAX {
            let Some(reply) = self.replies.pop_front() else { return };
            self.publish(reply, context.state);
        }
    }

    /// Says goodbye; what is to be sent is sent before.
    pub async fn close(mut self, keeps_session: bool) {
        if self.wire.disconnect(keeps_session).is_err() {
            return;
        }
        let Session { writer, wire, .. } = &mut self;
        let farewell = async {
            writer.write_all_buf(wire.output()).await?;
            writer.shutdown().await
        };
        // Nothing depends on these last words.
        let _ = timeout(FAREWELL_MAX, farewell).await;
    }
}

async fn welcome(
    reader: &mut ReadHalf<Box<dyn Stream>>,
    wire: &mut Wire,
) -> Result<Welcome, Ended> {
    // The very bytes of the CONNACK: what follows it is the session's to read.
    let mut bytes = Vec::with_capacity(5);
    loop {
        let byte = match reader.read_u8().await {
            Ok(byte) => byte,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Ended::Closed);
            }
            Err(error) => return Err(error.into()),
        };
        bytes.clear();
        bytes.push(byte);
        match wire.receive(&bytes)?.into_iter().next() {
            Some(Heard::Welcome(welcome)) => return Ok(welcome),
            Some(Heard::Refused { objection: Objection::Version, .. }) => {
                return Err(Ended::Version(wire.protocol().word()));
            }
            Some(Heard::Refused { reason, objection }) => {
                return Err(Ended::Refused { reason, objection });
            }
            _ => {}
        }
    }
}

/// Sends some of what is to be sent, or has TLS let go of it; tells whether TLS may hold some back.
/// Cancel safe.
async fn push(writer: &mut WriteHalf<Box<dyn Stream>>, output: &mut BytesMut) -> io::Result<bool> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    match writer.write_buf(output).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(true),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Puts a live state or a letter on the connection, as there is room. Cancel safe.
pub(super) async fn next_outgoing(
    shelf: &Shelf,
    letters: &mut mpsc::Receiver<Letter>,
) -> Option<Outgoing> {
    tokio::select! {
        biased;
        (topic, payload) = shelf.take() => Some(live(topic, payload)),
        letter = letters.recv() => letter,
    }
}

/// A live state as the broker is to keep it.
fn live(topic: String, payload: Bytes) -> Outgoing {
    Outgoing { topic, payload, retain: true, correlation: None }
}
