//! What a node takes from the world: everything that the simulator replaces comes in here.
//!
//! Monotonic time is `tokio::time::Instant`, which tokio's paused clock replaces; the rest are ports.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;

pub use gossip::network::Spawn;

/// Work that waits for a disk.
pub type Work = Box<dyn FnOnce() + Send>;

/// Where work that waits for a disk is done, so that it holds up nothing else.
pub trait Blocking: Send + Sync + 'static {
    /// Does the work and returns when it is done.
    fn run(&self, work: Work) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl dyn Blocking {
    /// Does work and returns its result; nothing if the work died, or a runtime that ends did not begin it.
    pub async fn result_of<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, worked) = oneshot::channel();
        // Whoever asked may have gone.
        self.run(Box::new(move || drop(done.send(work())))).await;
        worked.await.ok()
    }
}

/// The calendar's time in milliseconds since 1970, for display and for new generations only.
pub type Wall = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A node's surroundings.
#[derive(Clone)]
pub struct Env {
    /// How tasks come to life.
    pub spawn: Arc<dyn Spawn>,
    /// Where disk work is done.
    pub blocking: Arc<dyn Blocking>,
    /// The calendar.
    pub wall: Wall,
    /// The root of all randomness of this life of the node.
    pub seed: [u8; 32],
}

impl Env {
    /// A generator of its own for one purpose, so that purposes do not disturb each other.
    #[must_use]
    pub fn random(&self, purpose: &str) -> ChaCha12Rng {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.seed);
        let tag = ring::hmac::sign(&key, purpose.as_bytes());
        let seed = tag.as_ref().try_into().expect("SHA-256 gives 32 bytes");
        ChaCha12Rng::from_seed(seed)
    }

    /// A random number for one purpose.
    #[must_use]
    pub fn random_u64(&self, purpose: &str) -> u64 {
        self.random(purpose).next_u64()
    }

    /// The real surroundings: tokio's tasks and threads, the system's clock and entropy.
    ///
    /// # Errors
    /// When the system has no entropy.
    pub fn system() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Env {
            spawn: Arc::new(TokioSpawn),
            blocking: Arc::new(TokioBlocking),
            wall: Arc::new(system_wall_ms),
            seed,
        })
    }
}

fn system_wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

struct TokioSpawn;

impl Spawn for TokioSpawn {
    fn spawn(&self, _name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}

struct TokioBlocking;

impl Blocking for TokioBlocking {
    fn run(&self, work: Work) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let done = tokio::task::spawn_blocking(work);
        Box::pin(async {
            // Work that died, or that a runtime which ends did not begin, gives no result: whoever
            // waits for one learns that from its absence.
            let _ = done.await;
        })
    }
}
