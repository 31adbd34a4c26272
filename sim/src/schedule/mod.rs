//! A schedule: everything that a run is given, as data. What is asked, who plays, what goes wrong.
//!
//! A seed draws one ([`Schedule::draw`]); it can be kept as a file, cut down to what matters and run
//! again in either fidelity. Faults are timed from the opening of a question, as hosts see it, so
//! that a fault still hits the same moment of the show when others are taken away.

mod classic;
mod describe;
mod form;
mod kinds;
mod swarm;
mod unmet;
mod valid;

use std::time::Duration;

use crdt_state::Versions;
use gossip::replication::Config;
use node::config::Ack;
use node::engine::CARRIERS;
use node::service::view::StageView;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::link::Link;
use crate::mix::Draw;
use crate::verdict::Fidelity;

pub use self::classic::{NODES, PLAYERS};
pub use self::form::Form;
pub(crate) use self::form::{CREDIT, STAKE_MAX, choice_of, held, stake, word};
pub use self::kinds::{Kind, Kinds};
pub use self::swarm::Wanted;
pub use self::unmet::{Unmet, Why};

/// One run, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Names every roll of dice that the rest leaves open.
    pub seed: u64,
    /// How many nodes stand from the beginning, numbered from 1.
    pub nodes: u8,
    /// How many play.
    pub players: u32,
    /// What is asked, in order; the first is instance 1.
    pub questions: Vec<Question>,
    /// The links between nodes.
    pub weather: Weather,
    /// How far each node's wall clock is off, in milliseconds; nodes beyond the list are right.
    pub skews_ms: Vec<i64>,
    /// How players and hosts behave.
    pub habits: Habits,
    /// How many must hold what is promised.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub ack: Ack,
    /// How replication is bounded.
    pub knobs: Knobs,
    /// After how long a node lets go of the show if nobody wants it there, in milliseconds; never, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_go_after_ms: Option<u64>,
    /// What goes wrong.
    pub faults: Vec<Planned>,
}

fn is_usual(ack: &Ack) -> bool {
    *ack == Ack::default()
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// How many can be chosen from.
    pub options: u8,
    /// Which is right.
    pub correct: u8,
    /// How long it is open, in milliseconds.
    pub open_ms: u32,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Form::is_choice")]
    pub form: Form,
}

/// The properties of links.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// The least time that a packet takes, in microseconds.
    pub delay_us: u64,
    /// Up to how much more it may take.
    pub jitter_us: u64,
    /// The chance that a packet is lost, 0.0..=1.0.
    pub loss: f64,
    /// The chance that it arrives twice.
    pub duplication: f64,
    /// The chance that it is overtaken.
    pub reordering: f64,
    /// The chance that it arrives damaged: for QUIC to notice where that is there, else as good as lost.
    pub corruption: f64,
    /// The largest packet, in bytes.
    pub mtu: u16,
    /// Bytes per second, beyond which packets queue; 0 is without limit.
    pub bandwidth: u64,
}

/// How people behave; shares of all players, 0.0..=1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// Move to another node now and then.
    pub roaming: f64,
    /// Send their answer again after it was acknowledged.
    pub twice: f64,
    /// Change their mind, answer what is not open, choose what is not there.
    pub lying: f64,
    /// Send everything many times.
    pub flooding: f64,
    /// How many drive the show at once.
    pub hosts: u8,
    /// Hosts close and extend rounds by hand.
    pub hasty: bool,
    /// The first host is gone for good from this instance on.
    pub vanishes: Option<u32>,
    /// Hosts rule: they skip, go back, pause, void, rescore, accept, resolve and award.
    #[serde(default)]
    pub ruling: bool,
    /// Players who connect go where all go: to two nodes, and after some seconds to two others. Nobody is left at the
    /// rest.
    #[serde(default, skip_serializing_if = "is_no")]
    pub flocking: bool,
}

impl Habits {
    /// Where, of so many nodes from 0 on, a player goes who goes where all go, if this one does now; `follows` is
    /// drawn from 0.0..1.0 for each connection.
    pub(crate) fn flock(
        &self,
        seed: u64,
        now: Duration,
        (number, follows): (u64, f64),
        nodes: u8,
    ) -> Option<u8> {
        if !self.flocking || follows >= FOLLOW {
            return None;
        }
        let flock = Draw::new(seed, &[FLOCK, now.as_millis() as u64 / FLOCK_MS]);
        Some(flock.up_to(number % 2, u64::from(nodes) - 1) as u8)
    }
}

