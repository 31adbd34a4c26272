//! Message fidelity: the cores of nodes (engine, director, replica) driven straight from a virtual
//! event queue. No runtime, no TLS, no sockets: many nodes, players and seeds.
//!
//! The same schedule, the same evidence, the same checkers and the same trace as in wire fidelity.
//! What the model leaves out is what the wire is for: QUIC's own repair, chitchat's failure
//! detector, MQTT, redb. Of the messages that are lost or damaged four in five come late, as if they had been
//! sent again, and one is lost for good, as where a queue was full. Membership is a delay after which each side
//! notices what has become of the other. Nothing here reads a wall clock or has a largest packet.
//!
//! Invariants: a run is a function of its schedule; time goes in ticks of a millisecond, as under
//! tokio's timers; whatever reaches a node within a tick is one turn of its core.

pub(crate) mod disk;
mod faults;
mod fork;
mod growth;
mod host;
mod interest;
mod letting_go;
mod net;
mod node;
mod player;
mod queue;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crdt_state::marks::take_reached;
use crdt_state::queues::take_fullest;

use crate::clock;
use crate::ownership::Strays;
use crate::pulse::Panic;
use crate::quiz::evidence::Evidence;
use crate::run::{Options, Outcome, RunError};
use crate::schedule::Schedule;
use crate::trace::Trace;

pub use self::growth::{Growth, grow};
use self::world::World;

/// How much longer than its limit a run may take until it is said to hang.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Barks once a run has taken too much real time. A thread of its own, for the run's sees no real clock.
struct Watchdog {
    barked: Arc<AtomicBool>,
    /// Gone with the run.
    _leash: Sender<()>,
}

impl Watchdog {
    fn start(seed: u64, limit: Duration) -> Self {
        let barked = Arc::new(AtomicBool::new(false));
        let (leash, run) = channel();
        let bark = barked.clone();
        let is_over = move |limit| run.recv_timeout(limit) != Err(RecvTimeoutError::Timeout);
        let watch = move || {
            if is_over(limit) {
                return;
            }
            bark.store(true, Ordering::Relaxed);
            if !is_over(STOP_WITHIN) {
                eprintln!("seed {seed} hangs: a core has not returned for {STOP_WITHIN:?}");
            }
        };
        // Without it a run is only not ended.
        let _ = std::thread::Builder::new().name(format!("watchdog of {seed}")).spawn(watch);
        Self { barked, _leash: leash }
    }
}

/// Runs a schedule and returns what was seen.
///
/// # Errors
/// If a core panics, the trace cannot be written, or the run takes too long.
pub fn run(schedule: Schedule, options: Options) -> Result<Outcome<Evidence>, RunError> {
    let began = Instant::now();
    let seed = schedule.seed;
    let watchdog = Watchdog::start(seed, options.real_limit);
    let trace = Trace::watched(options.sink, options.progress, options.recorder);
    #[cfg(feature = "planted")]
    crate::planting::begin();
    // Of this run, and not of what else this thread has done.
    let _ = (take_reached(), take_fullest());
    let simulated = catch_unwind(AssertUnwindSafe(|| {
        clock::drive(Some(0));
        let mut world = World::new(Arc::new(schedule), trace.clone());
        world.stop_at(options.until);
        world.fork(options.fork);
        world.run(&watchdog.barked);
        world.finish()
    }));
    let at_ns = clock::virtual_ns();
    clock::drive(None);
    let evidence = simulated.map_err(|why| {
        let text = why.downcast_ref::<String>().cloned();
        let text = text.or_else(|| why.downcast_ref::<&str>().map(ToString::to_string));
        let message = text.unwrap_or_else(|| "a panic without words".to_owned());
        RunError::Panicked { seed, first: Panic { at_ns, message } }
    })?;
    trace.close().map_err(|why| RunError::Io { seed, why })?;
    if watchdog.barked.load(Ordering::Relaxed) {
        return Err(RunError::OutOfRealTime { seed, limit: options.real_limit });
    }
    let (value, net) = evidence;
    Ok(Outcome {
        seed,
        trace_hash: trace.hash(),
        trace_lines: trace.lines(),
        virtual_time: Duration::from_nanos(at_ns),
        real_time: began.elapsed(),
        net,
        entropy_reads: 0,
        strays: Strays::new(),
        reached: take_reached(),
        fullest: take_fullest(),
        value,
    })
}
