//! The signals that end a process in order.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT or SIGTERM. The signals are caught from the first poll on.
///
/// # Errors
/// When the system does not let them be caught.
pub async fn stop_signal() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
