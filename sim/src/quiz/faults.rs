//! What goes wrong, when the plan says so: one crash with a return from the disk, one cut.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use crdt_state::EventId;
use node::service::view::PhaseView;
use tokio::sync::watch;

use super::evidence::{Notebook, Outage, now};
use super::host::Place;
use super::plan::{CrashPlan, CutPlan, CutShape, NODES, Plan, Victim};
use super::watch::watch_node;
use crate::cluster::{BootError, Cluster, boot};
use crate::world::World;

pub(crate) struct Faults {
    pub(crate) world: World,
    pub(crate) event: EventId,
    pub(crate) cluster: Rc<RefCell<Cluster>>,
    pub(crate) notebook: Notebook,
    pub(crate) place: watch::Receiver<Place>,
}

impl Faults {
    /// Lets everything go wrong and returns once all is mended.
    ///
    /// # Errors
    /// If the crashed node does not come back.
    pub(crate) async fn run(&self, plan: &Plan) -> Result<(), BootError> {
        let (crashed, ()) = tokio::join!(self.crash(&plan.crash), self.cut(&plan.cut));
        crashed
    }

    async fn crash(&self, plan: &CrashPlan) -> Result<(), BootError> {
        let Some(place) = self.opened(plan.instance).await else { return Ok(()) };
        self.world.sleep(plan.after).await;
        let number = match plan.victim {
            Victim::Node(number) => number,
            Victim::HostsNode => place.borrow().node,
        };
        self.notebook.tell(format!("node {number} crashes: {:?}", plan.how));
        self.cluster.borrow_mut().crash(number, plan.how);
        let outage = Outage { node: number, from: now(), to: None };
        self.notebook.write(|evidence| evidence.outages.push(outage));
        self.world.sleep(plan.down).await;
        let running = boot(&self.world, number, &seeds(number)).await?;
        self.notebook.tell(format!("node {number} is back"));
        self.notebook.write(|evidence| {
            evidence.outages.iter_mut().for_each(|outage| outage.to = Some(now()));
        });
        watch_node(&running, number, self.event, &self.notebook);
        self.cluster.borrow_mut().insert(number, running);
        Ok(())
    }

    async fn cut(&self, plan: &CutPlan) {
        if self.opened(plan.instance).await.is_none() {
            return;
        }
        self.world.sleep(plan.after).await;
        self.notebook.tell(format!("the network is cut: {}", plan.shape));
        let net = self.world.net();
        match plan.shape {
            CutShape::OneWay(from, to) => net.cut(self.ip(from), self.ip(to)),
            CutShape::Alone(one) => {
                let others = NODES.into_iter().filter(|node| *node != one);
                let others: Vec<IpAddr> = others.map(|node| self.ip(node)).collect();
                net.partition(&[self.ip(one)], &others);
            }
        }
        self.world.sleep(plan.lasts).await;
        net.heal();
        self.notebook.tell("the network is whole again");
    }

    fn ip(&self, number: u8) -> IpAddr {
        self.world.node(number).ip()
    }

    /// Returns once the host has seen this instance open; nothing if the host is gone before.
    async fn opened(&self, instance: u32) -> Option<watch::Receiver<Place>> {
        let mut place = self.place.clone();
        let is_open = |place: &Place| {
            place.stage.instance > instance
                || (place.stage.instance == instance && place.stage.phase >= PhaseView::Open)
        };
        place.wait_for(is_open).await.ok()?;
        Some(place)
    }
}

/// Whom a node looks for first: the third knows the second only, so that gossip must tell it of
/// the first.
pub(crate) fn seeds(number: u8) -> Vec<u8> {
    match number {
        3 => vec![2],
        _ => NODES.into_iter().filter(|node| *node != number).collect(),
    }
}
