//! One node started by hand, as an operator would: for what a whole cluster would be too much.
//!
//! It does not outlive its holder.

use crate::binary::{starling, starling_path};
use crate::cluster::{Http, Reply};
use crate::lab::eventually;
use node::config::Bound;
use node::service::view::{Command, CommandRequest, HostView, Imported};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running node.
#[derive(Debug)]
pub struct Single {
    child: Child,
    folder: TempDir,
    /// Where it listens.
    pub bound: Bound,
    key: String,
    ops_token: String,
    http: Http,
}

/// A show that runs on a [`Single`].
#[derive(Debug, Clone)]
pub struct SingleShow {
    /// Where it is found, and what drives it.
    pub imported: Imported,
}

impl Single {
    /// Starts a node of a new cluster with `args` beside the usual ones.
    ///
    /// # Panics
    /// If it is not ready in time.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        let key = output(&["key"], None);
        Single::start_with(starling(), key, args)
    }

    /// Starts a node of a new cluster in a shell that may open so many files, and lets what it starts ask for so many.
    ///
    /// # Panics
    /// If it is not ready in time.
    #[must_use]
    pub fn start_with_files(files: u64, most: u64, args: &[&str]) -> Self {
        let mut shell = std::process::Command::new("sh");
        let script = format!(r#"ulimit -Sn {files} && ulimit -Hn {most} && exec "$0" "$@""#);
        shell.args(["-c", &script]).arg(starling_path());
        Single::start_with(shell, output(&["key"], None), args)
    }

    /// Starts another node of the same cluster.
    ///
    /// # Panics
    /// If it is not ready in time.
    #[must_use]
    pub fn start_beside(&self, args: &[&str]) -> Self {
        let join = self.bound.peer.to_string();
        Single::start_with(starling(), self.key.clone(), &[&["--join", &join], args].concat())
    }

    fn start_with(mut command: std::process::Command, key: String, args: &[&str]) -> Self {
        let ops_token = output(&["token", "ops"], Some(&key));
        let folder = tempfile::Builder::new().prefix("starling-single-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let ready = folder.path().join("ready.json");
        command.args(["serve", "--name", "single", "--peer", "127.0.0.1:0"]);
        command.args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--ready-file"]);
        command.arg(&ready).args(args).env("STARLING_KEY", &key).env("STARLING_LOG", "warn");
        let log = fs::File::create(folder.path().join("log")).expect("the log can be written");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut child = child.expect("the node can be started");
        let bound = eventually("the node listening", START_MAX, || {
            if let Ok(Some(status)) = child.try_wait() {
                let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                panic!("the node ended with {status}: {log}");
            }
            serde_json::from_slice(&fs::read(&ready).ok()?).ok()
        });
        Single { child, folder, bound, key, ops_token, http: Http::new() }
    }

    /// Imports a show and opens its lobby.
    ///
    /// # Panics
    /// If the node refuses.
    #[must_use]
    pub fn show(&self, text: &str) -> SingleShow {
        let url = format!("http://{}/api/v1/events", self.bound.http);
        let show = SingleShow { imported: self.http.post(&url, &self.ops_token, text).json() };
        self.step(&show, Command::Lobby);
        show
    }

    /// What the host sees, if the node answers.
    #[must_use]
    pub fn host_view(&self, show: &SingleShow) -> Option<HostView> {
        let reply = self.http.get(&self.event_url(show, ""), &show.imported.host_token);
        (reply.status == 200).then(|| reply.json())
    }

    /// Takes a step once it is offered.
    ///
    /// # Panics
    /// If it is not offered in time or is refused.
    pub fn step(&self, show: &SingleShow, command: Command) {
        let view = eventually(&format!("{command:?} being offered"), START_MAX, || {
            self.host_view(show).filter(|view| view.next.contains(&command))
        });
        let _: serde_json::Value = self.send(show, command, &view).json();
    }

    /// Sends a host's command that `view` offers.
    ///
    /// # Panics
    /// Never: a command is always JSON.
    #[must_use]
    pub fn send(&self, show: &SingleShow, command: Command, view: &HostView) -> Reply {
        let request = CommandRequest::new(command, view.live.stage);
        let body = serde_json::to_string(&request).expect("a command is JSON");
        self.http.post(&self.event_url(show, "/commands"), &show.imported.host_token, &body)
    }

    /// Gets any path with the operator's token.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.http.get(&format!("http://{}{path}", self.bound.http), &self.ops_token)
    }

    /// Posts to any path with the operator's token.
    #[must_use]
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.http.post(&format!("http://{}{path}", self.bound.http), &self.ops_token, body)
    }

    /// The operator's token of its cluster.
    #[must_use]
    pub fn ops_token(&self) -> &str {
        &self.ops_token
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("process ids are positive");
        // SAFETY: kill takes two integers; the process is this one's child and is not waited for yet.
        unsafe { libc::kill(pid, signal) };
    }

    /// Ends it as a service manager does.
    ///
    /// # Panics
    /// If it does not end in time, or not well.
    pub fn stop(mut self) {
        self.signal(libc::SIGTERM);
        let ended =
            eventually("the node's end", START_MAX, || self.child.try_wait().ok().flatten());
        assert!(ended.success(), "the node ended with {ended}");
    }

    /// Its memory: the resident set, in bytes.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn rss_bytes(&self) -> Result<u64, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.map_err(|error| error.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| "no VmRSS".to_owned())
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn event_url(&self, show: &SingleShow, path: &str) -> String {
        format!("http://{}/api/v1/events/{}{path}", self.bound.http, show.imported.event)
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output(args: &[&str], key: Option<&str>) -> String {
    let mut command = starling();
    command.args(args);
    if let Some(key) = key {
        command.env("STARLING_KEY", key);
    }
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text").trim().to_owned()
}

/// Generous: the machine may be busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);
