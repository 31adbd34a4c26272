//! Finding other nodes: where to look for addresses that might be a node's.
//!
//! A strategy only ever *adds* candidates, which the network then tries; an empty answer changes
//! nothing, and nobody ceases to be a member because a strategy no longer names its address. Who is
//! a member, the handshake and gossip decide. So a strategy may be wrong, late or down without harm:
//! whatever fails is said once, counted, and tried again with a wait that doubles.
//!
//! A strategy of one's own is one function:
//!
//! ```
//! use gossip::discovery::{Discovery, DiscoveryError, Found};
//!
//! /// Asks some inventory for the machines of a rack.
//! struct Rack(u8);
//!
//! #[async_trait::async_trait]
//! impl Discovery for Rack {
//!     fn name(&self) -> String {
//!         format!("rack:{}", self.0)
//!     }
//!
//!     async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
//!         for host in 1..=4 {
//!             found.add(([10, 0, self.0, host], 7946).into());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let add = |addresses: Vec<std::net::SocketAddr>| assert_eq!(addresses.len(), 4);
//! // `add` is `|addresses| network.add_candidates(addresses)` in earnest.
//! let lookout = std::sync::Arc::new(gossip::discovery::Lookout::of(&Rack(3)));
//! let looking = gossip::discovery::run(Box::new(Rack(3)), add, lookout.clone());
//! # tokio::select! { () = looking => {}, () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {} }
//! # assert_eq!(lookout.reading().found, 4);
//! # }
//! ```

mod dns;
mod exec;
mod family;
mod file;
mod list;
mod local;
mod lookout;
mod multicast;
mod names;
mod strategy;

pub use family::Family;
pub use lookout::{Lookout, Reading, run};
pub use strategy::{ParseStrategyError, Strategy, Surroundings};

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Addresses that one look may find; more are dropped. As many as the address book holds.
pub const FOUND_MAX: usize = 1_024;

/// A way to find addresses that might be a node's.
#[async_trait::async_trait]
pub trait Discovery: Send + 'static {
    /// What it is called in logs and metrics.
    fn name(&self) -> String;

    /// Looks once. What was added before an error counts all the same. May take its time: it is
    /// dropped when the node stops, and at no other moment.
    ///
    /// # Errors
    /// Whatever kept it from finding all that there is.
    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError>;

    /// How long to rest after a look that went well. Default 5 s: as long as a healed partition
    /// may go unnoticed.
    fn rest(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// What one look has found: each address once, at most [`FOUND_MAX`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found(BTreeSet<SocketAddr>);

impl Found {
    /// Adds an address. One that nobody can be at is dropped, and so is what is too much.
    pub fn add(&mut self, address: SocketAddr) {
        let usable = address.port() != 0 && !address.ip().is_unspecified();
        if usable && self.0.len() < FOUND_MAX {
            self.0.insert(address);
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<SocketAddr> for Found {
    fn extend<T: IntoIterator<Item = SocketAddr>>(&mut self, addresses: T) {
        addresses.into_iter().for_each(|address| self.add(address));
    }
}

/// Why a look did not find all that there is.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// A host name leads nowhere.
    #[error("{name} leads to no address: {why}")]
    Name {
        /// What was looked up.
        name: String,
        /// What the resolver said.
        why: String,
    },
    /// A file or folder cannot be read.
    #[error("{path} cannot be used: {source}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list has something other than addresses in it.
    #[error("line {line} is not host:port: {text:?}")]
    Line {
        /// Which line, counted from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A list is longer than anybody's list of nodes.
    #[error("the list is longer than {bytes_max} bytes")]
    TooLong {
        /// The most that is read.
        bytes_max: usize,
    },
    /// A command failed.
    #[error("the command {what}")]
    Command {
        /// How, with the end of what it wrote to stderr.
        what: String,
    },
    /// It took too long.
    #[error("it took more than {0:?}")]
    TimedOut(Duration),
    /// The network cannot be used so.
    #[error("{doing}: {source}")]
    Socket {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// Whatever a strategy of one's own has to say.
    #[error("{0}")]
    Other(String),
}
