//! The broker's decisions: who has a session, what is kept, who is sent what. Without clock, lock or socket;
//! time is an argument, in milliseconds from the broker's beginning.

use super::message::Message;
use super::retained::Retained;
use super::routes::{Options, Routes, Wanted};
use super::session::{Delivery, Next, Pushed, Session, Will};
use super::{Full, Ledger, OpenLimits};
use crate::edge::acl::Acl;
use crate::edge::packet::{Publish, Replay, Wish};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A client that comes.
#[derive(Debug)]
pub(in crate::edge) struct Comer {
    pub(in crate::edge) client_id: String,
    /// Whether it starts afresh.
    pub(in crate::edge) clean: bool,
    /// For how long its session is kept after its connection; `u32::MAX` for ever.
    pub(in crate::edge) expiry_s: u32,
    /// Messages of QoS 1 and 2 that it takes at once.
    pub(in crate::edge) receive_maximum: u16,
    pub(in crate::edge) will: Option<Box<Publish>>,
    pub(in crate::edge) will_delay_s: u32,
}

/// A connection's place: one that was taken over finds nothing there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) struct Seat {
    pub(in crate::edge) session: u64,
    connection: u64,
}

/// What became of one wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Subscribed {
    /// With that quality of service.
    Granted(u8),
    /// It is no filter.
    Malformed,
    /// There is no room for it.
    Full(Full),
    /// Another connection has the seat.
    Unseated,
}

#[derive(Debug)]
pub(super) struct Core {
    limits: OpenLimits,
    /// Who may hear of what.
    acl: Arc<Acl>,
    sessions: BTreeMap<u64, Session>,
    names: BTreeMap<Arc<str>, u64>,
    routes: Routes,
    retained: Retained,
    ledger: Ledger,
    /// When something happens by itself, and to which session.
    due: BTreeSet<(u64, u64)>,
    /// When what had expired was looked for last.
    swept_at: Option<u64>,
    /// Sessions and connections are numbered, from 1.
    last: u64,
    touched: BTreeSet<u64>,
    ended: Vec<u64>,
    dropped: u64,
}

