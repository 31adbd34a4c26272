//! What is known of every instance: which question it runs, how long it is open, who has sealed it.

use crate::delta::{Advance, Seal};
use crate::id::{Lamport, Origin};
use crate::lattice::{Max, Min, Pointwise};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// One run of a question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Which question: the smallest (Lamport, origin, question) of all who proposed one.
    choice: Min<(Lamport, Origin, u16)>,
    /// How long it is open, in milliseconds; extensions raise it.
    pub open_ms: Max<u32>,
}

impl Round {
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
    }
}

/// All rounds and seals of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    rounds: Pointwise<u32, Round>,
    /// By origin and instance: the bulk head that was sealed, the larger one holds.
    seals: BTreeMap<Origin, BTreeMap<u32, u64>>,
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
    }

    /// The round of an instance, created if it is new.
    pub fn at(&mut self, instance: u32) -> &mut Round {
        self.rounds.at(instance)
    }

    /// Takes in a seal.
    pub fn seal(&mut self, seal: &Seal) {
        let held = self.seals.entry(seal.origin).or_default().entry(seal.instance).or_default();
        *held = seal.head.max(*held);
    }

    /// What is known of an instance.
    #[must_use]
    pub fn get(&self, instance: u32) -> Option<&Round> {
        self.rounds.0.get(&instance)
    }

    /// Every instance, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Round)> {
        self.rounds.0.iter().map(|(instance, round)| (*instance, round))
    }

    /// The bulk head with which `origin` sealed `instance`, by that round's seal or a later one's.
    #[must_use]
    pub fn sealed_head(&self, origin: Origin, instance: u32) -> Option<u64> {
        self.seals.get(&origin)?.range(instance..).next().map(|(_, head)| *head)
    }

    /// Every seal: origin, instance, head.
    pub fn seals(&self) -> impl Iterator<Item = (Origin, u32, u64)> {
        let flat = |(origin, seals): (&Origin, &BTreeMap<u32, u64>)| {
            let origin = *origin;
            seals.iter().map(move |(i, h)| (origin, *i, *h)).collect::<Vec<_>>()
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
        for (origin, instance, head) in other.seals() {
            self.seal(&Seal { origin, instance, head });
        }
        self.rounds.merge(other.rounds);
    }
}
