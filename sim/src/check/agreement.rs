//! At the end all nodes are one: equal digests, equal exports, and ranks that follow from them.

use super::export::{Export, PlayerLine};
use crate::quiz::evidence::Evidence;
use crate::quiz::plan::NODES;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for node in NODES.iter().filter(|node| !evidence.ends.contains_key(*node)) {
        found.push(format!("node {node} does not have the event at the end"));
    }
    let Some((first, one)) = evidence.ends.first_key_value() else { return found };
    for (node, end) in evidence.ends.iter().skip(1) {
        if end.digest != one.digest {
            found.push(format!("nodes {first} and {node} differ in their digests"));
        }
        if end.export != one.export {
            let line = end.export.split(|b| *b == b'\n').zip(one.export.split(|b| *b == b'\n'));
            let line = line.clone().find(|(left, right)| left != right);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let line = line.map(|(left, right)| (text(right), text(left)));
            found.push(format!("nodes {first} and {node} differ in their exports: {line:?}"));
        }
    }
    if let Ok(export) = Export::read(&one.export) {
        found.extend(ranks(&export.players));
    }
    found
}

/// Competition ranks (1, 2, 2, 4) by points, then by total correct response time.
fn ranks(players: &[PlayerLine]) -> Vec<String> {
    let ahead = |of: &PlayerLine, line: &PlayerLine| {
        line.points > of.points || (line.points == of.points && line.correct_ms < of.correct_ms)
    };
    let rank = |of: &PlayerLine| 1 + players.iter().filter(|line| ahead(of, line)).count();
    let wrong = players.iter().filter(|line| rank(line) != line.rank as usize);
    wrong.map(|line| format!("{line:?} has rank {}", rank(line))).collect()
}