impl Core {
    pub(super) fn new(limits: OpenLimits, acl: Arc<Acl>) -> Self {
        Core {
            limits,
            acl,
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
            routes: Routes::default(),
            retained: Retained::new(limits.retained_max),
            ledger: Ledger { held: 0, most: limits.bytes_max },
            due: BTreeSet::new(),
            swept_at: None,
            last: 0,
            touched: BTreeSet::new(),
            ended: Vec::new(),
            dropped: 0,
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: u64) {
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, key));
            self.on_due(now, key);
        }
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Sessions for which there may be something to send.
    pub(super) fn take_touched(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.touched)
    }

    /// Sessions that are no more.
    pub(super) fn take_ended(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.ended)
    }

    /// How many messages found no room since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The session of that name, if a connection has it.
    pub(super) fn connected(&self, client_id: &str) -> Option<u64> {
        let key = *self.names.get(client_id)?;
        self.sessions.get(&key)?.connection.map(|_| key)
    }

    /// Lets a client in, in the place of whoever has its id; tells whether its session was there.
    pub(super) fn connect(&mut self, now: u64, comer: Comer) -> Result<(Seat, bool), Full> {
        let will = comer.will.map(|will| {
            let delay_ms = u64::from(comer.will_delay_s) * 1000;
            Will { message: Message::new(*will, now), delay_ms, said_at: now }
        });
        let will_cost = will.as_ref().map_or(0, |will| will.message.cost());
        self.make_room(now, will_cost + session_cost(&comer.client_id));
        // Before anybody makes way: who is refused changes nothing.
        self.ledger.take(will_cost)?;
        let held = self.names.get(&*comer.client_id).copied();
        let present = held.is_some_and(|key| self.make_way(now, key, comer.clean));
        let key = match held.filter(|_| present) {
            Some(key) => key,
            None => self.open(&comer.client_id).inspect_err(|_| self.ledger.give(will_cost))?,
        };
        let connection = self.number();
        let session = self.sessions.get_mut(&key).expect("it was found or opened");
        session.expiry_s = comer.expiry_s;
        session.will = will;
        session.attach(connection, comer.receive_maximum);
        Ok((Seat { session: key, connection }, present))
    }

    /// A connection ends.
    pub(super) fn disconnect(
        &mut self,
        now: u64,
        seat: Seat,
        with_will: bool,
        expiry_s: Option<u32>,
    ) {
        let Some(session) = seated(&mut self.sessions, seat) else { return };
        session.expiry_s = expiry_s.unwrap_or(session.expiry_s);
        session.detach(&mut self.ledger);
        let kept_s = session.expiry_s;
        let delay_ms = session.will.as_ref().map_or(0, |will| will.delay_ms);
        let kept_ms = u64::from(kept_s) * 1000;
        let speaks_at = now + delay_ms.min(kept_ms);
        if !with_will {
            self.drop_will(seat.session);
        } else if speaks_at > now {
            session.will_at = session.will.as_ref().map(|_| speaks_at);
            self.due.extend(session.will_at.map(|at| (at, seat.session)));
        } else {
            self.speak(now, seat.session);
        }
        if kept_s == 0 {
            self.end(seat.session);
        } else if kept_s < u32::MAX
            && let Some(session) = self.sessions.get_mut(&seat.session)
        {
            session.ends_at = Some(now + kept_ms);
            self.due.insert((now + kept_ms, seat.session));
        }
    }

    /// Takes a client's message, and remembers one of QoS 2 by its packet id; `None` if its seat is another's.
    pub(super) fn publish_by(
        &mut self,
        now: u64,
        seat: Seat,
        twice: Option<u16>,
        message: Message,
    ) -> Option<Result<(), Full>> {
        seated(&mut self.sessions, seat)?;
        let taken = self.publish(now, Message { from: seat.session, ..message });
        let session = seated(&mut self.sessions, seat)?;
        session.unreleased.extend(twice.filter(|_| taken.is_ok()));
        Some(taken)
    }

    /// Takes a message: keeps it if it is to be retained, and has it wait for everybody who wants it.
    pub(super) fn publish(&mut self, now: u64, mut message: Message) -> Result<(), Full> {
        if message.retain {
            let author = self.sessions.get(&message.from);
            message.author = author.map(|session| Arc::clone(&session.client_id));
        }
        let message = Arc::new(message);
        self.make_room(now, message.cost());
        if message.retain {
            self.retained.put(now, &message, &mut self.ledger)?;
        }
        let (sessions, acl, most) = (&self.sessions, &*self.acl, self.limits.queue_max);
        let may_hear = |key| sessions.get(&key).is_some_and(|it| it.may_hear(acl, &message.topic));
        let is_ready = |key| sessions.get(&key).is_some_and(|session| session.is_ready(most));
        for wanted in self.routes.matches(&message.topic, message.from, may_hear, is_ready) {
            let delivery = Delivery {
                message: Arc::clone(&message),
                qos: wanted.qos.min(message.qos),
                retain: message.retain && wanted.retain_as_published,
                ids: wanted.ids,
                packet_id: None,
                again: false,
                replayed: false,
            };
            self.deliver(now, wanted.session, delivery);
        }
        Ok(())
    }

    /// Subscribes a session to a filter and has what is retained behind it wait.
    pub(super) fn subscribe(&mut self, now: u64, seat: Seat, wish: &Wish) -> Subscribed {
        let Ok(wanted) = Wanted::parse(&wish.filter) else { return Subscribed::Malformed };
        self.make_room(now, filter_cost(&wish.filter));
        let Some(session) = seated(&mut self.sessions, seat) else { return Subscribed::Unseated };
        if !session.filters.contains(&wish.filter) {
            if session.filters.len() >= self.limits.session_filters_max {
                return Subscribed::Full(Full("this session has as many filters as it may"));
            }
            if let Err(full) = self.ledger.take(filter_cost(&wish.filter)) {
                return Subscribed::Full(full);
            }
            session.filters.insert(wish.filter.clone());
        }
        let Wish { qos, no_local, retain_as_published, id, .. } = *wish;
        let options = Options { qos, no_local, retain_as_published, id };
        let before = self.routes.add(seat.session, wanted, options);
        let replay = match wish.replay {
            Replay::Always => true,
            Replay::IfNew => !before,
            Replay::Never => false,
        };
        // Groups are sent nothing that was there before (MQTT 5.0, section 4.8.2).
        if replay && wanted.group.is_none() {
            let mut heard = self.retained.matching(now, wanted.filter);
            let own = Some(&session.client_id).filter(|_| no_local);
            heard.retain(|message| {
                let is_own = own.is_some() && message.author.as_ref() == own;
                !is_own && session.may_hear(&self.acl, &message.topic)
            });
            for message in heard {
                let qos = qos.min(message.qos);
                let (ids, packet_id) = (id.into_iter().collect(), None);
                let delivery = Delivery {
                    message,
                    qos,
                    retain: true,
                    ids,
                    packet_id,
                    again: false,
                    replayed: true,
                };
                self.deliver(now, seat.session, delivery);
            }
        }
        Subscribed::Granted(qos)
    }

    /// Gives a filter up; tells whether it was held.
    pub(super) fn unsubscribe(&mut self, seat: Seat, filter: &str) -> bool {
        let Some(session) = seated(&mut self.sessions, seat) else { return false };
        let held = session.filters.remove(filter);
        if held {
            self.unroute(seat.session, filter);
        }
        held
    }

    /// What is to be sent next.
    pub(super) fn next(&mut self, now: u64, seat: Seat) -> Option<Next> {
        seated(&mut self.sessions, seat)?.next(now, &mut self.ledger)
    }

    /// A PUBACK.
    pub(super) fn acknowledged(&mut self, seat: Seat, packet_id: u16) {
        if let Some(session) = seated(&mut self.sessions, seat) {
            session.acknowledged(packet_id, &mut self.ledger);
        }
    }

    /// A message is not to be sent after all.
    pub(super) fn withdrawn(&mut self, seat: Seat, packet_id: u16) {
        if let Some(session) = seated(&mut self.sessions, seat) {
            session.withdrawn(packet_id, &mut self.ledger);
        }
    }

    /// A PUBREC; `Some` with whether the id is known if a PUBREL is to follow.
    pub(super) fn received(&mut self, seat: Seat, packet_id: u16, failed: bool) -> Option<bool> {
        seated(&mut self.sessions, seat)?.received(packet_id, failed, &mut self.ledger)
    }

    /// A PUBCOMP.
    pub(super) fn completed(&mut self, seat: Seat, packet_id: u16) {
        if let Some(session) = seated(&mut self.sessions, seat) {
            session.completed(packet_id, &mut self.ledger);
        }
    }

    /// Ids of QoS 2 publishes that were taken and not released.
    pub(super) fn unreleased(&mut self, seat: Seat) -> Vec<u16> {
        let session = seated(&mut self.sessions, seat);
        session.map_or_else(Vec::new, |session| session.unreleased.iter().copied().collect())
    }

    /// It was released.
    pub(super) fn released(&mut self, seat: Seat, packet_id: u16) {
        if let Some(session) = seated(&mut self.sessions, seat) {
            session.unreleased.remove(&packet_id);
        }
    }

    fn deliver(&mut self, now: u64, key: u64, delivery: Delivery) {
        let OpenLimits { queue_max, retained_max, .. } = self.limits;
        let most = if delivery.replayed { retained_max } else { queue_max };
        let cost = delivery.message.cost();
        let session = self.sessions.get(&key);
        if session.is_some_and(|it| it.waiting(delivery.replayed) >= most) {
            self.sweep(now);
        }
        self.make_room(now, cost);
        let Some(session) = self.sessions.get_mut(&key) else { return };
        match session.push(delivery, most, &mut self.ledger) {
            Pushed::Waits => {
                self.touched.insert(key);
            }
            Pushed::Unwanted => {}
            Pushed::Dropped => self.dropped += 1,
        }
    }

    /// The newcomer's client id is in use: tells whether it finds that session. The will of who was there
    /// speaks if the session ends, or if it was not to wait (MQTT 5.0, section 3.1.4).
    fn make_way(&mut self, now: u64, key: u64, clean: bool) -> bool {
        let session = self.sessions.get_mut(&key).expect("a name has a session");
        let ends = clean || session.connection.is_some() && session.expiry_s == 0;
        if session.connection.is_some() {
            session.detach(&mut self.ledger);
        }
        for at in [session.will_at.take(), session.ends_at.take()].into_iter().flatten() {
            self.due.remove(&(at, key));
        }
        if ends || session.will.as_ref().is_some_and(|will| will.delay_ms == 0) {
            self.speak(now, key);
        } else {
            self.drop_will(key);
        }
        if ends {
            self.end(key);
        }
        !ends
    }

    fn open(&mut self, client_id: &str) -> Result<u64, Full> {
        if self.sessions.len() >= self.limits.sessions_max {
            return Err(Full("it has as many sessions as it takes"));
        }
        self.ledger.take(session_cost(client_id))?;
        let key = self.number();
        let client_id: Arc<str> = client_id.into();
        self.names.insert(Arc::clone(&client_id), key);
        self.sessions.insert(key, Session::new(client_id));
        Ok(key)
    }

    /// A session is no more. Its will has spoken, or does not.
    fn end(&mut self, key: u64) {
        self.drop_will(key);
        let Some(mut session) = self.sessions.remove(&key) else { return };
        session.clear(&mut self.ledger);
        self.ledger.give(session_cost(&session.client_id));
        for at in [session.will_at, session.ends_at].into_iter().flatten() {
            self.due.remove(&(at, key));
        }
        for filter in std::mem::take(&mut session.filters) {
            self.unroute(key, &filter);
        }
        self.names.remove(&session.client_id);
        self.ended.push(key);
    }

    fn unroute(&mut self, key: u64, filter: &str) {
        self.ledger.give(filter_cost(filter));
        let wanted = Wanted::parse(filter).expect("only what is a filter is held");
        self.routes.remove(key, wanted);
    }

    fn on_due(&mut self, now: u64, key: u64) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let ends = session.ends_at.is_some_and(|at| at <= now);
        if ends || session.will_at.is_some_and(|at| at <= now) {
            session.will_at = None;
            self.speak(now, key);
        }
        if ends {
            self.end(key);
        }
    }

    /// Publishes a will.
    fn speak(&mut self, now: u64, key: u64) {
        let Some(will) = self.take_will(key) else { return };
        let mut message = will.message;
        // Its time runs from now, and it is nobody's own.
        message.expires_at = message.expires_at.map(|at| now + at.saturating_sub(will.said_at));
        message.from = 0;
        if self.publish(now, message).is_err() {
            self.dropped += 1;
        }
    }

    fn drop_will(&mut self, key: u64) {
        self.take_will(key);
    }

    fn take_will(&mut self, key: u64) -> Option<Will> {
        let will = self.sessions.get_mut(&key)?.will.take()?;
        self.ledger.give(will.message.cost());
        Some(will)
    }

    /// Lets go of what has expired, if there is no room for so many bytes.
    fn make_room(&mut self, now: u64, bytes: usize) {
        if self.ledger.lacks(bytes) {
            self.sweep(now);
        }
    }

    /// Lets go of what has expired. A walk over everything, and so not more often than clients notice.
    fn sweep(&mut self, now: u64) {
        if self.swept_at.is_none_or(|at| now >= at + SWEEP_GAP_MS) {
            self.swept_at = Some(now);
            self.retained.forget_expired(now, &mut self.ledger);
            for session in self.sessions.values_mut() {
                session.forget_expired(now, &mut self.ledger);
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

#[cfg(test)]
impl Core {
    /// Every byte that is held is in the ledger, every filter of a session leads to it, and nothing is due
    /// to whom nothing happens.
    pub(super) fn check_invariants(&self) {
        let filters = self.sessions.values().flat_map(|session| &session.filters);
        let filters: usize = filters.map(|filter| filter_cost(filter)).sum();
        let sessions: usize = self.sessions.values().map(Session::cost).sum();
        let names: usize = self.names.keys().map(|name| session_cost(name)).sum();
        assert_eq!(self.ledger.held, filters + sessions + names + self.retained.cost());
        assert_eq!(self.names.len(), self.sessions.len());
        let held: usize = self.sessions.values().map(|session| session.filters.len()).sum();
        assert_eq!(self.routes.len(), held);
        for (at, key) in &self.due {
            let session = &self.sessions[key];
            assert!([session.will_at, session.ends_at].contains(&Some(*at)));
        }
        for (key, session) in &self.sessions {
            let waits = |at: u64| self.due.contains(&(at, *key));
            assert!(session.will_at.is_none_or(waits) && session.ends_at.is_none_or(waits));
            let is_kept = session.connection.is_some() || session.expiry_s == u32::MAX;
            assert!(is_kept || session.ends_at.is_some(), "who is away does not stay for ever");
        }
        assert!(self.sessions.values().all(Session::is_sound));
    }

    /// Whether nothing is kept of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ledger.held == 0 && self.due.is_empty()
    }
}

/// The session of a connection that still has it.
fn seated(sessions: &mut BTreeMap<u64, Session>, seat: Seat) -> Option<&mut Session> {
    let session = sessions.get_mut(&seat.session)?;
    (session.connection == Some(seat.connection)).then_some(session)
}

fn filter_cost(filter: &str) -> usize {
    2 * filter.len() + FILTER_OVERHEAD_BYTES
}

/// Its name stands in two maps.
fn session_cost(client_id: &str) -> usize {
    2 * client_id.len() + SESSION_OVERHEAD_BYTES
}

/// What a session costs beside its name and what it holds. A guess on the safe side.
const SESSION_OVERHEAD_BYTES: usize = 512;
/// Between two walks in search of what has expired.
const SWEEP_GAP_MS: u64 = 1_000;
/// What a filter costs beside its text. A guess on the safe side.
const FILTER_OVERHEAD_BYTES: usize = 256;
