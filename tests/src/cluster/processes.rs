//! Processes by their ids: who is there, who is ours, signals.
//!
//! A process id may be given to a stranger once its owner is gone, so a signal goes only to a
//! process that runs `starling`, or whose command line names the cluster's folder.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// Whether process `pid` runs `starling` (a zombie does not run).
pub(super) fn runs(pid: i32) -> bool {
    command_line(pid).is_some_and(|line| program(&line).ends_with("starling"))
}

/// Sends a signal; false if the process is gone or not ours.
pub(super) fn signal(pid: i32, signal: i32) -> bool {
    // SAFETY: kill takes two integers and touches no memory of ours.
    runs(pid) && unsafe { libc::kill(pid, signal) } == 0
}

/// Every running process of the cluster in `folder`: those of `known`, and whoever names the folder.
pub(super) fn of_folder(folder: &Path, known: &[i32]) -> Vec<i32> {
    let folder = folder.to_string_lossy();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = |pid: &i32| {
        let Some(line) = command_line(*pid) else { return false };
        let starling = program(&line).ends_with("starling");
        starling && (known.contains(pid) || line.contains(&*folder))
    };
    pids.filter(ours).collect()
}

/// Waits for a child for at most `within`.
pub(super) fn wait_until_gone(child: &mut Child, within: Duration) {
    let deadline = Instant::now() + within;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
}

/// The arguments, each ended by a zero byte; empty for zombies.
fn command_line(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

fn program(line: &str) -> &str {
    line.split('\0').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::eventually;
    use std::process::Command;

    #[test]
    fn a_stranger_is_never_signalled() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!runs(pid));
        assert!(!signal(pid, libc::SIGKILL));
        assert!(!of_folder(Path::new("30"), &[pid]).contains(&pid));
        assert!(matches!(child.try_wait(), Ok(None)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_cluster_is_found_by_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("starling");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program).arg("30").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // A program has no command line for a moment while it is being started.
        let found = || (of_folder(folder.path(), &[]) == [pid]).then_some(());
        eventually("the process in its folder", Duration::from_secs(5), found);
        assert!(signal(pid, libc::SIGKILL));
        child.wait().unwrap();
        assert!(of_folder(folder.path(), &[pid]).is_empty());
    }
}
