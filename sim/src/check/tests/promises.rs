//! What is said once and stays so: results.

use std::time::Duration;

use super::found;
use crate::quiz::evidence::ResultSeen;

#[test]
fn what_is_called_final_keeps_every_answer() {
    let seen = |node, answered, held| {
        let (at, status) = (Duration::from_secs(15), "final".to_owned());
        ResultSeen { at, node, instance: 1, status, answered, held, missing: Vec::new() }
    };
    let finals = |held: [Option<u64>; 2]| {
        found(|evidence| evidence.results.extend([seen(1, 1, held[0]), seen(2, 1, held[1])]))
    };
    assert_eq!(finals([Some(77), Some(77)]), [] as [&str; 0]);
    assert_eq!(finals([Some(77), Some(78)]), ["seals"]);
    assert_eq!(finals([None, Some(77)]), [] as [&str; 0], "of a crowd nobody knows");
    assert_eq!(found(|evidence| evidence.results.push(seen(1, 2, Some(77)))), ["seals"]);
}
