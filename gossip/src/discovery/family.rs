//! A command with all that it starts.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Ends a command together with all that it has started, unless it ended by itself first: the shell that runs
/// it is but the first of its processes.
#[derive(Debug)]
#[must_use]
pub struct Family(Option<Pid>);

impl Family {
    /// Starts a command as the first of a process group of its own.
    ///
    /// # Errors
    /// If it could not be started.
    pub fn start(command: &mut Command) -> std::io::Result<(Child, Family)> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let first = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok((child, Family(first)))
    }

    /// The command has ended: what it has left running is meant to.
    pub fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(first) = self.0.take() {
            // Nobody may be left of it.
            let _ = kill_process_group(first, Signal::KILL);
        }
    }
}
