//! Watching nodes from within: the stages they show, the digests of their state, what they say of results, and
//! whether other nodes hold what a firm receipt promises.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crdt_state::{EventId, Heads, Mono, PlayerId};
use gossip::network::Network;
use node::engine::{Alarms, EventCore, Owner, Reader, stage_view};
use node::hub::Owners;
use node::service::view::{LiveView, PhaseView, StageView};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::evidence::{LetGo, Notebook, Parting, ResultSeen, Sighting, Unheld, now};
use crate::cluster::{Cluster, Running};
use crate::limits;
use crate::machine::Life;
use crate::recording::Sample;
use crate::results;
use crate::schedule::Knobs;
use crate::spawn::Spawn;

/// How often it is looked into a node: what it holds, and what it says of results.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Claims that are looked at together at most.
const CLAIMS: usize = 1_024;
/// How often a node is asked whether it carries the event by now.
const GLANCE: Duration = Duration::from_millis(20);
/// How often it is looked what a node shows where nobody may wait for it.
const BLINK: Duration = Duration::from_millis(1);

/// Watches nodes, for as long as their lives last.
#[derive(Clone)]
pub(crate) struct Watcher {
    pub(crate) event: EventId,
    pub(crate) notebook: Notebook,
    /// Whether nodes may let go of the show.
    pub(crate) lets_go: bool,
    /// What nodes have dropped, for whoever asks the others about it.
    pub(crate) dropped: mpsc::Sender<Dropped>,
}

/// A node as it is watched: where to look.
struct Post {
    number: u8,
    life: Life,
    owners: Owners,
    network: Network,
    alarms: Arc<Alarms>,
    /// The alarms that were written down.
    raised: BTreeMap<&'static str, u64>,
}

impl Post {
    fn note_alarms(&mut self, notebook: &Notebook) {
        let (number, raised) = (self.number, self.alarms.raised());
        let newly = raised.iter().filter(|(kind, count)| self.raised.get(*kind) != Some(count));
        for (kind, count) in newly {
            let what = format!("node {number} at {:?}: {count} times {kind}", now());
            notebook.write(|evidence| evidence.alarms.push(what));
        }
        self.raised = raised;
    }
}

/// What a node called the result of which run.
type Told = (u32, String);

/// What a look into a node tells.
struct Look {
    digest: u64,
    told: Option<Told>,
    sample: Option<Sample>,
    beyond: Vec<String>,
}

/// All that a node had of the show when it let go of it.
pub(crate) struct Dropped {
    number: u8,
    heads: Heads,
}

impl Watcher {
    /// Begins to watch a node.
    pub(crate) fn watch(&self, running: &Running, number: u8) {
        let (life, owners) = (running.life.clone(), running.node.owners.clone());
        let (network, alarms) = (running.node.network.clone(), running.node.alarms.clone());
        let watcher = self.clone();
        let watching = async move {
            let mut post = Post { number, life, owners, network, alarms, raised: BTreeMap::new() };
            for chapter in 0.. {
                let owner = watcher.owner(&post.owners).await;
                watcher.watch_owner(&mut post, chapter, owner).await;
                sleep(GLANCE).await;
            }
        };
        running.life.spawner().spawn("watch", Box::pin(watching));
        if self.lets_go {
            let (life, owners) = (running.life.clone(), running.node.owners.clone());
            let watching = self.clone().watch_partings(life, number, owners);
            running.life.spawner().spawn("partings", Box::pin(watching));
        }
    }

    /// The owner of the event at a node, once it carries it.
    async fn owner(&self, owners: &Owners) -> Owner {
        loop {
            match owners.get(self.event) {
                Some(owner) => return owner,
                None => sleep(GLANCE).await,
            }
        }
    }

