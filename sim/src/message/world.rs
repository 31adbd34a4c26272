//! The nodes, the network between them, and the loop that turns ticks into turns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::node::engine::{Input, Output};
use crdt_state::{EventId, Origin};
use gossip::replication::{Config, Message};
use xxhash_rust::xxh3::xxh3_64;

use super::disk::Write;
use super::host::Host;
use super::node::{Node, peer_down, peer_up};
use super::player::Player;
use super::queue::{Event, Queue, Tick};
use crate::clock;
use crate::cluster::{PEER_PORT, address};
use crate::fork::Fork;
use crate::mix::{Draw, fold};
use crate::net::NetStats;
use crate::quiz::evidence::{Evidence, PlayerEvidence};
use crate::recording::{Flight, Recorder};
use crate::schedule::{Fault, Planned, Schedule, Wanted, Weather};
use crate::state::NodeState;
use crate::trace::Trace;

/// The event that is played.
pub(super) const EVENT: EventId = EventId(0xe);
/// The PIN that it is played under.
pub(super) const PIN: &str = "123456";
/// A lost packet of a stream is sent again after this, and after a round trip.
const RESEND_MS: u64 = 25;
/// How many lost messages are lost for good: the way was full.
const DROPPED: f64 = 0.2;
/// No run of this fidelity lasts longer, whatever happens.
pub(super) const RUN_MAX: Tick = 240_000;
/// Invariants of a core are asserted once in so many of its turns: they read all that it keeps.
const ASSERT_EVERY: u64 = 64;

pub(super) struct World {
    pub(super) schedule: Arc<Schedule>,
    pub(super) trace: Trace,
    pub(super) now: Tick,
    pub(super) queue: Queue,
    /// By number; nobody has number 0.
    pub(super) nodes: Vec<Node>,
    pub(super) cuts: BTreeMap<(u8, u8), u32>,
    pub(super) storms: BTreeMap<(u8, u8), Weather>,
    links: BTreeMap<(u8, u8), Link>,
    pub(super) players: Vec<Player>,
    pub(super) seen: Vec<PlayerEvidence>,
    pub(super) hosts: Vec<Host>,
    pub(super) evidence: Evidence,
    pub(super) replies: u64,
    pub(super) is_over: bool,
    is_watched: bool,
    is_compared: bool,
    /// Nodes that something has reached in this tick.
    dirty: BTreeSet<u8>,
    outputs: Vec<Output>,
    turns: u64,
    pub(super) net: NetStats,
    /// Faults that have not ended.
    pub(super) faults_left: usize,
    pub(super) faults_begun: Vec<bool>,
    /// Who is down, by the fault that did it.
    pub(super) down: Vec<(u16, u8)>,
    pub(super) ended_at: Option<Tick>,
    /// When to stop before the end.
    until: Option<Tick>,
    /// Where the dice change, and for which future.
    fork: Option<Fork>,
    pub(super) recorder: Option<Recorder>,
}

/// One direction between two nodes.
#[derive(Default)]
struct Link {
    sent: u64,
    /// When all that was sent before has left, where bandwidth is bounded, in microseconds.
    busy_until_us: u64,
}

