//! Two living processes with the id of one node: a copied data directory.
//!
//! Of two incarnations of a node the newer one counts, and every peer keeps a link to that one only. A link that
//! a newer incarnation replaces proves nothing: its process may have died a moment before. **An older incarnation
//! that calls while the newer one is linked proves that both live.** Whoever refuses it says so for as long as it
//! calls, and whoever is refused knows that it is the older of two and has no part in the cluster.
//!
//! Both are remembered for some rounds of dials, so that they end by themselves when one of the two does.

use crdt_state::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How long a refusal counts: 20 s, four of the longest waits between two dials of one address.
const REMEMBERED: Duration = Duration::from_secs(20);

/// Two living processes with one node id, as a third node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twins {
    /// The id.
    pub node: NodeId,
    /// What the newer one calls itself.
    pub name: String,
    /// Where the newer one is reached, which is linked.
    pub linked: SocketAddr,
    /// Where the older one is reached, which is refused.
    pub refused: SocketAddr,
}

/// What is known of twins of this node and of others. No larger than the table of links and the address book,
/// which bound who can be refused and by whom.
#[derive(Debug, Default)]
pub(super) struct TwinWatch {
    refused_by: BTreeMap<SocketAddr, Instant>,
    others: BTreeMap<NodeId, (Twins, Instant)>,
}

impl TwinWatch {
    /// This incarnation was refused at `by` as the older of two. Whether that is news.
    pub(super) fn note_refusal(&mut self, by: SocketAddr, now: Instant) -> bool {
        self.forget_old(now);
        let is_news = self.refused_by.is_empty();
        self.refused_by.insert(by, now);
        is_news
    }

    /// A dial of `by` came to something else.
    pub(super) fn note_other_answer(&mut self, by: SocketAddr) {
        self.refused_by.remove(&by);
    }

    /// An older incarnation called although the newer one is linked. Whether that is news.
    pub(super) fn note_twins(&mut self, twins: Twins, now: Instant) -> bool {
        self.forget_old(now);
        self.others.insert(twins.node, (twins, now)).is_none()
    }

    /// Who refused this incarnation as the older of two, if anybody still does.
    pub(super) fn refused_by(&self, now: Instant) -> Option<SocketAddr> {
        let mut recent = self.refused_by.iter().filter(|(_, at)| is_recent(**at, now));
        recent.next().map(|(by, _)| *by)
    }

    /// The twins that were heard of lately, in the order of node ids.
    pub(super) fn others(&self, now: Instant) -> Vec<Twins> {
        let recent = self.others.values().filter(|(_, at)| is_recent(*at, now));
        recent.map(|(twins, _)| twins.clone()).collect()
    }

    fn forget_old(&mut self, now: Instant) {
        self.refused_by.retain(|_, at| is_recent(*at, now));
        self.others.retain(|_, (_, at)| is_recent(*at, now));
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now - at < REMEMBERED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_counts_until_another_answer_or_for_a_while() {
        let (now, mut watch) = (Instant::now(), TwinWatch::default());
        assert!(watch.note_refusal(addr(1), now));
        assert!(!watch.note_refusal(addr(2), now), "it is known by now");
        watch.note_other_answer(addr(1));
        assert_eq!(watch.refused_by(now), Some(addr(2)));
        assert_eq!(watch.refused_by(now + REMEMBERED), None);
        assert!(watch.note_refusal(addr(1), now + REMEMBERED), "it is news again");
        assert_eq!(watch.refused_by.len(), 1, "the old ones are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn twins_are_told_once_and_shown_while_both_are_heard() {
        let (now, mut watch) = (Instant::now(), TwinWatch::default());
        let twins =
            Twins { node: NodeId(1), name: "one".into(), linked: addr(1), refused: addr(2) };
        assert!(watch.note_twins(twins.clone(), now));
        assert!(!watch.note_twins(twins.clone(), now + REMEMBERED / 2));
        assert_eq!(watch.others(now + REMEMBERED).first(), Some(&twins));
        assert_eq!(watch.others(now + REMEMBERED * 2), []);
        assert!(watch.note_twins(twins, now + REMEMBERED * 2));
    }
}
