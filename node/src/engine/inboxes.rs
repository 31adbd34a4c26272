//! The private inboxes that are open on this node.
//!
//! An inbox is not stored: what a player is owed is projected from state whenever an inbox opens, on
//! any node. Here are only the queues of those that are open. When a queue is full it is dropped,
//! which ends its connection; the player comes back to a fresh projection.

use super::slots::Slots;
use crate::service::view::InboxMessage;
use crate::service::{ConnectionId, Frame, Inbox, inbox_topic};
use bytes::Bytes;
use crdt_state::{EventId, PlayerId};
use futures_channel::mpsc;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;

/// Messages that wait for one connection: a receipt, a result and a few more.
const QUEUE: usize = 64;
/// Open inboxes of one player: a phone, a laptop and their reconnects. The oldest goes first.
const PER_PLAYER: usize = 8;
/// Players in one shard from which on closed inboxes are swept out, each time that their number has doubled.
const SWEPT_ABOVE: usize = 1_024;

/// What a thread keeps room for: a message is a few hundred bytes, and a long show's whole standing some more.
const DRAFT_BYTES_MAX: usize = 4_096;

/// Where messages for players leave whose connections a broker carries. Never waits.
pub trait Outlet: Send + Sync + 'static {
    /// Sends a message, encoded; tells whether there was room for it.
    fn send(&self, player: PlayerId, payload: &Bytes) -> bool;
}

/// The shows of one player that are counted: more are nobody's evening.
const SHOWS_MAX: usize = 8;

/// The open inboxes of one player.
#[derive(Debug, Default)]
struct Open {
    queues: Vec<Queue>,
    /// In which the player is: few, so that a list is enough, and no room is kept for more.
    shows: Vec<EventId>,
}

/// One open inbox.
#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<Arc<Frame>>,
    /// The connection that reads it, if it need not be told what its acknowledgements say.
    own: Option<ConnectionId>,
}

impl Queue {
    fn is_own(&self, connection: Option<ConnectionId>) -> bool {
        connection.is_some() && self.own == connection
    }
}

impl Open {
    /// Whether somebody still listens.
    fn prune(&mut self) -> bool {
        self.queues.retain(|queue| !queue.sender.is_closed());
        !self.queues.is_empty()
    }
}

type Queues = BTreeMap<PlayerId, Open>;

/// Shards of the open inboxes, by slot: no lock is shared by all players.
const SHARDS: usize = 64;

/// All open inboxes.
pub struct Inboxes {
    shards: Vec<Mutex<Queues>>,
    outlet: OnceLock<Arc<dyn Outlet>>,
    /// The slots whose players get their results by the outlet, from this node.
    served: watch::Sender<Slots>,
}

impl fmt::Debug for Inboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inboxes").field("shards", &self.shards).finish_non_exhaustive()
    }
}

impl Default for Inboxes {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Inboxes { shards, outlet: OnceLock::new(), served: watch::Sender::new(Slots::NONE) }
    }
}

impl Inboxes {
    /// Opens an inbox; for its `own` connection one that is [spared](Self::deliver_beside) what that one says itself.
    pub fn open(&self, player: PlayerId, own: Option<ConnectionId>) -> Inbox {
        let (sender, receiver) = mpsc::channel(QUEUE - 1);
        let mut queues = self.shard(player);
        // Whoever opens one after the other and hears of nothing leaves queues behind that nobody reads.
        if queues.len() >= SWEPT_ABOVE && queues.len().is_power_of_two() {
            sweep(&mut queues);
        }
        let open = queues.entry(player).or_default();
        open.prune();
        if open.queues.len() >= PER_PLAYER {
            open.queues.remove(0);
        }
        open.queues.reserve_exact(1);
        open.queues.push(Queue { sender, own });
        crdt_state::bounded!(Inboxes, open.queues.len(), PER_PLAYER);
        receiver
    }

    /// Notes that a player is in a show: as long as an inbox is open, the player is there.
    pub fn attend(&self, player: PlayerId, event: EventId) {
        if let Some(open) = self.shard(player).get_mut(&player)
            && open.shows.len() < SHOWS_MAX
            && !open.shows.contains(&event)
        {
            open.shows.reserve_exact(1);
            open.shows.push(event);
        }
    }

    /// How many players are there, by show.
    pub fn present(&self) -> BTreeMap<EventId, u64> {
        let mut present = BTreeMap::new();
        for shard in &self.shards {
            let mut queues = lock(shard);
            sweep(&mut queues);
            for event in queues.values().flat_map(|open| &open.shows) {
                *present.entry(*event).or_default() += 1;
            }
        }
        present
    }

    /// Has every message leave by `outlet` too, from now on. There is one for a node's life. Whoever opens it says which
    /// slots are this node's: it sends their players their results.
    pub fn open_outlet(&self, outlet: Arc<dyn Outlet>) -> watch::Sender<Slots> {
        assert!(self.outlet.set(outlet).is_ok(), "a node has one outlet");
        self.served.clone()
    }

    /// The slots whose players are sent their results by the outlet, and whenever these are others.
    pub fn served(&self) -> watch::Receiver<Slots> {
        self.served.subscribe()
    }

    /// Which slots these are now.
    pub fn serves(&self) -> Slots {
        *self.served.borrow()
    }

    /// Puts a message into every open inbox of a player, and into the outlet. Returns whether there
    /// was one that took it.
    pub fn deliver(&self, player: PlayerId, message: &InboxMessage) -> bool {
        self.deliver_beside(player, message, None)
    }

