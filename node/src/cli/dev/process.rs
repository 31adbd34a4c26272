//! One child process: how it is told to end, and the news that it has.
//!
//! A task owns the child, so that a signal is only ever sent to a process that was not yet waited
//! for: its number cannot have been given to somebody else.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

/// How long a node may take to stop in order.
const PATIENCE: Duration = Duration::from_secs(5);

/// Said about a child when it has ended.
pub(super) type Ended = Option<Result<ExitStatus, String>>;

/// A child process.
pub(super) struct Process {
    pid: u32,
    /// Two signals at most are ever under way: stop, then kill.
    signals: mpsc::Sender<libc::c_int>,
    ended: watch::Receiver<Ended>,
}

impl Process {
    /// Starts a child that dies with the calling thread.
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        die_with_parent(&mut command);
        let child = command.spawn()?;
        let pid = child.id().expect("it was not waited for yet");
        let (signals, asked) = mpsc::channel(2);
        let (tell, ended) = watch::channel(None);
        tokio::spawn(keep(child, asked, tell));
        Ok(Process { pid, signals, ended })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, String> {
        let lost = Err("nobody waits for it any more".to_owned());
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(lost),
            Err(_) => lost,
        }
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) {
        // An error means that its keeper is gone, and so is the child.
        let _ = self.signals.send(libc::SIGKILL).await;
        let _ = self.ended().await;
    }

    /// Lets it end in order, or ends it if it does not.
    pub(super) async fn stop(&mut self) {
        let _ = self.signals.send(libc::SIGTERM).await;
        if tokio::time::timeout(PATIENCE, self.ended()).await.is_err() {
            self.kill().await;
        }
    }
}

async fn keep(
    mut child: Child,
    mut asked: mpsc::Receiver<libc::c_int>,
    tell: watch::Sender<Ended>,
) {
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            signal = asked.recv() => send(&child, signal.unwrap_or(libc::SIGKILL)),
        }
    };
    tell.send_replace(Some(ended.map_err(|error| error.to_string())));
}

fn send(child: &Child, signal: libc::c_int) {
    if let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
        // SAFETY: no memory is involved; the child was not waited for, so the number is still its.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Makes the kernel kill the child when the thread that starts it ends, even by `kill -9`.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let arm = move || {
        // SAFETY: neither call touches memory of ours, and both may be made between fork and exec.
        let armed = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
        if armed != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the kernel was told.
        // SAFETY: as above.
        let orphaned = u32::try_from(unsafe { libc::getppid() }) != Ok(parent);
        if orphaned { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
    };
    // SAFETY: the closure makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(arm) };
}

/// Elsewhere a child is only told to end when this process ends in order.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(command: &mut Command) {
    command.kill_on_drop(true);
}
