//! What went wrong on a simulated thread: panics that a task's handle would swallow, and tasks
//! that wake each other for ever while virtual time stands still.
//!
//! Invariants: any panic on the thread fails its run; once a run must stop, neither its scenario
//! nor a machine's task is polled again, so the runtime becomes idle, virtual time moves, and the run can end.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::PanicHookInfo;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::task::Poll;
use std::time::Duration;

use crate::clock;

/// How often, in virtual time, a run looks whether it should end.
const INTERVAL: Duration = Duration::from_millis(100);
/// Polls of the scenario and machines' tasks between two looks; beyond it they are taken for a livelock (a run
/// loaded with 300,000 datagrams per virtual second needs about 100,000).
const POLLS_MAX: u64 = 400_000;
/// How many polls pass between looks at the flag that the watchdog sets.
const POLLS_PER_GLANCE: u64 = 1024;
/// The panics of a run that are kept; the first one is the cause.
const PANICS_MAX: usize = 16;

/// A panic of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// Where, and what it said.
    pub message: String,
}

/// Why a run was ended before its scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Panicked,
    Livelock,
    Watchdog,
    OutOfTime,
}

thread_local! {
    static WATCHDOG: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
    static STOP: Cell<Option<Stop>> = const { Cell::new(None) };
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static PANICS: RefCell<Vec<Panic>> = const { RefCell::new(Vec::new()) };
}

/// Begins to watch this thread; `watchdog` is set from outside once real time is up.
pub(crate) fn watch(watchdog: Arc<AtomicBool>) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !record(panic) {
                previous(panic);
            }
        }));
    });
    WATCHDOG.set(Some(watchdog));
}

/// Stops watching and returns the panics seen.
pub(crate) fn finish() -> Vec<Panic> {
    WATCHDOG.set(None);
    PANICS.take()
}

/// Called before each poll of the scenario or a machine's task.
pub(crate) fn must_stop() -> bool {
    let polls = POLLS.get() + 1;
    POLLS.set(polls);
    if polls > POLLS_MAX {
        STOP.set(STOP.get().or(Some(Stop::Livelock)));
    } else if polls.is_multiple_of(POLLS_PER_GLANCE) && is_barked_at() {
        STOP.set(STOP.get().or(Some(Stop::Watchdog)));
    }
    STOP.get().is_some()
}

/// Polls `future` until the run must stop.
pub(crate) async fn stoppable<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| match must_stop() {
        true => Poll::Pending,
        false => future.as_mut().poll(context),
    })
    .await
}

/// Beats until the run must end, and says why.
pub(crate) async fn beat(limit: Duration) -> Stop {
    let end = tokio::time::Instant::now() + limit;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(INTERVAL).await;
        POLLS.set(0);
        if let Some(stop) = STOP.get() {
            return stop;
        }
        if is_barked_at() {
            return Stop::Watchdog;
        }
        if PANICS.with_borrow(|panics| !panics.is_empty()) {
            return Stop::Panicked;
        }
    }
    Stop::OutOfTime
}

fn is_barked_at() -> bool {
    let barked = |flag: &Option<Arc<AtomicBool>>| {
        flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    };
    WATCHDOG.with_borrow(barked)
}

/// Whether the panic belongs to a run, and so was recorded.
fn record(panic: &PanicHookInfo<'_>) -> bool {
    let watched = WATCHDOG.try_with(|flag| flag.try_borrow().is_ok_and(|flag| flag.is_some()));
    if !watched.unwrap_or(false) {
        return false;
    }
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload_as_str().unwrap_or("a panic without text");
    let panic = Panic { at_ns: clock::virtual_ns(), message: format!("{place}: {text}") };
    PANICS.with_borrow_mut(|panics| {
        if panics.len() < PANICS_MAX {
            panics.push(panic);
        }
    });
    true
}
