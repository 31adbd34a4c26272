//! How a node judges the cluster that it sees, and why.
//!
//! Every doubt is a sentence for whoever is on call. Who left in order or was given up by an operator is no doubt:
//! a cluster that was made smaller is as healthy as before.

use gossip::network::Member;

/// The judgement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// `healthy`, `degraded` or `isolated`.
    pub verdict: &'static str,
    /// Members alive, this node included.
    pub alive: usize,
    /// Members that ought to be alive.
    pub known: usize,
    /// Why it is not healthy; empty if it is.
    pub reasons: Vec<String>,
}

/// Judges by the members and by what else is wrong.
pub(super) fn judge(members: &[Member], doubts: Vec<String>) -> Health {
    let staying = || members.iter().filter(|member| !member.left);
    let (alive, known) = (staying().filter(|member| member.live).count(), staying().count());
    let dead = staying().filter(|member| !member.live).map(|member| {
        let Member { name, node, .. } = member;
        format!("{name} is dead; if it is gone for good: `starling node forget {node}`")
    });
    let reasons: Vec<String> = dead.chain(doubts).collect();
    let verdict = match (alive, known) {
        (1, known) if known > 1 => "isolated",
        _ if reasons.is_empty() => "healthy",
        _ => "degraded",
    };
    Health { verdict, alive, known, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::{NodeId, Origin};
    use gossip::network::Standing;
    use std::collections::BTreeMap;

    fn member(number: u64, live: bool, left: bool) -> Member {
        Member {
            node: NodeId(number),
            origin: Origin(number),
            name: format!("n{number}"),
            addr: "127.0.0.1:7946".parse().unwrap(),
            generation: 1,
            live,
            left,
            standing: if left { Standing::Left } else { Standing::Ready },
            kvs: BTreeMap::new(),
        }
    }

    #[test]
    fn the_dead_are_named() {
        let members = [member(1, true, false), member(2, true, false), member(3, false, false)];
        let health = judge(&members, Vec::new());
        assert_eq!((health.verdict, health.alive, health.known), ("degraded", 2, 3));
        let forget = format!("starling node forget {}", NodeId(3));
        assert!(health.reasons[0].starts_with("n3 is dead"), "{:?}", health.reasons);
        assert!(health.reasons[0].contains(&forget), "{:?}", health.reasons);
        assert_eq!(
            judge(&[member(1, true, false), member(2, false, false)], Vec::new()).verdict,
            "isolated"
        );
    }

    #[test]
    fn who_left_or_was_forgotten_is_missed_by_nobody() {
        let members = [member(1, true, false), member(2, true, false), member(3, false, true)];
        let health = judge(&members, Vec::new());
        assert_eq!(health, Health { verdict: "healthy", alive: 2, known: 2, reasons: Vec::new() });
        assert_eq!(
            judge(&[member(1, true, false), member(2, false, true)], Vec::new()).verdict,
            "healthy"
        );
    }

    #[test]
    fn a_doubt_of_any_other_kind_degrades() {
        let health = judge(&[member(1, true, false)], vec!["the disk is full".into()]);
        assert_eq!((health.verdict, health.reasons.len()), ("degraded", 1));
    }
}
