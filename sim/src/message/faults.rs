//! What goes wrong, as the schedule says, and how all is mended at the end.

use std::time::Duration;

use ::node::engine::{Heed, Input};
use ::node::service::view::{PhaseView, StageView};

use super::node::Node;
use super::player::{About, SILENCE_MAX};
use super::queue::Event;
use super::world::World;
use crate::mix::Draw;
use crate::quiz::evidence::Outage;
use crate::schedule::{Blow, CutShape, DiskFate, Fault, Planned, Victim};

/// How long a peer that says nothing is believed there: the idle time-out of a connection.
const SILENT_PEER_MS: u64 = 3_500;
/// How long a peer that is back takes to be found: a redial.
const RETURN_MS: u64 = 1_200;
/// How long a node that leaves waits until others have all that it has: as whole nodes do.
const LEAVING_MS: u64 = 2_000;
/// How long a node takes to come up with another program.
const UPGRADE_MS: u64 = 400;
/// All cuts and storms are over: the longest redial.
const MENDED_MS: u64 = 2_000;

impl World {
    /// Faults of this stage's instance, and of those before, begin.
    pub(super) fn begin_faults(&mut self, stage: StageView) {
        let schedule = self.schedule.clone();
        for (index, planned) in schedule.faults.iter().enumerate() {
            let phase = if planned.instance == 0 { PhaseView::Lobby } else { PhaseView::Open };
            let from = StageView { instance: planned.instance, phase };
            if stage >= from && !std::mem::replace(&mut self.faults_begun[index], true) {
                if planned.falls_away(stage) {
                    self.faults_left -= 1;
                    continue;
                }
                let at = self.now + planned.after_ms;
                self.queue.push(at, Event::Fault { index: index as u16, step: 0 });
            }
        }
    }

    pub(super) fn fault(&mut self, index: u16, step: u32) {
        let schedule = self.schedule.clone();
        let planned = &schedule.faults[usize::from(index)];
        if step == 0 {
            self.tell(planned.fault.to_string());
        }
        let again = match &planned.fault {
            Fault::Cut { shape: CutShape::Flapping { node, period_ms } } => {
                self.flap(*node, *period_ms, planned.lasts_ms, step)
            }
            Fault::Upgrade { every_ms, .. } => self.upgrade(*every_ms, step),
            _ if step == 0 => self.begin_fault(index, planned),
            _ => {
                self.end_fault(index, planned);
                None
            }
        };
        match again {
            Some(after) => {
                self.queue.push(self.now + after, Event::Fault { index, step: step + 1 });
            }
            None => {
                self.tell(format!("over: {}", planned.fault));
                self.faults_left -= 1;
                self.end_when_over();
            }
        }
    }

    /// Begins a fault and says after how long it ends, if it does.
    fn begin_fault(&mut self, index: u16, planned: &Planned) -> Option<u64> {
        match &planned.fault {
            Fault::Crash { victims, how, disk } => {
                for number in self.victims(victims) {
                    let safe = self.nodes[usize::from(number)].disk.safe_until(self.now, *disk);
                    self.tell(format!("node {number} crashes: {}", how.end()));
                    self.crash(number, *how);
                    self.evidence.note_forgetting(number, Duration::from_millis(safe));
                    self.down.push((index, number));
                    self.spoil(number, *disk);
                }
            }
            Fault::Pause { node } => {
                self.lasting.set(&planned.fault, true);
                self.stop(*node);
            }
            Fault::Cut { shape } => self.separate(shape, true),
            Fault::Storm { one, other, weather } => {
                self.storms.set((*one, *other), *weather, true);
            }
            // No core reads a wall clock: a fault of wire fidelity, kept for its time.
            Fault::Clock { .. } | Fault::Drift { .. } => {}
            Fault::Upgrade { .. } => unreachable!("an upgrade has steps of its own"),
            Fault::Disk { node, .. } => self.spoil_disk(*node, &planned.fault, true),
            Fault::Join { node } => {
                self.boot(*node);
                self.stir(*node, RETURN_MS);
                return None;
            }
            Fault::Leave { node } => {
                self.say_goodbye(*node);
                return Some(LEAVING_MS);
            }
        }
        Some(planned.lasts_ms)
    }

    fn end_fault(&mut self, index: u16, planned: &Planned) {
        match &planned.fault {
            Fault::Crash { .. } => {
                let (mine, others) = self.down.iter().partition(|(by, _)| *by == index);
                self.down = others;
                let mine: Vec<(u16, u8)> = mine;
                for (_, number) in mine {
                    self.come_back(number);
                }
            }
            Fault::Pause { node } => {
                self.lasting.set(&planned.fault, false);
                if !self.lasting.stops(*node) {
                    self.go_on(*node);
                }
            }
            Fault::Cut { shape } => self.separate(shape, false),
            Fault::Storm { one, other, weather } => {
                self.storms.set((*one, *other), *weather, false);
            }
            Fault::Disk { node, .. } => self.spoil_disk(*node, &planned.fault, false),
            Fault::Leave { node } => {
                if self.nodes[usize::from(*node)].life.is_some() {
                    self.crash(*node, Blow::Killed);
                }
                // Who was let go has given away all that it had.
                if !self.nodes[usize::from(*node)].has_retired {
                    self.evidence.note_forgetting(*node, Duration::ZERO);
                }
                self.node(*node).is_gone = true;
            }
            Fault::Clock { .. }
            | Fault::Drift { .. }
            | Fault::Join { .. }
            | Fault::Upgrade { .. } => {}
        }
    }

