//! `starling-sim`: runs the simulator; see [`sim::cli`].

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// As the node's own binary. Where memory lies decides nothing in a run.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sim::cli::main()
}
