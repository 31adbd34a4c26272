//! Python with packages, each set in a virtual environment of its own under the target folder.

use crate::lab::{need, skip, target_folder};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python that has `packages`; `None`, said aloud, where there is no Python or no way to install them.
///
/// # Panics
/// If it is missing where `STARLING_LAB=1` is set.
#[must_use]
pub fn with(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let system = need("python3")?;
    let folder = target_folder()?.join(format!("{name}-venv"));
    let python = folder.join("bin").join("python3");
    if install(&system, &folder, &python, packages).is_none() {
        skip(&format!("{} (pip install failed)", packages.join(", ")));
        return None;
    }
    Some(python)
}

/// Makes the environment once; other test binaries wait for it.
fn install(system: &Path, folder: &Path, python: &Path, packages: &[&str]) -> Option<()> {
    let lock =
        File::options().create(true).append(true).open(folder.with_extension("lock")).ok()?;
    lock.lock().ok()?;
    let (done, wanted) = (folder.join("done"), packages.join("\n"));
    if fs::read_to_string(&done).is_ok_and(|held| held == wanted) {
        return Some(());
    }
    run(Command::new(system).args(["-m", "venv"]).arg(folder))?;
    run(Command::new(python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    fs::write(done, wanted).ok()
}

fn run(command: &mut Command) -> Option<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().ok()?;
    status.success().then_some(())
}
