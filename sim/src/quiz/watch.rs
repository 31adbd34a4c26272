//! Watching nodes from within: the stages they show, the digests of their state, and whether other
//! nodes hold what a firm receipt promises.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crdt_state::{EventId, PlayerId};
use node::engine::Owner;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::evidence::{Notebook, Sighting, Unheld, now};
use crate::cluster::{Cluster, Running};
use crate::machine::Life;
use crate::recording::Sample;
use crate::spawn::Spawn;

/// How often a node's digest goes into the trace.
const DIGEST_EVERY: Duration = Duration::from_millis(500);
/// How often a node is asked whether it carries the event by now.
const GLANCE: Duration = Duration::from_millis(20);

/// Begins to watch a node, for as long as its life lasts.
pub(crate) fn watch_node(running: &Running, number: u8, event: EventId, notebook: &Notebook) {
    let (life, owners) = (running.life.clone(), running.node.owners.clone());
    let notebook = notebook.clone();
    let watching = async move {
        let owner = loop {
            if let Some(owner) = owners.get(event) {
                break owner;
            }
            sleep(GLANCE).await;
        };
        watch_owner(&life, number, owner, &notebook).await;
    };
    running.life.spawner().spawn("watch", Box::pin(watching));
}

async fn watch_owner(life: &Life, number: u8, owner: Owner, notebook: &Notebook) {
    let mut views = owner.views.host.clone();
    let mut shown = None;
    let mut digest_due = Instant::now();
    loop {
        let live = views.borrow_and_update().live.clone();
        if shown.replace(live.stage) != Some(live.stage) {
            let (stage, age_ms) = (live.stage, live.age_ms);
            let question = live.question.as_ref().map(|question| question.number);
            let (at, life_number) = (now(), life.number());
            let sighting =
                Sighting { at, node: number, life: life_number, stage, question, age_ms };
            notebook.write(|evidence| evidence.sightings.push(sighting));
            life.note("stage", u64::from(stage.instance) << 8 | stage.phase as u64);
        }
        if Instant::now() >= digest_due {
            digest_due = Instant::now() + DIGEST_EVERY;
            let read = owner.read(move |core, _, _| Sample::of(core, number)).await;
            let Some(sample) = read else { return };
            life.note("digest", sample.digest);
            life.sample(sample);
        }
        tokio::select! { biased;
            changed = views.changed() => if changed.is_err() { return },
            () = sleep_until(digest_due) => {}
        }
    }
}

/// The digest of a node's state; nothing if its owner is gone.
pub(crate) async fn digest(owner: &Owner) -> Option<u64> {
    owner.read(|core, _, _| core.digest()).await
}

/// Asks the other nodes about every firm receipt the moment it comes: it promises that one of them
/// holds the answer.
pub(crate) async fn witness(
    cluster: Rc<RefCell<Cluster>>,
    event: EventId,
    notebook: Notebook,
    mut firm: mpsc::Receiver<Unheld>,
) {
    while let Some(claim) = firm.recv().await {
        let others: Vec<Owner> = {
            let cluster = cluster.borrow();
            let others = cluster.running().filter(|(number, _)| *number != claim.receipt.node);
            others.filter_map(|(_, running)| running.owner(event)).collect()
        };
        let mut held = false;
        for owner in others {
            held |= holds(&owner, claim.player, claim.receipt.instance).await;
        }
        notebook.write(|evidence| {
            evidence.asked += 1;
            if !held {
                evidence.unheld.push(claim);
            }
        });
    }
}

async fn holds(owner: &Owner, player: PlayerId, instance: u32) -> bool {
    let held = owner.read(move |core, _, _| {
        let state = core.state();
        state.held(instance, state.players.rows_of(player)).is_some()
    });
    held.await.unwrap_or(false)
}
