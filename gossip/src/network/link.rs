//! One link: a greeted connection to one peer, and all that flows on it.
//!
//! A link's own task reads; one task writes both lanes and one gossip. Streams are told apart
//! by their first byte. A lane is one ordered stream of frames per direction, open for as long as
//! the link; control goes before bulk. Frames reach the owner through one bounded queue: while it
//! is full nothing is read, and QUIC's flow control holds the peer back. A peer that breaks the
//! rules loses its link, with the reason counted and told to it.

use super::frames::{FrameDecoder, FrameError, header};
use super::gossip;
use super::guard::Budget;
use super::handshake::Hello;
use super::notice::NOTICE_BYTES_MAX;
use super::queue::LaneQueue;
use super::reason::Reason;
use super::silence::Silence;
use super::stats::Attempt;
use super::{NetworkEvent, PeerInfo, Shared, lock};
use bytes::Bytes;
use crdt_state::Lane;
use quinn::{
    Connection, ConnectionError, ReadError, ReadToEndError, RecvStream, SendStream, WriteError,
};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

/// The first byte of a one-way stream: what it is for.
const GOSSIP_STREAM: u8 = 0;
const CONTROL_STREAM: u8 = 1;
const BULK_STREAM: u8 = 2;
const NOTICE_STREAM: u8 = 3;

/// Bytes taken from QUIC at a time.
const READ_BYTES: usize = 64 << 10;

/// A stream must say what it is for, and a gossip message be complete, by then.
const STREAM_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that has been greeted.
pub(super) struct Link {
    pub(super) peer: Hello,
    connection: Connection,
    lanes: [LaneQueue; 2],
    gossip: mpsc::Sender<Bytes>,
    gossip_budget: Mutex<Budget>,
    told_hearsay: AtomicBool,
    silence: Mutex<Silence>,
    /// How often this node looks for silence at least, as long as it runs.
    look_interval: Duration,
    since: Instant,
    /// Why this node ended it, if it did.
    verdict: OnceLock<Reason>,
    /// Turns true once the owner has been told that the peer is gone.
    ended: watch::Sender<bool>,
}

