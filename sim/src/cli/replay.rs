//! `starling-sim replay` and `starling-sim shrink`: work on one schedule that failed.

use std::path::PathBuf;
use std::time::Duration;

use super::given::Source;
use super::live::watched;
use super::run::trace_to;
use super::{Failed, say, write_out};
use crate::kept::Kept;
use crate::run::Options;
use crate::shrink::{Shrink, Step};
use crate::trace::Progress;
use crate::verdict::{Fidelity, judge_in};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A schedule, or what a sweep has kept of a failure.
    file: PathBuf,
    /// How much of a node is real; by default as in the file, else all.
    #[arg(long, value_enum)]
    fidelity: Option<Fidelity>,
    /// Real seconds before the run is given up as stuck.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    real_limit: u64,
    /// Write the verdict as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the trace's lines to this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShrinkArguments {
    #[command(flatten)]
    source: Source,
    /// Where the small schedule is written.
    #[arg(long, value_name = "FILE", default_value = "shrunk.json")]
    out: PathBuf,
    /// No more runs than this.
    #[arg(long, default_value_t = Shrink::default().runs_max)]
    runs: u32,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failed> {
    let file = &arguments.file;
    let kept = Kept::read(file).map_err(|why| Failed::file(file, why))?;
    let (_, fidelity) = super::given::read(file, arguments.fidelity)?;
    let progress = Progress::default();
    let real_limit = Duration::from_secs(arguments.real_limit);
    let sink = arguments.trace.as_deref().map(trace_to).transpose()?;
    let options = Options { sink, real_limit, progress: progress.clone(), ..Options::default() };
    if let Some(what) = &kept.what {
        eprintln!("it failed once: {}: {what}", kept.rule.as_deref().unwrap_or_default());
    }
    let verdict = watched(&progress, || judge_in(fidelity, kept.schedule, options));
    let verdict = verdict.map_err(|why| Failed::Found(why.to_string()))?;
    match &arguments.json {
        Some(path) => write_out(path, &format!("{:#}", verdict.to_json()))?,
        None => say(&verdict.to_string()),
    }
    match verdict.violations.len() {
        0 => Ok(()),
        count => Err(Failed::Found(format!("{count} promises were not kept"))),
    }
}

pub(super) fn shrink(arguments: &ShrinkArguments) -> Result<(), Failed> {
    let (schedule, fidelity) = arguments.source.schedule()?;
    std::panic::set_hook(Box::new(|_| {}));
    let real_limit = arguments.source.given.real_limit();
    let shrink = Shrink { fidelity, runs_max: arguments.runs, real_limit };
    let shrunk = shrink.shrink(schedule, |step| eprintln!("{}", told(&step)));
    let _ = std::panic::take_hook();
    let Some(shrunk) = shrunk else {
        return Err(Failed::Usage("the schedule does not fail: there is nothing to shrink".into()));
    };
    write_out(&arguments.out, &shrunk.kept().to_json())?;
    say(&format!("{shrunk}\n\n{}", shrunk.to_test()));
    eprintln!("written to {0}; run it with: starling-sim replay {0}", arguments.out.display());
    Ok(())
}

fn told(step: &Step<'_>) -> String {
    let Step { pass, runs, schedule } = step;
    format!(
        "run {runs:>3}, fewer {pass}: {} faults, {} nodes, {} players, {} questions",
        schedule.faults.len(),
        schedule.nodes,
        schedule.players,
        schedule.questions.len()
    )
}
