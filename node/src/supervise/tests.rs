//! What becomes of tasks that panic, by who supervises them and how often.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, watch};

struct Runtime;

impl Spawn for Runtime {
    fn spawn(&self, _name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}

fn root() -> Supervisor {
    Supervisor::root(Arc::new(Runtime))
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_is_restarted_and_finds_its_mailbox() {
    let (root, (mail, received)) = (root(), mpsc::channel::<u32>(8));
    let (heard, mut hears) = watch::channel(0);
    root.keep_with("owner", "owner", (received, heard), |(received, heard)| {
        Box::pin(async move {
            while let Some(number) = received.recv().await {
                assert_ne!(number, 13, "unlucky");
                heard.send_modify(|sum| *sum += number);
            }
        })
    });
    for number in [1, 13, 2] {
        mail.send(number).await.unwrap();
    }
    hears.wait_for(|sum| *sum == 3).await.unwrap();
    let view = root.view();
    let child = &view.children[0];
    assert_eq!((child.restarts, child.panics, child.state), (1, 1, State::Running));
    assert!(child.last_panic.as_ref().unwrap().contains("unlucky"));
    assert_eq!(view.flat()[1].0, "node/owner");
    drop(mail);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(root.view().children[0].state, State::Ended);
}

/// A child that always panics, on a branch of its own; how often it was started in an hour.
async fn hopeless(root: &Supervisor, when_exhausted: WhenExhausted) -> usize {
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    root.branch("events", when_exhausted).keep("owner", "hopeless", move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { panic!("again") }
    });
    sleep(Duration::from_secs(3_600)).await;
    starts.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_child_that_may_stay_down_does_so_and_the_others_go_on() {
    let root = root();
    root.branch("others", WhenExhausted::Escalate).keep("other", "other", std::future::pending);
    let starts = hopeless(&root, WhenExhausted::GiveUp).await;
    assert!((10..100).contains(&starts), "{starts}");
    let view = root.view();
    assert_eq!(view.children[1].children[0].state, State::GaveUp);
    assert_eq!(view.children[0].children[0].state, State::Running);
    assert!(root.fallen().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_cannot_be_kept_up_ends_the_node() {
    let root = root();
    let starts = hopeless(&root, WhenExhausted::Escalate).await;
    assert!((30..1_000).contains(&starts), "{starts}");
    assert!(root.fallen().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn panics_now_and_then_are_tolerated_for_ever() {
    let root = root();
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    root.keep("owner", "moody", move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            sleep(Duration::from_secs(20)).await;
            panic!("after a while")
        }
    });
    sleep(Duration::from_secs(10_000)).await;
    assert!(starts.load(Ordering::Relaxed) > 400);
    assert!(root.fallen().now_or_never().is_none());
}

#[tokio::test]
async fn a_contained_panic_goes_no_further() {
    let players = root().branch("players", WhenExhausted::GiveUp);
    assert_eq!(players.contain(async { 1 }).await, Some(1));
    assert_eq!(players.contain(async { panic!("no") }).await, None::<()>);
    assert_eq!(players.view().panics, 1);
}
