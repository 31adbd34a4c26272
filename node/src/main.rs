//! The `starling` binary: its command line is [`node::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main()
}
