//! `starling rehearse`: a whole show with a built-in crowd, against real nodes.
//!
//! The crowd are real MQTT clients, spread over all nodes, and the host is a real client of the API: what a
//! rehearsal shows is what an audience will get. A show that runs by itself is left to do so. It ends by itself, with
//! the show or with its time.

mod crowd;
mod mqtt;
mod report;
#[cfg(test)]
mod tests;

use super::client::{Client, ClientError, NodeArgs};
use super::out::{say, say_json};
use super::parts::describe_problems;
use super::progress::Progress;
use super::show::{FileArgs, read, tell_converted};
use super::{Exit, Failure, files};
use crate::service::view::{
    Autopilot, Command, CommandReply, CommandRequest, HostView, Imported, PhaseView, PinView,
};
use crate::show::import::Format;
use crate::show::to_json;
use clap::Args;
use crdt_state::EventId;
use crowd::{Game, Record};
use report::Report;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Most players of one process: each has a socket, and systems give a process some 65,000.
const PLAYERS_MAX: i64 = 50_000;
/// How often the host looks.
const LOOK: Duration = Duration::from_millis(100);
/// Players that begin to join within a second: no crowd types its names in the same millisecond.
const JOINS_PER_S: f64 = 500.0;
/// How long the host waits for the last of the crowd to join.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct RehearseArgs {
    /// The show to play, in any format that `show check` reads; a new event is made of it
    #[arg(value_name = "FILE", required_unless_present = "event", conflicts_with = "event")]
    file: Option<PathBuf>,
    /// Play an event that has not begun instead
    #[arg(long, value_name = "ID", requires = "host_token")]
    event: Option<EventId>,
    /// The token of that event's host
    #[arg(long, value_name = "TOKEN", env = "STARLING_HOST_TOKEN", hide_env_values = true)]
    host_token: Option<String>,
    /// How the file is read [default: by its extension, else by its content]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many play
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=PLAYERS_MAX))]
    players: u32,
    /// The longest that a player thinks, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    think_ms: u64,
    /// Break off after so many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    minutes: u64,
    /// Chooses the answers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The event that is played, as its host.
struct Stage {
    client: Client,
    event: EventId,
    view: HostView,
}

/// Plays, and says how it went.
pub(super) fn run(args: &RehearseArgs) -> Result<Exit, Failure> {
    // A player is one.
    files::raise();
    let Some(mut stage) = Stage::set(args)? else { return Ok(Exit::Invalid) };
    let pin: PinView = stage.client.get(&format!("/api/v1/pins/{}", stage.view.live.pin))?;
    if pin.nodes.is_empty() {
        return Err(Failure::new(Exit::Failed, "no node of the cluster takes players"));
    }
    let game = Arc::new(Game {
        event: stage.event,
        pin: pin.pin,
        nodes: pin.nodes,
        think: Duration::from_millis(args.think_ms),
        seed: args.seed,
        joined: AtomicUsize::new(0),
        told: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of(Exit::Failed, "cannot start the runtime"))?;
    let crowd = runtime.spawn(gather(Arc::clone(&game), args.players as usize));
    let deadline = Instant::now() + Duration::from_secs(args.minutes * 60);
    let played = stage.play(&game, args, deadline);
    let patience = if played.is_ok() { JOIN_PATIENCE } else { Duration::ZERO };
    let records = runtime.block_on(async { tokio::time::timeout(patience, crowd).await });
    runtime.shutdown_background();
    played?;
    let records = match records {
        Ok(Ok(records)) => records,
        _ => return Err(Failure::new(Exit::Failed, "the crowd did not see the end of the show")),
    };
    conclude(&stage, &records, game.joined.load(Relaxed), args.json)
}

/// Lets everybody in, and waits until all have left.
async fn gather(game: Arc<Game>, players: usize) -> Vec<Record> {
    let mut tasks = JoinSet::new();
    for number in 0..players {
        let (game, wait) = (Arc::clone(&game), number as f64 / JOINS_PER_S);
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
            crowd::play(game, number).await
        });
    }
    tasks.join_all().await
}

