//! `exec`: a command that prints addresses, for whatever has no strategy of its own.

use super::family::Family;
use super::list::{LIST_BYTES_MAX, read_list};
use super::{Discovery, DiscoveryError, Found};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, copy, sink};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a command may take: 10 s, a slow cloud's API twice over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two runs: 10 s, since a command costs more than a query.
const REST: Duration = Duration::from_secs(10);

/// How much of what it writes to stderr is repeated.
const ERROR_BYTES: u64 = 512;

/// A command for the shell.
pub(super) struct Exec {
    command: String,
    patience: Duration,
}

impl Exec {
    pub(super) fn new(command: String) -> Self {
        Exec { command, patience: PATIENCE }
    }

    async fn call(&self) -> Result<Vec<u8>, DiscoveryError> {
        let failed = |what: String| DiscoveryError::Command { what };
        let set_up = |shell: &mut Command| {
            shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        };
        let (mut child, family) = Family::start(&self.command, set_up)
            .map_err(|error| failed(format!("could not be run: {error}")))?;
        let (list, errors) = (child.stdout.take(), child.stderr.take());
        let (list, errors) =
            tokio::join!(head(list, LIST_BYTES_MAX as u64 + 1), head(errors, ERROR_BYTES),);
        if list.len() > LIST_BYTES_MAX {
            return Err(DiscoveryError::TooLong { bytes_max: LIST_BYTES_MAX });
        }
        let status = child.wait().await;
        let status = status.map_err(|error| failed(format!("could not be awaited: {error}")))?;
        family.ended();
        if status.success() {
            return Ok(list);
        }
        let errors = String::from_utf8_lossy(&errors);
        Err(failed(format!("ended with {status}: {}", errors.trim())))
    }
}

/// The beginning of what a command writes; the rest is read and dropped, so that it can end.
async fn head(stream: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> Vec<u8> {
    let mut head = Vec::new();
    if let Some(mut stream) = stream {
        // A stream that breaks is one that ended: the command's status says the rest.
        let _ = (&mut stream).take(bytes_max).read_to_end(&mut head).await;
        let _ = copy(&mut stream, &mut sink()).await;
    }
    head
}

#[async_trait::async_trait]
impl Discovery for Exec {
    /// The program alone: its arguments may hold secrets, and metrics are for all to read.
    fn name(&self) -> String {
        format!("exec:{}", self.command.split_whitespace().next().unwrap_or_default())
    }

    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        let list = timeout(self.patience, self.call()).await;
        let list = list.map_err(|_| DiscoveryError::TimedOut(self.patience))??;
        read_list(&String::from_utf8_lossy(&list), found).await
    }

    fn rest(&self) -> Duration {
        REST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look(command: &str, patience: Duration) -> Result<usize, String> {
        let mut found = Found::default();
        let mut exec = Exec { command: command.into(), patience };
        let outcome = exec.look(&mut found).await;
        outcome.map(|()| found.len()).map_err(|error| error.to_string())
    }

    /// Waits until there is no such process, or only what is left of it.
    async fn gone(id: &str) {
        let stat = format!("/proc/{id}/stat");
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_command_is_heard_and_its_failures_are_told() {
        let patient = Duration::from_secs(30);
        assert_eq!(look("printf '127.0.0.1:1\\n127.0.0.1:2\\n'", patient).await, Ok(2));
        assert_eq!(look("true", patient).await, Ok(0));
        let failed = look("echo no cloud today >&2; exit 3", patient).await.unwrap_err();
        assert_eq!(failed, "the command ended with exit status: 3: no cloud today");
        let long = look("yes 127.0.0.1:1 | head -c 100000", patient).await.unwrap_err();
        assert!(long.contains("longer than 65536 bytes"), "{long}");
        let slow = look("exec sleep 60", Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(slow, "it took more than 100ms");
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("id").display().to_string();
        let family = format!("sleep 60 & echo $! > {told}; wait; true | cat");
        // Long enough for a shell to start, on a machine in use.
        assert!(look(&family, Duration::from_secs(3)).await.is_err());
        let id = std::fs::read_to_string(&told).unwrap();
        gone(id.trim()).await;
        assert!(look("echo '?'", patient).await.unwrap_err().contains("line 1"));
        assert!(look("/no/such/thing", patient).await.unwrap_err().contains("127"));
    }
}
