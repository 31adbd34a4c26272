//! What was seen during a run, for the checkers: by players, of nodes, and at the end.
//!
//! Whoever sees something writes it down at once and judges nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crdt_state::{Heads, LaneId, PlayerId};
use node::service::view::{CommandRequest, StageView};
use node::store::Kept;

use crate::clock;
use crate::mix::fold;
use crate::schedule::{DiskFate, Fault, Schedule};
use crate::state::NodeState;

/// How long after a node has promised something alone it may lose it by going down: what it writes is on its disk by
/// then.
const WRITTEN: Duration = Duration::from_secs(1);
/// How long before a receipt came its holder may have crashed: the longest that the receipt's own
/// packets were repeated.
const CRASH_BEFORE: Duration = Duration::from_secs(2);
/// A node that is back has what others hold after this: a redial, and some rounds of repair.
const REPAIR: Duration = Duration::from_millis(2_500);

/// All that was seen.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What was drawn.
    pub plan: Schedule,
    /// What each player saw.
    pub players: BTreeMap<PlayerId, PlayerEvidence>,
    /// What stages nodes showed, in the order of seeing.
    pub sightings: Vec<Sighting>,
    /// When nodes went down and came back.
    pub outages: Vec<Outage>,
    /// When nodes let go of the show because nobody wanted it there.
    pub let_go: Vec<LetGo>,
    /// Goodbyes to the show of nodes that go on.
    pub partings: Vec<Parting>,
    /// Firm receipts that no other node could show when they came.
    pub unheld: Vec<Unheld>,
    /// How many firm receipts other nodes were asked about.
    pub asked: u64,
    /// Who held a player's answer to a run when a firm receipt for it came, and since when that is known. Only where
    /// more goes down than a receipt has copies.
    pub holders: BTreeMap<(PlayerId, u32), BTreeMap<u8, Duration>>,
    /// Each node at the end.
    pub ends: BTreeMap<u8, End>,
    /// What nodes said of the completeness of a round, when they first said so.
    pub results: Vec<ResultSeen>,
    /// What hosts pressed where.
    pub commands: Vec<(Duration, u8, CommandRequest)>,
    /// Rulings that nodes said to have carried out.
    pub ruled: Vec<Ruled>,
    /// What nodes raised an alarm about.
    pub alarms: Vec<String>,
    /// The players who were told firmly that an answer of theirs counts, by run. Of wire fidelity.
    pub promised: BTreeMap<u32, BTreeSet<PlayerId>>,
    /// What was held by the first node that had applied just this, and which that was, by a hash of its heads.
    pub applied: BTreeMap<u64, (u8, u64)>,
    /// How often a node had applied just what another one had.
    pub compared: u64,
    /// Nodes that had applied the same and did not hold the same.
    pub split: Vec<String>,
    /// Queues and memory beyond their bounds.
    pub overgrown: Vec<String>,
    /// Peers that were believed there and were not, or the other way round, at the end.
    pub ghosts: Vec<String>,
    /// Nodes that did not carry the event at the end: they had no part in it, or never joined.
    pub aside: BTreeSet<u8>,
    /// Every entry of every lane that the nodes have in the end, if one of them keeps all one by one.
    pub entries: BTreeMap<(LaneId, u64), Bytes>,
    /// What did not come about in time.
    pub stuck: Vec<String>,
    /// Steps of the host that were told firm and undone later.
    pub undone: Vec<String>,
    /// The story in words.
    pub story: Vec<(Duration, String)>,
    /// When the run was stopped, if it was not played to its end.
    pub stopped: Option<Duration>,
    /// The nodes at that moment, or at the end of a run that was to be stopped later.
    pub states: BTreeMap<u8, NodeState>,
}

/// What one player saw.
#[derive(Clone, Debug, Default)]
pub struct PlayerEvidence {
    /// The first word that the player is in, be it provisional.
    pub let_in: Option<Duration>,
    /// The runs for which an answer was sent and nothing heard of it so far. Whoever has gone on to the next question
    /// waits no longer.
    pub owed: BTreeSet<u32>,
    /// The first firm word that the player has joined.
    pub joined: Option<Duration>,
    /// Every receipt that came.
    pub receipts: Vec<Receipt>,
    /// What the newest result of an instance said was held.
    pub results: BTreeMap<u32, Vec<u8>>,
    /// What was answered, by instance: a bit for every option that was ever sent.
    pub answered: BTreeMap<u32, u16>,
    /// Refusals that came, by their code.
    pub refused: BTreeMap<String, u64>,
    /// When the word that gives a question's answer away first came, by its number.
    pub secrets: BTreeMap<u32, Duration>,
    /// When what an instance gave first came.
    pub told: BTreeMap<u32, Duration>,
    /// Views that say what their own phase forbids.
    pub leaks: Vec<String>,
    /// How often a connection was begun.
    pub connections: u64,
    /// Since when there is the present one, if there is one.
    pub connected: Option<Duration>,
}

