//! The players' edge: many clients on one node, with Mosquitto and a bare server beside it.
//!
//! The clients are in this process and share the machine with the servers, which run one after the
//! other. All moments are taken here, on one clock:
//! - *fan-out*: from the host's command (or, beside, from publishing a message as long as our live
//!   state) until the last client has the new state; the median of the rounds;
//! - *acknowledged*: all clients answer at once; answers by the time until the last PUBACK; the
//!   median of the bursts;
//! - *connect*: from the first connection until the last CONNACK, 64 under way at once; *join*: the
//!   same until each has subscribed, joined, and knows its token;
//! - *paced*: 5,000 publishes a second; from writing one to its PUBACK; the median of the runs, those of the bare
//!   server before, between and after ours, since a machine is not the same all the time;
//! - *memory*: what the node's resident set grew by, over all that have joined and watch.

mod answers;
pub mod bare;
pub(super) mod crowd;
pub(super) mod servers;
pub(super) mod wire;

use super::readme::machine;
use super::timings::{hundredths, median, millis};
use super::{Figure, Report, Scale};
use crate::binary::starling_path;
use crate::lab::{eventually, say};
use crate::shows::sums;
use crate::single::{Single, SingleShow};
pub(super) use answers::ANSWERS;
use crowd::{Crowd, Plan, Target};
use node::service::view::Command;
use serde_json::{Map, Value, json};
use servers::Server;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// See the module.
pub(super) const FIGURE: Figure =
    Figure { name: "edge", about: "19,900 clients on one node, beside Mosquitto", run };

fn run(scale: &Scale) -> Result<Report, String> {
    say(&format!("built {}", starling_path().display()));
    let clients = if scale.players == super::PLAYERS_DEFAULT { CLIENTS } else { scale.players };
    run_with(async {
        let numbers = measure(clients).await?;
        let table = table(&numbers, clients);
        Ok(Report { numbers, table })
    })
}

fn run_with(measure: impl Future<Output = Result<Report, String>>) -> Result<Report, String> {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(measure)
}

async fn measure(clients: usize) -> Result<Map<String, Value>, String> {
    let mut numbers = Map::new();
    let mut tell = |name: &str, value: Value| {
        say(&format!("{name}: {value}"));
        numbers.insert(name.to_owned(), value);
    };
    let mut beside_paced = bare_paced(clients).await?;
    let ours = local(clients).await?;
    beside_paced.extend(bare_paced(clients).await?);
    tell("fanout_ms", json!(millis(ours.fan_out)));
    let mosquitto = match Server::mosquitto()? {
        Some(server) => Some(beside(&server, clients, ours.state_bytes).await?),
        None => None,
    };
    tell("mosquitto_fanout_ms", json!(mosquitto.as_ref().map(|it| millis(it.fan_out))));
    let bare = beside(&Server::bare()?, clients, ours.state_bytes).await?;
    tell("bare_fanout_ms", json!(millis(bare.fan_out)));
    tell("ack_local_per_s", json!(per_s(clients, ours.burst)));
    let peer = peer(clients).await?;
    beside_paced.extend(bare_paced(clients).await?);
    tell("ack_peer_per_s", json!(per_s(clients, peer.burst)));
    tell("mosquitto_ack_per_s", json!(mosquitto.map(|it| per_s(clients, it.burst))));
    tell("bare_ack_per_s", json!(per_s(clients, bare.burst)));
    tell("connect_per_s", json!(per_s(clients, ours.connect)));
    tell("join_per_s", json!(per_s(clients, ours.join)));
    tell("rss_per_player_bytes", json!(ours.rss_per_player));
    tell("bare_paced_ms_p99", json!(median(beside_paced)));
    tell("paced_local_ms_p99", json!(ours.paced_ms));
    tell("paced_peer_ms_p99", json!(peer.paced_ms));
    Ok(numbers)
}

struct Local {
    connect: Duration,
    join: Duration,
    rss_per_player: u64,
    fan_out: Duration,
    /// How long the live state is.
    state_bytes: usize,
    burst: Duration,
    paced_ms: f64,
}

async fn local(clients: usize) -> Result<Local, String> {
    let node = Single::start(&["--ack", "local"]);
    let show = node.show(&sums(ROUNDS + BURSTS + PACED, OPEN_MS));
    let plan = plan(&node, &show, clients);
    let empty = node.rss_bytes()?;
    let only_connect = Plan { only_connect: true, from: 2, ..plan.clone() };
    let (crowd, connect) = Crowd::come(only_connect).await?;
    drop(crowd);
    wait_sessions(&node, 0);
    let (crowd, join) = Crowd::come(plan).await?;
    // Counts go out once a second: the last of them.
    sleep(SETTLE).await;
    let rss_per_player = node.rss_bytes()?.saturating_sub(empty) / clients as u64;
    let fan_out = fan_out(&node, &show, &crowd).await?;
    let state_bytes = live_bytes(&node, &show)?;
    let burst = median(burst(&node, &show, &crowd, ROUNDS + 1).await?);
    let paced_ms = median(paced(&node, &show, &crowd, ROUNDS + BURSTS + 1).await?);
    Ok(Local { connect, join, rss_per_player, fan_out, state_bytes, burst, paced_ms })
}

