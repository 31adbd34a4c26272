//! Nodes started by hand: one key, one address of any other, any order.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use node::config::Bound;
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::binary::starling;
use tests::lab::{eventually, heavy};
use tests::single::Single;

const WAIT_MAX: Duration = Duration::from_secs(20);

/// A node that does not outlive its test.
struct Node {
    child: Child,
    http: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Free addresses for peers and pages; held until all are drawn, so that they differ.
fn free_addresses(count: usize) -> Vec<(String, String)> {
    let draw =
        || (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let held: Vec<_> = (0..count).map(|_| draw()).collect();
    let text = |(udp, tcp): &(UdpSocket, TcpListener)| {
        (udp.local_addr().unwrap().to_string(), tcp.local_addr().unwrap().to_string())
    };
    held.iter().map(text).collect()
}

#[test]
fn three_nodes_find_each_other_in_any_order_of_starting() {
    let _turn = heavy();
    let key = output(starling().arg("key"));
    let token = output(starling().args(["token", "ops"]).env("STARLING_KEY", &key));
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let addresses = free_addresses(3);
        let start = |index: usize| {
            let (peer, http) = &addresses[index];
            // Each knows one other only: the first the second, the second the third, the third the first.
            let other = &addresses[(index + 1) % 3].0;
            let mut command = starling();
            command.args(["serve", "--name", &format!("n{index}"), "--mqtt", "127.0.0.1:0"]);
            command.args(["--peer", peer, "--http", http, "--join", other]);
            command.env("STARLING_KEY", &key).stdin(Stdio::null());
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            Node { child, http: format!("http://{http}") }
        };
        let nodes = order.map(start);
        for node in &nodes {
            eventually("a full view of the cluster", WAIT_MAX, || {
                let mut members = starling();
                members.args(["members", "--json", "--node", &node.http, "--token", &token]);
                let members = members.output().unwrap();
                let members: serde_json::Value = serde_json::from_slice(&members.stdout).ok()?;
                let members = members.as_array()?;
                let linked = |member: &serde_json::Value| {
                    member["linked"] == true && member["state"] == "alive"
                };
                (members.len() == 3 && members.iter().all(linked)).then_some(())
            });
        }
    }
}

#[test]
fn a_node_of_the_open_profile_is_in_no_cluster() {
    let _turn = heavy();
    let key = output(starling().arg("key"));
    for flags in [["--join", "127.0.0.1:7946"], ["--discover", "local:nobody"]] {
        let mut command = starling();
        command.args(["serve", "--name", "n1", "--mqtt-profile", "open"]).args(flags);
        let refused = command.env("STARLING_KEY", &key).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(4), "{said}");
        assert!(said.contains("leave out --join and --discover"), "{said}");
    }
    let open = Single::start(&["--mqtt-profile", "open"]);
    let joiner = open.start_beside(&[]);
    eventually("the one that was told to join it being refused", WAIT_MAX, || {
        let health = joiner.get("/api/v1/status").body;
        health.contains("cannot be linked with: another cluster").then_some(())
    });
    for node in [&open, &joiner] {
        let members: serde_json::Value = node.get("/api/v1/members").json();
        assert_eq!(members.as_array().unwrap().len(), 1, "each is alone: {members}");
    }
}

/// Who looks for what a node listens on finds all of it in one line of its log.
#[test]
fn a_node_says_where_it_listens_under_tls_too() {
    let _turn = heavy();
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("ready.json"), folder.path().join("log"));
    let key = output(starling().arg("key"));
    let mut command = starling();
    command
        .args(["serve", "--tls-self-signed", "--peer", "127.0.0.1:0", "--ready-file"])
        .arg(&ready);
    for listener in ["--mqtt", "--mqtts", "--http", "--https"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    let errors = File::create(&log).unwrap();
    let child =
        command.env("STARLING_KEY", &key).stdin(Stdio::null()).stderr(errors).spawn().unwrap();
    let _node = Node { child, http: String::new() };
    let bound: Bound = eventually("the node listening", WAIT_MAX, || {
        serde_json::from_slice(&fs::read(&ready).ok()?).ok()
    });
    let said = eventually("the word in the log", WAIT_MAX, || {
        let said = fs::read_to_string(&log).ok()?;
        said.lines().find(|line| line.contains("\"listening\"")).map(str::to_owned)
    });
    for address in [Some(bound.http), bound.https, Some(bound.mqtt), bound.mqtts] {
        assert!(said.contains(&address.unwrap().to_string()), "{address:?} in {said}");
    }
}
