//! `starling-sim`: runs the simulator; see [`sim::cli`].

use node::allocator::{Allocator, give_back_after};
use std::process::ExitCode;

/// As the node's own binary. Where memory lies decides nothing in a run.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    // What one run has freed the next one needs at once: given back, up to a tenth of a sweep goes into pages that the
    // system has to clear again.
    give_back_after(-1);
    sim::cli::main()
}
