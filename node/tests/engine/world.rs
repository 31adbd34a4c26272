//! Several cores in one thread, on one virtual clock.
//!
//! Checked after every input of every core: its own invariants, and that it does not ask to be woken
//! at once again.

use crate::disk::{Disk, Write};
use crdt_state::delta::{self, Delta};
use crdt_state::{EventId, LaneId, Mono, NodeId, Origin, PlayerId};
use gossip::replication::{self, Alarm, Config, Message};
use node::engine::{Carried, EventCore, Identity, Input, Output, Reply, Rules};
use node::service::view::InboxMessage;
use node::store::Kept;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// The event that is played.
pub const EVENT: EventId = EventId(0xe);

/// How harsh the surroundings are.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Messages lost, in percent.
    pub loss: u64,
    /// Messages that arrive twice, in percent.
    pub doubled: u64,
    /// How long a message is under way, in microseconds; each its own time, so they overtake.
    pub delay_us: Range<u64>,
    /// A write survives a crash once it is this old.
    pub disk_lag: Duration,
    /// How replication paces itself.
    pub replication: Config,
    /// By what rules the nodes play.
    pub rules: Rules,
}

impl Default for Weather {
    fn default() -> Self {
        Weather {
            loss: 0,
            doubled: 0,
            delay_us: 500..2_000,
            disk_lag: Duration::ZERO,
            replication: Config::default(),
            rules: Rules::default(),
        }
    }
}

/// One incarnation of a node.
struct Life {
    core: EventCore,
    origin: Origin,
    /// When the node's own clock, which starts anywhere, stood at zero.
    zero: i64,
}

/// A node, alive or not.
#[derive(Default)]
struct Node {
    life: Option<Life>,
    disk: Disk,
}

/// The cores, the network between them, and all that they said.
pub struct World {
    /// The only source of chance.
    pub dice: ChaCha12Rng,
    /// How harsh it is.
    pub weather: Weather,
    /// Every private message so far: the node that sent it, the player, the message.
    pub inbox: Vec<(usize, PlayerId, InboxMessage)>,
    /// Every alarm so far.
    pub alarms: Vec<Alarm>,
    /// Every announcement of late answers so far: the node that made it, whose, how many entries.
    pub late: Vec<(usize, String, u64)>,
    /// How many receipts were overruled so far, as the nodes count them.
    pub superseded: u64,
    /// Every life so far: the node, and the origin that it had.
    pub lives: Vec<(usize, Origin)>,
    /// Every own entry of a control lane so far: the node that wrote it, and what it says.
    pub written: Vec<(usize, Vec<Delta>)>,
    /// Answers of others that cores said to have applied.
    pub applied: u64,
    /// Lanes whose entries are lost, whoever sends them.
    pub withheld: BTreeSet<LaneId>,
    now: Mono,
    nodes: Vec<Node>,
    /// Nodes whose process stands still, with what arrived for them meanwhile.
    stopped: BTreeMap<usize, Vec<(Origin, Origin, Message)>>,
    cuts: BTreeSet<(usize, usize)>,
    links: BTreeSet<(usize, usize)>,
    wire: BTreeMap<(Mono, u64), (Origin, Origin, Message)>,
    sent: u64,
    tickets: u64,
    replies: BTreeMap<u64, Reply>,
}

impl World {
    /// `nodes` nodes that have started and know each other, and no event yet.
    pub fn new(seed: u64, nodes: usize, weather: Weather) -> Self {
        let mut world = World {
            dice: ChaCha12Rng::seed_from_u64(seed),
            weather,
            inbox: Vec::new(),
            alarms: Vec::new(),
            late: Vec::new(),
            superseded: 0,
            lives: Vec::new(),
            written: Vec::new(),
            applied: 0,
            withheld: BTreeSet::new(),
            now: Duration::from_secs(1_000),
            nodes: (0..nodes).map(|_| Node::default()).collect(),
            stopped: BTreeMap::new(),
            cuts: BTreeSet::new(),
            links: BTreeSet::new(),
            wire: BTreeMap::new(),
            sent: 0,
            tickets: 0,
            replies: BTreeMap::new(),
        };
        for at in 0..nodes {
            let skew = world.roll(100_000) as i64;
            world.live(at, skew);
        }
        world.relink();
        world
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    /// Whether a chance of so many percent comes true.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }

    /// The time, which no core knows.
    pub fn now(&self) -> Mono {
        self.now
    }

    /// How many nodes there are, dead ones counted.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that are alive.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].life.is_some()).collect()
    }

