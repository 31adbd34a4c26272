//! A node as this fidelity has it: its core while it lives, its disk always, and whom it sees.

use std::time::Duration;

use ::node::engine::{Carried, EventCore, Identity, Input, Rules};
use ::node::hub::replay;
use ::node::service::view::StageView;
use crdt_state::{Mono, NodeId, Origin};
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
    pub(super) origin: Origin,
    pub(super) number: u32,
    born: Tick,
    /// The origin of each peer that the core was told of, by the peer's number.
    pub(super) seen: Vec<Option<Origin>>,
    /// What was shown last.
    pub(super) shown: Option<StageView>,
    /// The round that players are shown open, and until when.
    pub(super) open: Option<(u32, Tick)>,
    /// The tick of the wake-up that is scheduled, if it is still to come.
    pub(super) wake: Option<Tick>,
    /// What waits while the process is stopped.
    pub(super) stopped: Option<Vec<Input>>,
    /// The newest instance of which a result was noted, and its status.
    pub(super) result: Option<(u32, String)>,
}

impl Life {
    /// The time on this life's own clock.
    pub(super) fn mono(&self, now: Tick) -> Mono {
        Duration::from_millis(now - self.born)
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
    /// The players that are connected to it.
    pub(super) players: Vec<u32>,
}

impl Node {
    /// Starts a life over what the disk holds.
    pub(super) fn boot(&mut self, seed: u64, number: u8, now: Tick, nodes: usize, config: Config) {
        self.lives += 1;
        let draw = Draw::new(seed, &[ORIGIN, number.into(), self.lives.into()]);
        let origin = Origin(draw.word(0) | 1);
        let (event, node, name) = (EVENT, node_id(number), name(number));
        let identity = Identity { event, node, name, origin, born_ms: 0 };
        let mut carried = Carried::default();
        let logs = replay(self.disk.read(), &mut carried, Mono::ZERO);
        let core = EventCore::resume(identity, rules(), config, carried, logs);
        self.life = Some(Life {
            core,
            origin,
            number: self.lives,
            born: now,
            seen: vec![None; nodes + 1],
            shown: None,
            open: None,
            wake: None,
            stopped: None,
            result: None,
        });
    }

    /// Whether it lives and is not stopped.
    pub(super) fn is_up(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.stopped.is_none())
    }

    pub(super) fn origin(&self) -> Option<Origin> {
        self.life.as_ref().map(|life| life.origin)
    }
}

/// The rules that whole nodes have.
fn rules() -> Rules {
    Rules { grace: GRACE, ..Rules::default() }
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
