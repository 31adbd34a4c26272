//! The hub: where a node's edges meet its engine.
//!
//! It implements what players and hosts ask of a node by finding the owner of the event that is meant. It
//! checks tokens, turns payloads into requests and refusals into verdicts, and holds no state of any
//! event.

mod attendance;
mod bearers;
mod catalogue;
mod health;
mod hosts;
mod images;
mod ops;
pub(crate) mod payload;
mod players;
mod presence;
mod reactions;
mod results;
mod switchboard;

pub use attendance::Attendance;
pub use catalogue::{ListingTask, Listings};
pub use presence::Presence;
pub use switchboard::{LettingGo, Switchboard, replay};

use crate::api::metrics::{Sample, Source};
use crate::broker::BrokerState;
use crate::edge::{Elsewhere, Meters, Rate};
use crate::engine::{Outlet, Owner, Slots};
use crate::env::{Blocking, Env};
use crate::identity::Identities;
use crate::run::MemberEvents;
use crate::service::Refusals;
use crate::service::view::{NodeLinks, Refusal};
use crate::store::Trouble;
use crate::supervise::Supervisor;
use crate::token::TokenKeys;
use arc_swap::ArcSwap;
use bytes::Bytes;
use crdt_state::{EventId, NodeId, Origin, PlayerId};
use gossip::network::{Member, Network, Standing};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// What a node says of itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its id.
    pub node: NodeId,
    /// This incarnation.
    pub origin: Origin,
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub links: NodeLinks,
    /// Fingerprint of the cluster's key.
    pub cluster: String,
    /// Whom it was told to join.
    pub join: Vec<String>,
    /// When it started.
    pub started: Instant,
}

/// The owners of all events that this node carries. Every answer looks one up, so that whoever does takes no
/// lock: a change is a new map.
#[derive(Clone, Default)]
pub struct Owners(Arc<ArcSwap<BTreeMap<EventId, Owner>>>);

impl Owners {
    /// The owner of an event.
    #[must_use]
    pub fn get(&self, event: EventId) -> Option<Owner> {
        self.0.load().get(&event).cloned()
    }

    /// Does something with the owner of an event, as long as the node carries it.
    fn with<T>(&self, event: EventId, work: impl FnOnce(&Owner) -> T) -> Option<T> {
        self.0.load().get(&event).map(work)
    }

    /// All of them, in the order of their events.
    #[must_use]
    pub fn all(&self) -> Vec<Owner> {
        self.0.load().values().cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load().len()
    }

    /// The events whose owners are gone.
    fn gone(&self) -> Vec<EventId> {
        let all = self.0.load();
        all.iter().filter(|(_, owner)| owner.is_gone()).map(|(event, _)| *event).collect()
    }

    fn remove(&self, event: EventId) -> Option<Owner> {
        self.change(|owners| owners.remove(&event))
    }

    fn insert(&self, event: EventId, owner: &Owner) {
        self.change(|owners| owners.insert(event, owner.clone()));
    }

    /// Changes the map; again, should another change have been faster.
    fn change<T>(&self, mut change: impl FnMut(&mut BTreeMap<EventId, Owner>) -> T) -> T {
        let mut changed = None;
        self.0.rcu(|owners| {
            let mut owners = BTreeMap::clone(owners);
            changed = Some(change(&mut owners));
            owners
        });
        changed.expect("a change is made at least once")
    }
}

/// How long whoever comes for an event that this node has just begun to carry waits for it: 3 s, what a joiner may
/// take for a show of a million players.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(3);

/// The record of a raffle: of which event and run, at which revision, as JSON.
type MadeRecord = ((EventId, u32, u64), Bytes);

/// What the switchboard is asked.
pub enum Wish {
    /// That this node carry an event.
    Carry(Carry),
    /// That it begin to carry nothing any more; said when it is so.
    Leave(oneshot::Sender<()>),
}

/// A wish that this node carry an event.
pub struct Carry {
    event: EventId,
    pin: String,
    carried: oneshot::Sender<Result<Owner, Refusal>>,
}

