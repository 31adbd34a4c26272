//! The spawner of one life: it remembers every task, so that a crash can end them all at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::task::AbortHandle;

use crate::gate::Gate;
use crate::ownership;

pub use gossip::network::Spawn;

/// A task without a result.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns behind the machine's gate, and aborts everything it spawned when the life ends.
#[derive(Debug)]
pub struct Spawner {
    gate: Arc<Gate>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    handles: Vec<AbortHandle>,
    /// When the list is this long, finished tasks are dropped from it.
    tidy_at: usize,
    over: bool,
}

/// The shortest list worth tidying (arbitrary).
const TIDY_MIN: usize = 64;

impl Spawner {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate, tasks: Mutex::default() }
    }

    /// How many of its tasks have not ended.
    pub fn running(&self) -> usize {
        self.lock().handles.iter().filter(|handle| !handle.is_finished()).count()
    }

    /// Ends every task, and whatever is spawned from now on.
    pub(crate) fn abort_all(&self) {
        let mut tasks = self.lock();
        tasks.over = true;
        tasks.handles.iter().for_each(AbortHandle::abort);
    }

    pub(crate) fn start(&self, task: Task) {
        let gated = self.gate.clone().wrap(task);
        let handle = ownership::spawn_for(&self.gate, || tokio::spawn(gated)).abort_handle();
        let mut tasks = self.lock();
        if tasks.over {
            handle.abort();
        }
        if tasks.handles.len() >= tasks.tidy_at.max(TIDY_MIN) {
            tasks.handles.retain(|handle| !handle.is_finished());
            tasks.tidy_at = tasks.handles.len() * 2;
        }
        tasks.handles.push(handle);
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spawn for Spawner {
    fn spawn(&self, _name: &'static str, task: Task) {
        self.start(task);
    }

    fn poll_running(&self, context: &mut Context<'_>) -> Poll<()> {
        // Nothing will ever wake a task of a life that is over.
        if self.lock().over { Poll::Pending } else { self.gate.poll_open(context) }
    }
}