/// Those who go where the others go stay together for so long, but for those who go their own way.
const FLOCK_MS: u64 = 4_000;
const FOLLOW: f64 = 0.9;
/// The name of the dice of where all go.
const FLOCK: u64 = u64::from_be_bytes(*b"a flock!");

fn is_no(flag: &bool) -> bool {
    !flag
}

/// Bounds of replication; small ones make rare ways common. Of message fidelity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// Entries kept for others, in bytes.
    pub tail_bytes_max: usize,
    /// A newcomer takes a snapshot from a peer that keeps more than this.
    pub snapshot_above_bytes: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        let Config { tail_bytes_max, snapshot_above_bytes, .. } = Config::default();
        Self { tail_bytes_max, snapshot_above_bytes }
    }
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// In which instance; 0 is the lobby.
    pub instance: u32,
    /// How long after it was opened, in milliseconds.
    pub after_ms: u64,
    /// How long it lasts, in milliseconds.
    pub lasts_ms: u64,
    /// What goes wrong.
    pub fault: Fault,
}

impl Planned {
    /// Whether it does not happen, because its question was left before anybody saw it open. It was drawn for a
    /// time of its own: together with what goes wrong in the next question it may be more than any cluster
    /// survives. Who comes or goes does so all the same.
    pub(crate) fn falls_away(&self, shown: StageView) -> bool {
        let is_move =
            matches!(self.fault, Fault::Join { .. } | Fault::Leave { .. } | Fault::Upgrade { .. });
        self.instance > 0 && shown.instance > self.instance && !is_move
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fault {
    /// Nodes go down at once, and come back when the fault is over. More than one is a zone.
    Crash {
        /// Who.
        victims: Vec<Victim>,
        /// In which way.
        how: Blow,
        /// What becomes of their disks.
        disk: DiskFate,
    },
    /// A node is stopped without being ended.
    Pause {
        /// Which.
        node: u8,
    },
    /// Nodes do not hear each other.
    Cut {
        /// Who.
        shape: CutShape,
    },
    /// Both directions between two nodes have this weather on top of their own: the worse of both in everything.
    Storm {
        /// One end.
        one: u8,
        /// The other end.
        other: u8,
        /// The weather there.
        weather: Weather,
    },
    /// A node's wall clock jumps, and jumps back.
    Clock {
        /// Whose.
        node: u8,
        /// By how much, in milliseconds.
        jump_ms: i64,
    },
    /// A node's wall clock runs too fast or too slowly, and is set right in the end.
    Drift {
        /// Whose.
        node: u8,
        /// By how much, in parts of a million; below zero it runs too slowly.
        ppm: i64,
    },
    /// A node's disk misbehaves.
    Disk {
        /// Whose.
        node: u8,
        /// How.
        trouble: Trouble,
    },
    /// A node that was never there joins, and stays.
    Join {
        /// Its number, above all others.
        node: u8,
    },
    /// A node goes for good; what it held, others hold.
    Leave {
        /// Which.
        node: u8,
    },
    /// Nodes are stopped one after the other and come back with the newer program; before it all run the
    /// older one. Once it has begun whoever starts runs the newer one.
    Upgrade {
        /// Between two nodes, in milliseconds.
        every_ms: u64,
        /// Whether the newer program still speaks the older version. Else the two do not speak to each
        /// other at all, until the last node has the newer one.
        mixes: bool,
    },
}

impl Fault {
    /// Whose disks come back some seconds old.
    pub(crate) fn old_disks(&self) -> &[Victim] {
        match self {
            Fault::Crash { victims, disk: DiskFate::Stale, .. } => victims,
            _ => &[],
        }
    }
}

/// Whom a crash hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Victim {
    /// A node by its number.
    Node(u8),
    /// The node that the host is at.
    HostsNode,
}

/// How a node goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blow {
    /// The process is killed; what it wrote stays.
    Killed,
    /// The machine loses power; unsynced writes are lost or torn.
    PowerLost,
}

/// What becomes of a disk while its node is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFate {
    /// Nothing.
    Same,
    /// It is replaced by an empty one.
    Lost,
    /// It is replaced by a copy that is some seconds old.
    Stale,
}

/// What a disk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It cannot grow.
    Full,
    /// Every write and sync fails.
    Failing,
    /// Writes take seconds.
    Slow,
}

