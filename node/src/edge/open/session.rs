//! One client's session: what it is subscribed to, what waits for it, and what is under way to it.
//!
//! Invariant: at most [`WINDOW_MAX`] messages, and never more than the client takes, are under way on one
//! connection; everything else waits in order.

use super::Ledger;
use super::message::Message;
use crate::edge::acl::{Access, Acl, Subject};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// A will, and for how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) message: Message,
    pub(super) delay_ms: u64,
    /// When its client said so.
    pub(super) said_at: u64,
}

/// A message for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Of the filters that brought it.
    pub(super) ids: Vec<u32>,
    pub(super) packet_id: Option<u16>,
    /// Whether it was sent before, on another connection.
    pub(super) again: bool,
    /// Whether it was there before its client asked.
    pub(super) replayed: bool,
}

impl Delivery {
    /// Its topic.
    pub(in crate::edge) fn topic(&self) -> &str {
        &self.message.topic
    }

    /// Its packet id, unless it is of QoS 0.
    pub(in crate::edge) fn packet_id(&self) -> Option<u16> {
        self.packet_id
    }
}

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) enum Next {
    /// A PUBLISH.
    Publish(Delivery),
    /// A PUBREL that is sent again.
    Release(u16),
}

/// What became of a message for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Waits,
    /// The client is away, and does not want it kept.
    Unwanted,
    /// There is no room.
    Dropped,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Arc<str>,
    /// The number of its connection, while there is one.
    pub(super) connection: Option<u64>,
    pub(super) expiry_s: u32,
    pub(super) ends_at: Option<u64>,
    pub(super) will: Option<Will>,
    pub(super) will_at: Option<u64>,
    /// As subscribed to, groups included.
    pub(super) filters: BTreeSet<String>,
    /// QoS 2 publishes of the client that were taken and not released.
    pub(super) unreleased: BTreeSet<u16>,
    queue: VecDeque<Delivery>,
    /// How many of the queue were there before: they have a bound of their own, and take no room from the others.
    replays: usize,
    flights: Vec<Flight>,
    /// What was under way on an earlier connection, in order.
    again: VecDeque<u16>,
    last_id: u16,
    window: usize,
}

/// A message under way.
#[derive(Debug)]
struct Flight {
    packet_id: u16,
    /// `None` once the client has it, until its PUBCOMP.
    delivery: Option<Delivery>,
}

impl Session {
    pub(super) fn new(client_id: Arc<str>) -> Self {
        Session {
            client_id,
            connection: None,
            expiry_s: 0,
            ends_at: None,
            will: None,
            will_at: None,
            filters: BTreeSet::new(),
            unreleased: BTreeSet::new(),
            queue: VecDeque::new(),
            replays: 0,
            flights: Vec::new(),
            again: VecDeque::new(),
            last_id: 0,
            window: 0,
        }
    }

    /// Begins a connection that takes `receive_maximum` messages at once.
    pub(super) fn attach(&mut self, connection: u64, receive_maximum: u16) {
        self.connection = Some(connection);
        self.window = usize::from(receive_maximum).min(WINDOW_MAX);
        self.again = self.flights.iter().map(|flight| flight.packet_id).collect();
    }

    /// Ends it: what the client did not ask to be kept is given up.
    pub(super) fn detach(&mut self, ledger: &mut Ledger) {
        self.connection = None;
        let (kept, given_up) =
            std::mem::take(&mut self.queue).into_iter().partition(|delivery| delivery.qos > 0);
        self.queue = kept;
        let given_up: VecDeque<Delivery> = given_up;
        self.replays -= given_up.iter().filter(|delivery| delivery.replayed).count();
        given_up.iter().for_each(|delivery| ledger.give(delivery.message.cost()));
    }

    /// Whether its client may hear of a topic, whatever the filter that leads to it. Who comes to this broker has
    /// proven nothing.
    pub(super) fn may_hear(&self, acl: &Acl, topic: &str) -> bool {
        let subject = Subject { client_id: &self.client_id, bearer: None };
        acl.check(subject, Access::Subscribe, topic).is_ok()
    }

    /// Whether a message of a group is in good hands here.
    pub(super) fn is_ready(&self, queue_max: usize) -> bool {
        self.connection.is_some() && self.waiting(false) < queue_max
    }

    /// How many wait, of those that were there before or of the others.
    pub(super) fn waiting(&self, replayed: bool) -> usize {
        if replayed { self.replays } else { self.queue.len() - self.replays }
    }

    /// Lets go of what has expired before it was sent.
    pub(super) fn forget_expired(&mut self, now: u64, ledger: &mut Ledger) {
        let Session { queue, replays, .. } = self;
        queue.retain(|delivery| {
            let living = !delivery.message.is_expired(now);
            if !living {
                ledger.give(delivery.message.cost());
                *replays -= usize::from(delivery.replayed);
            }
            living
        });
    }

    /// Adds a message to those that wait, of which `most` of its kind may.
    pub(super) fn push(&mut self, delivery: Delivery, most: usize, ledger: &mut Ledger) -> Pushed {
        if self.connection.is_none() && delivery.qos == 0 {
            return Pushed::Unwanted;
        }
        if self.waiting(delivery.replayed) >= most || ledger.take(delivery.message.cost()).is_err()
        {
            return Pushed::Dropped;
        }
        self.replays += usize::from(delivery.replayed);
        self.queue.push_back(delivery);
        Pushed::Waits
    }

