//! `starling-sim hunt`, which exists with the feature `planted` only.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crdt_state::planted::{Bug, plant};
use serde_json::{Value, json};

use super::given::seeds;
use super::{Failed, say, write_out};
use crate::schedule::Wanted;
use crate::sweep::{Draws, hunt};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Among which seeds each bug must be found, as in 1..=50, or their number.
    #[arg(long, value_parser = seeds, default_value = "100")]
    seeds: RangeInclusive<u64>,
    /// Write what was found as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Plants each bug in turn and draws seeds as a swarm does, until one fails.
pub(super) fn main(arguments: &Arguments) -> Result<(), Failed> {
    if let Some(bug) = crate::planting::planted_in_all() {
        let what = format!("a hunt plants each bug by itself: leave out --plant {bug:?}");
        return Err(Failed::Usage(what));
    }
    std::panic::set_hook(Box::new(|_| {}));
    let draw = Draws::Swarm(Wanted::default());
    let is_out = arguments.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if let Some(found) = hunt(arguments.seeds.clone(), draw) {
        let (seed, what) = (found.seed, found.what);
        return Err(Failed::Found(format!("without a bug seed {seed} fails: {what}")));
    }
    let (mut all, mut missed) = (Vec::new(), Vec::new());
    for bug in Bug::ALL {
        plant(Some(bug));
        let found = hunt(arguments.seeds.clone(), draw);
        plant(None);
        let told = match &found {
            Some(found) => {
                format!("{bug:?}: seed {}, {:?}: {}", found.seed, found.rules, found.what)
            }
            None => format!("{bug:?} is not found"),
        };
        if is_out {
            eprintln!("{told}");
        } else {
            say(&told);
        }
        missed.extend(found.is_none().then_some(bug));
        let (seed, rules) = found.map_or((None, Vec::new()), |found| {
            (Some(found.seed), found.rules.into_iter().collect::<Vec<_>>())
        });
        all.push(json!({ "bug": format!("{bug:?}"), "seed": seed, "rules": rules }));
    }
    if let Some(path) = &arguments.json {
        write_out(path, &format!("{:#}", Value::from(all)))?;
    }
    if missed.is_empty() { Ok(()) } else { Err(Failed::Found(format!("not found: {missed:?}"))) }
}
