//! The simulator: how fast it is, whether it finds what is planted, whether a seed names a run, and how a
//! cluster grows.
//!
//! Runs the program as a developer does: in its own process, on one core, with the faults of the ordinary
//! draw. Seeds that fail are told in the table, whatever their speed.

use super::readme::machine;
use super::timings::hundredths;
use super::{Figure, Report, Scale};
use crate::binary::simulator_path;
use crate::lab::say;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// See the module.
pub(super) const FIGURE: Figure =
    Figure { name: "simulator", about: "the simulator's speed, its finds, and growth", run };

/// A seed lasts as long as its show; a pace in seeds is told for seeds of this length.
const SEED_VIRTUAL_S: f64 = 30.0;
/// Memory that ten million players take, with some to spare.
const TEN_MILLION_BYTES: u64 = 18 << 30;
/// How many nodes play with a large audience.
const LARGE_NODES: u64 = 20;

/// How much is run.
struct Size {
    /// For how long seeds are run in each fidelity, in seconds.
    sweep_s: u32,
    hunt: u32,
    repeated: &'static [u32],
    nodes: &'static str,
    players: &'static str,
    large: Option<&'static str>,
}

const FULL: Size = Size {
    sweep_s: 60,
    hunt: 100,
    repeated: &[1, 2, 3],
    nodes: "3,5,10,20,50,100",
    players: "1000,10000,100000,1000000",
    large: Some("1000000"),
};

/// For less than the default audience everything shrinks: that is a test of the figure.
const SMALL: Size =
    Size { sweep_s: 1, hunt: 1, repeated: &[1], nodes: "3,5", players: "100,1000", large: None };

