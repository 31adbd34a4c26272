//! Who is a member: chitchat's view, made into a list that the owner can watch.
//!
//! chitchat carries liveness and a few small keys per node, never state. Its loop is supervised
//! here: should it end, it is started again under the next generation; should another process be
//! seen with this node's id and a higher generation (this node's own former life, whose generation
//! was lost), it is started again above that one. The list is derived from chitchat's whole view
//! every time, so that no lost notice leaves a ghost.

use super::changes::{MemberEvent, MemberWatch};
use super::config::{ConfigError, KEYS, check_announcement};
use super::gossip::LinkTransport;
use super::reason::Reason;
use super::slander::Slander;
use super::standing::{Said, Standing};
use super::unlinked::{LinkWatch, Unlinked};
use super::view::View;
use super::{Shared, lock};
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat};
use crdt_state::{NodeId, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// First wait before chitchat is started again, and how far it doubles.
const RESTART_WAIT_MIN: Duration = Duration::from_secs(1);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a next life of gossip may take to meet whoever is linked: 2 s, eight rounds.
const MEETING_MAX: Duration = Duration::from_secs(2);

/// chitchat's own name for the cluster. The same everywhere: clusters are told apart before, by
/// their keys, and a name derived from the key would change with it.
const GOSSIP_CLUSTER: &str = "starling";

/// Announcements per node at most, so that a greeting and a gossip message stay small.
pub(super) const ANNOUNCEMENTS_MAX: usize = 32;

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
    /// What it says of itself.
    pub standing: Standing,
    /// What it announces.
    pub kvs: BTreeMap<String, String>,
}

/// This node's part in gossip.
pub(super) struct Membership {
    handle: Mutex<Option<Arc<ChitchatHandle>>>,
    announced: Mutex<BTreeMap<String, String>>,
    /// What this node says of itself.
    said: Mutex<Said>,
    /// What origins said on their link, goodbyes included, and who was given up.
    heard: Mutex<BTreeMap<Origin, Said>>,
    watch: Mutex<MemberWatch>,
    links: Mutex<LinkWatch>,
    changed: Notify,
    /// What others believe of this life that it never said.
    pub(super) slander: Slander,
    generation: AtomicU64,
    /// Until when a next life of gossip may meet the others, while what was known before stands.
    meeting_until: Mutex<Option<Instant>>,
    /// How many chitchat holds.
    incarnations: AtomicUsize,
}

impl Membership {
    pub(super) fn new(generation: u64, kvs: BTreeMap<String, String>) -> Self {
        Membership {
            handle: Mutex::default(),
            announced: Mutex::new(kvs),
            said: Mutex::new(Said::FIRST),
            heard: Mutex::default(),
            watch: Mutex::default(),
            links: Mutex::default(),
            changed: Notify::new(),
            slander: Slander::default(),
            generation: AtomicU64::new(generation),
            meeting_until: Mutex::default(),
            incarnations: AtomicUsize::new(1),
        }
    }

    /// Has the list derived anew without waiting for the next turn.
    pub(super) fn refresh_soon(&self) {
        self.changed.notify_one();
    }

    /// This incarnation said goodbye, or an operator gave it up.
    pub(super) fn note_left(&self, origin: Origin) {
        self.note_said(origin, Said::GONE);
    }

    /// This incarnation said something on its link.
    pub(super) fn note_said(&self, origin: Origin, said: Said) {
        let mut heard = lock(&self.heard);
        let newest = heard.entry(origin).or_insert(said);
        *newest = said.max(*newest);
        drop(heard);
        self.refresh_soon();
    }

    /// Says something else of this node than before.
    pub(super) fn say(&self, standing: Standing) -> Said {
        let mut said = lock(&self.said);
        *said = said.next(standing);
        let said = *said;
        self.refresh_soon();
        said
    }

    pub(super) fn said(&self) -> Said {
        *lock(&self.said)
    }

    pub(super) fn incarnations(&self) -> usize {
        self.incarnations.load(Relaxed)
    }

