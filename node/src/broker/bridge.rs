//! The bridge between a node and its broker: connects, takes the node's slots, connects again.
//!
//! Members tell each other which slots the broker has granted them, in the announcement `slots`; an
//! empty one, or none, means that a member has no part in the broker now. From that list alone each
//! works out its own slots ([`super::slots`]). Nothing here is replicated or stored.

use super::desk::Desk;
use super::dial::Dialler;
use super::ended::Ended;
use super::estate::Estate;
use super::gone::{Life, Watch};
use super::live::Shelf;
use super::session::{
    Context, Happened, IN_FLIGHT_MAX, KEEP_ALIVE, Letter, Session, next_outgoing,
};
use super::settings::{BrokerConfig, BrokerUrl};
use super::slots::{Members, owner};
use super::state::BrokerState;
use super::wire::{Introduction, Outgoing, Protocol, Wire};
use crate::engine::Slots;
use crate::supervise::Supervisor;
use crdt_state::NodeId;
use gossip::network::{Network, Spawn, Standing};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng as _;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

/// What a member says of the slots that it holds.
pub const SLOTS_KEY: &str = "slots";
/// What a member says of the name of its session.
pub const SESSION_KEY: &str = "broker_session";
/// For how long the broker keeps what was not acknowledged while this node is away: an hour, longer
/// than a show's break. MQTT 3.1.1 knows no length.
pub const SESSION_EXPIRY_S: u32 = 3_600;
/// Between two attempts to reach the broker, at first and at last; each is drawn from its upper half.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a node that stops waits for others to take its slots over. Arbitrary: some rounds of
/// gossip and of the broker.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);

/// One node's bridge. It outlives a panic of its task.
pub struct Bridge {
    /// Which broker.
    pub config: BrokerConfig,
    /// This node.
    pub node: NodeId,
    /// The session's name.
    pub client_id: String,
    /// What keeps several clusters at one broker apart.
    pub group: String,
    /// How the broker is reached.
    pub dialler: Dialler,
    /// Where messages are taken.
    pub desk: Desk,
    /// The other members.
    pub network: Network,
    /// What is said to players.
    pub letters: mpsc::Receiver<Letter>,
    /// Live states.
    pub shelf: Arc<Shelf>,
    /// Whether this node speaks for the shows.
    pub speaking: watch::Sender<Option<u64>>,
    /// The slots whose players' results this node sends.
    pub slots: watch::Sender<Slots>,
    /// For people and machines that watch.
    pub state: Arc<BrokerState>,
    /// Jitter.
    pub random: ChaCha12Rng,
    /// Which version the broker speaks, as far as is known.
    pub protocol: Protocol,
    /// Connections so far.
    pub connections: u64,
    /// The node stops.
    pub stop: CancellationToken,
    /// Tells that the bridge is over, however it ends.
    pub stopped: DropGuard,
    /// How tasks come to life.
    pub spawn: Arc<dyn Spawn>,
    /// Where their panics end.
    pub supervisor: Supervisor,
    /// Who is gone.
    pub watch: Watch,
    /// The lives that are gone and whose sessions were looked after.
    pub settled: BTreeSet<Life>,
}

