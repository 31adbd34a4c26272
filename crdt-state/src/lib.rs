//! What Starling replicates and how it merges.
//!
//! One live show is one lattice, [`EventState`]: a product of small lattices that is dropped as a whole when
//! the show is archived. Nodes change it by writing [`delta::Delta`]s to lanes that only they write; applying
//! the lanes of all origins, each in order, gives the same state everywhere, whatever the order between
//! lanes. The same state is reached by joining snapshots. Everything that people see of a show (scores,
//! ranks, tallies) is a fold over this state and is never replicated itself.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | names: nodes, origins, lanes, events, players, rows |
//! | [`lattice`] | maximum, minimum, pointwise maps, in the traits of the `crdts` crate |
//! | [`named`] | flags, counters, sets and settings by name, on the types of the `crdts` crate |
//! | [`mod@column`] | dense columns of answer cells |
//! | [`players`] | rows, aliases, names |
//! | [`stage`] | where a show stands |
//! | [`event`] | the product of all these |
//! | [`delta`] | what an entry says, in versioned frames |
//! | [`mod@version`] | which versions of all that a program speaks |
//! | [`engagement`] | the rules of each kind of engagement |
//! | [`marks`], [`mod@planted`] | what the simulator counts and what it must find; nothing of it ships |
//! | [`catalogue`] | what every node knows of every event |
//!
//! This crate is a pure function of its arguments. It has no clock, no randomness, no IO, no async and
//! no notion of peers; elapsed time, order hints and origins come in as values.

pub mod caps;
pub mod catalogue;
pub mod column;
pub mod delta;
pub mod engagement;
pub mod event;
pub mod id;
pub mod lattice;
pub mod marks;
pub mod name;
pub mod named;
pub mod planted;
pub mod players;
pub mod queues;
pub mod stage;
pub mod version;

pub use column::Cell;
pub use event::EventState;
pub use id::{
    Dot, EventId, Heads, Lamport, Lane, LaneId, Mono, NodeId, Origin, Period, PlayerId, Row,
    TokenId,
};
pub use stage::{Phase, Stage};
pub use version::Versions;
