//! Maelstrom's workloads, by their names, over the product's own replica: broadcast, g-set,
//! g-counter and pn-counter (Kingsbury, Maelstrom, `doc/workloads.md`).
//!
//! The replica that carries an engagement knows nothing of what it carries. Here it carries the
//! sets and counters of those workloads, under the same schedules, weather and faults as the quiz,
//! so that what is claimed of it can be compared in words that others use.
//!
//! Broadcast and g-set are one lattice here, a set of elements that every node holds; what Maelstrom
//! asks of each is asked of both.
//!
//! Deliberately absent: engine, director, players. A client asks one node once, and counts an
//! operation as done when its receipt is firm.

mod cluster;
mod content;
mod faults;
mod history;
mod net;

use crate::schedule::{Kind, Schedule};

use self::cluster::Cluster;
pub use self::history::Results;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Messages that every node must get.
    #[value(name = "broadcast")]
    Broadcast,
    /// A set that only grows.
    #[value(name = "g-set")]
    GSet,
    /// A counter that only grows.
    #[value(name = "g-counter")]
    GCounter,
    /// A counter that goes both ways.
    #[value(name = "pn-counter")]
    PnCounter,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Broadcast, Self::GSet, Self::GCounter, Self::PnCounter];

    /// Maelstrom's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::GSet => "g-set",
            Self::GCounter => "g-counter",
            Self::PnCounter => "pn-counter",
        }
    }

    /// Whether it is read as a number.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::GCounter | Self::PnCounter)
    }
}

/// The kinds of trouble that there is no part for: a replica reads no clock, its content has one version, its messages are
/// no packets, and clients ask once.
pub const LACKS: [Kind; 10] = [
    Kind::Clock,
    Kind::Upgrade,
    Kind::Mtu,
    Kind::Bandwidth,
    Kind::Roaming,
    Kind::Twice,
    Kind::Lying,
    Kind::Flooding,
    Kind::Hosts,
    Kind::LetGo,
];

/// Runs a workload under a schedule: each player asks for one operation while a question is open.
pub fn maelstrom(workload: Workload, schedule: &Schedule) -> Results {
    #[cfg(feature = "planted")]
    crate::planting::begin();
    Cluster::new(workload, schedule).run().judge()
}