impl Bridge {
    /// Runs until the node stops.
    pub async fn run(&mut self) {
        self.announce(SESSION_KEY, &self.client_id);
        let (mut wait, mut attempts) = (BACKOFF.0, 0);
        let stop = self.stop.clone();
        loop {
            let connected = tokio::select! {
                connected = self.connect(attempts) => connected,
                () = stop.cancelled() => break,
            };
            let ended = match connected {
                Ok(session) => {
                    wait = BACKOFF.0;
                    self.serve(session).await
                }
                Err(ended) => Some(ended),
            };
            self.withdraw();
            let Some(ended) = ended else { break };
            self.note(attempts, &ended);
            attempts += 1;
            let pause = wait / 2 + wait.mul_f64(f64::from(self.random.next_u32()) / 2_f64.powi(33));
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    fn url(&self, attempt: usize) -> &BrokerUrl {
        &self.config.urls[attempt % self.config.urls.len()]
    }

    async fn connect(&mut self, attempt: usize) -> Result<Session, Ended> {
        let url = self.url(attempt).clone();
        let introduction = introduction(&self.config, &self.client_id, SESSION_EXPIRY_S);
        let stream = self.dialler.dial(&url).await?;
        let wire = Wire::open(self.protocol, &introduction)?;
        let session = Session::open(stream, wire, self.group.clone()).await?;
        let welcome = session.welcome();
        self.state.connected(url.to_string(), session.protocol(), welcome.has_shared);
        self.connections += 1;
        info!(%url, mqtt = session.protocol().word(), shared = welcome.has_shared, "broker reached");
        Ok(session)
    }

    /// A broker that does not know a version may say so in a way that only the other one has, or close
    /// the connection. One that has accepted a version is taken at its word.
    fn note(&mut self, attempt: usize, ended: &Ended) {
        let url = self.url(attempt).to_string();
        // Of a broker that was reached before, the flags are not to blame for every loss.
        let is_news = self.connections == 0
            || matches!(ended, Ended::Refused { .. } | Ended::TakenOver | Ended::Io(_));
        let hint = ended.hint().filter(|_| is_news).unwrap_or_default();
        warn!(url, %ended, hint, "the broker is not reached; trying again");
        let is_other = match ended {
            Ended::Version(_) => true,
            Ended::Closed | Ended::Wire(_) => self.connections == 0,
            Ended::Io(error) => {
                self.connections == 0 && error.kind() == io::ErrorKind::ConnectionReset
            }
            _ => false,
        };
        if is_other {
            self.protocol = self.protocol.other();
        }
        let why = [ended.to_string(), hint.to_owned()];
        self.state.lost(url, why.join("; ").trim_end_matches("; ").to_owned());
    }

    /// Serves one connection to its end, which is `None` if the node wants it.
    async fn serve(&mut self, mut session: Session) -> Option<Ended> {
        let mut members = self.network.members();
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leave_by: Option<Instant> = None;
        let mut there = Members::new();
        let mut is_new = true;
        self.tell(&session);
        loop {
            if std::mem::take(&mut is_new) {
                there = self.members(&session, leave_by.is_some());
                match session.plan(self.node, &there) {
                    Ok(true) => self.tell(&session),
                    Ok(false) => {}
                    Err(ended) => return self.lose(session, ended),
                }
                self.look_after_the_gone(&session, &there);
            }
            if leave_by.is_some_and(|by| may_leave(&session, &there, by)) {
                // The session stays: the broker may have more for it, which another node takes.
                session.close(true).await;
                return None;
            }
            let has_room = session.has_room();
            let context = Context { desk: &self.desk, state: &self.state };
            tokio::select! {
                happened = session.next(&context) => match happened {
                    Ok(Happened::Slots) => {
                        self.tell(&session);
                        is_new = true;
                    }
                    Ok(Happened::Other) => {}
                    Err(ended) => return self.lose(session, ended),
                },
                Some(message) = next_outgoing(&self.shelf, &mut self.letters), if has_room => {
                    session.publish(message, &self.state);
                }
                Ok(()) = members.changed() => is_new = true,
                _ = tick.tick() => is_new = true,
                () = self.stop.cancelled(), if leave_by.is_none() => {
                    leave_by = Some(Instant::now() + HAND_OVER_MAX);
                    is_new = true;
                }
            }
        }
    }

    /// Those who may take slots, and what each holds. A node on its way out takes none.
    fn members(&self, session: &Session, is_leaving: bool) -> Members {
        let members = self.network.members();
        let members = members.borrow();
        let others = members.iter().filter(|member| {
            member.live && member.standing == Standing::Ready && member.node != self.node
        });
        let mut there: Members = others
            .filter_map(|member| Some((member.node, member.kvs.get(SLOTS_KEY)?.parse().ok()?)))
            .collect();
        if !is_leaving && self.network.standing() == Standing::Ready {
            there.insert(self.node, session.held());
        }
        there
    }

    /// Has the sessions emptied that fall to this node, of those who died or left: each once, until
    /// its node comes back.
    fn look_after_the_gone(&mut self, session: &Session, there: &Members) {
        let members = self.network.members();
        let members = members.borrow();
        let others = members.iter().filter(|member| member.node != self.node);
        let gone = self.watch.gone(others, Instant::now());
        self.settled.retain(|life| gone.contains_key(life));
        for (life, member) in gone {
            let of = life.0;
            let Some(client_id) = member.kvs.get(SESSION_KEY) else { continue };
            if owner(of.0 as u8, there) == Some(self.node) && self.settled.insert(life) {
                self.settle(of, client_id.clone(), session.protocol());
            }
        }
    }

    /// Empties a session beside the bridge. If this node stops before, another one goes on with it.
    fn settle(&self, of: NodeId, client_id: String, protocol: Protocol) {
        let estate = Estate {
            of,
            client_id,
            protocol,
            config: self.config.clone(),
            dialler: self.dialler.clone(),
            group: self.group.clone(),
            desk: self.desk.clone(),
            network: self.network.clone(),
            state: Arc::clone(&self.state),
        };
        let (supervisor, stop) = (self.supervisor.clone(), self.stop.clone());
        let settling = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = supervisor.contain(estate.settle()) => {}
            }
        };
        self.spawn.spawn("estate", Box::pin(settling));
    }

    /// Tells everybody which slots this node holds.
    fn tell(&mut self, session: &Session) {
        let held = session.held();
        // First: once others hear of a slot they let it go.
        self.slots.send_replace(held);
        self.announce(SLOTS_KEY, &held.to_string());
        self.state.holds(&held);
        let speaks = held.has(0).then_some(self.connections);
        self.speaking.send_if_modified(|speaking| {
            let is_new = *speaking != speaks;
            *speaking = speaks;
            is_new
        });
    }

    /// Takes no part in the broker until it is reached again.
    fn withdraw(&mut self) {
        self.announce(SLOTS_KEY, "");
        self.slots.send_replace(Slots::NONE);
        self.speaking.send_replace(None);
    }

    fn announce(&self, key: &str, value: &str) {
        if let Err(error) = self.network.announce(key, value) {
            warn!(%error, "the members are not told about the broker");
        }
    }

    /// What the broker did not acknowledge waits for the next connection as far as it is worth it:
    /// live states do, while a player who misses a receipt asks again.
    fn lose(&mut self, session: Session, ended: Ended) -> Option<Ended> {
        for Outgoing { topic, payload, retain, .. } in session.unsent() {
            if retain {
                self.shelf.put_back(topic, payload);
            }
        }
        Some(ended)
    }
}

/// Whether others have taken over what this node had, or nobody is there to do so.
fn may_leave(session: &Session, there: &Members, by: Instant) -> bool {
    let is_over = session.held().is_empty() || there.is_empty();
    (is_over && session.is_settled()) || Instant::now() >= by
}

/// How a node introduces itself as the session `client_id`.
pub(super) fn introduction(
    config: &BrokerConfig,
    client_id: &str,
    session_expiry_s: u32,
) -> Introduction {
    Introduction {
        client_id: client_id.to_owned(),
        user: config.user.clone(),
        password: config.password.as_ref().map(|password| password.0.clone()),
        keep_alive_s: KEEP_ALIVE.as_secs() as u16 * 2,
        session_expiry_s,
        receive_maximum: IN_FLIGHT_MAX,
    }
}
