//! The sessions that nodes leave behind at the broker when they die or go.
//!
//! What a node had not acknowledged, and what came for its slots before others took them over, waits
//! in its session. One of those who live connects under that node's name, takes what is there, ends
//! the subscriptions and ends the session. Until then a broker with shared subscriptions goes on
//! dealing that session its share.
//!
//! Two rules keep every message:
//! - the session is touched only **once all slots are held by the living**. Some brokers (Mosquitto
//!   before 2.0.12) forget a session's shared subscriptions the moment that somebody resumes it; what
//!   is published to a slot that nobody else holds yet would be thrown away;
//! - the session is ended only **once the broker was asked whether that is all**, after the last
//!   acknowledgement, and has then been quiet. Whatever ends earlier leaves the session as it is, for
//!   the next try or for another node.
//!
//! A node that was thought dead and is not takes its session back by connecting, as it does anyway,
//! and subscribes anew: nothing is lost by the mistake.

use super::bridge::{SESSION_EXPIRY_S, SLOTS_KEY, introduction};
use super::desk::Desk;
use super::dial::Dialler;
use super::ended::Ended;
use super::session::{Context, Session};
use super::settings::BrokerConfig;
use super::state::BrokerState;
use super::wire::{Protocol, Wire};
use crate::engine::Slots;
use crdt_state::NodeId;
use gossip::network::Network;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// Between two tries, at first and at last. Arbitrary: a broker that restarts takes seconds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A session is empty when nothing has come for this long after the broker was asked and has
/// answered. Arbitrary: brokers send what waits at once, though RabbitMQ's queues do so beside what
/// answers.
const QUIET: Duration = Duration::from_secs(1);
/// How long the living may take to hold all slots, and one try may last. Arbitrary: they share the
/// slots out in a few seconds.
const TRY_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the members.
const LOOK: Duration = Duration::from_millis(250);

/// The session of a node that is gone, in the hands of one who lives.
pub struct Estate {
    /// Whose.
    pub of: NodeId,
    /// The session's name.
    pub client_id: String,
    /// The version of MQTT in which the broker is reached now.
    pub protocol: Protocol,
    /// Which broker.
    pub config: BrokerConfig,
    /// How it is reached.
    pub dialler: Dialler,
    /// What keeps several clusters apart.
    pub group: String,
    /// Where messages are taken.
    pub desk: Desk,
    /// The members.
    pub network: Network,
    /// What is counted.
    pub state: Arc<BrokerState>,
}

/// How far one try came.
enum Tried {
    /// The session is no more.
    Over,
    /// There was none.
    Nothing,
    /// It is there still, and may hold something.
    Left,
}

impl Estate {
    /// Empties and ends the session, unless its node is back. Tries until one of both is so.
    pub async fn settle(self) {
        let (mut pause, mut attempt) = (PAUSE.0, 0);
        while !self.is_back() {
            self.wait_covered().await;
            let tried = self.empty(attempt).await;
            self.note(&tried);
            let Some(next) = next_pause(&tried, pause) else { return };
            sleep(next).await;
            pause = (next * 2).min(PAUSE.1);
            attempt += 1;
        }
    }

    fn note(&self, tried: &Result<Tried, Ended>) {
        match tried {
            Ok(Tried::Over) => {
                self.state.counts.adopted.fetch_add(1, Relaxed);
                info!(node = %self.of, session = self.client_id, "the session of a node that is gone is over");
            }
            Ok(Tried::Nothing | Tried::Left) => {}
            Err(ended) => {
                warn!(node = %self.of, %ended, "the session of a node that is gone is not yet over");
            }
        }
    }

    /// Waits until the living hold all slots. Where they do not in time, what waits is worth more
    /// than what may come.
    async fn wait_covered(&self) {
        let started = Instant::now();
        while self.covered() != Slots::ALL && !self.is_back() && started.elapsed() < TRY_MAX {
            sleep(LOOK).await;
        }
    }

    async fn empty(&self, attempt: usize) -> Result<Tried, Ended> {
        if self.is_back() {
            return Ok(Tried::Left);
        }
        let mut session = self.open(attempt, SESSION_EXPIRY_S).await?;
        let was_there = session.welcome().session_present;
        if was_there && !self.drain(&mut session).await? {
            session.close(true).await;
            return Ok(Tried::Left);
        }
        session.close(false).await;
        if self.protocol == Protocol::V3 {
            // There only a clean connection ends it.
            self.open(attempt, 0).await?.close(false).await;
        }
        Ok(if was_there { Tried::Over } else { Tried::Nothing })
    }

    /// Takes what waits in the session; tells whether nothing does any more and nothing will come.
    async fn drain(&self, session: &mut Session) -> Result<bool, Ended> {
        let context = Context { desk: &self.desk, state: &self.state };
        let is_covered = self.covered() == Slots::ALL;
        if is_covered {
            session.unsubscribe(Slots::ALL)?;
        }
        let (started, mut still_since) = (Instant::now(), None);
        let mut asked_after = None;
        while !self.is_back() && started.elapsed() < TRY_MAX {
            if session.is_settled() && asked_after != Some(session.received()) {
                session.ping()?;
                asked_after = Some(session.received());
            }
            if !session.is_settled() || !session.is_answered() {
                still_since = None;
            } else if still_since.get_or_insert_with(Instant::now).elapsed() > QUIET {
                return Ok(is_covered);
            }
            tokio::select! {
                happened = session.next(&context) => {
                    happened?;
                }
                () = sleep(LOOK) => {}
            }
        }
        Ok(false)
    }

    async fn open(&self, attempt: usize, expiry_s: u32) -> Result<Session, Ended> {
        let url = &self.config.urls[attempt % self.config.urls.len()];
        let stream = self.dialler.dial(url).await?;
        let introduction = introduction(&self.config, &self.client_id, expiry_s);
        let wire = Wire::open(self.protocol, &introduction)?;
        Session::open(stream, wire, self.group.clone()).await
    }

    fn is_back(&self) -> bool {
        let members = self.network.members();
        let members = members.borrow();
        members.iter().any(|member| member.node == self.of && member.live)
    }

    /// The slots that somebody who lives holds.
    fn covered(&self) -> Slots {
        let members = self.network.members();
        let members = members.borrow();
        let living = members.iter().filter(|member| member.live);
        let held = living.filter_map(|it| it.kvs.get(SLOTS_KEY)?.parse::<Slots>().ok());
        held.flat_map(|slots| slots.iter()).collect()
    }
}

/// How long after one try the next one is due; `None` after the last one.
fn next_pause(tried: &Result<Tried, Ended>, pause: Duration) -> Option<Duration> {
    match tried {
        Ok(Tried::Over | Tried::Nothing) => None,
        // Its node, or another one that thinks itself the heir: it is not fought for. But that one may die before
        // it is done, and would leave the session to nobody.
        Err(Ended::TakenOver) => Some(PAUSE.1),
        Ok(Tried::Left) | Err(_) => Some(pause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_given_up_only_once_it_is_over() {
        for tried in [Tried::Over, Tried::Nothing] {
            assert_eq!(next_pause(&Ok(tried), PAUSE.0), None);
        }
        assert_eq!(next_pause(&Ok(Tried::Left), PAUSE.0), Some(PAUSE.0));
        assert_eq!(next_pause(&Err(Ended::Closed), PAUSE.0), Some(PAUSE.0));
        let other_heir = next_pause(&Err(Ended::TakenOver), PAUSE.0);
        assert_eq!(other_heir, Some(PAUSE.1), "the other one is left in peace, and looked after");
    }
}
