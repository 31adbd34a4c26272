//! Who is there: the host sees on any node how many players are connected, and that one has gone, with or
//! without a word.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::lab::{eventually_ok, heavy, need};
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::{Single, SingleShow};

const WAIT_MAX: Duration = Duration::from_secs(60);
const PACKETS: &str = "starling_mqtt_packets_total{direction=\"in\"}";
const SILENT: &str = "starling_mqtt_closed_total{reason=\"keep_alive_expired\"}";

fn wait_present(nodes: &[&Single], show: &SingleShow, wanted: u64) {
    eventually_ok("the host seeing who is there", WAIT_MAX, || {
        let seen: Vec<Option<u64>> =
            nodes.iter().map(|node| node.host_view(show).map(|view| view.present)).collect();
        let as_wanted = seen.iter().all(|present| *present == Some(wanted));
        as_wanted.then_some(()).ok_or_else(|| format!("{seen:?} in place of {wanted}"))
    });
}

fn join(node: &Single, show: &SingleShow, player: &str) -> Raw {
    let (mut raw, _) = Raw::connect(node.bound.mqtt, true, player, None);
    raw.subscribe(&format!("inbox/{player}"));
    let join = json!({ "pin": show.imported.pin, "player": player, "name": &player[..4] });
    let said = raw.publish(&slotted("connect", player), &join);
    assert_eq!(said.receipt()["status"], "joined", "{said:?}");
    raw
}

#[test]
fn the_host_sees_on_any_node_who_is_there_and_who_has_gone() {
    let _turn = heavy();
    let one = Single::start(&[]);
    let two = one.start_beside(&[]);
    let show = one.show(&sums(1, 60_000));
    let nodes = [&one, &two];
    wait_present(&nodes, &show, 0);
    let players = ["2a00", "2b00", "2c00"].map(|start| format!("{start}{:028x}", 255));
    let ada = join(&one, &show, &players[0]);
    let bob = join(&two, &show, &players[1]);
    let eve = join(&two, &show, &players[2]);
    wait_present(&nodes, &show, 3);
    drop(bob);
    wait_present(&nodes, &show, 2);
    // A node that dies takes its players along.
    drop((eve, two));
    wait_present(&[&one], &show, 1);
    drop(ada);
    wait_present(&[&one], &show, 0);
}

/// A player's inbox in the hands of mosquitto_sub.
struct Listener(Child);

impl Listener {
    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.0.id()).unwrap();
        // SAFETY: kill(2) has no preconditions; the process is our own child, and not waited for yet.
        unsafe { libc::kill(pid, signal) };
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn counted(node: &Single, series: &str) -> u64 {
    let metrics = node.get("/metrics").body;
    let value =
        metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("no {series} in {metrics}")) as u64
}

/// As long as it pings it is there, however little it says; a process that stands still, as one behind a network that
/// died, is noticed. In MQTT 5 it asks for ten minutes, and does as it is told.
#[test]
fn a_real_client_that_falls_silent_is_gone_after_one_and_a_half_keep_alives() {
    let Some(subscribe) = need("mosquitto_sub") else { return };
    let _turn = heavy();
    let node = Single::start(&["--keep-alive-max-s", "5"]);
    let show = node.show(&sums(1, 60_000));
    for (version, keep_alive, player) in [("mqttv311", "5", "3a"), ("mqttv5", "600", "3b")] {
        let player = format!("{player}{:030x}", 255);
        let joining = join(&node, &show, &player);
        let mut command = Command::new(&subscribe);
        command.args(["-h", "127.0.0.1", "-p", &node.bound.mqtt.port().to_string()]);
        command.args(["-V", version, "-k", keep_alive, "-i", version]);
        command.args(["-t", &format!("inbox/{player}")]).stdin(Stdio::null()).stdout(Stdio::null());
        let listener = Listener(command.spawn().unwrap());
        eventually_ok("two connections", WAIT_MAX, || {
            let open = counted(&node, "starling_mqtt_sessions_active ");
            (open == 2).then_some(()).ok_or_else(|| format!("{open}"))
        });
        drop(joining);
        eventually_ok("one connection", WAIT_MAX, || {
            let open = counted(&node, "starling_mqtt_sessions_active ");
            (open == 1).then_some(()).ok_or_else(|| format!("{open}"))
        });
        let before = counted(&node, PACKETS);
        eventually_ok("three pings", WAIT_MAX, || {
            let came = counted(&node, PACKETS) - before;
            (came >= 3).then_some(()).ok_or_else(|| format!("{came}"))
        });
        wait_present(&[&node], &show, 1);
        let before = counted(&node, SILENT);
        listener.signal(libc::SIGSTOP);
        wait_present(&[&node], &show, 0);
        assert_eq!(counted(&node, SILENT), before + 1, "{version}");
    }
}
