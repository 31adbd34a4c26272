//! Which machine a running task belongs to, so that it reads that machine's wall clock.
//!
//! Invariant: a task spawned by a task of a machine belongs to the same machine, whoever spawned
//! it. A task that did not go through its machine's spawner is a *stray*: it cannot be aborted
//! when the machine crashes, so strays are counted by the place that spawned them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::runtime::{Builder, TaskMeta};
use tokio::task::Id;

use crate::clock;
use crate::gate::Gate;

/// Counts of tasks by the source location that spawned them.
pub type Strays = BTreeMap<String, u64>;

thread_local! {
    static RUNNING: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
    static SPAWNING_FOR: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
    /// Looked up by id only, never walked.
    static OWNERS: RefCell<Option<HashMap<Id, Arc<Gate>>>> = const { RefCell::new(None) };
    static STRAYS: RefCell<Strays> = const { RefCell::new(BTreeMap::new()) };
    static TRACKING: Cell<bool> = const { Cell::new(false) };
}

/// Lets the runtime report its tasks.
pub(crate) fn track(builder: &mut Builder) {
    OWNERS.set(Some(HashMap::new()));
    STRAYS.take();
    TRACKING.set(true);
    builder.on_task_spawn(on_spawn);
    builder.on_before_task_poll(on_before_poll);
    builder.on_after_task_poll(|_| leave());
    builder.on_task_terminate(on_terminate);
}

/// Stops tracking and returns the strays.
pub(crate) fn finish() -> Strays {
    TRACKING.set(false);
    OWNERS.take();
    RUNNING.take();
    STRAYS.take()
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
        let owner = RUNNING.with_borrow(Clone::clone)?;
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

fn on_before_poll(task: &TaskMeta<'_>) {
    let owner = OWNERS.with_borrow(|owners| owners.as_ref()?.get(&task.id()).cloned());
    clock::swap_skew(owner.as_ref().map_or(0, |gate| gate.skew_ns()));
    RUNNING.set(owner);
}

fn leave() {
    clock::swap_skew(0);
    RUNNING.set(None);
}

fn on_terminate(task: &TaskMeta<'_>) {
    OWNERS.with_borrow_mut(|owners| owners.as_mut().and_then(|owners| owners.remove(&task.id())));
}
