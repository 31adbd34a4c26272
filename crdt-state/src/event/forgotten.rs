//! Which origins an operator gave up, and where their lanes ended then.
//!
//! A node that is gone for good would leave every result waiting for its seal. Forgetting it ends the
//! waiting, and is never forgotten itself: results name the node from then on. A node that returns all
//! the same says so, and counts again. Of each origin a length is kept that only grows, odd while the
//! origin is forgotten (a causal length, after Yu and Rostad, "A low-cost set CRDT based on causal
//! lengths").

use crate::delta::Forget;
use crate::id::{NodeId, Origin};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// What is known of an origin that was forgotten at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forgotten {
    /// The node that it is an incarnation of.
    pub node: NodeId,
    /// How often it was forgotten and came back, in all.
    pub length: u32,
    /// The furthest bulk head that was known where it was forgotten; whatever came later came late.
    pub head: u64,
}

impl Forgotten {
    /// Whether nobody waits for the origin.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.length % 2 == 1
    }
}

/// Every origin that was ever forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenOrigins(BTreeMap<Origin, Forgotten>);

impl ForgottenOrigins {
    /// Takes in a word about an origin: the larger length holds, and the larger head.
    pub(super) fn take(&mut self, forget: &Forget) {
        let Forget { origin, node, length, head } = *forget;
        let held = self.0.entry(origin).or_insert(Forgotten { node, length: 0, head: 0 });
        held.node = node.min(held.node);
        held.length = length.max(held.length);
        held.head = head.max(held.head);
    }

    /// What is known of an origin, if it was ever forgotten.
    #[must_use]
    pub fn get(&self, origin: Origin) -> Option<&Forgotten> {
        self.0.get(&origin)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &Forgotten)> {
        self.0.iter().map(|(origin, forgotten)| (*origin, forgotten))
    }
}

impl CvRDT for ForgottenOrigins {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (origin, Forgotten { node, length, head }) in other.0 {
            self.take(&Forget { origin, node, length, head });
        }
    }
}
