//! The nodes of a workload: a replica with its content and its disk each, and the network between.
//!
//! Time goes in milliseconds; links, disks and dice are those of message fidelity.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use crdt_state::{Lane, LaneId, Mono, NodeId, Origin};
use gossip::replication::{
    AckLevel, Config, EnrolmentState, Input, Message, Output, Replica, Replicated,
};
use node::hub::replay;

use super::Workload;
use super::content::{Content, Op};
use super::history::{Ended, History, Operation, Read};
use crate::cuts::Cuts;
use crate::lasting::Lasting;
use crate::message::disk::{Disk, Write};
use crate::mix::{Draw, fold};
use crate::schedule::Schedule;
use crate::storms::Storms;

/// Clients begin once nodes know each other.
const BEGIN_MS: u64 = 1_000;
/// Between two questions' worth of operations.
const PAUSE_MS: u64 = 500;
/// How long all may take to agree once everything is mended, as in the quiz.
const AGREE_MAX_MS: u64 = 15_000;
/// How often nodes are compared then.
const COMPARE_EVERY_MS: u64 = 100;

/// Invariants of a replica are asserted now and then: they read all that it keeps.
const ASSERT_EVERY: u64 = 64;

/// What happens next.
pub(super) enum Event {
    Deliver { to: u8, life: u32, from: Origin, message: Box<Message> },
    Wake { node: u8 },
    Sense { node: u8, peer: u8 },
    Client { operation: usize, node: u8 },
    Fault { index: usize, step: u32 },
    Compare,
}

/// One life of a node.
pub(super) struct Life {
    pub(super) replica: Replica,
    content: Content,
    pub(super) number: u32,
    born: u64,
    pub(super) seen: BTreeMap<u8, Origin>,
    /// Stopped without being ended; what comes waits.
    pub(super) stopped: Option<Vec<Input>>,
    wake: Option<u64>,
}

#[derive(Default)]
pub(super) struct Node {
    pub(super) life: Option<Life>,
    pub(super) disk: Disk,
    pub(super) lives: u32,
    pub(super) is_gone: bool,
}