struct Peer {
    burst: Duration,
    paced_ms: f64,
}

/// All clients on one of two nodes.
async fn peer(clients: usize) -> Result<Peer, String> {
    let node = Single::start(&["--ack", "peer"]);
    let other = node.start_beside(&["--ack", "peer"]);
    eventually("two linked nodes", SETTLED_MAX, || {
        let members = node.get("/api/v1/members");
        let members: Value = serde_json::from_str(&members.body).ok()?;
        let linked = members.as_array()?.iter().filter(|member| member["linked"] == true);
        (linked.count() == 2).then_some(())
    });
    let show = node.show(&sums(BURSTS + PACED, OPEN_MS));
    eventually("the show on both nodes", SETTLED_MAX, || other.host_view(&show));
    let (crowd, _) = Crowd::come(plan(&node, &show, clients)).await?;
    sleep(SETTLE).await;
    let burst = median(burst(&node, &show, &crowd, 1).await?);
    let paced_ms = median(paced(&node, &show, &crowd, BURSTS + 1).await?);
    Ok(Peer { burst, paced_ms })
}

struct Beside {
    fan_out: Duration,
    burst: Duration,
}

/// The same clients at another server, with messages of the same length.
async fn beside(server: &Server, clients: usize, state_bytes: usize) -> Result<Beside, String> {
    let (crowd, _) = Crowd::come(other(server, clients)).await?;
    let mut publisher = TcpStream::connect(server.address).await.map_err(|e| e.to_string())?;
    let hello = b"\x10\x11\0\x04MQTT\x05\x02\0\0\0\0\x04boss";
    publisher.write_all(hello).await.map_err(|error| error.to_string())?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let needle = format!("round {round:04}");
        let payload = format!("{needle:.<state_bytes$}");
        let message = wire::publish(0, 0, "live/1", payload.as_bytes());
        let trigger =
            async { publisher.write_all(&message).await.map_err(|error| error.to_string()) };
        rounds.push(crowd.fan_out(&needle, trigger).await?);
        sleep(PAUSE).await;
    }
    let mut bursts = Vec::new();
    for _ in 0..BURSTS {
        sleep(SEEN).await;
        bursts.push(crowd.publish(0, Duration::ZERO).await?);
    }
    Ok(Beside { fan_out: median(rounds), burst: median(bursts) })
}

async fn bare_paced(clients: usize) -> Result<Vec<f64>, String> {
    let server = Server::bare()?;
    let (crowd, _) = Crowd::come(other(&server, clients)).await?;
    let mut runs = Vec::new();
    for _ in 0..PACED {
        runs.push(paced_once(&crowd, 0).await?);
    }
    Ok(runs)
}

fn plan(node: &Single, show: &SingleShow, clients: usize) -> Plan {
    let target = Target::Starling(show.imported.pin.clone());
    let (server, in_flight) = (node.bound.mqtt, IN_FLIGHT);
    Plan { clients, first: 0, server, target, in_flight, only_connect: false, from: 3 }
}

fn other(server: &Server, clients: usize) -> Plan {
    let (server, target, in_flight) = (server.address, Target::Other, IN_FLIGHT);
    Plan { clients, first: 0, server, target, in_flight, only_connect: false, from: 4 }
}

