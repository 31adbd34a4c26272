//! The simulator of Starling: whole nodes in one process, on virtual time, over a simulated
//! network and disks, so that a seed names a run down to the byte.
//!
//! What runs is the real thing: real quinn with real TLS, real redb, the node's own code. What is
//! simulated is what lies below: time, entropy, datagrams, streams, disks. Code map:
//!
//! - `hooks`, [`entropy`], [`clock`], [`det`]: libc's sources of chance, answered from the seed;
//! - [`net`], [`link`], `datagram`, `stream`, `kernel`, [`tcp`], [`quic`]: the network;
//! - [`disk`]: disks that forget what was not synced;
//! - [`machine`], `gate`, [`spawn`], [`ownership`]: machines, their crashes, pauses and clocks;
//! - [`run`], [`world`], [`pulse`], [`trace`]: one run, what is in it, its end and its record;
//! - [`mesh`]: a small workload that proves all of this without a node;
//! - [`schedule`]: what a run is given, as data: the show, the people, the faults;
//! - [`cluster`], [`quiz`]: wire fidelity: whole nodes, players, a host, and what goes wrong;
//! - [`message`]: message fidelity: the nodes' cores alone, for many nodes, players and seeds;
//! - [`mod@check`], [`verdict`], [`failure`]: what must hold, and what is said where it does not;
//! - [`sweep`], [`coverage`], [`kept`], [`mod@shrink`]: many seeds, what they reached, the schedules
//!   that failed, and how little of one it takes;
//! - [`recording`], [`mod@report`], [`fork`]: what happened, as a picture, and when it was decided;
//! - [`mod@maelstrom`]: the workloads of others over the same replica;
//! - [`simulation`], [`cli`], [`state`]: the simulator in a test, on the command line, and looked into.
//!
//! No rules of Starling live here. Wire simulation needs Linux with glibc; elsewhere the crate
//! compiles and every run is refused.

#[cfg(not(any(tokio_unstable, doc)))]
compile_error!("the simulator seeds tokio's random choices: build with --cfg tokio_unstable");

mod chance;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod coverage;
mod cuts;
mod datagram;
pub mod det;
pub mod disk;
pub mod entropy;
pub mod failure;
pub mod fork;
mod gate;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod hooks;
pub mod kept;
mod kernel;
mod lasting;
mod limits;
pub mod link;
pub mod machine;
pub mod maelstrom;
pub mod mesh;
pub mod message;
mod mix;
pub mod net;
pub mod ownership;
#[cfg(feature = "planted")]
pub mod planting;
pub mod pulse;
pub mod quic;
pub mod quiz;
pub mod recording;
pub mod report;
mod results;
pub mod run;
pub mod schedule;
pub mod shrink;
pub mod simulation;
pub mod spawn;
pub mod state;
mod storms;
mod stream;
pub mod sweep;
pub mod tcp;
pub mod trace;
pub mod verdict;
pub mod world;