/// A receipt as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When it came.
    pub at: Duration,
    /// From which node.
    pub node: u8,
    /// For which run.
    pub instance: u32,
    /// `accepted`, `duplicate` or `superseded`.
    pub status: String,
    /// Whether it promises.
    pub firm: bool,
    /// The answer that is held.
    pub choices: Vec<u8>,
    /// When it was given.
    pub elapsed_ms: u32,
}

impl PlayerEvidence {
    /// What the player still waits for.
    pub(crate) fn unsettled(&self) -> Vec<String> {
        let is_outside = self.let_in.is_none() && !self.refused.contains_key("ended");
        let outside = is_outside.then(|| "was never let in".to_owned());
        let owed = self.owed.iter();
        let owed = owed.map(|of| format!("was never told what became of an answer to {of}"));
        outside.into_iter().chain(owed).collect()
    }
}

impl PlayerEvidence {
    /// What was said last of each run over the present connection and promises nothing yet. A node that said so says it
    /// again once it does.
    pub(crate) fn provisional(&self) -> Vec<&Receipt> {
        let Some(since) = self.connected else { return Vec::new() };
        let told = self.receipts.iter().filter(|receipt| receipt.at >= since);
        let last: BTreeMap<u32, &Receipt> = told.map(|it| (it.instance, it)).collect();
        last.into_values().filter(|receipt| !receipt.firm).collect()
    }

    /// Whether a receipt is none of the last two that came, or changes what was promised in the last.
    pub(crate) fn is_news(&self, receipt: &Receipt, says: impl Fn(&Receipt) -> bool) -> bool {
        let changes = self.receipts.last().is_some_and(|last| receipt.changes(last));
        changes || !self.receipts.iter().rev().take(2).any(says)
    }
}

impl Receipt {
    /// Whether another one says the same, whenever it came.
    pub(crate) fn says(&self, other: &Self) -> bool {
        self.node == other.node && self.says_from_anywhere(other)
    }

    /// Whether another one says the same, whenever it came and whoever said it.
    pub(crate) fn says_from_anywhere(&self, other: &Self) -> bool {
        let Receipt { at: _, node: _, instance, status, firm, choices, elapsed_ms } = self;
        *instance == other.instance
            && *firm == other.firm
            && *elapsed_ms == other.elapsed_ms
            && *status == other.status
            && *choices == other.choices
    }

    /// Whether it says of what another one tells that it is promised, and that one not, or the other way round.
    pub(crate) fn changes(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.instance, it.elapsed_ms, !it.firm);
        of(self) == (other.instance, other.elapsed_ms, other.firm) && self.choices == other.choices
    }

    /// Whether it says of what an earlier one from the same node has promised that it may not stand.
    pub(crate) fn takes_back(&self, earlier: &Self) -> bool {
        earlier.firm && self.node == earlier.node && self.changes(earlier)
    }
}

/// A stage that a node began to show.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// When.
    pub at: Duration,
    /// The node.
    pub node: u8,
    /// The life of its machine.
    pub life: u64,
    /// The stage.
    pub stage: StageView,
    /// The number of the question that is shown with it, from 1.
    pub question: Option<u32>,
    /// For how long the round had been open, where the node knew.
    pub age_ms: Option<u64>,
}

/// How complete a node called a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultSeen {
    /// When.
    pub at: Duration,
    /// The node.
    pub node: u8,
    /// Which run.
    pub instance: u32,
    /// `final`, `settled` or `partial`.
    pub status: String,
    /// How many answers it counted then.
    pub answered: u64,
    /// A word for all that it held of the run then, where it called it `final`.
    pub held: Option<u64>,
    /// Firm receipts told before that it did not hold then.
    pub missing: Vec<PlayerId>,
}

/// A ruling that was carried out.
#[derive(Clone, Debug)]
pub struct Ruled {
    /// When that was told.
    pub at: Duration,
    /// What was asked for.
    pub request: CommandRequest,
    /// Whether it was promised to stand.
    pub firm: bool,
}

