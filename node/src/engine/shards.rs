//! Fan-in: what players answer, folded by slot on its way to the event's owner.
//!
//! An event has a few shards, a task each; a player's slot says which one takes the player's answers. A
//! shard does what needs no state (it judges an answer by the kind of the open question and packs it, and looks
//! whether its words are abuse), and
//! hands the owner everything that has come while it waited for its turn as one batch. So a lone answer
//! leaves at once, and a crowd's leave by the hundred: no lock and no queue is shared by all
//! connections, and the owner's cost is that of a batch.
//!
//! What only the state can judge goes in the same hand-over, and the owner takes it alone. Bounded: when
//! the owner's mailbox is full its shards wait, when a shard's queue is full the connections of its
//! slots do, and then their clients.
//!
//! A panic costs the answer that was being judged; the restarted shard goes on with the next one.

use super::intake::Claim;
use super::io::Reply;
use super::names::look_at_words;
use super::owner::Mail;
use super::publisher::Asked;
use crate::service::ConnectionId;
use crdt_state::engagement::{Given, Invalid, Taken, Task};
use crdt_state::{Cell, PlayerId};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;

/// Shards of an event. Arbitrary: as many as the cores of a large machine that are worth having for one
/// event's answers.
const SHARDS: usize = 4;
/// Answers that wait for a shard; connections wait when it is full. As many as make a batch.
const QUEUE: usize = BATCH;
/// Most answers of one hand-over: small beside what the owner takes in one turn.
const BATCH: usize = 1_024;

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Slip {
    /// What the token proves.
    pub(super) claim: Claim,
    /// Which run.
    pub(super) instance: u32,
    /// What was sent.
    pub(super) given: Given,
    /// What the open question's kind makes of it, if its value says it whole.
    pub(super) packed: Option<Packed>,
    /// Whoever waits for what becomes of it.
    pub(super) asker: Asker,
}

/// Who waits for a reply.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) reply: oneshot::Sender<Reply>,
    /// The player's connection, if the reply tells it all that an inbox of its own would.
    pub(super) own: Option<ConnectionId>,
}

impl From<oneshot::Sender<Reply>> for Asker {
    fn from(reply: oneshot::Sender<Reply>) -> Self {
        Asker { reply, own: None }
    }
}

/// What comes to a shard.
pub(super) enum Slipped {
    /// An answer, which is judged here.
    Answer(Slip),
    /// Something to do in the shard's task, between two answers.
    Errand(Box<dyn FnOnce() + Send>),
}

/// An answer as a cell holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    /// The question by which it was judged.
    pub(super) question: u16,
    /// At most [`Cell::VALUE_MAX`].
    pub(super) value: u32,
}

/// The ways into an event's shards.
#[derive(Debug, Clone)]
pub(super) struct Doors(Arc<[mpsc::Sender<Slipped>]>);

impl Doors {
    /// The doors to new shards, which hand over to the owner behind `mail`.
    pub(super) fn new(
        mail: &mpsc::Sender<Mail>,
        asked: &watch::Receiver<Option<Arc<Asked>>>,
    ) -> (Self, Vec<Shard>) {
        let shard = |_| {
            let (door, slips) = mpsc::channel(QUEUE);
            (door, Shard::new(slips, mail.clone(), asked.clone(), Task::take))
        };
        let (doors, shards): (Vec<_>, Vec<_>) = (0..SHARDS).map(shard).unzip();
        (Doors(doors.into()), shards)
    }

    /// Hands an answer in and waits for what becomes of it; `None` if nobody can say. It is on its way at
    /// once if there is room: what waits for a crowd's answers is no larger than it must be.
    pub(super) fn answer(
        &self,
        claim: Claim,
        instance: u32,
        given: Given,
        own: Option<ConnectionId>,
    ) -> impl Future<Output = Option<Reply>> + Send + use<> {
        let (reply, replied) = oneshot::channel();
        let door = self.of(claim.player);
        let slip = Slip { claim, instance, given, packed: None, asker: Asker { reply, own } };
        let waits = match door.try_send(Slipped::Answer(slip)) {
            Err(TrySendError::Full(slip)) => {
                let door = door.clone();
                Some(Box::pin(async move { door.send(slip).await }))
            }
            // Nobody says anything of an answer that was dropped with its door.
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        };
        async move {
            if let Some(waits) = waits {
                waits.await.ok()?;
            }
            replied.await.ok()
        }
    }

