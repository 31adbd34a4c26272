//! The JSON Schemas hold for real messages: what players, a host and a node said to each other in a show
//! is judged by a validator that somebody else wrote, Python's `jsonschema`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use node::schema::MESSAGES;
use node::service::view::{Command, CommandRequest, HostView};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;
use tests::lab::{eventually, heavy};
use tests::python;
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::{Single, SingleShow};

const PLAYER: &str = "2a0000000000000000000000000000ff";
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A schema's name and a message that should be as it says.
type Captured = (&'static str, Value);

/// A player and a host, and all that was said.
struct Play {
    node: Single,
    show: SingleShow,
    player: Raw,
    host: Raw,
    captured: Vec<Captured>,
}

impl Play {
    fn start() -> Self {
        let node = Single::start(&["--ack", "local"]);
        let show = node.show(&sums(1, 60_000));
        let (host, said) =
            Raw::connect(node.bound.mqtt, true, "host", Some(&show.imported.host_token));
        assert_eq!(said.reason, 0, "{said:?}");
        let (mut player, _) = Raw::connect(node.bound.mqtt, true, "player", None);
        player.subscribe(&format!("live/{}", show.imported.pin));
        player.subscribe(&format!("inbox/{PLAYER}"));
        Play { node, show, player, host, captured: Vec::new() }
    }

    /// Has the player publish what is described by `schema`; gives back the receipt.
    fn publish(&mut self, schema: &'static str, message: Value) -> Value {
        let receipt = self.player.publish(&slotted(schema, PLAYER), &message).receipt();
        self.captured.push((schema, message));
        self.captured.push(("receipt", receipt.clone()));
        receipt
    }

    fn view(&self, command: Command) -> HostView {
        eventually(&format!("{command:?} being offered"), WAIT_MAX, || {
            self.node.host_view(&self.show).filter(|view| view.next.contains(&command))
        })
    }

    /// Has the host take a step by MQTT.
    fn step(&mut self, command: Command) {
        let stage = self.view(command).live.stage;
        self.command(serde_json::to_value(CommandRequest::new(command, stage)).unwrap());
    }

    fn command(&mut self, request: Value) {
        let topic = format!("command/{}", self.show.imported.event);
        let said = self.host.publish(&topic, &request);
        assert_eq!(said.reason, 0, "{request}: {said:?}");
        self.captured.push(("command", request));
        self.captured.push(("commanded", said.receipt()));
    }

    /// Waits for a message to the player, which is captured with what came before it.
    fn heard(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let message = self.player.message(what, wanted);
        self.captured.push((kind_of(&message), message.clone()));
        message
    }

    fn inbox(&mut self, kind: &str) -> Value {
        self.heard(&format!("a message {kind}"), |message| message["type"] == kind)
    }

    fn phase(&mut self, phase: &str) {
        self.heard(&format!("the phase {phase}"), |message| message["stage"]["phase"] == phase);
    }
}

/// Only messages of inboxes have a type.
fn kind_of(message: &Value) -> &'static str {
    if message["type"].is_string() { "inbox" } else { "live" }
}

/// A whole show, with a refusal, a reaction and a mark.
fn play() -> Vec<Captured> {
    let mut play = Play::start();
    let pin = play.show.imported.pin.clone();
    let join = json!({ "pin": pin, "player": PLAYER, "name": "Ada" });
    assert_eq!(play.publish("connect", join)["status"], "joined");
    let token = play.inbox("joined")["token"].clone();
    let answer = json!({ "token": token, "instance": 1, "choices": [1] });
    assert_eq!(play.publish("answer", answer.clone())["status"], "refused", "it is too early");
    play.inbox("refused");
    play.step(Command::Next);
    play.step(Command::Open);
    play.phase("open");
    assert_eq!(play.publish("answer", answer.clone())["status"], "accepted");
    play.inbox("receipt");
    assert_eq!(play.publish("answer", answer)["status"], "duplicate");
    assert_eq!(
        play.publish("react", json!({ "token": token, "kind": "heart" }))["status"],
        "counted"
    );
    for (command, phase) in [
        (Command::Close, "closed"),
        (Command::Tallies, "tallies"),
        (Command::Reveal, "reveal"),
        (Command::Leaderboard, "board"),
    ] {
        play.step(command);
        play.phase(phase);
    }
    play.inbox("result");
    let stage = play.node.host_view(&play.show).unwrap().live.stage;
    play.command(json!({ "command": "mute", "player": PLAYER, "expected": stage }));
    play.inbox("marked");
    assert_eq!(play.publish("connect", json!({ "token": token }))["status"], "joined");
    let rest = std::mem::take(&mut play.player.inbox).into_iter();
    play.captured.extend(rest.map(|(_, message)| (kind_of(&message), message)));
    play.captured
}

/// What the validator says to each message: nothing, or what is wrong with it.
fn judge(python: &Path, messages: &[Captured]) -> Vec<Option<String>> {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/docs/schemas");
    let mut child = Process::new(python)
        .args(["-c", VALIDATOR])
        .arg(schemas)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = messages.iter().map(|it| json!(it).to_string()).collect();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<_> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), messages.len());
    verdicts
}

const VALIDATOR: &str = r#"
import json, pathlib, sys
from jsonschema import Draft202012Validator

validators = {}
for path in pathlib.Path(sys.argv[1]).glob("*.json"):
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    validators[path.stem] = Draft202012Validator(schema)
for line in sys.stdin:
    name, message = json.loads(line)
    error = next(validators[name].iter_errors(message), None)
    print(json.dumps(error and f"{error.json_path}: {error.message}"))
"#;

fn validator() -> Option<PathBuf> {
    python::with("jsonschema", &["jsonschema==4.23.0"])
}

#[test]
fn every_message_of_a_real_show_is_as_its_schema_says() {
    let Some(python) = validator() else { return };
    let _turn = heavy();
    let captured = play();
    for ((name, message), verdict) in captured.iter().zip(judge(&python, &captured)) {
        assert_eq!(verdict, None, "{name}: {message}");
    }
    let names: BTreeSet<&str> = captured.iter().map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = MESSAGES.iter().map(|message| message.name).collect();
    assert_eq!(names, all, "every kind of message was captured");

    // And the validator does find what is wrong.
    let broken = captured.iter().filter(|(name, _)| *name != "receipt").map(|(name, message)| {
        let mut message = message.clone();
        let fields: &[&str] = match *name {
            "connect" => &["pin", "token"],
            "answer" | "react" => &["token"],
            "command" => &["command"],
            "commanded" | "live" => &["stage"],
            _ => &["type"],
        };
        fields.iter().for_each(|field| message[*field] = json!(7));
        (*name, message)
    });
    let broken: Vec<Captured> = broken.collect();
    for ((name, message), verdict) in broken.iter().zip(judge(&python, &broken)) {
        assert!(verdict.is_some(), "{name}: {message}");
    }
}
