//! The sessions that dead nodes leave behind at the broker.
//!
//! What a node had not acknowledged, and what came for its slots before others took them over, waits
//! in its session. One of those who live connects under the dead node's name, takes what is there,
//! ends the subscriptions once all slots are held by the living, and ends the session. Until then a
//! broker with shared subscriptions would go on dealing that session its share.
//!
//! A node that was thought dead and is not takes its session back by connecting, as it does anyway,
//! and subscribes anew: nothing is lost by the mistake, which is not repeated often.

use super::bridge::{SESSION_EXPIRY_S, SLOTS_KEY, introduction};
use super::desk::Desk;
use super::dial::Dialler;
use super::session::{Context, Ended, Session};
use super::settings::BrokerConfig;
use super::slots::Slots;
use super::state::BrokerState;
use super::wire::{Protocol, Wire};
use crdt_state::NodeId;
use gossip::network::Network;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// How often one session is tried; one that is taken back is not fought for.
const TRIES: u32 = 4;
/// A session is empty when nothing has come for this long after its subscriptions ended. Arbitrary:
/// brokers send what waits at once.
const QUIET: Duration = Duration::from_secs(1);
/// How long one try may take. Arbitrary: the living share out the slots in a few seconds.
const TRY_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the members.
const LOOK: Duration = Duration::from_millis(250);

/// A dead node's session, in the hands of one who lives.
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

impl Estate {
    /// Empties and ends the session, unless its node is back.
    pub async fn settle(self) {
        for attempt in 0..TRIES {
            sleep(LOOK * (1 << (2 * attempt)) / 4).await;
            if self.is_back() {
                return;
            }
            match self.empty(attempt as usize).await {
                Ok(()) => {
                    self.state.counts.adopted.fetch_add(1, Relaxed);
                    info!(node = %self.of, session = self.client_id, "a dead node's session is over");
                    return;
                }
                Err(Ended::Goodbye(reason)) if reason.contains("SessionTakenOver") => return,
                Err(ended) => {
                    warn!(node = %self.of, %ended, "a dead node's session is not yet over");
                }
            }
        }
    }

    async fn empty(&self, attempt: usize) -> Result<(), Ended> {
        let mut session = self.open(attempt, SESSION_EXPIRY_S).await?;
        if session.welcome().session_present {
            self.drain(&mut session).await?;
        }
        let keeps_session = self.is_back();
        session.close(keeps_session).await;
        if self.protocol == Protocol::V3 && !keeps_session {
            // There only a clean connection ends it.
            self.open(attempt, 0).await?.close(false).await;
        }
        Ok(())
    }

    /// Takes what waits in the session, until nothing does.
    async fn drain(&self, session: &mut Session) -> Result<(), Ended> {
        let context = Context { desk: &self.desk, state: &self.state };
        let started = Instant::now();
        let (mut is_ended, mut moved_at) = (false, started);
        while !self.is_back() && started.elapsed() < TRY_MAX {
            if !is_ended && self.covered() == Slots::ALL {
                session.unsubscribe(Slots::ALL)?;
                (is_ended, moved_at) = (true, Instant::now());
            }
            if is_ended && session.is_settled() && moved_at.elapsed() > QUIET {
                return Ok(());
            }
            tokio::select! {
                happened = session.next(&context) => {
                    happened?;
                    if !session.is_settled() {
                        moved_at = Instant::now();
                    }
                }
                () = sleep(LOOK) => {}
            }
        }
        Ok(())
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
