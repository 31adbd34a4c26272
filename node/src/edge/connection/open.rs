//! A connection of the open profile: the same task and guard, with the general broker behind them.
//!
//! The broker answers at once, so nothing here waits: a publish is acknowledged when it is in every queue
//! that it belongs to. What is sent comes from the broker's session and has its packet ids.

use super::publish::{flooded, not_permitted};
use super::{Closed, Connection, Done, FEEDS_MARK_BYTES, Session, pubrel};
use crate::edge::acl::{Access, Subject};
use crate::edge::counters::ConnectResult;
use crate::edge::guard::Fault;
use crate::edge::open::{
    AliasUse, Broker, Comer, Delivery, Member, Message, Next, Subscribed, filter_of,
};
use crate::edge::packet::{
    Acknowledge, Connect, Has, HasStep, Inbound, Outbound, Protocol, Publish, Refused, Welcome,
    Wish,
};
use crate::service::view::Refusal;
use crate::service::{Reason, Verdict};
use mqtt_protocol_core::mqtt::result_code::SubackReasonCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A client that may come in.
pub(super) struct Entrant {
    comer: Comer,
    welcome: Welcome,
    aliases: Aliases,
}

/// What a connection has of the broker.
pub(super) struct Open {
    member: Member,
    /// What its DISCONNECT says instead.
    expiry_s: Option<u32>,
    aliases: Aliases,
    /// Those who wait until all has been looked at that had come when they were noticed.
    comers: Vec<oneshot::Sender<()>>,
}

impl Open {
    /// Before the stream is looked at.
    pub(super) fn notice_comers(&mut self) {
        self.comers.extend(self.member.comers());
    }

    /// The connection ends.
    pub(super) fn leave(self, with_will: bool) {
        self.member.leave(with_will, self.expiry_s);
    }
}