/// What a cut separates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CutShape {
    /// One node from all others, both ways.
    Alone(u8),
    /// These nodes from all others, both ways.
    Side(Vec<u8>),
    /// What the first says to the second is lost.
    OneWay(u8, u8),
    /// Two nodes from each other only.
    Pair(u8, u8),
    /// One node from all others, again and again.
    Flapping {
        /// Which.
        node: u8,
        /// For how long it is cut off, and then connected, in milliseconds.
        period_ms: u64,
    },
}

impl Weather {
    /// A data centre, in which nothing goes wrong.
    pub const CALM: Self = Self {
        delay_us: 500,
        jitter_us: 1_500,
        loss: 0.0,
        duplication: 0.0,
        reordering: 0.0,
        corruption: 0.0,
        mtu: 1_500,
        bandwidth: 0,
    };

    /// Both at once: the worse in everything.
    pub fn over(self, other: Self) -> Self {
        Self {
            delay_us: self.delay_us.max(other.delay_us),
            jitter_us: self.jitter_us.max(other.jitter_us),
            loss: self.loss.max(other.loss),
            duplication: self.duplication.max(other.duplication),
            reordering: self.reordering.max(other.reordering),
            corruption: self.corruption.max(other.corruption),
            mtu: self.mtu.min(other.mtu),
            bandwidth: match (self.bandwidth, other.bandwidth) {
                (0, some) | (some, 0) => some,
                (one, other) => one.min(other),
            },
        }
    }

    /// The longest that a message is under way, as far as the schedule says.
    pub fn delay_max(&self) -> Duration {
        let overtaken = if self.reordering > 0.0 { 10 } else { 0 };
        Duration::from_micros(self.delay_us + self.jitter_us * (1 + overtaken))
    }

    /// The same for the simulated network. UDP's checksum would throw away most of what arrives damaged; here all of
    /// it gets as far as QUIC.
    pub fn link(&self) -> Link {
        Link {
            delay: Duration::from_micros(self.delay_us),
            jitter: Duration::from_micros(self.jitter_us),
            loss: self.loss,
            corruption: self.corruption,
            duplication: self.duplication,
            reordering: self.reordering,
            mtu: usize::from(self.mtu),
            bandwidth: self.bandwidth,
        }
    }
}

impl CutShape {
    /// The directed paths that are cut, among the nodes up to `last`.
    pub fn paths(&self, last: u8) -> Vec<(u8, u8)> {
        let apart = |side: &[u8]| {
            let inside = |node: &u8| side.contains(node);
            let others: Vec<u8> = (1..=last).filter(|node| !inside(node)).collect();
            let both = |one: u8| others.clone().into_iter().flat_map(move |b| [(one, b), (b, one)]);
            side.iter().copied().flat_map(both).collect()
        };
        match self {
            Self::Alone(node) | Self::Flapping { node, .. } => apart(&[*node]),
            Self::Side(nodes) => apart(nodes),
            Self::OneWay(from, to) => vec![(*from, *to)],
            Self::Pair(one, other) => vec![(*one, *other), (*other, *one)],
        }
    }
}

impl Question {
    /// How long it is open.
    pub fn open(&self) -> Duration {
        Duration::from_millis(self.open_ms.into())
    }

    /// Its entry in the show file.
    fn entry(&self, number: u32) -> Value {
        let text = format!("question {number}");
        let seconds = self.open().as_secs_f64();
        let options: Vec<_> = (0..self.options).map(|n| format!("option {n}")).collect();
        match self.form {
            Form::Choice => json!({
                "text": text, "options": options, "correct": self.correct,
                "seconds": seconds, "explanation": secret(number),
            }),
            Form::Typed => json!({
                "text": text, "accepted": [word(self.correct)],
                "seconds": seconds, "explanation": secret(number),
            }),
            Form::Prediction => json!({
                "kind": "prediction", "text": text, "options": options,
                "stake_max": STAKE_MAX, "credit": CREDIT, "seconds": seconds,
            }),
        }
    }
}

