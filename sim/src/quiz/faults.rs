//! What goes wrong, as the schedule says; everything is mended when this returns.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crdt_state::Versions;
use futures_util::future::join_all;
use node::service::view::{PhaseView, StageView};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::evidence::{Notebook, Outage, now};
use super::host::Place;
use super::watch::Watcher;
use crate::chance;
use crate::cluster::{BootError, Cluster, Running, STORE, Start, boot};
use crate::disk::DiskTrouble;
use crate::fork::{Fork, Other};
use crate::lasting::Lasting;
use crate::machine::Crash;
use crate::schedule::{
    Blow, CutShape, DiskFate, Fault, Planned, Schedule, Trouble, Victim, Weather,
};
use crate::storms::Storms;
use crate::world::World;

/// How long a node may take to say goodbye: twice what it gives itself for each part of it.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);
/// A node that has not stopped by then is killed: it drains for less.
const STOP_MAX: Duration = Duration::from_secs(5);
/// What was written less long ago may not be on disk: twice the longest that the store gathers.
const UNDER_WAY: Duration = Duration::from_millis(100);
/// A process that does not come up is started again after this, as by systemd or Kubernetes.
const START_AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Faults {
    pub(crate) world: World,
    pub(crate) cluster: Rc<RefCell<Cluster>>,
    pub(crate) notebook: Notebook,
    pub(crate) watcher: Watcher,
    pub(crate) place: watch::Receiver<Place>,
    pub(crate) schedule: Schedule,
    /// Where the run leaves its past.
    pub(crate) fork: Option<Fork>,
    /// Is told once no host is left.
    pub(crate) over: Notify,
    /// The faults of the schedule that have begun, by their places.
    pub(crate) begun: RefCell<BTreeSet<usize>>,
    pub(crate) storms: RefCell<Storms>,
    pub(crate) lasting: RefCell<Lasting>,
    /// What nodes run that start now.
    pub(crate) program: Cell<Versions>,
}

impl Faults {
    /// Lets everything go wrong and returns once all is mended.
    ///
    /// # Errors
    /// If a node does not come back.
    pub(crate) async fn run(&self) -> Result<(), BootError> {
        let all = self.schedule.faults.iter().enumerate();
        let all = join_all(all.map(|(place, planned)| self.of_past(place, planned)));
        let (past, future) = tokio::join!(all, self.of_future());
        for ended in past.into_iter().chain([future]) {
            ended?;
        }
        self.world.net().heal();
        Ok(())
    }

    /// What the schedule says. What has not begun by the time at which the run leaves its past does not.
    async fn of_past(&self, place: usize, planned: &Planned) -> Result<(), BootError> {
        let shown = tokio::select! { biased;
            () = self.parted() => return Ok(()),
            shown = self.opened(planned.instance) => shown,
        };
        self.begun.borrow_mut().insert(place);
        self.one(planned, shown).await
    }

    /// What goes wrong instead, once the run has left its past.
    async fn of_future(&self) -> Result<(), BootError> {
        if self.fork.is_none() {
            return Ok(());
        }
        // To wait for what hosts see would roll dice of the runtime, and the past would be another one.
        tokio::select! { biased;
            () = self.parted() => {}
            () = self.over.notified() => return Ok(()),
        }
        let (asked, chance) = (self.place.borrow().stage.instance, chance::of(self.schedule.seed));
        let begun = |place: usize| self.begun.borrow().contains(&place);
        let Other { new, plan } = Other::draw(&self.schedule, chance, asked, begun);
        self.notebook.write(|evidence| evidence.plan = plan);
        let all = new.iter().map(async |planned| {
            let shown = self.opened(planned.instance).await;
            self.one(planned, shown).await
        });
        for ended in join_all(all).await {
            ended?;
        }
        Ok(())
    }

    /// The run leaves its past, if it ever does.
    async fn parted(&self) {
        match self.fork {
            Some(fork) => chance::until(fork).await,
            None => std::future::pending().await,
        }
    }

