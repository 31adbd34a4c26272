//! How a node judges the cluster that it sees, and why.
//!
//! Every doubt is a sentence for whoever is on call. Who left in order or was given up by an operator is no doubt:
//! a cluster that was made smaller is as healthy as before. A node that was told to join others and never met one is
//! an island: it says so, and takes no players where only an operator can bring it home. One whose id another process
//! has too takes none either, if it is the older of the two; and whoever is alone is not advised to give up the others.

use super::Hub;
use gossip::network::{Member, NetworkStats, Reason, Twins, Unlinked};
use std::net::SocketAddr;
use std::time::Duration;

/// How long after its start a node may be without a peer: 10 s, several rounds of dials. Arbitrary.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);

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

/// Judges by the members and by what else is wrong. Who was displaced is linked with nobody, whether it still knows of
/// somebody or not.
pub(super) fn judge(members: &[Member], doubts: Vec<String>, is_displaced: bool) -> Health {
    let staying = || members.iter().filter(|member| !member.left);
    let (alive, known) = (staying().filter(|member| member.live).count(), staying().count());
    let is_isolated = is_displaced || alive == 1 && known > 1;
    let dead = staying().filter(|member| !member.live).map(|member| lament(member, is_isolated));
    let reasons: Vec<String> = doubts.into_iter().chain(dead).collect();
    let verdict = match is_isolated {
        true => "isolated",
        false if reasons.is_empty() => "healthy",
        false => "degraded",
    };
    Health { verdict, alive, known, reasons }
}

/// What is said of a dead member. Who hears nobody cannot tell who is dead: it may be the one that is cut off.
fn lament(member: &Member, is_isolated: bool) -> String {
    let Member { name, node, .. } = member;
    match is_isolated {
        true => format!("{name} is not heard, and nobody else is: is this node's network down?"),
        false => format!("{name} is dead; if it is gone for good: `starling node forget {node}`"),
    }
}

impl Hub {
    /// What is wrong beside dead members.
    pub(super) fn doubts(&self) -> Vec<String> {
        let (stats, misfit) = (self.network.stats(), self.network.misfit());
        let patient = self.facts.started.elapsed() < SEARCH_PATIENCE;
        let lonely = loneliness(&self.facts.join, patient, &stats, misfit);
        let trouble = self.store.borrow().as_deref().map(str::to_owned);
        let displaced = self.network.displaced().map(displacement);
        let twins = self.network.twins();
        let twins = twins.iter().map(twinhood);
        let unlinked = self.network.unlinked();
        let unlinked = unlinked.iter().map(lack);
        let alarms = displaced.into_iter().chain(twins).chain(unlinked);
        alarms.chain(lonely).chain(trouble).collect()
    }

    /// Whether this node was to join others that it cannot link with, and has nothing of its own to offer: a
    /// node that carries shows goes on for them, whoever else is set up wrongly beside it.
    pub(super) fn is_stray(&self) -> bool {
        let never_linked = self.network.stats().links_made == 0;
        let refused = !self.facts.join.is_empty() && self.network.misfit().is_some();
        refused && never_linked && self.owners.all().is_empty()
    }
}

/// That another process takes this one's place, as the node at `by` says.
fn displacement(by: SocketAddr) -> String {
    format!(
        "another process has this node's id and is newer, says the node at {by}: a copied --data? This one is \
         linked with nobody meanwhile; stop it, and start it with a --data of its own"
    )
}

/// That two processes share another node's id.
fn twinhood(twins: &Twins) -> String {
    let Twins { node, name, linked, refused } = twins;
    format!(
        "two processes have the id {node}: {name} at {linked}, and an older one at {refused}, which is refused: \
         a copied --data? Stop one of them"
    )
}

/// That a member lives which this node cannot reach.
fn lack(unlinked: &Unlinked) -> String {
    let Unlinked { name, since, .. } = unlinked;
    format!("no direct link to {name} for {} s, though others hear it", since.as_secs())
}

