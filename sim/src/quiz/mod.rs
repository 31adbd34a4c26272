//! The quiz: three whole nodes, a hundred players and a host on virtual time, through one crash and
//! one partition, to an end on which all agree.
//!
//! Phases: the cluster forms, the show is imported, players join; the show runs while things go
//! wrong; everything is mended, and then the show must have ended and all nodes must agree within a
//! bound. What was seen goes to the checkers.

pub mod evidence;
mod faults;
pub(crate) mod host;
mod mqtt;
mod nuisance;
mod player;
mod readings;
pub(crate) mod ruling;
mod watch;

pub(crate) use self::player::leaks;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crdt_state::{EventId, LaneId, Origin};
use futures_util::future::join_all;
use node::engine::{CARRIERS, EventCore};
use node::service::view::{Command, CommandRequest, Imported, PhaseView, Refusal, StageView};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch as place};
use tokio::time::{Instant, timeout};

use self::evidence::{End, Evidence, Notebook, all_entries};
use self::faults::{Faults, seeds};
use self::host::{Host, Place, is_over};
use self::player::{Ticket, play};
use self::readings::Readings;
use self::ruling::Ruler;
use self::watch::{Watcher, digest, holders, witness};
use crate::cluster::{BootError, Cluster, STORE, boot};
use crate::fork::Fork;
use crate::link::Link;
use crate::mix::Draw;
use crate::results;
use crate::schedule::{Question, Schedule, Victim};
use crate::spawn::Spawn;
use crate::state::NodeState;
use crate::world::World;

/// How long the cluster may take to form, and the show to be known everywhere.
const FORM_MAX: Duration = Duration::from_secs(20);
/// How long players may take to join before the first question.
const JOIN_MAX: Duration = Duration::from_secs(8);
/// How long all may take to agree once everything is mended: three times the longest redial.
const AGREE_MAX: Duration = Duration::from_secs(15);
/// What players may still hear after that.
const LINGER: Duration = Duration::from_secs(1);
/// How long players may take after that to have been told what became of all that they sent: a silence, a
/// reconnect, and some attempts.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(50);
/// How long a node may take to say what it has.
const READ_MAX: Duration = Duration::from_millis(200);
/// Between players and nodes a packet is lost now and then.
const ACCESS_LOSS: f64 = 0.002;
/// How long a stream waits for an answer, as servers and browsers have it.
const STREAM_PATIENCE: Duration = Duration::from_secs(5);
/// Room for all firm receipts of a run: a few for each of four answers of each player.
const CLAIMS: usize = 65_536;
/// Room for nodes that let go of the show at once.
const DROPS: usize = 64;

/// A run that did not come as far as being judged.
#[derive(Debug, Error)]
pub enum Broken {
    /// A node does not start.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The nodes do not find each other, or the show does not reach them.
    #[error("after {FORM_MAX:?} {what}")]
    Unformed {
        /// What is missing.
        what: &'static str,
    },
    /// The show is not taken.
    #[error("the show is refused: {0}")]
    Refused(Refusal),
}

/// Runs the quiz, at most until then, and returns what was seen. Where it leaves its past other things go wrong.
///
/// # Errors
/// If the cluster never stood.
pub async fn quiz(
    world: World,
    plan: Schedule,
    until: Option<Duration>,
    fork: Option<Fork>,
) -> Result<Evidence, Broken> {
    let notebook = Notebook::new(plan.clone());
    set_weather(&world, &plan);
    copy_disks(&world, &plan, fork);
    let cluster = form(&world, &plan).await?;
    let (imported, home) = import(&world, &cluster, &plan).await?;
    notebook.tell(format!("the cluster stands, the show is imported at node {home}"));
    let (event, pin) = (imported.event, imported.pin);
    let (dropped, drops) = mpsc::channel(DROPS);
    let lets_go = plan.let_go_after_ms.is_some();
    let watcher = Watcher { event, notebook: notebook.clone(), lets_go, dropped };
    let quiz = Quiz { world, plan, fork, notebook, cluster, event, pin, watcher };
    let (firm, claims) = mpsc::channel(CLAIMS);
    let witness = witness(quiz.cluster.clone(), quiz.event, quiz.notebook.clone(), claims);
    let holders = holders(quiz.cluster.clone(), quiz.event, quiz.notebook.clone(), drops);
    quiz.watch();
    quiz.open_lobby(home).await?;
    quiz.let_players_in(&firm).await;
    let story = quiz.play(home);
    let stop = until.map(|until| quiz.world.sleep(until.saturating_sub(quiz.world.elapsed())));
    let played = tokio::select! { biased;
        () = witness => unreachable!("the quiz itself holds the other end"),
        () = holders => unreachable!("the quiz itself holds the other end"),
        () = async { stop.expect("it is asked for").await }, if until.is_some() => quiz.stop(),
        played = story => played,
    };
    drop(firm);
    played?;
    if until.is_some() {
        quiz.write_states().await;
    }
    watch::note_queues(&quiz.notebook);
    Ok(quiz.notebook.read())
}

