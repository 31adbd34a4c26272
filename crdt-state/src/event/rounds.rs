//! What is known of every instance: which question it runs, how long it is open, who has sealed it.

use super::fences::Fences;
use crate::delta::{Advance, Fence, Seal};
use crate::id::{Heads, Lamport, LaneId, Origin};
use crate::lattice::{Max, Min, Pointwise};
use crate::stage::Phase;
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// One run of a question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Which question: the smallest (Lamport, origin, question) of all who proposed one.
    choice: Min<(Lamport, Origin, u16)>,
    /// How long it is open, in milliseconds; extensions raise it.
    pub open_ms: Max<u32>,
    /// How far it has come itself: the show may leave it for the next one from anywhere.
    reached: Max<Phase>,
}

impl Round {
    /// How far it has come.
    #[must_use]
    pub fn reached(&self) -> Phase {
        self.reached.0
    }

    /// The question that is shown.
    #[must_use]
    pub fn question(&self) -> Option<u16> {
        self.choice.0.map(|(_, _, question)| question)
    }
}

impl CvRDT for Round {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.choice.merge(other.choice);
        self.open_ms.merge(other.open_ms);
        self.reached.merge(other.reached);
    }
}

/// All rounds and seals of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    rounds: Pointwise<u32, Round>,
    /// By origin and instance: the heads that were sealed.
    seals: BTreeMap<Origin, BTreeMap<u32, Sealed>>,
    /// Origins that a seal's writer knew to take part.
    known: BTreeSet<Origin>,
    /// What nodes stand behind of others' answers.
    fences: Fences,
}

/// The heads of an origin's lanes that its seal names. Of two seals the larger of each holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sealed {
    /// Of its bulk lane.
    pub bulk: u64,
    /// Of its control lane.
    pub control: u64,
}

impl Sealed {
    /// Whether all that was sealed has been applied.
    #[must_use]
    pub fn is_within(&self, origin: Origin, heads: &Heads) -> bool {
        let (bulk, control) = (LaneId::bulk(origin), LaneId::control(origin));
        (self.bulk <= heads.get(&bulk) || crate::planted!(SealWithoutAnswers))
            && self.control <= heads.get(&control)
    }
}

impl Rounds {
    /// Takes in a step of the show.
    pub fn advance(&mut self, origin: Origin, advance: &Advance) {
        if advance.to.is_over() || advance.to.instance == 0 {
            return;
        }
        let round = self.at(advance.to.instance);
        if let Some(question) = advance.question {
            round.choice.observe((advance.lamport, origin, question));
        }
        round.open_ms.observe(advance.open_ms.unwrap_or(0));
        round.reached.observe(advance.to.phase);
    }

    /// The round of an instance, created if it is new.
    pub fn at(&mut self, instance: u32) -> &mut Round {
        self.rounds.at(instance)
    }

    /// Takes in a seal.
    pub fn seal(&mut self, seal: &Seal) {
        let held = self.seals.entry(seal.origin).or_default().entry(seal.instance).or_default();
        held.bulk = seal.head.max(held.bulk);
        held.control = seal.control.max(held.control);
        self.known.extend(&seal.knows);
    }

    /// Takes in a fence that `writer` put up.
    pub fn fence(&mut self, writer: Origin, fence: &Fence) {
        self.fences.take(writer, fence);
    }

    /// All fences.
    #[must_use]
    pub fn fences(&self) -> &Fences {
        &self.fences
    }

    /// The newest run that `origin` has sealed, but for the seal for good; 0 if none.
    #[must_use]
    pub fn newest_sealed(&self, origin: Origin) -> u32 {
        let seals = self.seals.get(&origin);
        let newest = seals.and_then(|seals| seals.range(..Seal::FOR_GOOD).next_back());
        newest.map_or(0, |(instance, _)| *instance)
    }

    /// Origins that take part by the word of a seal, wherever their own enrolment may be.
    pub fn known(&self) -> impl Iterator<Item = Origin> {
        self.known.iter().copied()
    }

    /// What is known of an instance.
    #[must_use]
    pub fn get(&self, instance: u32) -> Option<&Round> {
        self.rounds.0.get(&instance)
    }

    /// Every instance, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Round)> {
        self.rounds.0.iter().map(|(instance, round)| (*instance, round))
    }

    /// The heads with which `origin` sealed `instance`, by that round's seal or a later one's.
    #[must_use]
    pub fn sealed(&self, origin: Origin, instance: u32) -> Option<Sealed> {
        self.seals.get(&origin)?.range(instance..).next().map(|(_, sealed)| *sealed)
    }

    /// Every seal: origin, instance, heads.
    pub fn seals(&self) -> impl Iterator<Item = (Origin, u32, Sealed)> {
        let flat = |(origin, seals): (&Origin, &BTreeMap<u32, Sealed>)| {
            let origin = *origin;
            seals.iter().map(move |(i, sealed)| (origin, *i, *sealed)).collect::<Vec<_>>()
        };
        self.seals.iter().flat_map(flat)
    }
}

impl CvRDT for Rounds {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (origin, instance, Sealed { bulk: head, control }) in other.seals() {
            self.seal(&Seal { origin, instance, head, control, knows: Vec::new() });
        }
        self.known.extend(&other.known);
        self.fences.merge(other.fences);
        self.rounds.merge(other.rounds);
    }
}
