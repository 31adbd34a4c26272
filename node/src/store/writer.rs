//! The writer: the one task that owns the database.
//!
//! Whatever fails, a panic of the database included, closes it: redb refuses everything after its first
//! failed write. The writer keeps what it owes, opens the file again after a pause, and writes all of it in
//! order. Whoever asked whether it is on disk waits until it is.

use super::load::{self, Reopen};
use super::owed::Owed;
use super::{COMMIT_EVERY, Kept, QUEUE, StoreCounters, StoreOp, Trouble, tables};
use crate::env::Blocking;
use crdt_state::EventId;
use redb::Database;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info};

/// Before a failed write is tried again: long enough not to fill the log with it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause: nobody who has made room should wait longer for it to be used.
const PAUSE_MAX: Duration = Duration::from_secs(10);

type Reader = (EventId, oneshot::Sender<Option<Kept>>);

pub(super) struct Writer {
    /// Nothing for a node in memory.
    base: Option<Base>,
    owed: Owed,
    flushes: Vec<oneshot::Sender<()>>,
    reads: Vec<Reader>,
    /// While the disk fails: when it is tried again, and the pause after that.
    retry: Option<(Instant, Duration)>,
    blocking: Arc<dyn Blocking>,
    counters: Arc<StoreCounters>,
    trouble: watch::Sender<Trouble>,
    urgent: Arc<Notify>,
}

/// The database, unless it has failed, and the way to open it again.
struct Base {
    database: Option<Database>,
    reopen: Arc<Reopen>,
}

impl Writer {
    pub(super) fn new(
        base: Option<(Database, Reopen)>,
        blocking: Arc<dyn Blocking>,
        (counters, trouble): (Arc<StoreCounters>, watch::Sender<Trouble>),
        urgent: Arc<Notify>,
    ) -> Self {
        let base = base
            .map(|(database, reopen)| Base { database: Some(database), reopen: Arc::new(reopen) });
        let (owed, flushes, reads) = (Owed::default(), Vec::new(), Vec::new());
        Writer { base, owed, flushes, reads, retry: None, blocking, counters, trouble, urgent }
    }

    /// Runs until nobody can write any more, and tries once more then.
    pub(super) async fn run(mut self, mut queued: mpsc::Receiver<StoreOp>) {
        let mut group = Vec::new();
        loop {
            let due = self.retry.map_or_else(Instant::now, |(due, _)| due);
            let ended = tokio::select! {
                biased;
                () = sleep_until(due), if self.retry.is_some() => false,
                count = queued.recv_many(&mut group, QUEUE) => count == 0,
            };
            self.take(group.drain(..));
            let is_asked = !self.flushes.is_empty() || !self.reads.is_empty();
            if self.retry.is_none() && !is_asked && !ended {
                tokio::select! {
                    biased;
                    () = self.urgent.notified() => {}
                    () = sleep(COMMIT_EVERY) => {}
                }
            }
            while let Ok(op) = queued.try_recv() {
                self.take([op]);
            }
            if ended || self.retry.is_none_or(|(due, _)| due <= Instant::now()) {
                self.write().await;
            }
            self.after().await;
            if ended {
                return;
            }
        }
    }

    fn take(&mut self, ops: impl IntoIterator<Item = StoreOp>) {
        for op in ops {
            match op {
                StoreOp::Flush(done) => self.flushes.push(done),
                StoreOp::Read { event, kept } => self.reads.push((event, kept)),
                write if self.base.is_some() => self.owed.push(write),
                _ => {}
            }
        }
    }

    /// Writes what is owed as one transaction, into a database that is opened again if it has failed.
    async fn write(&mut self) {
        let Some(base) = self.base.as_mut().filter(|_| !self.owed.ops.is_empty()) else { return };
        let (database, reopen) = (base.database.take(), Arc::clone(&base.reopen));
        let ops = std::mem::take(&mut self.owed.ops);
        let work = move || {
            let written = contained(|| {
                let database = database.map_or_else(|| reopen(), Ok)?;
                tables::write(&database, &ops)?;
                Ok(database)
            });
            (written, ops)
        };
        // Without an answer the runtime is going away, and the node with it.
        let Some((written, ops)) = self.blocking.result_of(work).await else { return };
        let count = ops.len() as u64;
        self.owed.ops = ops;
        match written {
            Ok(database) => self.on_written(database, count),
            Err(why) => self.on_failed(&why),
        }
    }

    fn on_written(&mut self, database: Database, count: u64) {
        self.counters.commits.fetch_add(1, Relaxed);
        self.counters.writes.fetch_add(count, Relaxed);
        self.owed.settle();
        if let Some(base) = &mut self.base {
            base.database = Some(database);
        }
        if self.retry.take().is_some() {
            info!(writes = count, "the store is written again, with all that it was owed");
        }
    }

    fn on_failed(&mut self, why: &str) {
        self.counters.failures.fetch_add(1, Relaxed);
        let pause = self.retry.map_or(PAUSE_MIN, |(_, pause)| pause);
        self.retry = Some((Instant::now() + pause, (pause * 2).min(PAUSE_MAX)));
        error!(
            error = why,
            owed = self.owed.ops.len(),
            again_in = ?pause,
            "the store cannot be written: make room on its disk, or mend it; until then what is new \
             here is in memory only, unless a peer holds it"
        );
        self.trouble.send_replace(Some(format!("the store cannot be written: {why}").into()));
    }

    /// Keeps within bounds, says how it stands, and answers whoever can be answered.
    async fn after(&mut self) {
        if self.retry.is_some() {
            self.flushes.retain(|done| !done.is_closed());
            return self.shed();
        }
        let lost = self.owed.lost().len();
        let trouble = (lost > 0).then(|| {
            format!(
                "a disk that failed for too long lacks entries of {lost} events; restart this node \
                 while a peer holds them"
            )
            .into()
        });
        self.trouble.send_if_modified(|told| {
            let is_new = *told != trouble;
            *told = trouble;
            is_new
        });
        if lost == 0 {
            for done in self.flushes.drain(..) {
                // Whoever asked may have gone, here and below.
                let _ = done.send(());
            }
        }
        for (event, kept) in std::mem::take(&mut self.reads) {
            drop(kept.send(self.read(event).await));
        }
    }

    fn shed(&mut self) {
        let shed = self.owed.shed();
        if shed > 0 {
            self.counters.dropped.fetch_add(shed as u64, Relaxed);
            error!(
                writes = shed,
                events = ?self.owed.lost(),
                "the store has failed for too long: the writes of an event are given up"
            );
        }
    }

    async fn read(&mut self, event: EventId) -> Option<Kept> {
        if self.owed.lost().contains(&event) {
            return None;
        }
        let base = self.base.as_mut()?;
        let (database, reopen) = (base.database.take(), Arc::clone(&base.reopen));
        let work = move || {
            contained(|| {
                let database = database.map_or_else(|| reopen(), Ok)?;
                let kept = load::read_event(&database, event)?;
                Ok((database, kept))
            })
        };
        match self.blocking.result_of(work).await? {
            Ok((database, kept)) => {
                if let Some(base) = &mut self.base {
                    base.database = Some(database);
                }
                Some(kept)
            }
            Err(why) => {
                error!(error = why, %event, "the store cannot be read");
                None
            }
        }
    }
}

/// Does work on the database; a panic in it is one more error. What the work had opened is closed then.
fn contained<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the database panicked: {}", text(&*panic))),
    }
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_more_failure() {
        let failed = contained(|| -> Result<(), redb::Error> { panic!("a page is damaged") });
        assert!(failed.unwrap_err().to_string().contains("a page is damaged"));
    }
}
