//! The `starling` binary: its command line is [`node::cli`].

use node::allocator::{Allocator, keep_as_nodes_do};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    keep_as_nodes_do();
    node::cli::main()
}