    /// The core of a node that is alive.
    pub fn core(&self, at: usize) -> &EventCore {
        &self.nodes[at].life.as_ref().expect("the node is alive").core
    }

    /// All cores that are alive.
    pub fn cores(&self) -> impl Iterator<Item = &EventCore> {
        self.nodes.iter().filter_map(|node| node.life.as_ref()).map(|life| &life.core)
    }

    /// The time on a living node's own clock.
    pub fn mono(&self, at: usize) -> Mono {
        let life = self.nodes[at].life.as_ref().expect("the node is alive");
        mono(self.now, life.zero)
    }

    /// Starts a node, as a new origin over what its store kept. It is linked to nobody yet.
    pub fn start(&mut self, at: usize) {
        self.live(at, 0);
    }

    /// One more node, which has never run and is linked to nobody.
    pub fn add(&mut self) -> usize {
        self.nodes.push(Node::default());
        let at = self.nodes.len() - 1;
        self.live(at, 0);
        at
    }

    /// Ends a node; what its store had not synced is lost.
    pub fn crash(&mut self, at: usize) {
        for other in 0..self.nodes.len() {
            self.unlink(at, other);
        }
        let node = &mut self.nodes[at];
        node.life = None;
        node.disk.lose_after(self.now.saturating_sub(self.weather.disk_lag));
    }

    /// Has a node carry the event on in its next period, over all that its core has: as one that leaves does when it is
    /// wanted again.
    pub fn renew(&mut self, at: usize) {
        for other in 0..self.nodes.len() {
            self.unlink(at, other);
        }
        let life = self.nodes[at].life.take().expect("the node is alive");
        let kept = life.core.kept(mono(self.now, life.zero));
        self.live_over(at, life.zero, kept);
        self.relink();
    }

    /// Loses a dead node's whole store.
    pub fn wipe(&mut self, at: usize) {
        assert!(self.nodes[at].life.is_none(), "a living node holds its store");
        self.nodes[at].disk = Disk::default();
    }

    /// Has a node's process stand still: what arrives for it waits.
    pub fn stop(&mut self, at: usize) {
        self.stopped.entry(at).or_default();
    }

    /// Has a node's process go on. It reads what waited for it from one peer before all else.
    pub fn go_on(&mut self, at: usize, first: usize) {
        let first = self.origin(first);
        let mut waited = self.stopped.remove(&at).unwrap_or_default();
        waited.sort_by_key(|(from, ..)| Some(*from) != first);
        for (from, to, message) in waited {
            self.deliver(from, to, message);
        }
    }

    /// Keeps two nodes apart until [`World::heal`].
    pub fn cut(&mut self, a: usize, b: usize) {
        self.cuts.insert(pair(a, b));
        self.unlink(a, b);
    }

