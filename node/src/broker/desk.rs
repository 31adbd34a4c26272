//! What becomes of one message that a player published at the broker.
//!
//! It goes the way of any publish, to the hub. Here is only what a broker makes different: where the
//! answer goes while the player does not know its inbox, and when the broker is told that the
//! message has arrived.

use super::wire::{Message, Outgoing, PAYLOAD_BYTES_MAX};
use crate::hub::Hub;
use crate::service::view::InboxMessage;
use crate::supervise::Supervisor;
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The topics under which players may be answered before they know their inbox.
pub const REPLY: &str = "reply/";
/// Longest name of a topic to answer to, in bytes: a client id and more.
const REPLY_BYTES_MAX: usize = 128;
/// Messages that may wait here at once for their level after their receipt went out as provisional:
/// fewer than the ten that RabbitMQ, the strictest, has under way.
const PROVISIONAL_MAX: usize = 4;
/// How often such a message is looked at again: ten times in 5 s, longer than it takes to notice a
/// dead node.
const LOOKS: usize = 10;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Where messages of players are taken. Clones share it.
#[derive(Clone)]
pub struct Desk {
    hub: Arc<Hub>,
    provisional: Arc<Semaphore>,
    supervisor: Supervisor,
    stop: CancellationToken,
}

/// What became of a message.
#[derive(Debug)]
pub struct Handled {
    /// Whether the broker may forget it.
    pub is_done: bool,
    /// What the player is told beside its inbox.
    pub reply: Option<Outgoing>,
}

/// The one field that concerns the broker alone.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    reply: Option<String>,
}

impl Handled {
    /// Nothing more is to be said about it.
    fn done() -> Self {
        Handled { is_done: true, reply: None }
    }
}

impl Desk {
    /// A desk in front of `hub`, until `stop`; panics end at `supervisor`.
    #[must_use]
    pub fn new(hub: Arc<Hub>, supervisor: Supervisor, stop: CancellationToken) -> Self {
        let provisional = Arc::new(Semaphore::new(PROVISIONAL_MAX));
        Desk { hub, provisional, supervisor, stop }
    }

    /// Takes a message. Returns when its answer is held at the level that the cluster asks for, or
    /// has waited long enough for it. One that makes this node panic is not brought again: it would
    /// do so at the next node as well, and its player repeats what has no receipt.
    pub async fn take(&self, message: Message) -> Handled {
        self.supervisor.contain(self.handle(message)).await.unwrap_or_else(Handled::done)
    }

    async fn handle(&self, message: Message) -> Handled {
        let Message { topic, payload, response_topic, correlation, .. } = message;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Handled::done();
        }
        let reply_to = reply_topic(response_topic, &payload);
        let Some(said) = self.hub.take(&topic, &payload).await else {
            return Handled::done();
        };
        // Only then: what a node that stays leaves for later fills the window in which the broker sends.
        if self.stop.is_cancelled() && is_overloaded(&said) {
            return Handled { is_done: false, reply: None };
        }
        if is_provisional(&said) {
            self.wait_firm(&topic, &payload).await;
        }
        let reply = reply_to.map(|topic| Outgoing {
            topic,
            payload: serde_json::to_vec(&said).expect("our own messages encode").into(),
            retain: false,
            correlation,
        });
        Handled { is_done: true, reply }
    }

    /// Looks again until the answer is firm: until then it would be lost with this node, and the
    /// broker has to bring it to another one. Taking it again changes nothing but the level.
    async fn wait_firm(&self, topic: &str, payload: &Bytes) {
        let Ok(_waiting) = self.provisional.try_acquire() else { return };
        for _ in 0..LOOKS {
            sleep(LOOK).await;
            let said = self.hub.take(topic, payload).await;
            if !said.is_some_and(|said| is_provisional(&said)) {
                return;
            }
        }
    }
}

/// Where the answer goes, if the player names a topic that is free for that.
fn reply_topic(response_topic: Option<String>, payload: &[u8]) -> Option<String> {
    let named = || serde_json::from_slice::<Asked>(payload).ok()?.reply;
    response_topic.or_else(named).filter(|topic| is_reply(topic))
}

/// A node publishes where a stranger says; so nothing but `reply/` and a plain name.
fn is_reply(topic: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    topic.len() <= REPLY_BYTES_MAX
        && topic.strip_prefix(REPLY).is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}

fn is_provisional(said: &InboxMessage) -> bool {
    match said {
        InboxMessage::Joined { level, .. } | InboxMessage::Receipt { level, .. } => {
            level == "provisional"
        }
        _ => false,
    }
}

/// Whether this node cannot take it just now.
fn is_overloaded(said: &InboxMessage) -> bool {
    matches!(said, InboxMessage::Refused { code, .. } if code == "overloaded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_where_the_player_says_under_reply_only() {
        let named = |reply: &str| {
            reply_topic(None, format!(r#"{{"pin":"1","reply":"{reply}"}}"#).as_bytes())
        };
        assert_eq!(named("reply/ab-1"), Some("reply/ab-1".into()));
        for other in ["live/123", "reply/", "reply/a/b", "reply/+", "reply/#", "inbox/1"] {
            assert_eq!(named(other), None, "{other}");
        }
        assert_eq!(named(&format!("reply/{}", "x".repeat(128))), None);
        assert_eq!(reply_topic(Some("reply/r".into()), b"{"), Some("reply/r".into()));
        assert_eq!(reply_topic(None, b"{"), None);
    }
}
