//! A cluster in one thread: real cores, a network that loses, doubles and reorders, nodes that
//! crash and come back as somebody new, and a bystander who sees everything and judges.
//!
//! Judged after every step: each core's own invariants, that no core spins, and that no receipt
//! is firm beyond the truth. Judged at the end: equal heads, equal digests, every firm receipt
//! that any surviving memory or store held.

use crate::toy::Toy;
use crate::weather::{Dice, Weather, weather};
use bytes::Bytes;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use crdts::{CmRDT, CvRDT};
use gossip::replication::{
    AGE_UNKNOWN, AckLevel, EnrolmentState, Input, Message, Output, Replica, Replicated,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The origin whose receipts need no enrolment.
const CREATOR: Origin = Origin(1);
/// Every origin's first control entry.
const ENROLMENT: u64 = 1;

/// A planted fault that the judge must find.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// An entry is applied although others are missing before it.
    ApplyOverGap,
    /// A receipt for nothing is taken for firm.
    AckUnseen,
}

/// What a node's store holds.
#[derive(Clone)]
struct Disk {
    toy: Toy,
    logs: BTreeMap<LaneId, (u64, Vec<Bytes>)>,
}

struct Node {
    replica: Replica,
    toy: Toy,
    /// What the store would hold if it were written now.
    written: Disk,
    /// What it does hold.
    synced: Option<Disk>,
    born: Mono,
}

pub struct Cluster {
    pub dice: Dice,
    weather: Weather,
    bug: Bug,
    now: Mono,
    nodes: BTreeMap<NodeId, Node>,
    links: BTreeSet<(NodeId, NodeId)>,
    wire: BTreeMap<(Mono, u64), (Origin, Origin, Message)>,
    sent: u64,
    awaited: u64,
    origins: u64,
    trace: DefaultHasher,
    /// What each node has ever applied, whether it still exists or not.
    ever: BTreeMap<NodeId, Heads>,
    /// Tickets: their entry, their level, and whether they are firm by now.
    tickets: BTreeMap<u64, (NodeId, Dot, AckLevel, Option<bool>)>,
    /// Entries with a firm receipt that some memory or store still held after every crash.
    owed: BTreeSet<(LaneId, u64)>,
    pub excused: u64,
    pub snapshots: u64,
    pub pulls: u64,
}

impl Cluster {
    pub fn new(seed: u64, bug: Bug) -> Self {
        let mut dice = Dice(seed);
        let weather = weather(&mut dice);
        let mut cluster = Cluster {
            dice,
            bug,
            now: Duration::from_secs(1),
            nodes: BTreeMap::new(),
            links: BTreeSet::new(),
            wire: BTreeMap::new(),
            sent: 0,
            awaited: 0,
            origins: 0,
            trace: DefaultHasher::new(),
            ever: BTreeMap::new(),
            tickets: BTreeMap::new(),
            owed: BTreeSet::new(),
            excused: 0,
            snapshots: 0,
            pulls: 0,
            weather,
        };
        for node in 1..=cluster.weather.nodes {
            cluster.start(NodeId(node), None);
        }
        cluster.heal_links();
        cluster
    }

    /// One random step of the safety phase.
    pub fn step(&mut self) {
        let Weather { crashes, cuts, .. } = self.weather;
        let node = NodeId(1 + self.dice.roll(self.weather.nodes));
        match self.dice.roll(1000) {
            n if n < crashes => self.crash(node),
            n if n < crashes + cuts => self.toggle_link(node),
            n if n < crashes + 2 * cuts => self.heal_links(),
            n if n < 200 => self.sync(node),
            n if n < 700 => self.write(node),
            _ => {
                let below = if self.dice.percent(5) { 400_000 } else { 8_000 };
                let pause = self.dice.micros(below);
                self.run_for(pause);
            }
        }
    }

    /// The liveness phase: everything is well again, and all must come to agree.
    pub fn heal(&mut self) {
        (self.weather.loss, self.weather.doubled) = (0, 0);
        self.heal_links();
        for _ in 0..240 {
            self.run_for(Duration::from_millis(250));
            if self.agrees() && self.all_firm() {
                return;
            }
        }
        let heads: Vec<_> = self.nodes.values().map(|node| node.replica.heads()).collect();
        panic!("no agreement a minute after healing: {heads:#?}, firm: {}", self.all_firm());
    }