    async fn one(&self, planned: &Planned, shown: Option<StageView>) -> Result<(), BootError> {
        match shown {
            Some(shown) if !planned.falls_away(shown) => {}
            _ => return Ok(()),
        }
        self.world.sleep(Duration::from_millis(planned.after_ms)).await;
        self.notebook.tell(planned.fault.to_string());
        let lasts = Duration::from_millis(planned.lasts_ms);
        match &planned.fault {
            Fault::Crash { victims, how, disk } => self.crash(victims, *how, *disk, lasts).await?,
            Fault::Join { node } => self.start(*node).await?,
            Fault::Leave { node } => self.leave(*node).await,
            Fault::Upgrade { every_ms, .. } => self.upgrade(*every_ms).await?,
            lasting => self.disturb(lasting, lasts).await,
        }
        self.notebook.tell(format!("over: {}", planned.fault));
        Ok(())
    }

    /// Faults that begin and end without a node's life ending.
    async fn disturb(&self, fault: &Fault, lasts: Duration) {
        match fault {
            Fault::Cut { shape } => self.cut(shape, lasts).await,
            Fault::Storm { one, other, weather } => {
                self.set_storm((*one, *other), *weather, true);
                self.world.sleep(lasts).await;
                self.set_storm((*one, *other), *weather, false);
            }
            Fault::Pause { node }
            | Fault::Clock { node, .. }
            | Fault::Drift { node, .. }
            | Fault::Disk { node, .. } => {
                self.set_lasting(*node, fault, true);
                self.world.sleep(lasts).await;
                self.set_lasting(*node, fault, false);
            }
            Fault::Crash { .. }
            | Fault::Join { .. }
            | Fault::Leave { .. }
            | Fault::Upgrade { .. } => {}
        }
    }

    /// A fault of one node begins, or is over.
    fn set_lasting(&self, number: u8, fault: &Fault, goes_on: bool) {
        let was_stopped = self.lasting.borrow().stops(number);
        self.lasting.borrow_mut().set(fault, goes_on);
        let (lasting, machine) = (self.lasting.borrow(), self.world.node(number));
        match fault {
            // A life is frozen, and whoever lives there at the end is thawed.
            Fault::Pause { .. } => match (was_stopped, lasting.stops(number)) {
                (false, true) => {
                    machine.freeze();
                    self.note_outage(number);
                }
                (true, false) => {
                    machine.thaw();
                    self.note_return(number);
                }
                _ => {}
            },
            Fault::Disk { .. } => {
                let wrong = |trouble| match trouble {
                    Trouble::Full => DiskTrouble::Full,
                    Trouble::Failing => DiskTrouble::Failing,
                    Trouble::Slow => DiskTrouble::Slow,
                };
                let newest = lasting.troubles(number).last();
                machine.set_disk_trouble(STORE, newest.map_or(DiskTrouble::None, wrong));
            }
            Fault::Clock { .. } | Fault::Drift { .. } => {
                // As right as it was in the beginning, but for what goes on.
                let skew_ms = self.schedule.skews_ms.get(usize::from(number) - 1).copied();
                let skew_ms = skew_ms.unwrap_or_default() + lasting.jumped_ms(number);
                machine.set_drift_ppm(lasting.drift_ppm(number));
                machine.set_skew_ns(skew_ms * 1_000_000);
            }
            _ => {}
        }
    }

    fn set_storm(&self, (one, other): (u8, u8), storm: Weather, blows: bool) {
        self.storms.borrow_mut().set((one, other), storm, blows);
        let weather = self.storms.borrow().over(self.schedule.weather, one, other);
        let (one, other) = (self.ip(one), self.ip(other));
        self.world.net().set_link(one, other, weather.link());
        self.world.net().set_link(other, one, weather.link());
    }

    async fn crash(
        &self,
        victims: &[Victim],
        how: Blow,
        disk: DiskFate,
        down: Duration,
    ) -> Result<(), BootError> {
        let numbers: Vec<u8> = victims.iter().map(|victim| self.number(*victim)).collect();
        let running = |number: &u8| self.cluster.borrow().node(*number).is_some();
        let numbers: Vec<u8> = numbers.into_iter().filter(running).collect();
        for number in &numbers {
            self.end(*number, how);
            self.note_forgetting(*number, disk);
            match disk {
                DiskFate::Same => {}
                DiskFate::Lost => self.world.node(*number).erase_disks(),
                DiskFate::Stale => self.world.node(*number).rewind_disks(),
            }
        }
        self.world.sleep(down).await;
        for number in numbers {
            self.start(number).await?;
        }
        Ok(())
    }

