//! The way to an owner: what others of the node ask of it, by its mailbox or its shards.

use super::{Followed, MAILBOX, Mail, NOBODY, Ports, Revive, Task};
use crate::engine::core::EventCore;
use crate::engine::envelope::Way;
use crate::engine::intake::Claim;
use crate::engine::io::{Input, Reply};
use crate::engine::publisher::{Publisher, Views};
use crate::engine::shards::{Doors, Shard};
use crate::service::{ConnectionId, Frame};
use crdt_state::engagement::Given;
use crdt_state::event::Beyond;
use crdt_state::{Mono, NodeId, PlayerId};
use gossip::replication::{self, Stats};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Arbitrary; whom nobody wants any more is let go of after minutes.
const WANTED_EVERY_MS: u64 = 100;

/// The way to an owner: one for all who hold it, as every answer of a crowd takes it once.
#[derive(Clone)]
pub struct Owner(Arc<Ends>);

/// What whoever has the way to an owner has of it.
pub struct Ends {
    mail: mpsc::Sender<Mail>,
    doors: Doors,
    /// Whether it is known here what the event is: an owner that has just begun knows nothing.
    pub arrived: watch::Receiver<bool>,
    /// Whether that has been seen: every answer asks, and this is no lock.
    is_here: AtomicBool,
    /// Whether all that some other node has of it has been here.
    whole: watch::Receiver<bool>,
    /// When somebody last came for the event, in milliseconds of the node's clock.
    wanted_at: AtomicU64,
    /// What it shows.
    pub views: Views,
}

/// Reads what an owner has. Whoever has only this is nobody who wants the event: it may be let go of meanwhile.
#[derive(Clone)]
pub struct Reader(mpsc::Sender<Mail>);

impl Reader {
    /// Reads the event; `None` if the owner is gone.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&EventCore, &Publisher, Mono) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, replied) = oneshot::channel();
        let read = move |core: &EventCore, publisher: &Publisher, now: Mono| {
            // Whoever asked may have gone.
            let _ = reply.send(read(core, publisher, now));
        };
        self.0.send(Mail::Read(Box::new(read))).await.ok()?;
        replied.await.ok()
    }
}

impl Deref for Owner {
    type Target = Ends;

    fn deref(&self) -> &Ends {
        &self.0
    }
}

impl Owner {
    /// Makes an owner, its state and its shards, which the caller runs and keeps.
    pub fn new(
        core: EventCore,
        ports: Ports,
        pin: String,
        revive: Revive,
    ) -> (Owner, Task, Vec<Shard>) {
        let (mail, received) = mpsc::channel(MAILBOX);
        let (publisher, views) = Publisher::new(&core, ports.now(), pin, ports.present.clone());
        let (event, trouble) = (core.event(), ports.store.trouble());
        let (arrives, arrived) = watch::channel(core.state().script().is_some());
        let (fills, whole) = watch::channel(core.has_caught_up);
        let task = Task {
            event,
            core,
            ports,
            publisher,
            mail: received,
            turn: VecDeque::new(),
            revive,
            is_torn: false,
            is_unsettled: false,
            taking: None,
            replies: BTreeMap::new(),
            folds: BTreeMap::new(),
            tickets: NOBODY,
            applied: None,
            promised: None,
            trouble,
            arrives,
            fills,
            awaits: BTreeSet::new(),
            awaits_at: None,
            peers: BTreeMap::new(),
            counted: Stats::default(),
            beyond: Beyond::default(),
            stopping: None,
        };
        let wanted_at = AtomicU64::new(millis(task.ports.now()));
        let (doors, shards) = Doors::new(&mail, &views.asked);
        let is_here = AtomicBool::new(false);
        let ends = Ends { mail, doors, arrived, is_here, whole, wanted_at, views };
        (Owner(Arc::new(ends)), task, shards)
    }

    /// Somebody has come for the event.
    pub fn note_wanted(&self, now: Mono) {
        // Not for every answer: where a crowd's answers come from many cores, they would wait for each other.
        if millis(now).saturating_sub(self.wanted_at.load(Relaxed)) >= WANTED_EVERY_MS {
            self.wanted_at.store(millis(now), Relaxed);
        }
    }

    /// When somebody last came for it.
    #[must_use]
    pub fn wanted_at(&self) -> Mono {
        Duration::from_millis(self.wanted_at.load(Relaxed))
    }

    /// Whether it knows what the event is.
    pub fn has_arrived(&self) -> bool {
        // It does not go again.
        self.is_here.load(Relaxed) || {
            let arrived = *self.arrived.borrow();
            self.is_here.store(arrived, Relaxed);
            arrived
        }
    }