/// A node's absence.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// The node.
    pub node: u8,
    /// Since when.
    pub from: Duration,
    /// Until when, once it is over.
    pub to: Option<Duration>,
    /// From when on it may have forgotten what it took, where it went down and had not said goodbye.
    pub forgets: Option<Duration>,
}

/// A node said goodbye to the show, until it dropped it or carried on with it after all: meanwhile it hears nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The node.
    pub node: u8,
    /// When it said goodbye.
    pub from: Duration,
    /// When that was over.
    pub to: Duration,
}

/// A node dropped the show, and goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetGo {
    /// When.
    pub at: Duration,
    /// The node.
    pub node: u8,
    /// The others that had all that it dropped.
    pub holders: Vec<u8>,
}

/// A firm receipt that nobody else could show.
#[derive(Clone, Debug)]
pub struct Unheld {
    /// Whose.
    pub player: PlayerId,
    /// The receipt.
    pub receipt: Receipt,
}

/// A node at the end.
#[derive(Clone, Debug)]
pub struct End {
    /// The digest of the event's state.
    pub digest: u64,
    /// The event's export.
    pub export: Bytes,
    /// Who did something, by the audit trail.
    pub trail: BTreeSet<String>,
    /// A word for all that it holds of each run.
    pub held: BTreeMap<u32, u64>,
}

/// The evidence while it is gathered; clones share it.
#[derive(Clone, Debug)]
pub struct Notebook(Arc<Mutex<Evidence>>);

impl Notebook {
    /// An empty notebook.
    pub fn new(plan: Schedule) -> Self {
        Self(Arc::new(Mutex::new(Evidence::new(plan))))
    }

    /// Writes something down.
    pub fn write<T>(&self, write: impl FnOnce(&mut Evidence) -> T) -> T {
        write(&mut self.lock())
    }

    /// Writes down what one player saw.
    pub fn player<T>(&self, player: PlayerId, write: impl FnOnce(&mut PlayerEvidence) -> T) -> T {
        write(self.lock().players.entry(player).or_default())
    }

    /// Adds a line to the story.
    pub fn tell(&self, what: impl Into<String>) {
        self.lock().story.push((now(), what.into()));
    }

