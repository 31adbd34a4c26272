//! The switchboard: one task that knows which peers are connected and which events are carried, here and by
//! whom else, so that every owner hears once and in order of every peer that carries its event too.
//!
//! A thin shell around [`Interest`], which decides what this node carries.

use super::{Facts, Listings, Owners, Wish, archived, stopping};
use crate::engine::{
    CARRIED_MAX, Carried, EventCore, Heed, Identity, Input, Interest, Kind, Owner, Ports, Rules,
    Turn, Way, WhyNot, Word, open_envelope, open_periods,
};
use crate::env::Env;
use crate::service::view::Refusal;
use crate::store::{Kept, StoreOp};
use crate::supervise::Supervisor;
use bytes::Bytes;
use crdt_state::catalogue::{CARRIERS, CATALOGUE, Class, Fate, GiveUp};
use crdt_state::{EventId, LaneId, NodeId, Origin, Period};
use gossip::network::{NetworkEvent, PeerInfo, Standing};
use gossip::replication::{self, Config, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

mod letting_go;

pub use letting_go::LettingGo;

/// Between two measurements of links: 1 s, as often as membership is derived anew.
const RTT_EVERY: Duration = Duration::from_secs(1);
/// What an owner is not told of: a round trip that differs by less than a quarter, or by less than 2 ms. Ages are
/// corrected by half of it, and players' clocks are no better.
const RTT_STEP: Duration = Duration::from_millis(2);
/// From so many events on an operator is warned: 7 of 8 that a node can carry.
const CROWDED: usize = CARRIED_MAX / 8 * 7;

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
    /// Which events this node carries, and which its peers.
    pub interest: Interest,
    /// The events that it is letting go of.
    pub letting_go: LettingGo,
    /// As of which of its revisions the catalogue was looked at.
    pub listed_at: u64,
    /// The nodes that an operator gave up, as of then.
    pub given_up: BTreeSet<NodeId>,
    /// Frames that could not be read.
    pub malformed: Arc<AtomicU64>,
    /// Keeps the owners up.
    pub events: Supervisor,
}

impl Switchboard {
    /// Takes up the events that the store had. What was archived meanwhile goes when the catalogue is
    /// looked at first.
    pub fn restore(&mut self, kept: BTreeMap<EventId, Kept>) {
        self.interest = Interest::new(self.facts.node, kept.keys().copied());
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
        wishes: &mut mpsc::Receiver<Wish>,
    ) {
        let (mut known, mut members) = (self.listings.watch(), self.ports.network.members());
        let mut measure = pin!(sleep(RTT_EVERY));
        // Set where it is to be, and not made anew for each frame that comes.
        let mut due = pin!(sleep(RTT_EVERY));
        self.listed_at = 0;
        self.follow_members().await;
        self.follow_catalogue().await;
        loop {
            let wanted = self.interest.poll_timeout().map(|mono| self.ports.started + mono);
            let wanted = wanted.unwrap_or(measure.deadline());
            if due.deadline() != wanted {
                due.as_mut().reset(wanted);
            }
            tokio::select! {
                biased;
                Some(wish) = wishes.recv() => self.on_wish(wish).await,
                Ok(()) = known.changed() => self.follow_catalogue().await,
                Ok(()) = members.changed() => self.follow_members().await,
                () = &mut measure => {
                    measure.as_mut().reset(Instant::now() + RTT_EVERY);
                    self.measure_links().await;
                    self.follow_awaited().await;
                    self.give_up_broken().await;
                    self.let_go().await;
                }
                Some(goodbye) = self.letting_go.said() => self.on_goodbye(goodbye).await,
                () = &mut due => self.heed(Heed::Timeout, None).await,
                // Last: a flood of frames must not keep a carrier that died from being replaced.
                event = network.recv() => match event {
                    Some(event) => self.on_network(event).await,
                    None => return,
                },
            }
        }
    }

    async fn on_wish(&mut self, wish: Wish) {
        match wish {
            Wish::Carry(wish) => {
                self.heed(Heed::Wanted { event: wish.event }, Some(wish.pin)).await;
                let owner = self.owners.get(wish.event);
                let owner = owner.ok_or_else(|| self.why_not(wish.event));
                // Whoever asked may have gone.
                let _ = wish.carried.send(owner);
            }
            Wish::Leave(said) => {
                self.heed(Heed::Leaving, None).await;
                // As above.
                let _ = said.send(());
            }
        }
    }

