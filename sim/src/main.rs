//! `starling-sim`: runs the simulator; see [`sim::cli`].

use libc::{c_int, c_long};
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// As the node's own binary. Where memory lies decides nothing in a run.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3: after how many milliseconds what is free goes back to the system.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

fn main() -> ExitCode {
    // What one run has freed the next one needs at once: given back, up to a tenth of a sweep goes into pages that the
    // system has to clear again.
    // SAFETY: it stores a number, and nothing is purged by the allocator until it reads that.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
    sim::cli::main()
}
