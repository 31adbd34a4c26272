//! The binaries `starling` and `starling-sim`: built by cargo, never found by a guessed path.
//!
//! Cargo's own lock lets any number of test binaries ask at once, and cargo itself knows the target
//! directory. This is the only place that builds programs for tests and figures.

use escargot::CargoBuild;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the binary, built in the caller's own profile; once per process.
///
/// # Panics
/// If the node does not build.
#[must_use]
pub fn starling_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(build)
}

/// A command that runs the binary.
///
/// # Panics
/// If the node does not build.
#[must_use]
pub fn starling() -> Command {
    Command::new(starling_path())
}

fn build() -> PathBuf {
    built(of_workspace("starling"), !cfg!(debug_assertions))
}

/// The simulator's binary, in the profile that is asked for; `planted` bugs are for hunts.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn simulator_path(release: bool, planted: bool) -> PathBuf {
    let build = of_workspace("starling-sim");
    if !planted {
        return built(build, release);
    }
    let path = built(build.features("sim/planted"), release);
    apart(&path, "starling-sim-planted").unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// A program with the features that the whole workspace gives to what it shares: nothing is built twice.
fn of_workspace(bin: &str) -> CargoBuild {
    CargoBuild::new().arg("--workspace").bin(bin)
}

/// Cargo puts a program at one path whatever its features: the next build takes it. Under another name this one
/// stays.
fn apart(path: &Path, name: &str) -> io::Result<PathBuf> {
    let kept = path.with_file_name(name);
    if kept.exists() {
        fs::remove_file(&kept)?;
    }
    fs::hard_link(path, &kept).or_else(|_| fs::copy(path, &kept).map(drop))?;
    Ok(kept)
}

fn built(build: CargoBuild, release: bool) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let build = build.manifest_path(workspace);
    let build = if release { build.release() } else { build };
    // What cargo tells this test about its own crate would make build scripts run anew.
    let told = env::vars_os().map(|(name, _)| name).filter(|name| is_about_a_crate(name));
    let build = told.fold(build, CargoBuild::env_remove);
    match build.run() {
        Ok(built) => built.path().to_owned(),
        Err(error) => panic!("it does not build: {error}"),
    }
}

fn is_about_a_crate(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_built_in_this_profile() {
        let path = starling_path();
        assert!(path.is_file());
        let folder = path.parent().and_then(Path::file_name).unwrap();
        assert_eq!(folder == "debug", cfg!(debug_assertions), "{path:?}");
    }
}
