//! A simulator that finds nothing proves nothing: a bug planted in the node must be found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use escargot::CargoBuild;

/// The bug must show within so many seeds.
const SEEDS_MAX: u64 = 5;

#[test]
fn a_receipt_that_is_told_before_a_peer_has_the_answer_is_found() {
    let planted = build();
    let seeds = format!("1..={SEEDS_MAX}");
    let output = Command::new(planted).args(["sweep", "--seeds", &seeds]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "nothing was found: {text}");
    assert!(text.contains("holders: no other node holds the answer"), "{text}");
    assert!(text.contains("replay with: starling-sim run --seed"), "{text}");
}

/// Builds the simulator with the bug under a name of its own, so that no other binary is replaced.
fn build() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let build = CargoBuild::new().manifest_path(manifest).package("sim");
    let build = build.bin("starling-sim-planted").features("planted-early-receipt");
    let build = if cfg!(debug_assertions) { build } else { build.release() };
    // What cargo tells this test about its own crate would make build scripts run anew.
    let told = env::vars_os().map(|(name, _)| name).filter(|name| is_about_a_crate(name));
    let build = told.fold(build, CargoBuild::env_remove);
    build.run().unwrap().path().to_owned()
}

fn is_about_a_crate(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
}
