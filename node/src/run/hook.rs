//! The command that an operator has run for every member event.
//!
//! One at a time and in order, each within its time; events wait in the feed's bounded queue, and
//! what a slow command makes it lose is counted. A failing command is logged and counted, nothing
//! more: it can never hold up the node.

use crate::api::metrics::{Sample, Source};
use crate::service::view::MemberEventView;
use gossip::discovery::Family;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use std::{fmt, io};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tracing::warn;

/// How long a command may take: 10 s, several requests to some other system.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command and what became of its runs.
#[derive(Debug)]
pub(super) struct Hook {
    command: String,
    patience: Duration,
    runs: AtomicU64,
    failures: AtomicU64,
    missed: AtomicU64,
}

/// Why a run of the command failed.
#[derive(Debug)]
enum HookError {
    Io(io::Error),
    Status(ExitStatus),
    TimedOut(Duration),
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookError::Io(error) => write!(f, "it could not be run: {error}"),
            HookError::Status(status) => write!(f, "it ended with {status}"),
            HookError::TimedOut(limit) => write!(f, "it took more than {limit:?} and was ended"),
        }
    }
}

impl Hook {
    /// A hook that has the shell run `command`.
    pub(super) fn new(command: String) -> Self {
        let zero = AtomicU64::default;
        Hook { command, patience: PATIENCE, runs: zero(), failures: zero(), missed: zero() }
    }

    /// Runs the command for every event until there are no more.
    pub(super) async fn run(
        self: Arc<Self>,
        mut events: broadcast::Receiver<Arc<MemberEventView>>,
    ) {
        loop {
            match events.recv().await {
                Ok(event) => self.tell(&event).await,
                Err(RecvError::Lagged(missed)) => {
                    self.missed.fetch_add(missed, Relaxed);
                    warn!(missed, "--on-member-event is too slow and missed events");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn tell(&self, event: &MemberEventView) {
        self.runs.fetch_add(1, Relaxed);
        let told = timeout(self.patience, self.call(event)).await;
        let failed = match told {
            Ok(Ok(status)) if status.success() => return,
            Ok(Ok(status)) => HookError::Status(status),
            Ok(Err(error)) => HookError::Io(error),
            Err(_) => HookError::TimedOut(self.patience),
        };
        self.failures.fetch_add(1, Relaxed);
        warn!(command = self.command, event = event.event, member = event.name, %failed,
            "--on-member-event failed");
    }

    async fn call(&self, event: &MemberEventView) -> io::Result<ExitStatus> {
        let set_up = |shell: &mut Command| {
            shell
                .env("STARLING_EVENT", &event.event)
                .env("STARLING_MEMBER", &event.name)
                .env("STARLING_MEMBER_NODE", event.node.to_string())
                .env("STARLING_MEMBER_ADDR", &event.addr)
                .stdin(Stdio::piped())
                .stdout(Stdio::null());
        };
        let (mut child, family) = Family::start(&self.command, set_up)?;
        let line = serde_json::to_vec(event).expect("an event has text keys only");
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input is as good as any.
            let _ = stdin.write_all(&[&line[..], b"\n"].concat()).await;
        }
        let status = child.wait().await?;
        family.ended();
        Ok(status)
    }
}

impl Source for Hook {
    fn samples(&self) -> Vec<Sample> {
        let sample =
            |name, help, count: &AtomicU64| Sample::new(name, help, count.load(Relaxed) as f64);
        vec![
            sample("starling_member_hook_runs_total", "Runs of --on-member-event", &self.runs),
            sample("starling_member_hook_failures_total", "Of those, failed", &self.failures),
            sample(
                "starling_member_hook_missed_total",
                "Member events that came too fast for --on-member-event",
                &self.missed,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::{NodeId, Origin};

    fn event() -> MemberEventView {
        MemberEventView {
            event: "died".into(),
            node: NodeId(2),
            origin: Origin(3),
            name: "n2".into(),
            addr: "127.0.0.1:7946".into(),
        }
    }

    #[tokio::test]
    async fn a_command_gets_the_event_in_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let hook = Hook::new(format!(
            "read line; echo \"$STARLING_EVENT $STARLING_MEMBER $line\" > {}",
            file.display()
        ));
        hook.tell(&event()).await;
        let told = std::fs::read_to_string(&file).unwrap();
        let json = told.strip_prefix("died n2 ").unwrap();
        assert_eq!(serde_json::from_str::<MemberEventView>(json).unwrap(), event());
        assert_eq!((hook.runs.load(Relaxed), hook.failures.load(Relaxed)), (1, 0));
    }

    #[tokio::test]
    async fn a_command_that_fails_or_hangs_is_counted_and_ended() {
        let mut hook = Hook::new("exit 3".into());
        hook.tell(&event()).await;
        hook.command = "sleep 60".into();
        hook.patience = Duration::from_millis(50);
        hook.tell(&event()).await;
        assert_eq!((hook.runs.load(Relaxed), hook.failures.load(Relaxed)), (2, 2));
    }

    #[tokio::test]
    async fn what_comes_too_fast_is_counted_and_the_rest_is_told() {
        let (sender, events) = broadcast::channel(2);
        for _ in 0..5 {
            sender.send(Arc::new(event())).unwrap();
        }
        drop(sender);
        let hook = Arc::new(Hook::new("true".into()));
        hook.clone().run(events).await;
        assert_eq!((hook.runs.load(Relaxed), hook.missed.load(Relaxed)), (2, 3));
    }
}
