//! Node.js with packages, each set in a folder of its own under the target folder.

use crate::lab::{need, skip, target_folder};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Node.js, and the folder whose scripts find `packages`.
#[derive(Debug)]
pub struct JavaScript {
    /// The program.
    pub node: PathBuf,
    folder: PathBuf,
}

impl JavaScript {
    /// Installs `packages`; `None`, said aloud, where there is no Node.js or no way to install them.
    ///
    /// # Panics
    /// If it is missing where `STARLING_LAB=1` is set.
    #[must_use]
    pub fn with(name: &str, packages: &[&str]) -> Option<Self> {
        let (node, npm) = (need("node")?, need("npm")?);
        let folder = target_folder()?.join(format!("{name}-node"));
        if install(&npm, &folder, packages).is_none() {
            skip(&format!("{} (npm install failed)", packages.join(", ")));
            return None;
        }
        Some(JavaScript { node, folder })
    }

    /// The script at `path`, put where it finds the packages.
    ///
    /// # Panics
    /// If it cannot be copied.
    #[must_use]
    pub fn script(&self, path: &Path) -> PathBuf {
        let copy = self.folder.join(path.file_name().expect("a script has a name"));
        fs::copy(path, &copy).expect("the script can be copied");
        copy
    }
}

/// Makes the folder once; other test binaries wait for it.
fn install(npm: &Path, folder: &Path, packages: &[&str]) -> Option<()> {
    let lock =
        File::options().create(true).append(true).open(folder.with_extension("lock")).ok()?;
    lock.lock().ok()?;
    let (done, wanted) = (folder.join("done"), packages.join("\n"));
    if fs::read_to_string(&done).is_ok_and(|held| held == wanted) {
        return Some(());
    }
    fs::create_dir_all(folder).ok()?;
    fs::write(folder.join("package.json"), "{\"private\":true}\n").ok()?;
    let mut command = Command::new(npm);
    command.args(["install", "--no-audit", "--no-fund", "--silent"]).args(packages);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command.status().ok()?.success().then_some(())?;
    fs::write(done, wanted).ok()
}
