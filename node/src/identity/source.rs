//! Where the platform's keys come from, and how they are kept fresh.
//!
//! A file is looked at each second, so that whoever writes it needs no signal. A URL is fetched at the
//! start, again every five minutes, and when a token has a key that is not known, but never twice within
//! ten seconds: strangers with made-up key ids cannot make a node ask more often. Whoever waits for
//! a fetch waits a bounded time. What was good last stays in use while nothing better comes.

use super::keys::{DOCUMENT_BYTES_MAX, KeySet, KeysError, looks_like};
use super::{Bearer, IdentityConfig, IdentityError};
use crate::api::metrics::{Sample, Source};
use crate::env::{Blocking, Env, Wall};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// A JWKS document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(String),
}

impl FromStr for KeySource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        Ok(if is_url { KeySource::Url(text.to_owned()) } else { KeySource::File(text.into()) })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => write!(f, "{}", path.display()),
            KeySource::Url(url) => f.write_str(url),
        }
    }
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Fetch(#[from] ureq::Error),
    #[error("{0}")]
    Keys(#[from] KeysError),
}

impl KeySource {
    /// How long keys are used before they are looked at again.
    fn age_max(&self) -> Duration {
        match self {
            KeySource::File(_) => Duration::from_secs(1),
            KeySource::Url(_) => Duration::from_secs(300),
        }
    }

    /// Between two looks that strangers cause.
    fn interval_min(&self) -> Duration {
        match self {
            KeySource::File(_) => Duration::from_millis(100),
            KeySource::Url(_) => Duration::from_secs(10),
        }
    }

    /// Blocks, at most [`FETCH_TIMEOUT`] where the network is asked.
    fn load(&self) -> Result<Vec<u8>, LoadError> {
        let mut document = Vec::new();
        let most = DOCUMENT_BYTES_MAX as u64 + 1;
        match self {
            KeySource::File(path) => {
                File::open(path)?.take(most).read_to_end(&mut document)?;
            }
            KeySource::Url(url) => {
                let config = ureq::Agent::config_builder()
                    .timeout_global(Some(FETCH_TIMEOUT))
                    .max_redirects(REDIRECTS_MAX);
                let agent: ureq::Agent = config.build().into();
                let mut response = agent.get(url).call()?;
                response.body_mut().as_reader().take(most).read_to_end(&mut document)?;
            }
        }
        Ok(document)
    }
}

/// Checks tokens under keys that it keeps fresh.
pub struct Identities {
    config: IdentityConfig,
    wall: Wall,
    blocking: Arc<dyn Blocking>,
    keys: RwLock<Arc<KeySet>>,
    /// When keys were last asked for, and what was found then; held while they are.
    asked: Mutex<Option<(Instant, Vec<u8>)>>,
    loads: AtomicU64,
    failures: AtomicU64,
    /// Whether the last look failed, which is said once.
    failing: AtomicBool,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Identities {
    /// Takes the platform's tokens; has no keys before it runs or is asked.
    #[must_use]
    pub fn new(config: IdentityConfig, env: &Env) -> Arc<Self> {
        Arc::new(Identities {
            config,
            wall: Arc::clone(&env.wall),
            blocking: Arc::clone(&env.blocking),
            keys: RwLock::default(),
            asked: Mutex::new(None),
            loads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        })
    }

    /// Keeps the keys fresh, for good.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.reload(Duration::ZERO).await;
            sleep(self.config.keys.age_max()).await;
        }
    }

    /// Who bears a token.
    ///
    /// # Errors
    /// Why it does not count.
    pub async fn check(&self, token: &str) -> Result<Bearer, IdentityError> {
        if !looks_like(token) {
            return Err(IdentityError::Malformed);
        }
        match self.check_now(token) {
            Err(IdentityError::KeyUnknown)
                if self.reload(self.config.keys.interval_min()).await =>
            {
                self.check_now(token)
            }
            outcome => outcome,
        }
        .map_err(|error| match error {
            IdentityError::KeyUnknown if self.keys().is_empty() => IdentityError::KeysMissing,
            error => error,
        })
    }

    /// Who must have issued every token, if that is fixed.
    #[must_use]
    pub fn issuer(&self) -> Option<String> {
        self.config.issuer.clone()
    }

    fn check_now(&self, token: &str) -> Result<Bearer, IdentityError> {
        self.keys().open(token)?.check(&self.config, (self.wall)())
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for the keys, unless that was done within `interval`; tells whether something may be new.
    /// Who comes while another asks waits for what the other finds.
    async fn reload(&self, interval: Duration) -> bool {
        let before = self.keys();
        let mut asked = self.asked.lock().await;
        if asked.as_ref().is_some_and(|(at, _)| at.elapsed() < interval) {
            return !Arc::ptr_eq(&before, &self.keys());
        }
        let held = asked.as_ref().map(|(_, document)| document.clone()).unwrap_or_default();
        // Whoever waits for the answer may go: the interval counts from here all the same.
        *asked = Some((Instant::now(), held.clone()));
        let loaded = self.load().await;
        let taken = loaded.and_then(|document| match document == held {
            true => Ok(document),
            false => self.take(document),
        });
        let document = match taken {
            Ok(document) => {
                self.failing.store(false, Relaxed);
                document
            }
            Err(error) => self.fail(&error, held),
        };
        *asked = Some((Instant::now(), document));
        true
    }

    async fn load(&self) -> Result<Vec<u8>, LoadError> {
        self.loads.fetch_add(1, Relaxed);
        let source = self.config.keys.clone();
        let loaded = self.blocking.result_of(move || source.load()).await;
        loaded.unwrap_or_else(|| Err(io::Error::other("the work was given up").into()))
    }

    fn take(&self, document: Vec<u8>) -> Result<Vec<u8>, LoadError> {
        let keys = KeySet::read(&document)?;
        info!(source = %self.config.keys, keys = keys.len(), skipped = keys.skipped, "took keys");
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(document)
    }

    /// What was good last stays in use.
    fn fail(&self, error: &LoadError, held: Vec<u8>) -> Vec<u8> {
        self.failures.fetch_add(1, Relaxed);
        if self.failing.swap(true, Relaxed) {
            return held;
        }
        warn!(source = %self.config.keys, %error, "the platform's keys cannot be had");
        held
    }
}

impl Source for Identities {
    fn samples(&self) -> Vec<Sample> {
        let sample = |name, help, value: u64| Sample::new(name, help, value as f64);
        vec![
            sample("starling_identity_keys", "Keys of the platform.", self.keys().len() as u64),
            sample(
                "starling_identity_loads_total",
                "How often they were asked for.",
                self.loads.load(Relaxed),
            ),
            sample(
                "starling_identity_load_failures_total",
                "How often that failed.",
                self.failures.load(Relaxed),
            ),
        ]
    }
}

/// A platform that takes longer is down.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const REDIRECTS_MAX: u32 = 3;