    /// What is to be sent next: first again what an earlier connection left, then what waits.
    pub(super) fn next(&mut self, now: u64, ledger: &mut Ledger) -> Option<Next> {
        if self.under_way() < self.window
            && let Some(packet_id) = self.again.pop_front()
        {
            let flight = self.flights.iter().find(|flight| flight.packet_id == packet_id);
            let delivery = flight.expect("what is to be sent again is under way").delivery.clone();
            return Some(match delivery {
                Some(delivery) => Next::Publish(Delivery { again: true, ..delivery }),
                None => Next::Release(packet_id),
            });
        }
        if !self.again.is_empty() {
            return None;
        }
        while self.queue.front().is_some_and(|delivery| delivery.message.is_expired(now)) {
            let expired = self.pop().expect("it was just seen");
            ledger.give(expired.message.cost());
        }
        if self.queue.front()?.qos == 0 {
            let delivery = self.pop()?;
            ledger.give(delivery.message.cost());
            return Some(Next::Publish(delivery));
        }
        if self.under_way() >= self.window {
            return None;
        }
        let packet_id = Some(self.free_id());
        let delivery = Delivery { packet_id, ..self.pop()? };
        let flight = Flight { packet_id: self.last_id, delivery: Some(delivery.clone()) };
        self.flights.push(flight);
        Some(Next::Publish(delivery))
    }

    fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.queue.pop_front()?;
        self.replays -= usize::from(delivery.replayed);
        Some(delivery)
    }

    /// A PUBACK.
    pub(super) fn acknowledged(&mut self, packet_id: u16, ledger: &mut Ledger) {
        self.end_flight(packet_id, ledger, |delivery| delivery.is_some_and(|it| it.qos == 1));
    }

    /// A message is not to be sent after all: the client takes none as large.
    pub(super) fn withdrawn(&mut self, packet_id: u16, ledger: &mut Ledger) {
        self.end_flight(packet_id, ledger, |delivery| delivery.is_some());
    }

    /// A PUBREC; `Some` with whether the id is known if a PUBREL is to follow.
    pub(super) fn received(
        &mut self,
        packet_id: u16,
        failed: bool,
        ledger: &mut Ledger,
    ) -> Option<bool> {
        if failed {
            self.end_flight(packet_id, ledger, |delivery| delivery.is_some_and(|it| it.qos == 2));
            return None;
        }
        let flight = self.flights.iter_mut().find(|flight| flight.packet_id == packet_id);
        let flight = flight.filter(|flight| !self.again.contains(&flight.packet_id));
        let Some(flight) = flight else { return Some(false) };
        if flight.delivery.as_ref().is_some_and(|delivery| delivery.qos < 2) {
            return Some(false);
        }
        if let Some(delivery) = flight.delivery.take() {
            ledger.give(delivery.message.cost());
        }
        Some(true)
    }

    /// A PUBCOMP.
    pub(super) fn completed(&mut self, packet_id: u16, ledger: &mut Ledger) {
        self.end_flight(packet_id, ledger, |delivery| delivery.is_none());
    }

    /// Gives up everything that waits or is under way.
    pub(super) fn clear(&mut self, ledger: &mut Ledger) {
        let flying = self.flights.drain(..).filter_map(|flight| flight.delivery);
        for delivery in self.queue.drain(..).chain(flying) {
            ledger.give(delivery.message.cost());
        }
        self.again.clear();
        self.replays = 0;
    }

    /// Ends a message that was sent on this connection, if it is as far as `is_there` says.
    fn end_flight(
        &mut self,
        packet_id: u16,
        ledger: &mut Ledger,
        is_there: impl Fn(Option<&Delivery>) -> bool,
    ) {
        let ends =
            |flight: &Flight| flight.packet_id == packet_id && is_there(flight.delivery.as_ref());
        if self.again.contains(&packet_id) {
            return;
        }
        if let Some(index) = self.flights.iter().position(ends)
            && let Some(delivery) = self.flights.remove(index).delivery
        {
            ledger.give(delivery.message.cost());
        }
    }

    /// How many messages are under way on this connection.
    fn under_way(&self) -> usize {
        self.flights.len() - self.again.len()
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.flights.iter().all(|flight| flight.packet_id != self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
impl Session {
    /// Bytes of everything that waits, is under way, or is to be said.
    pub(super) fn cost(&self) -> usize {
        let flying = self.flights.iter().filter_map(|flight| flight.delivery.as_ref());
        let messages = self.queue.iter().chain(flying).map(|delivery| delivery.message.cost());
        messages.sum::<usize>() + self.will.as_ref().map_or(0, |will| will.message.cost())
    }

    pub(super) fn is_sound(&self) -> bool {
        self.flights.len() <= WINDOW_MAX
            && self.replays == self.queue.iter().filter(|delivery| delivery.replayed).count()
            && self.again.len() <= self.flights.len()
            && (self.connection.is_none() || self.will_at.is_none() && self.ends_at.is_none())
    }
}

/// Arbitrary: what usual clients take at once, and a little more.
const WINDOW_MAX: usize = 32;
