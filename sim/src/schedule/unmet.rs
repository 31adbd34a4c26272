//! What was asked for by name and does not happen, and why: a run that is calm because nothing could be drawn must not
//! pass for one that has outlived it.

use std::fmt;

use super::kinds::SEEDS_ASKED;
use super::{Kind, Kinds, Schedule};
use crate::verdict::Fidelity;

/// A kind of trouble that does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unmet {
    /// The kind.
    pub kind: Kind,
    /// Why.
    pub why: Why,
}

/// Why a kind of trouble does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// There are too few nodes.
    Nodes,
    /// The fidelity has no part for it.
    Fidelity(Fidelity),
    /// No seed that was asked has any that fits this show.
    Chance,
}

impl Schedule {
    /// What does not happen of the kinds that were named, and of those that are drawn here. Whoever asks for all names
    /// none.
    pub fn unmet(&self, asked: Kinds, fidelity: Fidelity) -> Vec<Unmet> {
        let asked = asked.named();
        let unmet = |kind: Kind| {
            let why = match () {
                () if fidelity.lacks().contains(&kind) => Why::Fidelity(fidelity),
                () if kind.nodes_min() > self.nodes => Why::Nodes,
                () if !self.has(kind) => Why::Chance,
                () => return None,
            };
            let counts = asked.contains(kind) || matches!(why, Why::Fidelity(_)) && self.has(kind);
            counts.then_some(Unmet { kind, why })
        };
        Kind::ALL.into_iter().filter_map(unmet).collect()
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, why } = self;
        write!(f, "no {}: ", kind.name())?;
        match why {
            Why::Nodes => write!(f, "it takes {} nodes or more", kind.nodes_min()),
            Why::Fidelity(fidelity) => write!(f, "{fidelity} fidelity has no part for it"),
            Why::Chance => write!(f, "none of {SEEDS_ASKED} draws has any that fits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Wanted;

    fn of(nodes: u8, kinds: Kinds, fidelity: Fidelity) -> Vec<Unmet> {
        let wanted = Wanted { nodes: Some(nodes), ..Wanted::default() };
        Schedule::draw_of(7, wanted, kinds).unmet(kinds, fidelity)
    }

    #[test]
    fn what_is_named_and_cannot_be_is_said_with_its_reason() {
        let kinds = Kinds::from([Kind::Crash, Kind::Leave, Kind::Clock]);
        let (few, none) = (Unmet { kind: Kind::Leave, why: Why::Nodes }, Vec::new());
        assert_eq!(of(3, kinds, Fidelity::Wire), [few]);
        assert_eq!(of(4, kinds, Fidelity::Wire), none);
        let clock = Unmet { kind: Kind::Clock, why: Why::Fidelity(Fidelity::Message) };
        assert_eq!(of(3, kinds, Fidelity::Message), [clock, few]);
        assert_eq!(few.to_string(), "no leave: it takes 4 nodes or more");
        assert_eq!(of(3, Kinds::NONE, Fidelity::Message), none);
        // Of all kinds none is named: only what is drawn can be left out.
        let of_fidelity = |unmet: &Unmet| unmet.why == Why::Fidelity(Fidelity::Message);
        assert!(of(1, Kinds::ALL, Fidelity::Message).iter().all(of_fidelity));
    }

    /// Whatever the nodes are enough for is found in some other seed.
    #[test]
    fn each_kind_that_is_named_alone_is_drawn() {
        for (kind, seed) in Kind::ALL.into_iter().flat_map(|kind| (0..40).map(move |s| (kind, s))) {
            let wanted = Wanted { nodes: Some(kind.nodes_min()), ..Wanted::default() };
            let kinds = Kinds::from([kind]);
            let schedule = Schedule::draw_of(seed, wanted, kinds);
            let chance = Unmet { kind, why: Why::Chance };
            for fidelity in [Fidelity::Wire, Fidelity::Message] {
                assert!(!schedule.unmet(kinds, fidelity).contains(&chance), "{kind:?}: {schedule}");
            }
        }
    }

    #[test]
    fn so_few_nodes_never_have_what_takes_more() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.nodes_min() > 1) {
            let wanted = Wanted { nodes: Some(kind.nodes_min() - 1), ..Wanted::default() };
            let faults = (0..200).flat_map(|seed| Schedule::draw(seed, wanted).faults);
            assert!(faults.into_iter().all(|planned| planned.fault.kind() != kind), "{kind:?}");
        }
    }
}