impl<IO> Connection<'_, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn on_open_packet(
        &mut self,
        broker: &Arc<Broker>,
        packet: Inbound,
    ) -> Result<(), Closed> {
        match packet {
            Inbound::Connect(connect) => return self.on_open_connect(broker, connect),
            Inbound::Publish(publish) => return self.on_open_publish(publish),
            Inbound::Subscribe { packet_id, wishes } => {
                return self.on_open_subscribe(packet_id, &wishes);
            }
            Inbound::Unsubscribe { packet_id, filters } => {
                return self.on_open_unsubscribe(packet_id, &filters);
            }
            Inbound::Release { packet_id, known } => self.on_open_release(packet_id, known)?,
            Inbound::Has(has) => self.on_open_has(has),
            Inbound::Repeated(answer) => self.output.push(answer, self.edge.counters()),
            Inbound::Ping => self.send(&Outbound::Pingresp)?,
            Inbound::Disconnect { with_will, session_expiry_s } => {
                self.on_open_disconnect(session_expiry_s)?;
                return Err(if with_will { Closed::Gone } else { Closed::Disconnected });
            }
        }
        Ok(())
    }

    /// Lets a client in.
    fn on_open_connect(&mut self, broker: &Arc<Broker>, connect: Connect) -> Result<(), Closed> {
        let (clean, expiry_s) = (connect.clean, connect.session_expiry_s);
        let (receive_maximum, will_delay_s) = (connect.receive_maximum, connect.will_delay_s);
        let aliases = Aliases::new(connect.alias_maximum);
        let (client_id, welcome) = self.introduce(connect);
        if self.edge.sessions().is_draining() {
            return Err(Closed::Drained);
        }
        self.edge.meter_connect(self.remote).map_err(Closed::Deferred)?;
        // A name that was given names a session that the client can come back to.
        let client_id = client_id.trim_start_matches('\0').to_owned();
        let will = self.will.take();
        if let Some(will) = &will {
            self.check_will(&client_id, &will.topic)?;
        }
        let comer = Comer {
            client_id: client_id.clone(),
            clean,
            expiry_s,
            receive_maximum,
            will,
            will_delay_s,
        };
        let entrant = Entrant { comer, welcome, aliases };
        let Some(looked) = broker.looked(&client_id) else {
            return self.let_in(broker, entrant);
        };
        self.settling = true;
        self.work.push(Box::pin(async move {
            // Who does not get to it is taken over as it is.
            let _ = timeout(LOOK_MAX, looked).await;
            Done::Looked(Box::new(entrant))
        }));
        Ok(())
    }

    /// Gives a client its seat.
    pub(super) fn let_in(&mut self, broker: &Arc<Broker>, entrant: Entrant) -> Result<(), Closed> {
        self.settling = false;
        let Entrant { comer, mut welcome, aliases } = entrant;
        let (edge, client_id, clean) = (self.edge, comer.client_id.clone(), comer.clean);
        let begin = || Session::begin(edge, &client_id, clean);
        let (member, present, session) =
            broker.connect(comer, begin).map_err(|_| Closed::BrokerFull)?;
        self.session = Some(session);
        welcome.session_present = present;
        welcome.is_general = true;
        let unreleased = member.unreleased();
        self.open = Some(Box::new(Open { member, expiry_s: None, aliases, comers: Vec::new() }));
        self.send(&Outbound::Connack(welcome))?;
        self.guard.resume(unreleased);
        edge.counters().connect(self.guard.protocol(), ConnectResult::Accepted);
        Ok(())
    }

    /// A will is published without another question, and so is asked about when its client comes.
    fn check_will(&self, client_id: &str, topic: &str) -> Result<(), Closed> {
        self.edge.meter_publish().map_err(Closed::Deferred)?;
        let subject = Subject { client_id, bearer: None };
        self.edge.check_access(subject, Access::Publish, topic).map_err(Closed::WillDenied)
    }

    /// Sends what the broker has for the client; tells whether there was anything. `has_read` tells whether something
    /// had come from it.
    pub(super) fn poll_open(&mut self, cx: &Context<'_>, has_read: bool) -> Result<bool, Closed> {
        let mut moved = false;
        while self.ended_at.is_none() && self.output.bytes() < FEEDS_MARK_BYTES {
            let Some(open) = &self.open else { break };
            match open.member.poll_next(cx) {
                None => break,
                Some((Next::Publish(delivery), now)) => self.send_delivery(&delivery, now),
                Some((Next::Release(packet_id), _)) => self.send_release(packet_id, true),
            }
            moved = true;
        }
        if let Some(open) = self.open.as_mut().filter(|_| !has_read) {
            open.comers.clear();
        }
        Ok(moved)
    }

    fn send_delivery(&mut self, delivery: &Delivery, now: u64) {
        let protocol = self.guard.protocol().unwrap_or(Protocol::V3);
        let Some(open) = &mut self.open else { return };
        let alias = open.aliases.of(delivery.topic());
        match delivery.encode(protocol, alias, now) {
            Ok(bytes) if bytes.len() <= self.peer_bytes_max => {
                open.aliases.introduced(delivery.topic(), alias);
                self.output.push(bytes, self.edge.counters());
            }
            _ => {
                self.edge.counters().frame_too_large();
                // As if it had been sent (MQTT 5.0, section 3.1.2.11.4).
                if let Some(packet_id) = delivery.packet_id() {
                    open.member.withdrawn(packet_id);
                }
            }
        }
    }

    fn send_release(&mut self, packet_id: u16, known: bool) {
        let protocol = self.guard.protocol().unwrap_or(Protocol::V3);
        self.output.push(pubrel(packet_id, known, protocol), self.edge.counters());
    }

    fn on_open_publish(&mut self, publish: Publish) -> Result<(), Closed> {
        let acknowledge = publish.acknowledge;
        let verdict = self.take_publish(publish)?;
        let is_refused = verdict.reason == Reason::QuotaExceeded && acknowledge != Acknowledge::Not;
        if is_refused && self.guard.protocol() == Some(Protocol::V3) {
            // MQTT 3.1.1 has no other word for it: an acknowledgement would say that it is kept.
            return Err(Closed::BrokerFull);
        }
        match acknowledge {
            Acknowledge::Not => Ok(()),
            Acknowledge::Once(id) => self.send(&Outbound::Puback(id, &verdict)),
            Acknowledge::Twice(id) => self.send(&Outbound::Pubrec(id, &verdict)),
        }
    }

    fn take_publish(&self, publish: Publish) -> Result<Verdict, Closed> {
        if let Err(wait) = self.edge.meter_publish() {
            return Ok(flooded(wait));
        }
        if let Err(denied) = self.check_access(None, Access::Publish, &publish.topic) {
            return Ok(not_permitted(denied));
        }
        let Some(open) = &self.open else { return Ok(full("there is no session")) };
        let twice = match publish.acknowledge {
            Acknowledge::Twice(id) => Some(id),
            Acknowledge::Not | Acknowledge::Once(_) => None,
        };
        let taken = open.member.publish(twice, |now| Message::new(publish, now));
        let taken = taken.ok_or(Closed::TakenOver)?;
        Ok(taken.map_or_else(|error| full(error.to_string()), |()| success()))
    }

    fn on_open_subscribe(&mut self, packet_id: u16, wishes: &[Wish]) -> Result<(), Closed> {
        let own_of_many = |wish: &Wish| wish.no_local && wish.filter.starts_with("$share/");
        if wishes.iter().any(own_of_many) {
            return Err(Closed::Faulty(Fault::Protocol(0x82)));
        }
        let one_of_many = wishes.len() > 1;
        let granted = wishes.iter().map(|wish| {
            let granted = self.take_wish(wish)?;
            Ok(granted.map_err(|refused| refused.of(&wish.filter, one_of_many)))
        });
        let granted = granted.collect::<Result<Vec<_>, Closed>>()?;
        self.send(&Outbound::Suback(packet_id, &granted))
    }

    /// What becomes of a wish, unless the connection's seat is another's.
    fn take_wish(&self, wish: &Wish) -> Result<Result<u8, Refused>, Closed> {
        let refused = |reason, message: String| Ok(Err(Refused { reason, message }));
        if wish.filter.len() > OPEN_FILTER_BYTES_MAX {
            let message = format!("a filter has at most {OPEN_FILTER_BYTES_MAX} bytes");
            return refused(SubackReasonCode::TopicFilterInvalid, message);
        }
        // What a filter with wildcards leads to is judged by its own topic, when it comes.
        let filter = filter_of(&wish.filter);
        if let Err(denied) = self.check_access(None, Access::Subscribe, filter) {
            return Ok(Err(Refused::from(denied)));
        }
        let Some(open) = &self.open else {
            return refused(SubackReasonCode::UnspecifiedError, "there is no session".to_owned());
        };
        match open.member.subscribe(wish) {
            Subscribed::Granted(qos) => Ok(Ok(qos)),
            Subscribed::Unseated => Err(Closed::TakenOver),
            Subscribed::Malformed => {
                let message = "a shared filter is $share/NAME/FILTER".to_owned();
                refused(SubackReasonCode::TopicFilterInvalid, message)
            }
            Subscribed::Full(full) => refused(SubackReasonCode::QuotaExceeded, full.to_string()),
        }
    }

    fn on_open_unsubscribe(&mut self, packet_id: u16, filters: &[String]) -> Result<(), Closed> {
        let Some(open) = &self.open else { return Ok(()) };
        let held = open.member.unsubscribe(filters);
        self.send(&Outbound::Unsuback(packet_id, &held))
    }

    fn on_open_release(&mut self, packet_id: u16, known: bool) -> Result<(), Closed> {
        if let Some(open) = &self.open {
            open.member.released(packet_id);
        }
        self.send(&Outbound::Pubcomp(packet_id, known))
    }

    fn on_open_has(&mut self, has: Has) {
        let Has { packet_id, step, failed } = has;
        let Some(open) = &self.open else { return };
        match step {
            HasStep::Acknowledged => open.member.acknowledged(packet_id),
            HasStep::Completed => open.member.completed(packet_id),
            HasStep::Received => {
                if let Some(known) = open.member.received(packet_id, failed) {
                    self.send_release(packet_id, known);
                }
            }
        }
    }

    /// Its DISCONNECT says for how long the session is kept (MQTT 5.0, section 3.14.2.2.2).
    fn on_open_disconnect(&mut self, expiry_s: Option<u32>) -> Result<(), Closed> {
        self.check_expiry(expiry_s)?;
        if let Some(open) = &mut self.open {
            open.expiry_s = expiry_s;
        }
        Ok(())
    }
}

