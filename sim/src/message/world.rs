//! The nodes, the network between them, and the loop that turns ticks into turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::node::engine::{Heed, Input, Output};
use crdt_state::{EventId, LaneId, Mono, Origin};
use gossip::replication::{Config, Message};

use super::disk::Write;
use super::growth::Crowd;
use super::host::Host;
use super::interest::{ARRIVAL_PATIENCE, comes_for_the_event};
use super::net::Link;
use super::node::Node;
use super::player::Player;
use super::queue::{Event, Queue, Tick};
use crate::clock;
use crate::cluster::{PEER_PORT, address};
use crate::cuts::Cuts;
use crate::fork::Fork;
use crate::lasting::Lasting;
use crate::net::NetStats;
use crate::quiz::evidence::{Evidence, PlayerEvidence};
use crate::recording::Recorder;
use crate::schedule::{Knobs, Schedule};
use crate::state::NodeState;
use crate::storms::Storms;
use crate::trace::Trace;

/// The event that is played.
pub(super) const EVENT: EventId = EventId(0xe);
/// The PIN that it is played under.
pub(super) const PIN: &str = "123456";
/// No run of this fidelity lasts longer, whatever happens.
pub(super) const RUN_MAX: Tick = 240_000;
/// Invariants of a core are asserted once in so many of its turns: they read all that it keeps.
const ASSERT_EVERY: u64 = 256;

pub(super) struct World {
    pub(super) schedule: Arc<Schedule>,
    pub(super) trace: Trace,
    pub(super) now: Tick,
    pub(super) queue: Queue,
    /// By number; nobody has number 0.
    pub(super) nodes: Vec<Node>,
    pub(super) cuts: Cuts<u8>,
    pub(super) storms: Storms,
    pub(super) lasting: Lasting,
    pub(super) links: BTreeMap<(u8, u8), Link>,
    pub(super) players: Vec<Player>,
    pub(super) seen: Vec<PlayerEvidence>,
    /// The players who were told firmly that an answer of theirs counts, by instance.
    pub(super) promised: BTreeMap<u32, Vec<u32>>,
    /// In place of players, where only what a cluster takes is measured.
    pub(super) crowd: Option<Crowd>,
    pub(super) hosts: Vec<Host>,
    pub(super) evidence: Evidence,
    pub(super) replies: u64,
    pub(super) is_over: bool,
    /// Whether the catalogue has the event. It reaches every node at once here.
    pub(super) is_listed: bool,
    is_watched: bool,
    is_compared: bool,
    /// Nodes that something has reached in this tick.
    dirty: BTreeSet<u8>,
    outputs: VecDeque<Output>,
    turns: u64,
    pub(super) net: NetStats,
    /// Faults that have not ended.
    pub(super) faults_left: usize,
    pub(super) faults_begun: Vec<bool>,
    /// Who is down, by the fault that did it.
    pub(super) down: Vec<(u16, u8)>,
    pub(super) ended_at: Option<Tick>,
    /// When to stop before the end.
    pub(super) until: Option<Tick>,
    /// Where the dice change, and for which future.
    pub(super) fork: Option<Fork>,
    pub(super) recorder: Option<Recorder>,
}

