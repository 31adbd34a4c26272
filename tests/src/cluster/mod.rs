//! A cluster of real `starling` processes on this machine, run by `starling dev`.
//!
//! Nodes count from 0 here, as they stand in `cluster.json`; the console of `starling dev` counts
//! them from 1. Whatever happens to a test, no process of its cluster outlives it.

mod http;
mod processes;

pub use http::{Http, Reply};

use crate::binary::starling;
use crate::lab::{eventually, say};
use node::service::view::NodeLinks;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What kind of cluster is wanted.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many nodes.
    pub nodes: usize,
    /// The text of the show file; without it the cluster runs the sample show.
    pub show: Option<String>,
}

/// The file `cluster.json`: written when all nodes are ready, and again after each restart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterFile {
    /// In order of their numbers.
    pub nodes: Vec<NodeEntry>,
    /// The event that was made of the show.
    pub event: EventEntry,
    /// Drives the event.
    pub host_token: String,
    /// Operates the cluster.
    pub ops_token: String,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeEntry {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: i32,
    /// Base URL.
    pub http: String,
    /// `host:port`.
    pub mqtt: String,
    /// URL.
    pub ws: String,
    /// `host:port` of the peer plane.
    pub peer: String,
}

/// The event of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EventEntry {
    /// Its id.
    pub id: String,
    /// Its PIN.
    pub pin: String,
}

/// Where players find the nodes; kept up to date over restarts.
pub type Directory = Arc<RwLock<Vec<NodeLinks>>>;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    child: Child,
    /// Newest reading of `cluster.json`.
    file: ClusterFile,
    directory: Directory,
    /// Every process the cluster ever had, the supervisor included.
    pids: Vec<i32>,
    http: Http,
    /// Last, so that it goes when nobody uses it any more.
    folder: TempDir,
}

impl Cluster {
    /// Starts `nodes` nodes with the sample show.
    ///
    /// # Panics
    /// If they are not ready in time.
    #[must_use]
    pub fn start(nodes: usize) -> Self {
        Cluster::start_with(&ClusterOptions { nodes, show: None })
    }

    /// Starts a cluster and waits until all of its nodes are ready.
    ///
    /// # Panics
    /// If they are not ready in time.
    #[must_use]
    pub fn start_with(options: &ClusterOptions) -> Self {
        Cluster::start_as(options, &[])
    }

    /// The same, with more arguments for `starling dev`.
    ///
    /// # Panics
    /// If they are not ready in time.
    #[must_use]
    pub fn start_as(options: &ClusterOptions, more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("starling-test-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let mut child = spawn(folder.path(), options, more);
        let pid = i32::try_from(child.id()).expect("process ids are positive");
        let path = folder.path().join("data").join("cluster.json");
        let file = eventually("cluster.json", START_MAX, || {
            check_running(&mut child, folder.path());
            read(&path)
        });
        let http = Http::new();
        let directory = Arc::new(RwLock::new(links(&file)));
        let mut cluster = Cluster { child, file, directory, pids: vec![pid], http, folder };
        cluster.note_pids();
        cluster
    }

    /// Kills a node the hard way, by its process id. Nothing restarts it but [`Self::restart`].
    ///
    /// # Panics
    /// If the process was already gone.
    pub fn kill(&self, node: usize) {
        let pid = self.file.nodes[node].pid;
        assert!(processes::signal(pid, libc::SIGKILL), "node {node} (pid {pid}) was not there");
    }

    /// Kills a node through the console of `starling dev`, and waits until it is gone.
    ///
    /// # Panics
    /// If it does not die.
    pub fn kill_by_console(&mut self, node: usize) {
        let pid = self.file.nodes[node].pid;
        self.order(&format!("k {}", node + 1));
        eventually("the death of the node", STOP_MAX, || (!processes::runs(pid)).then_some(()));
    }

    /// Restarts a node through the console and waits until it is ready again.
    ///
    /// # Panics
    /// If it is not ready in time.
    pub fn restart(&mut self, node: usize) {
        let former = self.file.nodes[node].pid;
        self.order(&format!("r {}", node + 1));
        let path = self.data().join("cluster.json");
        self.file = eventually("the restart of the node", START_MAX, || {
            check_running(&mut self.child, self.folder.path());
            read(&path).filter(|file| file.nodes[node].pid != former)
        });
        self.note_pids();
        *self.directory.write().expect("no holder panics") = links(&self.file);
        eventually("readiness after the restart", START_MAX, || {
            self.http.get(&format!("{}/readyz", self.file.nodes[node].http), "").ok()
        });
    }

    /// Stops the cluster in an orderly way and waits until all processes are gone.
    ///
    /// # Panics
    /// If something outlives the order.
    pub fn stop(mut self) {
        self.order("q");
        eventually("the end of the cluster", STOP_MAX, || self.child.try_wait().ok().flatten());
        self.assert_no_process_left();
    }

    /// # Panics
    /// If any process of this cluster is still there.
    pub fn assert_no_process_left(&self) {
        eventually("the end of every process", STOP_MAX, || {
            self.processes().is_empty().then_some(())
        });
    }

    /// Where players find the nodes.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Arc::clone(&self.directory)
    }

