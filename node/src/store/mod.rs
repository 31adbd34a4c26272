//! What a node keeps: every lane entry, as the origin's own bytes, in one redb file.
//!
//! Writes are grouped: one commit per [`COMMIT_EVERY`], since a disk's flush costs the same for one
//! entry as for a thousand. A receipt does not wait for it: acknowledged means held by another node.
//! What a killed node had not flushed it fetches from its peers, and since every start is a new origin
//! no number is ever used twice.
//!
//! A file that cannot be read is moved aside and the node refills from its peers, loudly.

mod load;
mod tables;
#[cfg(test)]
mod tests;

pub use load::{Kept, OpenError, Opened, open_file, open_with};

use crate::env::{Blocking, Env};
use bytes::Bytes;
use crdt_state::{EventId, Heads, LaneId};
use redb::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::error;

/// Between two commits: 25 ms, from the measurements that one flush costs 3 to 6 ms.
pub const COMMIT_EVERY: Duration = Duration::from_millis(25);
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

impl StoreOp {
    /// Whether somebody waits for its answer.
    fn is_question(&self) -> bool {
        matches!(self, StoreOp::Flush(_) | StoreOp::Read { .. })
    }
}

/// What the store has counted.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// Commits that failed. What they held is still in memory and at the peers.
    pub failures: AtomicU64,
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
}

impl StoreHandle {
    /// Queues a write; waits while the queue is full.
    pub async fn put(&self, op: StoreOp) {
        // A store that is gone is a node that is stopping.
        let _ = self.ops.send(op).await;
    }

    /// Returns when everything queued before is on disk.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.put(StoreOp::Flush(done)).await;
        // As for `put`.
        let _ = flushed.await;
    }

    /// What is kept of an event, all that was put before included; `None` if nothing is kept, or not all
    /// of it could be written.
    pub async fn read(&self, event: EventId) -> Option<Kept> {
        let (kept, read) = oneshot::channel();
        self.put(StoreOp::Read { event, kept }).await;
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
pub fn start(database: Option<Database>, env: &Env) -> StoreHandle {
    let (ops, queued) = mpsc::channel(QUEUE);
    let counters = Arc::new(StoreCounters::default());
    let handle = StoreHandle { ops, counters: Arc::clone(&counters) };
    let writer = Writer { database: database.map(Arc::new), counters };
    let blocking = Arc::clone(&env.blocking);
    env.spawn.spawn("store", Box::pin(writer.run(queued, blocking)));
    handle
}

struct Writer {
    database: Option<Arc<Database>>,
    counters: Arc<StoreCounters>,
}

impl Writer {
    async fn run(self, mut queued: mpsc::Receiver<StoreOp>, blocking: Arc<dyn Blocking>) {
        let mut group = Vec::new();
        while queued.recv_many(&mut group, QUEUE).await > 0 {
            let urgent = group.iter().any(StoreOp::is_question);
            if !urgent {
                sleep(COMMIT_EVERY).await;
            }
            while let Ok(op) = queued.try_recv() {
                group.push(op);
            }
            self.commit(std::mem::take(&mut group), &*blocking).await;
        }
    }

    async fn commit(&self, group: Vec<StoreOp>, blocking: &dyn Blocking) {
        let (questions, writes): (Vec<_>, Vec<_>) =
            group.into_iter().partition(StoreOp::is_question);
        if let Some(database) = self.database.clone().filter(|_| !writes.is_empty()) {
            let counters = Arc::clone(&self.counters);
            let work = move || match tables::write(&database, &writes) {
                Ok(()) => {
                    counters.commits.fetch_add(1, Relaxed);
                    counters.writes.fetch_add(writes.len() as u64, Relaxed);
                }
                Err(error) => {
                    counters.failures.fetch_add(1, Relaxed);
                    error!(%error, "the store could not be written; peers hold what it lacks");
                }
            };
            blocking.run(Box::new(work)).await;
        }
        for question in questions {
            // Whoever asked may have gone.
            match question {
                StoreOp::Flush(done) => drop(done.send(())),
                StoreOp::Read { event, kept } => drop(kept.send(self.read(event, blocking).await)),
                _ => unreachable!("a write is no question"),
            }
        }
    }

    async fn read(&self, event: EventId, blocking: &dyn Blocking) -> Option<Kept> {
        let database =
            self.database.clone().filter(|_| self.counters.failures.load(Relaxed) == 0)?;
        let (done, read) = oneshot::channel();
        let work = move || drop(done.send(load::read_event(&database, event)));
        blocking.run(Box::new(work)).await;
        match read.await.ok()? {
            Ok(kept) => Some(kept),
            Err(error) => {
                error!(%error, %event, "the store could not be read");
                None
            }
        }
    }
}
