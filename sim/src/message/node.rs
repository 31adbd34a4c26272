//! A node as this fidelity has it: its core while it lives, its disk always, and whom it sees.

use ::node::config::Ack;
use std::collections::BTreeSet;
use std::time::Duration;

use ::node::engine::{Carried, EventCore, Identity, Input, Interest, Rules};
use ::node::hub::replay;
use ::node::service::view::StageView;
use ::node::store::Kept;
use crdt_state::{Mono, NodeId, Origin, Period, Versions};
use gossip::replication::{self, Config};

use super::disk::Disk;
use super::queue::Tick;
use super::world::EVENT;
use crate::check::closing::GRACE;
use crate::cluster::name;
use crate::mix::Draw;

/// One incarnation.
pub(super) struct Life {
    pub(super) core: EventCore,
    /// Of its links.
    pub(super) origin: Origin,
    /// Of what it writes: another one in each period.
    pub(super) writes_as: Origin,
    pub(super) number: u32,
    of: u8,
    rules: Rules,
    born: Tick,
    /// Whether the event is this node's affair.
    pub(super) interest: Interest,
    /// Whether it is known here what the event is.
    pub(super) has_arrived: bool,
    /// When the interest wants to be woken: it changes only when it is told something.
    pub(super) interest_due: Option<Mono>,
    /// As of which of its revisions the interest was told for whom the core waits.
    told_at: u64,
    awaited: BTreeSet<NodeId>,
    /// Who has come for the event before that, and when.
    pub(super) door: Vec<(Tick, Input)>,
    /// The origin of each peer that is noticed, by the peer's number.
    pub(super) seen: Vec<Option<Origin>>,
    /// As whom each peer writes that carries the event too, and in which of its periods.
    pub(super) ways: Vec<Option<(Origin, Period)>>,
    /// When somebody last came for the event.
    pub(super) wanted_at: Tick,
    /// What the core was asked to say goodbye with.
    pub(super) goodbye: Option<u64>,
    /// When it was last asked.
    pub(super) goodbye_at: Tick,
    /// What was shown last.
    pub(super) shown: Option<StageView>,
    /// The round that players are shown open, and until when.
    pub(super) open: Option<(u32, Tick)>,
    /// The tick of the wake-up that is scheduled, if it is still to come.
    pub(super) wake: Option<Tick>,
    /// Something that nobody may hear before it is on disk is not there yet.
    pub(super) is_unkept: bool,
    /// Whether it has wanted to be woken at once for what it was woken for.
    pub(super) is_restless: bool,
    /// What waits while the process is stopped.
    pub(super) stopped: Option<Vec<Input>>,
    /// The newest instance of which a result was noted, and its status.
    pub(super) result: Option<(u32, String)>,
    /// As of which of the core's revisions all that was promised was counted, and how many had been promised.
    pub(super) counted_at: Option<(u32, u64, usize)>,
}

impl Life {
    /// The time on this life's own clock.
    pub(super) fn mono(&self, now: Tick) -> Mono {
        Duration::from_millis(now - self.born)
    }

    /// For whom the event waits, if that is news.
    pub(super) fn newly_awaited(&mut self) -> Option<BTreeSet<NodeId>> {
        let revision = self.core.awaited_revision();
        if std::mem::replace(&mut self.told_at, revision) == revision {
            return None;
        }
        let awaited = self.core.awaited_nodes();
        let is_new = awaited != self.awaited;
        self.awaited.clone_from(&awaited);
        is_new.then_some(awaited)
    }

    /// In which period it carries the event, or would.
    pub(super) fn period(&self) -> Period {
        self.interest.period(EVENT)
    }

    /// The number of the life, told apart by period: what a node shows may begin anew in each.
    pub(super) fn chapter(&self) -> u64 {
        u64::from(self.period()) << 32 | u64::from(self.number)
    }

    /// Whether whoever comes for the event finds it.
    pub(super) fn is_open(&self) -> bool {
        self.has_arrived && self.goodbye.is_none()
    }

    /// From here on the event is carried as in the present period, over what is kept of it.
    pub(super) fn begin_period(&mut self, now: Tick, config: Config, kept: Option<Kept>) {
        let mono = self.mono(now);
        self.writes_as = self.origin.in_period(self.period());
        let identity = identity(self.of, self.writes_as);
        self.core = core(identity, self.rules.clone(), config, kept.unwrap_or_default(), mono);
        self.has_arrived = self.core.state().script().is_some();
        (self.told_at, self.awaited) = (u64::MAX, BTreeSet::new());
        self.ways.fill(None);
        (self.goodbye, self.wanted_at) = (None, now);
        (self.shown, self.open, self.result, self.counted_at) = (None, None, None, None);
    }

