//! What a show asks of the engine: folding and ranking a million players, bringing a file in, and showing a
//! stage change to everybody.
//!
//! - *fold*, *rank*: a million players, ten questions, in this process, on all cores. Ranks are made again by an
//!   award that changes one player's points and no sum; a new scoreboard folds and ranks, and what that takes longer is
//!   the fold; once more where nobody's time differs, so that points alone decide; medians of some runs;
//! - *import*: from posting a file of 50,000 questions until the reply, which is sent once another node holds it;
//! - *phase*: 10,000 players spread over three nodes; from the host's command to one node until a player has the
//!   new stage, over all players and all stage changes (intro, opening, close; what comes after waits for
//!   seals by design);
//! - *bare fan-out*: the same clients at three servers that do nothing but pass a message of the same length
//!   on; from writing it to the three until a client has it, over all clients and as many rounds.

use super::edge::crowd::{Crowd, Plan, Target};
use super::edge::servers::Server;
use super::edge::wire;
use super::readme::machine;
use super::replication::state;
use super::timings::{hundredths, median, millis};
use super::{Figure, Report, Scale};
use crate::binary::starling_path;
use crate::cluster::Http;
use crate::lab::{eventually, say};
use crate::shows::sums;
use crate::single::{Single, SingleShow};
use crdt_state::EventState;
use crdt_state::delta::{Delta, encode};
use crdt_state::engagement::{Question, Scoreboard, Script};
use crdt_state::named::{Award, AwardChange, Change};
use crdt_state::{LaneId, Origin};
use node::service::view::Command;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// See the module.
pub(super) const FIGURE: Figure = Figure {
    name: "engagements",
    about: "a fold of a million players, an import, stage changes seen by 10,000 players",
    run,
};

fn run(scale: &Scale) -> Result<Report, String> {
    say(&format!("built {}", starling_path().display()));
    let clients = if scale.players == super::PLAYERS_DEFAULT { CLIENTS } else { scale.players };
    if clients > CLIENTS_MAX {
        return Err(format!("{clients} clients: a process has room for {CLIENTS_MAX} sockets"));
    }
    let mut numbers = Map::new();
    let mut tell = |name: &str, value: f64| {
        say(&format!("{name}: {value}"));
        numbers.insert(name.to_owned(), json!(value));
    };
    let players = share(MILLION, clients);
    let (fold_ms, rank_ms) = fold_and_rank(players, scale.questions, state::ANSWERED_MS)?;
    tell("fold_ms_1m", fold_ms);
    tell("rank_ms_1m", rank_ms);
    // Whoever answers at once has full points, and no time.
    let (_, rank_ms) = fold_and_rank(players, scale.questions, 1)?;
    tell("rank_points_ms_1m", rank_ms);
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let measured = runtime.block_on(show(clients))?;
    tell("phase_ms_p99", measured.phase_ms);
    tell("bare_fanout_ms_p99", measured.bare_ms);
    tell("import_50k_s", measured.import_s);
    let table = table(&numbers, scale, clients);
    Ok(Report { numbers, table })
}

/// The first fold of all, and ranks alone, in milliseconds; all answer within so many milliseconds, to questions of
/// unlike worth.
fn fold_and_rank(players: usize, questions: u32, within: u64) -> Result<(f64, f64), String> {
    let text = sums(questions, OPEN_MS);
    let mut script = node::show::parse(&text).map_err(|problems| format!("{problems:?}"))?;
    for (number, question) in (0..).zip(&mut script.questions) {
        question.points += 37 * number;
    }
    let mut event = state::program(&script)?;
    state::join(&mut event, players)?;
    for question in 0..script.questions.len() {
        for (from, entry) in state::entries_within(within, players, question, 0) {
            event.apply(from, &entry).map_err(|error| error.to_string())?;
        }
    }
    let (mut both, mut rank) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let mut board = Scoreboard::default();
        both.push(timed(|| board.update(&event, |_| true)));
        if board.len() != players {
            return Err(format!("{} of {players} players are ranked", board.len()));
        }
        award(&mut event, run)?;
        rank.push(timed(|| board.update(&event, |_| true)));
    }
    let (both, rank) = (median(both), median(rank));
    Ok((millis(both.saturating_sub(rank)), millis(rank)))
}

