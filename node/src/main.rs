//! The `starling` binary: its command line is [`node::cli`].

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A crowd's answers are allocated by one thread and freed by another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    node::cli::main()
}
