//! A machine's gate: while it is shut, nothing of the machine runs, as under SIGSTOP, a long
//! pause of a virtual machine, or a stalled disk.
//!
//! Invariant: a task behind a shut gate is not polled, and is polled once the gate opens. The
//! machine's sockets pass the same gate, so that tasks which a library spawned past the machine's
//! spawner are stopped at the next thing they say or hear.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::clock;
use crate::pulse;

/// One machine's gate and the skew of its wall clock.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut: AtomicBool,
    skew_ns: AtomicI64,
    drift_ppm: AtomicI64,
    /// Since when it drifts, in virtual nanoseconds.
    drifts_since_ns: AtomicU64,
    parked: Mutex<Vec<Waker>>,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
        let parked =
            std::mem::take(&mut *self.parked.lock().unwrap_or_else(PoisonError::into_inner));
        parked.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }

    pub(crate) fn set_skew_ns(&self, skew_ns: i64) {
        self.skew_ns.store(skew_ns, Ordering::Relaxed);
        self.drifts_since_ns.store(clock::virtual_ns(), Ordering::Relaxed);
    }

    /// From now on; what the clock has gathered by drifting before stays.
    pub(crate) fn set_drift_ppm(&self, drift_ppm: i64) {
        self.set_skew_ns(self.skew_ns());
        self.drift_ppm.store(drift_ppm, Ordering::Relaxed);
    }

    pub(crate) fn skew_ns(&self) -> i64 {
        let drifts = clock::virtual_ns() - self.drifts_since_ns.load(Ordering::Relaxed);
        let drift_ppm = self.drift_ppm.load(Ordering::Relaxed);
        let drifted = i128::from(drifts) * i128::from(drift_ppm) / 1_000_000;
        self.skew_ns.load(Ordering::Relaxed) + drifted as i64
    }

    /// Ready while the gate is open; else the task is woken when it opens.
    pub(crate) fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        if !self.is_shut() {
            return Poll::Ready(());
        }
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if !parked.iter().any(|waiting| waiting.will_wake(context.waker())) {
            parked.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Runs `task` behind this gate.
    pub(crate) fn wrap<F>(self: Arc<Self>, mut task: F) -> impl Future<Output = F::Output> + use<F>
    where
        F: Future + Unpin,
    {
        poll_fn(move |context| {
            if self.poll_open(context).is_pending() || pulse::must_stop() {
                return Poll::Pending;
            }
            Pin::new(&mut task).poll(context)
        })
    }
}
