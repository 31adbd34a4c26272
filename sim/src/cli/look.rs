//! `starling-sim report`, `at` and `fork`: looking closely at one run.

use std::path::PathBuf;
use std::time::Duration;

use crdt_state::PlayerId;

use super::given::{Source, duration};
use super::live::watched;
use super::{Failed, say, write_out};
use crate::fork::Forks;
use crate::quiz::evidence::{Evidence, PlayerEvidence, Receipt};
use crate::report::report;
use crate::run::Options;
use crate::state::NodeState;
use crate::trace::Progress;
use crate::verdict::judge_in;

#[derive(Debug, clap::Args)]
pub(super) struct ReportArguments {
    #[command(flatten)]
    source: Source,
    /// Where the page is written.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct AtArguments {
    #[command(flatten)]
    source: Source,
    /// The moment, as in 18.3s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    t: Duration,
    /// The node; twice for what two nodes do not have in common.
    #[arg(long, value_name = "NUMBER", required_unless_present = "player")]
    node: Vec<u8>,
    /// What this player has been told by then, too; again for more.
    #[arg(long, value_name = "NUMBER")]
    player: Vec<u32>,
    /// Write it as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ForkArguments {
    #[command(flatten)]
    source: Source,
    /// A moment up to which all is kept, as in 4s; again for more; by default steps over the run.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    at: Vec<Duration>,
    /// How many futures are tried from each moment.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), default_value_t = 40)]
    futures: u32,
    /// How many run at once; by default one per core.
    #[arg(long)]
    jobs: Option<usize>,
}

/// Moments of a run that are tried if none is said.
const STEPS: u32 = 12;

pub(super) fn draw(arguments: &ReportArguments) -> Result<(), Failed> {
    let (schedule, fidelity) = arguments.source.schedule()?;
    let progress = Progress::default();
    let real_limit = arguments.source.given.real_limit();
    let options = Options { real_limit, progress: progress.clone(), ..Options::default() };
    let page = watched(&progress, || report(fidelity, &schedule, options));
    write_out(&arguments.out, &page)?;
    eprintln!("{}: open it in a browser", arguments.out.display());
    Ok(())
}

pub(super) fn at(arguments: &AtArguments) -> Result<(), Failed> {
    let (schedule, fidelity) = arguments.source.schedule()?;
    let progress = Progress::default();
    let real_limit = arguments.source.given.real_limit();
    let (until, of_run) = (Some(arguments.t), progress.clone());
    let options = Options { real_limit, until, progress: of_run, ..Options::default() };
    let verdict = watched(&progress, || judge_in(fidelity, schedule, options));
    let verdict = verdict.map_err(|why| Failed::Found(why.to_string()))?;
    let evidence = &verdict.outcome.value;
    let when = evidence.stopped.unwrap_or(verdict.outcome.virtual_time);
    let state = |node: &u8| {
        let state = evidence.states.get(node);
        let missing = || {
            let what = "is down, has not joined, or does not carry the show";
            Failed::Usage(format!("node {node} has no part in it at {when:?}: it {what}"))
        };
        state.map(|state| (*node, state)).ok_or_else(missing)
    };
    let states = arguments.node.iter().map(state).collect::<Result<Vec<_>, _>>()?;
    if evidence.stopped.is_none() {
        eprintln!("the run was over by then: this is its end, after {when:?}");
    }
    let players = arguments.player.iter().map(|number| player(evidence, *number));
    let players = players.collect::<Result<Vec<_>, _>>()?;
    match &arguments.json {
        Some(path) => write_out(path, &format!("{:#}", json(when, &states, &players))),
        None => {
            let players: String = players.into_iter().map(told_of).collect();
            say(&(told(when, &states) + &players));
            Ok(())
        }
    }
}

/// A player and what came to it.
type Seen<'a> = (PlayerId, &'a PlayerEvidence);