    /// All that was written so far.
    pub fn read(&self) -> Evidence {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Evidence> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Evidence {
    pub(crate) fn new(plan: Schedule) -> Self {
        Self {
            plan,
            players: BTreeMap::new(),
            sightings: Vec::new(),
            outages: Vec::new(),
            let_go: Vec::new(),
            partings: Vec::new(),
            unheld: Vec::new(),
            asked: 0,
            holders: BTreeMap::new(),
            ends: BTreeMap::new(),
            results: Vec::new(),
            commands: Vec::new(),
            ruled: Vec::new(),
            alarms: Vec::new(),
            promised: BTreeMap::new(),
            applied: BTreeMap::new(),
            compared: 0,
            split: Vec::new(),
            overgrown: Vec::new(),
            ghosts: Vec::new(),
            aside: BTreeSet::new(),
            entries: BTreeMap::new(),
            stuck: Vec::new(),
            undone: Vec::new(),
            story: Vec::new(),
            stopped: None,
            states: BTreeMap::new(),
        }
    }

    /// Players who were not let in, who were told neither yes nor no of an answer, and to whom what was said last of one
    /// promises nothing. Whoever came only when the show was over was told so.
    pub fn unsettled(&self) -> Vec<String> {
        let all = self.players.iter();
        let found = all.flat_map(|(player, seen)| {
            let of_player = self.unsettled_of(seen).into_iter();
            of_player.map(move |what| format!("player {player} {what}"))
        });
        found.collect()
    }

    /// What a player still waits for, with nothing in the way of it.
    pub(crate) fn unsettled_of(&self, seen: &PlayerEvidence) -> Vec<String> {
        let mut found = seen.unsettled();
        if self.keeps_promising() {
            let last = seen.provisional().into_iter().filter(|receipt| !self.lets_go_of(receipt));
            found.extend(last.map(|receipt| format!("was never promised more than {receipt:?}")));
        }
        found
    }

    /// Whether in the end all that was taken is promised: whose word is missing for good may have fenced it off, so that
    /// all must hold it, and too few hold nothing.
    fn keeps_promising(&self) -> bool {
        !self.plan.loses_a_node() && usize::from(self.plan.nodes) >= self.plan.copies()
    }

    /// Whether a node has dropped the show after it gave a receipt, or was about to, and with it what it owed.
    fn lets_go_of(&self, receipt: &Receipt) -> bool {
        let of_node = |parting: &&Parting| parting.node == receipt.node;
        self.partings.iter().filter(of_node).any(|parting| parting.to >= receipt.at)
    }

    /// Every firm receipt that holds whatever has happened, and whose it is.
    pub fn firm(&self) -> impl Iterator<Item = (PlayerId, &Receipt)> {
        let firm = |receipt: &&Receipt| receipt.firm && !self.may_be_lost(receipt.node, receipt.at);
        self.players.iter().flat_map(move |(player, seen)| {
            seen.receipts.iter().filter(firm).map(|receipt| (*player, receipt))
        })
    }

    /// Whether what a node promised alone may have gone down with it.
    fn may_be_lost(&self, node: u8, at: Duration) -> bool {
        let loses_disks = self.plan.faults.iter().any(|planned| {
            let all = DiskFate::Same;
            matches!(planned.fault, Fault::Crash { disk, .. } if disk != all)
        });
        let loses = |outage: &Outage| {
            let is_later = outage.node == node && outage.to.is_none_or(|to| to >= at);
            is_later && (loses_disks || outage.from <= at + WRITTEN)
        };
        self.plan.copies() == 1 && self.outages.iter().any(loses)
    }

    /// The rulings that hold whatever has happened.
    pub fn promised(&self) -> impl Iterator<Item = &Ruled> {
        let may_be_lost = self.plan.copies() == 1 && !self.outages.is_empty();
        let is_kept = move |ruled: &&Ruled| !may_be_lost && !self.went_with_many(ruled.at);
        self.ruled.iter().filter(|ruled| ruled.firm).filter(is_kept)
    }

    /// Whether so many nodes went down at once that a promise of this moment may have gone with all who held it,
    /// whoever they were.
    pub fn went_with_many(&self, at: Duration) -> bool {
        let may_forget = |outage: &&Outage| {
            outage.from + CRASH_BEFORE >= at && outage.forgets.is_some_and(|from| from <= at)
        };
        self.are_as_many_at_once(self.outages.iter().filter(may_forget).collect())
    }

    /// Whether as many nodes as hold what is promised are among those that went down, one before the other was
    /// repaired.
    fn are_as_many_at_once(&self, mut gone: Vec<&Outage>) -> bool {
        gone.sort_by_key(|outage| outage.from);
        let is_repaired = |two: &[&Outage]| two[0].to.is_some_and(|to| two[1].from > to + REPAIR);
        let nodes: BTreeSet<u8> = gone.iter().map(|outage| outage.node).collect();
        nodes.len() >= self.plan.copies() && !gone.windows(2).any(is_repaired)
    }

    /// Whether what was told firm before then may be shown by nobody for now: as many nodes as hold it at least
    /// were down or stopped since.
    pub fn may_hide(&self, since: Duration) -> bool {
        let since = self.outages.iter().filter(|outage| outage.to.is_none_or(|to| to >= since));
        since.map(|outage| outage.node).collect::<BTreeSet<u8>>().len() >= self.plan.copies()
    }

    /// Notes who held an answer when a firm receipt for it came. A node that went down while its receipt was under
    /// way held it until then.
    pub(crate) fn note_holders(&mut self, player: PlayerId, receipt: &Receipt, others: &[u8]) {
        let went_down = self.outages.iter().rfind(|outage| {
            let is_down = outage.from <= receipt.at && outage.to.is_none_or(|to| to > receipt.at);
            outage.node == receipt.node && is_down && outage.forgets.is_some()
        });
        let held_at = went_down.map_or(receipt.at, |outage| outage.from);
        let known = self.holders.entry((player, receipt.instance)).or_default();
        known.entry(receipt.node).or_insert(held_at);
        for node in others {
            known.entry(*node).or_insert(receipt.at);
        }
    }

    /// Notes what a node holds that has applied just this: the same as whoever had applied the same, whenever.
    pub(crate) fn note_digest(&mut self, node: u8, at: Duration, heads: &Heads, digest: u64) {
        let word = |word, (id, head): (&LaneId, &u64)| {
            fold(fold(fold(word, id.origin.0), id.lane as u64), *head)
        };
        let applied = heads.dots.iter().fold(heads.dots.len() as u64, word);
        match self.applied.entry(applied) {
            Entry::Vacant(first) => drop(first.insert((node, digest))),
            Entry::Occupied(first) => {
                let (other, held) = *first.get();
                self.compared += u64::from(other != node);
                if held != digest {
                    let what = "have applied the same and differ";
                    self.split.push(format!("nodes {other} and {node} {what} at {at:?}"));
                }
            }
        }
    }

    /// Notes from when on a node that has just gone down may have forgotten what it took.
    pub(crate) fn note_forgetting(&mut self, node: u8, since: Duration) {
        let last = self.outages.iter_mut().rfind(|outage| outage.node == node);
        last.into_iter().for_each(|outage| outage.forgets = Some(since));
    }

    /// Whether more went wrong at once than a firm receipt promises to outlive: everybody who held the answer when
    /// it came went down with it, one before the other was repaired. Who went down right before may have held it.
    pub fn outlived(&self, player: PlayerId, instance: u32) -> bool {
        let Some(holders) = self.holders.get(&(player, instance)) else { return false };
        let went_down = |node: u8, since: Duration| {
            let mut of_node = self.outages.iter().filter(|outage| outage.node == node);
            of_node.find(|outage| {
                outage.from >= since && outage.forgets.is_some_and(|from| from <= since)
            })
        };
        let gone = holders.iter().map(|(node, since)| went_down(*node, *since));
        let Some(mut gone) = gone.collect::<Option<Vec<_>>>() else { return false };
        if let Some(since) = holders.values().next().filter(|_| gone.len() < self.plan.copies()) {
            let right_before = |outage: &&Outage| {
                let near = outage.from <= *since && outage.from + CRASH_BEFORE >= *since;
                near && outage.forgets.is_some() && !holders.contains_key(&outage.node)
            };
            gone.extend(self.outages.iter().filter(right_before));
        }
        self.are_as_many_at_once(gone)
    }

    /// Whether a node went down right after it had said something, and has forgotten it: nobody else may have heard it,
    /// nor what it rested on.
    pub fn took_along(&self, node: u8, said: Duration) -> bool {
        let of_node = self.outages.iter().filter(|outage| outage.node == node);
        let mut after = of_node.filter(|outage| outage.from >= said);
        after.any(|outage| {
            outage.from <= said + CRASH_BEFORE && outage.forgets.is_some_and(|from| from <= said)
        })
    }

    /// Whether a node was down at this moment or in the time before it.
    pub fn had_outage(&self, at: Duration, within: Duration) -> bool {
        let since = at.saturating_sub(within);
        self.outages
            .iter()
            .any(|outage| outage.from <= at && outage.to.is_none_or(|to| to >= since))
    }
}

/// All entries of a node, by what its store keeps; nothing if a snapshot stands for some.
pub(crate) fn all_entries(kept: Kept, heads: &Heads) -> Option<BTreeMap<(LaneId, u64), Bytes>> {
    let Kept { cut, logs, .. } = kept;
    let last = |id: &LaneId| logs.get(id).map_or(0, |(_, log)| log.len() as u64);
    let is_whole = cut.is_none() && heads.dots.iter().all(|(id, head)| last(id) == *head);
    is_whole.then(|| {
        let entries = logs.into_iter().flat_map(|(id, (first, log))| {
            (first..).zip(log).map(move |(seq, entry)| ((id, seq), entry))
        });
        entries.collect()
    })
}

/// Virtual time since the run began.
pub fn now() -> Duration {
    Duration::from_nanos(clock::virtual_ns())
}

/// The evidence in numbers.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |of: fn(&PlayerEvidence) -> u64| self.players.values().map(of).sum::<u64>();
        let codes: BTreeSet<&String> =
            self.players.values().flat_map(|p| p.refused.keys()).collect();
        let joined = all(|player| u64::from(player.joined.is_some()));
        writeln!(
            f,
            "players: {joined} joined, {} answers, {} receipts ({} firm), {} connections",
            all(|player| player.answered.len() as u64),
            all(|player| player.receipts.len() as u64),
            self.firm().count(),
            all(|player| player.connections),
        )?;
        let refused = codes.iter().map(|code| {
            let count = self.players.values().filter_map(|p| p.refused.get(*code)).sum::<u64>();
            format!("{code} {count}")
        });
        write!(f, "refused: {}", refused.collect::<Vec<_>>().join(", "))
    }
}
