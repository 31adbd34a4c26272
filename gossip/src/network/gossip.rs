//! chitchat's transport port over the links.
//!
//! chitchat awaits `send` in its only loop, so `send` neither dials nor waits: a message for an
//! address without a link, or with a full queue, is dropped and counted, as a network would. And
//! an error of `recv` would end that loop for good, so there is none.

use super::config::Spawn;
use super::link::Link;
use super::reason::Reason;
use super::stats::Counter;
use super::{Shared, lock};
use bytes::Bytes;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// The longest gossip message: chitchat builds none above a UDP payload.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Messages that wait for chitchat; beyond them the newest is dropped.
const INBOX_MESSAGES: usize = 256;

type Received = (SocketAddr, ChitchatMessage);

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
    /// Hands a message from a link's peer to chitchat, if it may have it.
    pub(super) fn deliver_gossip(&self, link: &Link, bytes: &[u8]) {
        self.take_gossip(link, bytes).count();
    }

    /// Judges a message and returns the counter of what became of it.
    fn take_gossip(&self, link: &Link, mut bytes: &[u8]) -> &Counter {
        let counters = &self.counters;
        if !link.within_gossip_budget() {
            return &counters.gossip_flooded;
        }
        let whole = bytes;
        let Ok(message) = ChitchatMessage::deserialize(&mut bytes) else {
            return &counters.gossip_malformed;
        };
        match lock(&self.crowd).admit(whole, self.config.tuning.named_max()) {
            Err(Reason::Crowded) => return &counters.gossip_crowded,
            Err(_) => return &counters.gossip_malformed,
            Ok(()) => {}
        }
        match self.inbox.push((link.peer.advertise, message)) {
            true => &counters.gossip_received,
            false => &counters.gossip_inbox_overflow,
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

    async fn recv(&mut self) -> anyhow::Result<Received> {
        until_running(&*self.shared.spawn).await;
        match self.messages.recv().await {
            Some(received) => Ok(received),
            None => pending().await,
        }
    }
}

async fn until_running(spawn: &dyn Spawn) {
    poll_fn(|context| spawn.poll_running(context)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_gossip_is_an_error_and_never_a_panic(
            tail in prop::collection::vec(any::<u8>(), 0..300),
            kind in 0u8..5,
        ) {
            let magic = 45_139_u16.to_le_bytes();
            let bytes = [&[magic[0], magic[1], 0, kind], &tail[..]].concat();
            let _ = ChitchatMessage::deserialize(&mut &bytes[..]);
        }
    }
}