    async fn watch_owner(&self, post: &mut Post, chapter: u64, owner: Owner) {
        let (number, life) = (post.number, post.life.clone());
        let (reader, views) = (owner.reader(), owner.views.host.clone());
        // Whoever holds on to any view wants the event, so that it would be let go of nowhere.
        drop(owner);
        let mut views = Some(views).filter(|_| !self.lets_go);
        let (mut shown, mut told, mut look_due) = (None, None, Instant::now());
        loop {
            let seen = match &mut views {
                Some(views) => glance(&views.borrow_and_update().live),
                None => match post.owners.get(self.event) {
                    Some(owner) if owner.has_arrived() => glance(&owner.views.host.borrow().live),
                    Some(_) => {
                        sleep(BLINK).await;
                        continue;
                    }
                    None => return,
                },
            };
            let (stage, age_ms, question) = seen;
            if shown.replace(stage) != Some(stage) {
                // What a node shows may begin anew each time that it comes back to the event.
                let (at, chapter) = (now(), chapter << 32 | life.number());
                let sighting =
                    Sighting { at, node: number, life: chapter, stage, question, age_ms };
                self.notebook.write(|evidence| evidence.sightings.push(sighting));
                life.note("stage", u64::from(stage.instance) << 8 | stage.phase as u64);
            }
            if Instant::now() >= look_due {
                look_due = Instant::now() + LOOK_EVERY;
                let Some(look) = self.look(&reader, post, told.clone()).await else { return };
                told = look.told;
                life.note("digest", look.digest);
                look.sample.into_iter().for_each(|sample| life.sample(sample));
                note_limits(number, look.beyond, &post.network, &self.notebook);
                post.note_alarms(&self.notebook);
            }
            match &mut views {
                Some(views) => tokio::select! { biased;
                    changed = views.changed() => if changed.is_err() { return },
                    () = sleep_until(look_due) => {}
                },
                None => sleep(BLINK).await,
            }
        }
    }

    /// Looks at what a node has, and writes down what it calls its result now; nothing if its owner is gone.
    async fn look(&self, reader: &Reader, post: &Post, told: Option<Told>) -> Option<Look> {
        let (notebook, node, draws) = (self.notebook.clone(), post.number, post.life.is_drawn());
        let read = reader.read(move |core, _, mono| {
            let digest = core.digest();
            notebook.write(|evidence| evidence.note_digest(node, now(), core.heads(), digest));
            let result = result(core, mono, node, told.as_ref(), &notebook);
            let shown = stage_view(core.state().stage()).instance;
            let newly = result.as_ref().map(|seen| (shown, seen.status.clone()));
            notebook.write(|evidence| evidence.results.extend(result));
            let beyond = limits::of_replica(core.replica(), Knobs::default());
            let sample = draws.then(|| Sample::of(core, node));
            Look { digest, told: newly.or(told), sample, beyond }
        });
        read.await
    }

    /// From when to when the node is about to let go of the show, and whether it does.
    async fn watch_partings(self, life: Life, number: u8, owners: Owners) {
        loop {
            let owner = self.owner(&owners).await;
            let (reader, arrived) = (owner.reader(), owner.arrived.clone());
            drop(owner);
            let is_same = |owner: Owner| owner.arrived.same_channel(&arrived);
            while owners.get(self.event).is_some_and(is_same) {
                sleep(GLANCE).await;
            }
            let (from, mut last) = (now(), None);
            while let Some(heads) = reader.read(|core, _, _| core.heads().clone()).await {
                last = Some(heads);
                sleep(GLANCE).await;
            }
            // Whoever carries on after all has another owner by then.
            sleep(GLANCE).await;
            self.notebook.write(|evidence| {
                evidence.partings.push(Parting { node: number, from, to: now() });
            });
            if let Some(heads) = last.filter(|_| owners.get(self.event).is_none()) {
                life.note("carries", 0);
                self.notebook.tell(format!("node {number} lets go of the show"));
                // Whoever asks lives as long as the run.
                let _ = self.dropped.send(Dropped { number, heads }).await;
            }
        }
    }
}

/// What a node calls the result that it shows, if it was not written down so or has become untrue.
fn result(
    core: &EventCore,
    mono: Mono,
    node: u8,
    told: Option<&Told>,
    notebook: &Notebook,
) -> Option<ResultSeen> {
    let shown = stage_view(core.state().stage());
    let same_run = |told: &&Told| told.0 == shown.instance;
    let is_final = told.filter(same_run).is_some_and(|(_, status)| status == "final");
    if shown.phase <= PhaseView::Open || is_final {
        return None;
    }
    let (instance, status) = results::told(core, mono, shown)?;
    let missing = match status.as_str() {
        "settled" | "final" => {
            let promised = notebook.write(|seen| seen.promised.get(&instance).cloned());
            results::uncounted(core, instance, promised.unwrap_or_default())
        }
        _ => Vec::new(),
    };
    let is_told = told.filter(same_run).is_some_and(|(_, told)| *told == status);
    if is_told && missing.is_empty() {
        return None;
    }
    let (at, answered) = (now(), core.state().answered(instance));
    let held = (status == "final").then(|| results::held(core, instance));
    Some(ResultSeen { at, node, instance, status, answered, held, missing })
}

/// What a node shows: the stage, how long the round has been open, and which question it is.
fn glance(live: &LiveView) -> (StageView, Option<u64>, Option<u32>) {
    (live.stage, live.age_ms, live.question.as_ref().map(|question| question.number))
}

