//! `starling-sim sweep`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::given::{Given, duration, seeds};
use super::live::Bar;
use super::{Failed, say, signals, write_out};
use crate::kept::Kept;
use crate::schedule::Unmet;
use crate::sweep::{End, Sweep, Swept};

/// The share of seeds that `--check` runs twice, if it does not say.
const CHECKED: &str = "0.01";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The seeds, as in 1..=50, or their number; without them seeds from 1 until --time is up.
    #[arg(long, value_parser = seeds, required_unless_present = "time")]
    seeds: Option<RangeInclusive<u64>>,
    /// Begin no more seeds after this, as in 90s, 10m, 1h.
    #[arg(long, value_parser = duration)]
    time: Option<Duration>,
    /// How many run at once; by default one per core.
    #[arg(long)]
    jobs: Option<usize>,
    #[command(flatten)]
    given: Given,
    /// Run this share of the seeds twice and compare them event by event.
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = CHECKED)]
    check: Option<f64>,
    /// Fail if a mark in the production code is never reached.
    #[arg(long)]
    marks: bool,
    /// Write the schedule of the first failure of each kind into this folder, for replay and shrink.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Write the outcome as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the outcome as JUnit's XML to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failed> {
    let sweep = sweep(arguments)?;
    signals::end_by(sweep.enough.clone());
    // What panics is a failure of its seed and is told with it.
    std::panic::set_hook(Box::new(|_| {}));
    let swept = watch(&sweep);
    let unmet = arguments.given.unmet(swept.ends.keys().copied());
    tell(arguments, &swept, &unmet);
    write(arguments, &swept, &unmet)?;
    keep(arguments, &sweep, &swept)?;
    judge(arguments, &swept)
}

fn sweep(arguments: &Arguments) -> Result<Sweep, Failed> {
    let Arguments { seeds, time, jobs, given, check, .. } = arguments;
    let check = check.unwrap_or_default();
    if !(0.0..=1.0).contains(&check) {
        return Err(Failed::Usage(format!("--check {check} is no share: expected 0.0 to 1.0")));
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Sweep {
        seeds: seeds.clone().unwrap_or(1..=u64::MAX),
        draw: given.draws()?,
        fidelity: given.fidelity(),
        jobs: jobs.unwrap_or_else(cores),
        real_limit: given.real_limit(),
        time: *time,
        enough: Arc::new(AtomicBool::new(false)),
        check,
    })
}

/// Runs the sweep under a bar.
fn watch(sweep: &Sweep) -> Swept {
    let count = sweep.seeds.end().saturating_sub(*sweep.seeds.start()).saturating_add(1);
    let bar = Bar::new("seeds", (count < u64::MAX).then_some(count));
    let began = Instant::now();
    let [done, failed, virtual_ms] = [const { AtomicU64::new(0) }; 3];
    sweep.run(|end| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        let ms = end.virtual_time.as_millis() as u64;
        let ms = virtual_ms.fetch_add(ms, Ordering::Relaxed) + ms;
        if let Some(line) = complaint(end) {
            failed.fetch_add(1, Ordering::Relaxed);
            bar.say(&line);
        }
        let took = began.elapsed().as_secs_f64().max(f64::EPSILON);
        let (pace, virtual_pace) = (done as f64 / took, ms as f64 / 1_000.0 / took);
        let failed = failed.load(Ordering::Relaxed);
        bar.step(format!("{pace:.1} seeds/s, {virtual_pace:.0} virtual s/s, {failed} failed"));
    })
}

fn complaint(end: &End) -> Option<String> {
    match (&end.failure, &end.difference) {
        (Some(failure), _) => Some(format!("seed {} failed: {failure}", end.seed)),
        (None, Some(_)) => Some(format!("seed {} does not repeat itself", end.seed)),
        (None, None) => None,
    }
}

/// The command that runs a seed again.
fn reproduce(arguments: &Arguments, seed: u64) -> String {
    format!("starling-sim run --seed {seed}{}", arguments.given.again())
}

fn tell(arguments: &Arguments, swept: &Swept, unmet: &BTreeMap<Unmet, usize>) {
    let mut text = format!("{swept}\n{}", swept.coverage);
    let count = swept.ends.len();
    for (unmet, seeds) in unmet {
        text += &format!("\nin {seeds} of {count} seeds there is {unmet}");
    }
    for group in swept.groups() {
        let Some(seed) = group.seeds.first() else { continue };
        text += &format!("\nreplay with: {}", reproduce(arguments, *seed));
    }
    let is_out = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
    match is_out(&arguments.json) || is_out(&arguments.junit) {
        true => eprintln!("{text}"),
        false => say(&text),
    }
}

fn write(
    arguments: &Arguments,
    swept: &Swept,
    unmet: &BTreeMap<Unmet, usize>,
) -> Result<(), Failed> {
    let again = |seed| reproduce(arguments, seed);
    if let Some(path) = &arguments.json {
        let mut json = swept.to_json(again);
        let unmet = unmet.iter().map(|(unmet, seeds)| {
            json!({ "kind": unmet.kind.name(), "said": unmet.to_string(), "seeds": seeds })
        });
        json["unmet"] = unmet.collect();
        write_out(path, &format!("{json:#}"))?;
    }
    if let Some(path) = &arguments.junit {
        let suite = format!("starling-sim sweep{}", arguments.given.again());
        write_out(path, &swept.to_junit(&suite, again))?;
    }
    Ok(())
}

/// Writes down what failed, each kind once.
fn keep(arguments: &Arguments, sweep: &Sweep, swept: &Swept) -> Result<(), Failed> {
    let Some(folder) = &arguments.keep else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|why| Failed::file(folder, why))?;
    for group in swept.groups() {
        let Some(seed) = group.seeds.first() else { continue };
        let kept = Kept::failed(sweep.draw.schedule(*seed), sweep.fidelity, group.first);
        let file = folder.join(format!("{}-{seed}.json", group.signature.rule));
        write_out(&file, &kept.to_json())?;
        eprintln!("kept {0}; make it small with: starling-sim shrink {0}", file.display());
    }
    Ok(())
}

fn judge(arguments: &Arguments, swept: &Swept) -> Result<(), Failed> {
    let missed = swept.coverage.missed();
    let (failed, differing) = (swept.failed().count(), swept.differing().count());
    let mut wrong = Vec::new();
    if failed > 0 {
        wrong.push(format!("{failed} seeds failed"));
    }
    if differing > 0 {
        wrong.push(format!("{differing} seeds do not repeat themselves"));
    }
    if arguments.marks && !missed.is_empty() {
        wrong.push(format!("marks that no seed reached: {missed:?}"));
    }
    if let Some(signal) = signals::came() {
        wrong.insert(0, format!("ended by signal {signal} after {} seeds", swept.ends.len()));
        return Err(Failed::Asked(signal, wrong.join("; ")));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failed::Found(wrong.join("; "))) }
}
