//! A node made of a few maps: it answers what a payload asks for.

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::mpsc;
use node::identity::Bearer;
use node::service::view::Refusal;
use node::service::{ConnectionId, Feed, Frame, Players, Publishing, Reason, Verdict};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

type LiveSender = watch::Sender<Option<Arc<Frame>>>;

/// Verdicts by payload, feeds by topic.
pub struct FakePlayers {
    pub published: Mutex<Vec<(String, Bytes)>>,
    /// How many were published.
    pub taken: watch::Sender<usize>,
    pub live: LiveSender,
    pub inboxes: Mutex<BTreeMap<String, mpsc::Sender<Arc<Frame>>>>,
    /// A publish of `wait` takes one permit.
    pub gate: Semaphore,
    /// What a returning client is subscribed to.
    pub session: Mutex<Vec<String>>,
    /// How many publishes wait or waited at the gate.
    pub waiting: watch::Sender<usize>,
    /// How often it was asked for a client's session.
    pub sessions_asked: AtomicUsize,
    /// How long the line of each publish takes.
    pub lines: Mutex<Vec<Duration>>,
    /// Whose acknowledgement of each publish is the whole receipt.
    pub owns: Mutex<Vec<Option<ConnectionId>>>,
    /// For whose own connection each feed was opened.
    pub opened: Mutex<Vec<Option<ConnectionId>>>,
}

impl FakePlayers {
    pub fn new() -> Arc<Self> {
        Arc::new(FakePlayers {
            published: Mutex::default(),
            taken: watch::Sender::new(0),
            live: LiveSender::new(None),
            inboxes: Mutex::default(),
            gate: Semaphore::new(0),
            session: Mutex::default(),
            waiting: watch::Sender::new(0),
            sessions_asked: AtomicUsize::new(0),
            lines: Mutex::default(),
            owns: Mutex::default(),
            opened: Mutex::default(),
        })
    }

    pub fn show(&self, payload: impl Into<Bytes>) {
        self.live.send_replace(Some(Arc::new(Frame::new("live/482913", payload, true))));
    }

    pub fn topics(&self) -> Vec<String> {
        self.published.lock().unwrap().iter().map(|(topic, _)| topic.clone()).collect()
    }

    pub fn payloads(&self) -> Vec<Bytes> {
        self.published.lock().unwrap().iter().map(|(_, payload)| payload.clone()).collect()
    }

    pub fn inbox(&self, topic: &str) -> mpsc::Sender<Arc<Frame>> {
        self.inboxes.lock().unwrap()[topic].clone()
    }
}

#[async_trait]
impl Players for FakePlayers {
    async fn publish(&self, from: Publishing<'_>, topic: &str, payload: Bytes) -> Verdict {
        self.lines.lock().unwrap().push(from.line);
        self.owns.lock().unwrap().push(from.own);
        if &payload[..] == b"wait" {
            self.waiting.send_modify(|waiting| *waiting += 1);
            self.gate.acquire().await.unwrap().forget();
        }
        self.published.lock().unwrap().push((topic.to_owned(), payload.clone()));
        self.taken.send_modify(|taken| *taken += 1);
        match &payload[..] {
            b"late" => refused(Reason::ImplementationSpecific, "late").told(),
            b"locked" => refused(Reason::NotAuthorized, "locked").told(),
            b"flooded" => refused(Reason::QuotaExceeded, "flooded").told(),
            b"{" => refused(Reason::PayloadFormatInvalid, "payload_malformed"),
            _ if topic == "elsewhere" => refused(Reason::TopicNameInvalid, "topic_unknown"),
            _ => Verdict::accepted(RECEIPT),
        }
    }

    fn tell_refused(&self, inbox: Option<&str>, topic: &str, payload: &[u8], refusal: &Refusal) {
        let whose = String::from_utf8_lossy(payload);
        let Some(inbox) = inbox else { return };
        let text = format!("{} {topic} {whose}", refusal.code);
        let frame = Arc::new(Frame::new(inbox, text, false));
        self.inbox(inbox).try_send(frame).unwrap();
    }

    async fn session(&self, _client_id: &str) -> Vec<String> {
        self.sessions_asked.fetch_add(1, Ordering::Relaxed);
        self.session.lock().unwrap().clone()
    }

    async fn subscribe(
        &self,
        _by: Option<&Bearer>,
        filter: &str,
        own: Option<ConnectionId>,
    ) -> Result<Feed, Refusal> {
        self.opened.lock().unwrap().push(own);
        match filter {
            "live/482913" => {
                let mut changes = self.live.subscribe();
                let first = changes.borrow_and_update().clone();
                Ok(Feed::Live { first, changes })
            }
            "inbox/mallory" => Err(Refusal::new("locked", "this inbox is not yours")),
            _ if filter.starts_with("inbox/") => {
                let (sender, receiver) = mpsc::channel(4);
                self.inboxes.lock().unwrap().insert(filter.to_owned(), sender);
                Ok(Feed::Inbox(receiver))
            }
            _ => Err(Refusal::new("topic_unknown", format!("nothing behind {filter}"))
                .hint("subscribe to live/<pin>")),
        }
    }
}

fn refused(reason: Reason, code: &str) -> Verdict {
    Verdict::refused(reason, Refusal::new(code, "not now").hint("later"))
}

pub const RECEIPT: &str = r#"{"status":"accepted","level":"firm","choices":[2]}"#;