impl Link {
    /// A link over a greeted connection, and the messages that its gossip writer is to send.
    pub(super) fn new(
        shared: &Shared,
        peer: Hello,
        connection: Connection,
    ) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let tuning = &shared.config.tuning;
        let queue = || LaneQueue::new(tuning.lane_frames_max, tuning.lane_bytes_max);
        let (gossip, outgoing) = mpsc::channel(tuning.gossip_messages_max);
        let link = Link {
            peer,
            connection,
            lanes: [queue(), queue()],
            gossip,
            gossip_budget: Mutex::new(Budget::new(Instant::now())),
            told_hearsay: AtomicBool::new(false),
            silence: Mutex::new(Silence::new(Instant::now())),
            look_interval: tuning.snapshot_interval,
            since: Instant::now(),
            verdict: OnceLock::new(),
            ended: watch::Sender::new(false),
        };
        (Arc::new(link), outgoing)
    }

    /// Queues a frame for the peer, or hands it back when the lane's queue is full.
    pub(super) fn push(&self, lane: Lane, frame: Bytes) -> Result<(), Bytes> {
        self.queue(lane).push(frame)
    }

    /// Queues a gossip message for the peer; `false` when the queue is full.
    pub(super) fn gossip(&self, message: Bytes) -> bool {
        self.gossip.try_send(message).is_ok()
    }

    /// Whether the peer may send another gossip message now.
    pub(super) fn within_gossip_budget(&self) -> bool {
        lock(&self.gossip_budget).take(Instant::now())
    }

    /// Whether the peer told for the first time what is not taken in.
    pub(super) fn is_first_hearsay(&self) -> bool {
        !self.told_hearsay.swap(true, Relaxed)
    }

    /// For how long nothing came from the peer, as far as looks at it can tell.
    pub(super) fn silence(&self) -> Duration {
        let datagrams = self.connection.stats().udp_rx.datagrams;
        lock(&self.silence).look(datagrams, Instant::now(), self.look_interval)
    }

    /// Ends the link, telling the peer why.
    pub(super) fn close(&self, reason: Reason) {
        let _ = self.verdict.set(reason);
        self.connection.close(reason.code(), reason.to_string().as_bytes());
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Tells the peer something, or lets it be: a peer that takes nothing is on its way out.
    pub(super) async fn send_notice(&self, notice: &[u8]) {
        let _ = timeout(STREAM_TIMEOUT, write_message(self, NOTICE_STREAM, notice)).await;
    }

    pub(super) fn describe(&self) -> PeerInfo {
        let path = self.connection.stats().path;
        PeerInfo {
            origin: self.peer.origin,
            node: self.peer.node,
            generation: self.peer.generation,
            name: self.peer.name.clone(),
            addr: self.peer.advertise,
            rtt: self.connection.rtt(),
            packets_sent: path.sent_packets,
            packets_lost: path.lost_packets,
            kvs: self.peer.kvs.clone(),
        }
    }

    fn queue(&self, lane: Lane) -> &LaneQueue {
        &self.lanes[lane as usize]
    }

    async fn wait_ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// A link that has just been admitted, with all that its tasks need.
pub(super) struct NewLink {
    pub(super) link: Arc<Link>,
    /// What its gossip writer is to send.
    pub(super) outgoing: mpsc::Receiver<Bytes>,
    /// The link whose place it takes.
    pub(super) predecessor: Option<Arc<Link>>,
}

/// Serves a link from its admission to its end.
pub(super) async fn run_link(shared: Arc<Shared>, new: NewLink) {
    let link = new.link;
    if let Some(old) = new.predecessor {
        old.wait_ended().await;
    }
    let up = shared.events.send(NetworkEvent::PeerUp(link.describe())).await;
    tracing::info!(peer = %link.peer.name, origin = %link.peer.origin, addr = %link.peer.advertise,
        "linked");
    spawn_writers(&shared, &link, new.outgoing);
    shared.introduce(&link);
    let (reason, text) = match up {
        Ok(()) => read_until_end(&shared, &link).await,
        Err(_) => described(Reason::Broken),
    };
    end_link(&shared, &link, reason, text).await;
}

async fn end_link(shared: &Arc<Shared>, link: &Arc<Link>, reason: Reason, text: String) {
    link.close(reason);
    link.lanes.iter().for_each(LaneQueue::close);
    shared.counters.count_end(Attempt::Link, reason);
    tracing::info!(peer = %link.peer.name, origin = %link.peer.origin, reason = %text, "link ended");
    if reason == Reason::StaleIncarnation {
        shared.on_displaced(link.peer.advertise);
    }
    shared.on_link_end(&link.peer, link.since.elapsed(), reason);
    let down =
        NetworkEvent::PeerDown { origin: link.peer.origin, node: link.peer.node, reason: text };
    let _ = shared.events.send(down).await;
    lock(&shared.links).remove(link);
    link.ended.send_replace(true);
}

/// Reads all that the peer sends, until the connection ends or the peer breaks a rule.
async fn read_until_end(shared: &Arc<Shared>, link: &Arc<Link>) -> (Reason, String) {
    let (control_slot, control) = oneshot::channel();
    let (bulk_slot, bulk) = oneshot::channel();
    let slots = Arc::new(LaneSlots(Mutex::new([Some(control_slot), Some(bulk_slot)])));
    tokio::select! {
        biased;
        error = link.connection.closed() => describe_end(link, &error),
        reason = read_lane(shared, link, Lane::Control, control) => described(reason),
        reason = read_lane(shared, link, Lane::Bulk, bulk) => described(reason),
        error = accept_streams(shared, link, &slots) => describe_end(link, &error),
        error = read_datagrams(shared, link) => describe_end(link, &error),
    }
}

fn described(reason: Reason) -> (Reason, String) {
    (reason, reason.to_string())
}

fn describe_end(link: &Link, error: &ConnectionError) -> (Reason, String) {
    match (error, link.verdict.get()) {
        (ConnectionError::LocallyClosed, Some(reason)) => described(*reason),
        (ConnectionError::ApplicationClosed(_), _) => {
            let reason = Reason::of(error);
            (reason, format!("the peer says: {reason}"))
        }
        _ => described(Reason::of(error)),
    }
}

/// Where the two lanes' streams are awaited; a slot is empty once its stream has come.
struct LaneSlots(Mutex<[Option<oneshot::Sender<RecvStream>>; 2]>);

impl LaneSlots {
    fn fill(&self, lane: Lane, stream: RecvStream) -> Result<(), Reason> {
        let slot = lock(&self.0)[lane as usize].take().ok_or(Reason::LaneTwice)?;
        // The reader is gone only when the link is ending anyway.
        let _ = slot.send(stream);
        Ok(())
    }
}

/// Hands every frame of one lane to the owner, in order.
async fn read_lane(
    shared: &Shared,
    link: &Link,
    lane: Lane,
    stream: oneshot::Receiver<RecvStream>,
) -> Reason {
    let Ok(mut stream) = stream.await else { return pending().await };
    let mut decoder = FrameDecoder::default();
    loop {
        let chunk = match stream.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return decoder.finish().map_or_else(reason_of, |()| Reason::LaneEnded),
            Err(ReadError::ConnectionLost(_)) => return pending().await,
            Err(_) => return Reason::LaneEnded,
        };
        decoder.push(&chunk.bytes);
        if let Err(reason) = deliver_frames(shared, link, lane, &mut decoder).await {
            return reason;
        }
    }
}

