//! `starling-sim maelstrom`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::given::{enough_for, seeds};
use super::{Failed, say, write_out};
use crate::maelstrom::{LACKS, Results, Workload, maelstrom};
use crate::schedule::{Kinds, Schedule, Wanted};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The workload; all four by default.
    #[arg(long, value_enum)]
    workload: Option<Workload>,
    /// The seeds, as in 1..=50, or their number.
    #[arg(long, value_parser = seeds, default_value = "1")]
    seeds: RangeInclusive<u64>,
    /// Nodes at the beginning; by default the seed draws 3 to 7.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=99))]
    nodes: Option<u8>,
    /// Clients, each of which asks for an operation in each of three or four rounds.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    clients: Option<u32>,
    /// What may go wrong: none, all, or some kinds as in crash,cut,loss.
    #[arg(long, value_name = "KINDS", default_value_t = Kinds::ALL)]
    faults: Kinds,
    /// Write the results as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failed> {
    let lacking = arguments.faults.lacking(&LACKS);
    if lacking != Kinds::NONE {
        let what = format!("the workloads have no part for --faults {lacking}: leave that out");
        return Err(Failed::Usage(what));
    }
    if let Some(nodes) = arguments.nodes {
        enough_for(nodes, arguments.faults)?;
    }
    let workloads = arguments.workload.map_or(Workload::ALL.to_vec(), |one| vec![one]);
    let (nodes, players) = (arguments.nodes, arguments.clients);
    let wanted = Wanted { nodes, players, ..Wanted::default() };
    let mut all: Vec<(u64, Results)> = Vec::new();
    for seed in arguments.seeds.clone() {
        let schedule = Schedule::draw_of(seed, wanted, arguments.faults);
        for workload in &workloads {
            let results = maelstrom(*workload, &schedule);
            if arguments.json.is_none() {
                say(&format!("seed {seed} {results}"));
            }
            all.push((seed, results));
        }
    }
    if let Some(path) = &arguments.json {
        let json: Vec<_> =
            all.iter().map(|(seed, r)| serde_json::json!({ "seed": seed, "results": r })).collect();
        write_out(path, &format!("{:#}", serde_json::Value::from(json)))?;
    }
    match all.iter().filter(|(_, results)| !results.valid).count() {
        0 => Ok(()),
        count => Err(Failed::Found(format!("{count} of {} runs are not valid", all.len()))),
    }
}
