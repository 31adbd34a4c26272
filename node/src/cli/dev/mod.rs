//! `starling dev`: a whole cluster on this machine, as real as any other.
//!
//! Every node is a process of its own, started from this very binary with `serve`, on the loopback
//! interface, on ports that the system gives it. Nothing is simulated: `k 2` is `kill -9`, and `r 2`
//! starts the node again on its ports and its data. The nodes die with this process, however it
//! ends.

mod cluster;
mod fleet;
mod launch;
mod order;
mod process;
mod ready;
#[cfg(test)]
mod tests;

use super::out::{say, say_json};
use super::show::{FileArgs, read, tell_converted};
use super::{Exit, Failure, key, parts, stop_signal};
use crate::show::to_json;
use crate::token::TokenKeys;
use clap::Args;
use cluster::Cluster;
use fleet::Fleet;
use launch::Launcher;
use order::Order;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, Write, stdin};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Most nodes that a machine is asked to carry.
const NODES_MAX: u16 = 16;
/// Lines of input that wait while an order is carried out; beyond them whoever types waits.
const LINES_WAITING: usize = 16;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: u16,
    /// Keep data, logs and cluster.json here [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Load this show instead of the sample
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,
    /// Have each node let go of shows that three others carry once nobody has come to it for them for so long [default: as
    /// serve does]
    #[arg(long, value_name = "S")]
    let_go_after_s: Option<u64>,
    /// When all is ready, print the content of cluster.json as one line instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs a cluster until it is told to stop.
pub(super) fn run(args: &DevArgs) -> Result<Exit, Failure> {
    let show = match &args.show {
        Some(file) => checked_show(file)?,
        None => parts::SAMPLE.to_owned(),
    };
    let dir = Dir::open(args.dir.as_deref())?;
    let keys = dir.keys()?;
    let program = std::env::current_exe()
        .map_err(Failure::of(Exit::Failed, "cannot find this program's own file"))?;
    let launcher = Launcher::new(program, dir.path()).letting_go_after(args.let_go_after_s);
    let fleet = Fleet::new(launcher, args.nodes);
    // One thread: a child that dies with its parent dies with the parent's *thread* that made it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::of(Exit::Failed, "cannot start the runtime"))?;
    let ended = runtime.block_on(supervise(fleet, &show, &keys, args.json));
    runtime.shutdown_background();
    ended.map(|()| Exit::Done)
}

/// A show that every node will take, so that no node is started for one that is refused.
fn checked_show(file: &Path) -> Result<String, Failure> {
    match read(&FileArgs { file: file.to_owned(), format: None })? {
        Ok(import) => {
            tell_converted(file, &import);
            Ok(to_json(&import.script))
        }
        Err(problems) => {
            let told = parts::describe_problems(&problems, &file.display().to_string());
            Err(Failure::new(Exit::Invalid, told))
        }
    }
}

/// Whatever happens in between, all nodes are stopped before this returns.
async fn supervise(
    mut fleet: Fleet,
    show: &str,
    keys: &TokenKeys,
    json: bool,
) -> Result<(), Failure> {
    let ended = tokio::select! {
        ended = drive(&mut fleet, show, keys, json) => ended,
        stop = stop_signal() => stop.map_err(Failure::of(Exit::Failed, "cannot catch signals")),
    };
    fleet.stop().await;
    ended
}

async fn drive(fleet: &mut Fleet, show: &str, keys: &TokenKeys, json: bool) -> Result<(), Failure> {
    fleet.start().await?;
    let mut cluster = Cluster::found(fleet, show, keys).await?;
    cluster.write(fleet.dir())?;
    if json {
        say_json(&cluster)?;
    } else {
        say(&cluster.describe(&fleet.dir().display()))?;
    }
    let mut lines = input();
    loop {
        tokio::select! {
            Some(line) = lines.recv() => match line.parse::<Order>() {
                Ok(Order::Quit) => return Ok(()),
                Ok(order) => obey(fleet, &mut cluster, order).await,
                Err(error) => eprintln!("{error}"),
            },
            text = fleet.next_death() => eprintln!("{text}"),
        }
    }
}

/// Carries out an order; one that cannot be carried out is answered and forgotten.
async fn obey(fleet: &mut Fleet, cluster: &mut Cluster, order: Order) {
    let done = match order {
        Order::Quit => return,
        Order::Kill(number) => fleet.kill(number).await,
        Order::Restart(number) => restart(fleet, cluster, number).await,
    };
    match done {
        Ok(text) => eprintln!("{text}"),
        Err(error) => eprintln!("{error}"),
    }
}

async fn restart(
    fleet: &mut Fleet,
    cluster: &mut Cluster,
    number: usize,
) -> Result<String, Failure> {
    let text = fleet.restart(number).await?;
    cluster.welcome(fleet, number).await?;
    cluster.write(fleet.dir())?;
    Ok(text)
}

/// The lines of stdin. Its end is not an order: a cluster in the background has no input.
fn input() -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel(LINES_WAITING);
    thread::spawn(move || {
        for line in stdin().lock().lines() {
            let Ok(line) = line else { return };
            if to.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The folder of a cluster.
enum Dir {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Dir {
    fn open(asked: Option<&Path>) -> Result<Self, Failure> {
        match asked {
            Some(dir) => {
                let failed = format!("cannot use --dir {}", dir.display());
                let made = fs::create_dir_all(dir).and_then(|()| fs::canonicalize(dir));
                made.map(Dir::Kept).map_err(Failure::of(Exit::Failed, failed))
            }
            None => tempfile::Builder::new()
                .prefix("starling-dev-")
                .tempdir()
                .map(Dir::Temporary)
                .map_err(Failure::of(Exit::Failed, "cannot make a temporary folder")),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Dir::Kept(dir) => dir,
            Dir::Temporary(dir) => dir.path(),
        }
    }

    /// Keys for tokens; the cluster key itself is made once per folder and only its owner reads it.
    fn keys(&self) -> Result<TokenKeys, Failure> {
        let file = self.path().join(launch::KEY_FILE);
        let failed = format!("cannot keep the cluster key in {}", file.display());
        let key = if file.exists() { None } else { Some(key::random()?) };
        let kept = match key {
            Some(key) => {
                let mut options = OpenOptions::new();
                let opened = options.write(true).create_new(true).mode(0o600).open(&file);
                opened.and_then(|mut file| writeln!(file, "{}", key.reveal())).map(|()| key)
            }
            None => fs::read_to_string(&file)
                .and_then(|text| text.parse().map_err(std::io::Error::other)),
        };
        let key = kept.map_err(Failure::of(Exit::Failed, failed))?;
        Ok(TokenKeys::new(&[*key.bytes()]))
    }
}
