//! The faults of single nodes that go on, in both fidelities: of two of one kind each ends alone.

use crate::schedule::{Fault, Trouble};

/// Faults that have begun and are not over, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lasting(Vec<Fault>);

impl Lasting {
    /// One begins, or is over.
    pub(crate) fn set(&mut self, fault: &Fault, goes_on: bool) {
        if goes_on {
            self.0.push(fault.clone());
        } else if let Some(place) = self.0.iter().position(|it| it == fault) {
            self.0.remove(place);
        }
    }

    /// Whether a node's process is stopped.
    pub(crate) fn stops(&self, number: u8) -> bool {
        self.0.iter().any(|fault| matches!(fault, Fault::Pause { node } if *node == number))
    }

    /// What a node's disk does wrong.
    pub(crate) fn troubles(&self, number: u8) -> impl Iterator<Item = Trouble> {
        self.0.iter().filter_map(move |fault| match fault {
            Fault::Disk { node, trouble } if *node == number => Some(*trouble),
            _ => None,
        })
    }

    /// By how much a node's wall clock has jumped, in milliseconds.
    pub(crate) fn jumped_ms(&self, number: u8) -> i64 {
        let jumps = self.0.iter().filter_map(|fault| match fault {
            Fault::Clock { node, jump_ms } if *node == number => Some(*jump_ms),
            _ => None,
        });
        jumps.sum()
    }

    /// By how much a node's wall clock runs too fast, in parts of a million.
    pub(crate) fn drift_ppm(&self, number: u8) -> i64 {
        let drifts = self.0.iter().filter_map(|fault| match fault {
            Fault::Drift { node, ppm } if *node == number => Some(*ppm),
            _ => None,
        });
        drifts.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_faults_of_one_node_each_ends_alone() {
        let all = [
            Fault::Pause { node: 1 },
            Fault::Disk { node: 1, trouble: Trouble::Slow },
            Fault::Clock { node: 1, jump_ms: 500 },
            Fault::Drift { node: 1, ppm: -30 },
        ];
        let mut lasting = Lasting::default();
        let seen = |lasting: &Lasting| {
            let slow = lasting.troubles(1).filter(|it| *it == Trouble::Slow).count();
            (lasting.stops(1), slow, lasting.jumped_ms(1), lasting.drift_ppm(1))
        };
        all.iter().chain(&all).for_each(|fault| lasting.set(fault, true));
        lasting.set(&Fault::Disk { node: 1, trouble: Trouble::Full }, true);
        assert_eq!(seen(&lasting), (true, 2, 1_000, -60));
        all.iter().for_each(|fault| lasting.set(fault, false));
        assert_eq!(seen(&lasting), (true, 1, 500, -30));
        assert_eq!((lasting.stops(2), lasting.troubles(2).count()), (false, 0), "another node");
        all.iter().for_each(|fault| lasting.set(fault, false));
        assert_eq!(seen(&lasting), (false, 0, 0, 0));
        assert_eq!(lasting.troubles(1).collect::<Vec<_>>(), [Trouble::Full]);
    }
}
