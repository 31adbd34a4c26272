//! What becomes of a publish: who is asked, how it is acknowledged, and who is told a no that an
//! acknowledgement cannot say.

use super::{Closed, Connection, Done, Work};
use crate::edge::acl::{Access, Denied};
use crate::edge::packet::{Acknowledge, Outbound, Protocol, Publish, Request, response};
use crate::service::view::Refusal;
use crate::service::{Publishing, Reason, Verdict, inbox_topic};
use std::future::ready;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A publish and the verdict on it.
pub(super) struct Judged {
    topic: String,
    acknowledge: Acknowledge,
    request: Option<Box<Request>>,
    verdict: Verdict,
}

impl<'a, IO> Connection<'a, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn publish(&mut self, publish: Publish) {
        let asked = self.ask(publish);
        self.work.push(asked);
    }

    /// The question what becomes of a publish.
    pub(super) fn ask(&self, publish: Publish) -> Work<'a> {
        let by = self.bearer();
        let refused = match self.edge.meter_publish() {
            Err(wait) => Some(flooded(wait)),
            Ok(()) => {
                let checked = self.check_access(by.as_deref(), Access::Publish, &publish.topic);
                checked.err().map(not_permitted)
            }
        };
        let Publish { topic, payload, acknowledge, request, .. } = publish;
        if let Some(verdict) = refused {
            self.tell_refused(acknowledge, &topic, &payload, &verdict);
            let verdict = verdict.told();
            return Box::pin(ready(Done::Published(Judged {
                topic,
                acknowledge,
                request,
                verdict,
            })));
        }
        let (players, line) = (self.edge.players(), self.line.round_trip());
        let own = self.says_receipts(acknowledge).then_some(self.id);
        Box::pin(async move {
            let from = Publishing { by: by.as_ref(), line, own };
            let verdict = players.publish(from, &topic, payload).await;
            Done::Published(Judged { topic, acknowledge, request, verdict })
        })
    }

    /// Whether an acknowledgement carries the whole receipt.
    fn says_receipts(&self, acknowledge: Acknowledge) -> bool {
        acknowledge != Acknowledge::Not && self.guard.has_room_for(RECEIPT_BYTES_MAX)
    }

    pub(super) fn on_published(&mut self, judged: Judged) -> Result<(), Closed> {
        let Judged { topic, acknowledge, request, verdict } = judged;
        if let Some(bearer) = &verdict.proves {
            self.bear(bearer)?;
        }
        if verdict.untold {
            self.tell_refused(acknowledge, &topic, &[], &verdict);
        }
        match acknowledge {
            Acknowledge::Not => {}
            Acknowledge::Once(id) => self.send(&Outbound::Puback(id, &verdict))?,
            Acknowledge::Twice(id) => self.send(&Outbound::Pubrec(id, &verdict))?,
        }
        if let Some(request) = request {
            self.respond(&request, &verdict);
        }
        Ok(())
    }

    /// What an acknowledgement cannot say, an inbox does: in MQTT 3.1.1 every no, and at QoS 0.
    fn tell_refused(
        &self,
        acknowledge: Acknowledge,
        topic: &str,
        payload: &[u8],
        verdict: &Verdict,
    ) {
        let is_said =
            self.guard.protocol() == Some(Protocol::V5) && acknowledge != Acknowledge::Not;
        let Some(refusal) = verdict.refusal.as_ref().filter(|_| !is_said) else { return };
        let held = self.feeds.inbox().map(str::to_owned);
        let proven = || Some(inbox_topic(self.bearer()?.player?));
        let inbox = held.or_else(proven);
        self.edge.players().tell_refused(inbox.as_deref(), topic, payload, refusal);
    }

    /// Answers a request, if the client listens where it wants the answer.
    fn respond(&mut self, request: &Request, verdict: &Verdict) {
        if !self.feeds.holds(&request.response_topic) {
            return;
        }
        match response(request, verdict) {
            Ok(bytes) if bytes.len() <= self.peer_bytes_max => {
                self.output.push(bytes, self.edge.counters());
            }
            _ => self.edge.counters().frame_too_large(),
        }
    }
}

/// No acknowledgement of an answer is longer: the longest in words has 200 bytes, which JSON makes 1,200 at most.
const RECEIPT_BYTES_MAX: usize = 4096;

pub(super) fn not_permitted(denied: Denied) -> Verdict {
    Verdict::refused(Reason::NotAuthorized, Refusal::new("not_permitted", denied.to_string()))
}

pub(super) fn flooded(wait: Duration) -> Verdict {
    let refusal = Refusal::new("overloaded", "this node takes no more just now")
        .hint(format!("try again in {} ms", wait.as_millis().max(1)));
    Verdict::refused(Reason::QuotaExceeded, refusal)
}
