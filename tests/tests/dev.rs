//! The cluster for development as a person at a terminal has it: orders by line, ends in order, and no
//! process that outlives it, however it ends.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tests::binary::starling;
use tests::lab::{eventually, heavy};
use tests::solo::output;

const WAIT_MAX: Duration = Duration::from_secs(20);

/// A running `starling dev` with its input still open.
struct Dev {
    child: Child,
    input: Option<ChildStdin>,
    /// What it printed when all was ready.
    ready: serde_json::Value,
}

impl Dev {
    fn start(args: &[&str]) -> Self {
        let mut command: Command = starling();
        command.args(["dev", "--json"]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Dev { child, input, ready: serde_json::from_str(&line).unwrap() }
    }

    fn order(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill takes two integers and touches no memory of ours; the child is ours.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    fn pids(&self) -> Vec<u64> {
        self.ready["nodes"].as_array().unwrap().iter().map(|n| n["pid"].as_u64().unwrap()).collect()
    }

    /// Waits for its end and for the end of every node.
    fn gone(mut self) -> Option<i32> {
        let pids = self.pids();
        let status = eventually("the end of dev", WAIT_MAX, || self.child.try_wait().unwrap());
        let runs = |pid: &u64| {
            // A zombie has an empty command line.
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
        };
        eventually("the end of all nodes", WAIT_MAX, || (!pids.iter().any(runs)).then_some(()));
        status.code()
    }
}

fn cluster_file(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("cluster.json")).unwrap()).unwrap()
}

#[test]
fn orders_come_by_line_and_q_ends_everything() {
    let _turn = heavy();
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&["--nodes", "3", "--dir", folder.path().to_str().unwrap()]);
    let before = cluster_file(folder.path());
    assert_eq!(before, dev.ready, "what is printed is what is written");
    assert_eq!(before["nodes"].as_array().unwrap().len(), 3);
    dev.order("k 2");
    dev.order("no such order");
    dev.order("r 2");
    let after = eventually("the second node's new process", WAIT_MAX, || {
        let after = cluster_file(folder.path());
        (after["nodes"][1]["pid"] != before["nodes"][1]["pid"]).then_some(after)
    });
    for key in ["http", "mqtt", "ws", "peer"] {
        assert_eq!(after["nodes"][1][key], before["nodes"][1][key], "the ports stay");
    }
    assert_eq!(after["event"], before["event"]);
    dev.ready = after;
    dev.order("q");
    assert_eq!(dev.gone(), Some(0));
}

#[test]
fn a_node_is_started_again_after_the_show_was_archived() {
    let _turn = heavy();
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&["--nodes", "3", "--dir", folder.path().to_str().unwrap()]);
    let before = cluster_file(folder.path());
    let event = before["event"]["id"].as_str().unwrap();
    let abort = ("host_token", vec!["event", "host", event, "abort"]);
    for (token, arguments) in [abort, ("ops_token", vec!["event", "archive", event])] {
        let mut command = starling();
        command.args(arguments).env("STARLING_TOKEN", before[token].as_str().unwrap());
        command.env("STARLING_NODE", before["nodes"][0]["http"].as_str().unwrap());
        output(&mut command);
    }
    dev.order("k 2");
    dev.order("r 2");
    dev.ready = eventually("the second node's new process", WAIT_MAX, || {
        let after = cluster_file(folder.path());
        (after["nodes"][1]["pid"] != before["nodes"][1]["pid"]).then_some(after)
    });
    dev.order("q");
    assert_eq!(dev.gone(), Some(0));
}

#[test]
fn the_end_of_input_stops_nothing_and_a_signal_stops_all() {
    let _turn = heavy();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut dev = Dev::start(&["--nodes", "2"]);
        drop(dev.input.take());
        let folder = folder_of(&dev);
        assert!(folder.is_dir());
        let url = format!("{}/livez", dev.ready["nodes"][1]["http"].as_str().unwrap());
        assert!(ureq::get(&url).call().is_ok(), "it goes on without an input");
        dev.signal(signal);
        assert_eq!(dev.gone(), Some(0));
        eventually("the end of the temporary folder", WAIT_MAX, || {
            (!folder.exists()).then_some(())
        });
    }
}

#[test]
fn nodes_die_with_their_parent_even_when_that_is_killed() {
    let _turn = heavy();
    let dev = Dev::start(&["--nodes", "2"]);
    let folder = folder_of(&dev);
    dev.signal(libc::SIGKILL);
    assert_eq!(dev.gone(), None, "a killed process has no exit code");
    fs::remove_dir_all(folder).unwrap();
}

/// Where a node keeps its data, from its command line.
fn folder_of(dev: &Dev) -> PathBuf {
    let line = fs::read_to_string(format!("/proc/{}/cmdline", dev.pids()[0])).unwrap();
    let data = line.split('\0').skip_while(|arg| *arg != "--data").nth(1).unwrap();
    Path::new(data).parent().unwrap().to_owned()
}