fn set_weather(world: &World, plan: &Schedule) {
    world.net().set_between_nodes(plan.weather.link());
    world.net().set_access(Link { loss: ACCESS_LOSS, ..Link::ACCESS });
    world.net().set_stream_patience(STREAM_PATIENCE);
    for (number, skew_ms) in plan.first_nodes().zip(&plan.skews_ms) {
        world.node(number).set_skew_ns(skew_ms * 1_000_000);
    }
}

/// Copies are made of every disk of which an old one may come back; in another future that may be any.
fn copy_disks(world: &World, plan: &Schedule, fork: Option<Fork>) {
    let copy = |number: u8| world.node(number).copy_disk(STORE);
    let old = plan.faults.iter().flat_map(|planned| planned.fault.old_disks());
    if fork.is_some() || old.clone().any(|victim| *victim == Victim::HostsNode) {
        return (1..=plan.nodes_ever()).for_each(copy);
    }
    old.filter_map(Victim::number).for_each(copy);
}

/// Starts the nodes and waits until each is linked with all others.
async fn form(world: &World, plan: &Schedule) -> Result<Rc<RefCell<Cluster>>, Broken> {
    let mut cluster = Cluster::new(world.clone());
    for number in plan.first_nodes() {
        let seeds = seeds(plan, number);
        let start = faults::start(plan, &seeds, plan.programs().0);
        cluster.insert(number, boot(world, number, start).await?);
    }
    let linked = |cluster: &Cluster| {
        cluster.running().all(|(_, r)| r.node.network.peers().len() == usize::from(plan.nodes) - 1)
    };
    match within(FORM_MAX, || linked(&cluster)).await {
        true => Ok(Rc::new(RefCell::new(cluster))),
        false => Err(Broken::Unformed { what: "the nodes are not linked" }),
    }
}

/// Imports the show at a node, and waits until enough carry it.
async fn import(
    world: &World,
    cluster: &RefCell<Cluster>,
    plan: &Schedule,
) -> Result<(Imported, u8), Broken> {
    let dice = Draw::new(world.seed(), &[u64::from_be_bytes(*b"the home")]);
    let home = 1 + dice.up_to(0, u64::from(plan.nodes) - 1) as u8;
    let at = cluster.borrow().node(home).ok_or(Broken::Unformed { what: "a node is gone" })?;
    let imported = at.hosts().import(&plan.show()).await.map_err(Broken::Refused)?;
    let carried = || carriers(&cluster.borrow(), imported.event) >= CARRIERS.min(plan.nodes.into());
    match within(FORM_MAX, carried).await {
        true => Ok((imported, home)),
        false => Err(Broken::Unformed { what: "the show is carried by too few nodes" }),
    }
}

/// How many nodes carry an event.
fn carriers(cluster: &Cluster, event: EventId) -> usize {
    cluster.running().filter(|(_, running)| running.owner(event).is_some()).count()
}

/// What an export says of the event as a whole.
fn first_line(export: &[u8]) -> String {
    let line = export.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

async fn within(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if holds() {
            return true;
        }
        tokio::time::sleep(GLANCE).await;
    }
    false
}

struct Quiz {
    world: World,
    plan: Schedule,
    fork: Option<Fork>,
    notebook: Notebook,
    cluster: Rc<RefCell<Cluster>>,
    event: EventId,
    pin: String,
    watcher: Watcher,
}

impl Quiz {
    fn watch(&self) {
        for (number, running) in self.cluster.borrow().running() {
            self.watcher.watch(running, number);
        }
    }

    async fn open_lobby(&self, home: u8) -> Result<(), Broken> {
        let running = self.cluster.borrow().node(home);
        let running = running.ok_or(Broken::Unformed { what: "a node is gone" })?;
        let expected = StageView { instance: 0, phase: PhaseView::Draft };
        let request = CommandRequest::new(Command::Lobby, expected);
        running.hosts().command(self.event, request).await.map_err(Broken::Refused)?;
        Ok(())
    }

    /// Starts the players and waits until all have joined, or long enough.
    async fn let_players_in(&self, firm: &mpsc::Sender<evidence::Unheld>) {
        let readings = Readings::default();
        let questions: Arc<[Question]> = self.plan.questions.clone().into();
        for number in 1..=u16::try_from(self.plan.players).expect("there are not too many") {
            let life = self.world.player(number).boot();
            let ticket = Ticket {
                seed: self.world.seed(),
                number,
                pin: self.pin.clone(),
                nodes: self.plan.nodes,
                habits: self.plan.habits,
                questions: questions.clone(),
                notebook: self.notebook.clone(),
                readings: readings.clone(),
                firm: firm.clone(),
            };
            life.spawner().clone().spawn("player", Box::pin(play(life, ticket)));
        }
        let joined = |evidence: &mut Evidence| {
            evidence.players.values().filter(|player| player.joined.is_some()).count()
        };
        within(JOIN_MAX, || self.notebook.write(joined) == self.plan.players as usize).await;
        self.notebook.tell(format!("{} players have joined", self.notebook.write(joined)));
    }

