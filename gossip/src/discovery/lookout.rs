//! Looking again and again, whatever happens, and counting.

use super::{Discovery, DiscoveryError, Found};
use crate::network::caught;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// First wait after a look that failed, and how far it doubles.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What became of one strategy's looks.
#[derive(Debug)]
pub struct Lookout {
    name: String,
    looks: AtomicU64,
    failures: AtomicU64,
    found: AtomicU64,
    error: Mutex<Option<String>>,
}

/// The same at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The strategy.
    pub name: String,
    /// Looks so far.
    pub looks: u64,
    /// Of those, how many failed.
    pub failures: u64,
    /// Addresses that the last look found.
    pub found: u64,
    /// Why the last look failed, if it did.
    pub error: Option<String>,
}

impl Lookout {
    /// That of a strategy that has not looked yet.
    #[must_use]
    pub fn of(strategy: &dyn Discovery) -> Self {
        Lookout {
            name: strategy.name(),
            looks: AtomicU64::default(),
            failures: AtomicU64::default(),
            found: AtomicU64::default(),
            error: Mutex::default(),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading {
            name: self.name.clone(),
            looks: self.looks.load(Relaxed),
            failures: self.failures.load(Relaxed),
            found: self.found.load(Relaxed),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Notes how a look went, and says so if it went otherwise than the one before.
    fn note(&self, found: &Found, outcome: &Result<(), DiscoveryError>) {
        self.looks.fetch_add(1, Relaxed);
        self.found.store(found.len() as u64, Relaxed);
        let error = outcome.as_ref().err().map(ToString::to_string);
        self.failures.fetch_add(u64::from(error.is_some()), Relaxed);
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        match &error {
            Some(error) if last.as_ref() != Some(error) => {
                tracing::warn!(strategy = self.name, error, "discovery failed and goes on trying");
            }
            None if last.is_some() => {
                tracing::info!(strategy = self.name, found = found.len(), "discovery works again");
            }
            _ => {}
        }
        *last = error;
    }
}

/// Has `strategy` look again and again, for as long as this is polled, and hands what it finds to
/// `add`.
pub async fn run(
    mut strategy: Box<dyn Discovery>,
    add: impl Fn(Vec<SocketAddr>) + Send,
    lookout: Arc<Lookout>,
) {
    let mut wait = WAIT_MIN;
    loop {
        let mut found = Found::default();
        let outcome = caught(strategy.look(&mut found)).await;
        let outcome = outcome.unwrap_or_else(|panic| Err(DiscoveryError::Panicked(panic)));
        lookout.note(&found, &outcome);
        if !found.is_empty() {
            add(found.iter().collect());
        }
        match outcome {
            Ok(()) => {
                wait = WAIT_MIN;
                sleep(strategy.rest()).await;
            }
            Err(_) => {
                sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    /// Fails in a new way at each look, and finds one address more each time.
    struct Clumsy(u16);

    #[async_trait::async_trait]
    impl Discovery for Clumsy {
        fn name(&self) -> String {
            "clumsy".into()
        }

        async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
            self.0 += 1;
            found.add(([127, 0, 0, 1], self.0).into());
            match self.0 {
                1 => Err(DiscoveryError::Other("not today".into())),
                2 => panic!("ouch"),
                _ => Ok(()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn errors_and_panics_are_counted_waited_for_and_survived() {
        let lookout = Arc::new(Lookout::of(&Clumsy(0)));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (start, told) = (Instant::now(), heard.clone());
        let add = move |found: Vec<SocketAddr>| {
            told.lock().unwrap().push((found[0].port(), start.elapsed().as_secs()));
        };
        let looking = run(Box::new(Clumsy(0)), add, lookout.clone());
        assert!(timeout(Duration::from_secs(9), looking).await.is_err(), "it never ends");
        assert_eq!(*heard.lock().unwrap(), [(1, 0), (2, 1), (3, 3), (4, 8)]);
        let Reading { looks, failures, found, error, .. } = lookout.reading();
        assert_eq!((looks, failures, found, error), (4, 2, 1, None));
    }
}
