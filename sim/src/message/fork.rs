//! Where a run stops before its end, or leaves its past for another future.

use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use super::queue::Tick;
use super::world::World;
use crate::fork::{Fork, Other};
use crate::mix::fold;
use crate::schedule::Schedule;

impl World {
    /// Stops at this time.
    pub(super) fn stop_at(&mut self, until: Option<Duration>) {
        self.until = until.map(|until| until.as_millis() as Tick);
    }

    /// Leaves the past there.
    pub(super) fn fork(&mut self, fork: Option<Fork>) {
        self.fork = fork;
    }

    /// Names the dice of this moment.
    pub(super) fn chance(&self) -> u64 {
        match self.fork.filter(|fork| self.at() > fork.at) {
            Some(fork) => fold(self.schedule.seed, fork.future),
            None => self.schedule.seed,
        }
    }

    /// From here on another future: what has not begun to go wrong does not, other things do.
    pub(super) fn part(&mut self) {
        let asked = self.hosts.iter().map(Host::instance).max().unwrap_or_default();
        let begun = self.faults_begun.clone();
        let Other { new, plan } =
            Other::draw(&self.schedule, self.chance(), asked, |place| begun[place]);
        self.faults_left -= begun.iter().filter(|begun| !**begun).count();
        self.faults_left += new.len();
        self.faults_begun = begun.iter().map(|_| true).chain(new.iter().map(|_| false)).collect();
        self.evidence.plan = plan;
        let faults = self.schedule.faults.iter().cloned().chain(new).collect();
        self.schedule = Arc::new(Schedule { faults, ..(*self.schedule).clone() });
    }
}