impl Schedule {
    /// How many nodes hold what is promised, at least.
    pub fn copies(&self) -> usize {
        let leaves = |planned: &&Planned| matches!(planned.fault, Fault::Leave { .. });
        let stay = usize::from(self.nodes) - self.faults.iter().filter(leaves).count();
        // Whom a program no longer understands is gone to it, in order: the old ones become fewer one by one, and the new
        // ones begin with one.
        let parts =
            |planned: &Planned| matches!(planned.fault, Fault::Upgrade { mixes: false, .. });
        let stay = if self.faults.iter().any(parts) { 1 } else { stay };
        // Who has let go of the show is none of those whose majority it takes; three carriers there are always.
        let stay = self.let_go_after_ms.map_or(stay, |_| stay.min(CARRIERS));
        match self.ack {
            Ack::Local => 1,
            Ack::Peer => 2,
            Ack::Majority => stay / 2 + 1,
        }
    }

    /// The question of an instance.
    pub fn question(&self, instance: u32) -> Option<&Question> {
        self.questions.get(instance.checked_sub(1)? as usize)
    }

    /// The nodes that stand at the beginning.
    pub fn first_nodes(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.nodes
    }

    /// The largest number that a node ever has.
    pub fn nodes_ever(&self) -> u8 {
        let joins = self.faults.iter().filter_map(|planned| match planned.fault {
            Fault::Join { node } => Some(node),
            _ => None,
        });
        joins.fold(self.nodes, u8::max)
    }

    /// What nodes run before an upgrade, and what those that start after its beginning do.
    pub fn programs(&self) -> (Versions, Versions) {
        let upgrade = self.faults.iter().find_map(|planned| match planned.fault {
            Fault::Upgrade { mixes, .. } => Some(mixes),
            _ => None,
        });
        let newest = Versions::THIS.newest;
        match upgrade {
            None => (Versions::THIS, Versions::THIS),
            Some(true) => (Versions::FIRST, Versions::THIS),
            Some(false) => (Versions::FIRST, Versions { oldest: newest, newest }),
        }
    }

    /// The nodes that stand at the end.
    pub fn last_nodes(&self) -> Vec<u8> {
        let left = |node: &u8| {
            self.faults.iter().any(|planned| planned.fault == Fault::Leave { node: *node })
        };
        (1..=self.nodes_ever()).filter(|node| !left(node)).collect()
    }

    /// Whether some node's word stays missing for good: it has left, or came back without its disk
    /// and so as another node.
    pub fn loses_a_node(&self) -> bool {
        self.faults.iter().any(|planned| match &planned.fault {
            Fault::Leave { .. } => true,
            Fault::Crash { disk, .. } => *disk != DiskFate::Same,
            _ => false,
        })
    }

    /// Whether as many nodes go down as hold what is promised, after another or at once, with what they have not brought
    /// to disk or to others.
    pub fn may_forget(&self) -> bool {
        let victims = |planned: &Planned| match &planned.fault {
            Fault::Crash { victims, .. } => victims.len(),
            Fault::Leave { .. } => 1,
            _ => 0,
        };
        self.faults.iter().map(victims).sum::<usize>() >= self.copies()
    }

    /// The kinds of its trouble that a fidelity has no part for: they do not happen there.
    pub fn left_out(&self, fidelity: Fidelity) -> Vec<Kind> {
        fidelity.lacks().iter().copied().filter(|kind| self.has(*kind)).collect()
    }

    /// The show file. Each explanation holds a word that nobody may hear before the reveal.
    pub fn show(&self) -> String {
        let questions = (1..).zip(&self.questions);
        let questions: Vec<_> = questions.map(|(number, it)| it.entry(number)).collect();
        let title = format!("the show of seed {}", self.seed);
        json!({ "format": node::show::FORMAT, "title": title, "questions": questions }).to_string()
    }

    /// Writes the schedule for people and programs.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values become JSON")
    }

    /// Reads a schedule and checks that it can be run.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let schedule: Self = serde_json::from_str(text).map_err(|why| why.to_string())?;
        schedule.check()?;
        Ok(schedule)
    }
}

/// How every word begins that gives an answer away.
const SECRET: &str = "secret-of-";
/// The most that a schedule asks.
pub(crate) const QUESTIONS_MAX: usize = 9;

/// The word that gives the answer of an instance away.
pub fn secret(instance: u32) -> String {
    format!("{SECRET}{instance}.")
}

/// The instances whose answers a text gives away; mostly none, which one look tells.
pub(crate) fn secrets_in(text: &str) -> Vec<u32> {
    if !text.contains(SECRET) {
        return Vec::new();
    }
    (1..=QUESTIONS_MAX as u32).filter(|instance| text.contains(&secret(*instance))).collect()
}