    /// The final judgement.
    pub fn judge(&self) {
        let digests: BTreeSet<u64> = self.nodes.values().map(|node| node.toy.digest()).collect();
        assert!(digests.len() == 1, "equal heads mean equal digests");
        for (ticket, (owner, _, _, told)) in &self.tickets {
            assert!(*told == Some(true), "ticket {ticket} of {owner} was told {told:?} at last");
        }
        for (id, seq) in &self.owed {
            for (name, node) in &self.nodes {
                let there = node.toy.lanes.get(id).is_some_and(|lane| lane.contains_key(seq));
                assert!(there, "{id:?} {seq} had a firm receipt and is not on {name}");
            }
        }
    }

    /// What happened, as one number.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn agrees(&self) -> bool {
        let mut heads = self.nodes.values().map(|node| node.replica.heads());
        let first = heads.next();
        heads.all(|heads| Some(heads) == first)
    }

    fn all_firm(&self) -> bool {
        self.nodes.values().all(|node| node.replica.receipts_waiting() == 0)
    }

    fn start(&mut self, name: NodeId, disk: Option<Disk>) {
        self.origins += 1;
        let me = Origin(self.origins);
        let config = self.weather.config.clone();
        let part_bytes = 40 + self.dice.roll(400) as usize;
        let disk = disk.unwrap_or(Disk { toy: Toy::new(part_bytes), logs: BTreeMap::new() });
        let heads = disk.toy.content().expect("a toy always knows");
        let logs = disk.logs.clone().into_iter().map(|(id, (first, log))| (id, first, log));
        let replica = Replica::resume(me, config, heads, logs);
        let toy = disk.toy.clone();
        let born = self.now;
        let node = Node { replica, toy, written: disk.clone(), synced: Some(disk), born };
        self.nodes.insert(name, node);
        let seq = self.commit(name, Lane::Control);
        let needs = if self.origins <= 1 {
            EnrolmentState::Exempt { seq }
        } else {
            EnrolmentState::Needs { seq }
        };
        self.enrol(name, needs);
    }

    fn enrol(&mut self, name: NodeId, needs: EnrolmentState) {
        let all = (1..=self.weather.nodes).map(NodeId);
        let mut nodes: BTreeMap<NodeId, BTreeSet<Origin>> = all.map(|n| (n, [].into())).collect();
        let node = self.nodes.get_mut(&name).expect("it was just started");
        nodes.entry(name).or_default().insert(node.replica.me());
        node.replica.set_enrolled(nodes, needs);
    }

    fn mono(&self, name: NodeId) -> Mono {
        self.now - self.nodes[&name].born
    }

    fn name_of(&self, origin: Origin) -> Option<NodeId> {
        self.nodes.iter().find(|(_, node)| node.replica.me() == origin).map(|(name, _)| *name)
    }

    fn commit(&mut self, name: NodeId, lane: Lane) -> u64 {
        let now = self.mono(name);
        let filler = "x".repeat(self.dice.roll(60) as usize);
        let node = self.nodes.get_mut(&name).expect("the node is there");
        let id = LaneId { origin: node.replica.me(), lane };
        let seq = node.replica.heads().get(&id) + 1;
        let entry = Bytes::from(format!("{}-{seq}-{filler}", node.replica.me().0));
        node.toy.put(id, seq, &entry);
        assert_eq!(node.replica.commit(now, lane, entry.clone()), seq);
        keep(&mut node.written, id, seq, entry);
        self.ever.entry(name).or_default().apply(Dot::new(id, seq));
        self.settle(name);
        seq
    }

    fn write(&mut self, name: NodeId) {
        let lane = if self.dice.percent(20) { Lane::Control } else { Lane::Bulk };
        for _ in 0..=self.dice.roll(3) {
            let seq = self.commit(name, lane);
            let level = AckLevel::ALL[[0, 1, 1, 1, 2][self.dice.roll(5) as usize]];
            let now = self.mono(name);
            let node = self.nodes.get_mut(&name).expect("the node is there");
            let dot = Dot::new(LaneId { origin: node.replica.me(), lane }, seq);
            self.awaited += 1;
            let ticket = self.awaited;
            self.tickets.insert(ticket, (name, dot, level, None));
            assert!(node.replica.await_receipt(now, ticket, lane, seq, level), "there is room");
            self.settle(name);
        }
    }

    fn sync(&mut self, name: NodeId) {
        let node = self.nodes.get_mut(&name).expect("the node is there");
        node.synced = Some(node.written.clone());
    }

    /// Memory is lost; the store is kept as of its last sync, or lost too.
    fn crash(&mut self, name: NodeId) {
        for other in self.names() {
            self.cut(name, other);
        }
        let dead = self.nodes.remove(&name).expect("the node is there");
        let disk = dead.synced.filter(|_| self.dice.percent(60));
        self.wire.retain(|_, (_, to, _)| *to != dead.replica.me());
        self.tickets.retain(|_, (owner, ..)| *owner != name);
        self.start(name, disk);
        self.forgive();
        if self.dice.percent(70) {
            for other in self.names() {
                self.connect(name, other);
            }
        }
    }

    /// What no memory and no store holds any more is owed by nobody.
    fn forgive(&mut self) {
        let before = self.owed.len();
        let nodes = &self.nodes;
        self.owed.retain(|(id, seq)| {
            let held = |toy: &Toy| toy.lanes.get(id).is_some_and(|lane| lane.contains_key(seq));
            nodes.values().any(|node| held(&node.toy))
        });
        self.excused += (before - self.owed.len()) as u64;
    }

    fn names(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    fn toggle_link(&mut self, a: NodeId) {
        let b = NodeId(1 + self.dice.roll(self.weather.nodes));
        if self.links.contains(&pair(a, b)) {
            self.cut(a, b);
        } else {
            self.connect(a, b);
        }
    }

    fn heal_links(&mut self) {
        for a in self.names() {
            for b in self.names() {
                self.connect(a, b);
            }
        }
    }

    fn connect(&mut self, a: NodeId, b: NodeId) {
        if a == b || !self.links.insert(pair(a, b)) {
            return;
        }
        let rtt = Duration::from_micros(self.weather.delay_us);
        for (here, there) in [(a, b), (b, a)] {
            let peer = self.nodes[&there].replica.me();
            self.input(here, Input::PeerUp { peer, node: there, rtt });
        }
    }

    fn cut(&mut self, a: NodeId, b: NodeId) {
        if !self.links.remove(&pair(a, b)) {
            return;
        }
        for (here, there) in [(a, b), (b, a)] {
            let peer = self.nodes[&there].replica.me();
            let me = self.nodes[&here].replica.me();
            self.wire.retain(|_, (from, to, _)| (*from, *to) != (peer, me));
            self.input(here, Input::PeerDown { peer });
        }
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let timeouts = self
                .nodes
                .iter()
                .filter_map(|(name, node)| Some((node.replica.poll_timeout()? + node.born, *name)));
            let timeout = timeouts.min();
            let arrival = self.wire.keys().next().copied();
            let next = timeout.map(|(at, _)| at).into_iter().chain(arrival.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            match (arrival, timeout) {
                (Some(key), _) if key.0 <= self.now => self.deliver(key),
                (_, Some((_, name))) => self.input(name, Input::Timeout),
                _ => unreachable!("something is next"),
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, key: (Mono, u64)) {
        let Some((from, to, message)) = self.wire.remove(&key) else { return };
        let Some(name) = self.name_of(to) else { return };
        let message = Message::decode(&message.encode()).expect("what was said can be read");
        if self.bug == Bug::ApplyOverGap {
            self.apply_over_gap(name, &message);
        }
        self.input(name, Input::Message { from, message });
    }

    fn apply_over_gap(&mut self, name: NodeId, message: &Message) {
        let Message::Entries { id, first, entries, .. } = message else { return };
        let node = self.nodes.get_mut(&name).expect("the node is there");
        if *first > node.replica.heads().get(id) + 1 {
            node.toy.put(*id, *first, &entries[0]);
        }
    }

    fn input(&mut self, name: NodeId, input: Input) {
        let now = self.mono(name);
        let node = self.nodes.get_mut(&name).expect("the node is there");
        node.replica.handle_input(now, input, &mut node.toy);
        node.replica.check_rests(now);
        self.settle(name);
    }

    /// Carries out what a core wants, and judges the step.
    fn settle(&mut self, name: NodeId) {
        while let Some(output) = self.nodes.get_mut(&name).and_then(|n| n.replica.poll_output()) {
            (self.now, name, output.to_string()).hash(&mut self.trace);
            self.on_output(name, output);
        }
        let node = &self.nodes[&name];
        node.replica.check_invariants(&node.toy);
    }

    fn on_output(&mut self, name: NodeId, output: Output) {
        match output {
            Output::Send { to, message, .. } => self.send(name, to, &message),
            Output::Applied { id, seq, entry } => {
                let node = self.nodes.get_mut(&name).expect("the node is there");
                keep(&mut node.written, id, seq, entry);
                self.ever.entry(name).or_default().apply(Dot::new(id, seq));
            }
            Output::Restored { heads } => self.on_restored(name, heads),
            Output::Receipt { ticket, firm } => self.on_receipt(ticket, firm),
            Output::Quarantined { id } => panic!("{id:?} never had two histories"),
            Output::Alarm(alarm) => panic!("nothing was wrong, yet: {alarm}"),
        }
    }

    fn on_restored(&mut self, name: NodeId, heads: Heads) {
        self.snapshots += 1;
        let node = self.nodes.get_mut(&name).expect("the node is there");
        let (disk, parts) = (&mut node.written, node.toy.cut(Duration::ZERO).whole());
        for (id, head) in &heads.dots {
            let had = disk.toy.lanes.get(id).map_or(0, BTreeMap::len) as u64;
            if *head > had {
                disk.logs.insert(*id, (head + 1, Vec::new()));
            }
        }
        disk.toy
            .restore(Duration::ZERO, AGE_UNKNOWN, None, &parts)
            .expect("it was restored before");
        self.ever.entry(name).or_default().merge(heads);
    }

    fn on_receipt(&mut self, ticket: u64, firm: bool) {
        let unseen = self.bug == Bug::AckUnseen;
        let Some((owner, dot, level, told)) = self.tickets.get_mut(&ticket) else { return };
        match told.replace(firm) {
            None => {}
            Some(before) => assert!(!before && firm, "a receipt is upgraded once, if ever"),
        }
        if firm || unseen {
            let holds = |heads: &Heads| heads.get(&dot.actor) >= dot.counter;
            let others = self.ever.iter().filter(|(name, _)| *name != owner);
            let others = others.filter(|(_, heads)| holds(heads)).count() as u64;
            let needed = match level {
                AckLevel::Local => 0,
                AckLevel::Peer => 1,
                AckLevel::Majority => self.weather.nodes / 2,
            };
            assert!(others >= needed, "a {level:?} receipt is firm with {others} other holders");
            let origin = dot.actor.origin;
            let enrolled = |heads: &&Heads| heads.get(&LaneId::control(origin)) >= ENROLMENT;
            let known = self.ever.values().filter(enrolled).count() as u64;
            let exempt = origin == CREATOR || known > self.weather.nodes / 2;
            assert!(exempt, "a receipt of {origin} is firm, of which {known} nodes know");
            self.owed.insert((dot.actor, dot.counter));
        }
    }

    fn send(&mut self, name: NodeId, to: Origin, message: &Message) {
        let from = self.nodes[&name].replica.me();
        let there = self.name_of(to).expect("peers are told when a node goes");
        assert!(self.links.contains(&pair(name, there)), "only connected peers are spoken to");
        self.pulls += u64::from(matches!(message, Message::Pull { .. }));
        let copies = if self.dice.percent(self.weather.loss) {
            0
        } else {
            1 + u64::from(self.dice.percent(self.weather.doubled))
        };
        for _ in 0..copies {
            let delay = self.dice.micros(self.weather.delay_us);
            self.sent += 1;
            self.wire.insert((self.now + delay, self.sent), (from, to, message.clone()));
        }
    }
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

fn keep(disk: &mut Disk, id: LaneId, seq: u64, entry: Bytes) {
    disk.toy.put(id, seq, &entry);
    disk.logs.entry(id).or_insert((seq, Vec::new())).1.push(entry);
}