impl World {
    pub(super) fn new(schedule: Arc<Schedule>, trace: Trace) -> Self {
        let count = usize::from(schedule.nodes_ever());
        let mut world = World {
            now: 0,
            queue: Queue::default(),
            nodes: (0..=count).map(|_| Node::default()).collect(),
            cuts: BTreeMap::new(),
            storms: BTreeMap::new(),
            links: BTreeMap::new(),
            players: Vec::new(),
            seen: vec![PlayerEvidence::default(); schedule.players as usize],
            hosts: Vec::new(),
            evidence: Evidence::new((*schedule).clone()),
            replies: 0,
            is_over: false,
            is_watched: false,
            is_compared: false,
            dirty: BTreeSet::new(),
            outputs: Vec::new(),
            turns: 0,
            net: NetStats::default(),
            faults_left: schedule.faults.len(),
            faults_begun: vec![false; schedule.faults.len()],
            down: Vec::new(),
            ended_at: None,
            until: None,
            fork: None,
            recorder: trace.recorder(),
            schedule,
            trace,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for number in self.schedule.first_nodes() {
            self.boot(number);
        }
        for number in self.schedule.first_nodes() {
            for peer in self.schedule.first_nodes() {
                self.sense(number, peer);
            }
        }
        self.create();
        self.begin_players();
        self.queue.push(1, Event::Watch);
    }

    /// Stops at this time.
    pub(super) fn stop_at(&mut self, until: Option<Duration>) {
        self.until = until.map(|until| until.as_millis() as Tick);
    }

    /// Leaves the past there.
    pub(super) fn fork(&mut self, fork: Option<Fork>) {
        self.fork = fork;
    }

    /// Names the dice of this moment.
    pub(super) fn chance(&self) -> u64 {
        match self.fork.filter(|fork| self.at() > fork.at) {
            Some(fork) => fold(self.schedule.seed, fork.future),
            None => self.schedule.seed,
        }
    }

    /// From here on another future: what has not begun to go wrong does not, other things do.
    fn part(&mut self) {
        let asked = self.hosts.iter().map(Host::instance).max().unwrap_or_default();
        let wanted = Wanted { nodes: Some(self.schedule.nodes), players: Some(1) };
        let other = Schedule::draw(self.chance(), wanted).faults;
        let places = self.nodes.len() as u8;
        let new = other.into_iter().filter(|planned| {
            let known = planned.fault.nodes().iter().all(|node| *node < places);
            let asked = asked.saturating_add(1)..=self.schedule.questions.len() as u32;
            known
                && asked.contains(&planned.instance)
                && !matches!(planned.fault, Fault::Join { .. })
        });
        let new: Vec<Planned> = new.collect();
        let begun = self.faults_begun.clone();
        let kept = self.schedule.faults.iter().zip(&begun).filter(|(_, begun)| **begun);
        let plan: Vec<Planned> = kept.map(|(planned, _)| planned).chain(&new).cloned().collect();
        self.faults_left -= begun.iter().filter(|begun| !**begun).count();
        self.faults_left += new.len();
        self.faults_begun = begun.iter().map(|_| true).chain(new.iter().map(|_| false)).collect();
        self.evidence.plan = Schedule { faults: plan, ..(*self.schedule).clone() };
        let faults = self.schedule.faults.iter().cloned().chain(new).collect();
        self.schedule = Arc::new(Schedule { faults, ..(*self.schedule).clone() });
    }

    /// Lets time pass until the run is over.
    pub(super) fn run(&mut self) {
        while let Some(tick) = self.queue.next().filter(|tick| *tick <= RUN_MAX) {
            if self.is_over {
                return;
            }
            if let Some(until) = self.until.filter(|until| tick > *until) {
                self.now = until;
                clock::drive(Some(until * 1_000_000));
                self.tell("the run is stopped");
                self.evidence.stopped = Some(self.at());
                return;
            }
            let parts = self.fork.is_some_and(|fork| self.at() <= fork.at);
            self.now = tick;
            clock::drive(Some(tick * 1_000_000));
            if parts && self.fork.is_some_and(|fork| self.at() > fork.at) {
                self.part();
            }
            while let Some(event) = self.queue.pop(tick) {
                self.on_event(event);
            }
            while let Some(number) = self.dirty.pop_first() {
                self.settle(number);
            }
            // Only between turns is a core's state what its heads say.
            if std::mem::take(&mut self.is_watched) {
                self.watch();
            }
            if std::mem::take(&mut self.is_compared) {
                self.compare();
            }
        }
        self.evidence.stuck.push(format!("the run did not end within {RUN_MAX} ms"));
        self.write_ends(false);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Deliver { to, life, from, sent, message } => {
                self.deliver((to, life), from, sent, *message);
            }
            Event::Wake { node } => self.wake(node),
            Event::Sense { node, peer } => self.sense(node, peer),
            Event::Player { number, act } => self.act(number, act),
            Event::Host { number } => self.host(number),
            Event::Fault { index, step } => self.fault(index, step),
            Event::Watch => self.is_watched = true,
            Event::Compare => self.is_compared = true,
        }
    }