/// The hub. Its edges share it.
pub struct Hub {
    facts: Facts,
    tokens: TokenKeys,
    /// Whom the operator's platform vouches for, if there is one.
    identities: Option<Arc<Identities>>,
    owners: Owners,
    listings: Listings,
    inboxes: Arc<crate::engine::Inboxes>,
    attendance: Arc<Attendance>,
    carry: mpsc::Sender<Wish>,
    network: Network,
    random: Mutex<ChaCha12Rng>,
    refusals: Refusals,
    sessions: Arc<dyn Fn() -> u64 + Send + Sync>,
    member_events: Arc<MemberEvents>,
    /// What each player may publish, on all connections together.
    publishes: Meters<PlayerId>,
    supervisor: Supervisor,
    store: watch::Receiver<Trouble>,
    /// The broker that this node stands behind, if any.
    broker: OnceLock<Arc<BrokerState>>,
    /// Whether those who are connected are to move to other nodes.
    moving: watch::Sender<bool>,
    /// The last record of a raffle that was asked for.
    raffle: tokio::sync::Mutex<Option<MadeRecord>>,
    /// The pictures of questions.
    images: images::Images,
    /// Where long work is done.
    blocking: Arc<dyn Blocking>,
    /// Held by whoever has files of results made: one at a time.
    making: tokio::sync::Mutex<()>,
}

/// What a hub is made of.
pub struct Parts {
    /// What the node says of itself.
    pub facts: Facts,
    /// Makes and checks tokens.
    pub tokens: TokenKeys,
    /// Whom the operator's platform vouches for, if there is one.
    pub identities: Option<Arc<Identities>>,
    /// The owners, shared with the switchboard.
    pub owners: Owners,
    /// The catalogue.
    pub listings: Listings,
    /// The open inboxes, shared with the owners.
    pub inboxes: Arc<crate::engine::Inboxes>,
    /// Who is there behind a broker, shared with whoever counts.
    pub attendance: Arc<Attendance>,
    /// The switchboard's ear.
    pub carry: mpsc::Sender<Wish>,
    /// The peers.
    pub network: Network,
    /// How many players are connected.
    pub sessions: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What becomes of other members.
    pub member_events: Arc<MemberEvents>,
    /// How often one player may publish.
    pub publishes: Option<Rate>,
    /// Keeps the node's tasks up.
    pub supervisor: Supervisor,
    /// Why the store does not hold what it should, if so.
    pub store: watch::Receiver<Trouble>,
}

