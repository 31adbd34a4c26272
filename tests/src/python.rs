//! Python with packages, each set in a virtual environment of its own under the target folder.

use crate::lab::{install_once, need, run_quietly, skip, target_folder};
use std::path::{Path, PathBuf};
use std::process::Command;

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

fn install(system: &Path, folder: &Path, python: &Path, packages: &[&str]) -> Option<()> {
    install_once(folder, packages, || {
        run_quietly(Command::new(system).args(["-m", "venv"]).arg(folder))?;
        let mut command = Command::new(python);
        run_quietly(command.args(["-m", "pip", "install", "--quiet"]).args(packages))
    })
}