    pub(super) fn boot(&mut self, number: u8) {
        let count = self.nodes.len() - 1;
        let crate::schedule::Knobs { tail_bytes_max, snapshot_above_bytes } = self.schedule.knobs;
        let config = Config { tail_bytes_max, snapshot_above_bytes, ..Config::default() };
        let seed = self.schedule.seed;
        let node = &mut self.nodes[usize::from(number)];
        node.boot(seed, number, self.now, count, config);
        let origin = node.origin().unwrap_or_default();
        self.trace.note("origin", ip(number), origin.0);
        self.dirty.insert(number);
    }

    pub(super) fn node(&mut self, number: u8) -> &mut Node {
        &mut self.nodes[usize::from(number)]
    }

    /// The nodes that live, by number.
    pub(super) fn alive(&self) -> Vec<u8> {
        let alive = |number: &u8| self.nodes[usize::from(*number)].life.is_some();
        (1..self.nodes.len() as u8).filter(alive).collect()
    }

    /// Virtual time for the evidence.
    pub(super) fn at(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    pub(super) fn tell(&mut self, what: impl Into<String>) {
        self.evidence.story.push((self.at(), what.into()));
    }

    /// Hands a node something; a stopped process finds it when it goes on.
    pub(super) fn input(&mut self, number: u8, input: Input) {
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        match &mut life.stopped {
            Some(waiting) => waiting.push(input),
            None => {
                life.core.handle_input(life.mono(now), input);
                self.dirty.insert(number);
            }
        }
    }

    fn wake(&mut self, number: u8) {
        let now = self.now;
        if let Some(life) = &mut self.node(number).life
            && life.stopped.is_none()
            && life.wake.is_some_and(|wake| wake <= now)
        {
            life.wake = None;
            self.input(number, Input::Timeout);
        }
    }

    /// Whether two nodes could hear each other now.
    pub(super) fn is_reachable(&self, one: u8, other: u8) -> bool {
        let up = |number: u8| self.nodes[usize::from(number)].is_up();
        let cut = |path| self.cuts.get(&path).is_some_and(|cuts| *cuts > 0);
        up(one) && up(other) && !cut((one, other)) && !cut((other, one))
    }

    /// A node notices what has become of another.
    fn sense(&mut self, number: u8, peer: u8) {
        if number == peer || !self.nodes[usize::from(number)].is_up() {
            return;
        }
        let there = self.is_reachable(number, peer);
        let origin = self.nodes[usize::from(peer)].origin().filter(|_| there);
        let rtt = self.rtt(number, peer);
        let Some(life) = &mut self.node(number).life else { return };
        let before = std::mem::replace(&mut life.seen[usize::from(peer)], origin);
        if before == origin {
            return;
        }
        if let Some(before) = before {
            self.input(number, peer_down(before));
        }
        if let Some(origin) = origin {
            self.input(number, peer_up(origin, peer, rtt));
        }
        self.trace.note("links", ip(number), u64::from(peer) << 1 | u64::from(origin.is_some()));
    }

    fn weather(&self, from: u8, to: u8) -> Weather {
        let storm = self.storms.get(&(from.min(to), from.max(to)));
        *storm.unwrap_or(&self.schedule.weather)
    }

    fn rtt(&self, one: u8, other: u8) -> Duration {
        let weather = self.weather(one, other);
        Duration::from_micros(2 * weather.delay_us + weather.jitter_us)
    }

    /// Every link that this node is an end of is noticed anew: soon if something came back, later
    /// if it went.
    pub(super) fn stir(&mut self, number: u8, most_ms: u64) {
        for peer in 1..self.nodes.len() as u8 {
            self.stir_pair(number, peer, most_ms);
        }
    }

    pub(super) fn stir_pair(&mut self, one: u8, other: u8, most_ms: u64) {
        for (node, peer) in [(one, other), (other, one)] {
            let draw = Draw::new(self.chance(), &[SENSE, node.into(), peer.into(), self.now]);
            let at = self.now + 20 + draw.up_to(0, most_ms);
            self.queue.push(at, Event::Sense { node, peer });
        }
    }

    fn deliver(&mut self, (to, life): (u8, u32), from: Origin, sent: Tick, message: Message) {
        let node = &self.nodes[usize::from(to)];
        let Some(here) = node.life.as_ref().filter(|here| here.number == life) else { return };
        let sender = here.seen.iter().position(|origin| *origin == Some(from));
        let Some(sender) = sender else { return };
        if self.cuts.get(&(sender as u8, to)).is_some_and(|cuts| *cuts > 0) {
            self.net.datagrams_dropped += 1;
            return self.record(sender as u8, to, (sent, false), &message);
        }
        self.record(sender as u8, to, (sent, true), &message);
        let word = message_word(&message);
        self.trace.said(address(sender as u8, PEER_PORT), address(to, PEER_PORT), word, &message);
        self.input(to, Input::message(from, message));
    }

    /// Sends a message on its way: what is lost comes late, and now and then not at all.
    fn post(&mut self, from: u8, origin: Origin, to: Origin, message: Message) {
        let Some(peer) = self.find(from, to) else { return };
        let (weather, chance) = (self.weather(from, peer), self.chance());
        let link = self.links.entry((from, peer)).or_default();
        link.sent += 1;
        let draw = Draw::new(chance, &[LINK, from.into(), peer.into(), link.sent]);
        self.net.datagrams_sent += 1;
        let mut delay_us = weather.delay_us + draw.up_to(0, weather.jitter_us);
        let size = size_of_message(&message) * 1_000_000;
        if let Some(size) = size.checked_div(weather.bandwidth) {
            let now_us = self.now * 1_000;
            link.busy_until_us = link.busy_until_us.max(now_us) + size;
            delay_us += link.busy_until_us - now_us;
        }
        if draw.unit(1) < weather.loss + weather.corruption {
            if draw.unit(2) < DROPPED {
                self.net.datagrams_dropped += 1;
                return self.record(from, peer, (self.now, false), &message);
            }
            delay_us += RESEND_MS * 1_000 + 2 * weather.delay_us + weather.jitter_us;
        }
        if draw.unit(3) < weather.reordering {
            delay_us += draw.up_to(4, weather.jitter_us * 10);
        }
        let Some(life) = self.nodes[usize::from(peer)].life.as_ref().map(|life| life.number) else {
            return;
        };
        let sent = self.now;
        let at = sent + delay_us.div_ceil(1_000).max(1);
        if draw.unit(5) < weather.duplication {
            let message = Box::new(message.clone());
            let again = at + draw.up_to(6, weather.jitter_us.div_ceil(1_000));
            self.queue.push(again, Event::Deliver { to: peer, life, from: origin, sent, message });
        }
        let message = Box::new(message);
        self.queue.push(at, Event::Deliver { to: peer, life, from: origin, sent, message });
    }

    /// Draws a message that has come to its end.
    fn record(&self, from: u8, to: u8, (sent, arrived): (Tick, bool), message: &Message) {
        let Some(recorder) = &self.recorder else { return };
        let (sent_ns, ended_ns) = (sent * 1_000_000, self.now * 1_000_000);
        let what = || message.to_string();
        recorder.flight(|| Flight { sent_ns, ended_ns, from, to, arrived, what: what() });
    }

    /// Who a node's peer is, if that still lives.
    fn find(&self, from: u8, origin: Origin) -> Option<u8> {
        let seen = &self.nodes[usize::from(from)].life.as_ref()?.seen;
        let peer = seen.iter().position(|seen| *seen == Some(origin))?;
        (self.nodes[peer].origin() == Some(origin)).then_some(peer as u8)
    }

    /// Ends a node's turn and carries out what its core wants.
    fn settle(&mut self, number: u8) {
        self.turns += 1;
        let (now, turns) = (self.now, self.turns);
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        if life.stopped.is_some() {
            return;
        }
        let mono = life.mono(now);
        life.core.settle(mono);
        if turns.is_multiple_of(ASSERT_EVERY) {
            life.core.check_invariants();
        }
        let origin = life.origin;
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.extend(std::iter::from_fn(|| life.core.poll_output()));
        for output in outputs.drain(..) {
            self.carry_out(number, origin, output);
        }
        self.outputs = outputs;
        self.show(number);
        self.schedule_wake(number);
    }

    fn schedule_wake(&mut self, number: u8) {
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        let Some(due) = life.core.poll_timeout() else { return };
        let at = life.tick(due).max(now + 1);
        if life.wake.is_none_or(|wake| at < wake) {
            life.wake = Some(at);
            self.queue.push(at, Event::Wake { node: number });
        }
    }

    fn carry_out(&mut self, number: u8, origin: Origin, output: Output) {
        let now = self.now;
        match output {
            Output::Reply { ticket, reply } => self.on_reply(number, ticket, reply),
            Output::Send { to, message, .. } => self.post(number, origin, to, message),
            Output::Persist { id, seq, entry } => {
                if id.origin == origin && self.keeps_entries() {
                    self.evidence.entries.insert((id, seq), entry.clone());
                }
                self.node(number).disk.write(now, Write::Entry(id, seq, entry));
            }
            Output::PersistCut { heads, parts } => {
                self.node(number).disk.write(now, Write::Cut(heads, parts));
            }
            Output::Inbox { player, message } => self.on_inbox(number, player, message),
            Output::Flush => self.node(number).disk.flush(now),
            Output::Applied { .. } | Output::Late { .. } => {}
            Output::Alarm(alarm) => {
                let what = format!("node {number} at {:?}: {alarm}", self.at());
                self.evidence.alarms.push(what);
            }
        }
    }

    /// Merging all entries anew is only worth it, and only affordable, for small shows.
    fn keeps_entries(&self) -> bool {
        self.schedule.players <= 1_000
    }

    /// What each node has now.
    fn states(&self) -> BTreeMap<u8, NodeState> {
        let state = |number: u8| {
            let life = self.nodes[usize::from(number)].life.as_ref()?;
            Some((number, NodeState::of(&life.core, life.mono(self.now), PIN)))
        };
        self.alive().into_iter().filter_map(state).collect()
    }

    /// All that was seen.
    pub(super) fn finish(mut self) -> (Evidence, NetStats) {
        if self.until.is_some() {
            self.evidence.states = self.states();
        }
        let seed = self.schedule.seed;
        let seen = std::mem::take(&mut self.seen).into_iter();
        let players = (1..).zip(seen).map(|(number, seen)| (super::player::id(seed, number), seen));
        self.evidence.players = players.collect();
        (self.evidence, self.net)
    }
}

/// The names of dice.
const LINK: u64 = u64::from_be_bytes(*b"messages");
const SENSE: u64 = u64::from_be_bytes(*b"noticing");

/// The address of a node in the trace.
pub(super) fn ip(number: u8) -> IpAddr {
    address(number, PEER_PORT).ip()
}

/// A number that stands for a message in the trace: of entries all bytes, of the rest what moves.
fn message_word(message: &Message) -> u64 {
    match message {
        Message::Heads { lanes, tail_bytes, digest } => {
            let heads = lanes.iter().fold(*tail_bytes, |word, span| fold(word, span.head));
            fold(heads, digest.unwrap_or(1))
        }
        Message::Entries { id, first, entries, .. } => {
            let start = fold(id.origin.0, *first);
            entries.iter().fold(start, |word, entry| fold(word, xxh3_64(entry)))
        }
        Message::Ack { lane, head, said } => fold(fold(2 + *lane as u64, *head), *said),
        Message::Pull { id, from, .. } => fold(fold(4, id.origin.0), *from),
        Message::Gone { id, base } => fold(fold(5, id.origin.0), *base),
        Message::SnapshotRequest { session } => fold(6, *session),
        Message::SnapshotHead { session, parts, .. } => fold(fold(7, *session), (*parts).into()),
        Message::SnapshotNext { session, index } => fold(fold(8, *session), (*index).into()),
        Message::SnapshotPart { bytes, .. } => xxh3_64(bytes),
        Message::SnapshotRefused { session } => fold(9, *session),
        rare => xxh3_64(&rare.encode()),
    }
}

/// About how long a message is on the wire, in bytes.
fn size_of_message(message: &Message) -> u64 {
    let body = match message {
        Message::Heads { lanes, .. } => lanes.len() * 24,
        Message::Entries { entries, .. } => entries.iter().map(|entry| entry.len() + 8).sum(),
        Message::SnapshotPart { bytes, .. } => bytes.len(),
        _ => 24,
    };
    body as u64 + 60
}