fn conclude(stage: &Stage, records: &[Record], joined: usize, json: bool) -> Result<Exit, Failure> {
    let mut export = String::new();
    let path = format!("/api/v1/events/{}/export", stage.event);
    let mut body = stage.client.download(&path)?;
    body.read_to_string(&mut export).map_err(Failure::of(Exit::Failed, "the export broke off"))?;
    let report = Report::new(records, joined, &export);
    if json {
        say_json(&report)?;
    } else {
        say(&report.describe())?;
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
}

impl Stage {
    /// Makes the event, or finds it; nothing if the show has problems, which have been told.
    fn set(args: &RehearseArgs) -> Result<Option<Self>, Failure> {
        let (event, token) = match (&args.file, args.event, &args.host_token) {
            (Some(file), ..) => {
                let file = FileArgs { file: file.clone(), format: args.format };
                let show = match read(&file)? {
                    Ok(import) => {
                        tell_converted(&file.file, &import);
                        to_json(&import.script)
                    }
                    Err(problems) => {
                        let name = file.file.display().to_string();
                        eprintln!("{}", describe_problems(&problems, &name));
                        return Ok(None);
                    }
                };
                let made: Imported = Client::new(&args.node).post("/api/v1/events", &show)?;
                (made.event, made.host_token)
            }
            (None, Some(event), Some(token)) => (event, token.clone()),
            _ => return Err(Failure::new(Exit::Failed, "neither a file nor an event is given")),
        };
        let node = NodeArgs { token: Some(token), ..args.node.clone() };
        let client = Client::new(&node);
        let view: HostView = client.get(&format!("/api/v1/events/{event}"))?;
        Ok(Some(Stage { client, event, view }))
    }

    /// Drives the show to its end.
    fn play(&mut self, game: &Game, args: &RehearseArgs, deadline: Instant) -> Result<(), Failure> {
        let live = &self.view.live;
        // The bar is for terminals; whoever else waits is told once that it goes on.
        let by = match self.view.autopilot {
            Autopilot::Off => "",
            Autopilot::Rounds => "; the show runs by itself once it has begun",
            Autopilot::Whole => "; the show runs by itself, nobody drives it",
        };
        eprintln!("playing event {}, PIN {}: {} players{by}", self.event, live.pin, args.players);
        let questions = self.view.questions.as_ref().map_or(0, |script| script.len()) as u64;
        let progress = Progress::steps("playing", questions);
        let patience = Duration::from_secs_f64(f64::from(args.players) / JOINS_PER_S);
        let joined_by = Instant::now() + patience + JOIN_PATIENCE;
        while self.view.live.stage.phase < PhaseView::Ended {
            if Instant::now() > deadline {
                return Err(Failure::new(Exit::Failed, "the show did not end within its minutes")
                    .hint("give it more with --minutes"));
            }
            let question = self.view.live.question.as_ref().map_or(0, |it| it.number);
            progress.set(u64::from(question), questions);
            let all = game.joined.load(Relaxed) >= args.players as usize;
            if let Some(command) = self.next(game, all || Instant::now() > joined_by) {
                self.command(command)?;
            } else {
                std::thread::sleep(LOOK);
            }
            self.view =
                self.client.get(&format!("/api/v1/events/{}?questions=false", self.event))?;
        }
        Ok(())
    }

    /// What a host would do now, if anything.
    fn next(&self, game: &Game, gathered: bool) -> Option<Command> {
        let live = &self.view.live;
        let (told, joined) = (game.told(live.stage.instance), game.joined.load(Relaxed));
        let all_answered = joined > 0 && told >= joined;
        let step = match self.view.autopilot {
            Autopilot::Off => next_step(live.stage.phase, gathered, all_answered),
            own => begin(own, live.stage.phase, gathered),
        };
        step.iter().find(|command| self.view.next.contains(command)).copied()
    }

    /// Presses a button; that somebody else has pressed it, or that the show has moved on, is no failure.
    fn command(&self, command: Command) -> Result<(), Failure> {
        let request = CommandRequest::new(command, self.view.live.stage);
        let body = serde_json::to_string(&request).expect("a command is JSON");
        let path = format!("/api/v1/events/{}/commands", self.event);
        match self.client.post::<CommandReply>(&path, &body) {
            Ok(_) => Ok(()),
            Err(ClientError::Refused { refusal, .. })
                if matches!(
                    refusal.code.as_str(),
                    "stage_moved" | "not_possible" | "window_open"
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What a host does in a show that runs by itself: no more than begin it, where it does not do that too. So the rehearsal
/// is of what will happen when nobody is there.
fn begin(autopilot: Autopilot, phase: PhaseView, gathered: bool) -> &'static [Command] {
    match (autopilot, phase) {
        (Autopilot::Whole, _) => &[],
        (_, PhaseView::Draft) => &[Command::Lobby],
        (_, PhaseView::Lobby) if gathered => &[Command::Next],
        _ => &[],
    }
}

/// What a host would do in a phase, what it likes best first: kinds differ in what follows their tallies, so the
/// first of these that the node offers is the one.
fn next_step(phase: PhaseView, gathered: bool, all_answered: bool) -> &'static [Command] {
    match phase {
        PhaseView::Draft => &[Command::Lobby],
        PhaseView::Lobby if gathered => &[Command::Next],
        PhaseView::Intro => &[Command::Open],
        PhaseView::Open if all_answered => &[Command::Close],
        PhaseView::Closed => &[Command::Tallies],
        PhaseView::Tallies => &[Command::Reveal, Command::Leaderboard, Command::Next],
        PhaseView::Reveal | PhaseView::Board => &[Command::Next],
        _ => &[],
    }
}
