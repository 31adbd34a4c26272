//! Machines and the lives of the process on them.
//!
//! A machine keeps its address and disks; a life is one run of the node's process on it, and
//! holds everything the process has: sockets, streams, tasks. Invariant: after a crash nothing of
//! the old life reaches the network or the disks. Its sockets are taken away before its tasks are
//! ended, so that not even a goodbye leaves.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock;
use crate::disk::{Disk, DiskFile, DiskTrouble};
use crate::gate::Gate;
use crate::net::Net;
use crate::quic::{SimRuntime, SimSocket};
use crate::recording::Sample;
use crate::spawn::Spawner;
use crate::tcp::{SimListener, SimStream};
use crate::trace::Trace;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: its kernel resets its streams at once and keeps its writes.
    Process,
    /// The machine loses power: silence, and unsynced writes meet their dice.
    Power,
}

/// A simulated machine; clones are the same machine.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    ip: IpAddr,
    net: Net,
    trace: Trace,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    life: Option<Life>,
    disks: BTreeMap<String, Disk>,
    skew_ns: i64,
    drift_ppm: i64,
}

impl Machine {
    pub(crate) fn new(seed: u64, ip: IpAddr, net: Net, trace: Trace) -> Self {
        Self(Arc::new(Shared { seed, ip, net, trace, state: Mutex::default() }))
    }

    /// Starts a process.
    ///
    /// # Panics
    /// If one is running already: the scenario is wrong.
    pub fn boot(&self) -> Life {
        let mut state = self.lock();
        assert!(state.life.is_none(), "a machine runs at most one process");
        let gate = Arc::new(Gate::default());
        gate.set_skew_ns(state.skew_ns);
        gate.set_drift_ppm(state.drift_ppm);
        let process = Process {
            machine: self.clone(),
            number: self.0.net.boot(self.0.ip),
            spawner: Arc::new(Spawner::new(gate.clone())),
            gate,
        };
        let life = Life(Arc::new(process));
        self.0.trace.note("machine boots", self.0.ip, life.number());
        state.life = Some(life.clone());
        life
    }

    /// Ends the process, if one is running.
    pub fn crash(&self, how: Crash) {
        let Some(life) = self.lock().life.take() else { return };
        self.0.trace.note("machine crashes", self.0.ip, how as u64);
        match how {
            Crash::Process => self.0.net.kill(self.0.ip),
            Crash::Power => self.0.net.power_off(self.0.ip),
        }
        life.spawner().abort_all();
        for disk in self.lock().disks.values() {
            match how {
                Crash::Process => disk.lose_process(),
                Crash::Power => disk.lose_power(),
            }
        }
    }

    /// Stops the process without ending it, as SIGSTOP does.
    pub fn freeze(&self) {
        self.with_life(|life| life.gate().shut());
    }

    /// Lets a stopped process go on.
    pub fn thaw(&self) {
        self.with_life(|life| life.gate().open());
    }

    /// Sets how far the machine's wall clock is off, in nanoseconds; a crash does not change it.
    pub fn set_skew_ns(&self, skew_ns: i64) {
        self.lock().skew_ns = skew_ns;
        self.with_life(|life| life.gate().set_skew_ns(skew_ns));
    }

    /// Has the machine's wall clock run by so many parts of a million faster from now on.
    pub fn set_drift_ppm(&self, drift_ppm: i64) {
        self.lock().drift_ppm = drift_ppm;
        self.with_life(|life| life.gate().set_drift_ppm(drift_ppm));
    }

    /// Makes one of the machine's files misbehave, or behave again.
    pub fn set_disk_trouble(&self, file: &str, trouble: DiskTrouble) {
        self.disk(file).set_trouble(trouble);
    }

    /// How one of the machine's files misbehaves now.
    pub fn disk_trouble(&self, file: &str) -> DiskTrouble {
        self.disk(file).trouble()
    }

    /// From now on copies of a file are made, for [`Machine::rewind_disks`].
    pub fn copy_disk(&self, file: &str) {
        self.disk(file).make_copies();
    }

    /// Replaces all disks of a stopped machine by copies of them that are some seconds old; those of which there is
    /// none, by empty ones.
    pub fn rewind_disks(&self) {
        self.lock().disks.values().for_each(Disk::rewind);
    }