fn player(evidence: &Evidence, number: u32) -> Result<Seen<'_>, Failed> {
    let mut players = evidence.players.iter();
    // The last digits of an id are the player's number.
    players
        .find(|(id, _)| id.0 as u32 == number)
        .map(|(id, seen)| (*id, seen))
        .ok_or_else(|| Failed::Usage(format!("there is no player {number}")))
}

/// What a player has been told so far.
fn told_of((id, seen): Seen<'_>) -> String {
    let PlayerEvidence { connections, joined, refused, .. } = seen;
    let joined = joined.map_or("not firmly in".to_owned(), |at| format!("in since {at:?}"));
    let mut text = format!("\nplayer {id}: {connections} connections, {joined}");
    if !refused.is_empty() {
        text += &format!(", refused: {refused:?}");
    }
    for receipt in &seen.receipts {
        let Receipt { at, node, instance, status, firm, choices, elapsed_ms } = receipt;
        let level = if *firm { "firm" } else { "provisional" };
        text += &format!(
            "\n  {:>10.3} s  node {node}, run {instance}: {status} {choices:?} after {elapsed_ms} ms, {level}",
            at.as_secs_f64()
        );
    }
    text
}

/// The same for programs.
fn json_of((id, seen): &Seen<'_>) -> serde_json::Value {
    let PlayerEvidence { connections, joined, refused, .. } = seen;
    let receipts = seen.receipts.iter().map(|receipt| {
        let Receipt { at, node, instance, status, firm, choices, elapsed_ms } = receipt;
        serde_json::json!({
            "at_s": at.as_secs_f64(), "node": node, "instance": instance, "status": status, "firm": firm,
            "choices": choices, "elapsed_ms": elapsed_ms,
        })
    });
    serde_json::json!({
        "id": id.to_string(), "connections": connections, "joined_s": joined.map(|at| at.as_secs_f64()),
        "refused": refused, "receipts": receipts.collect::<Vec<_>>(),
    })
}

fn json(when: Duration, states: &[(u8, &NodeState)], players: &[Seen<'_>]) -> serde_json::Value {
    let difference = match states {
        [(_, one), (_, other), ..] => Some(one.difference(other)),
        _ => None,
    };
    let states: std::collections::BTreeMap<_, _> = states.iter().copied().collect();
    let players: Vec<_> = players.iter().map(json_of).collect();
    serde_json::json!({
        "at_s": when.as_secs_f64(), "nodes": states, "difference": difference, "players": players,
    })
}

fn told(when: Duration, states: &[(u8, &NodeState)]) -> String {
    let mut text = format!("at {:.3} s", when.as_secs_f64());
    for (node, state) in states {
        text += &format!("\nnode {node}\n{state}");
    }
    let [(first, one), (second, other), ..] = states else { return text };
    let difference = one.difference(other);
    match difference.is_empty() {
        true => text + &format!("\nnodes {first} and {second} have the same"),
        false => {
            text + &format!("\nnodes {first} and {second} differ:\n  {}", difference.join("\n  "))
        }
    }
}

pub(super) fn fork(arguments: &ForkArguments) -> Result<(), Failed> {
    let (schedule, fidelity) = arguments.source.schedule()?;
    let real_limit = arguments.source.given.real_limit();
    let options = Options { real_limit, ..Options::default() };
    let verdict = judge_in(fidelity, schedule.clone(), options);
    let whole = verdict.as_ref().map_or(Duration::from_secs(30), |v| v.outcome.virtual_time);
    let moments = match arguments.at.is_empty() {
        true => (0..=STEPS).map(|step| whole * step / STEPS).collect(),
        false => arguments.at.clone(),
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {}));
    let tried = arguments.futures;
    let jobs = arguments.jobs.unwrap_or_else(cores);
    let forks = Forks { schedule: &schedule, fidelity, tried, jobs, real_limit };
    say(&format!(
        "how many of {tried} futures fail in {fidelity} fidelity, by the moment that they part at:"
    ));
    for at in moments {
        let found = forks.at(at);
        say(&found.to_string());
    }
    Ok(())
}
