//! A small general broker behind the same connection task: the `open` profile of a node.
//!
//! What a show's players never need (wildcards, retained messages of clients, shared subscriptions,
//! sessions with queues) is here, so that any MQTT client and any conformance suite can be run against
//! the node's own connection task, guard and codec. It is local to one node, keeps everything in memory
//! and forgets it with the process: nothing in here is replicated, and no show is played over it.
//!
//! `core` decides everything and knows neither clock nor socket; [`Broker`] is that core behind a lock,
//! with tokio's time and an ear for each connection. One lock for all is right for a broker of this size
//! and would be wrong for an audience.
//!
//! Invariant: all that it keeps (sessions, filters, queues, retained messages, wills) stays within
//! [`OpenLimits`], whatever its clients do.

mod core;
mod message;
mod retained;
mod routes;
mod session;
#[cfg(test)]
mod tests;

pub(super) use self::core::{Comer, Seat, Subscribed};
pub(super) use message::{AliasUse, Message};
pub(super) use routes::filter_of;
pub(super) use session::{Delivery, Next};

use self::core::Core;
use super::Counters;
use super::acl::Acl;
use super::packet::Wish;
use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// What the broker of the open profile keeps at most, over all its clients.
#[derive(Debug, Clone, Copy)]
pub struct OpenLimits {
    /// Sessions, connected or not.
    pub sessions_max: usize,
    /// Filters of one session.
    pub session_filters_max: usize,
    /// Messages that wait for one session, beside those that were retained when it asked.
    pub queue_max: usize,
    /// Topics with a retained message, and of those that wait for one session.
    pub retained_max: usize,
    /// Bytes of everything together: sessions, filters, wills, retained and queued messages.
    pub bytes_max: usize,
}