impl World {
    pub(super) fn new(schedule: Arc<Schedule>, trace: Trace) -> Self {
        let count = usize::from(schedule.nodes_ever());
        let (program, ack) = (schedule.programs().0, schedule.ack);
        let mut world = World {
            now: 0,
            queue: Queue::default(),
            nodes: (0..=count).map(|_| Node { program, ack, ..Node::default() }).collect(),
            cuts: Cuts::default(),
            storms: Storms::default(),
            lasting: Lasting::default(),
            links: BTreeMap::new(),
            players: Vec::new(),
            seen: vec![PlayerEvidence::default(); schedule.players as usize],
            promised: BTreeMap::new(),
            crowd: None,
            hosts: Vec::new(),
            evidence: Evidence::new((*schedule).clone()),
            replies: 0,
            is_over: false,
            is_listed: false,
            is_watched: false,
            is_compared: false,
            dirty: BTreeSet::new(),
            outputs: VecDeque::new(),
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

    /// Lets time pass until the run is over, or somebody wants it to end.
    pub(super) fn run(&mut self, enough: &AtomicBool) {
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
                if enough.load(Ordering::Relaxed) {
                    return;
                }
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
            Event::Deliver { to, life, way, sent, message } => {
                self.deliver((to, life), way, sent, *message);
            }
            Event::Hear { to, life, from, word } => self.hear((to, life), from, *word),
            Event::Wake { node } => self.wake(node),
            Event::Sense { node, peer } => self.sense(node, peer),
            Event::Look { node, life } => self.look_for_spare(node, life),
            Event::Goodbye { node, life, period, said } => {
                self.on_goodbye(node, life, period, said);
            }
            Event::Player { number, act } => self.act(number, act),
            Event::Host { number } => self.host(number),
            Event::Fault { index, step } => self.fault(index, step),
            Event::Crowd => self.hand_over(),
            Event::Watch => self.is_watched = true,
            Event::Compare => self.is_compared = true,
        }
    }

    pub(super) fn boot(&mut self, number: u8) {
        let (count, config) = (self.nodes.len() - 1, self.replication());
        let seed = self.schedule.seed;
        let node = &mut self.nodes[usize::from(number)];
        node.boot(seed, number, self.now, count, config);
        let origin = node.origin().unwrap_or_default();
        self.trace.note("origin", ip(number), origin.0);
        self.dirty.insert(number);
        if self.is_listed {
            self.list(number);
        }
        self.begin_looking(number);
    }

    /// How replication is bounded.
    pub(super) fn replication(&self) -> Config {
        let Knobs { tail_bytes_max, snapshot_above_bytes } = self.schedule.knobs;
        Config { tail_bytes_max, snapshot_above_bytes, ..Config::default() }
    }

    pub(super) fn node(&mut self, number: u8) -> &mut Node {
        &mut self.nodes[usize::from(number)]
    }

    /// The nodes that live, by number.
    pub(super) fn alive(&self) -> Vec<u8> {
        let alive = |number: &u8| self.nodes[usize::from(*number)].life.is_some();
        (1..self.nodes.len() as u8).filter(alive).collect()
    }

    /// The nodes that live and carry the event, by number.
    pub(super) fn carriers(&self) -> Vec<u8> {
        let carries = |number: &u8| self.nodes[usize::from(*number)].carries();
        (1..self.nodes.len() as u8).filter(carries).collect()
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
        if let Some(waiting) = &mut life.stopped {
            return waiting.push(input);
        }
        self.dirty.insert(number);
        let comes = comes_for_the_event(&input);
        if comes {
            life.wanted_at = now;
        }
        if !comes || life.is_open() {
            life.core.handle_input(life.mono(now), input);
            return self.watch_queues(number);
        }
        life.door.push((now, input));
        self.heed(number, Heed::Wanted { event: EVENT });
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

    /// Ends a node's turn and carries out what its core wants.
    fn settle(&mut self, number: u8) {
        self.turns += 1;
        let (now, turns) = (self.now, self.turns);
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        if life.stopped.is_some() {
            return;
        }
        let mono = life.mono(now);
        if life.interest_due.is_some_and(|due| due <= mono) {
            self.heed(number, Heed::Timeout);
        }
        self.open_door(number);
        let Node { life: Some(life), disk, .. } = &mut self.nodes[usize::from(number)] else {
            return;
        };
        life.core.keep_promises(!disk.is_failing(now));
        life.core.settle(mono);
        let awaited = life.newly_awaited();
        if turns.is_multiple_of(ASSERT_EVERY) && self.crowd.is_none() {
            life.core.check_invariants();
        }
        let origin = life.writes_as;
        let mut outputs = std::mem::take(&mut self.outputs);
        life.core.swap_outputs(&mut outputs);
        for output in outputs.drain(..) {
            self.carry_out(number, origin, output);
        }
        self.outputs = outputs;
        self.watch_queues(number);
        self.show(number);
        if let Some(nodes) = awaited {
            self.heed(number, Heed::Awaited { event: EVENT, nodes });
        }
        let due = self.schedule_wake(number);
        if due.is_some_and(|due| due <= mono) && !self.dirty.contains(&number) {
            self.note_restless(number, due);
        }
    }

    /// Notes once in a life that a core that has done all that was due wants to be woken for it.
    fn note_restless(&mut self, number: u8, due: Option<Mono>) {
        let now = self.now;
        let Some(life) = &mut self.node(number).life else { return };
        if !std::mem::replace(&mut life.is_restless, true) {
            let mono = life.mono(now);
            let what =
                format!("node {number} did all at {mono:?} and wants to be woken at {due:?}");
            self.evidence.stuck.push(what);
        }
    }

    /// Sees to it that a node is woken in time; when its core wants to be.
    pub(super) fn schedule_wake(&mut self, number: u8) -> Option<Mono> {
        let now = self.now;
        let Node { life: Some(life), disk, .. } = &mut self.nodes[usize::from(number)] else {
            return None;
        };
        let core = life.core.poll_timeout();
        let due = [core, life.interest_due];
        let due = due.into_iter().flatten().min().map(|due| life.tick(due));
        let door = life.door.first().map(|(since, _)| since + ARRIVAL_PATIENCE);
        // Of a disk that goes on the core is told, too.
        let all = due.into_iter().chain(door).chain(disk.retry_at());
        let Some(due) = all.min() else { return core };
        let at = due.max(now + 1);
        if life.wake.is_none_or(|wake| at < wake) {
            life.wake = Some(at);
            self.queue.push(at, Event::Wake { node: number });
        }
        core
    }

    fn carry_out(&mut self, number: u8, origin: Origin, output: Output) {
        let now = self.now;
        match output {
            Output::Reply { ticket, reply } => self.on_reply(number, ticket, reply),
            Output::Send { message, .. } if self.is_unkept(number, origin, &message) => {}
            Output::Send { to, message, .. } => self.post(number, to, message),
            Output::Persist { id, seq, entry } => {
                if let Some(crowd) = &mut self.crowd {
                    crowd.wrote(id, seq, id.origin == origin, now);
                }
                self.node(number).disk.write(now, Write::Entry(id, seq, entry));
            }
            Output::PersistCut { heads, parts } => {
                self.node(number).disk.write(now, Write::Cut(heads, parts));
            }
            Output::PersistQuarantine { id } => {
                self.node(number).disk.write(now, Write::Quarantine(id));
            }
            Output::Inbox { player, message, .. } => self.on_inbox(number, player, message),
            Output::Flush => {
                let Node { life, disk, .. } = self.node(number);
                let flushed = disk.flush(now);
                life.iter_mut().for_each(|life| life.is_unkept |= !flushed);
            }
            Output::Applied { .. } | Output::Late { .. } | Output::Superseded => {}
            Output::Alarm(alarm) => {
                let what = format!("node {number} at {:?}: {alarm}", self.at());
                self.evidence.alarms.push(what);
            }
        }
    }

    /// Whether a message may tell what its node must have on disk before anybody hears it, and has not.
    fn is_unkept(&mut self, number: u8, origin: Origin, message: &Message) -> bool {
        let now = self.now;
        let Node { life: Some(life), disk, .. } = self.node(number) else { return false };
        life.is_unkept = life.is_unkept && disk.is_failing(now);
        life.is_unkept
            && match message {
                Message::Entries { id, .. } => *id == LaneId::control(origin),
                Message::SnapshotHead { .. } | Message::SnapshotPart { .. } => true,
                _ => false,
            }
    }

    /// Something that a node depends on has changed.
    pub(super) fn touch(&mut self, number: u8) {
        self.dirty.insert(number);
    }

    /// Merging all entries anew is only worth it, and only affordable, for small shows.
    pub(super) fn keeps_entries(&self) -> bool {
        self.schedule.players <= 1_000 && self.crowd.is_none()
    }

    /// What each node has now.
    fn states(&self) -> BTreeMap<u8, NodeState> {
        let state = |number: u8| {
            let life = self.nodes[usize::from(number)].life.as_ref()?;
            Some((number, NodeState::of(&life.core, life.mono(self.now), PIN)))
        };
        self.carriers().into_iter().filter_map(state).collect()
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

/// The address of a node in the trace.
pub(super) fn ip(number: u8) -> IpAddr {
    address(number, PEER_PORT).ip()
}