/// Every opening is a round.
async fn fan_out(node: &Single, show: &SingleShow, crowd: &Crowd) -> Result<Duration, String> {
    let mut rounds = Vec::new();
    for instance in 1..=ROUNDS {
        node.step(show, Command::Next);
        sleep(PAUSE).await;
        let offered = |command: Command| {
            eventually("a step being offered", SETTLED_MAX, || {
                node.host_view(show).filter(|view| view.next.contains(&command))
            })
        };
        let view = offered(Command::Open);
        let needle = format!(r#""stage":{{"instance":{instance},"phase":"open"}}"#);
        let trigger = async {
            // The load generator's other worker goes on meanwhile.
            let reply = tokio::task::block_in_place(|| node.send(show, Command::Open, &view));
            if reply.status == 200 { Ok(()) } else { Err(format!("no opening: {}", reply.body)) }
        };
        rounds.push(crowd.fan_out(&needle, trigger).await?);
        close(node, show);
    }
    Ok(median(rounds))
}

/// Every question from the `first` on is answered by all at once.
async fn burst(
    node: &Single,
    show: &SingleShow,
    crowd: &Crowd,
    first: u32,
) -> Result<Vec<Duration>, String> {
    let mut bursts = Vec::new();
    for instance in first..first + BURSTS {
        open(node, show).await;
        bursts.push(crowd.publish(instance, Duration::ZERO).await?);
        close(node, show);
    }
    Ok(bursts)
}

/// Opens the next question; returns when all have had the time to see it.
async fn open(node: &Single, show: &SingleShow) {
    node.step(show, Command::Next);
    node.step(show, Command::Open);
    sleep(SEEN).await;
}

fn close(node: &Single, show: &SingleShow) {
    for command in [Command::Close, Command::Tallies, Command::Reveal, Command::Leaderboard] {
        node.step(show, command);
    }
}

/// Every question from the `first` on is answered at a steady pace.
async fn paced(
    node: &Single,
    show: &SingleShow,
    crowd: &Crowd,
    first: u32,
) -> Result<Vec<f64>, String> {
    let mut runs = Vec::new();
    for instance in first..first + PACED {
        open(node, show).await;
        runs.push(paced_once(crowd, instance).await?);
        close(node, show);
    }
    Ok(runs)
}

async fn paced_once(crowd: &Crowd, instance: u32) -> Result<f64, String> {
    sleep(SETTLE).await;
    crowd.publish(instance, PACE).await?;
    let mut latencies = crowd.latencies_us();
    latencies.sort_unstable();
    Ok(hundredths(f64::from(latencies[latencies.len() * 99 / 100]) / 1_000.0))
}

fn live_bytes(node: &Single, show: &SingleShow) -> Result<usize, String> {
    let view = node.host_view(show).ok_or("the node does not answer")?;
    Ok(serde_json::to_vec(&view.live).map_err(|error| error.to_string())?.len())
}

fn wait_sessions(node: &Single, wanted: u64) {
    eventually("the clients being gone", SETTLED_MAX, || {
        let status: Value = serde_json::from_str(&node.get("/api/v1/status").body).ok()?;
        (status["sessions"] == wanted).then_some(())
    });
}

fn per_s(count: usize, duration: Duration) -> u64 {
    (count as f64 / duration.as_secs_f64()).round() as u64
}

fn table(numbers: &Map<String, Value>, clients: usize) -> String {
    let cell = |name: &str| numbers[name].to_string();
    let against = |ours: &str, theirs: Option<&str>| {
        let Some(theirs) = theirs else { return String::new() };
        match (numbers[ours].as_f64(), numbers[theirs].as_f64()) {
            (Some(ours), Some(theirs)) => format!("{} of {theirs}", hundredths(ours / theirs)),
            _ => "not installed".to_owned(),
        }
    };
    let mut out = String::from(
        "| the edge | Starling | times Mosquitto | times bare tokio tasks |\n|---|---|---|---|\n",
    );
    let (acknowledged, paced) = ("answers acknowledged per second", "5,000 answers/s to PUBACK");
    let mosquitto_acks = Some("mosquitto_ack_per_s");
    let (bare_acks, bare_paced) = (Some("bare_ack_per_s"), Some("bare_paced_ms_p99"));
    let rows = [
        (
            "a new state to all, until the last has it, ms".to_owned(),
            "fanout_ms",
            Some("mosquitto_fanout_ms"),
            Some("bare_fanout_ms"),
        ),
        (format!("{acknowledged}, `--ack local`"), "ack_local_per_s", mosquitto_acks, bare_acks),
        (format!("{acknowledged}, `--ack peer`"), "ack_peer_per_s", mosquitto_acks, bare_acks),
        (format!("{paced}, p99, ms, `--ack local`"), "paced_local_ms_p99", None, bare_paced),
        ("the same, `--ack peer`".to_owned(), "paced_peer_ms_p99", None, bare_paced),
    ];
    for (what, ours, mosquitto, bare) in rows {
        let (mosquitto, bare) = (against(ours, mosquitto), against(ours, bare));
        out += &format!("| {what} | {} | {mosquitto} | {bare} |\n", cell(ours));
    }
    for (what, name) in [
        ("connections per second", "connect_per_s"),
        ("players joining per second", "join_per_s"),
        ("memory per joined and watching player, bytes", "rss_per_player_bytes"),
    ] {
        out += &format!("| {what} | {} | | |\n", cell(name));
    }
    let machine = machine();
    out + &format!(
        "\n{clients} MQTT 5 clients on one node, which share the machine with it: {machine}.\n"
    )
}

/// A process has 20,000 files at most; some are needed for other things.
const CLIENTS: usize = 19_900;
/// As many as the machine that the goals were set on has cores.
const WORKERS: usize = 2;
const IN_FLIGHT: usize = 64;
/// Of the fan-out.
const ROUNDS: u32 = 9;
/// In which all answer at once.
const BURSTS: u32 = 5;
/// In which they answer at a steady pace.
const PACED: u32 = 3;
/// Nobody answers by a deadline here.
const OPEN_MS: u32 = 120_000;
/// 5,000 a second.
const PACE: Duration = Duration::from_micros(200);
/// Nobody answers a question that is not on the screen yet.
const SEEN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(300);
const SETTLE: Duration = Duration::from_secs(3);
const SETTLED_MAX: Duration = Duration::from_secs(60);
