//! The allocator of a node's process, and what it does with memory that is free.
//!
//! A crowd's answers are allocated by one thread and freed by another, which the system's allocator is slow at.

use libc::{c_int, c_long};

pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of mimalloc 3.
const PURGE_DELAY: c_int = 15;
/// For how long a node keeps what is free: 1 s, in milliseconds. A board of a million is made anew several times in it, and
/// pages that were given back in between have to be cleared by the system again, which takes longer than to rank them.
const KEPT_MS: i64 = 1_000;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

/// Has a process keep what is free for as long as a node does.
pub fn keep_as_nodes_do() {
    give_back_after(KEPT_MS);
}

/// After how many milliseconds what is free goes back to the system; below zero it never does.
pub fn give_back_after(ms: i64) {
    // SAFETY: it stores a number, and nothing is purged by the allocator until it reads that.
    unsafe { mi_option_set(PURGE_DELAY, ms) };
}
