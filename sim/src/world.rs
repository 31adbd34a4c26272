//! The world of one run: its machines and the network between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::machine::Machine;
use crate::net::Net;
use crate::trace::Trace;

/// The world of one run; clones share it.
#[derive(Clone, Debug)]
pub struct World(Arc<WorldShared>);

#[derive(Debug)]
struct WorldShared {
    seed: u64,
    net: Net,
    trace: Trace,
    machines: Mutex<BTreeMap<IpAddr, Machine>>,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let net = Net::new(seed, trace.clone());
        Self(Arc::new(WorldShared { seed, net, trace, machines: Mutex::default() }))
    }

    /// The machine of node `number`, at 10.0.0.`number`.
    pub fn node(&self, number: u8) -> Machine {
        self.machine(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)))
    }

    /// The device of player `number`, in 10.1.0.0/16.
    pub fn player(&self, number: u16) -> Machine {
        let [high, low] = number.to_be_bytes();
        self.machine(IpAddr::V4(Ipv4Addr::new(10, 1, high, low)))
    }

    /// The machine at an address.
    pub fn machine(&self, ip: IpAddr) -> Machine {
        let mut machines = self.0.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Machine::new(self.0.seed, ip, self.0.net.clone(), self.0.trace.clone());
        machines.entry(ip).or_insert_with(make).clone()
    }

    /// Lets go of all lives: machines and lives refer to each other.
    pub(crate) fn end(&self) {
        let machines = self.0.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.values().for_each(Machine::retire);
    }

    /// The network.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    /// The run's trace.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// The run's seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Virtual time since the run began.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(clock::virtual_ns())
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