    /// This incarnation is linked: whoever gave it up was wrong.
    pub(super) fn note_back(&self, origin: Origin) {
        lock(&self.heard).remove(&origin);
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

    pub(super) fn unlinked(&self, now: Instant) -> Vec<Unlinked> {
        lock(&self.links).overdue(now)
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
    /// This node's id is known with this generation, which is not below its own.
    Outbid(u64),
    /// This life is known by more than it ever said.
    Slandered,
}

/// Keeps chitchat running and the list of members current, until the node leaves.
pub(super) async fn keep_membership(shared: Arc<Shared>) {
    let mut wait = RESTART_WAIT_MIN;
    // One that a panic of this very task left behind must not go on beside the next.
    shared.membership.retire_handle();
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
            End::Slandered => {
                tracing::warn!(
                    "others were told of this node what it never said: gossip begins anew"
                );
                shared.counters.gossip_slandered.count();
                shared.membership.generation().saturating_add(1)
            }
        };
        shared.membership.begin_anew(generation);
        shared.counters.gossip_restarts.count();
        if started.elapsed() > RESTART_WAIT_MAX {
            wait = RESTART_WAIT_MIN;
        }
        sleep(wait).await;
        wait = (wait * 2).min(RESTART_WAIT_MAX);
        *lock(&shared.membership.meeting_until) = Some(Instant::now() + MEETING_MAX);
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
        cluster_id: GOSSIP_CLUSTER.into(),
        gossip_interval: tuning.gossip_interval,
        listen_addr: config.advertise,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: tuning.phi_threshold,
            initial_interval: tuning.gossip_interval,
            sampling_window_size: tuning.heartbeats_judged,
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
        if let Some(end) = shared.refresh_members(handle).await {
            return end;
        }
    }
}

fn describe_end(end: anyhow::Result<()>) -> String {
    end.map_or_else(|error| format!("{error:#}"), |()| "it stopped by itself".into())
}

impl Membership {
    /// Has gossip begin another life.
    fn begin_anew(&self, generation: u64) {
        self.retire_handle();
        self.generation.store(generation, Relaxed);
        self.slander.forget();
    }

    fn retire_handle(&self) {
        if let Some(handle) = lock(&self.handle).take() {
            handle.abort();
        }
    }

    /// Puts what was heard on links beside what gossip brought, and forgets whom both forgot. What a node said on a
    /// link that stands is worth more than what gossip, which others pass on, brings of it.
    fn apply_heard(&self, view: &mut View, linked: impl Fn(Origin) -> bool) {
        let mut heard = lock(&self.heard);
        heard.retain(|origin, _| view.said.contains_key(origin) || linked(*origin));
        for member in &mut view.members {
            let on_link = heard.get(&member.origin);
            let gossiped = view.said.get(&member.origin);
            let gossiped = gossiped.filter(|_| on_link.is_none() || !linked(member.origin));
            let said = gossiped.max(on_link);
            member.standing = said.map_or(Standing::Starting, |said| said.standing);
            member.left = member.standing == Standing::Left;
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
        keys.insert("state".into(), self.membership.said().text());
        keys.insert(KEYS.into(), self.ring.borrow().describe());
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
            standing: self.membership.said().standing,
            kvs: lock(&self.membership.announced).clone(),
        }
    }

    /// Tells chitchat what is new here and derives the list of members from what it knows.
    /// Returns why chitchat must be started anew, if it must.
    async fn refresh_members(self: &Arc<Self>, handle: &ChitchatHandle) -> Option<End> {
        let keys = self.own_keys();
        let mut view = handle
            .with_chitchat(|chitchat| {
                for (key, value) in &keys {
                    chitchat.self_node_state().set(key, value);
                }
                View::of(chitchat, self.config.node, &self.membership.slander)
            })
            .await;
        if let Some(end) = self.check_view(&view) {
            return Some(end);
        }
        self.give_up_silent_links();
        self.count_incarnations(&mut view);
        if self.is_meeting(&view.members) {
            self.gossip_with_unseen(handle, &view.members);
            return None;
        }
        let linked = self.linked_origins(Duration::MAX);
        self.membership.apply_heard(&mut view, |origin| linked.contains(&origin));
        self.learn_addresses(&view.members);
        self.gossip_with_unseen(handle, &view.members);
        self.tell_changes(&view.members);
        self.spread_ring(&view.members);
        self.members.send_if_modified(|known| {
            let changed = *known != view.members;
            *known = std::mem::take(&mut view.members);
            changed
        });
        None
    }