/// Why a node that has never had a peer has none, and at any time that it has met a process with its own id.
fn loneliness(
    join: &[String],
    patient: bool,
    stats: &NetworkStats,
    misfit: Option<(SocketAddr, Reason)>,
) -> Option<String> {
    let is_twin = misfit.is_some_and(|(_, reason)| reason == Reason::NodeIdTaken);
    if stats.links_made > 0 && !is_twin {
        return None;
    }
    if let Some((address, reason)) = misfit {
        return Some(format!("the node at {address} cannot be linked with: {reason}"));
    }
    // The first of a set of nodes is told to join itself.
    let is_own = join.len() == 1 && stats.ended_for(Reason::OwnAddress) > 0;
    let seeks = !join.is_empty() && !is_own && !patient;
    seeks.then(|| format!("no peer was ever found, though it is to --join {}", join.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::{NodeId, Origin};
    use gossip::network::{Attempt, Standing};
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
        let health = judge(&members, Vec::new(), false);
        assert_eq!((health.verdict, health.alive, health.known), ("degraded", 2, 3));
        let forget = format!("starling node forget {}", NodeId(3));
        assert!(health.reasons[0].starts_with("n3 is dead"), "{:?}", health.reasons);
        assert!(health.reasons[0].contains(&forget), "{:?}", health.reasons);
    }

    #[test]
    fn whoever_is_alone_is_not_advised_to_give_up_the_others() {
        let members = [member(1, true, false), member(2, false, false), member(3, false, false)];
        let health = judge(&members, vec!["first".into()], false);
        assert_eq!((health.verdict, health.reasons.len()), ("isolated", 3));
        assert_eq!(health.reasons[0], "first", "what explains the rest is said first");
        assert!(health.reasons.iter().all(|reason| !reason.contains("forget")), "{health:?}");
    }

    #[test]
    fn who_left_or_was_forgotten_is_missed_by_nobody() {
        let members = [member(1, true, false), member(2, true, false), member(3, false, true)];
        let health = judge(&members, Vec::new(), false);
        assert_eq!(health, Health { verdict: "healthy", alive: 2, known: 2, reasons: Vec::new() });
        assert_eq!(
            judge(&[member(1, true, false), member(2, false, true)], Vec::new(), false).verdict,
            "healthy"
        );
    }

    #[test]
    fn a_doubt_of_any_other_kind_degrades() {
        let health = judge(&[member(1, true, false)], vec!["the disk is full".into()], false);
        assert_eq!((health.verdict, health.reasons.len()), ("degraded", 1));
        let displaced = judge(&[member(1, true, false)], vec!["displaced".into()], true);
        assert_eq!(displaced.verdict, "isolated", "though it knows of nobody any more");
    }

    #[test]
    fn an_island_says_why_it_is_one() {
        let join = ["n1.example:7946".to_owned()];
        let (mut stats, address) = (NetworkStats::default(), "192.0.2.1:7946".parse().unwrap());
        let untrusted = Some((address, Reason::Untrusted));
        assert_eq!(loneliness(&[], false, &stats, None), None, "it is the first");
        assert_eq!(loneliness(&join, true, &stats, None), None, "it has just started");
        let lost = loneliness(&join, false, &stats, None).expect("it is alone");
        assert!(lost.contains("--join n1.example:7946"), "{lost}");
        let refused = loneliness(&join, true, &stats, untrusted).expect("it is alone");
        assert!(
            refused.contains("192.0.2.1:7946") && refused.contains("--fingerprint"),
            "{refused}"
        );
        stats.ended.insert((Attempt::Dial, Reason::OwnAddress), 1);
        assert_eq!(loneliness(&join, false, &stats, None), None, "it was told to join itself");
        stats.links_made = 1;
        assert_eq!(loneliness(&join, false, &stats, untrusted), None, "it has met its cluster");
        let twin = untrusted.map(|(address, _)| (address, Reason::NodeIdTaken));
        let met = loneliness(&join, false, &stats, twin).expect("it has met its own id");
        assert!(met.contains("copied --data"), "{met}");
    }
}