    /// Replaces all disks of a stopped machine by empty ones.
    pub fn erase_disks(&self) {
        self.lock().disks.values().for_each(Disk::erase);
    }

    /// Forgets its process, which goes on; for the end of a run.
    pub(crate) fn retire(&self) {
        self.lock().life = None;
    }

    /// The machine's address.
    pub fn ip(&self) -> IpAddr {
        self.0.ip
    }

    /// The life that runs now.
    pub fn life(&self) -> Option<Life> {
        self.lock().life.clone()
    }

    fn with_life(&self, action: impl FnOnce(&Life)) {
        if let Some(life) = self.life() {
            action(&life);
        }
    }

    fn disk(&self, file: &str) -> Disk {
        let Shared { seed, ip, trace, .. } = &*self.0;
        let mut state = self.lock();
        let disk = state.disks.entry(file.to_owned());
        disk.or_insert_with(|| Disk::new(*seed, *ip, file, trace.clone())).clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One life of a machine: the ports through which its process meets the world.
#[derive(Clone, Debug)]
pub struct Life(Arc<Process>);

#[derive(Debug)]
struct Process {
    machine: Machine,
    number: u64,
    gate: Arc<Gate>,
    spawner: Arc<Spawner>,
}

impl Life {
    /// Dials a stream.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens, `TimedOut` if nobody answers, `NotConnected` if
    /// this life is over.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<SimStream> {
        SimStream::connect(self.clone(), to).await
    }

    /// Listens for streams; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, or `NotConnected` if this life is over.
    pub fn listen(&self, port: u16) -> io::Result<SimListener> {
        SimListener::bind(self.clone(), port)
    }

    /// A QUIC endpoint of this life.
    ///
    /// # Errors
    /// `AddrInUse`, or `NotConnected` if this life is over.
    pub fn endpoint(
        &self,
        port: u16,
        config: quinn::EndpointConfig,
        server: Option<quinn::ServerConfig>,
    ) -> io::Result<quinn::Endpoint> {
        let socket = self.socket(port)?;
        quinn::Endpoint::new_with_abstract_socket(config, server, socket, self.quic_runtime())
    }

    /// A UDP socket for QUIC; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, or `NotConnected` if this life is over.
    pub fn socket(&self, port: u16) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Ok(Arc::new(SimSocket::bind(self.clone(), port)?))
    }

    /// Time and tasks for QUIC.
    pub fn quic_runtime(&self) -> Arc<dyn quinn::Runtime> {
        Arc::new(SimRuntime::new(self.clone()))
    }

    /// Opens a file of the machine; it is dead once this life is over.
    pub fn open_file(&self, file: &str) -> DiskFile {
        self.0.machine.disk(file).open()
    }

    /// How one of the machine's files misbehaves now.
    pub(crate) fn disk_trouble(&self, file: &str) -> DiskTrouble {
        self.0.machine.disk_trouble(file)
    }

    /// What the machine's wall clock shows.
    pub fn wall(&self) -> SystemTime {
        let true_wall = SystemTime::UNIX_EPOCH
            + Duration::from_secs(clock::WALL_START_S)
            + Duration::from_nanos(clock::virtual_ns());
        let skew_ns = self.gate().skew_ns();
        let skew = Duration::from_nanos(skew_ns.unsigned_abs());
        if skew_ns < 0 { true_wall - skew } else { true_wall + skew }
    }

    /// The spawner of this life's tasks.
    pub fn spawner(&self) -> &Arc<Spawner> {
        &self.0.spawner
    }

    /// The machine's address.
    pub fn ip(&self) -> IpAddr {
        self.0.machine.ip()
    }

    /// The address of one of the machine's ports.
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    /// Puts an observation into the run's trace.
    pub fn note(&self, what: &str, value: u64) {
        self.0.machine.0.trace.note(what, self.ip(), value);
    }

    /// Shows a sample to whoever draws the run.
    /// Whether somebody draws the run.
    pub(crate) fn is_drawn(&self) -> bool {
        self.0.machine.0.trace.recorder().is_some()
    }

    pub(crate) fn sample(&self, sample: Sample) {
        if let Some(recorder) = self.0.machine.0.trace.recorder() {
            recorder.sample(sample);
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn net(&self) -> &Net {
        &self.0.machine.0.net
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }
}