    /// Has the shard of a player's slot do something; `None` if it died of it.
    pub(super) async fn at_shard<T: Send + 'static>(
        &self,
        player: PlayerId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, worked) = oneshot::channel();
        // Whoever asked may have gone.
        let errand = Box::new(move || drop(done.send(work())));
        self.of(player).send(Slipped::Errand(errand)).await.ok()?;
        worked.await.ok()
    }

    fn of(&self, player: PlayerId) -> &mpsc::Sender<Slipped> {
        &self.0[usize::from(player.slot()) % self.0.len()]
    }
}

/// What a shard works on; it outlives a panic of the task.
pub struct Shard {
    slips: mpsc::Receiver<Slipped>,
    /// Taken out of the queue and not judged yet.
    fresh: VecDeque<Slipped>,
    /// Judged and not handed over yet.
    judged: Vec<Slip>,
    mail: mpsc::Sender<Mail>,
    asked: watch::Receiver<Option<Arc<Asked>>>,
    judge: Judge,
}

/// What a kind makes of an answer.
type Judge = fn(&Task, &Given) -> Result<Taken, Invalid>;

impl Shard {
    fn new(
        slips: mpsc::Receiver<Slipped>,
        mail: mpsc::Sender<Mail>,
        asked: watch::Receiver<Option<Arc<Asked>>>,
        judge: Judge,
    ) -> Self {
        Shard { slips, fresh: VecDeque::new(), judged: Vec::new(), mail, asked, judge }
    }

    /// Runs until nobody can answer any more, or nobody takes answers.
    pub async fn run(&mut self) {
        while self.gather().await {
            let asked = self.asked.borrow().clone();
            while let Some(slipped) = self.fresh.pop_front() {
                let slip = match slipped {
                    Slipped::Answer(slip) => slip,
                    Slipped::Errand(errand) => {
                        errand();
                        continue;
                    }
                };
                self.judged.push(match asked.as_deref() {
                    Some(asked) => self.look_at(asked, slip),
                    None => slip,
                });
            }
            if self.judged.is_empty() {
                continue;
            }
            let Ok(room) = self.mail.reserve().await else { return };
            room.send(Mail::Answers(std::mem::take(&mut self.judged)));
        }
    }

    /// Waits for an answer, then lets everybody else who is ready hand theirs in; `false` at the end.
    async fn gather(&mut self) -> bool {
        if !self.fresh.is_empty() || !self.judged.is_empty() {
            return true;
        }
        let mut came = Vec::new();
        if self.slips.recv_many(&mut came, BATCH).await == 0 {
            return false;
        }
        self.fresh.extend(came);
        yield_now().await;
        while self.fresh.len() < BATCH
            && let Ok(slip) = self.slips.try_recv()
        {
            self.fresh.push_back(slip);
        }
        crdt_state::bounded!(Slips, self.fresh.len(), BATCH);
        true
    }

    /// Packs an answer to what is asked if its value says it whole, and looks at its words if it has some.
    fn look_at(&self, asked: &Asked, mut slip: Slip) -> Slip {
        if slip.instance != asked.instance {
            return slip;
        }
        match (self.judge)(&asked.task, &slip.given) {
            Ok(Taken::Answer { value, text: None }) if value <= Cell::VALUE_MAX => {
                slip.packed = Some(Packed { question: asked.question, value });
            }
            Ok(taken) => slip.given.abuse = look_at_words(&asked.task, &taken),
            Err(_) => {}
        }
        slip
    }
}

#[cfg(test)]
mod tests;