    /// Stops a node at each even step, and starts it with the newer program at the odd one after it. Whoever
    /// is down for another reason comes back with it anyway.
    fn upgrade(&mut self, every_ms: u64, step: u32) -> Option<u64> {
        let number = (step / 2 + 1) as u8;
        if step.is_multiple_of(2) {
            // Of what may have been planned before the run left its past nothing counts.
            let newer = self.evidence.plan.programs().1;
            let down = |node: &Node| node.life.is_none();
            self.nodes.iter_mut().filter(|node| down(node)).for_each(|node| node.program = newer);
            self.node(number).program = newer;
            self.shut_down(number);
            return Some(UPGRADE_MS);
        }
        // Who has not joined yet does so with the newer one.
        if self.nodes[usize::from(number)].lives > 0 {
            self.come_back(number);
        }
        (usize::from(number) + 1 < self.nodes.len()).then_some(every_ms)
    }

    /// The process ends as it is asked to, with all that it took on disk.
    fn shut_down(&mut self, number: u8) {
        let now = self.now;
        if self.nodes[usize::from(number)].life.is_some() {
            self.node(number).disk.flush(now);
            self.crash(number, Blow::Killed);
        }
    }

    /// A node sends its players to others, and has nobody wait for it.
    fn say_goodbye(&mut self, number: u8) {
        self.node(number).is_leaving = true;
        // It takes nothing more, of the show's steps neither.
        self.evidence.outages.push(Outage {
            node: number,
            from: self.at(),
            to: None,
            forgets: None,
        });
        for player in self.node(number).players.clone() {
            self.disconnect(player, 1);
        }
        for other in self.alive() {
            self.see(other);
        }
        self.heed(number, Heed::Leaving);
        // Nobody waits for who takes no part; but one that is down may have done so, and one that lost its disk
        // in an earlier life.
        let node = self.node(number);
        let let_go = node.life.as_ref().is_some_and(|life| life.period() > 0);
        node.has_retired = node.life.is_some() && !node.carries() && (node.lives == 1 || let_go);
        let (ticket, going) = (self.ticket(About::Leave(number)), self.leaving(number));
        self.input(number, Input::Retire { ticket, copies: 1, going });
    }

    fn victims(&self, victims: &[Victim]) -> Vec<u8> {
        let number = |victim: &Victim| match victim {
            Victim::Node(number) => *number,
            Victim::HostsNode => self.hosts_node(),
        };
        let lives = |number: &u8| self.nodes[usize::from(*number)].life.is_some();
        victims.iter().map(number).filter(lives).collect()
    }

    fn crash(&mut self, number: u8, how: Blow) {
        let (now, seed) = (self.now, self.chance());
        self.trace.note("machine crashes", super::world::ip(number), how as u64);
        self.evidence.outages.push(Outage {
            node: number,
            from: self.at(),
            to: None,
            forgets: None,
        });
        let node = self.node(number);
        node.life = None;
        match how {
            Blow::Killed => node.disk.lose_process(now),
            Blow::PowerLost => {
                let lives = node.lives.into();
                node.disk.lose_power(now, Draw::new(seed, &[POWER, number.into(), lives]));
            }
        }
        // A killed process resets its players' streams at once; a dead machine says nothing.
        let silence = if how == Blow::Killed { 1 } else { SILENCE_MAX };
        for player in self.node(number).players.clone() {
            self.disconnect(player, silence);
        }
        self.stir(number, SILENT_PEER_MS);
    }

    fn spoil(&mut self, number: u8, fate: DiskFate) {
        let now = self.now;
        match fate {
            DiskFate::Same => {}
            DiskFate::Lost => self.node(number).disk.erase(),
            DiskFate::Stale => self.node(number).disk.rewind(now),
        }
    }

    fn spoil_disk(&mut self, number: u8, fault: &Fault, begins: bool) {
        self.lasting.set(fault, begins);
        let (node, troubles) =
            (&mut self.nodes[usize::from(number)], self.lasting.troubles(number));
        node.disk.set_troubles(self.now, troubles);
        self.touch(number);
    }