    fn why_not(&self, event: EventId) -> Refusal {
        match self.interest.why_not(event) {
            Some(WhyNot::Archived) => archived(event),
            Some(WhyNot::Full) => {
                Refusal::new("limit_reached", format!("this node carries {CARRIED_MAX} shows"))
                    .hint("archive those that are over, or use another node")
            }
            Some(WhyNot::Broken) => {
                Refusal::new("overloaded", format!("the event {event} could not be kept up here"))
                    .hint("use another node")
            }
            Some(WhyNot::Leaving) | None => stopping(),
        }
    }

    async fn on_network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::PeerUp(peer) => {
                info!(peer = %peer.name, origin = %peer.origin, addr = %peer.addr, "peer up");
                self.listings.replicate(up(&peer)).await;
                let heed = Heed::PeerUp { peer: peer.origin, node: peer.node };
                self.peers.insert(peer.origin, peer);
                self.heed(heed, None).await;
            }
            NetworkEvent::PeerDown { origin, node, reason } => {
                warn!(%origin, %node, reason, "peer down");
                self.listings.replicate(replication::Input::PeerDown { peer: origin }).await;
                self.heed(Heed::PeerDown { peer: origin }, None).await;
                self.peers.remove(&origin);
            }
            NetworkEvent::Frame { from, bytes, .. } => self.on_frame(from, &bytes).await,
        }
    }

    async fn on_frame(&mut self, from: Origin, bytes: &Bytes) {
        let length = bytes.len();
        let Some((event, bytes)) = open_envelope(bytes) else { return self.on_malformed(from) };
        if event == CARRIERS {
            let Some(word) = Word::decode(&bytes) else { return self.on_malformed(from) };
            self.ports.traffic.count_received(Kind::Carriers, length);
            return self.heed(Heed::Word { from, word }, None).await;
        }
        if event == CATALOGUE {
            let Ok(message) = Message::decode(&bytes) else { return self.on_malformed(from) };
            self.ports.traffic.count_received(Kind::Catalogue, length);
            let input = replication::Input::Message { from, message };
            return self.listings.replicate(input).await;
        }
        let Some((theirs, ours, bytes)) = open_periods(&bytes) else {
            return self.on_malformed(from);
        };
        let Ok(message) = Message::decode(&bytes) else { return self.on_malformed(from) };
        self.ports.traffic.count_received(Kind::of(&message), length);
        // What this node does not carry, or not in that period, or the peer not: the list of either will say so.
        let Some(way) =
            self.way(event, from).filter(|way| (way.theirs, way.ours) == (theirs, ours))
        else {
            return;
        };
        self.tell(event, replication::Input::Message { from: way.peer(), message }).await;
    }

    /// Tells the interest a fact, and does what follows. `pin` is that of an event which is not listed yet.
    async fn heed(&mut self, heed: Heed, pin: Option<String>) {
        self.interest.handle(self.ports.now(), heed);
        while let Some(turn) = self.interest.poll_turn() {
            match turn {
                Turn::Begin { event } => {
                    let pin = self.pin_of(event).or_else(|| pin.clone()).unwrap_or_default();
                    info!(%event, pin, "carrying an event");
                    let core = self.core(event, Kept::default());
                    self.own(event, core, pin);
                    self.note_crowd();
                }
                Turn::End { event } => self.drop_event(event).await,
                Turn::LetGo { event } => self.say_goodbye(event),
                Turn::Renew { event } => self.renew(event).await,
                Turn::Abandon { event } => drop(self.take(event)),
                Turn::Up { event, peer, .. } => self.introduce(event, peer).await,
                Turn::Down { event, peer, period } => {
                    let peer = peer.in_period(period);
                    self.tell(event, replication::Input::PeerDown { peer }).await;
                }
                Turn::Forget { event, node } => {
                    if let Some(owner) = self.party(event) {
                        owner.give_up(node).await;
                    }
                }
                Turn::Tell { to, word } => self.ports.tell_word(to, &word),
            }
        }
    }

    async fn tell(&self, event: EventId, input: replication::Input) {
        if let Some(owner) = self.party(event) {
            owner.tell(Input::Replication(input)).await;
        }
    }

    /// Tells an event's owner of a peer that carries it too.
    async fn introduce(&self, event: EventId, peer: Origin) {
        let (Some(way), Some(info)) = (self.way(event, peer), self.peers.get(&peer)) else {
            return;
        };
        if let Some(owner) = self.party(event) {
            let (peer, node, rtt) = (way.peer(), info.node, info.rtt);
            owner.meet(way, replication::Input::PeerUp { peer, node, rtt }).await;
        }
    }

    /// The way to a peer that carries an event, if this node does too.
    fn way(&self, event: EventId, link: Origin) -> Option<Way> {
        let theirs = self.interest.peer_period(link, event)?;
        let ours = self.interest.carries(event).then(|| self.interest.period(event))?;
        Some(Way { link, theirs, ours })
    }

    /// Who owns an event here, though the node may be leaving it.
    fn party(&self, event: EventId) -> Option<Owner> {
        self.owners.get(event).or_else(|| self.letting_go.owner(event))
    }

    fn take(&mut self, event: EventId) -> Option<Owner> {
        self.owners.remove(event).or_else(|| self.letting_go.take(event))
    }

    /// A peer that sends what cannot be read loses its link and is told why; it may come again.
    fn on_malformed(&self, from: Origin) {
        self.malformed.fetch_add(1, Relaxed);
        warn!(%from, "a frame cannot be read");
        self.ports.network.refuse(from);
    }

    fn note_crowd(&self) {
        let carried = self.owners.count();
        if carried == CROWDED {
            self.ports.alarms.count(CROWDED_ALARM);
            error!(carried, most = CARRIED_MAX, "soon no more events can be carried here");
        }
    }

    /// Tells whom it concerns how far peers are, where that is news.
    async fn measure_links(&mut self) {
        for peer in self.ports.network.peers() {
            let Some(known) = self.peers.get_mut(&peer.origin) else { continue };
            if known.rtt.abs_diff(peer.rtt) < (known.rtt / 4).max(RTT_STEP) {
                continue;
            }
            known.rtt = peer.rtt;
            let rtt = peer.rtt;
            let input = replication::Input::Rtt { peer: peer.origin, rtt };
            self.listings.replicate(input).await;
            let shared: Vec<(EventId, Period)> = self.interest.carried_by(peer.origin).collect();
            for (event, period) in shared {
                let peer = peer.origin.in_period(period);
                self.tell(event, replication::Input::Rtt { peer, rtt }).await;
            }
        }
    }

    /// Learns for whom each event waits.
    async fn follow_awaited(&mut self) {
        while let Some((event, nodes)) = self.ports.awaiting.pop() {
            self.heed(Heed::Awaited { event, nodes }, None).await;
        }
    }

    /// Ends events whose owners panicked too often: what is left of them takes memory, and the others would wait for its
    /// word while they see that it is here.
    async fn give_up_broken(&mut self) {
        for event in self.owners.gone() {
            self.ports.alarms.count(BROKEN_ALARM);
            error!(%event, "an event cannot be kept up here; it is taken up again when the node is restarted");
            self.heed(Heed::Broken { event }, None).await;
        }
    }

    /// Learns who lives, and who of them takes players.
    async fn follow_members(&mut self) {
        let members = self.ports.network.members().borrow().clone();
        let living = members.iter().filter(|member| member.live && !member.left);
        let own = (self.facts.node, self.ports.network.standing());
        let living = living.map(|member| (member.node, member.standing));
        let living: BTreeMap<NodeId, Standing> = living.chain([own]).collect();
        let staying = living.iter().filter(|(_, standing)| **standing < Standing::Draining);
        let staying = staying.map(|(node, _)| *node).collect();
        let living = living.into_keys().collect();
        self.heed(Heed::Seen { living, staying }, None).await;
    }

    /// Learns which events there are, shows those that are carried under their newest PINs, and drops the
    /// archived ones: of all this what has changed.
    async fn follow_catalogue(&mut self) {
        let news = self.news_of_catalogue();
        let of = |class: Class| {
            let those = news.iter().filter(|(_, (of, _))| *of == class);
            those.map(|(event, _)| *event).collect()
        };
        let heed = Heed::Listed { live: of(Class::Live), archived: of(Class::Archived) };
        self.heed(heed, None).await;
        self.follow_fates().await;
        for (event, (_, pin)) in news {
            if let Some(pin) = pin
                && let Some(owner) = self.owners.get(event)
                && owner.views.screen.borrow().pin != pin
            {
                owner.set_pin(pin).await;
            }
        }
    }

    /// Learns which nodes are gone for good. One that finds itself among them says that it is back.
    async fn follow_fates(&mut self) {
        let nodes: BTreeSet<NodeId> = self.listings.watch().borrow().given_up().collect();
        if nodes == self.given_up {
            return;
        }
        let (me, lamport) = (self.facts.node, 0);
        if nodes.contains(&me) {
            info!("an operator gave this node up: it says that it is back");
            self.listings.tell(GiveUp { lamport, node: me, fate: Fate::Awaited }).await;
        }
        // Who is linked here is no ghost, whatever an operator saw elsewhere, and will say so.
        let is_here = |node: &&NodeId| self.peers.values().any(|peer| peer.node == **node);
        let fresh = nodes.difference(&self.given_up).filter(|node| **node != me);
        fresh.filter(|node| !is_here(node)).for_each(|node| self.ports.network.forget(*node));
        self.given_up.clone_from(&nodes);
        self.heed(Heed::GivenUp { nodes }, None).await;
    }

    /// The events whose listing has changed, with their class and PIN.
    fn news_of_catalogue(&mut self) -> BTreeMap<EventId, (Class, Option<String>)> {
        let known = self.listings.watch();
        let known = known.borrow();
        let since = std::mem::replace(&mut self.listed_at, known.revision());
        let told = |event: EventId| {
            let listing = known.get(event)?;
            Some((event, (listing.class.0, listing.pin.value().map(str::to_owned))))
        };
        known.changed_since(since).filter_map(told).collect()
    }

    /// Drops an event as one: its owner with all state and tails, then all that the store keeps.
    async fn drop_event(&mut self, event: EventId) {
        let Some(owner) = self.take(event) else { return };
        owner.stop().await;
        self.ports.store.put(StoreOp::Drop { event }).await;
        info!(%event, "dropped an event");
    }

    fn pin_of(&self, event: EventId) -> Option<String> {
        let catalogue = self.listings.watch();
        let catalogue = catalogue.borrow();
        Some(catalogue.get(event)?.pin.value()?.to_owned())
    }

    fn own(&self, event: EventId, core: EventCore, pin: String) -> Owner {
        let (identity, rules) = (self.identity(event), self.rules.clone());
        let (replication, started) = (self.replication.clone(), self.ports.started);
        let revive = move |kept: Kept| {
            let mut carried = Carried::default();
            let quarantined = kept.quarantined.clone();
            let logs = replay(kept, &mut carried, started.elapsed());
            let (identity, rules) = (identity.clone(), rules.clone());
            EventCore::revive(identity, rules, replication.clone(), carried, logs)
                .quarantining(quarantined)
        };
        let (owner, task, shards) = Owner::new(core, self.ports.clone(), pin, Box::new(revive));
        self.events
            .keep_with("owner", &format!("event {event}"), task, |task| Box::pin(task.run()));
        for (at, shard) in shards.into_iter().enumerate() {
            let label = format!("event {event} shard {at}");
            self.events.keep_with("shard", &label, shard, |shard| Box::pin(shard.run()));
        }
        self.owners.insert(event, &owner);
        owner
    }

    fn core(&self, event: EventId, kept: Kept) -> EventCore {
        let identity = self.identity(event);
        let mut carried = Carried::default();
        let quarantined = kept.quarantined.clone();
        let logs = replay(kept, &mut carried, self.ports.now());
        let (rules, config) = (self.rules.clone(), self.replication.clone());
        EventCore::resume(identity, rules, config, carried, logs).quarantining(quarantined)
    }

    fn identity(&self, event: EventId) -> Identity {
        let Facts { node, origin, name, .. } = self.facts.clone();
        let origin = origin.in_period(self.interest.period(event));
        let born_ms = (self.env.wall)().saturating_sub(self.ports.now().as_millis() as u64);
        Identity { event, node, name, origin, born_ms }
    }
}

/// The kind of the alarm of a node that will soon carry as many events as it can.
const CROWDED_ALARM: &str = "events_crowded";
/// The kind of the alarm of an event that could not be kept up.
const BROKEN_ALARM: &str = "event_broken";

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