    /// Waits until a peer has brought what the event is, if it must: an owner that has just begun knows nothing.
    /// Whether it has by then.
    pub async fn arrival(&self, patience: Duration) -> bool {
        if self.has_arrived() {
            return true;
        }
        let mut arrived = self.arrived.clone();
        matches!(timeout(patience, arrived.wait_for(|arrived| *arrived)).await, Ok(Ok(_)))
    }

    /// Waits until all that some other node has of the event has been here. Whether it has by then.
    pub async fn filled(&self, patience: Duration) -> bool {
        let mut whole = self.whole.clone();
        matches!(timeout(patience, whole.wait_for(|whole| *whole)).await, Ok(Ok(_)))
    }

    /// Asks for something and waits for the reply; `None` if the owner is gone.
    pub async fn ask(&self, input: impl FnOnce(u64) -> Input + Send + 'static) -> Option<Reply> {
        let (reply, replied) = oneshot::channel();
        self.mail.send(Mail::Ask(Box::new(input), reply)).await.ok()?;
        replied.await.ok()
    }

    /// Hands in a player's answer, by way of the shard of the player's slot, and waits for the reply;
    /// `None` if the owner is gone. Inboxes of its `own` connection are not told the receipt, which the reply is.
    pub fn answer(
        &self,
        claim: Claim,
        instance: u32,
        given: Given,
        own: Option<ConnectionId>,
    ) -> impl Future<Output = Option<Reply>> + Send + use<> {
        self.doors.answer(claim, instance, given, own)
    }

    /// Has the shard of a player's slot do something in its own task, between two answers; `None` if it died of
    /// it, or is gone.
    pub async fn at_shard<T: Send + 'static>(
        &self,
        player: PlayerId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.doors.at_shard(player, work).await
    }

    /// Tells the owner something.
    pub async fn tell(&self, input: Input) {
        // An owner that is gone has nothing left to be told.
        let _ = self.mail.send(Mail::Tell(input)).await;
    }

    /// Tells the owner of a peer that carries the event, on its way.
    pub async fn meet(&self, way: Way, up: replication::Input) {
        // As above.
        let _ = self.mail.send(Mail::Meet(way, up)).await;
    }

    /// Reads the event; `None` if the owner is gone.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&EventCore, &Publisher, Mono) -> T + Send + 'static,
    ) -> Option<T> {
        self.reader().read(read).await
    }

    /// Reads it without being counted among those who watch it.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(self.mail.clone())
    }

    /// The live state as it is now.
    pub async fn live_frame(&self) -> Option<Arc<Frame>> {
        self.read(|core, publisher, now| publisher.live_frame(core, now)).await
    }

    /// Follows which answers of others are applied, from now on; `None` if the owner is gone.
    pub async fn follow(&self) -> Option<Followed> {
        let (reply, replied) = oneshot::channel();
        self.mail.send(Mail::Follow(reply)).await.ok()?;
        replied.await.ok()
    }

    /// Gives a node up on the whole cluster's word, which comes again if need be.
    pub async fn give_up(&self, node: NodeId) {
        self.tell(Input::Forget { ticket: NOBODY, node }).await;
    }

    /// Has this node leave the event in order: returns once so many other nodes hold all that it holds, those not
    /// counted that are `going` too.
    ///
    /// # Errors
    /// When it cannot leave, or the owner is gone: then others wait for this node as for one that crashed.
    pub async fn retire(&self, copies: usize, going: BTreeSet<NodeId>) -> Result<(), String> {
        match self.ask(move |ticket| Input::Retire { ticket, copies, going }).await {
            Some(Reply::Retired) => Ok(()),
            Some(Reply::Refused(refusal)) => Err(refusal.message),
            Some(other) => unreachable!("a goodbye is not answered with {other:?}"),
            None => Err("the event's owner is gone".to_owned()),
        }
    }

    /// Whether the task that owned the event has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.mail.is_closed()
    }

    /// Ends the owner. When this returns it has written its last entry and said its last word.
    pub async fn stop(&self) {
        let (stopped, wait) = oneshot::channel();
        if self.mail.send(Mail::Stop(stopped)).await.is_ok() {
            // An owner that is gone has stopped already.
            let _ = wait.await;
        }
    }

    /// Shows the event under another PIN.
    pub async fn set_pin(&self, pin: String) {
        // As for `tell`.
        let _ = self.mail.send(Mail::SetPin(pin)).await;
    }
}

fn millis(mono: Mono) -> u64 {
    mono.as_millis() as u64
}