    /// The tick of a moment on this life's own clock.
    pub(super) fn tick(&self, mono: Mono) -> Tick {
        self.born + mono.as_nanos().div_ceil(1_000_000) as u64
    }
}

/// A node, alive or not.
#[derive(Default)]
pub(super) struct Node {
    pub(super) life: Option<Life>,
    pub(super) disk: Disk,
    pub(super) lives: u32,
    /// It has left for good.
    pub(super) is_gone: bool,
    /// It is leaving, and takes nobody.
    pub(super) is_leaving: bool,
    /// It had said goodbye, and somebody had all that it had, before it was gone.
    pub(super) has_retired: bool,
    /// What the program speaks that is started on it.
    pub(super) program: Versions,
    /// How many must hold what it promises.
    pub(super) ack: Ack,
    /// The players that are connected to it.
    pub(super) players: Vec<u32>,
}

impl Node {
    /// Starts a life over what the disk holds.
    pub(super) fn boot(&mut self, seed: u64, number: u8, now: Tick, nodes: usize, config: Config) {
        self.lives += 1;
        self.has_retired = false;
        let life = if crdt_state::planted!(ReusedDot) { 1 } else { self.lives };
        let draw = Draw::new(seed, &[ORIGIN, number.into(), life.into()]);
        let origin = Origin(draw.word(0) | 1);
        let kept = self.disk.read();
        let is_kept = kept.cut.is_some() || !kept.logs.is_empty();
        let interest = Interest::new(node_id(number), is_kept.then_some(EVENT));
        let rules = rules(self.program, self.ack);
        let core = core(identity(number, origin), rules.clone(), config, kept, Mono::ZERO);
        self.life = Some(Life {
            has_arrived: core.state().script().is_some(),
            interest_due: interest.poll_timeout(),
            interest,
            door: Vec::new(),
            told_at: u64::MAX,
            awaited: BTreeSet::new(),
            core,
            origin,
            writes_as: origin,
            number: self.lives,
            of: number,
            rules,
            born: now,
            seen: vec![None; nodes + 1],
            ways: vec![None; nodes + 1],
            wanted_at: now,
            goodbye: None,
            goodbye_at: 0,
            shown: None,
            open: None,
            wake: None,
            is_unkept: false,
            is_restless: false,
            stopped: None,
            result: None,
            counted_at: None,
        });
    }

    /// Whether it lives and is not stopped.
    pub(super) fn is_up(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.stopped.is_none())
    }

    /// Whether it lives and takes part in the event.
    pub(super) fn carries(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.interest.carries(EVENT))
    }

    /// Whether players may come to it.
    pub(super) fn takes_players(&self) -> bool {
        self.is_up() && !self.is_leaving
    }

    pub(super) fn origin(&self) -> Option<Origin> {
        self.life.as_ref().map(|life| life.origin)
    }
}

fn identity(number: u8, origin: Origin) -> Identity {
    Identity { event: EVENT, node: node_id(number), name: name(number), origin, born_ms: 0 }
}

/// A core over what is kept of the event.
fn core(identity: Identity, rules: Rules, config: Config, kept: Kept, mono: Mono) -> EventCore {
    let mut carried = Carried::default();
    let quarantined = kept.quarantined.clone();
    let logs = replay(kept, &mut carried, mono);
    EventCore::resume(identity, rules, config, carried, logs).quarantining(quarantined)
}

/// The rules that whole nodes have.
fn rules(versions: Versions, ack: Ack) -> Rules {
    Rules { ack: ack.into(), grace: GRACE, versions, ..Rules::default() }
}

/// The name of origins' dice.
const ORIGIN: u64 = u64::from_be_bytes(*b"origin!!");

/// The id of a node, the same in all its lives.
pub(super) fn node_id(number: u8) -> NodeId {
    NodeId(0x100 + u64::from(number))
}

/// What a core is told when a peer is there.
pub(super) fn peer_up(peer: Origin, number: u8, rtt: Duration) -> Input {
    Input::Replication(replication::Input::PeerUp { peer, node: node_id(number), rtt })
}

/// What a core is told when a peer is not there any more.
pub(super) fn peer_down(peer: Origin) -> Input {
    Input::Replication(replication::Input::PeerDown { peer })
}