fn run(scale: &Scale) -> Result<Report, String> {
    let is_full = scale.players == super::PLAYERS_DEFAULT;
    let size = if is_full { &FULL } else { &SMALL };
    let release = !cfg!(debug_assertions);
    say("the simulator is built");
    let hunter = Program(simulator_path(release, true));
    // Bugs that nobody plants only cost time.
    let program = if is_full { Program(simulator_path(release, false)) } else { hunter.clone() };
    say("seeds in message fidelity, then in wire fidelity");
    let message = program.sweep("message", ["5", "1000"], size.sweep_s)?;
    let wire = program.sweep("wire", ["5", "200"], size.sweep_s)?;
    let shown = program.json(&["run", "--seed", "1", "--nodes", "5", "--players", "200"])?;
    let datagrams = number(&shown, "datagrams")? / number(&shown, "virtual_s")?;
    say("the same seeds again");
    let same_hash = match is_full {
        true => is_same(&program, &Program(simulator_path(!release, false)), size.repeated)?,
        false => is_same(&program, &program, size.repeated)?,
    };
    let builds = if is_full { "debug and release" } else { "one build, twice" };
    say("planted bugs");
    let hunted = hunter.json(&["hunt", "--seeds", &size.hunt.to_string()])?;
    let hunted = hunted.as_array().ok_or("a hunt is no list")?;
    let found = hunted.iter().filter(|found| !found["seed"].is_null()).count();
    say("clusters of all sizes");
    let growth = grown(&program, size)?;
    let seeds_per_s = number(&message, "virtual_s_per_s")? / SEED_VIRTUAL_S;
    let wire_pace = number(&wire, "virtual_s_per_s")?;
    let mut numbers = Map::new();
    numbers.insert("wire_virtual_s_per_s".into(), hundredths(wire_pace).into());
    numbers.insert("message_seeds_per_s".into(), hundredths(seeds_per_s).into());
    numbers.insert("planted".into(), hunted.len().into());
    numbers.insert("planted_found".into(), found.into());
    numbers.insert("same_hash".into(), same_hash.into());
    numbers.insert("growth".into(), growth.iter().map(key_figures).collect());
    let table = [
        "| the simulator, on one core | measured |".to_owned(),
        "|---|---|".to_owned(),
        format!(
            "| cores of 5 nodes, 1000 players, faults: seeds of {SEED_VIRTUAL_S} virtual seconds | {} per second ({}) |",
            hundredths(seeds_per_s),
            outcome(&message)
        ),
        format!(
            "| whole nodes, 5 of them, 200 players, faults: virtual time | {} times real time, {} datagrams a virtual second ({}) |",
            hundredths(wire_pace),
            datagrams.round(),
            outcome(&wire)
        ),
        format!("| planted bugs found, within {} seeds each | {found} of {} |", size.hunt, hunted.len()),
        format!("| the same seed in {builds}: the same trace | {} |", if same_hash { "yes" } else { "no" }),
        String::new(),
        "| nodes | players | until all have the slowest entry (half: until another has it) | sent by a node | messages per phase change | real time |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    let rows = growth.iter().map(growth_row);
    let table = table.into_iter().chain(rows).chain([format!("\n{}, release build.", machine())]);
    Ok(Report { numbers, table: table.collect::<Vec<_>>().join("\n") })
}

/// Growth along both axes, and a large audience on many nodes.
fn grown(program: &Program, size: &Size) -> Result<Vec<Value>, String> {
    let mut players = size.players.to_owned();
    if size.large.is_some() && available() > TEN_MILLION_BYTES {
        players += ",10000000";
    }
    let grown = program.json(&["growth", "--nodes", size.nodes, "--players", &players])?;
    let mut all = grown.as_array().cloned().ok_or("growth is no list")?;
    if let Some(large) = size.large {
        let nodes = LARGE_NODES.to_string();
        let grown = program.json(&["growth", "--nodes", &nodes, "--players", large])?;
        all.extend(grown.as_array().cloned().unwrap_or_default());
    }
    Ok(all)
}

fn key_figures(grown: &Value) -> Value {
    json!({
        "nodes": grown["nodes"],
        "players": grown["players"],
        "convergence_ms": grown["convergence_ms"],
        "bytes_per_node": grown["bytes_per_node"],
    })
}

fn growth_row(grown: &Value) -> String {
    let real = |name: &str| hundredths(grown[name].as_f64().unwrap_or_default());
    format!(
        "| {} | {} | {} ms ({} ms) | {} B | {} | {} s |",
        grown["nodes"],
        grown["players"],
        grown["convergence_ms"],
        grown["converged_half_ms"],
        grown["bytes_per_node"],
        real("messages_per_phase"),
        real("real_s")
    )
}

fn outcome(swept: &Value) -> String {
    format!("{} seeds, {} failed", swept["seeds"], swept["failed"])
}

/// Whether each of the same seeds leaves the same trace in both, and no two of them the same one.
fn is_same(one: &Program, other: &Program, seeds: &[u32]) -> Result<bool, String> {
    let mut hashes = BTreeSet::new();
    for fidelity in ["message", "wire"] {
        for seed in seeds {
            let seed = seed.to_string();
            let line = ["run", "--seed", &seed, "--fidelity", fidelity];
            let [hash, again] = [one.hash(&line)?, other.hash(&line)?];
            if hash != again || !hashes.insert(hash) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The simulator's binary.
#[derive(Clone)]
struct Program(PathBuf);

impl Program {
    fn sweep(
        &self,
        fidelity: &str,
        [nodes, players]: [&str; 2],
        seconds: u32,
    ) -> Result<Value, String> {
        let time = format!("{seconds}s");
        let line = ["sweep", "--scenario", "swarm", "--fidelity", fidelity, "--nodes", nodes];
        self.json(&[&line[..], &["--players", players, "--time", &time, "--jobs", "1"]].concat())
    }

    /// The hash of a run's trace.
    fn hash(&self, line: &[&str]) -> Result<String, String> {
        let shown = self.json(line)?;
        let hash = shown["hash"].as_str();
        hash.map(str::to_owned).ok_or_else(|| format!("{line:?} tells no hash"))
    }

    /// Runs a command and reads what it prints for programs. A run that breaks a promise is a result, too.
    fn json(&self, line: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(&self.0);
        command.args(line).args(["--json", "-"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().map_err(|error| format!("{}: {error}", self.0.display()))?;
        let told = || String::from_utf8_lossy(&output.stderr).into_owned();
        if !matches!(output.status.code(), Some(0 | 1)) {
            return Err(format!("{line:?}: {}: {}", output.status, told()));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{line:?} prints no JSON ({error}): {}", told()))
    }
}

fn number(of: &Value, name: &str) -> Result<f64, String> {
    of[name].as_f64().ok_or_else(|| format!("there is no number {name:?} in {of}"))
}

/// Bytes of memory that are free or can be freed.
fn available() -> u64 {
    let info = fs::read_to_string(Path::new("/proc/meminfo")).unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
