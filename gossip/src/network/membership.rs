//! Who is a member: chitchat's view, made into a list that the owner can watch.
//!
//! chitchat carries liveness and a few small keys per node, never state. Its loop is supervised
//! here: should it end, it is started again under the next generation; should another process be
//! seen with this node's id and a higher generation (this node's own former life, whose generation
//! was lost), it is started again above that one. The list is derived from chitchat's whole view
//! every time, so that no lost notice leaves a ghost.

use super::config::{ConfigError, check_announcement};
use super::gossip::LinkTransport;
use super::{Shared, lock};
use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState,
    spawn_chitchat,
};
use crdt_state::{NodeId, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// First wait before chitchat is started again, and how far it doubles.
const RESTART_WAIT_MIN: Duration = Duration::from_secs(1);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// The value of the key `state` of a node that will not come back under its origin.
const STATE_LEFT: &str = "left";

/// Announcements per node at most, so that a greeting and a gossip message stay small.
const ANNOUNCEMENTS_MAX: usize = 32;

/// A node as gossip knows it, this one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its newest incarnation that is known.
    pub origin: Origin,
    /// For people.
    pub name: String,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// Orders its incarnations.
    pub generation: u64,
    /// Whether its heartbeats arrive, through whichever node, and it has not left.
    pub live: bool,
    /// Whether it said goodbye or was given up: it is dialled no more.
    pub left: bool,
    /// What it announces.
    pub kvs: BTreeMap<String, String>,
}

/// This node's part in gossip.
pub(super) struct Membership {
    handle: Mutex<Option<Arc<ChitchatHandle>>>,
    announced: Mutex<BTreeMap<String, String>>,
    /// Origins that said goodbye on their link or were given up.
    left: Mutex<BTreeSet<Origin>>,
    changed: Notify,
    generation: AtomicU64,
}

impl Membership {
    pub(super) fn new(generation: u64, kvs: BTreeMap<String, String>) -> Self {
        Membership {
            handle: Mutex::default(),
            announced: Mutex::new(kvs),
            left: Mutex::default(),
            changed: Notify::new(),
            generation: AtomicU64::new(generation),
        }
    }

    /// Has the list derived anew without waiting for the next turn.
    pub(super) fn refresh_soon(&self) {
        self.changed.notify_one();
    }

    /// This incarnation said goodbye, or an operator gave it up.
    pub(super) fn note_left(&self, origin: Origin) {
        lock(&self.left).insert(origin);
        self.refresh_soon();
    }

    /// This incarnation is linked: whoever gave it up was wrong.
    pub(super) fn note_back(&self, origin: Origin) {
        lock(&self.left).remove(&origin);
        self.refresh_soon();
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Sets one of this node's announcements.
    pub(super) fn announce(&self, key: &str, value: &str) -> Result<(), ConfigError> {
        check_announcement(key, value)?;
        let mut announced = lock(&self.announced);
        if announced.len() >= ANNOUNCEMENTS_MAX && !announced.contains_key(key) {
            return Err(ConfigError::Announcement { key: key.into() });
        }
        announced.insert(key.into(), value.into());
        drop(announced);
        self.refresh_soon();
        Ok(())
    }

    pub(super) fn handle(&self) -> Option<Arc<ChitchatHandle>> {
        lock(&self.handle).clone()
    }
}

/// Why chitchat is no longer followed.
enum End {
    /// The node leaves; chitchat goes on until the goodbye is said.
    Closing,
    /// Its loop ended.
    Died(String),
    /// This node's id is known with a higher generation.
    Outbid(u64),
}

/// Keeps chitchat running and the list of members current, until the node leaves.
pub(super) async fn keep_membership(shared: Arc<Shared>) {
    let mut wait = RESTART_WAIT_MIN;
    loop {
        let started = Instant::now();
        let end = match start_chitchat(&shared).await {
            Ok(handle) => follow(&shared, &handle).await,
            Err(error) => End::Died(format!("{error:#}")),
        };
        let generation = match end {
            End::Closing => return,
            End::Died(error) => {
                tracing::error!(error, "gossip ended and is started again");
                shared.membership.generation() + 1
            }
            End::Outbid(observed) => {
                tracing::warn!(observed, "this node is known with a higher generation");
                observed.saturating_add(1)
            }
        };
        shared.membership.retire_handle();
        shared.membership.generation.store(generation, Relaxed);
        shared.counters.gossip_restarts.count();
        if started.elapsed() > RESTART_WAIT_MAX {
            wait = RESTART_WAIT_MIN;
        }
        sleep(wait).await;
        wait = (wait * 2).min(RESTART_WAIT_MAX);
    }
}

async fn start_chitchat(shared: &Arc<Shared>) -> anyhow::Result<Arc<ChitchatHandle>> {
    let config = chitchat_config(shared);
    let keys = shared.own_keys().into_iter().collect();
    let handle = Arc::new(spawn_chitchat(config, keys, &LinkTransport(shared.clone())).await?);
    *lock(&shared.membership.handle) = Some(handle.clone());
    Ok(handle)
}

/// chitchat is given no seeds: the address book decides whom to dial, and every new link is
/// gossiped with at once.
fn chitchat_config(shared: &Shared) -> ChitchatConfig {
    let (config, tuning) = (&shared.config, &shared.config.tuning);
    let generation = shared.membership.generation();
    ChitchatConfig {
        chitchat_id: ChitchatId::new(config.node.to_string(), generation, config.advertise),
        cluster_id: config.key.fingerprint(),
        gossip_interval: tuning.gossip_interval,
        listen_addr: config.advertise,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: tuning.phi_threshold,
            initial_interval: tuning.gossip_interval,
            dead_node_grace_period: tuning.dead_grace,
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: tuning.dead_grace,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

async fn follow(shared: &Arc<Shared>, handle: &ChitchatHandle) -> End {
    let mut live = handle.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
    let ended = handle.termination_watcher();
    tokio::pin!(ended);
    let mut turn = interval(shared.config.tuning.snapshot_interval);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shared.closing() => return End::Closing,
            end = &mut ended => return End::Died(describe_end(end)),
            changed = live.changed() => if changed.is_err() {
                return End::Died("its state was dropped".into());
            },
            () = shared.membership.changed.notified() => {}
            _ = turn.tick() => {}
        }
        if let Some(observed) = shared.refresh_members(handle).await {
            return End::Outbid(observed);
        }
    }
}

fn describe_end(end: anyhow::Result<()>) -> String {
    end.map_or_else(|error| format!("{error:#}"), |()| "it stopped by itself".into())
}

impl Membership {
    fn retire_handle(&self) {
        if let Some(handle) = lock(&self.handle).take() {
            handle.abort();
        }
    }

