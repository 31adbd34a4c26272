//! The supervision tree: whatever panics is started again, and what cannot be kept up is said aloud.
//!
//! A child is a task that is started anew when it panics, after a pause that doubles. What it works on
//! (a listener, an event's state, a mailbox) lives outside of it and outlives it, so that the restarted
//! task finds it. A child that panics more often than its branch tolerates escalates: the branch counts
//! one failure and gives the child a fresh start, until the branch itself has failed too often. At the
//! root that ends the process, unless the branch says that its children may stay down: one event that
//! cannot be kept up is no reason to end the others.
//!
//! Connections are children of another kind: never started again, since their clients come back, but
//! counted. The tree with its counts is in `starling status` and in the metrics. In the simulator any
//! panic still fails the run: its hook sees it before it is caught here.

mod tree;

pub use tree::{BranchView, State};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gossip::network::Spawn;
use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::error;
use tree::Branch;

/// What a branch does when it has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenExhausted {
    /// It counts as a failure of the branch above; of the root, the end.
    Escalate,
    /// The child stays down, and the others go on.
    GiveUp,
}

/// A branch of the tree. Clones share it.
#[derive(Clone)]
pub struct Supervisor(Arc<Inner>);

struct Inner {
    branch: Arc<Branch>,
    above: Option<Supervisor>,
    spawn: Arc<dyn Spawn>,
    when_exhausted: WhenExhausted,
    failures: Mutex<Failures>,
    /// Cancelled when the root has failed.
    fallen: CancellationToken,
}

impl Supervisor {
    /// The root of a tree whose tasks `spawn` spawns.
    #[must_use]
    pub fn root(spawn: Arc<dyn Spawn>) -> Self {
        let fallen = CancellationToken::new();
        Supervisor::new("node", None, spawn, WhenExhausted::Escalate, fallen)
    }

    /// A branch below this one.
    #[must_use]
    pub fn branch(&self, name: &str, when_exhausted: WhenExhausted) -> Self {
        let (spawn, fallen) = (Arc::clone(&self.0.spawn), self.0.fallen.clone());
        let branch = Supervisor::new(name, Some(self.clone()), spawn, when_exhausted, fallen);
        self.0.branch.adopt(&branch.0.branch);
        branch
    }

    fn new(
        name: &str,
        above: Option<Supervisor>,
        spawn: Arc<dyn Spawn>,
        when_exhausted: WhenExhausted,
        fallen: CancellationToken,
    ) -> Self {
        let branch = Arc::new(Branch::new(name));
        let failures = Mutex::default();
        Supervisor(Arc::new(Inner { branch, above, spawn, when_exhausted, failures, fallen }))
    }

    /// Starts a child, and again whenever it panics. It is over when its task ends by itself.
    pub fn keep<F>(
        &self,
        name: &'static str,
        label: &str,
        start: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let child = Arc::new(Branch::new(label));
        self.0.branch.adopt(&child);
        let task = keep_up(self.clone(), child, start);
        self.0.spawn.spawn(name, Box::pin(task));
    }

    /// Keeps up what `run` does with `heir`: the state that outlives a panic, and that the restarted
    /// task finds as it was left.
    pub fn keep_with<T, R>(&self, name: &'static str, label: &str, heir: T, run: R)
    where
        T: Send + 'static,
        R: for<'a> Fn(&'a mut T) -> BoxFuture<'a, ()> + Send + Sync + 'static,
    {
        let shared = Arc::new((AsyncMutex::new(heir), run));
        self.keep(name, label, move || {
            let shared = Arc::clone(&shared);
            async move {
                let (heir, run) = &*shared;
                run(&mut *heir.lock().await).await;
            }
        });
    }

    /// Runs a task that is never started again; a panic of it is counted and goes no further.
    pub async fn contain<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        match AssertUnwindSafe(task).catch_unwind().await {
            Ok(done) => Some(done),
            Err(panic) => {
                self.0.branch.panicked(text(&*panic));
                error!(branch = self.0.branch.name(), panic = text(&*panic), "a task panicked");
                None
            }
        }
    }

    /// Ready once the root has failed too often.
    pub fn fallen(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.fallen.clone().cancelled_owned()
    }

    /// The tree from here on, as it is now.
    #[must_use]
    pub fn view(&self) -> BranchView {
        self.0.branch.view()
    }

    /// Counts one failure of this branch; whether its child may start afresh.
    fn fail(&self) -> bool {
        let now = Instant::now();
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let within = if self.0.above.is_some() { BRANCH_WITHIN } else { ROOT_WITHIN };
        if failures.note(now, within) {
            return true;
        }
        drop(failures);
        match (self.0.when_exhausted, &self.0.above) {
            (WhenExhausted::GiveUp, _) => false,
            (WhenExhausted::Escalate, Some(above)) => {
                error!(branch = self.0.branch.name(), "a branch failed too often");
                above.fail()
            }
            (WhenExhausted::Escalate, None) => {
                error!("the node failed too often and ends");
                self.0.fallen.cancel();
                false
            }
        }
    }
}

/// The moments of the failures that still count.
#[derive(Debug, Default)]
struct Failures(VecDeque<Instant>);

impl Failures {
    /// Notes one; whether that many are tolerated.
    fn note(&mut self, now: Instant, within: Duration) -> bool {
        while self.0.front().is_some_and(|first| now - *first > within) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        if self.0.len() <= FAILURES_MAX {
            return true;
        }
        self.0.clear();
        false
    }
}

async fn keep_up<F>(above: Supervisor, child: Arc<Branch>, mut start: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut failures, mut pause) = (Failures::default(), PAUSE_MIN);
    loop {
        child.set(State::Running);
        let started = Instant::now();
        let running: Pin<Box<F>> = match std::panic::catch_unwind(AssertUnwindSafe(&mut start)) {
            Ok(task) => Box::pin(task),
            Err(panic) => return child.gave_up(text(&*panic)),
        };
        let Err(panic) = AssertUnwindSafe(running).catch_unwind().await else {
            return child.set(State::Ended);
        };
        child.panicked(text(&*panic));
        error!(
            child = child.name(),
            panic = text(&*panic),
            ?pause,
            "a task panicked; it is restarted"
        );
        let tolerated = failures.note(Instant::now(), CHILD_WITHIN);
        if !tolerated && !above.fail() {
            error!(child = child.name(), "a task failed too often and stays down");
            return child.gave_up(text(&*panic));
        }
        child.set(State::Waiting);
        if started.elapsed() > QUIET {
            pause = PAUSE_MIN;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        child.restarted();
    }
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Failures that are tolerated within the times below: Erlang's usual order of magnitude. A defect in
/// what comes in is survived, a loop is not.
const FAILURES_MAX: usize = 5;
/// A child's time. Beyond it a failure is none of a loop.
const CHILD_WITHIN: Duration = Duration::from_secs(30);
/// A branch's time: several times what a child in a loop needs, at its longest pause, to fail it.
const BRANCH_WITHIN: Duration = Duration::from_secs(5 * 60);
/// The root's time, by the same measure.
const ROOT_WITHIN: Duration = Duration::from_secs(60 * 60);
/// Short beside what a player feels.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Arbitrary: nobody should wait longer for what has become possible again.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Whoever has run for so long is not in a loop of panics.
const QUIET: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
