//! One bug on purpose for all runs of this process: to see what a developer would see of it.
//!
//! Exists with the feature `planted` only.

use std::sync::OnceLock;

use crdt_state::planted::{Bug, plant};

static BUG: OnceLock<Bug> = OnceLock::new();

/// Plants a bug in every run from now on; the first one stays.
pub fn plant_in_all(bug: Bug) {
    BUG.get_or_init(|| bug);
}

/// The bug that all runs have.
pub fn planted_in_all() -> Option<Bug> {
    BUG.get().copied()
}

/// A bug by its name.
///
/// # Errors
/// Names them all, if it is none.
pub fn named(name: &str) -> Result<Bug, String> {
    let known = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    known.ok_or_else(|| format!("{name:?} is no planted bug: expected one of {:?}", Bug::ALL))
}

/// Called in the thread of each run before it begins.
pub(crate) fn begin() {
    if let Some(bug) = planted_in_all() {
        plant(Some(bug));
    }
}
