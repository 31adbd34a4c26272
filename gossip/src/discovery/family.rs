//! A command with all that it starts.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use tokio::process::{Child, Command};

/// Ends a command together with all that it has started, unless it ended by itself first: the shell that runs
/// it is but the first of its processes.
#[derive(Debug)]
#[must_use]
pub struct Family(Option<Pid>);

impl Family {
    /// Has the shell run a command as the first of a process group of its own; `set_up` says what it reads, writes
    /// and is told.
    ///
    /// # Errors
    /// If it could not be started.
    pub fn start(command: &str, set_up: impl FnOnce(&mut Command)) -> io::Result<(Child, Family)> {
        let mut shell = Command::new("sh");
        // What the command starts has no business with the cluster's secret.
        shell.args(["-c", command]).env_remove("STARLING_KEY");
        shell.process_group(0).kill_on_drop(true);
        set_up(&mut shell);
        let child = shell.spawn()?;
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
