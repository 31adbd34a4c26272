//! Who is alive, what each peer lacks, and moving it there.
//!
//! Starling has no master: every node speaks to every other, and each learns the same things in
//! whatever order the network allows. This crate holds that half of a node which is about peers,
//! as pure state machines without IO under thin asynchronous shells. It knows bytes, lanes and
//! peers; it must never know players or the rules of an engagement.
//!
//! A state machine here has four doors: `handle_input` (the world pushes), `poll_output` (the
//! world pulls), `poll_timeout` (when to come back), `check_invariants` (what must always hold).
//! Time is an argument, so the simulator runs the very same code.

pub mod discovery;
pub mod network;
pub mod replication;
