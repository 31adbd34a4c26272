//! What users get wrong: each mistake has its own word, its own sentence, and is counted; none of
//! them stops a node.

use node::service::view::{Command, PhaseView, Refusal};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tests::binary::starling;
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::player_id;
use tests::lab::{eventually, heavy, random};
use tests::player::{Dialect, Player, PlayerOptions, Record, Transport};
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(10);
const OPEN_MS: u32 = 60_000;

/// Two nodes: alone, a node has nobody to hold what would be firm.
fn two_nodes() -> Cluster {
    let options = ClusterOptions { nodes: 2, show: Some(sums(2, OPEN_MS)) };
    let cluster = Cluster::start_with(&options);
    cluster.open_lobby(0);
    cluster
}

fn options(cluster: &Cluster, name: &str) -> PlayerOptions {
    PlayerOptions {
        pin: cluster.pin().to_owned(),
        id: player_id(&mut random()),
        name: name.to_owned(),
        node: 0,
        dialect: Dialect::V5,
        transport: Transport::Tcp,
    }
}

/// Waits until `player` is refused with `code`, and checks the reason of the acknowledgement, the
/// sentence and the count.
async fn check_refused(cluster: &Cluster, player: &Player, topic: &str, code: &str, reason: u8) {
    let refused = |record: &Record| record.was_refused(code) && record.reason(topic).is_some();
    let record = player.wait(&format!("the refusal {code}"), WAIT_MAX, refused).await;
    assert_eq!(record.reason(topic), Some(reason), "{code}");
    let told = record.refused.iter().find(|it| it.code == code).expect("was waited for");
    assert!(told.message.len() > 10, "{told:?}");
    assert_eq!(told.topic, topic);
    let counted = || (cluster.counted(0, code) >= 1.0).then_some(());
    eventually(&format!("{code} in the metrics"), WAIT_MAX, counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_cannot_be_is_refused_with_its_own_word() {
    let _turn = heavy();
    let cluster = two_nodes();
    let ada = Player::start(options(&cluster, "Ada"), cluster.directory());
    ada.wait_joined(WAIT_MAX).await;

    let wrong_pin = PlayerOptions { pin: "000000".into(), ..options(&cluster, "Eve") };
    let wrong_pin = Player::start(wrong_pin, cluster.directory());
    check_refused(&cluster, &wrong_pin, &wrong_pin.topic("connect"), "pin_unknown", 0x87).await;

    let namesake = Player::start(options(&cluster, "Ada"), cluster.directory());
    check_refused(&cluster, &namesake, &namesake.topic("connect"), "name_taken", 0x87).await;

    let nameless = Player::start(options(&cluster, " "), cluster.directory());
    check_refused(&cluster, &nameless, &nameless.topic("connect"), "name_empty", 0x87).await;

    let view = cluster.wait_host(0, "the lobby", WAIT_MAX, |_| true);
    let lock = cluster.command(0, Command::Lock, view.live.stage);
    assert_eq!(lock.status, 200, "{}", lock.body);
    let late_comer = Player::start(options(&cluster, "Bob"), cluster.directory());
    check_refused(&cluster, &late_comer, &late_comer.topic("connect"), "locked", 0x87).await;

    let record = ada.record();
    assert!(record.refused.is_empty() && record.connections == 1, "{record:?}");
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_taken_is_refused_with_its_own_word() {
    let _turn = heavy();
    let cluster = two_nodes();
    let player = Player::start(options(&cluster, "Ada"), cluster.directory());
    let token = player.wait_joined(WAIT_MAX).await.token.expect("a join gives a token");
    let topic = player.topic("answer");
    let answer = |token: &str, instance: u32, choices: &[u32]| {
        json!({ "token": token, "instance": instance, "choices": choices }).to_string()
    };
    player.publish(&topic, &answer("no-such-token", 1, &[0]));
    check_refused(&cluster, &player, &topic, "token_unknown", 0x87).await;
    player.publish(&topic, "{\"token\": 7");
    check_refused(&cluster, &player, &topic, "payload_malformed", 0x99).await;
    let slot = player.options.id.slot();
    let elsewhere = format!("answer/{:02x}", (slot + 1) % 256);
    player.publish(&elsewhere, &answer(&token, 1, &[0]));
    check_refused(&cluster, &player, &elsewhere, "slot_wrong", 0x90).await;
    player.publish("question/1", "{}");
    check_refused(&cluster, &player, "question/1", "topic_unknown", 0x90).await;

    cluster.step(0, Command::Next);
    player.publish(&topic, &answer(&token, 1, &[0]));
    check_refused(&cluster, &player, &topic, "not_open", 0x83).await;
    cluster.step(0, Command::Open);
    player.publish(&topic, &answer(&token, 1, &[16]));
    check_refused(&cluster, &player, &topic, "choice_invalid", 0x99).await;
    player.publish(&topic, &answer(&token, 9, &[0]));
    check_refused(&cluster, &player, &topic, "instance_unknown", 0x83).await;
    cluster.step(0, Command::Close);
    cluster.wait_phase(0, 1, PhaseView::Closed, WAIT_MAX);
    player.publish(&topic, &answer(&token, 1, &[0]));
    check_refused(&cluster, &player, &topic, "late", 0x83).await;
    assert_eq!(player.record().connections, 1);
    cluster.stop();
}

/// MQTT 3.1.1 acknowledges without a word: the inbox is where a client that does not know its slot is told it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_know_its_slot_is_told_it_in_its_inbox() {
    let _turn = heavy();
    let cluster = two_nodes();
    let old = PlayerOptions { dialect: Dialect::V311, ..options(&cluster, "Ada") };
    let ada = Player::start(old, cluster.directory());
    let token = ada.wait_joined(WAIT_MAX).await.token.expect("a join gives a token");
    cluster.step(0, Command::Next);
    cluster.step(0, Command::Open);
    let slot = ada.options.id.slot();
    let other = format!("{:02x}", (slot + 1) % 256);
    let payloads = [
        ("answer", json!({ "token": token, "instance": 1, "choices": [0] })),
        ("react", json!({ "token": token, "kind": "clap" })),
        ("connect", json!({ "token": token })),
        ("connect", json!({ "pin": cluster.pin(), "player": ada.options.id, "name": "Ada" })),
    ];
    for (word, payload) in payloads {
        for topic in [format!("{word}/{other}"), word.to_owned(), format!("{word}/x/y")] {
            let before = ada.record().refused.len();
            ada.publish(&topic, &payload.to_string());
            let told = |record: &Record| record.refused.len() > before;
            let record = ada.wait(&format!("a word on {topic}"), WAIT_MAX, told).await;
            let refused = record.refused.last().expect("was waited for");
            assert_eq!(refused.code, "slot_wrong", "{topic}");
            let right = format!("publish to {word}/{slot:02x}");
            assert_eq!(refused.hint.as_deref(), Some(&*right), "{topic}");
        }
    }
    assert_eq!(ada.record().connections, 1);
    ada.answer(1, &[1]);
    ada.wait("a receipt", WAIT_MAX, |record: &Record| !record.receipts.is_empty()).await;
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_packet_ends_its_connection_and_nothing_else() {
    let _turn = heavy();
    let cluster = two_nodes();
    let ada = Player::start(options(&cluster, "Ada"), cluster.directory());
    // In MQTT 5 the node announces its limit and a good client does not even try.
    let eve = PlayerOptions { dialect: Dialect::V311, ..options(&cluster, "Eve") };
    let eve = Player::start(eve, cluster.directory());
    ada.wait_joined(WAIT_MAX).await;
    eve.wait_joined(WAIT_MAX).await;
    let before = cluster.counted(0, "oversized");
    eve.publish(&eve.topic("answer"), &"x".repeat(240 * 1024));
    let cut = |record: &Record| !record.losses.is_empty() && record.connections >= 2;
    let record = eve.wait("being cut off and back", WAIT_MAX, cut).await;
    assert_eq!(ada.record().connections, 1, "{:?}", record.losses);
    let counted = || (cluster.counted(0, "oversized") > before).then_some(());
    eventually("the cut in the metrics", WAIT_MAX, counted);
    cluster.stop();
}

#[test]
fn a_show_with_errors_is_refused_with_all_of_them() {
    let _turn = heavy();
    let cluster = two_nodes();
    let show = "{\n\"format\": \"starling-show/1\",\n\"titel\": \"T\",\n\"questions\": []\n}";
    let reply = cluster.import(0, show);
    assert_eq!((reply.status, reply.code().as_str()), (422, "show_invalid"), "{}", reply.body);
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let refusal: Refusal = serde_json::from_value(body["error"].clone()).unwrap();
    let places: Vec<_> = refusal.problems.iter().map(|it| (it.line, it.field.as_str())).collect();
    assert_eq!(places, [(1, "title"), (3, "titel"), (4, "questions")]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.json");
    fs::write(&file, show).unwrap();
    let output =
        failure(starling().args(["dev", "--show"]).arg(&file).arg("--dir").arg(folder.path()));
    assert!(output.contains("bad.json:3:1: titel: unknown field"), "{output}");
    assert!(output.contains("3 problems in"), "{output}");
    cluster.stop();
}

#[test]
fn a_node_with_another_key_stays_outside() {
    let _turn = heavy();
    let cluster = Cluster::start(2);
    cluster.wait_linked(WAIT_MAX);
    let before = cluster.counted(0, "untrusted");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = serve(&folder.path().join("data"), &new_key(), &[]);
    command.args(["--join", &cluster.file().nodes[0].peer]);
    let mut intruder = Killed(spawn(&mut command, &log));
    let counted = || (cluster.counted(0, "untrusted") > before).then_some(());
    eventually("the refused certificate in the metrics", WAIT_MAX, counted);
    eventually("the intruder saying why", WAIT_MAX, || {
        let log = fs::read_to_string(&log).ok()?.to_lowercase();
        (log.contains("certificate") || log.contains("key")).then_some(())
    });
    assert!(intruder.0.try_wait().unwrap().is_none(), "a node outside goes on by itself");
    for node in 0..2 {
        assert_eq!(cluster.members(node).map(|members| members.len()), Some(2));
    }
    cluster.stop();
}

#[test]
fn a_node_that_cannot_start_says_what_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--mqtt"] {
        let data = folder.path().join("data");
        let output = failure(&mut serve(&data, &new_key(), &[(flag, &address)]));
        let told = output.contains(&address) && output.to_lowercase().contains("in use");
        assert!(told, "{flag}: {output}");
    }

    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let output = failure(&mut serve(&file.join("data"), &new_key(), &[]));
    assert!(output.contains(&*file.to_string_lossy()), "{output}");

    for key in ["", "abc", &"g".repeat(64)] {
        let output = failure(&mut serve(&folder.path().join("data"), key, &[]));
        assert!(output.contains("64 hex"), "{key:?}: {output}");
    }
    let output = failure(starling().args(["serve", "--no-such-flag"]));
    assert!(output.contains("--no-such-flag"), "{output}");
}

#[test]
fn every_new_key_is_another_one() {
    let (one, other) = (new_key(), new_key());
    assert_ne!(one, other);
    assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
}

fn new_key() -> String {
    let output = starling().arg("key").output().expect("the binary was just built");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A node by itself, on free ports but for those that `listeners` name.
fn serve(data: &Path, key: &str, listeners: &[(&str, &str)]) -> std::process::Command {
    let mut command = starling();
    command.args(["serve", "--name", "n9", "--data"]).arg(data).env("STARLING_KEY", key);
    for flag in ["--peer", "--http", "--mqtt"] {
        let given = listeners.iter().find(|(name, _)| *name == flag);
        command.args([flag, given.map_or("127.0.0.1:0", |(_, address)| address)]);
    }
    command
}

/// Runs a command that has to fail by itself, and returns what it said.
fn failure(command: &mut std::process::Command) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let log = folder.path().join("log");
    let mut child = Killed(spawn(command, &log));
    let status = eventually("the command's failure", WAIT_MAX, || {
        child.0.try_wait().expect("a child can be waited for")
    });
    let said = fs::read_to_string(&log).expect("the output is text");
    assert!(!status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Runs a command with all of its output going to `log`.
fn spawn(command: &mut std::process::Command, log: &Path) -> Child {
    let out = fs::File::create(log).expect("the folder is writable");
    let errors = out.try_clone().expect("a file has another handle");
    command.stdin(Stdio::null()).stdout(out).stderr(errors);
    command.spawn().expect("the binary was just built")
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
