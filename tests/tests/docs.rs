//! The commands in the documents, run as a reader would paste them.

use node::service::view::{Command, PhaseView};
use std::fs;
use std::path::Path;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::javascript::{pages, run_with_pages};
use tests::lab::{eventually, heavy, need};
use tests::paho;
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(30);

#[test]
fn the_smallest_show_of_the_document_is_a_show() {
    let text = read("show-format.md");
    let show = blocks(&text, "json").next().expect("the document has a show");
    let script = node::show::parse(show).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(script.questions[0].as_choice().map(|(_, correct)| correct), Some(0b010));
}

/// The rules of the guide's example are compiled and played where kinds are; this is its look.
#[test]
fn the_page_of_the_guides_own_kind_shows_its_sides() {
    let Some(node) = need("node") else { return };
    let (text, pages) = (read("kinds.md"), pages());
    let coin = blocks(&text, "js").next().expect("the guide has the look of its kind");
    fs::write(pages.path().join("engagement/coin.js"), coin).expect("it can be written");
    run_with_pages(&node, "coin.mjs", pages.path());
}

#[test]
fn every_command_for_mosquitto_works_in_mqtt_3_1_1() {
    mosquitto_commands_work("mqttv311");
}

#[test]
fn every_command_for_mosquitto_works_in_mqtt_5() {
    mosquitto_commands_work("mqttv5");
}

#[test]
fn the_python_player_works_over_tcp_and_websocket() {
    let Some(python) = paho::python() else { return };
    let _turn = heavy();
    let cluster = cluster();
    let (links, folder) = (cluster.links(1), folder());
    let script = folder.path().join("player.py");
    let text = read("mqtt.md");
    fs::write(&script, blocks(&text, "python").next().expect("there is one")).expect("writable");
    let websocket = links.ws.trim_start_matches("ws://").trim_end_matches("/mqtt").to_owned();
    let ways: [(&str, &[&str]); 4] = [
        (&links.mqtt, &[]),
        (&links.mqtt, &["--v311"]),
        (&websocket, &["--websocket"]),
        (&websocket, &["--websocket", "--v311"]),
    ];
    let mut players = ways.map(|(address, flags)| {
        let (host, port) = address.rsplit_once(':').expect("an address has a port");
        let mut command = Process::new(&python);
        command.arg(&script).args(flags).env("PIN", cluster.pin());
        command.env("MQTT_HOST", host).env("MQTT_PORT", port).stdin(Stdio::null());
        Shell(command.spawn().expect("python runs"))
    });
    cluster.wait_host(0, "four players", WAIT_MAX, |view| view.live.players == 4);
    cluster.step(0, Command::Next);
    cluster.step(0, Command::Open);
    cluster.wait_host(0, "four answers", WAIT_MAX, |view| view.live.answered == Some(4));
    reveal(&cluster);
    for player in &mut players {
        player.wait_success();
    }
    cluster.stop();
}

/// Blocks marked `open` need an open question, blocks marked `reveal` a revealed one.
fn mosquitto_commands_work(version: &str) {
    if need("mosquitto_pub").is_none() || need("jq").is_none() {
        return;
    }
    let _turn = heavy();
    let cluster = cluster();
    let (links, folder, text) = (cluster.links(1), folder(), read("mqtt.md"));
    let (host, port) = links.mqtt.rsplit_once(':').expect("an address has a port");
    let mut command = Process::new("bash");
    command.args(["-e", "-u"]).current_dir(folder.path()).stdin(Stdio::piped());
    command.env("MQTT_HOST", host).env("MQTT_PORT", port).env("PIN", cluster.pin());
    command.env("MQTT_VERSION", version).env_remove("PLAYER");
    let mut shell = Shell(command.spawn().expect("bash runs"));
    let mut stdin = shell.0.stdin.take().expect("it is piped");
    for (index, (kind, block)) in shell_blocks(&text).enumerate() {
        match kind {
            "open" => {
                cluster.step(0, Command::Next);
                cluster.step(0, Command::Open);
                cluster.wait_phase(1, 1, PhaseView::Open, WAIT_MAX);
            }
            "reveal" => reveal(&cluster),
            _ => {}
        }
        run(&mut shell, &mut stdin, block, &folder.path().join(index.to_string()));
    }
    drop(stdin);
    shell.wait_success();
    for (file, words) in [
        ("joined.json", "\"type\":\"joined\""),
        ("open.json", "\"phase\":\"open\""),
        ("receipt.json", "\"status\":\"accepted\""),
        ("result.json", "\"correct\":true"),
    ] {
        let received = fs::read_to_string(folder.path().join(file)).expect("it was written");
        assert!(received.contains(words), "{file}: {received}");
    }
    cluster.stop();
}

/// Lets the shell run a block to its end.
fn run(shell: &mut Shell, stdin: &mut ChildStdin, block: &str, done: &Path) {
    use std::io::Write;
    let lines = format!("{block}\ntouch '{}'\n", done.display());
    stdin.write_all(lines.as_bytes()).expect("the shell takes its lines");
    eventually("the end of the commands", WAIT_MAX, || {
        let over = shell.0.try_wait().expect("a child can be waited for");
        assert!(over.is_none(), "the shell ended in:\n{block}");
        done.is_file().then_some(())
    });
}

fn reveal(cluster: &Cluster) {
    cluster.step(0, Command::Close);
    cluster.step(0, Command::Tallies);
    cluster.step(0, Command::Reveal);
    cluster.wait_phase(1, 1, PhaseView::Reveal, WAIT_MAX);
}

fn cluster() -> Cluster {
    let cluster = Cluster::start_with(&ClusterOptions { nodes: 2, show: Some(sums(1, 60_000)) });
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    cluster.wait_phase(1, 0, PhaseView::Lobby, WAIT_MAX);
    cluster
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn read(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/docs").join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    fenced(text).filter(move |(info, _)| *info == language).map(|(_, block)| block)
}

/// The shell blocks with the word that follows the language.
fn shell_blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    fenced(text).filter_map(|(info, block)| Some((info.strip_prefix("sh")?.trim(), block)))
}

fn fenced(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// A child that does not outlive its test.
struct Shell(Child);

impl Shell {
    fn wait_success(&mut self) {
        let status = eventually("the end of the client", WAIT_MAX, || {
            self.0.try_wait().expect("a child can be waited for")
        });
        assert!(status.success(), "{status}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
