//! Watching nodes from within: the stages they show, the digests of their state, and whether other
//! nodes hold what a firm receipt promises.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crdt_state::{EventId, PlayerId};
use gossip::network::Network;
use node::engine::Owner;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::evidence::{Notebook, Sighting, Unheld, now};
use crate::cluster::{Cluster, Running};
use crate::limits;
use crate::machine::Life;
use crate::recording::Sample;
use crate::schedule::Knobs;
use crate::spawn::Spawn;

/// How often a node's digest goes into the trace.
const DIGEST_EVERY: Duration = Duration::from_millis(500);
/// Claims that are looked at together at most.
const CLAIMS: usize = 1_024;
/// How often a node is asked whether it carries the event by now.
const GLANCE: Duration = Duration::from_millis(20);

/// Begins to watch a node, for as long as its life lasts.
pub(crate) fn watch_node(running: &Running, number: u8, event: EventId, notebook: &Notebook) {
    let (life, owners) = (running.life.clone(), running.node.owners.clone());
    let (network, notebook) = (running.node.network.clone(), notebook.clone());
    let watching = async move {
        let owner = loop {
            if let Some(owner) = owners.get(event) {
                break owner;
            }
            sleep(GLANCE).await;
        };
        watch_owner(&life, number, (owner, network), &notebook).await;
    };
    running.life.spawner().spawn("watch", Box::pin(watching));
}

async fn watch_owner(
    life: &Life,
    number: u8,
    (owner, network): (Owner, Network),
    notebook: &Notebook,
) {
    let mut views = owner.views.host.clone();
    let draws = life.is_drawn();
    let mut shown = None;
    let mut digest_due = Instant::now();
    loop {
        let (stage, age_ms, question) = {
            let live = &views.borrow_and_update().live;
            let question = live.question.as_ref().map(|question| question.number);
            (live.stage, live.age_ms, question)
        };
        if shown.replace(stage) != Some(stage) {
            let (at, life_number) = (now(), life.number());
            let sighting =
                Sighting { at, node: number, life: life_number, stage, question, age_ms };
            notebook.write(|evidence| evidence.sightings.push(sighting));
            life.note("stage", u64::from(stage.instance) << 8 | stage.phase as u64);
        }
        if Instant::now() >= digest_due {
            digest_due = Instant::now() + DIGEST_EVERY;
            let read = owner.read(move |core, _, _| {
                let beyond = limits::of_replica(core.replica(), Knobs::default());
                (core.digest(), draws.then(|| Sample::of(core, number)), beyond)
            });
            let Some((digest, sample, beyond)) = read.await else { return };
            life.note("digest", digest);
            sample.into_iter().for_each(|sample| life.sample(sample));
            note_limits(number, beyond, &network, notebook);
        }
        tokio::select! { biased;
            changed = views.changed() => if changed.is_err() { return },
            () = sleep_until(digest_due) => {}
        }
    }
}

fn note_limits(number: u8, mut beyond: Vec<String>, network: &Network, notebook: &Notebook) {
    notebook.write(|evidence| {
        beyond.extend(limits::of_network(&network.stats(), &evidence.plan));
        let at = now();
        let grown = beyond.into_iter().map(|what| format!("node {number} holds {what} at {at:?}"));
        evidence.overgrown.extend(grown);
    });
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
    let all = notebook.write(|evidence| evidence.plan.forgets_twice());
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
