//! Tasks that must not end: one that panics is started again, after a wait, and counted.
//!
//! What such a task holds lives in [`Shared`](super::Shared), which no panic leaves half-changed,
//! so that starting anew is safe.

use super::Shared;
use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::sleep;

/// Between a panic and the next start, so that a task that always panics does not burn a core.
const RESTART_WAIT: Duration = Duration::from_secs(1);

impl Shared {
    /// Runs `task` until it returns; after a panic it is made anew.
    pub(super) fn supervise<F>(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Fn(Arc<Shared>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = self.clone();
        self.spawn(name, async move {
            while let Err(panic) = caught(task(shared.clone())).await {
                tracing::error!(task = name, panic, "a task panicked and is started again");
                shared.counters.task_restarts.count();
                sleep(RESTART_WAIT).await;
            }
        });
    }
}

/// Runs `future` to its end, or says what it panicked with.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // After a panic the future is never polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(words_of(&*panic))),
        }
    })
    .await
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a word".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_words() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        assert_eq!(caught(async { panic!("no {}", "way") }).await, Err::<(), _>("no way".into()));
        assert_eq!(caught(async { panic!("plain") }).await, Err::<(), _>("plain".into()));
    }
}
