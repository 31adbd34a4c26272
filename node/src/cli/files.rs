//! How many files this process may have open: a connection is one.
//!
//! Shells and service managers give a program 1,024 of them, and let it have many more if it asks. Whatever is left of
//! that bounds players, so that one too many is turned away in words and never takes the file that the store, a peer or
//! a host needs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for as many players as an edge takes by default, and as many pages as it serves at once. Not without bound:
/// what a hook runs inherits it, and some programs close all files that they might have.
const WANTED: u64 = 1 << 17;
/// What a node itself has open, and some hosts, screens and scrapes.
const OWN: u64 = 64;

/// Asks for as many as there may be, and tells how many there are.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let had = limit.current.unwrap_or(WANTED);
    let wanted = limit.maximum.unwrap_or(WANTED).min(WANTED);
    let raised = Rlimit { current: Some(wanted), ..limit };
    if had < wanted && setrlimit(Resource::Nofile, raised).is_ok() { wanted } else { had }
}

/// How many of so many players may have.
pub(super) fn for_players(files: u64) -> u64 {
    files.saturating_sub(OWN).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_there_and_asking_again_changes_nothing() {
        let files = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, Some(files));
        assert!(limit.maximum.is_none_or(|most| files == most.min(WANTED) || files > WANTED));
        assert_eq!(raise(), files);
    }

    #[test]
    fn players_never_have_all() {
        assert_eq!((for_players(20_000), for_players(1_024), for_players(10)), (19_936, 960, 1));
    }
}