    /// Where one node is found.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn links(&self, node: usize) -> NodeLinks {
        self.directory.read().expect("no holder panics")[node].clone()
    }

    /// What `cluster.json` says.
    #[must_use]
    pub fn file(&self) -> &ClusterFile {
        &self.file
    }

    /// The event's PIN.
    #[must_use]
    pub fn pin(&self) -> &str {
        &self.file.event.pin
    }

    /// How many nodes there are, dead ones included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.file.nodes.len()
    }

    /// Where `starling dev` keeps what it needs.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Types a line into the console of `starling dev`.
    fn order(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("the console is piped");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the console takes orders");
    }

    fn note_pids(&mut self) {
        for node in &self.file.nodes {
            if !self.pids.contains(&node.pid) {
                self.pids.push(node.pid);
            }
        }
    }

    /// Every process of this cluster that is still there.
    fn processes(&self) -> Vec<i32> {
        processes::of_folder(self.folder.path(), &self.pids)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            say(&format!("{}\n{}", tail(self.folder.path()), "-- the cluster's last lines end --"));
        }
        let pid = self.pids[0];
        if matches!(self.child.try_wait(), Ok(None)) && processes::signal(pid, libc::SIGTERM) {
            processes::wait_until_gone(&mut self.child, TERM_MAX);
        }
        for pid in self.processes() {
            processes::signal(pid, libc::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, options: &ClusterOptions, more: &[&str]) -> Child {
    let data = folder.join("data");
    let mut command = starling();
    command.args(["dev", "--json", "--nodes", &options.nodes.to_string(), "--dir"]).arg(&data);
    command.args(more);
    if let Some(show) = &options.show {
        let path = folder.join("show.json");
        fs::write(&path, show).expect("the folder is writable");
        command.arg("--show").arg(path);
    }
    let log = File::create(folder.join("log")).expect("the folder is writable");
    let errors = log.try_clone().expect("a file has another handle");
    command.stdin(Stdio::piped()).stdout(log).stderr(errors);
    command.spawn().expect("the binary was just built")
}

fn read(path: &Path) -> Option<ClusterFile> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}")))
}

fn check_running(child: &mut Child, folder: &Path) {
    if let Ok(Some(status)) = child.try_wait() {
        panic!("starling dev ended with {status}:\n{}", tail(folder));
    }
}

fn links(file: &ClusterFile) -> Vec<NodeLinks> {
    let links = file.nodes.iter().map(|node| NodeLinks {
        name: node.name.clone(),
        http: node.http.clone(),
        ws: node.ws.clone(),
        mqtt: node.mqtt.clone(),
        mqtts: String::new(),
    });
    links.collect()
}

/// The last lines of the cluster's output.
fn tail(folder: &Path) -> String {
    let log = fs::read(folder.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A start takes a fraction of a second; the rest is for a machine under full load.
const START_MAX: Duration = Duration::from_secs(30);

/// An orderly stop drains connections first.
const STOP_MAX: Duration = Duration::from_secs(15);

/// How long a cluster that nobody stopped may take after a SIGTERM.
const TERM_MAX: Duration = Duration::from_secs(5);

/// Lines of the cluster's output that a failed test shows.
const TAIL_LINES: usize = 60;