    /// Applies the goodbyes heard on links, and forgets those that gossip has forgotten.
    fn mark_left(&self, members: &mut [Member]) {
        let mut left = lock(&self.left);
        left.retain(|origin| members.iter().any(|member| member.origin == *origin));
        for member in members {
            member.left |= left.contains(&member.origin);
            member.live &= !member.left;
        }
    }
}

impl Shared {
    /// This node's keys in gossip.
    fn own_keys(&self) -> BTreeMap<String, String> {
        let mut keys = lock(&self.membership.announced).clone();
        keys.insert("name".into(), self.config.name.clone());
        keys.insert("origin".into(), self.config.origin.to_string());
        keys
    }

    /// The list of members before gossip knows anybody: this node alone.
    pub(super) fn describe_self(&self) -> Member {
        Member {
            node: self.config.node,
            origin: self.config.origin,
            name: self.config.name.clone(),
            addr: self.config.advertise,
            generation: self.membership.generation(),
            live: true,
            left: false,
            kvs: lock(&self.membership.announced).clone(),
        }
    }

    /// Tells chitchat what is new here and derives the list of members from what it knows.
    /// Returns the generation under which this node's id is known, if that is above its own.
    async fn refresh_members(&self, handle: &ChitchatHandle) -> Option<u64> {
        let keys = self.own_keys();
        let mut view = handle
            .with_chitchat(|chitchat| {
                for (key, value) in &keys {
                    chitchat.self_node_state().set(key, value);
                }
                View::of(chitchat)
            })
            .await;
        let newest = view.generations.get(&self.config.node).copied();
        if let Some(newest) = newest.filter(|newest| *newest > self.membership.generation()) {
            return Some(newest);
        }
        self.membership.mark_left(&mut view.members);
        self.learn_addresses(&view.members);
        self.gossip_with_unseen(handle, &view.members);
        self.members.send_if_modified(|known| {
            let changed = *known != view.members;
            *known = std::mem::take(&mut view.members);
            changed
        });
        None
    }

    fn learn_addresses(&self, members: &[Member]) {
        for member in members.iter().filter(|member| member.node != self.config.node) {
            if member.left {
                lock(&self.addresses).forget(member.node);
            } else {
                self.remember(member.addr, member.node);
            }
        }
        self.redial.notify_one();
    }

    /// Gossips with linked nodes that gossip does not know to be alive: new ones, and those on
    /// the far side of a partition that has just healed.
    fn gossip_with_unseen(&self, handle: &ChitchatHandle, members: &[Member]) {
        let seen = |node| members.iter().any(|member| member.node == node && member.live);
        for link in lock(&self.links).iter().filter(|link| !seen(link.peer.node)) {
            // An error means that the loop has ended, which its watcher reports.
            let _ = handle.gossip(link.peer.advertise);
        }
    }

    /// Has gossip carry that this node leaves, to whoever it reaches first.
    pub(super) async fn gossip_goodbye(&self, handle: &ChitchatHandle) {
        handle.with_chitchat(|chitchat| chitchat.self_node_state().set("state", STATE_LEFT)).await;
        for link in lock(&self.links).iter() {
            let _ = handle.gossip(link.peer.advertise);
        }
    }
}

/// All that chitchat knows at one moment.
struct View {
    /// The newest incarnation of each node, in the order of node ids.
    members: Vec<Member>,
    /// The highest generation under which each node id is known.
    generations: BTreeMap<NodeId, u64>,
}

impl View {
    fn of(chitchat: &Chitchat) -> Self {
        let live: BTreeSet<&ChitchatId> = chitchat.live_nodes().collect();
        let (mut members, mut generations) = (BTreeMap::new(), BTreeMap::new());
        // Within a node the ids are in the order of generations: the newest comes last and stays.
        for (id, state) in chitchat.node_states() {
            let Ok(node) = id.node_id.parse::<NodeId>() else { continue };
            generations.insert(node, id.generation_id);
            if let Some(member) = describe_member(node, id, state, live.contains(id)) {
                members.insert(node, member);
            }
        }
        View { members: members.into_values().collect(), generations }
    }
}

/// A member, once its keys have arrived.
fn describe_member(node: NodeId, id: &ChitchatId, state: &NodeState, live: bool) -> Option<Member> {
    let kvs = state.key_values().filter(|(key, _)| !super::config::RESERVED_KEYS.contains(key));
    Some(Member {
        node,
        origin: state.get("origin")?.parse().ok()?,
        name: state.get("name")?.to_owned(),
        addr: id.gossip_advertise_addr,
        generation: id.generation_id,
        live,
        left: state.get("state") == Some(STATE_LEFT),
        kvs: kvs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    })
}
