//! The owner of an event: the one task that applies deltas, numbers this node's lanes and takes cuts.
//!
//! A thin shell: it turns messages into the core's inputs and the core's outputs into sends, writes and
//! replies. Its mailbox is bounded; whoever finds it full waits, which is the back-pressure that players'
//! connections and peers' links feel. Answers come by the batch, see [`shards`](super::shards).

mod handle;
mod ports;

pub use handle::{Owner, Reader};
pub use ports::Ports;

use super::bulk::{Bulk, BulkAnswer, BulkVerdict};
use super::core::EventCore;
use super::envelope::Way;
use super::io::{Input, Output, Reply};
use super::publisher::Publisher;
use super::shards::{Asker, Slip};
use crate::service::view::AppliedView;
use crate::store::{Kept, Trouble};
use crdt_state::event::Beyond;
use crdt_state::{EventId, LaneId, Mono, NodeId, Origin, PlayerId};
use gossip::replication::{self, Message, Stats};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{trace, warn};

/// Messages that wait for an owner. Arbitrary: some ten milliseconds of work.
const MAILBOX: usize = 8_192;
/// Messages taken in one turn; their answers leave as one entry.
const TURN: usize = 1_024;
/// Batches of applied answers that wait for the slowest follower; one that is further behind loses the
/// oldest and is told how many. Arbitrary: about a second at full load.
const FOLLOWED: usize = 1_024;

/// How long a turn waits for what it promises to be on disk: 100 ms. A flush takes 3 to 6 ms (measured); of a disk that
/// stalls players hear nothing, and what is promised is told when it is there.
const FLUSH_PATIENCE: Duration = Duration::from_millis(100);
/// When a turn comes though nothing wants one.
const FAR: Duration = Duration::from_secs(3_600);

/// The ticket of whoever wants no reply; those of others begin above it.
const NOBODY: u64 = 0;

type Ask = Box<dyn FnOnce(u64) -> Input + Send>;
type Read = Box<dyn FnOnce(&EventCore, &Publisher, Mono) + Send>;

pub(super) enum Mail {
    /// What a shard has folded.
    Answers(Vec<Slip>),
    /// An answer that is no part of a batch.
    Answer(Slip),
    Ask(Ask, oneshot::Sender<Reply>),
    Tell(Input),
    /// A peer that carries the event, on its way.
    Meet(Way, replication::Input),
    Read(Read),
    SetPin(String),
    Follow(oneshot::Sender<Followed>),
    Stop(oneshot::Sender<()>),
}

/// Makes the core anew from what the store keeps of it.
pub type Revive = Box<dyn Fn(Kept) -> EventCore + Send + Sync>;

/// The answers of others, batch by batch as a node applies them.
pub type Followed = broadcast::Receiver<Arc<AppliedView>>;

/// An owner's state. It outlives a panic of the task that runs it: whoever runs it again goes on with
/// the next message. A core that was in the middle of a change is not believed any more: it is read
/// back from the store, to which all was handed before anybody heard of it.
pub struct Task {
    event: EventId,
    core: EventCore,
    ports: Ports,
    publisher: Publisher,
    mail: mpsc::Receiver<Mail>,
    /// What was taken out of the mailbox and is not taken in yet.
    turn: VecDeque<Mail>,
    revive: Revive,
    /// Whether the core is in the middle of a change: a panic now leaves it neither here nor there.
    is_torn: bool,
    /// Whether something was taken in that no turn has settled yet.
    is_unsettled: bool,
    /// Whose question is being taken in.
    taking: Option<u64>,
    replies: BTreeMap<u64, Asker>,
    /// The answers of each batch that is not replied to yet.
    folds: BTreeMap<u64, Vec<Slip>>,
    tickets: u64,
    /// Only while somebody follows.
    applied: Option<broadcast::Sender<Arc<AppliedView>>>,
    /// Ready when what peers must not hear yet is on disk.
    promised: Option<oneshot::Receiver<()>>,
    /// How the store is.
    trouble: watch::Receiver<Trouble>,
    /// Whether it is known here what the event is.
    arrives: watch::Sender<bool>,
    /// Told once all that some other node has of it has been here.
    fills: watch::Sender<bool>,
    /// The nodes for whose word its results wait.
    awaits: BTreeSet<NodeId>,
    /// As of which revision of the core these are told.
    awaits_at: Option<u64>,
    /// The peers that carry the event, as they were told, and the ways to them.
    peers: BTreeMap<Origin, (Way, replication::Input)>,
    /// What replication had done when it was last counted.
    counted: Stats,
    /// What it had not kept for want of room.
    beyond: Beyond,
    /// Whoever wants this task to end.
    stopping: Option<oneshot::Sender<()>>,
}