impl Hub {
    /// A hub over its parts.
    #[must_use]
    pub fn new(parts: Parts, env: &Env) -> Self {
        let Parts { facts, tokens, owners, listings, inboxes, carry, network, .. } = parts;
        let Parts { sessions, member_events, publishes, supervisor, identities, store, .. } = parts;
        let attendance = parts.attendance;
        let publishes = Meters::new(publishes);
        let random = Mutex::new(env.random("events and pins"));
        let refusals = Refusals::default();
        Hub {
            facts,
            tokens,
            identities,
            owners,
            listings,
            inboxes,
            attendance,
            carry,
            network,
            random,
            refusals,
            sessions,
            member_events,
            publishes,
            supervisor,
            store,
            broker: OnceLock::new(),
            moving: watch::Sender::new(false),
            raffle: tokio::sync::Mutex::default(),
            images: images::Images::new(Arc::clone(&env.blocking)),
            blocking: Arc::clone(&env.blocking),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// Has everything that players are told leave by `outlet` too, and results for the slots that are said to be this
    /// node's.
    pub fn open_outlet(&self, outlet: Arc<dyn Outlet>) -> watch::Sender<Slots> {
        self.inboxes.open_outlet(outlet)
    }

    /// Says that this node stands behind a broker.
    pub fn stands_behind(&self, broker: Arc<BrokerState>) {
        // A node has one broker for its life; a second would have failed at the outlet.
        let _ = self.broker.set(broker);
    }

    /// Does something with an event's owner, if the event is here already.
    fn with_owner_at_hand<T>(&self, event: EventId, work: impl FnOnce(&Owner) -> T) -> Option<T> {
        let wanted = |owner: &Owner| {
            owner.has_arrived().then(|| {
                owner.note_wanted(self.facts.started.elapsed());
                work(owner)
            })
        };
        self.owners.with(event, wanted)?
    }

    /// The owner of an event, or a clear no. A node that does not carry the event begins to, and waits a moment
    /// for what the event is.
    async fn owner(&self, event: EventId) -> Result<Owner, Refusal> {
        let owner = match self.owners.get(event) {
            Some(owner) => owner,
            None => self.carry(event, self.listings.live_pin(event)?).await?,
        };
        owner.note_wanted(self.facts.started.elapsed());
        if owner.arrival(ARRIVAL_PATIENCE).await {
            return Ok(owner);
        }
        Err(Refusal::new("overloaded", format!("the event {event} is still arriving here"))
            .hint("try again in a moment, or use another node"))
    }

    async fn carry(&self, event: EventId, pin: String) -> Result<Owner, Refusal> {
        let (carried, owner) = oneshot::channel();
        let wish = Wish::Carry(Carry { event, pin, carried });
        self.carry.send(wish).await.map_err(|_| stopping())?;
        owner.await.map_err(|_| stopping())?
    }

    /// Has this node begin to carry nothing any more, whoever comes.
    pub async fn begin_nothing(&self) {
        let (leave, leaves) = oneshot::channel();
        if self.carry.send(Wish::Leave(leave)).await.is_ok() {
            // A switchboard that is gone begins nothing either.
            let _ = leaves.await;
        }
    }

    /// Where every node is reached that takes players, this one first. If none does, all.
    fn nodes(&self) -> Vec<NodeLinks> {
        let members = self.network.members();
        let members = members.borrow();
        let others = members.iter().filter(|m| m.live && m.node != self.facts.node);
        let others = others.map(|m| (m.standing, links(m)));
        let own = (self.network.standing(), self.facts.links.clone());
        let all = std::iter::once(own).chain(others.filter(|(_, links)| !links.http.is_empty()));
        let (going, taking): (Vec<_>, Vec<_>) =
            all.partition(|(standing, _)| *standing >= Standing::Draining);
        let chosen = if taking.is_empty() { going } else { taking };
        chosen.into_iter().map(|(_, links)| links).collect()
    }

    /// Where players can go when this node stops: the MQTT addresses of the others, for each way to come.
    pub fn elsewhere(&self) -> Elsewhere {
        // This one is not first in the list, and not even in it, once it takes no players.
        let others = self.nodes().into_iter().filter(|links| *links != self.facts.links);
        let others: Vec<_> = others.collect();
        let all = |of: fn(&NodeLinks) -> &String| {
            others.iter().map(of).filter(|address| !address.is_empty()).cloned().collect()
        };
        Elsewhere {
            tcp: all(|links| &links.mqtt),
            tls: all(|links| &links.mqtts),
            websocket: all(|links| &links.ws),
        }
    }

    /// Whether those who are connected are to move to other nodes, now and whenever an operator says so.
    #[must_use]
    pub fn moving(&self) -> watch::Receiver<bool> {
        self.moving.subscribe()
    }

    fn count_refusal(&self, edge: &'static str, refusal: &Refusal) {
        self.refusals.count(edge, &refusal.code);
    }
}

/// The no to whoever comes for an event whose state is gone.
fn archived(event: EventId) -> Refusal {
    Refusal::new("event_archived", format!("the event {event} was archived"))
}

/// The no of a node whose owner is gone.
fn stopping() -> Refusal {
    Refusal::new("overloaded", "this node is stopping").hint("use another node")
}

/// Where a member says that it is reached.
fn links(member: &Member) -> NodeLinks {
    let kv = |key: &str| member.kvs.get(key).cloned().unwrap_or_default();
    let (http, ws, mqtt, mqtts) = (kv("http"), kv("ws"), kv("mqtt"), kv("mqtts"));
    NodeLinks { name: member.name.clone(), http, ws, mqtt, mqtts }
}

impl Source for Hub {
    fn samples(&self) -> Vec<Sample> {
        let refused = |edge: &'static str, (code, count): (String, u64)| {
            let help = "Requests of players that were refused, by reason.";
            Sample::new("starling_refused_total", help, count as f64)
                .label("edge", edge)
                .label("code", code)
        };
        let edges = self.refusals.sum().into_iter();
        let mut samples: Vec<Sample> = edges
            .flat_map(|(edge, codes)| codes.into_iter().map(move |code| refused(edge, code)))
            .collect();
        let events = self.owners.count() as f64;
        samples.push(Sample::new("starling_events", "Events that this node carries.", events));
        let sessions = (self.sessions)() as f64;
        samples.push(Sample::new("starling_sessions_active", "Players connected here.", sessions));
        let peers = self.network.peers().len() as f64;
        samples.push(Sample::new("starling_peers", "Peers with a direct link.", peers));
        samples.extend(self.images.samples());
        samples
    }
}