/// Gives somebody a point: no sum changes, and every rank may.
fn award(event: &mut EventState, number: usize) -> Result<(), String> {
    let player = event.players.ids().next().ok_or("there are no players")?;
    let award = Award { id: number.to_string(), player, points: 1 };
    let change = Change::Award(AwardChange { name: "a figure".to_owned(), award });
    let entry = encode(&[Delta::Named(change)]);
    event.apply(LaneId::control(Origin(1)), &entry).map_err(|error| error.to_string())?;
    Ok(())
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// What is measured of a cluster.
struct Measured {
    phase_ms: f64,
    bare_ms: f64,
    import_s: f64,
}

async fn show(clients: usize) -> Result<Measured, String> {
    let first = Single::start(&["--ack", "peer"]);
    let nodes = [first.start_beside(&["--ack", "peer"]), first.start_beside(&["--ack", "peer"])];
    eventually("three linked nodes", SETTLED_MAX, || {
        let members: Value = serde_json::from_str(&first.get("/api/v1/members").body).ok()?;
        let linked = members.as_array()?.iter().filter(|member| member["linked"] == true);
        (linked.count() == NODES).then_some(())
    });
    let import_s = import(&first, share(QUESTIONS, clients))?;
    say(&format!("the file is in after {import_s} s"));
    let playing = first.show(&sums(ROUNDS, OPEN_MS));
    for node in &nodes {
        eventually("the show on all nodes", SETTLED_MAX, || node.host_view(&playing));
    }
    let servers = [first.bound.mqtt, nodes[0].bound.mqtt, nodes[1].bound.mqtt];
    let target = Target::Starling(playing.imported.pin.clone());
    let crowds = come(clients, servers, &target, 3).await?;
    sleep(SETTLE).await;
    let (phase_ms, state_bytes) = phases(&first, &playing, &crowds).await?;
    drop(crowds);
    let bare_ms = bare(clients, state_bytes).await?;
    Ok(Measured { phase_ms, bare_ms, import_s })
}

/// What a smaller crowd than the goals' leaves of a number that they name.
fn share(all: usize, clients: usize) -> usize {
    (all * clients / CLIENTS).clamp(1, all)
}

/// From posting a large file until it is in, in seconds.
fn import(node: &Single, questions: usize) -> Result<f64, String> {
    let question = |number: usize| {
        let options = (0..4).map(|option| format!("Answer {option} to {number}")).collect();
        Question::choice(format!("What is question {number} of a large file?"), options, 0b10)
    };
    let script = Script::new("A large file", (0..questions).map(question).collect());
    let file = node::show::to_json(&script);
    let url = format!("http://{}/api/v1/events", node.bound.http);
    let (http, began) = (Http::new(), Instant::now());
    let reply = http.post(&url, node.ops_token(), &file);
    let took = began.elapsed();
    if reply.status != 201 {
        return Err(format!("the import is refused: {} {}", reply.status, reply.body));
    }
    Ok(hundredths(took.as_secs_f64()))
}

/// Lets players come, a third of them to each server.
async fn come(
    clients: usize,
    servers: [SocketAddr; NODES],
    target: &Target,
    from: u8,
) -> Result<Vec<Crowd>, String> {
    let mut crowds = Vec::new();
    for (at, server) in servers.into_iter().enumerate() {
        let first = clients * at / NODES;
        let clients = clients * (at + 1) / NODES - first;
        let (target, in_flight) = (target.clone(), IN_FLIGHT);
        let plan = Plan { clients, first, server, target, in_flight, only_connect: false, from };
        crowds.push(Crowd::come(plan).await?.0);
    }
    Ok(crowds)
}

/// When every client had a message that `trigger` sets off, in order of delay.
async fn delays(
    crowds: &[Crowd],
    needle: &str,
    trigger: impl Future<Output = Result<(), String>>,
) -> Result<Vec<Duration>, String> {
    for crowd in crowds {
        crowd.watch(needle).await?;
    }
    let began = Instant::now();
    trigger.await?;
    let mut all = Vec::new();
    for crowd in crowds {
        crowd.seen(began).await?;
        all.extend(crowd.delays(began));
    }
    Ok(all)
}

/// The 99th percentile over all stage changes, in milliseconds, and how long a live state is.
async fn phases(
    node: &Single,
    show: &SingleShow,
    crowds: &[Crowd],
) -> Result<(f64, usize), String> {
    let mut all = Vec::new();
    for instance in 1..=ROUNDS {
        for (command, phase) in CHANGES {
            let view = eventually("a step being offered", SETTLED_MAX, || {
                node.host_view(show).filter(|view| view.next.contains(&command))
            });
            let needle = format!(r#""stage":{{"instance":{instance},"phase":"{phase}"}}"#);
            let trigger = async {
                // The load generator's other worker goes on meanwhile.
                let reply = tokio::task::block_in_place(|| node.send(show, command, &view));
                if reply.status == 200 { Ok(()) } else { Err(format!("refused: {}", reply.body)) }
            };
            all.extend(delays(crowds, &needle, trigger).await?);
            sleep(PAUSE).await;
        }
        for command in [Command::Tallies, Command::Reveal, Command::Leaderboard] {
            node.step(show, command);
        }
        sleep(PAUSE).await;
    }
    let view = node.host_view(show).ok_or("the node does not answer")?;
    let live = serde_json::to_vec(&view.live).map_err(|error| error.to_string())?;
    Ok((percentile_99(all), live.len()))
}

/// The same clients at servers that pass messages on and do nothing else.
async fn bare(clients: usize, state_bytes: usize) -> Result<f64, String> {
    let servers = [Server::bare()?, Server::bare()?, Server::bare()?];
    let addresses = servers.each_ref().map(|server| server.address);
    let crowds = come(clients, addresses, &Target::Other, 4).await?;
    let mut publishers = Vec::new();
    for address in addresses {
        let publisher = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        publisher.set_nodelay(true).map_err(|error| error.to_string())?;
        publishers.push(publisher);
    }
    let mut all = Vec::new();
    for round in 0..ROUNDS as usize * CHANGES.len() {
        let needle = format!("round {round:04}");
        let payload = format!("{needle:.<state_bytes$}");
        let message = wire::publish(0, 0, "live/1", payload.as_bytes());
        let trigger = async {
            for publisher in &mut publishers {
                publisher.write_all(&message).await.map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        all.extend(delays(&crowds, &needle, trigger).await?);
        sleep(PAUSE).await;
    }
    Ok(percentile_99(all))
}

fn percentile_99(mut all: Vec<Duration>) -> f64 {
    all.sort_unstable();
    millis(all[all.len() * 99 / 100])
}

fn table(numbers: &Map<String, Value>, scale: &Scale, clients: usize) -> String {
    let cell = |name: &str| numbers[name].to_string();
    let ratio = hundredths(
        numbers["phase_ms_p99"].as_f64().unwrap_or_default()
            / numbers["bare_fanout_ms_p99"].as_f64().unwrap_or(f64::INFINITY),
    );
    let mut out = String::from("| a show | measured | beside |\n|---|---|---|\n");
    let rows = [
        (
            format!("a million players and {} questions folded, on both cores", scale.questions),
            "fold_ms_1m",
            "ms",
        ),
        ("all of them ranked, on both cores".to_owned(), "rank_ms_1m", "ms"),
        ("the same by points alone".to_owned(), "rank_points_ms_1m", "ms"),
        ("50,000 questions imported".to_owned(), "import_50k_s", "s"),
    ];
    for (what, name, unit) in rows {
        out += &format!("| {what} | {} {unit} | |\n", cell(name));
    }
    let (phase, bare) = (cell("phase_ms_p99"), cell("bare_fanout_ms_p99"));
    out += &format!(
        "| a stage change at one node is seen at all nodes, p99 | {phase} ms | {ratio} times bare \
         servers' fan-out ({bare} ms) |\n"
    );
    out + &format!(
        "\n{clients} MQTT 5 clients, a third at each of three nodes, which share the machine with \
         them: {}, release build.\n",
        machine()
    )
}

const MILLION: usize = 1_000_000;
/// Of the fold and of the ranks, each.
const RUNS: usize = 7;
/// As the goal says.
const CLIENTS: usize = 10_000;
/// A process has 20,000 files at most; some are needed for other things.
const CLIENTS_MAX: usize = 19_900;
const NODES: usize = 3;
/// Of the file that is imported.
const QUESTIONS: usize = 50_000;
/// As many as the machine that the goals were set on has cores.
const WORKERS: usize = 2;
const IN_FLIGHT: usize = 64;
const ROUNDS: u32 = 5;
/// The stage changes of a round that wait for nobody.
const CHANGES: [(Command, &str); 3] =
    [(Command::Next, "intro"), (Command::Open, "open"), (Command::Close, "closed")];
/// Nobody answers by a deadline here.
const OPEN_MS: u32 = 120_000;
const PAUSE: Duration = Duration::from_millis(300);
const SETTLE: Duration = Duration::from_secs(3);
const SETTLED_MAX: Duration = Duration::from_secs(60);