/// Asks the other nodes whether they have all that a node has dropped.
pub(crate) async fn holders(
    cluster: Rc<RefCell<Cluster>>,
    event: EventId,
    notebook: Notebook,
    mut drops: mpsc::Receiver<Dropped>,
) {
    while let Some(Dropped { number, heads }) = drops.recv().await {
        let others: Vec<(u8, Owner)> = {
            let cluster = cluster.borrow();
            let owner = |(of, running): (u8, &Arc<Running>)| Some((of, running.owner(event)?));
            cluster.running().filter_map(owner).filter(|(of, _)| *of != number).collect()
        };
        let mut holders = Vec::new();
        for (of, owner) in others {
            let heads = heads.clone();
            let has = owner.read(move |core, _, _| *core.heads() >= heads);
            if has.await == Some(true) {
                holders.push(of);
            }
        }
        let at = now();
        notebook.write(|evidence| evidence.let_go.push(LetGo { at, node: number, holders }));
    }
}

fn note_limits(number: u8, mut beyond: Vec<String>, network: &Network, notebook: &Notebook) {
    notebook.write(|evidence| {
        beyond.extend(limits::of_network(&network.stats(), &evidence.plan));
        let at = now();
        let grown = beyond.into_iter().map(|what| format!("node {number} holds {what} at {at:?}"));
        evidence.overgrown.extend(grown);
    });
    note_queues(notebook);
}

/// Notes what queues have held beyond their bounds. All nodes share a thread: which one it was the story tells.
pub(super) fn note_queues(notebook: &Notebook) {
    let at = now();
    let grown = limits::of_queues().map(|what| format!("a node has held {what} by {at:?}"));
    notebook.write(|evidence| evidence.overgrown.extend(grown));
}

/// The digest of a node's state; nothing if its owner is gone.
pub(crate) async fn digest(owner: &Owner) -> Option<u64> {
    owner.read(|core, _, _| core.digest()).await
}

/// Asks the other nodes about every firm receipt the moment it comes: it promises that one of them
/// holds the answer. All are asked where that may matter.
pub(crate) async fn witness(
    cluster: Rc<RefCell<Cluster>>,
    event: EventId,
    notebook: Notebook,
    mut firm: mpsc::Receiver<Unheld>,
) {
    let all = notebook.write(|evidence| evidence.plan.may_forget());
    let mut claims = Vec::new();
    while firm.recv_many(&mut claims, CLAIMS).await > 0 {
        let owners: Vec<(u8, Owner)> = {
            let cluster = cluster.borrow();
            let owner =
                |(number, running): (u8, &Arc<Running>)| Some((number, running.owner(event)?));
            cluster.running().filter_map(owner).collect()
        };
        let copies = notebook.write(|evidence| evidence.plan.copies());
        let mut asked: Vec<Claim> = claims.drain(..).map(|claim| (claim, Vec::new())).collect();
        // Whoever is asked about all that came at once answers for as many as possible.
        for (number, owner) in owners {
            let of = |(claim, held_by): &&mut Claim| {
                claim.receipt.node != number && (all || held_by.len() + 1 < copies)
            };
            ask(number, &owner, asked.iter_mut().filter(of).collect()).await;
        }
        notebook.write(|evidence| {
            evidence.asked += asked.len() as u64;
            for (claim, held_by) in asked {
                if all {
                    evidence.note_holders(claim.player, &claim.receipt, &held_by);
                }
                if held_by.len() + 1 < copies {
                    evidence.unheld.push(claim);
                }
            }
        });
    }
}

/// A firm receipt, and the other nodes that hold what it promises.
type Claim = (Unheld, Vec<u8>);

/// Notes what a node holds of what is claimed; nothing if it is gone.
async fn ask(number: u8, owner: &Owner, claims: Vec<&mut Claim>) {
    if claims.is_empty() {
        return;
    }
    let asked: Vec<(PlayerId, u32)> =
        claims.iter().map(|(claim, _)| (claim.player, claim.receipt.instance)).collect();
    let read = owner.read(move |core, _, _| {
        let state = core.state();
        let held = |(player, instance): &(PlayerId, u32)| {
            state.held(*instance, state.players.rows_of(*player)).is_some()
        };
        asked.iter().map(held).collect::<Vec<bool>>()
    });
    let held = read.await.unwrap_or_default();
    let held = claims.into_iter().zip(held).filter(|(_, held)| *held);
    held.for_each(|((_, held_by), _)| held_by.push(number));
}
