//! What goes wrong under a workload: the faults of the schedule, at the times of its questions.

use gossip::replication::Input;

use super::cluster::{Cluster, Event};
use super::history::Ended;
use crate::schedule::{Blow, CutShape, DiskFate, Fault, Victim};

/// How long a peer that says nothing is believed there, and how long a return takes to be noticed.
const SILENT_PEER_MS: u64 = 3_500;
const RETURN_MS: u64 = 1_200;
/// What was acknowledged may still be on its way to a slow disk for so long.
const SETTLED_MS: u64 = 2_500;
/// A receipt has this many holders: fewer failures at once than that lose nothing.
const HOLDERS: usize = 2;

impl Cluster<'_> {
    pub(super) fn fault(&mut self, index: usize, step: u32) {
        let planned = &self.schedule.faults[index];
        let again = match &planned.fault {
            Fault::Cut { shape: CutShape::Flapping { node, period_ms } } => {
                let apart = step.is_multiple_of(2);
                self.separate(&CutShape::Alone(*node), apart);
                let over = u64::from(step) * period_ms >= planned.lasts_ms && !apart;
                (!over).then_some(*period_ms)
            }
            fault if step == 0 => self.begin(index, fault).then_some(planned.lasts_ms),
            fault => {
                self.end(index, fault);
                None
            }
        };
        if let Some(after) = again {
            self.push(self.now + after, Event::Fault { index, step: step + 1 });
        }
    }

    /// Whether it will end.
    fn begin(&mut self, index: usize, fault: &Fault) -> bool {
        match fault {
            Fault::Crash { victims, how, disk } => {
                for victim in victims {
                    // There is no host here: whoever would be the host's node is the first.
                    let number = if let Victim::Node(number) = victim { *number } else { 1 };
                    if self.nodes[usize::from(number)].life.is_some() {
                        self.crash(number, *how, *disk);
                        self.down.push((index, number));
                    }
                }
            }
            Fault::Pause { node } => {
                self.lasting.set(fault, true);
                self.stop(*node);
            }
            Fault::Cut { shape } => self.separate(shape, true),
            Fault::Storm { one, other, weather } => {
                self.storms.set((*one, *other), *weather, true);
            }
            Fault::Disk { node, .. } => self.spoil_disk(*node, fault, true),
            // No replica reads a wall clock, and its content has one version only.
            Fault::Clock { .. } | Fault::Drift { .. } | Fault::Upgrade { .. } => {}
            Fault::Join { node } => {
                self.boot(*node);
                self.stir(*node, RETURN_MS);
                return false;
            }
            Fault::Leave { node } => {
                if self.nodes[usize::from(*node)].life.is_some() {
                    self.crash(*node, Blow::Killed, DiskFate::Same);
                }
                self.nodes[usize::from(*node)].is_gone = true;
                return false;
            }
        }
        true
    }

    fn end(&mut self, index: usize, fault: &Fault) {
        match fault {
            Fault::Crash { .. } => {
                let down = std::mem::take(&mut self.down);
                let (mine, others): (Vec<_>, Vec<_>) =
                    down.into_iter().partition(|(by, _)| *by == index);
                self.down = others;
                mine.into_iter().for_each(|(_, number)| self.come_back(number));
            }
            Fault::Pause { node } => {
                self.lasting.set(fault, false);
                if !self.lasting.stops(*node) {
                    self.go_on(*node);
                }
            }
            Fault::Cut { shape } => self.separate(shape, false),
            Fault::Storm { one, other, weather } => {
                self.storms.set((*one, *other), *weather, false);
            }
            Fault::Disk { node, .. } => self.spoil_disk(*node, fault, false),
            Fault::Clock { .. }
            | Fault::Drift { .. }
            | Fault::Join { .. }
            | Fault::Leave { .. }
            | Fault::Upgrade { .. } => {}
        }
    }

    fn crash(&mut self, number: u8, how: Blow, fate: DiskFate) {
        let now = self.now;
        let dice = self.dice(&[POWER, number.into(), now]);
        let node = &mut self.nodes[usize::from(number)];
        node.life = None;
        match how {
            Blow::Killed => node.disk.lose_process(now),
            Blow::PowerLost => node.disk.lose_power(now, dice),
        }
        match fate {
            DiskFate::Same => {}
            DiskFate::Lost => node.disk.erase(),
            DiskFate::Stale => node.disk.rewind(now),
        }
        let down = self.nodes.iter().skip(1).filter(|node| node.life.is_none() && node.lives > 0);
        if down.count() >= HOLDERS {
            self.excuse();
        }
        self.stir(number, SILENT_PEER_MS);
    }

    /// More are down at once than receipts promise to outlive: what was acknowledged just now is
    /// owed by nobody.
    fn excuse(&mut self) {
        let since = self.now.saturating_sub(SETTLED_MS);
        let recent = |ended: Ended| matches!(ended, Ended::Ok(at) if at >= since);
        let recent = self.operations.iter_mut().filter(|operation| recent(operation.ended));
        recent.for_each(|operation| operation.ended = Ended::Excused);
    }

    fn come_back(&mut self, number: u8) {
        if !self.nodes[usize::from(number)].is_gone {
            self.boot(number);
            self.stir(number, RETURN_MS);
        }
    }

    fn spoil_disk(&mut self, number: u8, fault: &Fault, begins: bool) {
        self.lasting.set(fault, begins);
        let (node, troubles) =
            (&mut self.nodes[usize::from(number)], self.lasting.troubles(number));
        node.disk.set_troubles(self.now, troubles);
    }

    fn stop(&mut self, number: u8) {
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.stopped.get_or_insert_default();
            self.stir(number, SILENT_PEER_MS);
        }
    }

    fn go_on(&mut self, number: u8) {
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        let waiting = life.go_on();
        waiting.into_iter().for_each(|input| self.input(number, input));
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
}

/// The name of the dice of lost power.
const POWER: u64 = u64::from_be_bytes(*b"no power");