async fn deliver_frames(
    shared: &Shared,
    link: &Link,
    lane: Lane,
    decoder: &mut FrameDecoder,
) -> Result<(), Reason> {
    while let Some(bytes) = decoder.next_frame().map_err(reason_of)? {
        let payload = bytes.len() as u64;
        let frame = NetworkEvent::Frame { from: link.peer.origin, lane, bytes };
        shared.events.send(frame).await.map_err(|_| Reason::Broken)?;
        shared.counters.frames_received.count();
        shared.counters.frame_bytes_received.add(payload);
    }
    Ok(())
}

fn reason_of(error: FrameError) -> Reason {
    match error {
        FrameError::TooBig { .. } => Reason::FrameTooBig,
        FrameError::Truncated { .. } => Reason::FrameTruncated,
    }
}

async fn accept_streams(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    slots: &Arc<LaneSlots>,
) -> ConnectionError {
    loop {
        let stream = match link.connection.accept_uni().await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let (shared, link, slots) = (shared.clone(), link.clone(), slots.clone());
        shared.clone().spawn("stream", async move {
            if let Err(reason) = sort_stream(&shared, &link, &slots, stream).await {
                link.close(reason);
            }
        });
    }
}

/// Learns what a stream is for. A message that does not come in time, or is cut short, is dropped: what comes behind it
/// is fresher. What may yet be a lane is waited for as long as the connection lasts, which has room for few streams: its
/// first packet may have been lost, and the others come first.
async fn sort_stream(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    slots: &LaneSlots,
    mut stream: RecvStream,
) -> Result<(), Reason> {
    let mut purpose = [0];
    if stream.read_exact(&mut purpose).await.is_err() {
        return Ok(());
    }
    match purpose[0] {
        GOSSIP_STREAM => {
            let message = read_rest(&mut stream, gossip::MESSAGE_BYTES_MAX);
            if let Ok(Ok(message)) = timeout(STREAM_TIMEOUT, message).await {
                shared.deliver_gossip(link, message.into());
            }
            Ok(())
        }
        NOTICE_STREAM => {
            let notice = read_rest(&mut stream, NOTICE_BYTES_MAX);
            match timeout(STREAM_TIMEOUT, notice).await {
                Ok(Ok(notice)) => shared.on_notice(link, &notice),
                Ok(Err(ReadToEndError::TooLong)) => Err(Reason::MalformedNotice),
                Ok(Err(ReadToEndError::Read(_))) | Err(_) => Ok(()),
            }
        }
        CONTROL_STREAM => slots.fill(Lane::Control, stream),
        BULK_STREAM => slots.fill(Lane::Bulk, stream),
        _ => Err(Reason::UnknownStream),
    }
}

