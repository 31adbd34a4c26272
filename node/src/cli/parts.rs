//! The seam between the command line and the rest of a node.

use super::signal::stop_signal;
use crate::config::{Bound, NodeConfig};
use crate::run::{RunError, serve};
use std::io;

pub(super) use crate::show::{SAMPLE, describe as describe_problems};

/// Runs a node until it is told to stop; `listening` is called once, with the bound addresses.
pub(super) async fn run_node(
    config: NodeConfig,
    listening: impl FnOnce(&Bound) -> io::Result<()>,
) -> Result<(), RunError> {
    serve(config, listening, stop_signal()).await
}