pub(super) struct Cluster<'a> {
    workload: Workload,
    pub(super) schedule: &'a Schedule,
    pub(super) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    pushed: u64,
    /// By number; nobody has number 0.
    pub(super) nodes: Vec<Node>,
    pub(super) cuts: Cuts<u8>,
    pub(super) storms: Storms,
    pub(super) lasting: Lasting,
    pub(super) links: BTreeMap<(u8, u8), u64>,
    pub(super) operations: Vec<Operation>,
    tickets: BTreeMap<(Origin, u64), usize>,
    pub(super) down: Vec<(usize, u8)>,
    pub(super) messages: u64,
    pub(super) hash: u64,
    ends_ms: u64,
    is_over: bool,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(workload: Workload, schedule: &'a Schedule) -> Self {
        let places = usize::from(schedule.nodes_ever()) + 1;
        let mut cluster = Self {
            workload,
            schedule,
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            pushed: 0,
            nodes: (0..places).map(|_| Node::default()).collect(),
            cuts: Cuts::default(),
            storms: Storms::default(),
            lasting: Lasting::default(),
            links: BTreeMap::new(),
            operations: Vec::new(),
            tickets: BTreeMap::new(),
            down: Vec::new(),
            messages: 0,
            hash: 0,
            ends_ms: 0,
            is_over: false,
        };
        schedule.first_nodes().for_each(|number| cluster.boot(number));
        schedule.first_nodes().for_each(|number| cluster.stir(number, 100));
        cluster.plan();
        cluster
    }

    /// When operations are asked for and faults begin: a question opens after the one before.
    fn plan(&mut self) {
        let mut opens = vec![BEGIN_MS];
        let mut at = BEGIN_MS;
        for (question, open) in (1_u32..).zip(self.schedule.questions.clone()) {
            opens.push(at);
            (0..self.schedule.players)
                .for_each(|client| self.ask(client, question, at, open.open_ms));
            at += u64::from(open.open_ms) + PAUSE_MS;
        }
        let mut ends = at;
        for (index, planned) in self.schedule.faults.iter().enumerate() {
            let begins = opens[planned.instance as usize] + planned.after_ms;
            // A flapping cut ends up to two periods later.
            ends = ends.max(begins + planned.lasts_ms + 5_000);
            self.push(begins, Event::Fault { index, step: 0 });
        }
        self.ends_ms = ends;
        self.push(ends, Event::Compare);
    }

    fn ask(&mut self, client: u32, question: u32, opens: u64, open_ms: u32) {
        let dice = self.dice(&[CLIENT, client.into(), question.into()]);
        let element = u64::from(question) << 32 | u64::from(client);
        let by = 1 + dice.up_to(1, 4) as u32;
        let op = match self.workload {
            Workload::Broadcast | Workload::GSet => Op::Add(element),
            Workload::GCounter => Op::Grow(by),
            Workload::PnCounter if dice.unit(2) < 0.5 => Op::Step(-(by as i32)),
            Workload::PnCounter => Op::Step(by as i32),
        };
        let sent_ms = opens + dice.up_to(3, open_ms.into());
        let node = 1 + dice.up_to(4, self.nodes.len() as u64 - 2) as u8;
        let (ended, nodes, stable_ms) = (Ended::Fail, 0, None);
        self.operations.push(Operation { op, sent_ms, ended, nodes, stable_ms });
        let operation = self.operations.len() - 1;
        self.push(sent_ms, Event::Client { operation, node });
    }

    /// Lets time pass until all agree, or long enough.
    pub(super) fn run(mut self) -> History {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            self.now = at;
            let Some(event) = self.events.remove(&number) else { continue };
            self.on_event(event);
            if self.is_over {
                break;
            }
        }
        let read = |node: &Node| {
            let content = &node.life.as_ref()?.content;
            let set = content.set.read().into_iter().collect();
            Some(Read { set, value: content.value() })
        };
        let reads = (0..).zip(&self.nodes).filter_map(|(number, node)| Some((number, read(node)?)));
        let reads = reads.collect();
        let Self { workload, operations, messages, hash, .. } = self;
        History { workload, operations, reads, messages, hash }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Deliver { to, life, from, message } => self.deliver(to, life, from, *message),
            Event::Wake { node } => self.wake(node),
            Event::Sense { node, peer } => self.sense(node, peer),
            Event::Client { operation, node } => self.client(operation, node),
            Event::Fault { index, step } => self.fault(index, step),
            Event::Compare => self.compare(),
        }
    }

    pub(super) fn push(&mut self, at: u64, event: Event) {
        self.pushed += 1;
        self.events.insert(self.pushed, event);
        self.queue.push(Reverse((at, self.pushed)));
    }

    pub(super) fn dice(&self, name: &[u64]) -> Draw {
        Draw::new(self.schedule.seed, name)
    }

    /// Starts a life over what the disk holds.
    pub(super) fn boot(&mut self, number: u8) {
        let (now, node) = (self.now, &mut self.nodes[usize::from(number)]);
        node.lives += 1;
        let lives = node.lives;
        let word = Draw::new(self.schedule.seed, &[ORIGIN, number.into(), lives.into()]).word(0);
        let origin = Origin(word | 1);
        let mut content = Content::default();
        let logs = replay(node.disk.read(), &mut content, Mono::ZERO);
        let knobs = self.schedule.knobs;
        let config = Config {
            tail_bytes_max: knobs.tail_bytes_max,
            snapshot_above_bytes: knobs.snapshot_above_bytes,
            ..Config::default()
        };
        let replica = Replica::resume(origin, config, content.heads().clone(), logs);
        let seen = BTreeMap::new();
        node.life = Some(Life {
            replica,
            content,
            number: lives,
            born: now,
            seen,
            stopped: None,
            wake: None,
        });
        let seq = self.commit(number, Lane::Control, Op::Enrol);
        let is_creator = number == 1 && lives == 1;
        let firm =
            if is_creator { EnrolmentState::Exempt { seq } } else { EnrolmentState::Needs { seq } };
        let first = self.schedule.first_nodes().chain([number]);
        let mut enrolled: BTreeMap<NodeId, BTreeSet<Origin>> =
            first.map(|node| (id(node), BTreeSet::new())).collect();
        enrolled.entry(id(number)).or_default().insert(origin);
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.replica.set_enrolled(enrolled, firm);
        }
        self.settle(number);
    }

    /// Writes an entry; its number.
    fn commit(&mut self, number: u8, lane: Lane, op: Op) -> u64 {
        let now = self.now;
        let node = &mut self.nodes[usize::from(number)];
        let Some(life) = &mut node.life else { return 0 };
        let (mono, entry) = (life.mono(now), op.encode());
        let lane_id = LaneId { origin: life.replica.me(), lane };
        let seq = life.replica.heads().get(&lane_id) + 1;
        let applied = life.content.apply(lane_id, seq, Duration::ZERO, mono, &entry);
        applied.expect("a node reads what it writes");
        life.replica.commit(mono, lane, entry.clone());
        node.disk.write(now, Write::Entry(lane_id, seq, entry));
        seq
    }

    /// A client asks; a node that is down takes nothing, one that is stopped never answers.
    fn client(&mut self, operation: usize, number: u8) {
        if !self.is_up(number) {
            return;
        }
        let op = self.operations[operation].op;
        let seq = self.commit(number, Lane::Bulk, op);
        self.operations[operation].ended = Ended::Info;
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        self.tickets.insert((life.replica.me(), operation as u64), operation);
        let mono = life.mono(now);
        let ticket = operation as u64;
        if !life.replica.await_receipt(mono, ticket, Lane::Bulk, seq, AckLevel::Peer) {
            self.receipt(number, ticket, false);
        }
        self.has(number, op);
        self.settle(number);
    }

    /// A node has what an operation says.
    fn has(&mut self, number: u8, op: Op) {
        let Op::Add(element) = op else { return };
        let (question, client) = ((element >> 32) as usize, element as u32 as usize);
        let index = (question - 1) * self.schedule.players as usize + client;
        let up = (1..self.nodes.len() as u8).filter(|node| self.is_up(*node));
        let all = up.fold(0_u128, |bits, node| bits | 1 << node);
        let now = self.now;
        let Some(operation) = self.operations.get_mut(index) else { return };
        operation.nodes |= 1 << number;
        if operation.nodes & all == all {
            operation.stable_ms.get_or_insert(now);
        }
    }

    pub(super) fn is_up(&self, number: u8) -> bool {
        let life = self.nodes[usize::from(number)].life.as_ref();
        life.is_some_and(|life| life.stopped.is_none())
    }

    pub(super) fn origin(&self, number: u8) -> Option<Origin> {
        self.nodes[usize::from(number)].life.as_ref().map(|life| life.replica.me())
    }

    pub(super) fn input(&mut self, number: u8, input: Input) {
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        if let Some(waiting) = &mut life.stopped {
            return waiting.push(input);
        }
        let mono = life.mono(now);
        life.replica.handle_input(mono, input, &mut life.content);
        self.settle(number);
    }

    /// Carries out what a replica wants.
    fn settle(&mut self, number: u8) {
        while let Some(output) = self.output(number) {
            match output {
                Output::Send { to, message, .. } => self.post(number, to, message),
                Output::Applied { id, seq, entry } => {
                    let op = Op::decode(&entry);
                    let now = self.now;
                    self.nodes[usize::from(number)].disk.write(now, Write::Entry(id, seq, entry));
                    op.into_iter().for_each(|op| self.has(number, op));
                }
                Output::Restored { .. } => self.restored(number),
                Output::Receipt { ticket, firm } => self.receipt(number, ticket, firm),
                Output::Quarantined { id } => panic!("node {number}: {id:?} has two histories"),
                Output::Alarm(alarm) => panic!("node {number}: {alarm}"),
            }
        }
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        if self.pushed.is_multiple_of(ASSERT_EVERY) {
            life.replica.check_invariants(&life.content);
        }
        let Some(due) = life.replica.poll_timeout() else { return };
        let at = (life.born + due.as_nanos().div_ceil(1_000_000) as u64).max(now + 1);
        if life.wake.is_none_or(|wake| at < wake) {
            life.wake = Some(at);
            self.push(at, Event::Wake { node: number });
        }
    }

    fn output(&mut self, number: u8) -> Option<Output> {
        self.nodes[usize::from(number)].life.as_mut()?.replica.poll_output()
    }

    fn restored(&mut self, number: u8) {
        let now = self.now;
        let node = &mut self.nodes[usize::from(number)];
        let Some(life) = &node.life else { return };
        let parts = life.content.cut(life.mono(now)).whole();
        node.disk.write(now, Write::Cut(life.content.heads().clone(), parts));
        let set = life.content.set.read();
        set.into_iter().for_each(|element| self.has(number, Op::Add(element)));
    }

    fn receipt(&mut self, number: u8, ticket: u64, firm: bool) {
        let Some(origin) = self.origin(number) else { return };
        let asked = self.tickets.get(&(origin, ticket)).copied();
        self.hash = fold(fold(fold(self.hash, self.now), origin.0), ticket << 1 | u64::from(firm));
        if let Some(operation) = asked.filter(|_| firm) {
            self.operations[operation].ended = Ended::Ok(self.now);
        }
    }

    fn wake(&mut self, number: u8) {
        let now = self.now;
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        if life.stopped.is_none() && life.wake.is_some_and(|wake| wake <= now) {
            life.wake = None;
            self.input(number, Input::Timeout);
        }
    }

    /// Whether all nodes have the same; after long enough they are read in any case.
    fn compare(&mut self) {
        if self.now == self.ends_ms {
            (1..self.nodes.len() as u8).for_each(|number| self.stir(number, 1_000));
        }
        let lives = || self.nodes.iter().filter_map(|node| node.life.as_ref());
        let same = lives().map(|life| life.content.heads()).collect::<Vec<_>>();
        let agreed = same.windows(2).all(|two| two[0] == two[1]);
        self.is_over = agreed || self.now >= self.ends_ms + AGREE_MAX_MS;
        if !self.is_over {
            self.push(self.now + COMPARE_EVERY_MS, Event::Compare);
        }
    }
}

impl Life {
    fn mono(&self, now: u64) -> Mono {
        Duration::from_millis(now - self.born)
    }

    /// Goes on, with what has waited.
    pub(super) fn go_on(&mut self) -> Vec<Input> {
        self.wake = None;
        self.stopped.take().unwrap_or_default()
    }
}

/// The id of a node, the same in all its lives.
pub(super) fn id(number: u8) -> NodeId {
    NodeId(0x100 + u64::from(number))
}

/// The names of dice.
const CLIENT: u64 = u64::from_be_bytes(*b"a client");
const ORIGIN: u64 = u64::from_be_bytes(*b"origins!");