    fn number(&self, victim: Victim) -> u8 {
        match victim {
            Victim::Node(number) => number,
            Victim::HostsNode => self.place.borrow().node,
        }
    }

    fn end(&self, number: u8, how: Blow) {
        self.notebook.tell(format!("node {number} crashes: {}", how.end()));
        let how = match how {
            Blow::Killed => Crash::Process,
            Blow::PowerLost => Crash::Power,
        };
        self.cluster.borrow_mut().crash(number, how);
        self.note_outage(number);
    }

    fn note_outage(&self, number: u8) {
        let outage = Outage { node: number, from: now(), to: None, forgets: None };
        self.notebook.write(|evidence| evidence.outages.push(outage));
    }

    /// A disk of which something was owed may lack all since then.
    fn note_forgetting(&self, number: u8, disk: DiskFate) {
        let is_troubled =
            |planned: &Planned| matches!(planned.fault, Fault::Disk { node, .. } if node == number);
        let owes = self.notebook.write(|evidence| evidence.plan.faults.iter().any(is_troubled));
        let since = match disk {
            DiskFate::Same if !owes => now().saturating_sub(UNDER_WAY),
            _ => Duration::ZERO,
        };
        self.notebook.write(|evidence| evidence.note_forgetting(number, since));
    }

    fn note_return(&self, number: u8) {
        self.notebook.write(|evidence| {
            let over = evidence.outages.iter_mut().filter(|outage| outage.node == number);
            over.filter(|outage| outage.to.is_none()).for_each(|outage| outage.to = Some(now()));
        });
    }

    async fn start(&self, number: u8) -> Result<(), BootError> {
        let (machine, seeds) = (self.world.node(number), seeds(&self.schedule, number));
        let start = start(&self.schedule, &seeds, self.program.get());
        let running = loop {
            match boot(&self.world, number, start).await {
                // Whatever runs nodes starts this one again, until its disk lets it.
                Err(BootError::Store { .. })
                    if machine.disk_trouble(STORE) != DiskTrouble::None =>
                {
                    machine.crash(Crash::Process);
                    self.world.sleep(START_AGAIN).await;
                }
                booted => break booted?,
            }
        };
        self.notebook.tell(format!("node {number} is back"));
        self.note_return(number);
        self.watcher.watch(&running, number);
        self.cluster.borrow_mut().insert(number, running);
        Ok(())
    }

    /// Stops one node after the other, and starts it with the newer program.
    async fn upgrade(&self, every_ms: u64) -> Result<(), BootError> {
        self.program.set(self.notebook.write(|evidence| evidence.plan.programs().1));
        for number in 1..=self.schedule.nodes_ever() {
            let running = self.cluster.borrow().node(number);
            // Whoever is down, or has not joined, starts with it anyway.
            let Some(running) = running else { continue };
            // As one that leaves, it shows no step of the show any more.
            self.note_outage(number);
            // A frozen process does not go by itself.
            let _ = timeout(STOP_MAX, running.node.stop()).await;
            let is_there = |now: Arc<Running>| Arc::ptr_eq(&now, &running);
            if self.cluster.borrow().node(number).is_some_and(is_there) {
                self.end(number, Blow::Killed);
                self.start(number).await?;
            }
            self.world.sleep(Duration::from_millis(every_ms)).await;
        }
        Ok(())
    }

    /// The node says goodbye, as on SIGTERM, and never comes back.
    async fn leave(&self, number: u8) {
        let running = self.cluster.borrow().node(number);
        if let Some(running) = running {
            // From its last word on it shows no step of the show any more.
            self.note_outage(number);
            // A process that is stopped does not even say goodbye.
            let stopped = timeout(LEAVE_PATIENCE, running.node.stop()).await;
            if stopped.is_err() {
                self.notebook.write(|evidence| evidence.note_forgetting(number, Duration::ZERO));
            }
            let here = self.cluster.borrow().node(number);
            if here.is_some_and(|here| Arc::ptr_eq(&here, &running)) {
                self.end(number, Blow::Killed);
            }
        }
    }

