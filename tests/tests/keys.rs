//! A cluster key that is removed drives nothing any more: neither by new requests nor by what it had opened.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tests::binary::starling;
use tests::lab::{eventually, heavy};
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::Single;
use tests::solo::new_key;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// What `starling key ...` prints as JSON.
fn key(node: &Single, arguments: &[&str]) -> Value {
    let mut command = starling();
    command.arg("key").args(arguments).arg("--json");
    command.env("STARLING_NODE", format!("http://{}", node.bound.http));
    command.env("STARLING_TOKEN", node.ops_token());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An event stream that has begun.
fn stream(node: &Single, path: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.bound.http).unwrap();
    write!(stream, "GET {path}?token={token} HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut space = [0; 4096];
    let count = stream.read(&mut space).unwrap();
    assert!(String::from_utf8_lossy(&space[..count]).starts_with("HTTP/1.1 200"));
    stream
}

/// Reads until the node ends it.
fn ends(mut stream: TcpStream) -> bool {
    let mut space = [0; 4096];
    loop {
        match stream.read(&mut space) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn what_a_removed_key_had_opened_ends_and_players_stay() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let show = node.show(&sums(1, 60_000));
    let (event, token) = (&show.imported.event, &show.imported.host_token);
    let (mut player, _) = Raw::connect(node.bound.mqtt, true, "ada", None);
    let id = "0123456789abcdef0123456789abcdef";
    let join = json!({ "pin": show.imported.pin, "player": id, "name": "Ada" });
    assert_eq!(player.publish(&slotted("connect", id), &join).reason, 0);
    let (mut host, said) = Raw::connect(node.bound.mqtt, true, "host", Some(token));
    assert_eq!(said.reason, 0);
    let streams = [
        stream(&node, "/api/v1/members/stream", node.ops_token()),
        stream(&node, &format!("/api/v1/events/{event}/host/stream"), token),
    ];

    let file = node.folder().join("new.key");
    fs::write(&file, new_key()).unwrap();
    let before = key(&node, &["list"])[0]["fingerprint"].as_str().unwrap().to_owned();
    let keys = key(&node, &["install", file.to_str().unwrap()]);
    let fingerprints = keys.as_array().unwrap().iter().map(|it| it["fingerprint"].as_str());
    let new = fingerprints.flatten().find(|it| *it != before).unwrap().to_owned();
    key(&node, &["use", &new]);
    assert!(host.pings(), "the old key still counts");
    key(&node, &["remove", &before]);
    let said = host.end().expect("a DISCONNECT says why");
    assert_eq!(said.reason, 0x87, "{said:?}");
    for stream in streams {
        assert!(ends(stream));
    }
    assert!(player.pings());
    eventually("the old token being void", WAIT_MAX, || {
        let (_, said) = Raw::connect(node.bound.mqtt, true, "host", Some(token));
        (said.reason == 0x87 || said.reason == 0x86).then_some(())
    });
}