    fn come_back(&mut self, number: u8) {
        let node = &self.nodes[usize::from(number)];
        if node.is_gone || node.life.is_some() {
            return;
        }
        self.boot(number);
        let now = self.at();
        let over = self.evidence.outages.iter_mut().filter(|outage| outage.node == number);
        over.filter(|outage| outage.to.is_none()).for_each(|outage| outage.to = Some(now));
        self.tell(format!("node {number} is back"));
        self.stir(number, RETURN_MS);
    }

    fn stop(&mut self, number: u8) {
        let Some(life) = &mut self.node(number).life else { return };
        if life.stopped.is_some() {
            return;
        }
        life.stopped = Some(Vec::new());
        self.evidence.outages.push(Outage {
            node: number,
            from: self.at(),
            to: None,
            forgets: None,
        });
        self.stir(number, SILENT_PEER_MS);
    }

    /// The process goes on, and finds what has waited for it.
    fn go_on(&mut self, number: u8) {
        let now = self.at();
        let Some(life) = &mut self.node(number).life else { return };
        let Some(waiting) = life.stopped.take() else { return };
        life.wake = None;
        let over = self.evidence.outages.iter_mut().filter(|outage| outage.node == number);
        over.filter(|outage| outage.to.is_none()).for_each(|outage| outage.to = Some(now));
        for input in waiting {
            self.input(number, input);
        }
        self.input(number, Input::Timeout);
        self.stir(number, RETURN_MS);
    }

    fn separate(&mut self, shape: &CutShape, apart: bool) {
        let most_ms = if apart { SILENT_PEER_MS } else { RETURN_MS };
        for (from, to) in shape.paths(self.nodes.len() as u8 - 1) {
            self.cuts.set((from, to), apart);
            self.stir_pair(from, to, most_ms);
        }
    }

    fn flap(&mut self, node: u8, period_ms: u64, lasts_ms: u64, step: u32) -> Option<u64> {
        let apart = step.is_multiple_of(2);
        self.separate(&CutShape::Alone(node), apart);
        let over = u64::from(step) * period_ms >= lasts_ms && !apart;
        (!over).then_some(period_ms)
    }

    /// Once the show is over and nothing is wrong any more, all nodes have to agree.
    pub(super) fn end_when_over(&mut self) {
        let done = self.hosts.iter().all(|host| host.is_done);
        if !done || self.faults_left > 0 && self.faults_begun.iter().all(|begun| *begun) {
            return;
        }
        if self.ended_at.is_none() {
            self.tell("all is mended");
            self.ended_at = Some(self.now);
            for number in self.alive() {
                self.stir(number, MENDED_MS);
            }
            self.queue.push(self.now + 200, Event::Compare);
        }
    }
}

/// The name of the dice of lost power.
const POWER: u64 = u64::from_be_bytes(*b"no power");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crdt_state::Versions;

    use super::*;
    use crate::fork::Fork;
    use crate::schedule::{Schedule, Weather};
    use crate::trace::Trace;

    /// Another future has an upgrade to a program that speaks to the older ones, where one was planned that does not.
    #[test]
    fn an_upgrade_of_another_future_is_to_the_program_that_it_says() {
        let upgrade = |mixes| Fault::Upgrade { every_ms: 1_000, mixes };
        let mut schedule = Schedule::classic(1);
        let planned = Planned { instance: 3, after_ms: 0, lasts_ms: 0, fault: upgrade(false) };
        schedule.faults = vec![planned];
        let parted = (1..).find_map(|future| {
            let mut world = World::new(Arc::new(schedule.clone()), Trace::new(None));
            world.fork(Some(Fork { at: Duration::ZERO, future }));
            world.now = 1;
            world.part();
            let mixes =
                |planned: &Planned| matches!(planned.fault, Fault::Upgrade { mixes: true, .. });
            let place = world.schedule.faults.iter().position(mixes)?;
            Some((world, place as u16))
        });
        let (mut world, place) = parted.expect("futures are many");
        world.fault(place, 0);
        assert_eq!(world.nodes[1].program, Versions::THIS);
    }

    #[test]
    fn a_storm_comes_on_top_of_the_weather_of_its_run() {
        let mut schedule = Schedule::classic(1);
        let usual = Weather { corruption: 0.01, bandwidth: 400_000, ..Weather::CALM };
        let storm = Weather { loss: 0.3, ..Weather::CALM };
        let fault = Fault::Storm { one: 2, other: 1, weather: storm };
        schedule.weather = usual;
        schedule.faults = vec![Planned { instance: 1, after_ms: 0, lasts_ms: 9, fault }];
        let mut world = World::new(Arc::new(schedule), Trace::new(None));
        let seen =
            |world: &World| [(1, 2), (2, 1), (1, 3)].map(|(from, to)| world.weather(from, to));
        world.fault(0, 0);
        let stormy = Weather { loss: 0.3, ..usual };
        assert_eq!(seen(&world), [stormy, stormy, usual]);
        world.fault(0, 1);
        assert_eq!(seen(&world), [usual; 3]);
    }
}
