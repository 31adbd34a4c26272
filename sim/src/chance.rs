//! Whose dice whole nodes and their players roll: the seed's, and from the moment on at which a run leaves its past those
//! of another future.
//!
//! Invariant: a future belongs to one OS thread, which is that of one run. Until it begins every die and every byte of
//! entropy is the seed's, so that all futures of a moment have the same past. What a node that is alive has drawn for
//! itself goes on with it.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use crate::clock;
use crate::fork::Fork;
use crate::mix::{fold, mix};

thread_local! {
    /// The future, once it has begun; 0 before.
    static FUTURE: Cell<u64> = const { Cell::new(0) };
}

/// What names dice now, in a run of this seed.
pub(crate) fn of(seed: u64) -> u64 {
    match FUTURE.get() {
        0 => seed,
        future => fold(seed, future),
    }
}

/// What entropy is mixed with now: nothing before a future begins.
pub(crate) fn salt() -> u64 {
    mix(FUTURE.get())
}

/// Leaves the past when its time has come, and never ends.
pub(crate) async fn leave_past(fork: Option<Fork>) -> Infallible {
    if let Some(fork) = fork {
        until(fork).await;
        FUTURE.set(fork.future);
    }
    std::future::pending().await
}

/// Waits until a run has left its past, of which the moment itself is the last part.
pub(crate) async fn until(fork: Fork) {
    let now = Duration::from_nanos(clock::virtual_ns());
    tokio::time::sleep((fork.at + TICK).saturating_sub(now)).await;
}

/// The least that a timer waits.
const TICK: Duration = Duration::from_millis(1);
