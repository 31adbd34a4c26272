//! Node.js with packages, each set in a folder of its own under the target folder.

use crate::lab::{install_once, need, run_quietly, skip, target_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

fn install(npm: &Path, folder: &Path, packages: &[&str]) -> Option<()> {
    install_once(folder, packages, || {
        fs::create_dir_all(folder).ok()?;
        fs::write(folder.join("package.json"), "{\"private\":true}\n").ok()?;
        let mut command = Command::new(npm);
        command.args(["install", "--no-audit", "--no-fund", "--silent"]).args(packages);
        run_quietly(command.current_dir(folder))
    })
}
