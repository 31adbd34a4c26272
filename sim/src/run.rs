//! One run: a fresh OS thread, a seeded runtime on virtual time, a scenario, an outcome.
//!
//! Invariants: a run is a function of its seed and scenario; it never starts while a hook is dead;
//! it ends, by its scenario, a panic, its virtual time limit or the real-time watchdog, and every
//! failure names the seed. The thread is fresh because std, `rand` and tokio keep state per thread.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crdt_state::marks::{Counts, take_reached};
use crdt_state::queues::{Fullest, take_fullest};
use thiserror::Error;
use tokio::runtime::{Builder, RngSeed, Runtime};

use crate::det::{self, DeadHook, Hook};
use crate::fork::Fork;
use crate::net::NetStats;
use crate::ownership::{self, Strays};
use crate::pulse::{self, Panic, Stop};
use crate::recording::Recorder;
use crate::trace::{Progress, Sink, Trace};
use crate::world::World;
use crate::{chance, clock, entropy};

/// How a run is watched and recorded.
pub struct Options {
    /// Where the trace's lines go.
    pub sink: Option<Sink>,
    /// The virtual time a scenario may take (arbitrary: a day, far beyond any show).
    pub virtual_limit: Duration,
    /// The real time it may take (arbitrary: far beyond a scenario of minutes in a debug build).
    pub real_limit: Duration,
    /// Stops a show at this virtual time, if it has begun by then.
    pub until: Option<Duration>,
    /// Where the run leaves its past.
    pub fork: Option<Fork>,
    /// Who draws the run.
    pub recorder: Option<Recorder>,
    /// Where it can be seen how far the run is.
    pub progress: Progress,
    /// Leaves one hook out, to show that the self-test notices.
    pub without: Option<Hook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sink: None,
            virtual_limit: Duration::from_secs(86_400),
            real_limit: Duration::from_secs(300),
            until: None,
            fork: None,
            recorder: None,
            progress: Progress::default(),
            without: None,
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome<T> {
    /// The seed.
    pub seed: u64,
    /// The hash of everything that crossed a port; equal for equal seeds.
    pub trace_hash: u64,
    /// The lines behind the hash.
    pub trace_lines: u64,
    /// Virtual time passed.
    pub virtual_time: Duration,
    /// Real time passed.
    pub real_time: Duration,
    /// What the network did.
    pub net: NetStats,
    /// How often the seed answered for the kernel's entropy.
    pub entropy_reads: u64,
    /// Tasks that machines spawned past their spawners.
    pub strays: Strays,
    /// How often each mark of the production code was reached.
    pub reached: Counts,
    /// How full each queue of the production code was when it was fullest.
    pub fullest: Fullest,
    /// What the scenario returned.
    pub value: T,
}

impl<T, E> Outcome<Result<T, E>> {
    /// The outcome of a scenario that can fail.
    ///
    /// # Errors
    /// The scenario's own.
    pub fn transpose(self) -> Result<Outcome<T>, E> {
        let Self { seed, trace_hash, trace_lines, virtual_time, real_time, .. } = self;
        let Self { net, entropy_reads, strays, reached, fullest, value, .. } = self;
        let value = value?;
        Ok(Outcome {
            seed,
            trace_hash,
            trace_lines,
            virtual_time,
            real_time,
            net,
            entropy_reads,
            strays,
            reached,
            fullest,
            value,
        })
    }
}

/// Why a run has no outcome.
#[derive(Debug, Error)]
pub enum RunError {
    /// A hook is dead; the run was not started.
    #[error("seed {seed}: {why}")]
    DeadHook {
        /// The seed.
        seed: u64,
        /// Which source escapes.
        why: DeadHook,
    },
    /// Something panicked.
    #[error("seed {seed}: panic at {} ns: {}", first.at_ns, first.message)]
    Panicked {
        /// The seed.
        seed: u64,
        /// The first panic of the run.
        first: Panic,
    },
    /// Tasks wake each other while virtual time stands still.
    #[error("seed {seed}: livelock at {at_ns} ns: virtual time stands still")]
    Livelock {
        /// The seed.
        seed: u64,
        /// When, in virtual nanoseconds.
        at_ns: u64,
    },
    /// The scenario did not end in virtual time.
    #[error("seed {seed}: the scenario did not end within {limit:?} of virtual time")]
    OutOfVirtualTime {
        /// The seed.
        seed: u64,
        /// The limit.
        limit: Duration,
    },
    /// The scenario did not end in real time.
    #[error("seed {seed}: the scenario did not end within {limit:?} of real time")]
    OutOfRealTime {
        /// The seed.
        seed: u64,
        /// The limit.
        limit: Duration,
    },
    /// The thread, the runtime or the trace's sink failed.
    #[error("seed {seed}: {why}")]
    Io {
        /// The seed.
        seed: u64,
        /// What failed.
        why: io::Error,
    },
}

/// Runs a scenario on `seed`.
///
/// # Errors
/// If a hook is dead, anything panicked, or the scenario did not end.
pub fn run<S, F, T>(seed: u64, options: Options, scenario: S) -> Result<Outcome<T>, RunError>
where
    S: FnOnce(World) -> F + Send + 'static,
    F: Future<Output = T>,
    T: Send + 'static,
{
    det::self_test(seed, options.without).map_err(|why| RunError::DeadHook { seed, why })?;
    let began = Instant::now();
    let real_limit = options.real_limit;
    let watchdog = Arc::new(AtomicBool::new(false));
    let (done, outcome) = sync_channel(1);
    #[cfg(feature = "planted")]
    let planted = crdt_state::planted::planted();
    let watched = watchdog.clone();
    let simulation = move || {
        #[cfg(feature = "planted")]
        crdt_state::planted::plant(planted);
        // The receiver is gone only if the watchdog gave this run up.
        let _ = done.send(execute(seed, options, scenario, watched));
    };
    std::thread::Builder::new()
        .name(format!("seed {seed}"))
        .spawn(simulation)
        .map_err(|why| RunError::Io { seed, why })?;
    let mut outcome = wait(seed, real_limit, &outcome, &watchdog)?;
    outcome.real_time = began.elapsed();
    Ok(outcome)
}

/// How long a run has to stop after the watchdog barked, before its thread is given up.
const STOP_WITHIN: Duration = Duration::from_secs(5);

fn wait<T>(
    seed: u64,
    limit: Duration,
    outcome: &Receiver<Result<Outcome<T>, RunError>>,
    watchdog: &AtomicBool,
) -> Result<Outcome<T>, RunError> {
    let late = || RunError::OutOfRealTime { seed, limit };
    match outcome.recv_timeout(limit) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => {
            watchdog.store(true, Ordering::Relaxed);
            outcome.recv_timeout(STOP_WITHIN).unwrap_or_else(|_| Err(late()))
        }
        Err(RecvTimeoutError::Disconnected) => {
            let why = io::Error::other("the simulation's thread died");
            Err(RunError::Io { seed, why })
        }
    }
}

