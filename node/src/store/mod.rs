//! What a node keeps: every lane entry, as the origin's own bytes, in one redb file.
//!
//! Writes are grouped: one commit per [`COMMIT_EVERY`], since a disk's flush costs the same for one
//! entry as for a thousand. A receipt does not wait for it: acknowledged means held by another node.
//! What a killed node had not flushed it fetches from its peers, and since every start is a new origin
//! no number is ever used twice.
//!
//! A file that cannot be read is moved aside and the node refills from its peers, loudly. A disk that
//! fails, full ones included, is tried again until it takes what it is owed; see [`StoreHandle::trouble`].

mod load;
mod owed;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use load::{Kept, OpenError, Opened, Reopen, open_file, open_with};

use crate::env::Env;
use bytes::Bytes;
use crdt_state::{EventId, Heads, LaneId};
use redb::Database;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;
use writer::Writer;

/// Between two commits: 50 ms. One flush costs 3 to 6 ms (measured), so that a disk is busy with one event's
/// show for a tenth of the time at most; nobody waits for it but whoever asks for a flush, which does not.
pub const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// Writes that wait. When full, owners wait: a disk that cannot keep up slows intake, it loses nothing.
const QUEUE: usize = 65_536;

/// One write.
#[derive(Debug)]
pub enum StoreOp {
    /// An entry of a lane.
    Entry {
        /// Which event's.
        event: EventId,
        /// Which lane.
        id: LaneId,
        /// Its number.
        seq: u64,
        /// Its bytes.
        entry: Bytes,
    },
    /// A snapshot in place of all entries up to its heads.
    Cut {
        /// Which event's.
        event: EventId,
        /// The vector of the cut.
        heads: Heads,
        /// The snapshot.
        parts: Vec<Bytes>,
    },
    /// A lane has two histories: nothing more is taken from it, in later lives too.
    Quarantine {
        /// Which event's.
        event: EventId,
        /// Which lane.
        id: LaneId,
    },
    /// All that is kept of an event goes.
    Drop {
        /// Which event.
        event: EventId,
    },
    /// Something small that the node remembers of itself.
    Remember {
        /// Under which name.
        name: &'static str,
        /// What.
        value: Vec<u8>,
    },
    /// Answered when everything before it is on disk.
    Flush(oneshot::Sender<()>),
    /// Answered with what is kept of an event, everything before it included; with nothing where the
    /// store cannot vouch for that.
    Read {
        /// Which event.
        event: EventId,
        /// For what is kept.
        kept: oneshot::Sender<Option<Kept>>,
    },
}

/// What the store has counted.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// Attempts to write that failed. What they held is tried again.
    pub failures: AtomicU64,
    /// Writes that were given up because a disk failed for too long and memory is bounded.
    pub dropped: AtomicU64,
    /// Commits.
    pub commits: AtomicU64,
    /// Entries and snapshots written.
    pub writes: AtomicU64,
}

/// The way to the store. Clones share it.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    ops: mpsc::Sender<StoreOp>,
    counters: Arc<StoreCounters>,
    trouble: watch::Receiver<Trouble>,
    /// Somebody waits for what is written: the next commit is not put off.
    urgent: Arc<Notify>,
}

/// Why the store does not hold what it should; nothing while it does.
pub type Trouble = Option<Arc<str>>;

impl StoreHandle {
    /// Queues a write; waits while the queue is full.
    pub async fn put(&self, op: StoreOp) {
        // A store that is gone is a node that is stopping.
        let _ = self.ops.send(op).await;
    }

    /// Returns when everything queued before is on disk, however long a disk fails.
    pub async fn flush(&self) {
        // As for `put`.
        let _ = self.begin_flush().await.await;
    }

    /// Returns when everything queued before is on disk, or with a way to hear of it as soon as the
    /// store is in trouble: whoever serves players does not wait for a disk that fails.
    pub async fn flush_or_trouble(&self) -> Result<(), oneshot::Receiver<()>> {
        self.flush_within(Duration::MAX).await
    }

    /// As [`flush_or_trouble`](Self::flush_or_trouble), and not for longer than `patience`: nor does whoever serves
    /// players wait for a disk that stalls.
    pub async fn flush_within(&self, patience: Duration) -> Result<(), oneshot::Receiver<()>> {
        let mut flushed = self.begin_flush().await;
        let mut trouble = self.trouble.clone();
        tokio::select! {
            biased;
            // As for `put`.
            _ = &mut flushed => Ok(()),
            Ok(_) = trouble.wait_for(Option::is_some) => Err(flushed),
            () = sleep(patience) => Err(flushed),
        }
    }

    async fn begin_flush(&self) -> oneshot::Receiver<()> {
        let (done, flushed) = oneshot::channel();
        self.put(StoreOp::Flush(done)).await;
        self.urgent.notify_one();
        flushed
    }

    /// Why the store does not hold all that it was given, as long as that is so, and its changes.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Trouble> {
        self.trouble.clone()
    }

    /// What is kept of an event, all that was put before included, however long a disk fails; `None`
    /// if nothing is kept, or some of it was given up.
    pub async fn read(&self, event: EventId) -> Option<Kept> {
        let (kept, read) = oneshot::channel();
        self.put(StoreOp::Read { event, kept }).await;
        self.urgent.notify_one();
        read.await.ok().flatten()
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> &StoreCounters {
        &self.counters
    }
}

/// Starts the writer. `None` keeps nothing: a node in memory.
#[must_use]
pub fn start(base: Option<(Database, Reopen)>, env: &Env) -> StoreHandle {
    let (ops, queued) = mpsc::channel(QUEUE);
    let counters = Arc::new(StoreCounters::default());
    let (told, trouble) = watch::channel(None);
    let urgent = Arc::new(Notify::new());
    let handle =
        StoreHandle { ops, counters: Arc::clone(&counters), trouble, urgent: Arc::clone(&urgent) };
    let writer = Writer::new(base, Arc::clone(&env.blocking), (counters, told), urgent);
    env.spawn.spawn("store", Box::pin(writer.run(queued)));
    handle
}