    /// The show with its faults, then the time in which all must agree.
    async fn play(&self, home: u8) -> Result<(), Broken> {
        let stage = StageView { instance: 0, phase: PhaseView::Lobby };
        let (place, places) = place::channel(Place { node: home, stage });
        let place = Rc::new(place);
        let hosts = (0..self.plan.habits.hosts).map(|number| {
            let host = Host {
                number,
                seed: self.world.seed(),
                event: self.event,
                cluster: self.cluster.clone(),
                notebook: self.notebook.clone(),
                place: place.clone(),
                habits: self.plan.habits,
                ruler: self.plan.habits.ruling.then(|| Ruler::new(number + 1)),
                players: self.plan.players,
            };
            host.drive(stage)
        });
        let hosts: Vec<_> = hosts.collect();
        // Faults wait for what hosts see for as long as there is one.
        drop(place);
        let faults = Faults {
            world: self.world.clone(),
            cluster: self.cluster.clone(),
            notebook: self.notebook.clone(),
            watcher: self.watcher.clone(),
            place: places,
            storms: RefCell::default(),
            lasting: RefCell::default(),
            program: Cell::new(self.plan.programs().0),
            schedule: self.plan.clone(),
            fork: self.fork,
            over: Notify::new(),
            begun: RefCell::default(),
        };
        let hosts = async {
            join_all(hosts).await;
            faults.over.notify_one();
        };
        let (mended, ()) = tokio::join!(faults.run(), hosts);
        mended?;
        self.agree().await;
        self.world.sleep(LINGER).await;
        let settled = || self.notebook.write(|evidence| evidence.unsettled().is_empty());
        within(SETTLE_MAX, settled).await;
        Ok(())
    }

    /// Waits until all nodes are at the end and write the same; writes down what each has, in any case.
    async fn agree(&self) {
        let end = Instant::now() + AGREE_MAX;
        loop {
            let ends = self.ends().await;
            let agreed = ends.is_some();
            if agreed || Instant::now() >= end {
                self.notebook.tell(if agreed {
                    "all nodes agree"
                } else {
                    "the nodes do not agree"
                });
                return self.write_ends(agreed).await;
            }
            self.world.sleep(GLANCE * 4).await;
        }
    }

    /// What all nodes have, if it is the same, final, and the end.
    async fn ends(&self) -> Option<()> {
        // To export is dear, and useless before all have the same.
        if !self.are_equal().await {
            return None;
        }
        let (mut first, ends) = (None, self.each_end().await);
        // One that has just begun to carry the event may say nothing yet.
        let (carriers, running) = {
            let cluster = self.cluster.borrow();
            (carriers(&cluster, self.event), cluster.running().count())
        };
        if ends.len() < carriers || carriers < CARRIERS.min(running) {
            return None;
        }
        for (_, end, stage) in ends {
            let is_final = self.notebook.write(|evidence| evidence.plan.loses_a_node())
                || first_line(&end.export).contains("\"status\":\"final\"");
            let (digest, export) = first.get_or_insert((end.digest, end.export.clone()));
            if !is_final || !is_over(stage) || (*digest, &*export) != (end.digest, &end.export) {
                return None;
            }
        }
        first.map(drop)
    }

    /// Whether all nodes are at the end and hold the same.
    async fn are_equal(&self) -> bool {
        let nodes: Vec<_> = self.cluster.borrow().running().map(|(_, r)| r.clone()).collect();
        let mut first = None;
        for running in nodes {
            // Not every node carries the event.
            let Some(owner) = running.owner(self.event) else { continue };
            let Some(digest) = digest(&owner).await else { return false };
            let stage = owner.views.host.borrow().live.stage;
            if !is_over(stage) || *first.get_or_insert(digest) != digest {
                return false;
            }
        }
        self.ghosts().await.is_empty()
    }