fn execute<S, F, T>(
    seed: u64,
    options: Options,
    scenario: S,
    watchdog: Arc<AtomicBool>,
) -> Result<Outcome<T>, RunError>
where
    S: FnOnce(World) -> F,
    F: Future<Output = T>,
{
    let io_error = |why| RunError::Io { seed, why };
    let _entered = det::enter(seed, options.without);
    pulse::watch(watchdog);
    #[cfg(feature = "planted")]
    crate::planting::begin();
    let (limits, fork) = ((options.virtual_limit, options.real_limit), options.fork);
    let trace = Trace::watched(options.sink, options.progress, options.recorder);
    let world = World::new(seed, trace.clone());
    let runtime = runtime(seed).map_err(io_error)?;
    // A panic is caught twice, because tasks that end with the runtime may panic too.
    let simulated = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(simulate(world, limits.0, fork, scenario))
    }));
    let closed = trace.close();
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(runtime)));
    let strays = ownership::finish();
    if let Some(first) = pulse::finish().into_iter().next() {
        return Err(RunError::Panicked { seed, first });
    }
    closed.map_err(io_error)?;
    match (simulated, dropped) {
        (Ok(Ok(outcome)), Ok(())) => {
            let (reached, fullest) = (take_reached(), take_fullest());
            Ok(Outcome { strays, reached, fullest, ..outcome })
        }
        (Ok(Err(stop)), _) => Err(failure(seed, stop, limits)),
        _ => Err(failure(seed, Stop::Panicked, limits)),
    }
}

fn runtime(seed: u64) -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    ownership::track(&mut builder);
    builder.enable_time().start_paused(true);
    // Nothing comes from outside, and no timer falls due while a task can run: one look before each idle
    // moment is enough.
    builder.event_interval(EVENT_INTERVAL);
    builder.rng_seed(RngSeed::from_bytes(&seed.to_le_bytes())).build()
}

/// Polls between two looks at the timers (arbitrary: many instants have fewer).
const EVENT_INTERVAL: u32 = 1_024;

async fn simulate<S, F, T>(
    world: World,
    limit: Duration,
    fork: Option<Fork>,
    scenario: S,
) -> Result<Outcome<T>, Stop>
where
    S: FnOnce(World) -> F,
    F: Future<Output = T>,
{
    clock::start_here();
    let delivery = world.net().clone().deliver(tokio::time::Instant::now());
    let delivery = tokio::spawn(delivery).abort_handle();
    let value = tokio::select! { biased;
        stop = pulse::beat(limit) => return Err(stop),
        never = chance::leave_past(fork) => match never {},
        value = pulse::stoppable(scenario(world.clone())) => value,
    };
    delivery.abort();
    world.end();
    Ok(Outcome {
        seed: world.seed(),
        trace_hash: world.trace().hash(),
        trace_lines: world.trace().lines(),
        virtual_time: world.elapsed(),
        real_time: Duration::ZERO,
        net: world.net().stats(),
        entropy_reads: entropy::reads(),
        strays: Strays::new(),
        reached: Counts::default(),
        fullest: Fullest::default(),
        value,
    })
}

fn failure(seed: u64, stop: Stop, (virtual_limit, real_limit): (Duration, Duration)) -> RunError {
    match stop {
        Stop::Livelock => RunError::Livelock { seed, at_ns: clock::virtual_ns() },
        Stop::OutOfTime => RunError::OutOfVirtualTime { seed, limit: virtual_limit },
        Stop::Watchdog => RunError::OutOfRealTime { seed, limit: real_limit },
        Stop::Panicked => {
            let message = "a panic that no hook saw".to_owned();
            RunError::Panicked { seed, first: Panic { at_ns: clock::virtual_ns(), message } }
        }
    }
}
