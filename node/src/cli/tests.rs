//! The command line as it is parsed, and the client against a real socket.

use super::client::{Client, NodeArgs};
use super::key::KeySource;
use super::{Cli, Command, Exit, Failure};
use crate::config::Ack;
use clap::{CommandFactory, Parser};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn key_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{KEY}").unwrap();
    file
}

fn serve(arguments: &[&str]) -> Result<crate::config::NodeConfig, Failure> {
    let file = key_file();
    let key = file.path().to_str().unwrap();
    let line = [&["starling", "serve", "--key-file", key], arguments].concat();
    match Cli::try_parse_from(line).unwrap().command {
        Command::Serve(args) => args.config(),
        _ => unreachable!("it says serve"),
    }
}

/// A server that gives one answer to one request.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

fn client(node: String) -> Client {
    Client::new(&NodeArgs {
        node,
        token: Some("slo_x".into()),
        key: KeySource::default(),
        timeout: 5,
    })
}

fn failure(node: String) -> Failure {
    client(node).get::<Value>("/api/v1/status").unwrap_err().into()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_become_a_configuration() {
    let config = serve(&[
        "--name",
        "n1",
        "--http",
        "0.0.0.0:80",
        "--advertise",
        "quiz.example",
        "--join",
        "a:1,b:2",
        "--ack",
        "majority",
        "--grace-ms",
        "100",
    ])
    .unwrap();
    assert_eq!(config.key.reveal(), KEY);
    assert_eq!(config.join, ["a:1", "b:2"]);
    assert_eq!(config.cluster.ack, Ack::Majority);
    assert_eq!(config.advertised(config.http), "quiz.example:80");
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = serve(&["--name", "n1"]).unwrap();
    assert_eq!((config.data, config.cluster.ack), (None, Ack::Peer));
    assert_eq!(serve(&["--name", "n1", "--join", ""]).unwrap().join, [""; 0]);
    assert!(config.http.ip().is_loopback() && config.peer.ip().is_loopback());
}

#[test]
fn a_configuration_that_cannot_be_names_its_flag() {
    let failure = serve(&["--name", "n1", "--mqtt", "0.0.0.0:1883"]).unwrap_err();
    assert_eq!(failure.exit, Exit::Invalid);
    assert!(failure.message.contains("--mqtt 0.0.0.0:1883"), "{failure}");
}

#[test]
fn a_key_that_cannot_be_read_names_its_file() {
    let line = ["starling", "token", "ops", "--key-file", "/nowhere/cluster.key"];
    let failure = super::run(Cli::try_parse_from(line).unwrap()).unwrap_err();
    assert_eq!(failure.exit, Exit::Invalid);
    assert!(failure.message.contains("/nowhere/cluster.key"), "{failure}");
}

#[test]
fn exit_codes_are_documented_where_people_look() {
    let help = Cli::command().render_help().to_string();
    for code in ["0  done", "3  not found", "5  the token", "7  the cluster is degraded"] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn a_refusal_keeps_its_hint_and_has_an_exit_code() {
    let url = server(
        "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n\
         {\"error\":{\"code\":\"token_unknown\",\"message\":\"no such role\",\"hint\":\"make one\"}}",
    );
    let failure = failure(url);
    assert_eq!(failure.exit, Exit::Refused);
    assert_eq!(failure.to_string(), "error: no such role (token_unknown)\n  hint: make one");
}

#[test]
fn a_stranger_on_the_port_is_not_taken_for_a_node() {
    let failure = failure(server("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>"));
    assert_eq!(failure.exit, Exit::Failed);
    assert!(failure.message.contains("something else than a node"), "{failure}");
}

#[test]
fn nobody_on_the_port_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = failure(format!("http://{port}"));
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.hint.unwrap().contains("STARLING_NODE"));
}

#[test]
fn an_export_appears_when_it_is_whole() {
    let url = server("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}\n");
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("event.jsonl");
    let export = |url: &str| {
        let line = ["starling", "export", "--event", "00000000000000e1", "--node", url, "-o"];
        let line = [&line[..], &[file.to_str().unwrap()]].concat();
        super::run(Cli::try_parse_from(line).unwrap())
    };
    assert_eq!(export(&url).unwrap_err().exit, Exit::Failed);
    assert!(!file.exists());
    let url = server("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}\n");
    assert_eq!(export(&url), Ok(Exit::Done));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}\n");
}