    async fn cut(&self, shape: &CutShape, lasts: Duration) {
        let CutShape::Flapping { node, period_ms } = shape else {
            self.separate(shape, true);
            self.world.sleep(lasts).await;
            return self.separate(shape, false);
        };
        let (alone, period) = (CutShape::Alone(*node), Duration::from_millis(*period_ms));
        let mut left = lasts;
        while !left.is_zero() {
            self.separate(&alone, true);
            self.world.sleep(period.min(left)).await;
            self.separate(&alone, false);
            self.world.sleep(period.min(left)).await;
            left = left.saturating_sub(2 * period);
        }
    }

    fn separate(&self, shape: &CutShape, apart: bool) {
        let net = self.world.net();
        for (from, to) in shape.paths(self.schedule.nodes_ever()) {
            match apart {
                true => net.cut(self.ip(from), self.ip(to)),
                false => net.mend(self.ip(from), self.ip(to)),
            }
        }
    }

    fn ip(&self, number: u8) -> IpAddr {
        self.world.node(number).ip()
    }

    /// What the host sees once this instance is open or past; nothing if the host is gone before.
    async fn opened(&self, instance: u32) -> Option<StageView> {
        let mut place = self.place.clone();
        let is_open = |place: &Place| {
            place.stage.instance > instance
                || (place.stage.instance == instance && place.stage.phase >= PhaseView::Open)
        };
        Some(place.wait_for(is_open).await.ok()?.stage)
    }
}

/// How a node is started with this program.
pub(crate) fn start<'a>(schedule: &Schedule, seeds: &'a [u8], program: Versions) -> Start<'a> {
    let let_go_after = schedule.let_go_after_ms.map(Duration::from_millis);
    Start { seeds, program, ack: schedule.ack, let_go_after }
}

/// Whom a node looks for first: the third knows the second only, so that gossip must tell it of
/// the first.
pub(crate) fn seeds(schedule: &Schedule, number: u8) -> Vec<u8> {
    match number {
        3 => vec![2],
        _ => schedule.first_nodes().filter(|node| *node != number).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;
    use crate::run::{Options, run};
    use crate::world::World;

    fn faults(world: World, schedule: Schedule) -> Faults {
        let stage = StageView { instance: 0, phase: PhaseView::Lobby };
        let notebook = Notebook::new(schedule.clone());
        let (dropped, _) = tokio::sync::mpsc::channel(1);
        let event = crdt_state::EventId(1);
        Faults {
            cluster: Rc::new(RefCell::new(Cluster::new(world.clone()))),
            watcher: Watcher { event, notebook: notebook.clone(), lets_go: false, dropped },
            place: watch::channel(Place { node: 1, stage }).1,
            storms: RefCell::default(),
            lasting: RefCell::default(),
            program: Cell::new(Versions::THIS),
            world,
            notebook,
            schedule,
            fork: None,
            over: Notify::new(),
            begun: RefCell::default(),
        }
    }

    /// A storm that says nothing of damage and bandwidth leaves them as they are in its run, and so does the end of one
    /// of two.
    #[test]
    fn a_storm_comes_on_top_of_the_weather_of_its_run() {
        let mut schedule = Schedule::classic(1);
        let usual = Weather { corruption: 0.01, bandwidth: 400_000, loss: 0.02, ..Weather::CALM };
        schedule.weather = usual;
        let storm =
            |loss| Fault::Storm { one: 1, other: 2, weather: Weather { loss, ..Weather::CALM } };
        let links = run(1, Options::default(), move |world| async move {
            let faults = faults(world.clone(), schedule);
            let link = || world.net().link(faults.ip(2), faults.ip(1));
            world.net().set_between_nodes(usual.link());
            let (long, short) = (storm(0.1), storm(0.3));
            let storms = [(&long, 4), (&short, 2)]
                .map(|(storm, s)| faults.disturb(storm, Duration::from_secs(s)));
            let seen = async {
                let mut seen = Vec::new();
                for _ in 0..3 {
                    world.sleep(Duration::from_millis(1_500)).await;
                    seen.push(link());
                }
                seen
            };
            tokio::join!(seen, join_all(storms)).0
        });
        let with = |loss| Link { loss, ..usual.link() };
        assert_eq!(links.unwrap().value, [with(0.3), with(0.1), with(0.02)]);
    }
}
