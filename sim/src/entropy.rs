//! The seeded byte stream that a simulated thread sees in place of the kernel's entropy.
//!
//! Invariants: the stream belongs to one OS thread, and only reads of at least one byte consume
//! it (libraries probe the kernel with empty reads once per process, which must not count).
//! The cells are const-initialised and have no destructor, so the libc hooks may touch them at
//! any moment of a thread's life.

use std::cell::Cell;

use crate::chance;
use crate::mix::{GOLDEN, mix};

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
    static READS: Cell<u64> = const { Cell::new(0) };
}

/// Starts the stream of `seed` on this thread.
pub(crate) fn reseed(seed: u64) {
    STATE.set(mix(seed ^ GOLDEN));
    READS.set(0);
}

/// Fills `bytes` with the next bytes of this thread's stream.
pub(crate) fn fill(bytes: &mut [u8]) {
    if !bytes.is_empty() {
        READS.set(READS.get() + 1);
    }
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
}

/// How many reads this thread's stream has served.
pub fn reads() -> u64 {
    READS.get()
}

fn next() -> u64 {
    let state = STATE.get().wrapping_add(GOLDEN);
    STATE.set(state);
    mix(state ^ chance::salt())
}
