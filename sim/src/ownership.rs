//! Which machine a running task belongs to, so that it reads that machine's wall clock.
//!
//! Invariant: a task spawned by a task of a machine belongs to the same machine, whoever spawned
//! it. A task that did not go through its machine's spawner is a *stray*: it cannot be aborted
//! when the machine crashes, so strays are counted by the place that spawned them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use tokio::runtime::{Builder, TaskMeta};
use tokio::task::Id;

use crate::gate::Gate;
use crate::mix::fold;

/// Counts of tasks by the source location that spawned them.
pub type Strays = BTreeMap<String, u64>;

/// Numbers are their own hashes, but for the mixing.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0, word);
    }
}

type Owners = HashMap<Id, Arc<Gate>, BuildHasherDefault<Plain>>;

thread_local! {
    /// The task that is being polled. Whose it is, is looked up by the few who ask.
    static RUNNING: Cell<Option<Id>> = const { Cell::new(None) };
    static SPAWNING_FOR: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
    /// Looked up by id only, never walked.
    static OWNERS: RefCell<Option<Owners>> = const { RefCell::new(None) };
    static STRAYS: RefCell<Strays> = const { RefCell::new(BTreeMap::new()) };
    static TRACKING: Cell<bool> = const { Cell::new(false) };
}

/// Lets the runtime report its tasks.
pub(crate) fn track(builder: &mut Builder) {
    OWNERS.set(Some(Owners::default()));
    STRAYS.take();
    TRACKING.set(true);
    builder.on_task_spawn(on_spawn);
    builder.on_before_task_poll(|task| RUNNING.set(Some(task.id())));
    builder.on_after_task_poll(|_| RUNNING.set(None));
    builder.on_task_terminate(on_terminate);
}

/// Stops tracking and returns the strays.
pub(crate) fn finish() -> Strays {
    TRACKING.set(false);
    OWNERS.take();
    RUNNING.take();
    STRAYS.take()
}

/// How far the wall clock of the machine whose task is being polled is off.
pub(crate) fn skew_ns() -> i64 {
    running(|gate| gate.skew_ns()).unwrap_or_default()
}

/// Asks the machine whose task is being polled, if it is one's.
fn running<T>(ask: impl FnOnce(&Arc<Gate>) -> T) -> Option<T> {
    let id = RUNNING.get()?;
    OWNERS.try_with(|owners| owners.try_borrow().ok()?.as_ref()?.get(&id).map(ask)).ok()?
}

/// Spawns in the name of the machine behind `gate`.
pub(crate) fn spawn_for<T>(gate: &Arc<Gate>, spawn: impl FnOnce() -> T) -> T {
    let before = SPAWNING_FOR.replace(Some(gate.clone()));
    let value = spawn();
    SPAWNING_FOR.set(before);
    value
}

fn on_spawn(task: &TaskMeta<'_>) {
    if !TRACKING.get() {
        return;
    }
    let owner = SPAWNING_FOR.with_borrow(Clone::clone).or_else(|| {
        let owner = running(Clone::clone)?;
        let place = task.spawned_at();
        let place = format!("{}:{}", place.file(), place.line());
        STRAYS.with_borrow_mut(|strays| *strays.entry(place).or_insert(0) += 1);
        Some(owner)
    });
    let Some(owner) = owner else { return };
    OWNERS.with_borrow_mut(|owners| {
        owners.as_mut().map(|owners| owners.insert(task.id(), owner));
    });
}

fn on_terminate(task: &TaskMeta<'_>) {
    OWNERS.with_borrow_mut(|owners| owners.as_mut().and_then(|owners| owners.remove(&task.id())));
}