fn success() -> Verdict {
    Verdict::accepted("")
}

fn full(message: impl Into<String>) -> Verdict {
    Verdict::refused(Reason::QuotaExceeded, Refusal::new("quota_exceeded", message))
}

/// Numbers that stand for topics towards one client.
#[derive(Debug)]
struct Aliases {
    numbers: BTreeMap<String, u16>,
    most: u16,
}

impl Aliases {
    /// For a client that takes `most`.
    fn new(most: u16) -> Self {
        Aliases { numbers: BTreeMap::new(), most: most.min(OPEN_ALIASES_MAX) }
    }

    fn of(&self, topic: &str) -> AliasUse {
        match self.numbers.get(topic) {
            Some(number) => AliasUse::Known(*number),
            None if self.numbers.len() < usize::from(self.most) => {
                AliasUse::New(self.numbers.len() as u16 + 1)
            }
            None => AliasUse::None,
        }
    }

    /// The client has heard of it.
    fn introduced(&mut self, topic: &str, alias: AliasUse) {
        if let AliasUse::New(number) = alias {
            self.numbers.insert(topic.to_owned(), number);
        }
    }
}

/// Bytes of a filter, group included. Arbitrary.
const OPEN_FILTER_BYTES_MAX: usize = 4096;
/// How long a newcomer waits for the one whose name it has: longer than any task waits for its turn.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Topics that one connection is sent by number. Arbitrary.
const OPEN_ALIASES_MAX: u16 = 16;
