//! The switchboard: one task that knows which peers are connected and which events are carried, so that
//! every owner hears of every peer once and in order.

use super::{Carry, Facts, Listings, Owners};
use crate::engine::{Carried, EventCore, Identity, Input, Owner, Ports, Rules, open_envelope};
use crate::env::Env;
use crate::store::{Kept, StoreOp};
use crate::supervise::Supervisor;
use bytes::Bytes;
use crdt_state::catalogue::{CATALOGUE, Class};
use crdt_state::{EventId, LaneId, Origin};
use gossip::network::{NetworkEvent, PeerInfo};
use gossip::replication::{self, Config, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// Between two measurements of links: 1 s, as often as membership is derived anew.
const RTT_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub struct Switchboard {
    /// What the node says of itself.
    pub facts: Facts,
    /// What owners need.
    pub ports: Ports,
    /// How events are run.
    pub rules: Rules,
    /// How replication paces itself.
    pub replication: Config,
    /// The node's surroundings.
    pub env: Env,
    /// All owners, shared with the hub.
    pub owners: Owners,
    /// The catalogue.
    pub listings: Listings,
    /// Peers that are connected.
    pub peers: BTreeMap<Origin, PeerInfo>,
    /// Frames that could not be read.
    pub malformed: Arc<AtomicU64>,
    /// Keeps the owners up.
    pub events: Supervisor,
}

impl Switchboard {
    /// Takes up the events that the store had. What was archived meanwhile goes when the catalogue is
    /// looked at first.
    pub fn restore(&mut self, kept: BTreeMap<EventId, Kept>) {
        for (event, kept) in kept {
            let pin = self.pin_of(event).unwrap_or_default();
            let core = self.core(event, kept);
            self.own(event, core, pin);
        }
    }

    /// Runs until the network is gone. Whoever runs it again after a panic goes on with the next
    /// message.
    pub async fn run(
        &mut self,
        network: &mut mpsc::Receiver<NetworkEvent>,
        carry: &mut mpsc::Receiver<Carry>,
    ) {
        let mut known = self.listings.watch();
        let mut measure = Instant::now() + RTT_EVERY;
        self.follow_catalogue().await;
        loop {
            tokio::select! {
                biased;
                Some(wish) = carry.recv() => {
                    let owner = self.carry(wish.event, wish.pin).await;
                    // Whoever asked may have gone.
                    let _ = wish.carried.send(owner);
                }
                event = network.recv() => match event {
                    Some(event) => self.on_network(event).await,
                    None => return,
                },
                Ok(()) = known.changed() => self.follow_catalogue().await,
                () = sleep_until(measure) => {
                    measure = Instant::now() + RTT_EVERY;
                    self.measure_links().await;
                }
            }
        }
    }

    async fn on_network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::PeerUp(peer) => {
                info!(peer = %peer.name, origin = %peer.origin, addr = %peer.addr, "peer up");
                self.tell_all(&up(&peer)).await;
                self.peers.insert(peer.origin, peer);
            }
            NetworkEvent::PeerDown { origin, node, reason } => {
                warn!(%origin, %node, reason, "peer down");
                self.peers.remove(&origin);
                self.tell_all(&replication::Input::PeerDown { peer: origin }).await;
            }
            NetworkEvent::Frame { from, bytes, .. } => self.on_frame(from, &bytes).await,
        }
    }

    async fn on_frame(&mut self, from: Origin, bytes: &Bytes) {
        let Some((event, bytes)) = open_envelope(bytes) else { return self.on_malformed(from) };
        let Ok(message) = Message::decode(&bytes) else { return self.on_malformed(from) };
        if event == CATALOGUE {
            self.listings.replicate(replication::Input::Message { from, message }).await;
        } else if let Some(owner) = self.owners.get(event) {
            owner.tell(Input::message(from, message)).await;
        }
        // An event that the catalogue has not brought yet: heads will be told again in a moment.
    }

    /// A peer that sends what cannot be read loses its link and is told why; it may come again.
    fn on_malformed(&self, from: Origin) {
        self.malformed.fetch_add(1, Relaxed);
        warn!(%from, "a frame cannot be read");
        self.ports.network.refuse(from);
    }

    async fn tell_all(&self, input: &replication::Input) {
        self.listings.replicate(input.clone()).await;
        for owner in self.owners.all() {
            owner.tell(Input::Replication(input.clone())).await;
        }
    }

    async fn measure_links(&mut self) {
        for peer in self.ports.network.peers() {
            let input = replication::Input::Rtt { peer: peer.origin, rtt: peer.rtt };
            self.tell_all(&input).await;
        }
    }

    /// Carries every live event of the catalogue, under its newest PIN, and drops the archived ones.
    async fn follow_catalogue(&mut self) {
        let catalogue = Arc::clone(&self.listings.watch().borrow());
        for (event, listing) in catalogue.iter() {
            match listing.class.0 {
                Class::Live => {
                    let pin = listing.pin.value().unwrap_or_default().to_owned();
                    let owner = self.carry(event, pin.clone()).await;
                    if owner.views.screen.borrow().pin != pin {
                        owner.set_pin(pin).await;
                    }
                }
                Class::Archived => self.drop_event(event).await,
                Class::Unknown => {}
            }
        }
    }

    /// Drops an event as one: its owner with all state and tails, then all that the store keeps.
    async fn drop_event(&mut self, event: EventId) {
        let Some(owner) = self.owners.remove(event) else { return };
        owner.stop().await;
        self.ports.store.put(StoreOp::Drop { event }).await;
        info!(%event, "dropped an event");
    }

    fn pin_of(&self, event: EventId) -> Option<String> {
        let catalogue = self.listings.watch();
        let catalogue = catalogue.borrow();
        Some(catalogue.get(event)?.pin.value()?.to_owned())
    }

    async fn carry(&mut self, event: EventId, pin: String) -> Owner {
        if let Some(owner) = self.owners.get(event) {
            return owner;
        }
        info!(%event, pin, "carrying an event");
        let core = self.core(event, Kept::default());
        let owner = self.own(event, core, pin);
        for peer in self.peers.values() {
            owner.tell(Input::Replication(up(peer))).await;
        }
        owner
    }

    fn own(&self, event: EventId, core: EventCore, pin: String) -> Owner {
        let (identity, rules) = (self.identity(event), self.rules.clone());
        let (replication, started) = (self.replication.clone(), self.ports.started);
        let revive = move |kept: Kept| {
            let mut carried = Carried::default();
            let logs = replay(kept, &mut carried, started.elapsed());
            EventCore::revive(identity.clone(), rules.clone(), replication.clone(), carried, logs)
        };
        let (owner, task, shards) = Owner::new(core, self.ports.clone(), pin, Box::new(revive));
        self.events
            .keep_with("owner", &format!("event {event}"), task, |task| Box::pin(task.run()));
        for (at, shard) in shards.into_iter().enumerate() {
            let label = format!("event {event} shard {at}");
            self.events.keep_with("shard", &label, shard, |shard| Box::pin(shard.run()));
        }
        self.owners.insert(event, owner.clone());
        owner
    }

    fn core(&self, event: EventId, kept: Kept) -> EventCore {
        let identity = self.identity(event);
        let mut carried = Carried::default();
        let logs = replay(kept, &mut carried, self.ports.now());
        EventCore::resume(identity, self.rules.clone(), self.replication.clone(), carried, logs)
    }

    fn identity(&self, event: EventId) -> Identity {
        let Facts { node, origin, name, .. } = self.facts.clone();
        let born_ms = (self.env.wall)().saturating_sub(self.ports.now().as_millis() as u64);
        Identity { event, node, name, origin, born_ms }
    }
}

