//! Nodes started by hand, each as its test wants it.

use crate::binary::starling;
use crate::cluster::Http;
use crate::lab::eventually;
use node::config::Bound;
use node::service::view::MemberView;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A new cluster key.
///
/// # Panics
/// If the binary does not make one.
#[must_use]
pub fn new_key() -> String {
    output(starling().arg("key"))
}

/// The operator's token of the cluster of `key`.
///
/// # Panics
/// If the binary does not make one.
#[must_use]
pub fn ops_token(key: &str) -> String {
    output(starling().args(["token", "ops"]).env("STARLING_KEY", key))
}

/// What a command prints, if it ends well.
///
/// # Panics
/// If it does not end well.
pub fn output(command: &mut Command) -> String {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A node on ports that the system chose. Does not outlive its test.
#[derive(Debug)]
pub struct Solo {
    child: Child,
    /// Where it listens.
    pub bound: Bound,
    token: String,
    http: Http,
}

impl Solo {
    /// Starts the node `name`, whose files go to `folder`, with more arguments.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start(folder: &Path, name: &str, key: &str, more: &[&str]) -> Self {
        Self::start_at(folder, name, key, "127.0.0.1:0", more)
    }

    /// The same, listening for peers at `peer`.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start_at(folder: &Path, name: &str, key: &str, peer: &str, more: &[&str]) -> Self {
        let ready = folder.join(format!("{name}.ready"));
        let _ = fs::remove_file(&ready);
        let log = fs::File::create(folder.join(format!("{name}.log"))).expect("writable");
        let mut command = starling();
        command.args(["serve", "--name", name, "--peer", peer, "--ready-file"]).arg(&ready);
        command.args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]).args(more);
        command.env("STARLING_KEY", key).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the binary was just built");
        let read = || serde_json::from_str(&fs::read_to_string(&ready).ok()?).ok();
        let bound = eventually("a node that listens", START_MAX, read);
        Solo { child, bound, token: ops_token(key), http: Http::new() }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for `path` as an operator.
    ///
    /// # Panics
    /// If the answer is no success.
    #[must_use]
    pub fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        self.http.get(&format!("{}{path}", self.url()), &self.token).json()
    }

    /// Base URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.bound.http)
    }

    /// A command of the binary that asks this node as an operator.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Command {
        let mut command = starling();
        command.args(arguments).env("STARLING_NODE", self.url());
        command.env("STARLING_TOKEN", &self.token);
        command
    }

    /// The members in its view.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        self.get("/api/v1/members")
    }

    /// Waits until it is linked with `count` members, itself included.
    pub fn wait_members(&self, count: usize) {
        eventually(&format!("a view of {count} members"), START_MAX, || {
            let members = self.members();
            let here = members.iter().filter(|member| member.state == "alive" && member.linked);
            (here.count() == count).then_some(())
        });
    }

    /// The number that `/metrics` has under `line`, name and labels as they stand there.
    #[must_use]
    pub fn metric(&self, line: &str) -> Option<f64> {
        let text = self.http.get(&format!("{}/metrics", self.url()), "").body;
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok())
    }

    /// Waits until that number is one that `wanted` likes.
    pub fn wait_metric(&self, line: &str, wanted: impl Fn(f64) -> bool) {
        eventually(line, START_MAX, || self.metric(line).filter(|value| wanted(*value)));
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Enough for a machine under full load.
const START_MAX: Duration = Duration::from_secs(60);