    /// Tells the ring once more to linked peers that announce another one.
    fn spread_ring(self: &Arc<Self>, members: &[Member]) {
        let own = self.ring.borrow().describe();
        let differs = |member: &&Member| member.kvs.get(KEYS).is_some_and(|keys| *keys != own);
        for member in members.iter().filter(differs) {
            let link = lock(&self.links).with_origin(member.origin).cloned();
            if let Some(link) = link {
                self.notify_ring(link);
            }
        }
    }

    fn check_view(&self, view: &View) -> Option<End> {
        let own = self.membership.generation();
        let outbid = view.rival.filter(|rival| *rival >= own).map(End::Outbid);
        outbid.or_else(|| view.slandered.then_some(End::Slandered))
    }

    /// Whether gossip has just begun anew and does not yet know whoever is linked to be alive.
    fn is_meeting(&self, members: &[Member]) -> bool {
        let mut until = lock(&self.membership.meeting_until);
        let lives = |node| members.iter().any(|member| member.node == node && member.live);
        let has_met_all = || lock(&self.links).iter().all(|link| lives(link.peer.node));
        *until = until.filter(|until| Instant::now() < *until && !has_met_all());
        until.is_some()
    }

    /// Raises the alarm when there are nearly as many incarnations as there may be.
    fn count_incarnations(&self, view: &mut View) {
        let (max, now) = (self.config.tuning.incarnations_max, view.known.len());
        let before = self.membership.incarnations.swap(now, Relaxed);
        let alarming = |count: usize| count * 5 >= max * 4;
        if alarming(now) && !alarming(before) {
            tracing::error!(now, max, "nearly as many members as there may be, dead ones included");
        }
        lock(&self.crowd).replace(std::mem::take(&mut view.known));
    }

    /// Ends links over which nothing comes, where QUIC has learnt to wait for longer.
    fn give_up_silent_links(&self) {
        let idle = self.config.tuning.idle_timeout;
        for link in lock(&self.links).iter().filter(|link| link.silence() >= idle) {
            link.close(Reason::Silent);
        }
    }

    /// Whoever is linked and was silent for less than `silence`.
    fn linked_origins(&self, silence: Duration) -> BTreeSet<Origin> {
        let links = lock(&self.links);
        let heard = links.iter().filter(|link| link.silence() < silence);
        heard.map(|link| link.peer.origin).collect()
    }

    /// Tells whoever listens what became of the members since the last look.
    fn tell_changes(&self, members: &[Member]) {
        let linked = self.linked_origins(self.config.tuning.suspect_after);
        let is_linked = |member: &Member| linked.contains(&member.origin);
        let own = self.config.node;
        lock(&self.membership.links).observe(own, members, is_linked, Instant::now());
        let mut watch = lock(&self.membership.watch);
        let events = watch.observe(own, members, |origin| linked.contains(&origin));
        for event in events {
            let MemberEvent { change, node, origin, name, addr } = &event;
            tracing::info!(%change, %node, %origin, name, %addr, "member");
            self.counters.member_events.count();
            // Without a listener it has been logged and counted.
            let _ = self.member_events.send(event);
        }
    }

    fn learn_addresses(&self, members: &[Member]) {
        let alive = members.iter().filter(|member| member.live).map(|member| member.addr).collect();
        lock(&self.addresses).note_alive(&alive);
        for member in members.iter().filter(|member| member.node != self.config.node) {
            if member.left {
                lock(&self.addresses).forget(member.node, Some(member.origin));
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
        let goodbye = self.membership.say(Standing::Left).text();
        handle.with_chitchat(|chitchat| chitchat.self_node_state().set("state", &goodbye)).await;
        for link in lock(&self.links).iter() {
            let _ = handle.gossip(link.peer.advertise);
        }
    }
}
