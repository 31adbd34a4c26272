//! The soak: very many connections to one cluster of six nodes, for long; then a show in which most of a
//! crowd answers at once.
//!
//! A process has 20,000 files at most here, so both sides are many processes: the nodes, and as many
//! processes of clients, each of which takes its orders from this one. What is told:
//! - *lost*: connections that ended before they were told to;
//! - *memory*: the nodes' resident sets together, the mean of the first quarter of the time and of the last;
//! - *the show*: half of the clients stay, four of five of them answer, each at its own moment between
//!   half a second and three seconds after it saw the opening; from writing an answer to its PUBACK;
//! - *answers lost*: firm receipts whose answer is not in the export of another node.
//!
//! Every process ends with its holder.

mod crowd;
pub mod worker;

use super::readme::machine;
use super::timings::hundredths;
use super::{Figure, PLAYERS_DEFAULT, Report, Scale};
use crate::binary::starling_path;
use crate::export::Export;
use crate::lab::{eventually, say};
use crate::shows::sums;
use crate::single::{Single, SingleShow};
use crowd::{Crowd, Told};
use node::service::view::Command;
use serde_json::{Map, Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// See the module.
pub(super) const FIGURE: Figure =
    Figure { name: "soak", about: "100,000 clients on six nodes for ten minutes, and a show", run };

fn run(scale: &Scale) -> Result<Report, String> {
    say(&format!("built {}", starling_path().display()));
    let clients = if scale.players == PLAYERS_DEFAULT { CLIENTS } else { scale.players };
    let nodes = start_nodes()?;
    let show = nodes[0].show(&sums(1, OPEN_MS));
    let shared = |node: &Single| eventually("the show on it", READY_MAX, || node.host_view(&show));
    nodes.iter().for_each(|node| drop(shared(node)));
    let mut crowd = Crowd::come(&nodes, &show.imported.pin, clients)?;
    say(&format!("{clients} players are in"));
    let hold = Duration::from_secs(60 * u64::from(scale.minutes));
    let memory = hold_still(&nodes, hold)?;
    let told = crowd.tell()?;
    say(&format!("memory of all nodes, MB: {memory:?}"));
    let lost = clients - told.connected;
    crowd.stay(clients / 2)?;
    let played = play(&nodes, &show, &mut crowd, clients / 2)?;
    report(clients, scale.minutes, (lost, &memory), &played)
}

fn start_nodes() -> Result<Vec<Single>, String> {
    let first = Single::start(&["--ack", "peer"]);
    let mut nodes = vec![first];
    while nodes.len() < NODES {
        nodes.push(nodes[0].start_beside(&["--ack", "peer"]));
    }
    for node in &nodes {
        eventually("all nodes linked with each other", READY_MAX, || {
            let members: Value = serde_json::from_str(&node.get("/api/v1/members").body).ok()?;
            let linked = members.as_array()?.iter().filter(|member| member["linked"] == true);
            (linked.count() == NODES).then_some(())
        });
    }
    Ok(nodes)
}

/// Lets the time go by; the nodes' memory together in MB, now and then.
fn hold_still(nodes: &[Single], hold: Duration) -> Result<Vec<u64>, String> {
    sleep(SETTLE);
    let (began, mut memory) = (Instant::now(), Vec::new());
    loop {
        let all = nodes.iter().map(Single::rss_bytes).sum::<Result<u64, String>>()?;
        memory.push(all / 1_000_000);
        if began.elapsed() >= hold {
            return Ok(memory);
        }
        sleep(SAMPLE_EVERY.min(hold / 4));
    }
}

/// What came of the show.
struct Played {
    players: usize,
    told: Told,
    /// Firm receipts without their answer.
    lost: usize,
}

fn play(
    nodes: &[Single],
    show: &SingleShow,
    crowd: &mut Crowd,
    players: usize,
) -> Result<Played, String> {
    let host = &nodes[0];
    host.step(show, Command::Next);
    host.step(show, Command::Open);
    sleep(ANSWERING);
    let told = crowd.tell()?;
    host.step(show, Command::Close);
    // Another node than the host's: what it has it was brought.
    let witness = nodes.last().ok_or("there are nodes")?;
    let path = format!("/api/v1/events/{}/export", show.imported.event);
    let missing = |export: &Export| {
        let is_missing = |index: &&usize| {
            let player = worker::player(**index).parse().expect("it is a player's id");
            !export.answers.contains_key(&(1, player))
        };
        told.firm.iter().filter(is_missing).count()
    };
    let export = || Export::parse(&witness.get(&path).body);
    let deadline = Instant::now() + READY_MAX;
    let mut lost = missing(&export()?);
    while lost > 0 && Instant::now() < deadline {
        sleep(Duration::from_secs(1));
        lost = missing(&export()?);
    }
    Ok(Played { players, told, lost })
}

fn report(
    clients: usize,
    minutes: u32,
    (lost, memory): (usize, &[u64]),
    played: &Played,
) -> Result<Report, String> {
    let quarter = memory.len().div_ceil(4);
    let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len() as u64;
    let (first, last) = (mean(&memory[..quarter]), mean(&memory[memory.len() - quarter..]));
    let Played { players, told, lost: answers_lost } = played;
    let mut latencies = told.latencies_us.clone();
    latencies.sort_unstable();
    let quantile = |per_mille: usize| {
        let at = latencies.len().saturating_sub(1) * per_mille / 1_000;
        latencies.get(at).map(|us| hundredths(f64::from(*us) / 1_000.0))
    };
    if latencies.is_empty() {
        return Err(format!("nobody answered: {:?}", told.failures));
    }
    let values = [
        ("clients", json!(clients)),
        ("nodes", json!(NODES)),
        ("minutes", json!(minutes)),
        ("connections_lost", json!(lost)),
        ("memory_first_mb", json!(first)),
        ("memory_last_mb", json!(last)),
        ("show_players", json!(players)),
        ("answered", json!(latencies.len())),
        ("unanswered", json!(told.unanswered)),
        ("refused", json!(told.refused)),
        ("receipt_ms_p50", json!(quantile(500))),
        ("receipt_ms_p99", json!(quantile(990))),
        ("receipt_ms_max", json!(quantile(1_000))),
        ("receipts_firm", json!(told.firm.len())),
        ("answers_lost", json!(answers_lost)),
    ];
    for failure in told.failures.iter().take(10) {
        say(failure);
    }
    let numbers: Map<String, Value> =
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let table = table(&numbers);
    Ok(Report { numbers, table })
}

fn table(numbers: &Map<String, Value>) -> String {
    let rows = [
        ("clients connected at once, on so many nodes", "clients", "nodes"),
        ("connections lost, within so many minutes", "connections_lost", "minutes"),
        (
            "memory of all nodes, MB: first quarter, last quarter",
            "memory_first_mb",
            "memory_last_mb",
        ),
        ("in the show: players connected, of whom answered", "show_players", "answered"),
        ("from an answer to its receipt, ms: p50, p99", "receipt_ms_p50", "receipt_ms_p99"),
        ("firm receipts, of which lost", "receipts_firm", "answers_lost"),
    ];
    let mut out = String::from("| the soak | | |\n|---|---|---|\n");
    for (what, one, two) in rows {
        out += &format!("| {what} | {} | {} |\n", numbers[one], numbers[two]);
    }
    out + &format!("\nAll processes share one machine: {}.\n", machine())
}

/// A process has 20,000 files at most.
const CLIENTS: usize = 100_000;
const NODES: usize = 6;
/// Nobody answers by a deadline here.
const OPEN_MS: u32 = 120_000;
/// The last answer leaves after three seconds.
const ANSWERING: Duration = Duration::from_secs(15);
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Until everybody has been told that everybody is in.
const SETTLE: Duration = Duration::from_secs(5);
const READY_MAX: Duration = Duration::from_secs(120);
