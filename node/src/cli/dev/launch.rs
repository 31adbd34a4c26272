//! Starting one node of the cluster: its command line, its files, the wait until it listens.

use super::process::Process;
use crate::cli::{Exit, Failure};
use crate::config::Bound;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// The cluster key, in the cluster's folder.
pub(super) const KEY_FILE: &str = "cluster.key";
/// How long a node may take until it listens.
const LISTEN_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a file that another process writes.
const LOOK: Duration = Duration::from_millis(10);
/// Lines of a dead node's log that are shown.
const TAIL_LINES: usize = 10;
/// How far back those are looked for.
const TAIL_BYTES: u64 = 64 << 10;

/// What all nodes are started with.
pub(super) struct Launcher {
    program: PathBuf,
    /// Arguments before `serve`; none but in tests.
    lead: Vec<OsString>,
    /// See `DevArgs`.
    let_go_after_s: Option<u64>,
    dir: PathBuf,
}

impl Launcher {
    pub(super) fn new(program: PathBuf, dir: &Path) -> Self {
        Launcher { program, lead: Vec::new(), let_go_after_s: None, dir: dir.to_owned() }
    }

    /// One whose nodes let go of what nobody wants for so long.
    pub(super) fn letting_go_after(mut self, seconds: Option<u64>) -> Self {
        self.let_go_after_s = seconds;
        self
    }

    /// One that runs `program lead... serve ...`.
    #[cfg(test)]
    pub(super) fn with_lead(mut self, lead: impl Into<OsString>) -> Self {
        self.lead.push(lead.into());
        self
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the node `name`, on the ports that it had before if it had any.
    pub(super) fn spawn(
        &self,
        name: &str,
        before: Option<&Bound>,
        join: &[SocketAddr],
    ) -> Result<Process, Failure> {
        let started = || {
            match fs::remove_file(self.ready_file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let log = OpenOptions::new().create(true).append(true).open(self.log_file(name))?;
            Process::spawn(self.command(name, before, join, log)?)
        };
        started().map_err(Failure::of(Exit::Failed, format!("cannot start {name}")))
    }

    fn command(
        &self,
        name: &str,
        before: Option<&Bound>,
        join: &[SocketAddr],
        log: File,
    ) -> io::Result<Command> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let free = Bound {
            peer: free,
            http: free,
            mqtt: free,
            https: None,
            mqtts: None,
            certificate: None,
        };
        let bound = before.unwrap_or(&free);
        let join: Vec<_> = join.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(&self.program);
        command.args(&self.lead).args(["serve", "--name", name, "--log-format", "text"]);
        command.arg("--key-file").arg(self.dir.join(KEY_FILE));
        command.arg("--data").arg(self.dir.join(name));
        command.arg("--ready-file").arg(self.ready_file(name));
        command.args(["--peer", &bound.peer.to_string()]);
        command.args(["--http", &bound.http.to_string(), "--mqtt", &bound.mqtt.to_string()]);
        if !join.is_empty() {
            command.args(["--join", &join.join(",")]);
        }
        if let Some(seconds) = self.let_go_after_s {
            command.args(["--let-go-after-s", &seconds.to_string()]);
        }
        forget_settings(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(command)
    }

    /// Waits until the node listens, and says where.
    pub(super) async fn listening(
        &self,
        name: &str,
        process: &mut Process,
    ) -> Result<Bound, Failure> {
        let late = Instant::now() + LISTEN_PATIENCE;
        loop {
            if let Some(bound) = self.read_ready(name)? {
                return Ok(bound);
            }
            tokio::select! {
                ended = process.ended() => return Err(self.obituary(name, &ended)),
                () = sleep(LOOK) => {}
            }
            if Instant::now() > late {
                let message = format!("{name} does not listen after {LISTEN_PATIENCE:?}");
                let log = self.log_file(name);
                return Err(Failure::new(Exit::Unreachable, message).hint(format!(
                    "see {}:\n{}",
                    log.display(),
                    self.tail(name)
                )));
            }
        }
    }

    fn read_ready(&self, name: &str) -> Result<Option<Bound>, Failure> {
        let file = self.ready_file(name);
        let read = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)),
        };
        read.map_err(Failure::of(Exit::Failed, format!("cannot read {}", file.display())))
    }

    /// What is said of a node that ended by itself.
    pub(super) fn obituary(
        &self,
        name: &str,
        ended: &Result<std::process::ExitStatus, String>,
    ) -> Failure {
        let how = match ended {
            Ok(status) => status.to_string(),
            Err(error) => error.clone(),
        };
        let log = self.log_file(name);
        Failure::new(Exit::Failed, format!("{name} ended by itself ({how})")).hint(format!(
            "the end of {}:\n{}",
            log.display(),
            self.tail(name)
        ))
    }

    fn tail(&self, name: &str) -> String {
        let read = || {
            let mut log = File::open(self.log_file(name))?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes).map(|_| bytes)
        };
        let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
        let mut lines = VecDeque::with_capacity(TAIL_LINES + 1);
        for line in text.lines() {
            lines.push_back(format!("    {line}"));
            if lines.len() > TAIL_LINES {
                lines.pop_front();
            }
        }
        Vec::from(lines).join("\n")
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    fn ready_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.ready.json"))
    }
}

/// A developer's own settings are for other nodes than these; only the level of the log is kept.
fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("STARLING_"));
        if ours && name != "STARLING_LOG" {
            command.env_remove(name);
        }
    }
}