impl Default for OpenLimits {
    fn default() -> Self {
        OpenLimits {
            // All arbitrary: far above what a test bed needs, far below what would hurt the machine.
            sessions_max: 10_000,
            session_filters_max: 256,
            queue_max: 1_000,
            retained_max: 10_000,
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Nothing more is kept: a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this broker keeps no more; {0}")]
pub struct Full(&'static str);

/// How far what is kept is from its bound.
#[derive(Debug)]
struct Ledger {
    held: usize,
    most: usize,
}

impl Ledger {
    fn take(&mut self, bytes: usize) -> Result<(), Full> {
        if self.lacks(bytes) {
            return Err(Full("its memory is all in use"));
        }
        self.held += bytes;
        Ok(())
    }

    /// Takes in place of what is given back, if there is room then.
    fn exchange(&mut self, given: usize, taken: usize) -> Result<(), Full> {
        self.give(given);
        self.take(taken).inspect_err(|_| self.held += given)
    }

    /// Whether there is no room for so many more.
    fn lacks(&self, bytes: usize) -> bool {
        self.held + bytes > self.most
    }

    fn give(&mut self, bytes: usize) {
        assert!(self.held >= bytes, "only what was taken is given back");
        self.held -= bytes;
    }
}

/// The broker as connections share it.
#[derive(Debug)]
pub struct Broker {
    state: Mutex<State>,
    base: Instant,
    /// Told when something is due earlier than before.
    sooner: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct State {
    core: Core,
    ears: BTreeMap<u64, Arc<Ear>>,
}

/// By what a connection is woken.
#[derive(Debug, Default)]
struct Ear {
    waker: AtomicWaker,
    /// Those who come by the name of its client and wait until it has looked at what had come before.
    comers: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Broker {
    /// An empty broker.
    pub(super) fn new(limits: OpenLimits, acl: Arc<Acl>, counters: Arc<Counters>) -> Self {
        let state = State { core: Core::new(limits, acl), ears: BTreeMap::new() };
        Broker { state: Mutex::new(state), base: Instant::now(), sooner: Notify::new(), counters }
    }

    /// Does what is due by itself: wills after their delay, the end of sessions. Never returns.
    pub(super) async fn keep(&self) {
        loop {
            let due = self.with(|core, _| core.next_due());
            let woken = self.sooner.notified();
            match due {
                Some(at) => {
                    let at = self.base + Duration::from_millis(at.min(FAR_MS));
                    tokio::select! { () = sleep_until(at) => {}, () = woken => {} }
                }
                None => woken.await,
            }
        }
    }

    /// Comes to pass once the connection that has this name now has looked at all that had come by then, or is gone;
    /// nothing if there is none. Whoever says goodbye and comes again at once is a new connection's task,
    /// which may run before the old one's has read the goodbye.
    pub(super) fn looked(&self, client_id: &str) -> Option<oneshot::Receiver<()>> {
        self.with_state(|state, _| {
            let ear = state.ears.get(&state.core.connected(client_id)?)?;
            let (look, looked) = oneshot::channel();
            ear.comers.lock().unwrap_or_else(PoisonError::into_inner).push(look);
            ear.waker.wake();
            Some(looked)
        })
    }

    /// Lets a client in; tells whether its session was there. `begin` is called when nobody else can come
    /// between: of two who come by one name at once everybody names the same one the last.
    pub(super) fn connect<T>(
        self: &Arc<Self>,
        comer: Comer,
        begin: impl FnOnce() -> T,
    ) -> Result<(Member, bool, T), Full> {
        self.with_state(|state, now| {
            let (seat, present) = state.core.connect(now, comer)?;
            let ear = Arc::new(Ear::default());
            state.ears.insert(seat.session, Arc::clone(&ear));
            Ok((Member { broker: Arc::clone(self), seat, ear }, present, begin()))
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Core, u64) -> R) -> R {
        self.with_state(|state, now| act(&mut state.core, now))
    }

    fn with_state<R>(&self, act: impl FnOnce(&mut State, u64) -> R) -> R {
        let mut state = self.lock();
        let now = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = state.core.next_due();
        state.core.advance(now);
        let outcome = act(&mut state, now);
        let State { core, ears } = &mut *state;
        for session in core.take_touched() {
            if let Some(ear) = ears.get(&session) {
                ear.waker.wake();
            }
        }
        for session in core.take_ended() {
            ears.remove(&session);
        }
        self.counters.open_dropped(core.take_dropped());
        let sooner = core.next_due().is_some_and(|at| due.is_none_or(|due| at < due));
        drop(state);
        if sooner {
            self.sooner.notify_one();
        }
        outcome
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the broker. Dropped, its client has gone without a word.
#[derive(Debug)]
pub(super) struct Member {
    broker: Arc<Broker>,
    seat: Seat,
    ear: Arc<Ear>,
}

impl Member {
    /// Ids of QoS 2 publishes of an earlier connection whose PUBREL has not come.
    pub(super) fn unreleased(&self) -> Vec<u16> {
        self.broker.with(|core, _| core.unreleased(self.seat))
    }

    /// Takes a publish, and remembers one of QoS 2 by its packet id until it is released; `None` if another
    /// connection has the seat: that one is sent it again.
    pub(super) fn publish(
        &self,
        twice: Option<u16>,
        message: impl FnOnce(u64) -> Message,
    ) -> Option<Result<(), Full>> {
        self.broker.with(|core, now| core.publish_by(now, self.seat, twice, message(now)))
    }

    /// Forgets it.
    pub(super) fn released(&self, packet_id: u16) {
        self.broker.with(|core, _| core.released(self.seat, packet_id));
    }

    /// Subscribes to a filter.
    pub(super) fn subscribe(&self, wish: &Wish) -> Subscribed {
        self.broker.with(|core, now| core.subscribe(now, self.seat, wish))
    }

    /// Gives filters up; tells of each whether it was held.
    pub(super) fn unsubscribe(&self, filters: &[String]) -> Vec<bool> {
        self.broker
            .with(|core, _| filters.iter().map(|it| core.unsubscribe(self.seat, it)).collect())
    }

    /// What is to be sent next; whoever gets nothing is woken when there is something.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Option<(Next, u64)> {
        self.ear.waker.register(cx.waker());
        self.broker.with(|core, now| core.next(now, self.seat).map(|next| (next, now)))
    }

    /// Those who wait until this connection has looked at what has come; dropped, they wait no longer.
    pub(super) fn comers(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut *self.ear.comers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A PUBACK came.
    pub(super) fn acknowledged(&self, packet_id: u16) {
        self.broker.with(|core, _| core.acknowledged(self.seat, packet_id));
    }

    /// A message is not to be sent after all.
    pub(super) fn withdrawn(&self, packet_id: u16) {
        self.broker.with(|core, _| core.withdrawn(self.seat, packet_id));
    }

    /// A PUBREC came; `Some` with whether its id is known if a PUBREL is to follow.
    pub(super) fn received(&self, packet_id: u16, failed: bool) -> Option<bool> {
        self.broker.with(|core, _| core.received(self.seat, packet_id, failed))
    }

    /// A PUBCOMP came.
    pub(super) fn completed(&self, packet_id: u16) {
        self.broker.with(|core, _| core.completed(self.seat, packet_id));
    }

    /// The connection ends, with its will or without; the session is kept for as long as was said when it
    /// began, or is said now.
    pub(super) fn leave(self, with_will: bool, expiry_s: Option<u32>) {
        self.broker.with(|core, now| core.disconnect(now, self.seat, with_will, expiry_s));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // After `leave` this finds the seat empty.
        self.broker.with(|core, now| core.disconnect(now, self.seat, true, None));
        drop(self.comers());
    }
}

/// Beyond it nothing is waited for at once: tokio's timers end after some years.
const FAR_MS: u64 = 1_000 * 60 * 60 * 24 * 365;
