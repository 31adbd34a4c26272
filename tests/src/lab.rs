//! What a machine offers to tests: tools, turns, seeds, patience.
//!
//! A test whose tool is missing says so in one line and passes; where `STARLING_LAB=1` is set the
//! machine is meant to have every tool, and the same test fails.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::env;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where `tool` is, found along `PATH`; `None` after having said that the test is skipped.
///
/// # Panics
/// If the tool is missing where `STARLING_LAB=1` is set.
#[must_use]
pub fn need(tool: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&paths).map(|dir| dir.join(tool)).find(|path| path.is_file());
    if found.is_none() {
        skip(tool);
    }
    found
}

/// Says that the running test is skipped because `missing` is.
///
/// # Panics
/// Where `STARLING_LAB=1` is set.
pub fn skip(missing: &str) {
    let lab = env::var_os("STARLING_LAB").is_some_and(|lab| lab == "1");
    assert!(!lab, "STARLING_LAB=1 and {missing} is missing");
    say(&format!("SKIP {}: missing {missing}", test_name()));
}

/// Writes one line to the real standard error: the test harness captures only the printing macros.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Waits for the turn of a test that starts many processes, and holds it until dropped. All test
/// binaries of all checkouts on this machine take turns, so that none is slow for another's load.
///
/// # Panics
/// If the lock file cannot be opened or locked.
#[must_use]
pub fn heavy() -> Turn {
    let path = env::temp_dir().join("starling-tests.lock");
    let file = File::options().create(true).append(true).open(&path).expect("the lock file opens");
    file.lock().expect("the lock file can be locked");
    Turn { _file: file }
}

/// The turn of a heavy test.
#[derive(Debug)]
pub struct Turn {
    /// Unlocked by the system when it is closed, even by a crash.
    _file: File,
}

/// A generator for this test: from `STARLING_SEED`, else from a new seed, which is printed.
///
/// # Panics
/// If `STARLING_SEED` is not a number.
#[must_use]
pub fn random() -> ChaCha8Rng {
    let seed = match env::var("STARLING_SEED") {
        Ok(seed) => seed.parse().expect("STARLING_SEED is a number"),
        Err(_) => RandomState::new().hash_one(Instant::now()),
    };
    say(&format!("SEED {}: STARLING_SEED={seed}", test_name()));
    ChaCha8Rng::seed_from_u64(seed)
}

/// Asks `check` until it answers, for what cannot be awaited: files and HTTP replies.
///
/// # Panics
/// If it has not answered in time.
pub fn eventually<T>(what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    eventually_ok(what, within, || check().ok_or_else(|| "no answer".to_owned()))
}

/// Asks `check` until it is content, for what can say what is amiss.
///
/// # Panics
/// If it is not content in time, with what was amiss last.
pub fn eventually_ok<T>(
    what: &str,
    within: Duration,
    mut check: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match check() {
            Ok(answer) => return answer,
            Err(amiss) if Instant::now() >= deadline => {
                panic!("{what} did not happen within {within:?}: {amiss}")
            }
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// The folder that holds the profile's folder that holds this very program.
#[must_use]
pub fn target_folder() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let deps = program.ancestors().find(|folder| folder.ends_with("deps"))?;
    Some(deps.parent()?.parent()?.to_owned())
}

/// Has `install` fill `folder` once with what is `wanted`; other test binaries wait for it.
pub(crate) fn install_once(
    folder: &Path,
    wanted: &[&str],
    install: impl FnOnce() -> Option<()>,
) -> Option<()> {
    let lock =
        File::options().create(true).append(true).open(folder.with_extension("lock")).ok()?;
    lock.lock().ok()?;
    let (done, wanted) = (folder.join("done"), wanted.join("\n"));
    if fs::read_to_string(&done).is_ok_and(|held| held == wanted) {
        return Some(());
    }
    install()?;
    fs::write(done, wanted).ok()
}

/// Runs an installer that says nothing, to its good end.
pub(crate) fn run_quietly(command: &mut Command) -> Option<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().ok()?;
    status.success().then_some(())
}

fn test_name() -> String {
    thread::current().name().unwrap_or("test").to_owned()
}

/// Between two questions of [`eventually`]: short beside a round trip, long beside a poll.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_along_the_path() {
        assert!(need("sh").is_some_and(|path| path.is_absolute()));
    }

    #[test]
    fn heavy_tests_take_turns() {
        let turn = heavy();
        let path = env::temp_dir().join("starling-tests.lock");
        let other = File::options().append(true).open(path).unwrap();
        assert!(other.try_lock().is_err());
        drop(turn);
    }

    #[test]
    #[should_panic(expected = "the sun rises did not happen within")]
    fn patience_ends() {
        eventually("the sun rises", Duration::from_millis(1), || None::<()>);
    }
}