    /// Who is called reachable, linked or alive by a node and is not there.
    async fn ghosts(&self) -> Vec<String> {
        let nodes: Vec<_> =
            self.cluster.borrow().running().map(|(number, r)| (number, r.clone())).collect();
        let mut alive: BTreeSet<Origin> = nodes.iter().map(|(_, r)| r.node.facts.origin).collect();
        // Whoever has come back to the event writes under another name there.
        for (_, running) in &nodes {
            let Some(owner) = running.owner(self.event) else { continue };
            alive.extend(owner.read(|core, _, _| core.replica().me()).await);
        }
        let mut called = Vec::new();
        for (number, running) in nodes {
            let pin = self.pin.clone();
            let reachable = match running.owner(self.event) {
                None => None,
                Some(owner) => {
                    let host = move |core: &EventCore, now| {
                        core.host_view(core.screen_view(now, &pin)).enrolled
                    };
                    owner.read(move |core, _, now| host(core, now)).await
                }
            };
            let reachable = reachable.into_iter().flatten().filter(|carrier| carrier.reachable);
            let network = &running.node.network;
            let members = network.members().borrow().clone().into_iter().filter(|m| m.live);
            let all = reachable.map(|carrier| ("reachable", carrier.origin));
            let all = all.chain(network.peers().into_iter().map(|peer| ("linked", peer.origin)));
            let all = all.chain(members.map(|member| ("alive", member.origin)));
            called.extend(all.map(|(word, origin)| (number, word, origin)));
        }
        let ghosts = called.into_iter().filter(|(.., origin)| !alive.contains(origin));
        ghosts.map(|(node, word, origin)| format!("node {node} calls {origin} {word}")).collect()
    }

    /// What some node has on disk of every lane, if none of it is in a snapshot.
    async fn entries(&self) -> Option<BTreeMap<(LaneId, u64), Bytes>> {
        let nodes: Vec<_> = self.cluster.borrow().running().map(|(_, r)| r.clone()).collect();
        for running in nodes {
            let Some(owner) = running.owner(self.event) else { continue };
            let heads = owner.read(|core, _, _| core.heads().clone()).await;
            let kept = running.node.store.read(self.event).await;
            let entries = kept.zip(heads).and_then(|(kept, heads)| all_entries(kept, &heads));
            if entries.is_some() {
                return entries;
            }
        }
        None
    }

    async fn write_ends(&self, agreed: bool) {
        let ends = self.each_end().await;
        let ghosts = self.ghosts().await;
        let entries = if agreed { self.entries().await } else { None };
        let cluster = self.cluster.borrow();
        let aside = cluster.running().filter(|(_, running)| running.owner(self.event).is_none());
        // Whoever was to join in a question that was never asked has not.
        let last = self.notebook.write(|evidence| evidence.plan.last_nodes());
        let never = last.into_iter().filter(|number| !cluster.has_joined(*number));
        let aside = aside.map(|(number, _)| number).chain(never).collect();
        self.notebook.write(|evidence| {
            evidence.aside = aside;
            evidence.ghosts.extend(ghosts);
            evidence.entries = entries.unwrap_or_default();
            for (number, end, stage) in ends {
                if !agreed {
                    evidence.stuck.push(format!(
                        "node {number} is at {stage:?} with digest {:016x} {AGREE_MAX:?} after all was mended: {}",
                        end.digest,
                        first_line(&end.export)
                    ));
                }
                evidence.ends.insert(number, end);
            }
        });
    }

    /// Nothing of the show goes on.
    fn stop(&self) -> Result<(), Broken> {
        self.notebook.tell("the run is stopped");
        self.notebook.write(|evidence| evidence.stopped = Some(evidence::now()));
        Ok(())
    }

    /// Writes down what each node has now; one that is frozen says nothing.
    async fn write_states(&self) {
        let pin = self.pin.clone();
        let nodes: Vec<_> = self.cluster.borrow().running().map(|(n, r)| (n, r.clone())).collect();
        let read = nodes.into_iter().filter_map(|(number, running)| {
            let (owner, pin) = (running.owner(self.event)?, pin.clone());
            Some(async move {
                let state = owner.read(move |core, _, now| NodeState::of(core, now, &pin));
                Some((number, timeout(READ_MAX, state).await.ok()??))
            })
        });
        for (number, state) in join_all(read).await.into_iter().flatten() {
            self.notebook.write(|evidence| evidence.states.insert(number, state));
        }
    }

    async fn each_end(&self) -> Vec<(u8, End, StageView)> {
        let nodes: Vec<_> =
            self.cluster.borrow().running().map(|(number, r)| (number, r.clone())).collect();
        let mut ends = Vec::new();
        for (number, running) in nodes {
            let Some(owner) = running.owner(self.event) else { continue };
            let Some(digest) = digest(&owner).await else { continue };
            let read = owner.read(|core, _, _| (core.log(), results::all_held(core)));
            let (log, held) = read.await.unwrap_or_default();
            let trail = log.into_iter().map(|line| line.by).collect();
            let Ok(export) = running.hosts().export(self.event).await else { continue };
            running.life.note("export", xxhash_rust::xxh3::xxh3_64(&export));
            running.life.note("digest", digest);
            let stage = owner.views.host.borrow().live.stage;
            ends.push((number, End { digest, export, trail, held }, stage));
        }
        ends
    }
}
