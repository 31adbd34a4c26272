//! Node.js with packages, each set in a folder of its own under the target folder; and the scripts of the pages by
//! themselves, under Node.js.

use crate::lab::{install_once, need, run_quietly, skip, target_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scripts of the pages in a folder of their own, as modules that Node.js reads.
///
/// # Panics
/// If they cannot be copied.
#[must_use]
pub fn pages() -> tempfile::TempDir {
    let scripts = tempfile::tempdir().expect("a folder for the scripts");
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/web");
    for part in ["", "engagement", "vendor"] {
        fs::create_dir_all(scripts.path().join(part)).expect("a folder");
        let files = fs::read_dir(web.join(part)).expect("the pages' folder");
        for file in files.map(|file| file.expect("a file").path()).filter(|file| file.is_file()) {
            let name = file.file_name().expect("files have names");
            fs::copy(&file, scripts.path().join(part).join(name)).expect("a copy");
        }
    }
    fs::write(scripts.path().join("package.json"), r#"{"type":"module"}"#).expect("a file");
    scripts
}

/// Runs a script of `tests/src/pages`, which is given the folder of the pages' own.
///
/// # Panics
/// If the script fails.
pub fn run_with_pages(node: &Path, script: &str, pages: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages").join(script);
    let output = Command::new(node).arg(script).arg(pages).output().expect("Node.js runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

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