    /// Cuts a node off from everybody.
    pub fn isolate(&mut self, at: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            self.cut(at, other);
        }
    }

    /// Ends one cut and links the two.
    pub fn heal_between(&mut self, a: usize, b: usize) {
        self.cuts.remove(&pair(a, b));
        self.link(a, b);
    }

    /// Ends all cuts and links everybody who is alive.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.relink();
    }

    /// Links everybody who is alive and not kept apart.
    pub fn relink(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.link(a, b);
            }
        }
    }

    /// Links two nodes, if both are alive and not kept apart.
    pub fn link(&mut self, a: usize, b: usize) {
        let both = self.origin(a).is_some() && self.origin(b).is_some();
        if both && !self.cuts.contains(&pair(a, b)) && self.links.insert(pair(a, b)) {
            self.tell_up(a, b);
            self.tell_up(b, a);
        }
    }

    /// Hands a request to a node. Its reply is under the ticket that is returned.
    pub fn ask(&mut self, at: usize, request: impl FnOnce(u64) -> Input) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        self.input(at, request(ticket));
        ticket
    }

    /// Takes the reply to a request, if there is one by now.
    pub fn take_reply(&mut self, ticket: u64) -> Option<Reply> {
        self.replies.remove(&ticket)
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = end;
    }

    /// As [`World::run`], in milliseconds.
    pub fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// Lets time pass until something is so; at most `ms` milliseconds.
    pub fn until<T>(&mut self, what: &str, ms: u64, so: impl Fn(&mut World) -> Option<T>) -> T {
        for _ in 0..=ms {
            if let Some(found) = so(self) {
                return found;
            }
            self.run_ms(1);
        }
        let stages: Vec<_> = self.cores().map(|core| core.state().stage()).collect();
        panic!("after {ms} ms there is still not: {what}; stages {stages:?}");
    }

    fn live(&mut self, at: usize, skew_ms: i64) {
        let kept = self.nodes[at].disk.read();
        self.live_over(at, self.now.as_millis() as i64 - skew_ms, kept);
    }

    fn live_over(&mut self, at: usize, zero: i64, kept: Kept) {
        let origin = Origin(self.dice.next_u64());
        self.lives.push((at, origin));
        let name = format!("node-{at}");
        let identity =
            Identity { event: EVENT, node: node_id(at), name, origin, born_ms: 1_000_000 };
        let mut carried = Carried::default();
        let quarantined = kept.quarantined.clone();
        let logs = node::hub::replay(kept, &mut carried, mono(self.now, zero));
        let config = self.weather.replication.clone();
        let mut core =
            EventCore::resume(identity, self.weather.rules.clone(), config, carried, logs)
                .quarantining(quarantined);
        core.follow(true);
        self.nodes[at].life = Some(Life { core, origin, zero });
    }

    fn origin(&self, at: usize) -> Option<Origin> {
        self.nodes[at].life.as_ref().map(|life| life.origin)
    }

    fn find(&self, origin: Origin) -> Option<usize> {
        (0..self.nodes.len()).find(|at| self.origin(*at) == Some(origin))
    }

    fn tell_up(&mut self, at: usize, peer: usize) {
        let Some(origin) = self.origin(peer) else { return };
        let rtt = Duration::from_micros(self.weather.delay_us.end + self.weather.delay_us.start);
        let up = replication::Input::PeerUp { peer: origin, node: node_id(peer), rtt };
        self.input(at, Input::Replication(up));
    }

    fn unlink(&mut self, a: usize, b: usize) {
        if !self.links.remove(&pair(a, b)) {
            return;
        }
        for (at, peer) in [(a, b), (b, a)] {
            if let Some(peer) = self.origin(peer) {
                self.input(at, Input::Replication(replication::Input::PeerDown { peer }));
            }
        }
    }

    fn next_at(&self) -> Option<Mono> {
        let letter = self.wire.keys().next().map(|(at, _)| *at);
        let wakes = (0..self.nodes.len()).filter_map(|at| self.wakes_at(at));
        wakes.chain(letter).min()
    }

    fn wakes_at(&self, at: usize) -> Option<Mono> {
        let is_stopped = self.stopped.contains_key(&at);
        self.nodes[at].life.as_ref().filter(|_| !is_stopped).and_then(due_at)
    }

    /// Delivers one letter or wakes one node.
    fn turn(&mut self) {
        if let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now
        {
            let (from, to, message) = entry.remove();
            return self.deliver(from, to, message);
        }
        let due = |at: &usize| self.wakes_at(*at).is_some_and(|due| due <= self.now);
        if let Some(at) = (0..self.nodes.len()).find(due) {
            self.input(at, Input::Timeout);
        }
    }

    fn deliver(&mut self, from: Origin, to: Origin, message: Message) {
        let (Some(a), Some(b)) = (self.find(from), self.find(to)) else { return };
        if let Some(waiting) = self.stopped.get_mut(&b) {
            return waiting.push((from, to, message));
        }
        if self.links.contains(&pair(a, b)) {
            self.input(b, Input::message(from, message));
        }
    }

    /// Has a node hear something that nobody of this world has said, from another one that it is linked with.
    pub fn hear(&mut self, at: usize, from: usize, message: Message) {
        let from = self.nodes[from].life.as_ref().expect("it is alive").origin;
        self.input(at, Input::message(from, message));
    }

    fn post(&mut self, from: Origin, to: Origin, message: &Message) {
        if matches!(message, Message::Entries { id, .. } if self.withheld.contains(id)) {
            return;
        }
        let copies = if self.percent(self.weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let Range { start, end } = self.weather.delay_us;
            let delay = Duration::from_micros(start + self.roll(end - start));
            if !self.percent(self.weather.loss) {
                self.sent += 1;
                self.wire.insert((self.now + delay, self.sent), (from, to, message.clone()));
            }
        }
    }

    fn input(&mut self, at: usize, input: Input) {
        self.inputs(at, [input]);
    }

    /// Asks for several things in one turn.
    pub fn ask_at_once(
        &mut self,
        at: usize,
        requests: impl IntoIterator<Item = impl FnOnce(u64) -> Input>,
    ) -> Range<u64> {
        let first = self.tickets + 1;
        let inputs = (first..).zip(requests).map(|(ticket, request)| request(ticket));
        let inputs: Vec<Input> = inputs.collect();
        self.tickets += inputs.len() as u64;
        self.inputs(at, inputs);
        first..self.tickets + 1
    }

    fn inputs(&mut self, at: usize, inputs: impl IntoIterator<Item = Input>) {
        let Some(life) = &mut self.nodes[at].life else { return };
        let mono = mono(self.now, life.zero);
        inputs.into_iter().for_each(|input| life.core.handle_input(mono, input));
        life.core.settle(mono);
        life.core.check_invariants();
        let wake = life.core.poll_timeout();
        assert!(wake.is_none_or(|wake| wake > mono), "woken at {mono:?} and again at {wake:?}");
        let outputs: Vec<Output> = std::iter::from_fn(|| life.core.poll_output()).collect();
        let from = life.origin;
        for output in outputs {
            self.carry_out(at, from, output);
        }
    }

    fn carry_out(&mut self, at: usize, from: Origin, output: Output) {
        let now = self.now;
        match output {
            Output::Reply { ticket, reply } => {
                let told = self.replies.insert(ticket, reply);
                assert!(told.is_none(), "a request is replied to once");
            }
            Output::Send { to, message, .. } => self.post(from, to, &message),
            Output::Persist { id, seq, entry } => {
                if id == LaneId::control(from) {
                    let deltas = delta::decode(&entry).expect("a core writes what it can read");
                    self.written.push((at, deltas));
                }
                self.nodes[at].disk.write(now, Write::Entry(id, seq, entry));
            }
            Output::PersistCut { heads, parts } => {
                self.nodes[at].disk.write(now, Write::Cut(heads, parts));
            }
            Output::PersistQuarantine { id } => {
                self.nodes[at].disk.write(now, Write::Quarantine(id));
            }
            Output::Flush => self.nodes[at].disk.flush(),
            Output::Superseded => self.superseded += 1,
            Output::Late { node, entries } => self.late.push((at, node, entries)),
            Output::Inbox { player, message, .. } => self.inbox.push((at, player, message)),
            Output::Applied { rows } => self.applied += rows.len() as u64,
            Output::Alarm(alarm) => self.alarms.push(alarm),
        }
    }
}

fn node_id(at: usize) -> NodeId {
    NodeId(0x100 + at as u64)
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// The time on a clock that stood at zero at `zero` milliseconds.
fn mono(now: Mono, zero: i64) -> Mono {
    if zero < 0 {
        return now + Duration::from_millis(zero.unsigned_abs());
    }
    now.saturating_sub(Duration::from_millis(zero.unsigned_abs()))
}

/// When a core wants to be woken, on the world's clock.
fn due_at(life: &Life) -> Option<Mono> {
    let due = life.core.poll_timeout()?;
    if life.zero < 0 {
        return Some(due.saturating_sub(Duration::from_millis(life.zero.unsigned_abs())));
    }
    Some(due + Duration::from_millis(life.zero.unsigned_abs()))
}
