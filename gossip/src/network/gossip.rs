//! chitchat's transport port over the links.
//!
//! chitchat awaits `send` in its only loop, so `send` neither dials nor waits: a message for an
//! address without a link, or with a full queue, is dropped and counted, as a network would. And
//! an error of `recv` would end that loop for good, so there is none.
//!
//! Received messages wait as they came and are judged when chitchat takes them, one at a time: so what waits is as
//! small as on the wire, and the judgement knows all that chitchat knows.

use super::config::Spawn;
use super::link::Link;
use super::reason::Reason;
use super::told::{Part, Told};
use super::{Shared, lock};
use bytes::Bytes;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatId, ChitchatMessage, Deserializable, Serializable};
use crdt_state::NodeId;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// The longest gossip message: chitchat builds none above a UDP payload.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Messages that wait for chitchat; beyond them the newest is dropped.
const INBOX_MESSAGES: usize = 256;

type Received = (Arc<Link>, Bytes);

/// Where received messages wait for chitchat. Replaced when chitchat is started again.
#[derive(Default)]
pub(super) struct GossipInbox(Mutex<Option<mpsc::Sender<Received>>>);

impl GossipInbox {
    fn open(&self) -> mpsc::Receiver<Received> {
        let (inbox, messages) = mpsc::channel(INBOX_MESSAGES);
        *lock(&self.0) = Some(inbox);
        messages
    }

    fn push(&self, received: Received) -> bool {
        let inbox = lock(&self.0);
        inbox.as_ref().is_some_and(|inbox| inbox.try_send(received).is_ok())
    }
}

impl Shared {
    /// Has a message from a link's peer wait for chitchat.
    pub(super) fn deliver_gossip(&self, link: &Arc<Link>, message: Bytes) {
        if !link.within_gossip_budget() {
            self.counters.gossip_flooded.count();
        } else if !self.inbox.push((link.clone(), message)) {
            self.counters.gossip_inbox_overflow.count();
        }
    }

    /// What chitchat may hear of a message, if anything. The peer that itself says too much loses its link.
    fn take_gossip(&self, link: &Link, message: &[u8]) -> Option<ChitchatMessage> {
        let counters = &self.counters;
        let taken = self.judge_gossip(link, message);
        match taken.as_ref().err() {
            None => counters.gossip_received.count(),
            Some(Reason::Crowded) => counters.gossip_crowded.count(),
            Some(Reason::Overgrown) => link.close(Reason::Overgrown),
            Some(_) => counters.gossip_malformed.count(),
        }
        taken.ok()
    }

    fn judge_gossip(&self, link: &Link, message: &[u8]) -> Result<ChitchatMessage, Reason> {
        let told = Told::read(message)?;
        if let Some(numbers) = told.numbers_of(|id| self.is_own_life(id)) {
            self.membership.slander.note(numbers);
        }
        let mut crowd = lock(&self.crowd);
        crowd.admit(&told.named, self.config.tuning.named_max())?;
        let mut kept: Vec<&Part> = Vec::new();
        for part in &told.parts {
            match part.node {
                node if node == link.peer.node && !crowd.hear_own(part) => {
                    return Err(Reason::Overgrown);
                }
                node if node == link.peer.node => kept.push(part),
                _ if self.is_own_life(&part.id) || !crowd.hear_hearsay(part) => {}
                _ => kept.push(part),
            }
        }
        drop(crowd);
        let read = |mut bytes: &[u8]| ChitchatMessage::deserialize(&mut bytes);
        let message = match told.parts.len() - kept.len() {
            0 => read(message),
            refused => {
                self.note_hearsay(link, refused as u64);
                read(&told.cut(message, &kept))
            }
        };
        message.map_err(|_| Reason::MalformedFrame)
    }

    /// Whether it is this very life that others tell of: nobody can know better than itself.
    fn is_own_life(&self, id: &ChitchatId) -> bool {
        let is_own = |node: NodeId| node == self.config.node;
        id.generation_id == self.membership.generation() && id.node_id.parse().is_ok_and(is_own)
    }

    fn note_hearsay(&self, link: &Link, refused: u64) {
        self.counters.gossip_hearsay.add(refused);
        if link.is_first_hearsay() {
            tracing::warn!(peer = %link.peer.name, origin = %link.peer.origin,
                "a peer tells of another node what cannot be, which is not taken in");
        }
    }

    fn send_gossip(&self, to: SocketAddr, message: Bytes) {
        match lock(&self.links).at_address(to) {
            None => self.counters.gossip_unlinked.count(),
            Some(link) if link.gossip(message) => {}
            Some(_) => self.counters.gossip_overflow.count(),
        }
    }
}

/// What chitchat sends and receives through.
pub(super) struct LinkTransport(pub(super) Arc<Shared>);

struct LinkSocket {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Received>,
}

#[async_trait::async_trait]
impl Transport for LinkTransport {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let messages = self.0.inbox.open();
        Ok(Box::new(LinkSocket { shared: self.0.clone(), messages }))
    }
}

#[async_trait::async_trait]
impl Socket for LinkSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        until_running(&*self.shared.spawn).await;
        self.shared.send_gossip(to, message.serialize_to_vec().into());
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        until_running(&*self.shared.spawn).await;
        while let Some((link, message)) = self.messages.recv().await {
            if let Some(message) = self.shared.take_gossip(&link, &message) {
                return Ok((link.peer.advertise, message));
            }
        }
        pending().await
    }
}

async fn until_running(spawn: &dyn Spawn) {
    poll_fn(|context| spawn.poll_running(context)).await;
}
