//! This program again, under another name: a process that is told what to do by lines of JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One such process. It ends with this.
pub(super) struct Again {
    child: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Again {
    pub(super) fn start(name: &str) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg(name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let orders = child.stdin.take().expect("its input is piped");
        let reports = BufReader::new(child.stdout.take().expect("its output is piped"));
        Ok(Again { child, orders, reports })
    }

    /// Tells it what to do.
    pub(super) fn order(&mut self, order: &impl Serialize) -> Result<(), String> {
        let line = serde_json::to_string(order).map_err(|error| error.to_string())?;
        let written = writeln!(self.orders, "{line}").and_then(|()| self.orders.flush());
        written.map_err(|error| format!("the process is gone: {error}"))
    }

    /// What it says next.
    pub(super) fn report<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut line = String::new();
        self.reports.read_line(&mut line).map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|error| format!("{error}: {line:?}"))
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
