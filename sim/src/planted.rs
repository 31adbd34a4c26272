//! `starling-sim` over a node with a bug on purpose: whoever checks must find it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::cli::main()
}