    /// The same for what a connection's acknowledgement says: an inbox of its own is left out.
    pub fn deliver_beside(
        &self,
        player: PlayerId,
        message: &InboxMessage,
        connection: Option<ConnectionId>,
    ) -> bool {
        let sent = self.outlet.get().is_some_and(|outlet| outlet.send(player, &encode(message)));
        let mut queues = self.shard(player);
        let Some(open) = queues.get_mut(&player) else { return sent };
        if open.queues.iter().all(|queue| queue.is_own(connection)) {
            return true;
        }
        let payload = encode(message);
        let frame = Arc::new(Frame::new(inbox_topic(player), payload, false));
        open.queues.retain_mut(|queue| {
            queue.is_own(connection) || queue.sender.try_send(Arc::clone(&frame)).is_ok()
        });
        if open.queues.is_empty() {
            queues.remove(&player);
            return sent;
        }
        true
    }

    /// The players with an open inbox.
    pub fn players(&self) -> BTreeSet<PlayerId> {
        let mut players = BTreeSet::new();
        for shard in &self.shards {
            let mut queues = lock(shard);
            sweep(&mut queues);
            players.extend(queues.keys());
        }
        players
    }

    fn shard(&self, player: PlayerId) -> MutexGuard<'_, Queues> {
        lock(&self.shards[usize::from(player.slot()) % SHARDS])
    }
}

thread_local! {
    /// Where a message is written before it gets exactly the room that it takes.
    static DRAFT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn encode(message: &InboxMessage) -> Bytes {
    DRAFT.with_borrow_mut(|draft| {
        draft.clear();
        serde_json::to_writer(&mut *draft, message).expect("our own messages encode into memory");
        let bytes = Bytes::copy_from_slice(draft);
        draft.shrink_to(DRAFT_BYTES_MAX);
        bytes
    })
}

/// Drops the inboxes that nobody reads any more.
fn sweep(queues: &mut Queues) {
    queues.retain(|_, open| open.prune());
}

fn lock(shard: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(number: u64) -> ConnectionId {
        ConnectionId(number.try_into().unwrap())
    }

    fn refused(code: &str) -> InboxMessage {
        let (topic, message) = ("answer/00".to_owned(), "no".to_owned());
        InboxMessage::Refused { topic, code: code.to_owned(), message, hint: None }
    }

    #[test]
    fn a_message_reaches_every_open_inbox_of_its_player_only() {
        let inboxes = Inboxes::default();
        let (mut one, mut two) = (inboxes.open(PlayerId(1), None), inboxes.open(PlayerId(1), None));
        let mut other = inboxes.open(PlayerId(2), None);
        assert!(inboxes.deliver(PlayerId(1), &refused("late")));
        assert_eq!(one.try_recv().unwrap().topic, inbox_topic(PlayerId(1)));
        assert!(two.try_recv().is_ok());
        assert!(other.try_recv().is_err());
        assert!(!inboxes.deliver(PlayerId(3), &refused("late")));
    }

    #[test]
    fn what_an_acknowledgement_says_is_told_the_other_inboxes_only() {
        let (inboxes, player) = (Inboxes::default(), PlayerId(1));
        let mut phone = inboxes.open(player, Some(connection(1)));
        assert!(inboxes.deliver_beside(player, &refused("late"), Some(connection(1))));
        assert!(phone.try_recv().is_err(), "it has no other inbox to tell");
        let mut laptop = inboxes.open(player, Some(connection(2)));
        let mut plain = inboxes.open(player, None);
        assert!(inboxes.deliver_beside(player, &refused("late"), Some(connection(1))));
        assert!(phone.try_recv().is_err());
        assert!(laptop.try_recv().is_ok() && plain.try_recv().is_ok());
        // What no acknowledgement says is for all.
        assert!(inboxes.deliver_beside(player, &refused("late"), None));
        assert!(phone.try_recv().is_ok() && laptop.try_recv().is_ok() && plain.try_recv().is_ok());
    }

    #[test]
    fn a_player_is_there_while_an_inbox_is_open() {
        let inboxes = Inboxes::default();
        let phone = inboxes.open(PlayerId(1), None);
        inboxes.attend(PlayerId(1), EventId(7));
        inboxes.attend(PlayerId(2), EventId(7));
        assert_eq!(inboxes.present(), BTreeMap::from([(EventId(7), 1)]), "nobody counts unseen");
        let laptop = inboxes.open(PlayerId(1), None);
        drop(phone);
        assert_eq!(inboxes.present(), BTreeMap::from([(EventId(7), 1)]));
        drop(laptop);
        assert_eq!(inboxes.present(), BTreeMap::new());
    }

    #[test]
    fn a_full_inbox_is_closed_and_not_waited_for() {
        let inboxes = Inboxes::default();
        let mut inbox = inboxes.open(PlayerId(1), None);
        for _ in 0..QUEUE {
            assert!(inboxes.deliver(PlayerId(1), &refused("late")));
        }
        assert!(!inboxes.deliver(PlayerId(1), &refused("late")));
        for _ in 0..QUEUE {
            assert!(inbox.try_recv().is_ok());
        }
        assert_eq!(inbox.try_recv().unwrap_err(), mpsc::TryRecvError::Closed);
        assert!(inboxes.players().is_empty());
    }

    #[test]
    fn inboxes_that_nobody_reads_any_more_do_not_pile_up() {
        let inboxes = Inboxes::default();
        let kept = inboxes.open(PlayerId(u128::MAX), None);
        for player in 0..100_000 {
            drop(inboxes.open(PlayerId(player), None));
        }
        let held: usize = inboxes.shards.iter().map(|shard| lock(shard).len()).sum();
        assert!(held <= SHARDS * SWEPT_ABOVE, "{held} are held");
        assert_eq!(inboxes.players(), BTreeSet::from([PlayerId(u128::MAX)]));
        drop(kept);
    }
}