impl Task {
    /// Runs until nobody can ask any more.
    ///
    /// # Panics
    /// On a defect, and when it is run again if the last one has left the core in the middle of a change
    /// and nothing is kept of it.
    pub async fn run(&mut self) {
        if let Some(ticket) = self.taking.take() {
            // The last run died of this question: whoever asked is told that nothing will come.
            self.replies.remove(&ticket);
            self.folds.remove(&ticket);
        }
        if self.is_torn {
            self.read_back().await;
        }
        let mut served = self.ports.inboxes.served();
        let mut fresh = Vec::with_capacity(TURN);
        let mut alarm = pin!(sleep_until(Instant::now()));
        loop {
            self.is_torn = true;
            let is_well = self.trouble.borrow_and_update().is_none() && !self.awaits_disk();
            self.core.keep_promises(is_well);
            while let Some(mail) = self.turn.pop_front() {
                self.take(mail);
            }
            self.settle(self.ports.now());
            self.carry_out().await;
            self.is_torn = false;
            self.ports.alarms.count_done(&mut self.counted, self.core.replica().stats());
            self.ports.alarms.count_beyond(&mut self.beyond, self.core.state().beyond());
            self.say_how_far();
            self.publisher.publish(&self.core, self.ports.now(), &self.ports.inboxes);
            self.ports.traffic.count_live_states(self.publisher.take_encoded());
            if let Some(stopped) = self.stopping.take() {
                // Whoever asked may have gone.
                let _ = stopped.send(());
                return;
            }
            if !self.turn.is_empty() {
                continue;
            }
            let due = self.due();
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                count = self.mail.recv_many(&mut fresh, TURN) => if count == 0 { return },
                // The publisher looks at both.
                Ok(()) = self.ports.present.changed() => {}
                Ok(()) = served.changed() => {}
                // The store fails, or does no longer: what waited for that is done at the next turn.
                Ok(()) = self.trouble.changed() => {}
                () = kept(&mut self.promised) => {}
                () = &mut alarm => {
                    self.is_torn = true;
                    self.core.handle_input(self.ports.now(), Input::Timeout);
                }
            }
            self.turn.extend(fresh.drain(..));
        }
    }

    /// Says whether the event has arrived, and for whom it waits.
    fn say_how_far(&mut self) {
        let fills = !*self.fills.borrow() && self.core.has_caught_up;
        let arrives = !*self.arrives.borrow() && self.core.has_arrived(self.ports.now());
        if fills {
            self.fills.send_replace(true);
        }
        if arrives {
            self.arrives.send_replace(true);
        }
        // What it is may be here before who plays in it and what they answered: its lanes are independent.
        if fills || arrives {
            self.greet();
        }
        let revision = Some(self.core.awaited_revision());
        if std::mem::replace(&mut self.awaits_at, revision) != revision {
            let awaited = self.core.awaited_nodes();
            if awaited != self.awaits {
                self.awaits.clone_from(&awaited);
                self.ports.awaiting.tell(self.event, awaited);
            }
        }
    }

    /// Tells those who opened an inbox before the event was here what there is for them: they were told nothing of it, or
    /// not all.
    fn greet(&mut self) {
        let players = &self.core.state().players;
        if players.count() == 0 {
            return;
        }
        let knows = |player: &PlayerId| players.row_of(*player).is_some();
        let known = self.ports.inboxes.players().into_iter().filter(knows);
        self.turn.extend(known.map(|player| Mail::Tell(Input::Project { player })));
    }

    /// Takes the core anew from the store. What waited for a receipt is told that nothing will come, and
    /// asks again: what it asked for is held, or was promised to nobody.
    async fn read_back(&mut self) {
        self.replies.clear();
        self.folds.clear();
        let kept = self.ports.store.read(self.event).await;
        let kept = kept.expect("a core that was in the middle of a change is kept in a store");
        warn!(event = %self.event, "an event is read back from the store");
        self.core = (self.revive)(kept);
        (self.awaits_at, self.counted) = (None, Stats::default());
        self.beyond = Beyond::default();
        self.core.follow(self.applied.is_some());
        for (_, up) in self.peers.values() {
            self.core.handle_input(self.ports.now(), Input::Replication(up.clone()));
        }
        self.is_torn = false;
    }

    /// When the core or the publisher wants to be woken; far away if neither does.
    fn due(&self) -> Instant {
        let due = [self.core.poll_timeout(), self.publisher.due(&self.core, &self.ports.inboxes)];
        let due = due.into_iter().flatten().min();
        due.map_or_else(|| Instant::now() + FAR, |mono| self.ports.started + mono)
    }

    fn settle(&mut self, now: Mono) {
        self.core.settle(now);
        self.is_unsettled = false;
    }

    fn take(&mut self, mail: Mail) {
        let now = self.ports.now();
        self.is_unsettled |= !matches!(mail, Mail::Read(_));
        match mail {
            Mail::Ask(input, reply) => self.ask(now, reply.into(), input),
            Mail::Answer(Slip { claim, instance, given, asker, .. }) => {
                let input = |ticket| Input::Answer { ticket, claim, instance, given };
                self.ask(now, asker, input);
            }
            Mail::Answers(slips) => self.take_answers(now, slips),
            Mail::Tell(input) => {
                if let Input::Replication(replication::Input::PeerDown { peer }) = &input {
                    self.peers.remove(peer);
                }
                self.core.handle_input(now, input);
            }
            Mail::Meet(way, up) => {
                self.peers.insert(way.peer(), (way, up.clone()));
                self.core.handle_input(now, Input::Replication(up));
            }
            Mail::Read(read) => {
                // A core that nothing was told since is as the last turn has left it.
                if self.is_unsettled {
                    self.settle(now);
                }
                self.is_torn = false;
                read(&self.core, &self.publisher, now);
                self.is_torn = true;
            }
            Mail::SetPin(pin) => self.publisher.set_pin(pin),
            Mail::Stop(stopped) => self.stopping = Some(stopped),
            Mail::Follow(reply) => {
                let applied = self.applied.get_or_insert_with(|| broadcast::Sender::new(FOLLOWED));
                self.core.follow(true);
                // Whoever asked may have gone.
                let _ = reply.send(applied.subscribe());
            }
        }
    }

    fn ask(&mut self, now: Mono, asker: Asker, input: impl FnOnce(u64) -> Input) {
        self.tickets += 1;
        self.replies.insert(self.tickets, asker);
        self.taking = Some(self.tickets);
        self.core.handle_input(now, input(self.tickets));
        self.taking = None;
    }

    /// Takes what a shard has folded: as one what can be, then the rest alone.
    fn take_answers(&mut self, now: Mono, slips: Vec<Slip>) {
        let (folds, alone) = fold(&self.core, slips);
        alone.into_iter().rev().for_each(|slip| self.turn.push_front(Mail::Answer(slip)));
        for ((instance, question), slips) in folds {
            let answer = |slip: &Slip| BulkAnswer {
                player: slip.claim.player,
                row: slip.claim.row,
                value: slip.packed.map_or(0, |packed| packed.value),
                credit_ms: slip.given.credit_ms,
            };
            let answers = slips.iter().map(answer).collect();
            self.tickets += 1;
            self.folds.insert(self.tickets, slips);
            self.taking = Some(self.tickets);
            let bulk = Bulk { instance, question, answers };
            self.core.handle_input(now, Input::AnswerAll { ticket: self.tickets, bulk });
            self.taking = None;
        }
    }

    async fn carry_out(&mut self) {
        #[cfg(debug_assertions)]
        self.core.check_invariants();
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Flush => {
                    // One that is late is waited for once; a newer one covers all that came before.
                    let patience = if self.awaits_disk() { Duration::ZERO } else { FLUSH_PATIENCE };
                    self.promised = self.ports.store.flush_within(patience).await.err();
                }
                Output::Send { message, .. } if self.is_unkept(&message) => {
                    trace!(event = %self.event, "what is not on disk yet is not told; peers will pull");
                }
                Output::Send { to, lane, message } => {
                    // To who carries it no longer nothing is sent.
                    if let Some((way, _)) = self.peers.get(&to) {
                        self.ports.send(self.event, way, lane, &message);
                    }
                }
                output => {
                    if let Some(own) = self.ports.carry_out(self.event, output).await {
                        self.tell(own);
                    }
                }
            }
        }
    }

    /// Whether what was promised last is not on disk yet.
    fn awaits_disk(&mut self) -> bool {
        let promised = self.promised.as_mut();
        let is_late = promised.is_some_and(|it| matches!(it.try_recv(), Err(TryRecvError::Empty)));
        if !is_late {
            self.promised = None;
        }
        is_late
    }

    /// Whether a message may tell what this node must have on disk before anybody hears it, and has not:
    /// only the control lane of this life has such words.
    fn is_unkept(&mut self, message: &Message) -> bool {
        if !self.awaits_disk() {
            return false;
        }
        match message {
            Message::Entries { id, .. } => *id == LaneId::control(self.core.origin()),
            Message::SnapshotHead { .. } | Message::SnapshotPart { .. } => true,
            _ => false,
        }
    }

    fn tell(&mut self, output: Output) {
        match output {
            Output::Reply { ticket, reply } => {
                if let Some(slips) = self.folds.remove(&ticket) {
                    self.tell_all(slips, &reply);
                } else if let Some(to) = self.replies.remove(&ticket) {
                    // Whoever asked may have gone; the answer is held all the same.
                    let _ = to.reply.send(reply);
                }
            }
            Output::Inbox { player, message, ticket } => {
                let asker = ticket.and_then(|ticket| self.replies.get(&ticket));
                let own = asker.and_then(|asker| asker.own);
                self.ports.inboxes.deliver_beside(player, &message, own);
            }
            Output::Applied { rows } => self.show_applied(rows),
            other => unreachable!("the ports carry {other:?} out"),
        }
    }

    /// Tells each player of a batch what became of the answer, as if it had come alone: what the inbox
    /// gets and the reply are one step, so that both reach the player's connection together. What
    /// cannot be told from the batch is taken alone.
    fn tell_all(&mut self, slips: Vec<Slip>, reply: &Reply) {
        let (verdicts, firm) = match reply {
            Reply::AnsweredAll { verdicts, firm } => (&verdicts[..], *firm),
            _ => (&[][..], false),
        };
        let mut verdicts = verdicts.iter();
        for slip in slips {
            let (player, instance) = (slip.claim.player, slip.instance);
            let verdict = verdicts.next().copied().unwrap_or(BulkVerdict::Unknown);
            match self.core.receipt_in_bulk(instance, player, verdict, firm) {
                Some(message) => {
                    let Asker { reply, own } = slip.asker;
                    self.ports.inboxes.deliver_beside(player, &message, own);
                    // Whoever asked may have gone; the answer is held all the same.
                    let _ = reply.send(Reply::Answered(message));
                }
                None => self.turn.push_back(Mail::Answer(slip)),
            }
        }
    }

    /// Shows what was applied to whoever follows; the last one who leaves takes the queue along.
    fn show_applied(&mut self, rows: Vec<(u32, PlayerId)>) {
        if let Some(applied) = &self.applied
            && applied.send(Arc::new(AppliedView { rows })).is_err()
        {
            self.applied = None;
            self.core.follow(false);
        }
    }
}

/// Comes to pass when what was promised is on disk; never where nothing is.
async fn kept(promised: &mut Option<oneshot::Receiver<()>>) {
    match promised {
        // As for `put`: a store that is gone is a node that is stopping.
        Some(flushed) => drop(flushed.await),
        None => pending().await,
    }
    *promised = None;
}

/// Answers by run and question.
type Folds = BTreeMap<(u32, u16), Vec<Slip>>;

/// Parts what can be taken by the batch from what cannot. A player's second answer goes alone, after the
/// first.
fn fold(core: &EventCore, slips: Vec<Slip>) -> (Folds, Vec<Slip>) {
    let (mut folds, mut alone, mut rows) = (Folds::new(), Vec::new(), BTreeSet::new());
    for slip in slips {
        match slip.packed {
            Some(packed)
                if core.folds(&slip.claim, slip.instance) && rows.insert(slip.claim.player) =>
            {
                folds.entry((slip.instance, packed.question)).or_default().push(slip);
            }
            _ => alone.push(slip),
        }
    }
    (folds, alone)
}

impl Input {
    /// What a peer said, as an event takes it in.
    #[must_use]
    pub fn message(from: Origin, message: Message) -> Self {
        Input::Replication(replication::Input::Message { from, message })
    }
}