/// The rest of a stream that was begun in order, in order, as `RecvStream::read_to_end` does not: quinn 0.11 then
/// counts twice what had come twice before, and gives the connection's flow control less than nothing back,
/// which is a panic in debug builds and else a link over which nothing comes any more once a window is full.
async fn read_rest(stream: &mut RecvStream, bytes_max: usize) -> Result<Vec<u8>, ReadToEndError> {
    let mut rest = Vec::new();
    while let Some(chunk) =
        stream.read_chunk(bytes_max + 1, true).await.map_err(ReadToEndError::Read)?
    {
        rest.extend_from_slice(&chunk.bytes);
        if rest.len() > bytes_max {
            return Err(ReadToEndError::TooLong);
        }
    }
    Ok(rest)
}

async fn read_datagrams(shared: &Shared, link: &Arc<Link>) -> ConnectionError {
    loop {
        match link.connection.read_datagram().await {
            Ok(message) => shared.deliver_gossip(link, message),
            Err(error) => return error,
        }
    }
}

fn spawn_writers(shared: &Arc<Shared>, link: &Arc<Link>, outgoing: mpsc::Receiver<Bytes>) {
    let (lanes_shared, lanes_link) = (shared.clone(), link.clone());
    shared.spawn("lane writers", async move {
        let (shared, link) = (&lanes_shared, &lanes_link);
        // One task for both: what its owner sends on both in a turn costs one waking and leaves in one packet.
        let [control, bulk] = Lane::ALL.map(|lane| async move {
            // Any other error means that the connection is gone, which the link's own task sees too.
            if let Err(WriteError::Stopped(_)) = write_lane(shared, link, lane).await {
                link.close(Reason::LaneEnded);
            }
        });
        tokio::join!(control, bulk);
    });
    let (shared, link) = (shared.clone(), link.clone());
    shared.clone().spawn("gossip writer", async move {
        tokio::select! {
            biased;
            _ = link.connection.closed() => {}
            () = write_gossip(&shared, &link, outgoing) => {}
        }
    });
}

async fn write_lane(shared: &Shared, link: &Link, lane: Lane) -> Result<(), WriteError> {
    let purpose = match lane {
        Lane::Control => CONTROL_STREAM,
        Lane::Bulk => BULK_STREAM,
    };
    let mut stream = open_stream(link, purpose, lane_priority(lane)).await?;
    while let Some(frames) = link.queue(lane).next_batch().await {
        let payload: usize = frames.iter().map(Bytes::len).sum();
        let mut chunks: Vec<Bytes> =
            frames.into_iter().flat_map(|frame| [header(&frame), frame]).collect();
        let frames = chunks.len() / 2;
        stream.write_all_chunks(&mut chunks).await?;
        shared.counters.frames_sent.add(frames as u64);
        shared.counters.frame_bytes_sent.add(payload as u64);
    }
    Ok(())
}

/// Higher goes first within a connection.
fn lane_priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 1,
        Lane::Bulk => 0,
    }
}

/// Gossip and notices are tiny, and a late heartbeat is a false death.
const GOSSIP_PRIORITY: i32 = 2;

async fn open_stream(link: &Link, purpose: u8, priority: i32) -> Result<SendStream, WriteError> {
    let mut stream = link.connection.open_uni().await?;
    stream.set_priority(priority).map_err(|_| WriteError::ClosedStream)?;
    stream.write_all(&[purpose]).await?;
    Ok(stream)
}

/// Sends gossip as datagrams where they fit, else as a stream for each message. A stream that is
/// not taken in time is given up: what waits behind it is fresher.
async fn write_gossip(shared: &Shared, link: &Link, mut outgoing: mpsc::Receiver<Bytes>) {
    let counters = &shared.counters;
    while let Some(message) = outgoing.recv().await {
        let fits = |limit| message.len() <= limit;
        if link.connection.max_datagram_size().is_some_and(fits) {
            let _ = link.connection.send_datagram(message);
            counters.gossip_datagrams.count();
            continue;
        }
        let written =
            timeout(STREAM_TIMEOUT / 2, write_message(link, GOSSIP_STREAM, &message)).await;
        match written {
            Ok(Ok(())) => counters.gossip_streams.count(),
            _ => counters.gossip_overflow.count(),
        }
    }
}

async fn write_message(link: &Link, purpose: u8, message: &[u8]) -> Result<(), WriteError> {
    let mut stream = open_stream(link, purpose, GOSSIP_PRIORITY).await?;
    stream.write_all(message).await?;
    stream.finish().map_err(|_| WriteError::ClosedStream)
}
