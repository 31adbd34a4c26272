//! Virtual time, and the wall clock of the machine whose task is being polled.
//!
//! Invariants: the monotonic clock is one for the whole run and follows tokio's paused clock; a
//! wall clock is that clock plus the skew of the machine that reads it, which may grow. Monotonic
//! clocks that drift per machine are absent: tokio has one clock per runtime.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::ownership;

/// What the monotonic clock shows at virtual time zero, in seconds (arbitrary).
pub const MONO_START_S: u64 = 1_000_000;
/// What an unskewed wall clock shows at virtual time zero, in seconds since 1970: 2027-01-15.
pub const WALL_START_S: u64 = 1_800_000_000;

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
    static READING: Cell<bool> = const { Cell::new(false) };
    static LAST_NS: Cell<u64> = const { Cell::new(0) };
    static DRIVEN_NS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Puts this thread's virtual clock to zero, with no runtime behind it yet.
pub(crate) fn reset() {
    START.set(None);
    LAST_NS.set(0);
}

/// Sets this thread's virtual clock by hand, or gives it back to tokio.
pub(crate) fn drive(virtual_ns: Option<u64>) {
    DRIVEN_NS.set(virtual_ns);
}

/// Declares the running tokio clock's present instant to be virtual time zero.
pub(crate) fn start_here() {
    START.set(Some(tokio::time::Instant::now().into_std()));
}

/// Nanoseconds of virtual time since the run began; zero outside of a run.
///
/// While tokio itself is under construction, or reading the clock, no runtime is current and the
/// last known value is returned.
pub fn virtual_ns() -> u64 {
    if let Some(driven) = DRIVEN_NS.get() {
        return driven;
    }
    let Some(start) = START.get() else { return 0 };
    if READING.replace(true) {
        return LAST_NS.get();
    }
    if tokio::runtime::Handle::try_current().is_ok() {
        let elapsed = tokio::time::Instant::now().into_std().saturating_duration_since(start);
        LAST_NS.set(elapsed.as_nanos() as u64);
    }
    READING.set(false);
    LAST_NS.get()
}

/// The monotonic clock since its arbitrary origin.
pub(crate) fn mono() -> Duration {
    Duration::from_secs(MONO_START_S) + Duration::from_nanos(virtual_ns())
}

/// The wall clock of the machine being polled, since 1970.
pub(crate) fn wall() -> Duration {
    let true_wall = Duration::from_secs(WALL_START_S) + Duration::from_nanos(virtual_ns());
    let skew_ns = ownership::skew_ns();
    let skew = Duration::from_nanos(skew_ns.unsigned_abs());
    if skew_ns < 0 { true_wall.saturating_sub(skew) } else { true_wall + skew }
}