fn up(peer: &PeerInfo) -> replication::Input {
    replication::Input::PeerUp { peer: peer.origin, node: peer.node, rtt: peer.rtt }
}

/// Applies what the store kept, in the order of each lane, and returns the lanes that can be served. A lane
/// ends at the first entry that cannot be read; the peers have the rest.
pub fn replay(
    kept: Kept,
    state: &mut impl replication::Replicated,
    now: crdt_state::Mono,
) -> Vec<(LaneId, u64, Vec<Bytes>)> {
    if let Some((heads, parts)) = &kept.cut
        && let Err(error) = state.restore(now, replication::AGE_UNKNOWN, Some(heads), parts)
    {
        warn!(%error, "a kept snapshot cannot be read; peers have it");
        return Vec::new();
    }
    let mut logs = Vec::new();
    for (id, (first, entries)) in kept.logs {
        let mut readable = Vec::new();
        for (seq, entry) in (first..).zip(entries) {
            let applied = state.apply(id, seq, replication::AGE_UNKNOWN, now, &entry);
            if let Err(error) = applied {
                warn!(?id, seq, %error, "a kept entry cannot be read; peers have it");
                break;
            }
            readable.push(entry);
        }
        if !readable.is_empty() {
            logs.push((id, first, readable));
        }
    }
    logs
}
