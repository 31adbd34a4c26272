//! At the end all nodes that carry the event are one: equal digests, equal exports.

use crate::quiz::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let is_silent =
        |node: &&u8| !evidence.ends.contains_key(*node) && !evidence.aside.contains(*node);
    for node in evidence.plan.last_nodes().iter().filter(is_silent) {
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
    found
}
